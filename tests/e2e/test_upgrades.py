"""Plugins installed, upgraded and rolled back while the server works: nobody who asks notices, and what cannot serve never gets to."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import pytest

import client
import harness
import server as servers
from server import until

SOUND = b"behaviour=sound..............."
UPGRADES = int(os.environ.get("MORTISE_UPGRADES", 30))        # 500 for the long form
RELOADS = int(os.environ.get("MORTISE_RELOADS", max(3, UPGRADES // 100)))
SWITCHES = max(20, UPGRADES)
EVOLVING = servers.TEST_PLUGINS / "evolving"
SERVER = {"env": {"MORTISE_PLUGINS_UPGRADE_WATCH": "20s"}}


class Maker:
    """Versions of the plugin `evolving`, each a folder of its own: other bytes of the same length in its object, other members in its manifest."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def make(self, version, behaviour=None, manifest=(), files=()):
        dir = self.folder / f"{version}{behaviour or ''}"
        shutil.rmtree(dir, ignore_errors=True)
        dir.mkdir(parents=True)
        for part in ("plugin.json", "api.json", "queries.sql"):
            shutil.copy(EVOLVING / part, dir / part)
        shutil.copytree(EVOLVING / "sql", dir / "sql")
        made = json.loads((dir / "plugin.json").read_text()) | {"version": version} | dict(manifest)
        (dir / "plugin.json").write_text(json.dumps(made))
        code = (EVOLVING / "evolving.so").read_bytes()
        assert len(version) == len("1.0.00000") and code.count(b"1.0.00000\0") == 1 and code.count(SOUND) == 1
        code = code.replace(b"1.0.00000\0", version.encode() + b"\0")
        if behaviour:
            other = b"behaviour=" + behaviour.encode().ljust(20, b".")
            assert len(other) == len(SOUND)
            code = code.replace(SOUND, other)
        (dir / "evolving.so").write_bytes(code)
        for name, text in dict(files).items():
            (dir / name).write_text(text)
        return dir


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    return Maker(tmp_path_factory.mktemp("versions"))


@pytest.fixture(scope="module")
def asker(server):
    """A key of the platform, for requests of the plugin."""
    with server.admin() as api:
        yield api


def install(server, dir, *words, check=True):
    done = server.cli("plugin", "install", dir, *words, "--json", check=False)
    assert not check or done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def plugin(admin, slug="evolving"):
    return admin.call("GET", f"/plugins/{slug}").data


def version(admin):
    return admin.call("GET", "/evolving").data["version"]


class Load:
    """wrk on the plugin's own operation, for as long as the body runs; every answer has to be a 200."""

    def __init__(self, server, path="/evolving"):
        self.command = ["wrk", "-t1", "-c16", "-d600s", "--timeout", "20s", "-H", f"Authorization: Bearer {server.admin_key}", server.url + path]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *failure):
        self.process.send_signal(2)
        self.out, self.err = self.process.communicate(timeout=60)
        if not failure[0]:
            self.requests = int(re.search(r"(\d+) requests in", self.out)[1])
            assert "Socket errors" not in self.out and "Non-2xx" not in self.out, self.out
            assert self.requests > 100, self.out


def test_installed_upgraded_and_rolled_back(server, admin, maker):
    one, two = maker.make("1.0.00001"), maker.make("1.0.00002")
    admin.call("GET", "/evolving", 404)
    assert install(server, one, "--config", "greeting=Salve")["state"] == "active"
    assert admin.call("GET", "/evolving").data == {"version": "1.0.00001", "greeting": "Salve"}
    assert "/evolving" in admin.call("GET", "/openapi.json").data["paths"]
    assert install(server, two)["version"] == "1.0.00002"
    assert admin.call("GET", "/evolving").data == {"version": "1.0.00002", "greeting": "Salve", "handed": "1 1.0.00001"}, "and its state is handed over"
    assert json.loads(server.cli("plugin", "rollback", "evolving", "--json").stdout)["version"] == "1.0.00001"
    assert version(admin) == "1.0.00001"
    assert admin.call("POST", "/plugins/evolving/rollback").data["version"] == "1.0.00002"
    assert install(server, one)["version"] == "1.0.00001", "a downgrade is an install too"


