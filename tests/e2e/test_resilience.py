"""kill -9 of the host, of PostgreSQL, crashing and broken plugins: what was acknowledged stays, the rest serves, all comes back by itself."""
import collections
import re
import statistics
import subprocess
import threading
import time

import pytest

import client
import server as servers
from harness import FAILED
from server import alive, until

SLACK = 1.0                                  # "serving again in less than a second"


@pytest.fixture()
def own(request):
    """A server of the test's own: it will be hurt."""
    made = []

    def start(**options):
        made.append(servers.Server(name=f"{request.node.name}", **options))
        return made[-1].start()
    yield start
    for one in made:
        one.dispose(failed=request.node.name in FAILED or one.process is None)


class Writers:
    """Threads that create notes, each with an Idempotency-Key of its own, and repeat one until it is acknowledged."""

    def __init__(self, server, tenant, n):
        self.server, self.tenant, self.stop = server, tenant, threading.Event()
        self.acknowledged, self.refused, self.latest = {}, collections.Counter(), 0.0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self, who):
        path, n = f"/workspaces/{self.tenant.workspace}/notes", 0
        while not self.stop.is_set():
            n += 1
            name = f"writer {who} note {n}"
            while not self.write(path, name):
                time.sleep(0.01)

    def write(self, path, name):
        with client.Client(self.server.url, self.tenant.key, timeout=10) as api:
            try:
                answer = api.post(path, json={"title": name}, headers={"idempotency-key": name})
            except client.TransportError as e:
                return self.note_refusal(type(e).__name__)
        if answer.status_code == 201:
            with self.lock:
                self.acknowledged[name] = answer.json()["id"]
                self.latest = time.monotonic()
            return True
        return self.note_refusal(answer.status_code)

    def note_refusal(self, why):
        with self.lock:
            self.refused[why] += 1
        return False

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def count(self):
        with self.lock:
            return len(self.acknowledged)


def all_notes(tenant):
    return {note["title"]: note["id"] for note in tenant.api.pages(f"/workspaces/{tenant.workspace}/notes", limit=200)}


def serves(server, tenant):
    """One authenticated read of a row."""
    try:
        with client.Client(server.url, tenant.key, timeout=5) as api:
            return api.get(f"/workspaces/{tenant.workspace}").status_code == 200
    except client.TransportError:
        return False


def no_doubles(server, tenant, writers):
    rows = server.database().rows(f"SELECT title, count(*) FROM notes.note WHERE org_id = '{tenant.org}' GROUP BY title")
    doubled = [row for row in rows if row[1] != "1"]
    assert not doubled
    stored = all_notes(tenant)
    lost = [name for name, id in writers.acknowledged.items() if stored.get(name) != id]
    assert not lost, f"{len(lost)} of {len(writers.acknowledged)} acknowledged notes are gone or others"


def test_kill_of_the_host_under_load(own):
    server = own()
    tenant = client.Tenant(server, "load")
    writers = Writers(server, tenant, 6)
    gaps = []
    for _ in range(4):
        done = writers.count()
        until("writing goes on", lambda: writers.count() > done + 60)
        before = server.kill_host()
        begin = time.monotonic()
        until("it serves again", lambda: server.host_pid() not in (0, before) and serves(server, tenant), 20, 0.005)
        gaps.append(time.monotonic() - begin)
    writers.end()
    print(f"serving again after {', '.join(f'{gap * 1000:.0f} ms' for gap in gaps)}; {len(writers.acknowledged)} acknowledged; refused: {dict(writers.refused)}")
    no_doubles(server, tenant, writers)
    assert len(server.events("host.died", how="SIGKILL")) == 4
    assert statistics.median(gaps) < SLACK and max(gaps) < 3 * SLACK, gaps


def test_uploads_survive_kills(own):
    """Documents acknowledged before and between kills are all indexed in the end, once."""
    server = own()
    tenant = client.Tenant(server, "ingest")
    names, documents = [f"part {n}.txt" for n in range(12)], {}
    for n, name in enumerate(names):
        text = "\n\n".join(f"Paragraph {i} of file {n} speaks of the river number {n * 100 + i}, its bridges and its mills, at some length." for i in range(40))

        def put():
            try:
                return tenant.api.upload(tenant.workspace, (name, text.encode()), wait=False)[0]["document"]["id"]
            except (client.TransportError, AssertionError):
                return None
        documents[name] = until(f"{name} is acknowledged", put)
        if n % 4 == 3:
            until("an ingest is under way", lambda: server.database().count("documents.document", "status = 'indexing'") > 0
                  or server.database().count("mt.job", "state = 'ready'") == 0, 30)
            before = server.kill_host()
            until("it serves again", lambda: server.host_pid() not in (0, before) and server.ready(), 20)
    path = f"/workspaces/{tenant.workspace}/documents"

    def settled():
        listed = tenant.api.pages(path, limit=100)
        return listed if all(d["status"] in ("indexed", "failed") for d in listed) else None
    listed = until("all are indexed", settled, 150)
    assert {d["file_name"]: d["id"] for d in listed} == documents and {d["status"] for d in listed} == {"indexed"}
    database = server.database()
    for d in listed:
        numbers = [int(row[0]) for row in database.rows(f"SELECT number FROM documents.chunk WHERE document_id = '{d['id']}' ORDER BY number")]
        assert numbers == list(range(1, d["chunk_count"] + 1)), d["file_name"]
        text = tenant.api.call("GET", f"{path}/{d['id']}/text").data["text"]
        assert "river number" in text
    hits = tenant.api.search(tenant.workspace, "river, bridges and mills", limit=100)
    assert len({h["chunk_id"] for h in hits}) == len(hits) == min(100, sum(d["chunk_count"] for d in listed))
    assert database.count("mt.job", "queue = 'documents.ingest' AND state <> 'done'") == 0


