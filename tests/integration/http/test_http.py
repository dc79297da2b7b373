#!/usr/bin/env python3
"""Raw sockets against core/http: what must be refused, what must be served, and what clients do at the wrong moment.

Runs under pytest, or by itself: test_http.py [NAME…]. MORTISE_BUILD names the build folder."""
import socket
import struct
import sys
import tempfile
import threading
import time

import runner
from probe import Probe, is_closed, read_all, read_answer, status_of

H = b"Host: t\r\n"
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


# What the parser must refuse: the answer is one 400 (or the status given) and the connection closes.
REFUSED = {
    "duplicate_length_differs": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", 400),
    "duplicate_length_equal": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "length_list": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "length_plus": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length: +3\r\n\r\nabc", 400),
    "length_minus": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length: -3\r\n\r\nabc", 400),
    "length_hex": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "length_empty": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length:\r\n\r\n", 400),
    "length_inner_space": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length: 1 2\r\n\r\nabc", 400),
    "length_huge": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length: 99999999999999999999\r\n\r\nabc", 400),
    "length_wraps": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length: 18446744073709551617\r\n\r\nabc", 400),
    "length_and_chunked": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked_and_length": (b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "chunked_twice": (b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding_gzip_chunked": (b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "coding_identity": (b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "coding_chunked_chunked": (b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "coding_xchunked": (b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "coding_parameter": (b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
    "coding_vertical_tab": (b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "coding_empty": (b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding:\r\n\r\n", 400),
    "chunked_in_1_0": (b"POST /echo HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "no_host": (b"GET /hello HTTP/1.1\r\n\r\n", 400),
    "two_hosts": (b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "two_equal_hosts": (b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "host_with_space": (b"GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "host_with_comma": (b"GET /hello HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
    "host_with_user": (b"GET /hello HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "host_with_slash": (b"GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "bare_lf_all": (b"GET /hello HTTP/1.1\nHost: t\n\n", 400),
    "bare_lf_request_line": (b"GET /hello HTTP/1.1\nHost: t\r\n\r\n", 400),
    "bare_lf_field": (b"GET /hello HTTP/1.1\r\nHost: t\nX: y\r\n\r\n", 400),
    "bare_lf_end": (b"GET /hello HTTP/1.1\r\nHost: t\r\n\n", 400),
    "bare_cr_in_value": (b"GET /hello HTTP/1.1\r\nHost: t\r\nX: a\rb\r\n\r\n", 400),
    "cr_cr_lf": (b"GET /hello HTTP/1.1\r\r\nHost: t\r\n\r\n", 400),
    "obs_fold_space": (b"GET /hello HTTP/1.1\r\nHost: t\r\nX: a\r\n b\r\n\r\n", 400),
    "obs_fold_tab": (b"GET /hello HTTP/1.1\r\nHost: t\r\nX: a\r\n\tb\r\n\r\n", 400),
    "fold_first": (b"GET /hello HTTP/1.1\r\n Host: t\r\n\r\n", 400),
    "space_before_colon": (b"GET /hello HTTP/1.1\r\nHost : t\r\n\r\n", 400),
    "space_before_length_colon": (b"POST /echo HTTP/1.1\r\n" + H + b"Content-Length : 3\r\n\r\nabc", 400),
    "tab_before_colon": (b"GET /hello HTTP/1.1\r\n" + H + b"X\t: y\r\n\r\n", 400),
    "no_colon": (b"GET /hello HTTP/1.1\r\n" + H + b"X\r\n\r\n", 400),
    "empty_name": (b"GET /hello HTTP/1.1\r\n" + H + b": y\r\n\r\n", 400),
    "nul_in_value": (b"GET /hello HTTP/1.1\r\n" + H + b"X: a\0b\r\n\r\n", 400),
    "control_in_value": (b"GET /hello HTTP/1.1\r\n" + H + b"X: a\x01b\r\n\r\n", 400),
    "delete_in_value": (b"GET /hello HTTP/1.1\r\n" + H + b"X: a\x7fb\r\n\r\n", 400),
    "nul_in_name": (b"GET /hello HTTP/1.1\r\n" + H + b"X\0: a\r\n\r\n", 400),
    "high_byte_in_name": (b"GET /hello HTTP/1.1\r\n" + H + b"X\xe9: a\r\n\r\n", 400),
    "nul_in_target": (b"GET /he\0llo HTTP/1.1\r\n" + H + b"\r\n", 400),
    "tab_in_request_line": (b"GET\t/hello HTTP/1.1\r\n" + H + b"\r\n", 400),
    "two_spaces": (b"GET  /hello HTTP/1.1\r\n" + H + b"\r\n", 400),
    "trailing_space": (b"GET /hello HTTP/1.1 \r\n" + H + b"\r\n", 400),
    "no_version": (b"GET /hello\r\n" + H + b"\r\n", 400),
    "version_0_9": (b"GET /hello HTTP/0.9\r\n" + H + b"\r\n", 400),
    "version_2": (b"GET /hello HTTP/2.0\r\n" + H + b"\r\n", 400),
    "version_lower": (b"GET /hello http/1.1\r\n" + H + b"\r\n", 400),
    "method_with_colon": (b"GE:T /hello HTTP/1.1\r\n" + H + b"\r\n", 400),
    "target_relative": (b"GET hello HTTP/1.1\r\n" + H + b"\r\n", 400),
    "target_authority": (b"CONNECT t:80 HTTP/1.1\r\n" + H + b"\r\n", 400),
    "star_for_get": (b"GET * HTTP/1.1\r\n" + H + b"\r\n", 400),
    "http2_preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 400),
    "tls_hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 64, 400),
    "expectation_unknown": (b"POST /echo HTTP/1.1\r\n" + H + b"Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417),
    "too_many_fields": (b"GET /hello HTTP/1.1\r\n" + H + b"X: y\r\n" * 200 + b"\r\n", 400),
    "head_too_large": (b"GET /hello HTTP/1.1\r\n" + H + b"X: " + b"y" * 40000 + b"\r\n\r\n", 431),
    "target_too_long": (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\n" + H + b"\r\n", 431),
}

CHUNKED = b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
BAD_CHUNKS = {
    "size_bare_lf": b"3\nabc\r\n0\r\n\r\n",
    "data_bare_lf": b"3\r\nabc\n0\r\n\r\n",
    "no_crlf_after_data": b"3\r\nabc0\r\n\r\n",
    "cr_cr_after_data": b"3\r\nabc\r\r\n0\r\n\r\n",
    "end_bare_lf": b"3\r\nabc\r\n0\r\n\n",
    "size_not_hex": b"g\r\nabc\r\n0\r\n\r\n",
    "size_empty": b"\r\nabc\r\n0\r\n\r\n",
    "size_negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "size_0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "size_leading_space": b" 3\r\nabc\r\n0\r\n\r\n",
    "size_too_long": b"0" * 20 + b"3\r\nabc\r\n0\r\n\r\n",
    "size_nul": b"3\0\r\nabc\r\n0\r\n\r\n",
    "extension_control": b"3;a=\x01\r\nabc\r\n0\r\n\r\n",
    "extension_bare_lf": b"3;a=b\nabc\r\n0\r\n\r\n",
    "extension_bare_cr": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "extension_long": b"3;" + b"a" * 300 + b"\r\nabc\r\n0\r\n\r\n",
    "extensions_many": (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 30 + b"0\r\n\r\n",
    "trailers_long": b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyy\r\n" * 500 + b"\r\n",
    "trailer_bare_lf": b"0\r\nX: y\n\r\n",
    "trailer_fold": b"0\r\nX: y\r\n z\r\n\r\n",
    "trailer_control": b"0\r\nX: \x00\r\n\r\n",
}


def check_refused(data, status):
    answer = server().send(data)
    assert status_of(answer) == status, answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1, "more than one answer: " + repr(answer[:600])
    assert b"application/problem+json" in answer and b'"code"' in answer, answer


def check_refused_bytewise(data, status):
    """The verdict must not depend on where the packets end."""
    with server().connect() as s:
        try:
            for i in range(0, len(data), 1 if len(data) < 400 else 97):
                s.sendall(data[i:i + (1 if len(data) < 400 else 97)])
        except OSError:
            pass
        answer = read_all(s)
    assert status_of(answer) == status, answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1


def check_bad_chunks(data):
    answer = server().send(CHUNKED + data)
    assert status_of(answer) == 400, answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1, answer


def define_table_tests():
    for name, (data, status) in REFUSED.items():
        globals()["test_refused_" + name] = lambda d=data, s=status: check_refused(d, s)
        if len(data) < 2000:
            globals()["test_refused_split_" + name] = lambda d=data, s=status: check_refused_bytewise(d, s)
    for name, data in BAD_CHUNKS.items():
        globals()["test_chunks_" + name] = lambda d=data: check_bad_chunks(d)


define_table_tests()


# What must be served.
def test_hello():
    answer = server().get("/hello")
    assert status_of(answer) == 200 and answer.endswith(b'{"hello":"world"}')


def test_values_are_trimmed_and_names_lowered():
    answer = server().send(b"GET /headers HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-Foo: \t bar \t\r\nX-Empty:\r\n\r\n")
    assert b"x-foo=[bar]\n" in answer and b"x-empty=[]\n" in answer


def test_absolute_target():
    answer = server().send(b"GET http://other.example/headers?q=1 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    assert b"GET /headers ? q=1\n" in answer
    answer = server().send(b"GET http://other.example HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    assert status_of(answer) == 404


def test_http_1_0_without_host():
    answer = server().send(b"GET /hello HTTP/1.0\r\n\r\n")
    assert status_of(answer) == 200 and b"Connection: close" in answer


def test_http_1_0_keep_alive():
    with server().connect() as s:
        for _ in range(3):
            s.sendall(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert read_answer(s)[0] == 200


def test_h2c_upgrade_is_ignored():
    answer = server().send(b"GET /hello HTTP/1.1\r\nHost: t\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
                           b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
    assert status_of(answer) == 200


def test_keep_alive():
    with server().connect() as s:
        for _ in range(50):
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
            status, head, body = read_answer(s)
            assert status == 200 and body == b'{"hello":"world"}' and b"keep-alive" in head


def test_pipelining_keeps_order():
    paths = [b"/sleep?ms=80", b"/hello", b"/nothing", b"/hello"]
    with server().connect() as s:
        s.sendall(b"".join(b"GET " + p + b" HTTP/1.1\r\nHost: t\r\n\r\n" for p in paths))
        got = [read_answer(s) for _ in paths]
    assert [g[0] for g in got] == [200, 200, 404, 200]
    assert got[0][2] == b"slept\n"


def test_pipelined_bodies():
    with server().connect() as s:
        s.sendall(b"".join(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s" % (len(b), b)
                           for b in (b"a", b"bb" * 9000, b"c", b"")))
        assert [read_answer(s)[2] for _ in range(4)] == [b"a", b"bb" * 9000, b"c", b""]


def test_pipelined_chunked_bodies():
    one = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: v\r\n\r\n"
    with server().connect() as s:
        s.sendall(one * 3 + b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        assert [read_answer(s)[2] for _ in range(4)] == [b"abc"] * 3 + [b'{"hello":"world"}']


def test_request_hidden_behind_a_refused_one():
    answer = server().send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"0\r\n\r\nGET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
    assert status_of(answer) == 400 and b"hello" not in answer


def test_split_everywhere():
    data = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;e=f\r\ndefg\r\n0\r\nA: b\r\n\r\n"
    with server().connect() as s:
        for i in range(len(data)):
            s.sendall(data[i:i + 1])
        assert read_answer(s)[2] == b"abcdefg"
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        assert read_answer(s)[0] == 200


def test_leading_empty_line():
    assert status_of(server().send(b"\r\nGET /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")) == 200


def test_large_head_below_the_limit():
    fields = b"".join(b"X-%d: %s\r\n" % (i, b"v" * 280) for i in range(90))
    answer = server().send(b"GET /headers HTTP/1.1\r\nHost: t\r\nConnection: close\r\n" + fields + b"\r\n")
    assert status_of(answer) == 200 and b"x-89=[" in answer


def test_large_body():
    body = bytes(range(256)) * 4096
    with server().connect() as s:
        s.sendall(b"POST /echo?limit=2000000 HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body))
        threading.Thread(target=s.sendall, args=(body,)).start()
        assert read_answer(s)[2] == body


def test_large_chunked_body():
    body = b"0123456789abcdef" * 4096
    data = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 777]), body[i:i + 777]) for i in range(0, len(body), 777))
    answer = server().send(CHUNKED + data + b"0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n" + body)


def test_head_has_no_body():
    with server().connect() as s:
        s.sendall(b"HEAD /hello HTTP/1.1\r\nHost: t\r\n\r\nGET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        status, head, _ = read_answer(s, head_only=True)
        assert status == 200 and b"Content-Length: 17" in head
        assert read_answer(s)[2] == b'{"hello":"world"}'


def test_head_of_a_stream():
    with server().connect() as s:
        s.sendall(b"HEAD /stream HTTP/1.1\r\nHost: t\r\n\r\nGET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        assert read_answer(s, head_only=True)[0] == 200
        assert read_answer(s)[2] == b'{"hello":"world"}'


def test_204_and_304_have_no_body():
    for code in (204, 304):
        with server().connect() as s:
            s.sendall(b"GET /status?code=%d HTTP/1.1\r\nHost: t\r\n\r\nGET /hello HTTP/1.1\r\nHost: t\r\n\r\n" % code)
            status, head, _ = read_answer(s, head_only=True)
            assert status == code and b"ontent-Length" not in head and b"hunked" not in head
            assert read_answer(s)[2] == b'{"hello":"world"}'


def test_response_headers_cannot_be_injected():
    answer = server().get("/inject")
    assert answer.endswith(b"safe\n") and b"x-evil" not in answer and b"x-ok: yes" in answer


def test_peer():
    assert server().get("/peer").endswith(b"\r\n127.0.0.1")


def test_entry_without_an_answer():
    answer = server().get("/none")
    assert status_of(answer) == 500 and b"no_answer" in answer


def test_zero_length_body():
    with server().connect() as s:
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\nGET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        assert read_answer(s)[2] == b""
        assert read_answer(s)[0] == 200


# Bodies: limits, early answers, Expect.
def test_declared_length_over_the_limit():
    with server().connect() as s:
        s.sendall(b"POST /echo?limit=10 HTTP/1.1\r\nHost: t\r\nContent-Length: 5000000\r\n\r\n")
        assert read_answer(s)[0] == 413     # although nothing of the body was sent
        assert is_closed(s)


def test_chunked_over_the_limit():
    answer = server().send(b"POST /echo?limit=10 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8\r\n12345678\r\n" * 50)
    assert status_of(answer) == 413


def test_chunked_exactly_at_the_limit():
    answer = server().send(b"POST /echo?limit=8 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                           b"8\r\n12345678\r\n0\r\n\r\n")
    assert status_of(answer) == 200 and answer.endswith(b"12345678")


def test_early_401_with_a_body_in_flight():
    """The whole answer arrives although the client is still sending: the close lingers."""
    body = b"x" * 600000
    for _ in range(10):
        with server().connect() as s:
            s.sendall(b"POST /deny HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body))
            s.sendall(body)
            answer = read_all(s)
        assert status_of(answer) == 401 and answer.endswith(b"denied\n")
        assert b"Connection: close" in answer


def test_early_401_does_not_read_the_hidden_request():
    with server().connect() as s:
        s.sendall(b"POST /deny HTTP/1.1\r\nHost: t\r\nContent-Length: 50000\r\n\r\nGET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        answer = read_all(s)
    assert answer.count(b"HTTP/1.1") == 1


def test_early_401_keeps_the_connection_when_the_body_is_there():
    with server().connect() as s:
        s.sendall(b"POST /deny HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcdeGET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        assert read_answer(s)[0] == 401
        assert read_answer(s)[2] == b'{"hello":"world"}'


def test_endless_body_after_401_is_cut():
    start = time.monotonic()
    with server().connect() as s:
        s.sendall(b"POST /deny HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while time.monotonic() - start < 8:
                s.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        except OSError:
            pass
    assert time.monotonic() - start < 4


def test_expect_continue():
    with server().connect() as s:
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"abc")
        assert read_answer(s)[2] == b"abc"
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        assert read_answer(s)[0] == 200


def test_expect_continue_chunked():
    with server().connect() as s:
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"3\r\nabc\r\n0\r\n\r\n")
        assert read_answer(s)[2] == b"abc"


def test_expect_denied_without_100():
    with server().connect() as s:
        s.sendall(b"POST /deny HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        status, head, _ = read_answer(s)
        assert status == 401 and b"100 Continue" not in head
        assert is_closed(s)


def test_expect_too_large_without_100():
    with server().connect() as s:
        s.sendall(b"POST /echo?limit=2 HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert read_answer(s)[0] == 413


def test_body_arrives_before_it_is_asked_for():
    with server().connect() as s:
        s.sendall(b"POST /late HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\n")
        s.sendall(b"abc")
        assert read_answer(s)[2] == b"abc"


# Clients that leave.
def leave(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def check_leaving(request, more=b"", reset=False):
    with Probe() as p:
        s = p.connect()
        s.sendall(request)
        p.wait_for("running", 2)    # it and the question itself
        if more:
            s.sendall(more)
            time.sleep(0.05)
        leave(s) if reset else s.close()
        p.wait_for("cancelled", 1, seconds=1.5)
        p.wait_for("connections", 1)


def test_leaving_during_a_handler():
    check_leaving(b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: t\r\n\r\n")


def test_reset_during_a_handler():
    check_leaving(b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: t\r\n\r\n", reset=True)


def test_leaving_with_pipelined_input():
    check_leaving(b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: t\r\n\r\n", more=b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n" * 9)


def test_leaving_in_a_body():
    check_leaving(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\nabc")


def test_reset_in_a_chunked_body():
    check_leaving(b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", reset=True)


def test_leaving_before_the_body_is_asked_for():
    check_leaving(b"POST /sleep?ms=60000 HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\nabc")


def test_leaving_while_waiting_after_100():
    check_leaving(b"POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")


def test_leaving_during_a_stream():
    check_leaving(b"GET /stream?n=100000&ms=60000 HTTP/1.1\r\nHost: t\r\n\r\n")


def test_reset_during_a_stream():
    check_leaving(b"GET /stream?n=100000&ms=10 HTTP/1.1\r\nHost: t\r\n\r\n", reset=True)


def test_leaving_with_a_full_pipe():
    check_leaving(b"GET /stream?n=100000&size=100000 HTTP/1.1\r\nHost: t\r\n\r\n", reset=True)


def test_shielded_work_ends_although_the_client_left():
    with Probe() as p:
        s = p.connect()
        s.sendall(b"GET /shielded?ms=300 HTTP/1.1\r\nHost: t\r\n\r\n")
        p.wait_for("running", 2)
        s.close()
        p.wait_for("finished", 1)


def test_leaving_in_the_head():
    with Probe() as p:
        for _ in range(20):
            with p.connect() as s:
                s.sendall(b"GET /hello HTTP/1.1\r\nHo")
        p.wait_for("connections", 1)


def test_many_leave_at_once():
    with Probe() as p:
        all_ = [p.connect() for _ in range(300)]
        for s in all_:
            s.sendall(b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: t\r\n\r\n")
        p.wait_for("running", 301)
        for s in all_:
            s.close()
        p.wait_for("cancelled", 300)
        p.wait_for("connections", 1)


# Streams.
def dechunk(data):
    out = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            assert data == b"\r\n"
            return out
        out, data = out + data[:n], data[n + 2:]


def test_stream():
    head, _, body = server().get("/stream?n=20&size=50&ms=1").partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head and dechunk(body) == b"x" * 1000


def test_stream_head_is_sent_at_once():
    with server().connect() as s:
        s.sendall(b"GET /stream?n=1&size=0&ms=3000 HTTP/1.1\r\nHost: t\r\n\r\n")
        s.settimeout(1)
        assert b"text/event-stream" in s.recv(1000)


def test_large_stream():
    head, _, body = server().get("/stream?n=50&size=200000").partition(b"\r\n\r\n")
    assert len(dechunk(body)) == 10_000_000


def test_stream_then_next_request():
    with server().connect() as s:
        s.sendall(b"GET /stream?n=2&size=3 HTTP/1.1\r\nHost: t\r\n\r\nGET /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        data = read_all(s)
    assert data.count(b"HTTP/1.1 200") == 2 and data.endswith(b'{"hello":"world"}')


def test_stream_in_http_1_0():
    answer = server().send(b"GET /stream?n=3&size=4 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head and b"Connection: close" in head and body == b"x" * 12


def test_stream_cut_by_its_handler():
    answer = server().get("/cut")
    assert b"half" in answer and not answer.endswith(b"0\r\n\r\n")


def test_slow_reader_is_waited_for():
    with server().connect() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.sendall(b"GET /stream?n=30&size=50000 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        time.sleep(0.3)
        assert len(dechunk(read_all(s).partition(b"\r\n\r\n")[2])) == 1_500_000


def test_stuck_reader_is_dropped():
    with Probe(progress=300) as p:
        s = p.connect()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b"GET /stream?n=1000&size=100000 HTTP/1.1\r\nHost: t\r\n\r\n")
        p.wait_for("timed_out", 1, seconds=4)
        p.wait_for("connections", 1)
        s.close()


def test_stuck_reader_of_a_whole_answer_is_dropped():
    with Probe(progress=300) as p:
        s = p.connect()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b"GET /big?size=30000000 HTTP/1.1\r\nHost: t\r\n\r\n")
        p.wait_for("connections", 2)
        p.wait_for("connections", 1, seconds=4)
        s.close()


def test_reader_at_a_steady_pace_is_kept():
    with Probe(progress=300) as p:
        s = p.connect()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.sendall(b"GET /big?size=8000000 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        got, start = 0, time.monotonic()
        while part := s.recv(40000):
            got += len(part)
            time.sleep(0.01)
        assert got > 8000000 and time.monotonic() - start > 1


def test_idle_stream_is_kept():
    with Probe(progress=200, head=300, idle=300) as p:
        answer = p.get("/stream?n=2&size=3&ms=900")
        assert answer.endswith(b"0\r\n\r\n")


# Time-outs.
def test_slow_loris_head():
    with Probe(head=600) as p:
        start = time.monotonic()
        with p.connect() as s:
            s.sendall(b"GET /hello HTTP/1.1\r\n")
            try:
                while time.monotonic() - start < 5:
                    s.sendall(b"X: y\r\n")
                    time.sleep(0.05)
            except OSError:
                pass
            assert 0.4 < time.monotonic() - start < 2.5


def test_slow_loris_gets_408():
    with Probe(head=300) as p:
        answer = p.send(b"GET /hello HTTP/1.1\r\nHost")
        assert status_of(answer) == 408 and b"request_timeout" in answer


def test_silent_connection_is_closed():
    with Probe(head=300) as p, p.connect() as s:
        assert is_closed(s, 3)


def test_idle_keep_alive_is_closed():
    with Probe(idle=400, head=5000) as p, p.connect() as s:
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        assert read_answer(s)[0] == 200
        start = time.monotonic()
        assert is_closed(s, 3) and time.monotonic() - start > 0.2


def test_second_head_has_its_own_time_out():
    with Probe(idle=5000, head=300) as p, p.connect() as s:
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        assert read_answer(s)[0] == 200
        time.sleep(0.5)
        s.sendall(b"GET /hello HTTP/1.1\r\nHo")
        assert read_answer(s)[0] == 408


def test_slow_body():
    with Probe(progress=300) as p, p.connect() as s:
        start = time.monotonic()
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(4):
            s.sendall(b"x")
            time.sleep(0.05)
        assert read_answer(s)[0] == 408 and time.monotonic() - start < 2
        p.wait_for("timed_out", 1)


def test_body_at_a_steady_pace_is_kept():
    with Probe(progress=300, min_progress=100) as p, p.connect() as s:
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10000\r\n\r\n")
        for _ in range(20):
            s.sendall(b"x" * 500)
            time.sleep(0.05)
        assert read_answer(s)[0] == 200


def test_long_handler_has_no_http_time_out():
    with Probe(progress=200, head=200, idle=200) as p:
        assert status_of(p.get("/sleep?ms=900")) == 200


# Caps and the end.
def test_request_cap():
    with Probe(requests=2) as p:
        two = [p.connect() for _ in range(2)]
        for s in two:
            s.sendall(b"GET /sleep?ms=500 HTTP/1.1\r\nHost: t\r\n\r\n")
        time.sleep(0.1)
        answer = p.get("/hello")
        assert status_of(answer) == 503 and b"retry-after: 1" in answer and b"overloaded" in answer
        assert [read_answer(s)[0] for s in two] == [200, 200]
        assert status_of(p.get("/hello")) == 200


def test_connection_cap():
    with Probe(connections=4) as p:
        four = [p.connect() for _ in range(4)]
        for s in four:
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
            assert read_answer(s)[0] == 200
        with p.connect() as s:
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
            status, head, _ = read_answer(s)
            assert status == 503 and b"Connection: close" in head and is_closed(s)
        for s in four:
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
            assert read_answer(s)[0] == 200
            s.close()


def test_work_after_the_answer_delays_nobody():
    with Probe() as p, p.connect() as s:
        start = time.monotonic()
        for _ in range(5):
            s.sendall(b"GET /after?ms=400 HTTP/1.1\r\nHost: t\r\n\r\n")
            assert read_answer(s)[0] == 200
        assert time.monotonic() - start < 0.35
        p.wait_for("finished", 5)


def test_work_after_the_answer_survives_the_client():
    with Probe() as p:
        with p.connect() as s:
            s.sendall(b"GET /after?ms=200 HTTP/1.1\r\nHost: t\r\n\r\n")
            assert read_answer(s)[0] == 200
        p.wait_for("finished", 1)
        assert p.stats()["cancelled"] == 0


def test_drain_closes_idle_and_finishes_running():
    p = Probe(grace=5000)
    idle, busy = p.connect(), p.connect()
    idle.sendall(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
    assert read_answer(idle)[0] == 200
    busy.sendall(b"GET /sleep?ms=600 HTTP/1.1\r\nHost: t\r\n\r\n")
    p.wait_for("running", 2)
    start = time.monotonic()
    p.process.terminate()
    assert is_closed(idle, 0.4)
    answer = read_answer(busy)
    assert b"connection: close" in answer[1].lower() and answer[2] == b"slept\n" and is_closed(busy), "it is told with the answer"
    assert p.stop() == 0 and time.monotonic() - start < 3


def test_drain_resets_what_outlasts_the_grace():
    p = Probe(grace=200)
    s, t = p.connect(), p.connect()
    s.sendall(b"GET /stream?n=1000000&ms=20 HTTP/1.1\r\nHost: t\r\n\r\n")
    t.sendall(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n")
    p.wait_for("running", 3)
    start = time.monotonic()
    assert p.stop() == 0 and time.monotonic() - start < 3


def test_two_loops_share_the_socket():
    with Probe(loops=2) as p:
        some = [p.connect() for _ in range(40)]
        for _ in range(3):
            for s in some:
                s.sendall(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
            assert all(read_answer(s)[0] == 200 for s in some)
        for s in some:
            s.close()


def test_unix_socket():
    with tempfile.TemporaryDirectory() as d, Probe(unix=d + "/s") as p, socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(d + "/s")
        s.sendall(b"GET /peer HTTP/1.1\r\nHost: t\r\n\r\n")
        assert read_answer(s)[2] == b"local"
        s.sendall(b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: t\r\n\r\n")
        p.wait_for("running", 2)
        s.close()
        p.wait_for("cancelled", 1)


def test_nothing_is_left_behind():
    p = server()
    p.wait_for("connections", 1, seconds=5)
    assert p.stats()["running"] == 1


if __name__ == "__main__":
    sys.exit(runner.main(globals()))