def test_a_choice_of_version_survives_a_restart(server, admin, maker):
    install(server, maker.make("1.0.00001"))
    install(server, maker.make("1.0.00003"))
    server.restart()
    with server.admin() as again:
        assert version(again) == "1.0.00003"
        kept = sorted(path.name.split("-")[0] for path in (server.data / "plugins/store/evolving").iterdir() if not path.is_symlink())
        assert kept == ["1.0.00001", "1.0.00003"], "what no link leads to is gone"
        assert again.call("POST", "/plugins/evolving/rollback").data["version"] == "1.0.00001"
        assert version(again) == "1.0.00001"


def test_files_written_over_do_not_matter(server, admin, maker):
    """The folder that was installed from is truncated and written over in place while its code runs: what is mapped is a copy."""
    dir = maker.make("1.0.00004")
    install(server, dir)
    with Load(server):
        for n in range(5, 9):
            other = maker.make(f"1.0.{n:05}")
            with open(dir / "evolving.so", "r+b") as f:     # the same inode, first empty
                f.truncate(0)
                f.write((other / "evolving.so").read_bytes())
            (dir / "plugin.json").write_bytes((other / "plugin.json").read_bytes())
            assert install(server, dir)["version"] == f"1.0.{n:05}"
            assert version(admin) == f"1.0.{n:05}"
    mapped = [line.split()[-1] for line in pathlib.Path(f"/proc/{server.host_pid()}/maps").read_text().splitlines() if "evolving" in line]
    assert mapped and all(str(server.data / "plugins/objects") in path for path in mapped), mapped
    assert not any("deleted" in path for path in mapped)


def test_many_upgrades_under_load(server, admin, maker):
    install(server, maker.make("1.1.99999"))
    before = servers.rss_kib(server.host_pid())
    with Load(server) as load:
        for n in range(UPGRADES):
            install(server, maker.make(f"1.1.{n:05}"))
    after = servers.rss_kib(server.host_pid())
    reloads = len(server.events("reload.done"))
    print(f"{load.requests} requests during {UPGRADES} upgrades and {reloads} reloads, none failed; the host's memory went from {before} to {after} KiB")
    assert version(admin) == f"1.1.{UPGRADES - 1:05}"
    assert after - before < (64 << 10) + 64 * 1024, "64 retired versions, and 64 MiB of them, are the most that a host keeps"


def test_much_retired_code_brings_a_fresh_host(server, admin, maker):
    install(server, maker.make("1.1.90999"))
    pid = server.host_pid()
    with Load(server):
        for n in range(200):
            install(server, maker.make(f"1.1.{91000 + n}"))
            if server.events("plugin.reload_due"):
                break
        until("a fresh host serves", lambda: server.host_pid() not in (0, pid))
    with server.admin() as again:
        assert version(again) == f"1.1.{91000 + n}"


def switched(admin, verb):
    """Not while a fresh host takes over, which retired versions may bring about at any time."""
    answer = admin.post(f"/plugins/hello/{verb}")
    assert answer.status_code == 200 or answer.json()["code"] == "host_reloading", answer.text
    return answer.status_code == 200


def test_many_switches_under_load(server, admin, maker):
    install(server, maker.make("1.1.99998"))
    with Load(server):
        for _ in range(SWITCHES):
            for verb in ("disable", "enable"):
                until(f"it is switched ({verb})", lambda verb=verb: switched(admin, verb))
    assert admin.get("/hello").status_code == 200


# --- a fresh host ---

def test_reloads_under_load(server, admin, maker):
    """New connections go to the fresh host; what the one before has begun it ends."""
    install(server, maker.make("1.1.90000"))
    seen = []

    def read():
        with client.Client(server.url, server.admin_key) as api, api.stream("GET", "/evolving/stream", params={"ticks": 200}) as answer:
            seen.extend(json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))

    reader = threading.Thread(target=read)
    reader.start()
    until("the stream runs", lambda: len(seen) > 1)
    before = server.database().count("evolving.item", "title = 'reload'")
    with Load(server) as load:
        for _ in range(RELOADS):
            pid = server.host_pid()
            for _ in range(5):
                admin.call("POST", "/evolving/jobs", 202, json={"title": "reload"})
            server.cli("reload")
            assert server.host_pid() != pid
    print(f"{load.requests} requests during {RELOADS} reloads")
    reader.join(60)
    assert len(seen) == 200, "a stream is not cut"
    until("every job has written its item", lambda: server.database().count("evolving.item", "title = 'reload'") - before >= 5 * RELOADS)
    until("the hosts before are gone", lambda: len((server.data / "host.pid").read_text().splitlines()) == 1)
    assert not server.events("host.killed") and not server.events("host.died")
    with server.admin() as again:
        assert version(again) == "1.1.90000"


