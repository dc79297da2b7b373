"""What the host adds to a streamed answer: chats at once through it to a fake upstream, beside the same chats straight to the upstream. Each piece of text
holds the time at which it was sent, so that its way is measured and not its maker. Chats begin at a fixed rate and get a piece a second, whatever became of
the others: the fake and the clients, both in Python and on the same cores, stay far below what they could do."""
import asyncio
import json
import multiprocessing
import os
import re
import resource
import socket
import time
import urllib.parse

from rounds import resident_kib

PAUSE = 1.0       # seconds between two pieces
RATE = 250        # chats that begin in a second
PROMPT = 10       # tokens that the fake counts for every question
STAMP = re.compile(rb"t=(\d+);")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"


def now():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def chunk(event):
    data = b"data: %s\n\n" % event
    return b"%x\r\n%s\r\n" % (len(data), data)


async def answer(reader, writer, pieces):
    """One answer a connection, so that what is open afterwards was left open."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", head.lower())[1]))
        writer.write(HEAD)
        due = time.monotonic()
        for _ in range(pieces):
            due += PAUSE
            await asyncio.sleep(due - time.monotonic())
            writer.write(chunk(b'{"choices":[{"index":0,"delta":{"content":"t=%d;"},"finish_reason":null}]}' % now()))
        writer.write(chunk(b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}' % (PROMPT, pieces)))
        writer.write(chunk(b"[DONE]") + b"0\r\n\r\n")
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def serve(listener, pieces):
    async def run():
        async with await asyncio.start_server(lambda r, w: answer(r, w, pieces), sock=listener) as server:
            await server.serve_forever()
    asyncio.run(run())


class Chats:
    """Clients of one address: how long each piece was under way, and how many chats were not whole."""

    def __init__(self, url, headers):
        self.to = urllib.parse.urlsplit(url + "/chat/completions")
        body = json.dumps({"model": "bench", "stream": True, "messages": [{"role": "user", "content": "Say when."}]}).encode()
        lines = {**headers, "host": "bench", "content-type": "application/json", "content-length": len(body)}
        self.request = f"POST {self.to.path} HTTP/1.1\r\n{''.join(f'{k}: {v}{chr(13)}{chr(10)}' for k, v in lines.items())}\r\n".encode() + body
        self.ways, self.open, self.most, self.broken = [], 0, 0, 0

    async def one(self, pieces):
        self.open += 1
        self.most = max(self.most, self.open)
        seen, rest = 0, b""
        try:
            reader, writer = await asyncio.open_connection(self.to.hostname, self.to.port)
            writer.write(self.request)
            done = False
            while not done and (part := await reader.read(65536)):
                at, (lines, _, rest) = now(), (rest + part).rpartition(b"\n\n")
                stamps = STAMP.findall(lines)
                self.ways += [at - int(stamp) for stamp in stamps]
                seen += len(stamps)
                done = b"[DONE]" in lines
            writer.close()
        except OSError:
            pass
        self.broken += seen != pieces
        self.open -= 1

    async def run(self, count, pieces):
        start, tasks = time.monotonic(), []
        for i in range(count):
            await asyncio.sleep(start + i / RATE - time.monotonic())
            tasks.append(asyncio.create_task(self.one(pieces)))
        await asyncio.gather(*tasks)
        return self

    def percentile_ms(self, share):
        ways = sorted(self.ways)
        return round(ways[min(len(ways) - 1, int(share * len(ways)))] / 1e6, 3) if ways else None


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def settled_descriptors(pid, before):
    end = time.monotonic() + 10
    while (left := descriptors(pid)) > before and time.monotonic() < end:
        time.sleep(0.1)
    return left


def raise_limits():
    """Two descriptors a chat in the host, one in the fake and in the clients; children inherit it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def measure(start, workspace, chats):
    """start: makes a rounds.Mortise that may call private addresses."""
    raise_limits()
    mortise, pieces = start(), chats // RATE + 4       # a chat lasts longer than all of them take to begin
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    fake = multiprocessing.Process(target=serve, args=(listener, pieces), daemon=True)
    fake.start()
    mortise.send("PUT", "/v1/plugins/models/config", {"routes": [{"name": "bench", "targets": [
        {"engine": "llm_openai", "model": "m", "options": {"base_url": address}}]}]})
    pid, headers = mortise.host_pid(), {**mortise.headers, "X-Workspace-Id": workspace}

    def ask(url, count):
        return asyncio.run(Chats(url, headers).run(count, pieces))

    try:
        host = f"http://127.0.0.1:{mortise.port}/v1"
        ask(host, 20)
        before = descriptors(pid)
        direct, first = ask(address, chats), ask(host, chats)
        settled_descriptors(pid, before)
        memory = resident_kib(pid)
        second = ask(host, chats)
        left, after = settled_descriptors(pid, before) - before, resident_kib(pid)
    finally:
        fake.terminate()
    used, expected = mortise.send("GET", "/v1/models/usage")["items"], 20 + 2 * chats
    calls, tokens = (sum(u[k] for u in used) for k in ("calls", "output_tokens"))
    here, peer = first.percentile_ms(.99), direct.percentile_ms(.99)
    return {"upstreams": {"value": round(here - peer, 2), "unit": "ms more, p99", "peer": peer, "ratio": round(here / peer, 3), "through_p99": here,
                          "through_p50": first.percentile_ms(.5), "direct_p50": direct.percentile_ms(.5), "second_p99": second.percentile_ms(.99),
                          "chats": chats, "at_once": min(first.most, second.most), "pieces": pieces},
            "upstreams_lost": {"value": direct.broken + first.broken + second.broken + max(left, 0) + abs(calls - expected) + abs(tokens - expected * pieces),
                               "unit": "", "peer": 0, "ratio": None, "broken": [x.broken for x in (direct, first, second)], "descriptors": left,
                               "calls": calls, "output_tokens": tokens, "expected": expected},
            "upstreams_memory": {"value": after, "unit": "KiB", "peer": memory, "ratio": round(after / memory, 3)}}
