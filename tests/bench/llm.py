"""Answers of the local chat model over HTTP, one, eight and fifty asked at once, beside a bare loop over the same library (bench_llm.c) with the same questions, threads,
batch and places. Both read each prompt anew. Rounds in turn; processor time is of the whole server, keys, rights and streams with it."""
import concurrent.futures
import http.client
import json
import os
import statistics
import subprocess
import threading
import time

from rounds import Skip, processes

MODEL = "smollm2-135m-instruct-q4_1"


class Bare:
    def __init__(self, program, file, threads):
        self.process = subprocess.Popen([program, file, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def run(self, at_once, tokens):
        try:
            self.process.stdin.write(f"{at_once} {tokens}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if not line:
            raise Skip(f"bench_llm ended with status {self.process.wait()}")
        return json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def ask(port, headers, number, tokens, start):
    """When the first text came and how many tokens were written."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": f"Tell the long story of ship number {number}."}], "temperature": 0, "max_tokens": tokens,
                       "stream": True, "stream_options": {"include_usage": True}})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.connect()
    start.wait()
    connection.request("POST", "/v1/chat/completions", body, headers)
    answer, first, usage = connection.getresponse(), None, None
    if answer.status != 200:
        raise Skip(f"a chat was refused with {answer.status}: {answer.read(300)}")
    for line in answer:
        if line.startswith(b"data: {"):
            data = json.loads(line[6:])
            usage = data.get("usage") or usage
            if first is None and any(c["delta"].get("content") for c in data["choices"]):
                first = time.monotonic()
    connection.close()
    return first, usage["completion_tokens"]


class Served:
    def __init__(self, mortise, workspace):
        self.mortise = mortise
        self.headers = {**mortise.headers, "Content-Type": "application/json", "X-Workspace-Id": workspace}

    def run(self, at_once, tokens):
        start = threading.Barrier(at_once + 1, timeout=60)
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            asked = [pool.submit(ask, self.mortise.port, self.headers, i, tokens, start) for i in range(at_once)]
            before = self.mortise.seconds(processes())[0]
            start.wait()
            begun = time.monotonic()
            answers = [a.result() for a in asked]
        took = time.monotonic() - begun
        firsts = sorted(first - begun for first, _ in answers)
        return {"tokens": sum(n for _, n in answers), "seconds": took, "cpu": self.mortise.seconds(processes())[0] - before,
                "first": firsts[len(firsts) // 2], "last": firsts[-1]}


def compare(ours, peer, at_once, tokens, rounds):
    pairs = []
    for i in range(rounds):
        if i % 2:
            b = peer.run(at_once, tokens)
        a = ours.run(at_once, tokens)
        pairs.append((a, b if i % 2 else peer.run(at_once, tokens)))
    rate = lambda x: x["tokens"] / x["seconds"]
    cpu = [min(pair[side]["cpu"] / pair[side]["tokens"] for pair in pairs) * 1e6 for side in (0, 1)]
    first = [statistics.median(pair[side]["first"] for pair in pairs) * 1e3 for side in (0, 1)]
    last = [statistics.median(pair[side]["last"] for pair in pairs) * 1e3 for side in (0, 1)]
    return {"value": round(statistics.median(rate(a) for a, _ in pairs), 1), "unit": "tokens/s", "peer": round(statistics.median(rate(b) for _, b in pairs), 1),
            "ratio": round(statistics.median(rate(a) / rate(b) for a, b in pairs), 3), "cpu_us": round(cpu[0]), "peer_cpu_us": round(cpu[1]),
            "cpu_ratio": round(cpu[1] / cpu[0], 3), "first_ms": round(first[0]), "peer_first_ms": round(first[1]), "last_first_ms": round(last[0]),
            "peer_last_first_ms": round(last[1]), "rounds": rounds, "note": f"first token {first[0]:.0f} ms beside {first[1]:.0f}"}


def measure(mortise, program, cache, workspace, tokens, rounds):
    file = os.path.join(cache, "models", MODEL, MODEL + ".gguf")
    if not os.path.exists(file):
        raise Skip("the chat model is not set up")
    threads = max(1, min(8, os.cpu_count() // 2))
    mortise.send("PUT", "/v1/plugins/llm_llamacpp/config", {"model": MODEL, "threads": threads, "sequences": 8, "context": 512, "queue": 64, "queue_organization": 64,
                                                            "first_token_ms": 600000, "reuse_prefix": False})
    for switch in ("disable", "enable"):
        mortise.send("POST", f"/v1/plugins/llm_llamacpp/{switch}")
    ours, peer = Served(mortise, workspace), Bare(program, file, threads)
    try:
        for side in (ours, peer):
            side.run(1, 2)               # loaded
        return {f"llm_{n}": compare(ours, peer, n, tokens, rounds) for n in (1, 8, 50)}
    finally:
        peer.stop()