def test_reloads_under_load_of_a_plugin_in_a_worker(request, maker):
    """Each host has a worker of its own: the one before ends with its host, and no sooner."""
    args = ["--plugins.isolated", "evolving"]
    for server in harness.run_server(request, args=args):
        install(server, maker.make("1.1.90000"))
        assert install(server, maker.make("1.1.90001"))["isolation"] == "process"
        with server.admin() as admin:
            worker = plugin(admin)["worker"]["pid"]
            assert admin.call("GET", "/evolving").data["handed"] == "1 1.1.90000", "state crosses from a worker to the next"
        with Load(server) as load:
            for _ in range(RELOADS):
                pid = server.host_pid()
                server.cli("reload")
                assert server.host_pid() != pid
        print(f"{load.requests} requests during {RELOADS} reloads")
        until("the hosts before are gone", lambda: len((server.data / "host.pid").read_text().splitlines()) == 1)
        until("and their workers", lambda: not servers.alive(worker))
        assert not server.events("host.killed") and not server.events("host.died") and not server.events("worker.killed")


def processes(server, slug="evolving"):
    """The pids of the plugin's workers: children of the host, or engines, which are the supervisor's."""
    found = set()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):       # it ended meanwhile
            words, parent = (folder / "cmdline").read_bytes().split(b"\0"), int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if words[1:3] == [b"worker", slug.encode()] and parent in (server.host_pid(), server.process.pid):
                found.add(int(folder.name))
    return found


def test_no_worker_outlives_its_version(request, maker):
    """What was refused, in its load or in its activate, and what was uninstalled leave no process behind."""
    args = ["--plugins.isolated", "evolving"]
    for server in harness.run_server(request, args=args):
        for n, engine in enumerate([False, True]):
            def make(minor, behaviour=None, files=()):
                return maker.make(f"1.{n}.0000{minor}", behaviour, {"engine": engine}, files)
            pid = install(server, make(0))["worker"]["pid"]
            bad_contract = BROKEN["names a handler that it lacks"]["files"]
            for refused in (make(1, "fail_on_activate"), make(2, "fail_on_take"), make(3, files=bad_contract)):
                assert isinstance(install(server, refused, check=False), str)
            until("only the one that serves is left", lambda: processes(server) == {pid}, patience=10)
            server.cli("plugin", "uninstall", "evolving")
            until("none is left", lambda: not processes(server), patience=10)


def test_an_engine_is_configured_anew_when_nobody_is_inside(request, maker):
    """The fresh host has another configuration than the one whose stream is still inside: the stream ends first."""
    for server in harness.run_server(request):
        pid = install(server, maker.make("1.2.00000", manifest={"engine": True}))["worker"]["pid"]
        with server.admin() as admin:
            admin.call("PUT", "/plugins/evolving/config", json={"greeting": "Ahoy"})
            seen = []

            def read():
                with client.Client(server.url, server.admin_key) as api, api.stream("GET", "/evolving/stream", params={"ticks": 150}) as answer:
                    seen.extend(line for line in answer.iter_lines() if line.startswith("data: "))
            reader = threading.Thread(target=read)
            reader.start()
            until("the stream has begun", lambda: seen)
            server.cli("reload")
            reader.join(60)
            assert len(seen) == 150
            assert admin.call("GET", "/evolving").data["greeting"] == "Ahoy" and plugin(admin)["worker"]["pid"] == pid
        assert server.events("evolving.deactivated", streams=0) and not server.events("evolving.deactivated", streams=1)


# --- out of the host, and into it ---

def moved(server, verb, slug="evolving"):
    return json.loads(server.cli("plugin", verb, slug, "--json").stdout)


