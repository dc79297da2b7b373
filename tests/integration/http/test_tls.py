#!/usr/bin/env python3
"""TLS in front of HTTP/1.1, the certificate's renewal, and clients behind trusted proxies."""
import os
import ssl
import subprocess
import sys
import tempfile
import time

import runner
import tls
from probe import PROGRAM, Probe, read_all, read_answer, status_of

folder = tempfile.TemporaryDirectory()
pem, key = tls.certificate(folder.name)
shared = None


def server():
    global shared
    if shared is None:
        shared = Probe(tls_certificate=pem, tls_key=key, head=1500, progress=1000)
    return shared


def teardown_module():
    if shared is not None:
        assert shared.stop() == 0


def ask(s, request):
    s.sendall(request)
    return read_answer(s)


GET = b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n"


def test_requests_follow_each_other():
    with tls.connect(server(), ("http/1.1",)) as s:
        for _ in range(3):
            assert b"world" in ask(s, GET)[2]
        body = b"x" * 300000
        answer = ask(s, b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n" + body)
        assert answer[2] == body


def test_pipelined():
    with tls.connect(server(), ()) as s:
        s.sendall(GET * 20 + b"GET /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        assert read_all(s).count(b"200 OK") == 21


def test_old_versions_are_refused():
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        try:
            tls.connect(server(), newest=version).close()
        except (ssl.SSLError, OSError):
            continue
        raise AssertionError(f"{version} was accepted")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with tls.connect(server(), ("http/1.1",), newest=version) as s:
            assert status_of(read_all_after(s, GET)) == 200


def read_all_after(s, request):
    s.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    return read_all(s)


def test_h2_is_not_offered_unless_switched_on():
    with tls.connect(server(), ("h2", "http/1.1")) as s:
        assert s.selected_alpn_protocol() == "http/1.1"
    try:
        tls.connect(server(), ("h2",)).close()
    except (ssl.SSLError, OSError):
        return
    raise AssertionError("a client that knows only HTTP/2 was accepted")


def test_plain_text_on_the_tls_port():
    p = server()
    before = p_connections(p)
    with p.connect() as s:
        s.sendall(GET)
        assert b"200" not in read_all(s)
    wait_for(lambda: p_connections(p) == before)


def test_a_handshake_that_does_not_come_is_ended():
    with server().connect() as s:
        start = time.monotonic()
        assert read_all(s) == b""
        assert 1 < time.monotonic() - start < 8


def p_connections(p):
    with tls.connect(p, ()) as s:
        return int(read_all_after(s, b"GET /stats HTTP/1.1\r\nHost: t\r\n\r\n").split(b"connections=")[1].split()[0])


def wait_for(check, seconds=8):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not come"
        time.sleep(0.05)


def test_an_early_refusal_arrives():
    """The answer to an unread body, before the connection ends."""
    with tls.connect(server(), ()) as s:
        try:
            s.sendall(b"POST /deny HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900000)
        except OSError:
            pass
        assert status_of(read_all(s)) == 401


def test_a_client_that_leaves_cancels():
    p = Probe(tls_certificate=pem, tls_key=key)
    with p:
        with tls.connect(p, ()) as s:
            s.sendall(b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: t\r\n\r\n")
            wait_for(lambda: b"running=2" in stats(p))
        wait_for(lambda: b"cancelled=1" in stats(p))


def stats(p):
    with tls.connect(p, ()) as s:
        return read_all_after(s, b"GET /stats HTTP/1.1\r\nHost: t\r\n\r\n")


def test_a_renewed_certificate_is_taken():
    with tempfile.TemporaryDirectory() as d:
        a, ak = tls.certificate(d, "first")
        with Probe(tls_certificate=a, tls_key=ak) as p, tls.connect(p, ()) as old:
            assert tls.common_name(old) == "first"
            assert b"world" in ask(old, GET)[2]
            b, bk = tls.certificate(d, "second")
            a.write_text("no certificate")
            assert b"http.tls_certificate" in ask(old, GET.replace(b"hello", b"reload"))[2]
            with tls.connect(p, ()) as s:
                assert tls.common_name(s) == "first", "a broken file must not take the working certificate's place"
            os.replace(b, a)
            os.replace(bk, ak)
            assert ask(old, GET.replace(b"hello", b"reload"))[2] == b"taken\n"
            with tls.connect(p, ()) as s:
                assert tls.common_name(s) == "second"
            assert b"world" in ask(old, GET)[2], "a connection that is open goes on"


def test_a_wrong_key_is_told_at_start():
    with tempfile.TemporaryDirectory() as d:
        other = tls.certificate(d, "other")[1]
        for args, word in (([pem, other], "tls_key"), (["/nowhere.pem", key], "tls_certificate")):
            done = subprocess.run([PROGRAM, f"--tls-certificate={args[0]}", f"--tls-key={args[1]}"], capture_output=True, text=True, timeout=10)
            assert done.returncode == 1 and f"http.{word}" in done.stderr, done


def peer(p, *fields):
    with p.connect() as s:
        return ask(s, b"GET /peer HTTP/1.1\r\nHost: t\r\n" + b"".join(f.encode() + b"\r\n" for f in fields) + b"\r\n")[2].decode()


def test_a_trusted_proxy_names_its_client():
    with Probe(proxies="127.0.0.0/8,10.0.0.0/8,2001:db8:1::/48") as p:
        assert peer(p) == "127.0.0.1"
        assert peer(p, "X-Forwarded-For: 203.0.113.7") == "203.0.113.7"
        assert peer(p, "X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.1.2.3") == "203.0.113.7", "what stands before the first foreign one is the client's own word"
        assert peer(p, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.7") == "203.0.113.7"
        assert peer(p, "X-Forwarded-For: 10.0.0.1, 10.0.0.2") == "10.0.0.1"
        assert peer(p, "X-Forwarded-For: nonsense, 10.0.0.2") == "10.0.0.2"
        assert peer(p, "X-Forwarded-For: nonsense") == "127.0.0.1"
        assert peer(p, "X-Forwarded-For: [2001:db8::5]:443") == "2001:db8::5"
        assert peer(p, "X-Forwarded-For: 203.0.113.7:5050") == "203.0.113.7"
        assert peer(p, 'Forwarded: for=6.6.6.6, for="[2001:db8::5]:443";proto=https;by=10.0.0.1', "X-Forwarded-For: 7.7.7.7") == "2001:db8::5"
        assert peer(p, "Forwarded: proto=https; For=203.0.113.9, for=_hidden") == "127.0.0.1"
        assert peer(p, "Forwarded: proto=https; For=203.0.113.9, for=10.0.0.3") == "203.0.113.9"
        assert peer(p, "X-Forwarded-For: " + "9" * 5000) == "127.0.0.1"


def test_others_are_not_believed():
    with Probe() as p:
        assert peer(p, "X-Forwarded-For: 203.0.113.7") == "127.0.0.1"
    with Probe(proxies="10.0.0.0/8") as p:
        assert peer(p, "Forwarded: for=203.0.113.7") == "127.0.0.1"
    for wrong in ("10.0.0.0/33", "10.0.0.x", "10.0.0.0/", "::1/129", "10.0.0.0/-1"):
        done = subprocess.run([PROGRAM, f"--proxies={wrong}"], capture_output=True, text=True, timeout=10)
        assert done.returncode == 1 and wrong in done.stderr, done


if __name__ == "__main__":
    sys.exit(runner.main(globals()))
