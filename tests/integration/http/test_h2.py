#!/usr/bin/env python3
"""HTTP/2: what clients see (curl, h2load), what attackers try (raw frames)."""
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

import runner
import tls
from probe import Probe

folder = tempfile.TemporaryDirectory()
pem, key = tls.certificate(folder.name)
shared = None

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CALM, REFUSED_STREAM = 0xb, 0x7


def start(**options):
    return Probe(tls_certificate=pem, tls_key=key, http2=1, **options)


def server():
    global shared
    if shared is None:
        shared = start()
    return shared


def teardown_module():
    if shared is not None:
        assert shared.stop() == 0


# --- clients ---

def curl(path, *args, probe=None, data=None):
    """(status, version, body) as curl saw them."""
    port = (probe or server()).port
    done = subprocess.run(["curl", "-ks", "--http2", "--max-time", "20", "-w", "\n%{http_code} %{http_version}", *args, f"https://127.0.0.1:{port}{path}"],
                          capture_output=True, input=data)
    body, _, tail = done.stdout.rpartition(b"\n")
    status, version = tail.decode().split()
    return int(status), version, body


def stats(probe=None):
    return {k: int(v) for k, v in (pair.split("=") for pair in curl("/stats", probe=probe)[2].decode().split())}


def wait_for(check, seconds=8):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not come"
        time.sleep(0.05)


def test_answers():
    assert curl("/hello") == (200, "2", b'{"hello":"world"}')
    assert curl("/hello?a=b", "-I")[0] == 200
    assert curl("/nowhere")[0] == 404
    assert curl("/none")[0] == 500
    assert curl("/status?code=204") == (204, "2", b"")
    assert curl("/inject")[2] == b"safe\n"
    assert curl("/big?size=5000000")[2] == b"b" * 5000000
    assert len(curl("/stream?n=50&size=20000")[2]) == 1000000


def test_head_reaches_the_handler():
    text = curl("/headers?q=%20", "-H", "X-Upper: Value", "-H", "Cookie: a=1", "-b", "c=2").__getitem__(2).decode()
    assert "GET /headers ? q=%20" in text and "x-upper=[Value]" in text and f"host=[127.0.0.1:{server().port}]" in text, text


def test_bodies():
    body = os.urandom(3000000)
    assert curl("/echo?limit=4000000", "--data-binary", "@-", data=body)[2] == body
    assert curl("/echo?limit=1000", "--data-binary", "@-", data=body)[0] == 413
    assert curl("/echo", "-H", "Transfer-Encoding: chunked", "--data-binary", "@-", data=body[:9000])[2] == body[:9000]
    assert curl("/late?ms=200&limit=4000000", "--data-binary", "@-", data=body)[2] == body, "the body waits in the windows"
    assert curl("/echo", "--data-binary", "@-", "-H", "Expect: 100-continue", data=b"abc")[2] == b"abc"
    assert curl("/deny", "--data-binary", "@-", data=body)[0] == 401


def test_cut_answers_show():
    done = subprocess.run(["curl", "-ks", "--http2", f"https://127.0.0.1:{server().port}/cut"], capture_output=True)
    assert done.returncode != 0 and done.stdout == b"half", done


def test_load_is_clean():
    done = subprocess.run(["h2load", "-n20000", "-c20", "-m32", f"https://127.0.0.1:{server().port}/hello"], capture_output=True, text=True, timeout=60)
    assert "20000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout


def test_a_slow_reader_of_a_big_answer_gets_it_all():
    with raw() as c:
        c.request(1, b"/big?size=1000000", end=True)
        got = 0
        while got < 1000000:
            kind, flags, stream, payload = c.frame()
            if kind == DATA:
                got += len(payload)
                c.send(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload)))
                c.send(WINDOW_UPDATE, 0, 1, struct.pack(">I", len(payload)))
        assert got == 1000000


# --- raw frames ---

def literal(name, value):
    """A field in HPACK, neither indexed nor packed."""
    return b"\x00" + length(name) + name + length(value) + value


def length(text):
    n = len(text)
    if n < 127:
        return bytes([n])
    out, n = b"\x7f", n - 127
    while n >= 128:
        out, n = out + bytes([n % 128 + 128]), n // 128
    return out + bytes([n])


def head(path=b"/hello", method=b"GET", *more):
    fields = [(b":method", method), (b":scheme", b"https"), (b":path", path), (b":authority", b"t"), *more]
    return b"".join(literal(n, v) for n, v in fields)


