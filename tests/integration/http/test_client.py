#!/usr/bin/env python3
"""The outbound client against upstreams that behave badly: through the probe's /fetch and /relay.

Runs under pytest, or by itself: test_client.py [NAME…]."""
import socket
import sys
import threading
import time

import runner
from probe import Probe, read_all, read_answer, status_of

shared = None


def server():
    global shared
    if shared is None:
        shared = Probe()
    return shared


def teardown_module():
    global shared
    if shared is not None:
        probe, shared = shared, None
        assert probe.stop() == 0


class Upstream:
    """Accepts connections and runs script(socket, head) once a request; keeps what it was sent."""

    def __init__(self, script, keep=False):
        self.script, self.keep, self.heads, self.connections = script, keep, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with s:
            try:
                while True:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        part = s.recv(1)
                        if not part:
                            return
                        head += part
                    self.heads.append(head)
                    self.script(s, head)
                    if not self.keep:
                        return
            except OSError:
                pass

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def says(data):
    return lambda s, head: s.sendall(data)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"


def fetch(url, query="", headers="", body=None, probe=None):
    head = f"{'GET' if body is None else 'POST'} /fetch?{query} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-Url: {url}\r\n{headers}"
    if body is not None:
        head += f"Content-Length: {len(body)}\r\n"
    answer = (probe or server()).send(head.encode() + b"\r\n" + (body or b""), timeout=30)
    assert status_of(answer) == 200, answer
    return answer.partition(b"\r\n\r\n")[2].decode()