def test_kill_of_postgresql_under_load(own):
    server = own()
    tenant = client.Tenant(server, "load")
    writers = Writers(server, tenant, 4)
    host = server.host_pid()
    for _ in range(2):
        done = writers.count()
        until("writing goes on", lambda: writers.count() > done + 40)
        pid = server.kill_postgres()
        until("PostgreSQL is another process", lambda: server.postgres_pid() not in (0, pid), 30)
        done = writers.count()
        until("writing goes on by itself", lambda: writers.count() > done + 40, 30)
    writers.end()
    assert server.host_pid() == host and alive(host), "the host stays"
    no_doubles(server, tenant, writers)
    unclear = {why for why in writers.refused if why != 503}
    print(f"{len(writers.acknowledged)} acknowledged; refused: {dict(writers.refused)}")
    assert not unclear, "while the database is down the answer is 503, and nothing else"


def test_what_is_said_while_the_database_is_down(own):
    server = own()
    tenant = client.Tenant(server, "down")
    postmaster = server.postgres_pid()
    subprocess.run(["kill", "-STOP", str(server.process.pid)], check=True)       # so that nobody restarts it
    try:
        server.kill_postgres()
        until("PostgreSQL is gone", lambda: not alive(postmaster))
        with client.Client(server.url, tenant.key) as api:
            until("the host has noticed", lambda: api.get("/health/ready").status_code == 503, 15)
            health = api.call("GET", "/health").data
            assert health["database"] == "down" and health["status"] == "degraded"
            for method, path, body in (("GET", f"/workspaces/{tenant.workspace}", None), ("POST", f"/workspaces/{tenant.workspace}/notes", {"title": "x"}),
                                       ("POST", f"/workspaces/{tenant.workspace}/search", {"query": "x"})):
                begin = time.monotonic()
                answer = api.call(method, path, 503, json=body)
                assert time.monotonic() - begin < 6, "a clear answer does not take long"
                assert answer.headers["retry-after"] and answer.data["code"] and "database" in answer.data["detail"].lower(), answer.text
            api.call("GET", "/openapi.json")
    finally:
        subprocess.run(["kill", "-CONT", str(server.process.pid)], check=True)
    until("it recovers by itself", lambda: server.ready() and serves(server, tenant), 30)
    until("writes too", lambda: tenant.api.post(f"/workspaces/{tenant.workspace}/notes", json={"title": "after"}).status_code == 201, 5)


@pytest.mark.parametrize("step", ["postgres.start", "host.started", "database.up", "migration.applied"])
def test_a_stop_while_it_starts_is_clean(step, tmp_path):
    """At whatever step: what has begun is ended, nobody is killed or dies."""
    log = tmp_path / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen([servers.BINARY, "serve", "--data", tmp_path / "data", "--port", "0"], stdout=out, stderr=out)
    until(f"{step} is reached", lambda: f"event={step}" in log.read_text() or process.poll() is not None, pause=0.001)
    process.terminate()
    assert process.wait(30) == 0
    text = log.read_text()
    assert f"event={step}" in text and "host.died" not in text and "clean=false" not in text and "loop.misuse" not in text, text


def test_start_with_the_database_down(own):
    """DATABASE_URL names a server that is not there yet: plugins wait, the host answers, and goes on when it comes."""
    first = own()
    database = first.database()
    port, sockets = servers.free_port(), first.data / "postgres/sockets"
    url = re.sub(r"user=\S+", "user=mortise", database.url)
    first.stop()
    cluster = first.data / "postgres/data"
    second = servers.Server(name="database-down", env={"DATABASE_URL": url})
    try:
        second.port = port
        second.start(ready=False)
        with client.Client(second.url, first.admin_key) as api:
            until("it answers", lambda: reachable(api, "/health"))
            assert api.call("GET", "/health").data["database"] == "down"
            api.call("GET", "/health/ready", 503)
            answer = api.call("GET", "/hello", 503)
            assert answer.data["code"] in ("database_unavailable", "not_ready"), answer.text
            until("plugins wait", lambda: second.events("plugin.state", plugin="tenancy", state="waiting"), 10)
            postgres = start_postgres(cluster, sockets)
            try:
                until("it becomes ready by itself", second.ready, 30)
                assert api.call("GET", "/hello").data["message"]
            finally:
                second.stop()
                postgres.terminate()
                postgres.wait(30)
    finally:
        second.dispose()


