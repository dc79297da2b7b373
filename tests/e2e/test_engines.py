"""Engine workers: a model is loaded once, whatever becomes of the host; what becomes of a model's process is nobody else's matter."""
import atexit
import json
import os
import pathlib
import re
import shutil
import signal
import tempfile
import threading

import httpx
import pytest

import client
import server as servers
import test_worker
from server import until

CHAT, VECTORS = "llm_llamacpp", "embedder_onnx"
MODEL = "smollm2-135m-instruct-q4_1"


def hostile():
    """A folder with the hostile plugin, which says that it runs models."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mortise-hostile-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(servers.TEST_PLUGINS / "escape", folder / "escape")
    manifest = folder / "escape" / "plugin.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"engine": True}))
    return folder


SERVER = {"plugins": [hostile()], "enable": ["escape"], "env": {"MORTISE_PLUGINS_UPGRADE_WATCH": "0ms"}}


@pytest.fixture(scope="module")
def api(tenant):
    return tenant.api


def worker(admin, slug):
    told = admin.call("GET", f"/plugins/{slug}").data
    assert told["state"] == "active" and told["isolation"] == "engine", told
    return told["worker"]


def running(admin, slug, not_pid=0):
    """Its worker, once it runs (again)."""
    def look():
        told = worker(admin, slug)
        return told if told["state"] == "running" and told["pid"] not in (0, not_pid) else None
    return until(f"{slug} runs", look)


def question(text="Say hello.", **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 16, **more}


def ask(api):
    return api.call("POST", "/chat/completions", json=question()).data["choices"][0]["message"]["content"]


def embed(api, text="a word"):
    return api.call("POST", "/embed", json={"texts": [text]}).data["vectors"][0]


def resident(*pids):
    return sum(servers.rss_kib(pid) for pid in pids)


def loads(server):
    """How often each model was loaded."""
    names = [re.search(r" model=(\S+)", line)[1] for line in server.events("model.loaded")]
    return {name: names.count(name) for name in names}


def engines(server):
    """The engines among the supervisor's children."""
    children = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return {int(pid) for pid in children if b"\0engine\0" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_a_model_is_loaded_once(server, admin, api):
    """Five reloads and a death of the host: the same processes, the same memory, no model loaded again."""
    said, vector = ask(api), embed(api)
    before = {slug: worker(admin, slug)["pid"] for slug in (CHAT, VECTORS)}
    once, host = loads(server), resident(server.host_pid())
    memory = resident(*before.values())
    assert set(once.values()) == {1} and len(once) == 2, once
    for _ in range(5):
        server.cli("reload")
        with server.admin() as again:
            assert {slug: worker(again, slug)["pid"] for slug in before} == before
            assert (ask(api), embed(api)) == (said, vector)
    until("the hosts before are gone", lambda: len((server.data / "host.pid").read_text().splitlines()) == 1)
    os.kill(server.host_pid(), signal.SIGKILL)
    until("the next host answers", lambda: answers(api))
    with server.admin() as again:
        assert {slug: worker(again, slug)["pid"] for slug in before} == before
        until("it is told", lambda: worker(again, VECTORS)["activations"] == 1)
        text = again.get("/metrics").text
    assert (ask(api), embed(api)) == (said, vector)
    after, host_after = resident(*before.values()), resident(server.host_pid())
    print(f"host {host} then {host_after} KiB, engines {memory} then {after} KiB after five reloads and a death of the host")
    assert loads(server) == once
    assert after < memory * 1.1 and host_after < 100 << 10
    assert f'mortise_worker_activations{{plugin="{VECTORS}"}} 1' in text
    assert int(re.search(rf'mortise_worker_resident_bytes{{plugin="{CHAT}",isolation="engine"}} (\d+)', text)[1]) > 1 << 20
    assert engines(server) >= set(before.values()) and len(engines(server)) == 3


def answers(api):
    try:
        return api.get("/hello").status_code == 200
    except client.TransportError:
        return False


def test_a_crash_costs_its_own_calls_only(server, admin, api):
    host, dead = server.host_pid(), running(admin, CHAT)["pid"]
    seen, failed = [], []

    def read():
        try:
            with api.stream("POST", "/chat/completions", json=question("Tell a long story.", max_tokens=400, stream=True)) as answer:
                for line in answer.iter_lines():
                    seen.append(line)
        except httpx.HTTPError as e:
            failed.append(e)

    reader = threading.Thread(target=read)
    reader.start()
    until("it writes", lambda: len(seen) > 4)
    os.kill(dead, signal.SIGSEGV)
    reader.join(30)
    assert not reader.is_alive()
    assert any('"error"' in line or "worker_died" in line for line in seen[-4:]), seen[-4:]
    assert embed(api), "the other engine does not notice"
    after = running(admin, CHAT, dead)
    assert after["restarts"] >= 1 and ask(api)
    assert server.host_pid() == host and not server.events("host.died", pid=host)
    assert server.events("engine.died", plugin=CHAT, pid=dead, how="SIGSEGV")
    assert not (server.data / "quarantine.json").exists() or CHAT not in (server.data / "quarantine.json").read_text()
    assert re.search(rf'mortise_plugin_crashes_total{{plugin="{CHAT}"}} [1-9]', admin.get("/metrics").text)


def test_calls_meanwhile_are_told(server, admin, api):
    """Who asks while it starts again hears 503 and when to come back, not a wrong answer."""
    dead = running(admin, VECTORS)["pid"]
    os.kill(dead, signal.SIGKILL)
    codes = set()

    def works():
        answer = api.post("/embed", json={"texts": ["a word"]})
        codes.add((answer.status_code, answer.json().get("code")))
        return answer.status_code == 200
    until("it answers again", works)
    assert codes <= {(200, None), (503, "worker_died"), (503, "worker_starting")}, codes
    assert running(admin, VECTORS, dead)["pid"] != dead


def test_one_that_hangs_is_replaced(server, admin, api):
    pid = running(admin, VECTORS)["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert running(admin, VECTORS, pid)
    until("it answers again", lambda: api.post("/embed", json={"texts": ["a word"]}).status_code == 200)
    assert not servers.alive(pid)


def test_one_that_hangs_while_the_hosts_change(server, admin, api):
    """The host before ends it, which is not the plugin's fault: the next one takes another and serves only then."""
    pid = running(admin, VECTORS)["pid"]
    os.kill(pid, signal.SIGSTOP)
    server.cli("reload")
    with server.admin() as again:
        assert running(again, VECTORS, pid) and embed(api)
        assert not server.events("plugin.state", plugin=VECTORS, state="failed")


def configure(admin, **config):
    """A configuration holds from the next activation on."""
    admin.call("PUT", f"/plugins/{CHAT}/config", json=config)
    admin.call("POST", f"/plugins/{CHAT}/disable")
    admin.call("POST", f"/plugins/{CHAT}/enable")


def test_another_configuration_is_taken(server, admin, api):
    pid = running(admin, CHAT)["pid"]
    configure(admin, context=512)
    try:
        refused = api.call("POST", "/chat/completions", json=question("word " * 700), status=400).data
        assert "512" in str(refused), refused
        assert running(admin, CHAT)["pid"] == pid
    finally:
        configure(admin)


def test_what_it_may(server, admin):
    """Threads, and no new privileges; no capabilities, no network, no descriptors of the host."""
    for slug in (CHAT, VECTORS):
        pid = running(admin, slug)["pid"]
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"CapEff:\s+0+\n", status) and re.search(r"Seccomp:\s+2\n", status) and re.search(r"NoNewPrivs:\s+1\n", status)
        links = {os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{pid}/fd")}
        assert all(kind in ("/dev/null", "socket", "anon_inode") or kind.startswith(str(servers.CACHE)) for kind in links), links
        assert "MORTISE_DATABASE" not in pathlib.Path(f"/proc/{pid}/environ").read_text()


@pytest.mark.parametrize("way", [way for way in test_worker.WAYS if way not in ("start_thread", "fork_bomb")])      # a bomb of threads is one
def test_no_way_out_but_threads(server, admin, way):
    assert running(admin, "escape")
    target = {"way": way, "pid": server.host_pid(), "path": str(server.data / "admin.key")}
    tried = admin.call("POST", "/escape/attempts", json=target).data
    assert tried["outcome"] == "refused", tried
    assert admin.call("POST", "/escape/attempts", json=target | {"way": "start_thread"}).data["outcome"] == "succeeded"


def test_it_slows_no_other_engine(server, admin):
    """The kernel would let it: the same user, and no capability more."""
    target = {"way": "slow_another", "pid": running(admin, VECTORS)["pid"], "path": ""}
    assert admin.call("POST", "/escape/attempts", json=target).data["outcome"] == "refused"


def test_a_stop_ends_them(server, admin):
    pids = [running(admin, slug)["pid"] for slug in (CHAT, VECTORS)]
    server.stop()
    assert not any(servers.alive(pid) for pid in pids)