def test_moved_into_a_process_and_back_under_load(server, admin, maker):
    """The same version takes its own place, with its state and without a request that fails; the choice outlives a fresh host."""
    install(server, maker.make("1.3.00000"))
    with Load(server) as load:
        for _ in range(5):
            told = moved(server, "isolate")
            assert (told["state"], told["isolation"], told["version"]) == ("active", "process", "1.3.00000")
            assert admin.call("GET", "/evolving").data["handed"] == "1 1.3.00000"
            assert moved(server, "trust")["isolation"] == "none"
            assert admin.call("GET", "/evolving").data["handed"] == "1 1.3.00000"
    print(f"{load.requests} requests during 10 moves")
    pid = moved(server, "isolate")["worker"]["pid"]
    assert moved(server, "isolate")["worker"]["pid"] == pid, "it is there already"
    assert install(server, maker.make("1.3.00001"))["isolation"] == "process"
    server.cli("reload")
    with server.admin() as again:
        assert plugin(again)["isolation"] == "process" and version(again) == "1.3.00001"
    objects = server.data / "plugins/objects"
    assert {path.name.split(".", 3)[3] for path in objects.glob("evolving-1.3.00001-*")} == {"unseen.so"}
    assert moved(server, "trust")["isolation"] == "none"
    assert len(list(objects.glob("evolving-1.3.00001-*"))) == 2, "what comes into the host is a copy that the scanner has seen"
    with server.admin() as again:
        assert again.call("GET", "/evolving").data["handed"] == "1 1.3.00001"
        assert again.call("POST", "/plugins/evolving/rollback").data["version"] == "1.3.00000", "a move is no version to go back to"


def test_what_cannot_be_moved_stays(server, admin, maker):
    for slug, code in (("tenancy", "not_isolable"), ("index_local", "not_isolable"), ("index_faiss", "plugin_not_active")):
        before = plugin(admin, slug)
        assert admin.call("POST", f"/plugins/{slug}/isolate", status=409).data["code"] == code
        assert server.cli("plugin", "isolate", slug, check=False).returncode == 1
        after = plugin(admin, slug)
        assert (after["state"], after["isolation"]) == (before["state"], "none")
    server.cli("reload")
    with server.admin() as again:
        assert plugin(again, "index_local")["isolation"] == "none", "what failed is not kept"
    assert admin.post("/plugins/nobody/isolate").status_code == 404


def test_a_reload_takes_a_new_configuration(server, maker):
    conf = server.data / "mortise.conf"
    with server.admin() as api:
        api.call("POST", "/evolving/jobs", 422, json={"title": "x" * 5000})
    conf.write_text("http.body_limit = 2KiB\n")
    server.cli("reload")
    with server.admin() as api:
        api.call("POST", "/evolving/jobs", 413, json={"title": "x" * 5000})
    conf.write_text("http.body_limit = nonsense\n")
    pid = server.host_pid()
    (conf.parent / "aside.conf").write_text("")
    failed = server.cli("reload", "--config", conf.parent / "aside.conf", check=False)
    assert failed.returncode == 1 and "serves on" in failed.stderr, failed.stderr
    assert server.host_pid() == pid
    conf.unlink()
    server.cli("reload")
    with server.admin() as api:
        api.call("POST", "/evolving/jobs", 422, json={"title": "x" * 5000})


def test_streams_and_jobs_of_the_version_before_end_there(server, admin, maker):
    install(server, maker.make("1.2.00000"))
    seen = []

    def read():
        with client.Client(server.url, server.admin_key) as api, api.stream("GET", "/evolving/stream", params={"ticks": 100}) as answer:
            seen.extend(json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))

    reader = threading.Thread(target=read)
    reader.start()
    until("the stream runs", lambda: len(seen) > 1)
    before = server.database().count("evolving.item", "title = 'job'")
    for n in range(1, 6):
        for _ in range(10):
            admin.call("POST", "/evolving/jobs", 202, json={"title": "job"})
        install(server, maker.make(f"1.2.{n:05}"))
    reader.join(30)
    assert len(seen) == 100 and {tick["version"] for tick in seen} == {"1.2.00000"}
    until("every job has written its item", lambda: server.database().count("evolving.item", "title = 'job'") - before >= 50)
    assert version(admin) == "1.2.00005"