def reachable(api, path):
    try:
        return api.get(path).status_code == 200
    except client.TransportError:
        return False


def start_postgres(cluster, sockets):
    """The first server's cluster, run by us, as the supervisor would."""
    binary = subprocess.run("ls /usr/lib/postgresql/*/bin/postgres | tail -1", shell=True, capture_output=True, text=True, check=True).stdout.strip()
    command = [binary, "-D", str(cluster), "-k", str(sockets), "-c", "listen_addresses="]
    if servers.os.geteuid() == 0:
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *command]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


# --- plugins that crash and plugins that are broken ---

@pytest.fixture(scope="module")
def crashing(request):
    made = servers.Server(name="test_crashes", plugins=[servers.plugin_folder("crasher")], enable=["crasher"],
                          env={"MORTISE_QUARANTINE_CRASHES": "1000"}).start()
    yield made
    made.dispose(failed=request.module.__name__ in FAILED)


@pytest.mark.parametrize("how, signal", [("null", "SIGSEGV"), ("overflow", "SIGSEGV"), ("abort", "SIGABRT"), ("pool", "SIGSEGV")])
def test_a_crash_names_the_plugin(crashing, how, signal):
    server, before, host = crashing, len(crashing.events("host.died")), crashing.host_pid()
    with server.admin() as admin:
        with pytest.raises(client.TransportError):
            admin.post(f"/crasher/{how}")
    line = until("the death is told", lambda: server.events("host.died")[before:])[0]
    assert f"how={signal}" in line and "plugin=crasher" in line, line
    if how == "overflow":
        assert server.events("fiber.stack_overflow", plugin="crasher")
    until("another host serves", lambda: server.host_pid() not in (0, host) and server.ready(), 20)
    with server.admin() as admin:
        admin.call("GET", "/hello")


def test_a_stall_is_reported(crashing):
    until("it serves", crashing.ready)
    with crashing.admin() as admin:
        admin.call("POST", "/crasher/stall", 204)
    until("the watchdog names the plugin", lambda: [line for line in crashing.log().splitlines() if "stall" in line and "crasher" in line], 5)


REASONS = {
    "broken_abi": "ABI 999", "broken_size": "entry table", "broken_slug": "another", "broken_version": "9.9.9", "broken_symbol": "no_such_symbol",
    "broken_create": "", "broken_load": "", "broken_activate": "today is not the day", "broken_dependency": "no_such_plugin",
    "broken_range": "tenancy", "broken_cycle_a": "broken_cycle_b", "broken_cycle_b": "broken_cycle_a", "broken_hook": "no.such.hook",
    "broken_hooktwice": "on_done twice", "broken_handler": "no_such_handler", "broken_json": "", "broken_fields": "", "broken_name": "slug", "broken_file": "broken_file.so"}


def test_broken_plugins_never_stop_the_host(own):
    """Every one is reported with its reason, waits or fails alone, and the rest serves, also when all of them are switched on at the start."""
    server = own(plugins=[servers.plugin_folder(*REASONS, "broken_slow")])
    with server.admin() as admin:
        for slug in REASONS:
            answer = admin.post(f"/plugins/{slug}/enable")
            assert answer.status_code in (200, 409), f"{slug}: {answer.text}"
            check_broken(admin, slug)
        begin = time.monotonic()
        slow = threading.Thread(target=lambda: server.cli("plugin", "enable", "broken_slow"))
        slow.start()
        worst = 0
        while time.monotonic() - begin < 2:
            at = time.monotonic()
            admin.call("GET", "/hello")
            worst = max(worst, time.monotonic() - at)
        slow.join()
        assert worst < 0.5, "a plugin that takes its time to start holds up nobody"
        assert admin.call("GET", "/plugins/broken_slow").data["state"] == "active"
    server.restart()
    with server.admin() as admin:
        admin.call("GET", "/hello")
        for slug in REASONS:
            check_broken(admin, slug)


def check_broken(admin, slug):
    plugin = admin.call("GET", f"/plugins/{slug}").data
    assert plugin["state"] in ("failed", "waiting") and plugin["reason"], plugin
    assert REASONS[slug] in plugin["reason"], f"{slug}: {plugin['reason']}"
