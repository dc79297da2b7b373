"""Bad plugins: each ends as its test says, the crash is its own, the host serves on; quarantine, release and safe mode.

MORTISE_FAULTS=100 lets a hundred faults happen instead of each kind once."""
import itertools
import json
import os
import re
import threading
import time

import pytest

import client
import server as servers
from harness import FAILED
from server import alive, until

PATIENCE = 5.0                               # on a machine that does much else; `mortise bench crash` measures
OFTEN = {"MORTISE_QUARANTINE_CRASHES": "1000000"}


@pytest.fixture()
def own(request):
    made = []

    def start(**options):
        made.append(servers.Server(name=request.node.name.replace("[", "-").strip("]"), **options))
        return made[-1].start()
    yield start
    for one in made:
        one.dispose(failed=request.node.name in FAILED or one.process is None)


@pytest.fixture(scope="module")
def faulty(request):
    made = servers.Server(name="test_faults", plugins=[servers.plugin_folder("faulty")], enable=["faulty"],
                          env={**OFTEN, "MORTISE_WATCHDOG_HANG": "400ms"}).start()
    made.tenant = client.Tenant(made, "faults")
    yield made
    made.dispose(failed=request.module.__name__ in FAILED)


@pytest.fixture(scope="module")
def broken(request):
    """Several that are broken, none of them on; what a test switches on it leaves off."""
    slugs = ("broken_twice", "broken_nosy", "broken_forever", "broken_crashload", "broken_crashactivate", "broken_exitload")
    made = servers.Server(name="test_broken", plugins=[servers.plugin_folder(*slugs)], env={"MORTISE_WATCHDOG_HANG": "400ms"}).start()
    yield made
    made.dispose(failed=request.module.__name__ in FAILED)


def plugin(server, slug="faulty"):
    with server.admin() as admin:
        return admin.call("GET", f"/plugins/{slug}").data


def serves(server, key):
    """A whole request: authenticated, with a row."""
    return answers(server, key, "GET", "/hello")


def answers(server, key, method, path):
    return answers_with(server, key, path, 200, method)


def answers_with(server, key, path, status, method="GET", code=None):
    try:
        with client.Client(server.url, key, timeout=5) as api:
            answer = api.request(method, path)
            return answer.status_code == status and (not code or answer.json()["code"] == code)
    except client.TransportError:
        return False


def up(server, key=None):
    until("it serves", lambda: serves(server, key or server.admin_key), 30, 0.01)


def up_with_faulty(server, key=None):
    until("the plugin serves", lambda: answers(server, key or server.admin_key, "POST", "/faulty/calm"), 30, 0.01)


def fault(server, how, key=None):
    """Does it, waits until a host has died of it and the next serves; answers the two log lines and how long nobody was served."""
    up_with_faulty(server, key)
    deaths, crashes, host = len(server.events("host.died")), len(server.events("plugin.crashed")), server.host_pid()
    with client.Client(server.url, key or server.admin_key, timeout=10) as api:
        try:
            api.post(f"/faulty/{how}")
        except client.TransportError:
            pass
    died = until(f"{how} is told", lambda: server.events("host.died")[deaths:], 15)[0]
    begin = time.monotonic()
    until("another host serves", lambda: server.host_pid() not in (0, host) and serves(server, key or server.admin_key), 30, 0.005)
    return died, server.events("plugin.crashed")[crashes], time.monotonic() - begin


# --- faults: whose they are ---

WAYS = {"handler": "SIGSEGV", "suspend": "SIGSEGV", "pool": "SIGSEGV", "afterpool": "SIGSEGV", "jump": "SIGSEGV", "arithmetic": "SIGFPE", "trap": "SIGILL", "abort": "SIGABRT",
        "recursion": "SIGSEGV", "heap": "SIGABRT", "exit": "exit-3", "leave": "exit-3", "hook": "SIGSEGV", "done": "SIGSEGV", "job": "SIGSEGV", "block": "SIGABRT", "turn": "SIGABRT"}
FAULTS = int(os.environ.get("MORTISE_FAULTS", len(WAYS)))
gaps = []