BROKEN = {
    "crashes when it is opened": dict(behaviour="abort_on_open", why="SIGABRT"),
    "refuses to be loaded": dict(behaviour="fail_on_load", why="load() failed"),
    "cannot take over the state": dict(behaviour="fail_on_take", why="cannot read that"),
    "refuses to become active": dict(behaviour="fail_on_activate", why="does not want to"),
    "lacks what it depends on": dict(manifest={"dependencies": {"teleport": "^1"}}, why="teleport ^1, which is not installed"),
    "depends on a version that is not there": dict(manifest={"dependencies": {"hello": "^7"}}, why="hello ^7, installed is 0.1.0"),
    "requires a service that nobody knows": dict(manifest={"requires": ["teleport/1"]}, why="teleport/1"),
    "depends on itself": dict(manifest={"dependencies": {"evolving": "*"}}, why="evolving, evolving"),
    "is for a later platform": dict(manifest={"min_platform_version": "99.0.0"}, why="99.0.0"),
    "is for another ABI": dict(manifest={"abi": 9}, why="ABI"),
    "has a query that the schema does not": dict(files={"queries.sql": "-- name: evolving_items :many cursor=id\nSELECT id, title, colour FROM evolving.item WHERE id < :cursor "
                                                 "ORDER BY id DESC LIMIT :limit;\n-- name: evolving_add :one\nINSERT INTO evolving.item (id, title) VALUES (:new_id, :title) RETURNING id, title;\n"},
                                                why='queries.sql:2:19: query evolving_items: the database refuses it: column "colour" does not exist'),
    "breaks the queries of the version that serves": dict(files={"sql/002_rename.sql": "ALTER TABLE evolving.item RENAME COLUMN title TO name;\n"}, why="migration"),
    "has a migration that fails": dict(files={"sql/002_bad.sql": "CREATE INDEX item_colour ON evolving.item (colour);\n"}, why="colour"),
    "takes another's path": dict(files={"api.json": '{"paths": {"/hello": {"get": {"operationId": "evolving.hello", "summary": "x", "x-permission": "evolving.use", "x-handler": "on_version", "x-returns": "V"}}}, '
                                        '"schemas": {"V": {"type": "object"}}}'}, why="/hello"),
    "names a handler that it lacks": dict(files={"api.json": '{"paths": {"/evolving": {"get": {"operationId": "evolving.x", "summary": "x", "x-permission": "evolving.use", "x-handler": "on_nothing"}}}}'}, why="on_nothing"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_version_that_cannot_serve_changes_nothing(server, admin, maker, how):
    install(server, maker.make("1.3.00000"))
    before = plugin(admin)
    options = dict(BROKEN[how])
    why = options.pop("why")
    refusal = install(server, maker.make("1.3.00001", **options), check=False)
    assert isinstance(refusal, str) and why in refusal, refusal
    assert plugin(admin) == before and version(admin) == "1.3.00000"
    assert admin.call("POST", "/evolving/items", 201, json={"title": "still there"}).data["title"] == "still there"


def test_what_is_needed_is_not_taken_away(server, admin, maker):
    install(server, maker.make("1.4.00000"))
    dependent = maker.make("1.4.00001", manifest={"slug": "evolving"})
    guest = maker.folder / "guest"
    shutil.rmtree(guest, ignore_errors=True)
    guest.mkdir()
    manifest = {"slug": "guest", "version": "1.0.0", "abi": 1, "description": "d", "license": "MIT", "dependencies": {"evolving": "~1.4"}}
    (guest / "plugin.json").write_text(json.dumps(manifest))
    assert install(server, guest)["state"] == "active"
    assert install(server, dependent)["version"] == "1.4.00001"
    refusal = install(server, maker.make("2.0.00000"), check=False)
    assert "guest 1.0.0 needs evolving ~1.4: upgrade it first" in refusal
    refusal = server.cli("plugin", "uninstall", "evolving", check=False)
    assert refusal.returncode == 1 and "guest 1.0.0 needs evolving" in refusal.stderr
    refusal = server.cli("plugin", "disable", "evolving", check=False)
    assert refusal.returncode == 1 and "guest" in refusal.stderr
    server.cli("plugin", "uninstall", "guest")
    admin.call("GET", "/plugins/guest", 404)


def test_check_tells_and_changes_nothing(server, admin, maker):
    install(server, maker.make("1.5.00000"))
    before = plugin(admin)
    dir = maker.make("2.0.00000", files={"sql/002_colour.sql": "ALTER TABLE evolving.item ADD COLUMN colour text;\n"})
    plan = json.loads(server.cli("plugin", "check", dir, "--json").stdout)
    assert (plan["action"], plan["from"], plan["version"], plan["problems"]) == ("upgrade", "1.5.00000", "2.0.00000", [])
    assert plan["migrations"] == ["002_colour.sql"] and "evolving.stream" in plan["operations"] and "db" in plan["permissions"]
    bad = maker.make("1.4.00000", "abort_on_open", manifest={"dependencies": {"teleport": "^1", "hello": "^7"}})
    told = server.cli("plugin", "check", bad, "--json", check=False)
    plan = json.loads(told.stdout)
    assert told.returncode == 1 and plan["action"] == "downgrade"
    assert {"scan_failed", "dependency_missing", "dependency_version"} == {p["code"] for p in plan["problems"]}
    assert plugin(admin) == before and version(admin) == "1.5.00000"


def test_a_version_that_fails_too_often_is_rolled_back(server, admin, maker):
    install(server, maker.make("1.6.00000"))
    install(server, maker.make("1.6.00001", "fail_on_request"))

    def back():
        return admin.get("/evolving").status_code == 200 and plugin(admin)["version"] == "1.6.00000"

    until("the version before is back", back, 30, 0.005)
    told = plugin(admin)
    assert "1.6.00001 was rolled back" in told["reason"] and told["state"] == "active"
    assert server.events("plugin.over_budget", version="1.6.00001")


def test_a_migration_that_expands_runs_under_the_version_before(server, admin, maker):
    install(server, maker.make("1.7.00000"))
    admin.call("POST", "/evolving/items", 201, json={"title": "before"})
    queries = (EVOLVING / "queries.sql").read_text().replace("SELECT id, title FROM", "SELECT id, title, coalesce(shade, 'none') AS shade FROM")
    api = json.loads((EVOLVING / "api.json").read_text())
    api["schemas"]["EvolvingItem"]["properties"]["shade"] = {"type": "string"}
    install(server, maker.make("1.8.00000", files={"sql/002_shade.sql": "ALTER TABLE evolving.item ADD COLUMN shade text;\n", "queries.sql": queries, "api.json": json.dumps(api)}))
    assert all(item["shade"] == "none" for item in admin.call("GET", "/evolving/items").data["items"])
    assert admin.call("POST", "/plugins/evolving/rollback").data["version"] == "1.7.00000"
    assert all("shade" not in item for item in admin.call("GET", "/evolving/items").data["items"])


def test_a_package_over_the_network_needs_the_option(server, admin, maker):
    server.cli("plugin", "pack", maker.make("1.9.00000"), "--out", maker.folder / "e.mortise")
    package = (maker.folder / "e.mortise").read_bytes()
    refused = admin.call("POST", "/plugins/install", 403, files=[("file", ("e.mortise", package))]).data
    assert refused["code"] == "unsigned_package"
    admin.call("POST", "/plugins/check", 403, files=[("file", ("e.mortise", package))])
    server.cli("plugin", "install", maker.folder / "e.mortise")
    again = maker.folder / "f.mortise"
    server.cli("plugin", "pack", maker.folder / "1.9.00000", "--out", again)
    assert again.read_bytes() == package, "the same files make the same bytes"


def test_uninstalled_with_and_without_its_tables(server, admin, maker):
    dir = maker.make("1.9.00001")
    install(server, dir)
    admin.call("POST", "/evolving/items", 201, json={"title": "kept"})
    server.cli("plugin", "uninstall", "evolving")
    admin.call("GET", "/evolving", 404)
    install(server, dir)
    assert "kept" in {item["title"] for item in admin.call("GET", "/evolving/items", params={"limit": 200}).data["items"]}
    server.cli("plugin", "uninstall", "evolving", "--purge")
    assert server.database().value("SELECT to_regnamespace('evolving') IS NULL") in (True, "t")
    install(server, dir)
    assert admin.call("GET", "/evolving/items").data["items"] == []
    refused = server.cli("plugin", "uninstall", "hello", check=False)
    assert refused.returncode == 1 and "never installed" in refused.stderr