class raw:
    """A connection of frames."""

    def __init__(self, probe=None, settings=b""):
        self.socket = tls.connect(probe or server())
        assert self.socket.selected_alpn_protocol() == "h2"
        self.buffer, self.gone = b"", None
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *args):
        self.socket.sendall(frame(*args))

    def request(self, stream, path=b"/hello", method=b"GET", end=True, *more):
        block, first = head(path, method, *more), True
        while block or first:
            part, block = block[:16000], block[16000:]
            flags = (0 if block else END_HEADERS) | (END_STREAM if end and first else 0)
            self.send(HEADERS if first else CONTINUATION, flags, stream, part)
            first = False

    def frame(self):
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            part = self.socket.recv(65536)
            if not part:
                raise EOFError
            self.buffer += part
        n = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
        payload, self.buffer = self.buffer[9:9 + n], self.buffer[9 + n:]
        return kind, flags, stream, payload

    def until(self, kind, stream=None):
        while True:
            f = self.frame()
            if f[0] == kind and (stream is None or f[2] == stream):
                return f

    def end(self):
        """The code of the last GOAWAY before the end, None without one."""
        code = None
        try:
            while True:
                kind, _, _, payload = self.frame()
                if kind == GOAWAY:
                    code = int.from_bytes(payload[4:8], "big")
        except (EOFError, OSError, ssl.SSLError):
            return code

    def flood(self, data, times):
        """Sends again and again until the server has had enough; answers the GOAWAY's code."""
        try:
            for _ in range(times):
                self.socket.sendall(data)
                while self.socket.pending() or select.select([self.socket], [], [], 0.005)[0]:
                    kind, _, _, payload = self.frame()
                    if kind == GOAWAY:
                        return int.from_bytes(payload[4:8], "big")
        except (OSError, ssl.SSLError, EOFError):
            pass
        return self.end()


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def serves():
    assert curl("/hello")[0] == 200


def test_rapid_reset_is_stopped():
    with raw() as c:
        data = b"".join(frame(HEADERS, END_HEADERS | END_STREAM, n, head(b"/sleep?ms=60000")) + frame(RST_STREAM, 0, n, struct.pack(">I", 8))
                        for n in range(1, 10001, 2))
        assert c.flood(data, 1) == CALM
    serves()
    wait_for(lambda: stats()["running"] == 1)


def test_resets_in_moderation_are_fine():
    with raw() as c:
        for n in range(1, 101, 2):
            c.request(n, b"/sleep?ms=60000")
            c.send(RST_STREAM, 0, n, struct.pack(">I", 8))
        c.request(101)
        assert c.until(HEADERS, 101)


def test_frames_without_use_are_stopped():
    for name, data in {"ping": frame(PING, 0, 0, b"12345678"), "settings": frame(SETTINGS, 0, 0), "window": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)),
                       "priority": frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 1))}.items():
        with raw() as c:
            assert c.flood(data * 100, 200) == CALM, name
    with raw() as c:
        c.request(1, b"/echo", b"POST", False)
        assert c.flood(frame(DATA, 0, 1) * 100, 200) == CALM
    serves()


def test_continuation_flood_is_stopped():
    with raw() as c:
        c.send(HEADERS, 0, 1, head())
        assert c.flood(frame(CONTINUATION, 0, 1, literal(b"x", b"y" * 100)) * 50, 2000) is not None
    with raw() as c:
        c.send(HEADERS, 0, 1, head())
        assert c.flood(frame(CONTINUATION, 0, 1) * 100, 2000) is not None
    serves()


def test_header_bombs():
    with raw() as c:    # too large, said so
        c.request(1, b"/hello", b"GET", True, *[(b"x%d" % n, b"v" * 400) for n in range(90)])
        _, _, _, payload = c.until(HEADERS, 1)
        assert b"431" in payload or status(payload) == 431
    with raw() as c:    # too many
        c.request(1, b"/hello", b"GET", True, *[(b"x%d" % n, b"v") for n in range(120)])
        assert status(c.until(HEADERS, 1)[3]) == 431
        c.request(3)
        assert status(c.until(HEADERS, 3)[3]) == 200, "the connection goes on"
    with raw() as c:    # one entry of 4,000 bytes put into the table, then named a byte each time
        entry = b"\x40" + length(b"bomb") + b"bomb" + length(b"v" * 3900) + b"v" * 3900
        assert c.flood(frame(HEADERS, END_HEADERS | END_STREAM, 1, head() + entry + b"\xbe" * 10000), 1) == CALM
    serves()


def status(block):
    """Of an answer's head: the first field, from the static table or as a literal."""
    known = {0x88: 200, 0x89: 204, 0x8d: 404, 0x8c: 400, 0x8e: 500}
    if block[0] in known:
        return known[block[0]]
    n = block[1] & 0x7f
    return int(huffman(block[2:2 + n]) if block[1] & 0x80 else block[2:2 + n])


def huffman(data):
    """Digits only: 0, 1, 2 have five bits each (0..2), 3 to 9 six (0x19..0x1f)."""
    bits = "".join(f"{b:08b}" for b in data)
    out = ""
    while len(bits) >= 5 and len(out) < 3:
        n = int(bits[:5], 2)
        if n < 3:
            out, bits = out + str(n), bits[5:]
        else:
            out, bits = out + str(int(bits[:6], 2) - 0x19 + 3), bits[6:]
    return out