def test_whole_answer():
    with Upstream(says(OK)) as u:
        got = fetch(u.url("/a?b=c"), headers="X-Send-Authorization: Bearer k\r\n")
        assert got == "st=ok status=200 code= len=5 body=hello"
        assert u.heads[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
        assert b"authorization: Bearer k\r\n" in u.heads[0] and b"User-Agent: mortise" in u.heads[0]


def test_error_status_is_an_answer():
    with Upstream(says(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")) as u:
        assert fetch(u.url()) == "st=ok status=503 code= len=2 body=no"


def test_post_body():
    seen = []

    def script(s, head):
        seen.append(s.recv(100))
        s.sendall(OK)
    with Upstream(script) as u:
        got = fetch(u.url(), headers="X-Method: POST\r\nX-Send-Content-Type: application/json\r\n", body=b'{"a":1}')
        assert "status=200" in got and seen == [b'{"a":1}']
        assert u.heads[0].startswith(b"POST / ") and b"Content-Length: 7" in u.heads[0]
        assert b"Expect" not in u.heads[0] and b"content-type: application/json" in u.heads[0]


def test_other_methods():
    for method in ("PUT", "DELETE", "PATCH", "HEAD"):
        with Upstream(says(OK if method != "HEAD" else b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")) as u:
            assert "st=ok status=200" in fetch(u.url(), headers=f"X-Method: {method}\r\n")
            assert u.heads[0].startswith(method.encode() + b" ")


def test_connections_are_kept():
    with Upstream(says(OK), keep=True) as u:
        for _ in range(5):
            assert "status=200" in fetch(u.url())
        assert u.connections == 1


def test_informational_heads_are_skipped():
    with Upstream(says(b"HTTP/1.1 103 Early\r\nX-A: early\r\n\r\n" + OK)) as u:
        assert fetch(u.url()) == "st=ok status=200 code= len=5 body=hello"


def test_private_address_is_refused():
    with Upstream(says(OK)) as u:
        got = fetch(u.url(), "private=0")
        assert "st=denied" in got and "code=upstream_address_refused" in got
        assert fetch(f"http://localhost:{u.port}/", "private=0").startswith("st=denied")
        assert u.connections == 0


def test_disguised_private_addresses_are_refused():
    with Upstream(says(OK)) as u:
        for host in ("127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::]",
                     "169.254.169.254", "10.0.0.1", "192.168.1.1", "[fe80::1]", "[fd00::1]"):
            got = fetch(f"http://{host}:{u.port}/", "private=0")
            assert got.startswith(("st=denied", "st=invalid", "st=unavailable")), host + " " + got
        assert u.connections == 0


def test_kept_private_connection_is_not_lent():
    """A connection that a permitted request opened must not serve one without the permission."""
    with Upstream(says(OK), keep=True) as u:
        assert "status=200" in fetch(u.url(), "private=1")
        assert fetch(u.url(), "private=0").startswith("st=denied")
        assert len(u.heads) == 1


def test_other_schemes_are_refused():
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "dict://127.0.0.1/", "nonsense", "", "http://"):
        assert fetch(url).startswith("st=invalid"), url


def test_redirect_is_an_answer_by_default():
    with Upstream(says(b"HTTP/1.1 302 Go\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")) as u:
        assert "status=302" in fetch(u.url())
        assert len(u.heads) == 1


def test_redirect_followed_when_asked():
    def script(s, head):
        s.sendall(OK if head.startswith(b"GET /b") else b"HTTP/1.1 302 Go\r\nLocation: /b\r\nContent-Length: 3\r\n\r\nold")
    with Upstream(script) as u:
        assert fetch(u.url("/a"), "redirects=3") == "st=ok status=200 code= len=5 body=hello"


def test_redirect_loop_ends():
    with Upstream(says(b"HTTP/1.1 302 Go\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")) as u:
        assert fetch(u.url(), "redirects=3").startswith("st=unavailable")
        assert len(u.heads) == 4


def test_redirect_to_a_file_is_refused():
    with Upstream(says(b"HTTP/1.1 302 Go\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n")) as u:
        got = fetch(u.url(), "redirects=3")
        assert got.startswith("st=unavailable") and "root:" not in got


def test_too_large_declared():
    with Upstream(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000)) as u:
        assert "st=too_large" in fetch(u.url(), "max=1000")


def test_too_large_endless():
    def script(s, head):
        s.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            s.sendall(b"x" * 65536)
    with Upstream(script) as u:
        assert "st=too_large" in fetch(u.url(), "max=3000000")


def test_large_answer():
    body = bytes(97 + i % 26 for i in range(3_000_000))
    with Upstream(says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)) as u:
        assert fetch(u.url()).endswith(body.decode())


def test_endless_head():
    def script(s, head):
        s.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            s.sendall(b"X: " + b"y" * 1000 + b"\r\n")
    with Upstream(script) as u:
        assert fetch(u.url()).startswith(("st=too_large", "st=unavailable"))


def test_silent_upstream():
    with Upstream(lambda s, head: time.sleep(20)) as u:
        start = time.monotonic()
        assert "st=timeout" in fetch(u.url(), "head=300")
        assert time.monotonic() - start < 2


def test_stalled_body():
    def script(s, head):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        time.sleep(20)
    with Upstream(script) as u:
        assert "st=timeout" in fetch(u.url(), "idle=300")


def test_total_time_out():
    def script(s, head):
        s.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            s.sendall(b"x")
            time.sleep(0.05)
    with Upstream(script) as u:
        assert "st=timeout" in fetch(u.url(), "total=500")


def test_nobody_listens():
    s = socket.create_server(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    assert "st=unavailable" in fetch(f"http://127.0.0.1:{port}/")


def test_unknown_name():
    assert "st=unavailable" in fetch("http://no-such-host.invalid/")


def test_cut_body():
    with Upstream(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")) as u:
        assert "st=unavailable" in fetch(u.url())


def test_garbage():
    with Upstream(says(b"\x00\x01garbage\r\n\r\n")) as u:
        assert "st=unavailable" in fetch(u.url())


def test_relay_streams_as_it_comes():
    def script(s, head):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(5):
            time.sleep(0.2)
            s.sendall(b"8\r\ndata: %d\n\r\n" % i)
        s.sendall(b"0\r\n\r\n")
    with Upstream(script) as u, server().connect() as s:
        s.sendall(f"GET /relay HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-Url: {u.url()}\r\n\r\n".encode())
        times, data, start = [], b"", time.monotonic()
        while part := s.recv(65536):
            times.append(time.monotonic() - start)
            data += part
        assert times[0] < 0.15, "the head waited for the body"
        assert data.count(b"data: ") == 5 and len(times) >= 5


def test_leaving_client_aborts_the_upstream():
    left = threading.Event()

    def script(s, head):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n")
        if s.recv(1) == b"":
            left.set()
    with Probe() as p, Upstream(script) as u:
        with p.connect() as s:
            s.sendall(f"GET /relay HTTP/1.1\r\nHost: t\r\nX-Url: {u.url()}\r\n\r\n".encode())
            got = b""
            while b"data: 1" not in got:
                got += s.recv(1000)
        assert left.wait(2)
        p.wait_for("cancelled", 1)


def test_slow_relay_reader_slows_the_upstream():
    sent = [0]

    def script(s, head):
        s.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent[0] < 100_000_000:
            sent[0] += s.send(b"x" * 65536)
    with Probe() as p, Upstream(script) as u, p.connect() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.sendall(f"GET /relay HTTP/1.1\r\nHost: t\r\nX-Url: {u.url()}\r\n\r\n".encode())
        time.sleep(1)
        before = sent[0]
        time.sleep(0.5)
        assert before == sent[0] < 20_000_000
        got = 0
        while got < 30_000_000:
            got += len(s.recv(1 << 20))
        assert sent[0] > before


def test_many_at_once():
    def script(s, head):
        time.sleep(0.05)
        s.sendall(OK)
    with Upstream(script) as u:
        results = []
        threads = [threading.Thread(target=lambda: results.append(fetch(u.url()))) for _ in range(60)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(results) == 60 and all("status=200" in r for r in results)


def test_exchange_cap():
    with Upstream(lambda s, head: time.sleep(5)) as u, Probe(exchanges=2, grace=100) as p:
        two = [p.connect() for _ in range(2)]
        for s in two:
            s.sendall(f"GET /fetch HTTP/1.1\r\nHost: t\r\nX-Url: {u.url()}\r\n\r\n".encode())
        p.wait_for("running", 3)
        time.sleep(0.1)
        assert "st=limited" in fetch(u.url(), probe=p)
        for s in two:
            s.close()


if __name__ == "__main__":
    sys.exit(runner.main(globals()))
