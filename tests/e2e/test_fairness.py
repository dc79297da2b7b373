"""One organization's slow work must not slow another's short reads: measured alone and beside it, in turns, in one run."""
import contextlib
import multiprocessing
import os
import pathlib
import socket
import time

import pytest

import client
import server as servers
from client import Tenant
from server import until

SERVER = {"plugins": [servers.TEST_PLUGINS], "enable": ["ticker", "sluggish"]}
ROUNDS, READS = 8, 100
ALLOWED = 1.2


@pytest.fixture(scope="module")
def pair(server):
    return Tenant(server, "quick"), Tenant(server, "slow")


@pytest.fixture(scope="module")
def note(server, pair):
    with client.Client(server.url, pair[0].key) as api:
        path = f"/workspaces/{pair[0].workspace}/notes"
        return path + "/" + api.call("POST", path, 201, json={"title": "short", "text": "read often"}).data["id"]


def read_often(api, path):
    """Seconds of each of READS short reads, one after the other."""
    times = []
    for _ in range(READS):
        start = time.perf_counter()
        answer = api.get(path)
        times.append(time.perf_counter() - start)
        assert answer.status_code == 200
    return times


def quantile(times, q):
    return sorted(times)[int(q * (len(times) - 1))]


def measure(api, path, load):
    """Rounds of reads, alone and beside the load, in turns: {quantile: (alone, beside)}. Of each series the better rounds count (their lower quartile):
    what else the machine does disturbs some rounds, what the load does is in all of them."""
    alone, beside = [], []
    for _ in range(ROUNDS):
        alone.append(read_often(api, path))
        with load():
            beside.append(read_often(api, path))
    return {q: tuple(quantile([quantile(times, q) for times in rounds], 0.25) for rounds in (alone, beside)) for q in (0.5, 0.95)}


def compare(server, quick, path, load, capsys, what, allowed=ALLOWED):
    """On a machine that others use a single measurement may be spoilt: the best of three counts, and all are printed."""
    best = float("inf")
    with client.Client(server.url, quick.key) as api:
        read_often(api, path)
        for _ in range(3):
            figures = measure(api, path, load)
            with capsys.disabled():
                for q, (a, b) in figures.items():
                    print(f"\n  {what}: p{int(q * 100)} {a * 1e3:.2f} ms alone, {b * 1e3:.2f} ms beside it, ratio {b / a:.2f}", end="")
            best = min(best, figures[0.5][1] / figures[0.5][0])
            if best <= allowed:
                return
    assert best <= allowed, f"{what} slowed another organization's short reads by {best:.2f}"


def repeat(url, key, method, path, options, sent):
    with client.Client(url, key, timeout=120) as api:
        while True:
            sent.set()
            answer = api.request(method, path, **options)
            assert answer.status_code < 500 or answer.status_code in (503, 504), answer.text


@contextlib.contextmanager
def repeating(server, tenant, method, path, **options):
    """A process that sends the request again and again: not a thread, which would share this interpreter with the one that measures."""
    context = multiprocessing.get_context("spawn")
    sent = context.Event()
    process = context.Process(target=repeat, args=(server.url, tenant.key, method, path, options, sent), daemon=True)
    process.start()
    assert sent.wait(30)
    try:
        yield
        assert process.is_alive(), "the load ended early"
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize("kind", ["query", "undeclared"])
def test_a_slow_read(server, pair, note, capsys, kind):
    """query is declared slow. undeclared says it is short: it is moved away after 250 ms, so until then it may be felt somewhat more."""
    quick, slow = pair
    path = f"/workspaces/{slow.workspace}/sluggish/{kind}"
    compare(server, quick, note, lambda: repeating(server, slow, "GET", path, params={"rows": 3000000}), capsys, f"a slow read ({kind})",
            ALLOWED if kind == "query" else 1.5)


def test_processor_time_on_the_pool(server, pair, note, capsys):
    quick, slow = pair
    path = f"/workspaces/{slow.workspace}/sluggish/compute"
    compare(server, quick, note, lambda: repeating(server, slow, "POST", path), capsys, "work on the pool")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until_quiet(server):
    """Until the host uses less than a tenth of a core: the kernel's buffers are full, and everybody is stuck."""
    pid = server.host_pid()

    def quiet():
        before = cpu_seconds(pid)
        time.sleep(0.3)
        return cpu_seconds(pid) - before < 0.03
    until("the host is quiet", quiet, patience=20)


@contextlib.contextmanager
def stuck_clients(server, tenant, n):
    """Connections that asked for much and take nothing, and ones that promise a body and send it a byte at a time."""
    sockets = []
    for i in range(n):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"Host: x\r\nAuthorization: Bearer {tenant.key}\r\n"
        if i % 2:
            s.sendall(f"GET /v1/ticker?count=1000000&every_ms=0&bytes=4096 HTTP/1.1\r\n{head}\r\n".encode())
        else:
            s.sendall(f"POST /v1/workspaces/{tenant.workspace}/notes HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode())
        sockets.append(s)
    until_quiet(server)
    try:
        yield
    finally:
        for s in sockets:
            s.close()


def test_stuck_clients(server, pair, note, admin, capsys):
    quick, slow = pair
    compare(server, quick, note, lambda: stuck_clients(server, slow, 60), capsys, "sixty stuck clients")
    until("their streams are gone", lambda: admin.call("GET", "/ticker/open").data["open"] == 0, patience=30)