@pytest.mark.parametrize("n, how", [(n, how) for n, how in zip(range(FAULTS), itertools.cycle(WAYS))])
def test_a_fault_is_its_plugins(faulty, n, how):
    died, crashed, gap = fault(faulty, how, faulty.tenant.key)
    gaps.append(gap)
    assert f"how={WAYS[how]}" in died and "plugin=faulty" in died, died
    assert "plugin=faulty" in crashed and "version=0.1.0" in crashed, crashed
    if how != "leave":                       # _exit() leaves no moment to say for whom
        operation = {"job": "faulty.work", "hook": "faulty.hook", "done": "faulty.done"}.get(how, "faulty.fault")
        assert f"organization={faulty.tenant.org}" in crashed and f"operation={operation}" in crashed, crashed


def test_it_was_never_away_for_long(faulty):
    if not gaps:
        pytest.skip("no fault ran before")
    ordered = sorted(gaps)
    print(f"{len(gaps)} faults; serving again after {ordered[len(gaps) // 2] * 1000:.0f} ms (median), {ordered[-1] * 1000:.0f} ms at most")
    assert ordered[len(gaps) // 2] < PATIENCE, gaps


def test_connections_wait_while_the_host_is_away(faulty):
    """The sockets are the supervisor's: who connects meanwhile is served late, not refused. One that was open is reset."""
    up_with_faulty(faulty)
    host, answers = faulty.host_pid(), []

    def connect():
        with client.Client(faulty.url, timeout=20) as api:
            answers.append(api.get("/health").status_code)
    with client.Client(faulty.url, faulty.tenant.key, timeout=20) as open_one:
        assert open_one.get("/hello").status_code == 200
        with client.Client(faulty.url, faulty.tenant.key, timeout=10) as api, pytest.raises(client.TransportError):
            api.post("/faulty/abort")
        threads = [threading.Thread(target=connect) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert answers == [200] * 20 and faulty.host_pid() != host


# --- what is no crash ---

def test_a_slow_filter_is_bypassed(faulty):
    up_with_faulty(faulty)
    with faulty.admin() as admin:
        until("it is bypassed and told", lambda: admin.call("POST", "/faulty/slow").data == {"calm": True} and faulty.events("hook.bypassed"), 20)
        doctor = admin.call("GET", "/plugins/faulty/status").data["checks"]
        assert any(check["status"] == "error" and "bypassed" in check["detail"] for check in doctor), doctor


def test_a_patch_that_breaks_the_schema(faulty):
    """The patch is refused, told in the trace and counted; the answer is what it was."""
    up_with_faulty(faulty)
    with faulty.admin() as admin:
        before = errors_of(admin, "faulty", "hook")
        answer = admin.request("POST", "/faulty/patch", headers={"mortise-trace": "1"})
        assert answer.status_code == 200 and answer.json() == {"calm": True}
        trace = admin.call("GET", f"/traces/{answer.headers['mortise-trace-id']}").data
        span = next(s for s in trace["spans"] if s["owner"] == "faulty.on_patch")
        assert span["outcome"] == "error" and span["patches"][1]["pointer"] == "/body/calm", span
        assert span["patches"][0]["refused"] == "patch_breaks_schema" and "/body/calm" in span["patches"][0]["detail"]
        assert errors_of(admin, "faulty", "hook") == before + 1
        assert "not applied (/body/calm" in faulty.cli("trace", answer.headers["mortise-trace-id"]).stdout


def errors_of(admin, slug, kind):
    found = re.search(rf'^mortise_plugin_errors_total{{plugin="{slug}",kind="{kind}"}} (\S+)$', admin.get("/metrics").text, re.M)
    return float(found[1]) if found else 0


@pytest.mark.parametrize("how", ["fork", "child", "socket", "leak"])
def test_the_host_bears_it(faulty, how):
    """A child process and its crash, a socket, a leak: no death, nobody blamed, and nothing is left when the host ends."""
    up_with_faulty(faulty)
    host, deaths = faulty.host_pid(), len(faulty.events("host.died"))
    with faulty.admin() as admin:
        for _ in range(3):
            assert admin.call("POST", f"/faulty/{how}").data == {"calm": True}
        children = [pid for pid in children_of(host) if alive(pid)]
        assert faulty.host_pid() == host and serves(faulty, faulty.admin_key)
    assert how != "fork" or len(children) >= 3
    if how == "fork":
        fault(faulty, "abort")
        until("its children went with it", lambda: not any(alive(pid) for pid in children), 10)
        deaths += 1
    assert len(faulty.events("host.died")) == deaths


def children_of(pid):
    found = []
    for stat in servers.pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(words[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def test_another_plugins_path_is_refused(broken):
    server = broken
    with server.admin() as admin:
        admin.call("POST", "/plugins/broken_twice/enable", 409)
        assert plugin(server, "broken_twice")["state"] == "failed"
        assert admin.call("GET", "/hello").data["message"]
        admin.call("POST", "/plugins/broken_twice/disable")


def test_what_is_tried_first_writes_nothing(broken):
    """In the process that loads it for the first time it can make no file and no folder: else its load() fails."""
    with broken.admin() as admin:
        assert admin.call("POST", "/plugins/broken_nosy/enable").data["state"] == "active"
        admin.call("POST", "/plugins/broken_nosy/disable")


def test_a_deactivate_without_an_end(broken):
    server = broken
    up(server)
    host = server.host_pid()
    with server.admin() as admin:
        admin.call("POST", "/plugins/broken_forever/enable")
        with pytest.raises(client.TransportError):
            admin.post("/plugins/broken_forever/disable")
    until("the hang is told", lambda: server.events("loop.hang", plugin="broken_forever") and server.events("plugin.crashed", plugin="broken_forever"), 10)
    until("another host serves", lambda: server.host_pid() not in (0, host) and serves(server, server.admin_key), 20)
    assert plugin(server, "broken_forever")["state"] == "inactive"


# --- quarantine ---

def quarantined(server):
    return json.loads((server.data / "quarantine.json").read_text())["quarantined"]


def test_one_organization_first(own):
    server = own(plugins=[servers.plugin_folder("faulty")], enable=["faulty"])
    one, other = client.Tenant(server, "one"), client.Tenant(server, "other")
    for _ in range(3):
        fault(server, "suspend", one.key)
    assert server.events("plugin.quarantined", plugin="faulty", organization=one.org)
    assert [(entry["plugin"], entry["version"], entry["organization_id"]) for entry in quarantined(server)] == [("faulty", "0.1.0", one.org)]
    until("it is active for the others", lambda: plugin(server)["state"] == "active")
    assert one.api.call("POST", "/faulty/calm", 503).data["code"] == "plugin_quarantined"
    assert one.api.call("POST", "/faulty/hook", 503).data["code"] == "plugin_quarantined"
    one.api.call("GET", "/hello")            # where its hooks stand too
    other.api.call("POST", "/faulty/calm")
    assert plugin(server)["quarantined_for"] == [one.org]
    assert one.org in server.cli("plugin", "info", "faulty").stdout
    doctor = server.cli("plugin", "doctor", "faulty", check=False)
    assert doctor.returncode == 1 and "quarantine" in doctor.stdout
    server.restart()
    one.api.call("POST", "/faulty/calm", 503)
    server.cli("plugin", "release", "faulty")
    one.api.call("POST", "/faulty/calm")
    assert plugin(server)["quarantined_for"] == [] and quarantined(server) == []


def test_the_operator_is_not_locked_out(own):
    """A guard in quarantine for the operator's own organization refuses that organization's work, and never the release."""
    server = own(plugins=[servers.plugin_folder("crasher")], enable=["crasher"])
    for _ in range(3):
        up(server)
        until("it is active", lambda: plugin(server, "crasher")["state"] == "active")
        host = server.host_pid()
        with server.admin() as admin, pytest.raises(client.TransportError):
            admin.post("/crasher/null")
        until("another host is there", lambda: server.host_pid() not in (0, host))
    until("its guard refuses", lambda: answers_with(server, server.admin_key, "/hello", 503, code="plugin_quarantined"), 30, 0.05)
    assert [entry["plugin"] for entry in quarantined(server)] == ["crasher"]
    assert "crasher" in server.cli("plugin", "list").stdout
    assert "is active" in server.cli("plugin", "release", "crasher").stdout
    with server.admin() as admin:
        admin.call("GET", "/hello")


def test_everybody_when_several_met_it(own):
    server = own(plugins=[servers.plugin_folder("faulty")], enable=["faulty"])
    tenants = [client.Tenant(server, "one"), client.Tenant(server, "other")]
    for n in range(3):
        fault(server, "handler", tenants[n % 2].key)
    assert server.events("plugin.quarantined", plugin="faulty", organization="all")
    until("it is in quarantine", lambda: plugin(server)["state"] == "quarantined")
    assert "3 times" in plugin(server)["reason"]
    with server.admin() as admin:
        answer = admin.call("POST", "/faulty/calm", 503).data
        assert answer["code"] == "plugin_quarantined" and "3 times" in answer["detail"]
        assert admin.call("POST", "/plugins/faulty/enable", 409).data["code"] == "plugin_quarantined"
        health = admin.call("GET", "/health").data
        assert health["status"] == "degraded" and "faulty" in health["reason"]
        admin.call("GET", "/health/ready")
        assert admin.call("POST", "/plugins/hello/release").data["state"] == "active"
        admin.call("POST", "/plugins/nothing/release", 404)
    with client.Client(server.url, tenants[0].key) as api:
        api.call("POST", "/plugins/faulty/release", 403)
    assert "quarantined" in server.cli("plugin", "list").stdout
    assert "is active" in server.cli("plugin", "release", "faulty").stdout
    tenants[0].api.call("POST", "/faulty/calm")
    fault(server, "handler", tenants[0].key)  # its crashes were forgotten: one more is the first
    until("it is active again", lambda: plugin(server)["state"] == "active")


@pytest.mark.parametrize("slug, how", [("broken_crashload", "SIGSEGV"), ("broken_crashactivate", "SIGSEGV"), ("broken_exitload", "exit-1")])
def test_one_that_crashes_while_it_starts(broken, slug, how):
    """Every host would die of it: the fourth starts without."""
    server = broken
    up(server)
    deaths = len(server.events("host.died"))
    with server.admin() as admin, pytest.raises(client.TransportError):
        admin.post(f"/plugins/{slug}/enable")
    until("it is in quarantine", lambda: server.events("plugin.quarantined", plugin=slug, organization="all"), 30)
    up(server)
    until("the host knows", lambda: plugin(server, slug)["state"] == "quarantined")
    assert len(server.events("host.died", plugin=slug, how=how)) == len(server.events("host.died")) - deaths == 3
    with server.admin() as admin:
        admin.call("POST", f"/plugins/{slug}/disable")
        assert plugin(server, slug)["state"] == "inactive"


def test_a_kill_from_outside_is_nobodys(broken):
    server = broken
    up(server)
    crashes, entries = len(server.events("plugin.crashed")), len(server.events("plugin.quarantined"))
    for _ in range(4):
        before = server.kill_host()
        until("it serves again", lambda: server.host_pid() not in (0, before) and serves(server, server.admin_key), 20)
    assert len(server.events("plugin.crashed")) == crashes and len(server.events("plugin.quarantined")) == entries


# --- safe mode ---

def test_safe_mode(own):
    server = own(plugins=[servers.plugin_folder("faulty")], enable=["faulty"])
    server.stop()
    server.enable.clear()
    server.args.append("--safe-mode")
    server.start()
    assert server.events("host.safe_mode")
    with server.admin() as admin:
        assert admin.call("GET", "/health").data["safe_mode"] is True
        states = {p["slug"]: p["state"] for p in admin.call("GET", "/plugins").data["items"]}
        assert states.pop("tenancy") == "active" and set(states.values()) == {"inactive"}, states
        assert "safe mode" in plugin(server)["reason"]
        admin.call("POST", "/faulty/calm", 404)
        refused = server.cli("plugin", "install", servers.BUILD / "test-plugins" / "hooked", check=False)
        assert refused.returncode == 1 and "safe mode" in refused.stdout + refused.stderr
        admin.call("GET", "/plugins/hooked", 404)
        admin.call("POST", "/plugins/faulty/disable")
    server.args.remove("--safe-mode")
    server.restart()
    with server.admin() as admin:
        assert admin.call("GET", "/health").data["safe_mode"] is False
        assert admin.call("GET", "/hello").data["message"]
        assert plugin(server)["state"] == "inactive"