def test_a_head_that_does_not_end():
    with start(head=700) as p, raw(p) as c:
        c.send(HEADERS, 0, 1, head())
        begin = time.monotonic()
        c.end()
        assert time.monotonic() - begin < 6
        assert stats(p)["running"] == 1


def test_silence_is_ended():
    with start(head=500, idle=500) as p:
        with raw(p) as c:
            assert c.end() == 0
        with raw(p) as c:
            c.request(1)
            c.until(HEADERS, 1)
            assert c.end() == 0


def test_too_many_streams_are_refused():
    with raw() as c:
        for n in range(1, 301, 2):
            c.request(n, b"/sleep?ms=60000")
        _, _, stream, payload = c.until(RST_STREAM)
        assert stream == 257 and payload == struct.pack(">I", REFUSED_STREAM)
    wait_for(lambda: stats()["running"] == 1)


def test_broken_requests():
    cases = {"no path": [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"t")],
             "upper case": [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/hello"), (b":authority", b"t"), (b"X-A", b"b")],
             "connection field": [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/hello"), (b":authority", b"t"), (b"connection", b"close")],
             "transfer-encoding": [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/hello"), (b":authority", b"t"), (b"transfer-encoding", b"chunked")],
             "two lengths": [(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/echo"), (b":authority", b"t"), (b"content-length", b"1"), (b"content-length", b"2")],
             "pseudo after": [(b":method", b"GET"), (b":scheme", b"https"), (b"a", b"b"), (b":path", b"/hello"), (b":authority", b"t")],
             "line feed": [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/hello"), (b":authority", b"t"), (b"a", b"b\nc: d")],
             "relative path": [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"hello"), (b":authority", b"t")]}
    for name, fields in cases.items():
        with raw() as c:
            c.send(HEADERS, END_HEADERS | END_STREAM, 1, b"".join(literal(n, v) for n, v in fields))
            while True:
                kind, _, stream, payload = c.frame()
                if kind in (RST_STREAM, GOAWAY) or (kind == HEADERS and stream == 1):
                    break
            assert kind != HEADERS or status(payload) == 400, name
    with raw() as c:
        c.request(1, b"/hello", b"GET", True, (b"host", b"other"))
        assert status(c.until(HEADERS, 1)[3]) == 400
    with raw() as c:    # more data than announced
        c.request(1, b"/echo", b"POST", False, (b"content-length", b"2"))
        c.send(DATA, END_STREAM, 1, b"abc")
        assert c.until(RST_STREAM, 1)
    with raw() as c:
        c.flood(os.urandom(50000), 1)
    serves()


def test_a_stuck_reader_is_ended():
    """It asks for much and gives no window."""
    with start(progress=400) as p, raw(p, struct.pack(">HI", 4, 0)) as c:
        c.request(1, b"/stream?n=100&size=10000")
        c.until(RST_STREAM, 1)
        wait_for(lambda: stats(p)["timed_out"] == 1)


def test_a_stuck_sender_is_told():
    with start(progress=400) as p, raw(p) as c:
        c.request(1, b"/echo", b"POST", False)
        c.send(DATA, 0, 1, b"ab")
        assert status(c.until(HEADERS, 1)[3]) == 408
        assert stats(p)["timed_out"] == 1


def test_a_cancelled_stream_cancels_its_request_alone():
    with start() as p, raw(p) as c:
        c.request(1, b"/sleep?ms=60000")
        c.request(3, b"/sleep?ms=300")
        c.send(RST_STREAM, 0, 1, struct.pack(">I", 8))
        assert status(c.until(HEADERS, 3)[3]) == 200
        wait_for(lambda: stats(p)["cancelled"] == 1)


def test_a_connection_that_breaks_cancels_all():
    with start() as p:
        with raw(p) as c:
            for n in range(1, 41, 2):
                c.request(n, b"/sleep?ms=60000")
            wait_for(lambda: stats(p)["running"] == 21)
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for(lambda: stats(p)["cancelled"] == 20 and stats(p)["running"] == 1)


def test_a_graceful_end_completes_what_runs():
    p = start(grace=5000)
    with raw(p) as c:
        c.request(1, b"/sleep?ms=600")
        wait_for(lambda: stats(p)["running"] == 2)
        p.process.terminate()
        codes, last = [], None
        try:
            while True:
                kind, _, stream, payload = c.frame()
                if kind == GOAWAY:
                    codes.append(int.from_bytes(payload[:4], "big"))
                if kind == HEADERS:
                    last = status(payload)
        except (EOFError, OSError):
            pass
        assert last == 200 and codes == [2**31 - 1, 1], (last, codes)
    assert p.stop() == 0


def test_limits_of_the_server_hold():
    with start(requests=2) as p, raw(p) as c:
        for n in (1, 3, 5):
            c.request(n, b"/sleep?ms=60000")
        assert status(c.until(HEADERS, 5)[3]) == 503


if __name__ == "__main__":
    sys.exit(runner.main(globals()))
