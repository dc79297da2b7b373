"""Two thousand open streams from a slow plugin: no error, little memory each, and nothing left behind; stuck readers do not hold the host."""
import asyncio
import resource

import pytest

import server as servers
from server import rss_kib, until

STREAMS = 2000
SERVER = {"plugins": [servers.TEST_PLUGINS], "enable": ["ticker"]}
TICKS = 6


def head(server, path):
    return (f"GET /v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.admin_key}\r\n\r\n").encode()


async def read_stream(server, count, opened, go_on):
    """The number of events that a stream of `count` gave, to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head(server, f"/ticker?count={count}&every_ms=1000"))
    status = await reader.readline()
    assert b" 200 " in status, status
    await reader.readuntil(b"event: tick")
    opened.release()
    await go_on.wait()
    rest = await reader.readuntil(b"0\r\n\r\n")     # the last chunk: the stream ended as it should
    writer.close()
    return 1 + rest.count(b"event: tick")


async def many(server, streams, count, measure):
    opened, go_on = asyncio.Semaphore(0), asyncio.Event()
    tasks = [asyncio.create_task(read_stream(server, count, opened, go_on)) for _ in range(streams)]
    for _ in range(streams):
        await asyncio.wait_for(opened.acquire(), 60)
    measured = await asyncio.to_thread(measure)
    go_on.set()
    return await asyncio.gather(*tasks), measured


def open_streams(admin):
    return admin.call("GET", "/ticker/open").data


def test_two_thousand_streams(server, admin, capsys):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < STREAMS + 200:
        pytest.skip("too few descriptors are allowed here")
    warm = open_streams(admin)
    asyncio.run(many(server, 100, 2, lambda: None))             # pools and arenas are made once
    before = rss_kib(server.host_pid())

    def measure():
        return rss_kib(server.host_pid()), open_streams(admin)["open"]
    counts, (full, seen) = asyncio.run(many(server, STREAMS, TICKS, measure))
    assert counts == [TICKS] * STREAMS
    assert seen == STREAMS, "not all streams were open at once"
    after = until("all streams are gone", lambda: (state := open_streams(admin))["open"] == 0 and state)
    assert after["cancelled"] == warm["cancelled"]
    each = (full - before) / STREAMS
    asyncio.run(many(server, STREAMS, 2, lambda: None))         # a second time takes no more: nothing leaked
    again = rss_kib(server.host_pid())
    with capsys.disabled():
        print(f"\n  {STREAMS} streams: {each:.1f} KiB each; resident {before} KiB before, {full} KiB with them, {again} KiB after a second round")
    assert each < 40
    assert again < full + 4096, f"resident memory grew from {full} to {again} KiB over a second round"


def test_clients_that_leave_are_noticed(server, admin):
    warm = open_streams(admin)

    async def leave():
        writers = []
        for _ in range(100):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(head(server, "/ticker?count=1000&every_ms=60000"))
            await reader.readuntil(b"event: tick")
            writers.append(writer)
        assert (await asyncio.to_thread(open_streams, admin))["open"] == 100
        for writer in writers:
            writer.transport.abort()
    asyncio.run(leave())
    until("the host noticed that the clients left", lambda: open_streams(admin)["open"] == 0, patience=10)
    assert open_streams(admin)["cancelled"] - warm["cancelled"] == 100


def test_a_stuck_reader_is_cut_off_and_bounded(admin):
    with_short_patience = servers.Server(**SERVER, args=["--http.progress_timeout", "1s"], name="stuck")
    try:
        with_short_patience.start()
        with with_short_patience.admin() as api:
            async def stick():
                reader, writer = await asyncio.open_connection("127.0.0.1", with_short_patience.port, limit=1024)
                writer.write(head(with_short_patience, "/ticker?count=1000000&every_ms=0&bytes=65536"))
                await reader.readuntil(b"event: tick")
                reader._transport.pause_reading()
                before = rss_kib(with_short_patience.host_pid())
                await asyncio.to_thread(until, "the stuck reader was cut off", lambda: open_streams(api)["open"] == 0, 20)
                return before
            before = asyncio.run(stick())
            assert rss_kib(with_short_patience.host_pid()) < before + 8192
    finally:
        with_short_patience.dispose()
