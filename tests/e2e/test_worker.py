"""Plugins in processes of their own: the same tests pass inside the host and in a worker; a worker that attacks, hangs, floods or dies costs only its
own calls."""
import concurrent.futures
import contextlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import tempfile
import threading

import pytest

import client
import harness
import server as servers
from server import until

FOLDERS = [servers.plugin_folder("errand", "escape", "scripted"), servers.BUILD / "examples"]
PLUGINS = ["hello", "security_scanner", "errand"]
SLUGS = ",".join([*PLUGINS, "escape", "scripted", "cache_local", "index_faiss"])
ARGS = ["--outbound.allow_private", "--worker.hang_timeout", "2s", "--worker.memory", "256MiB"]
in_the_host = pytest.mark.parametrize("place", ["none"], indirect=True)
in_workers = pytest.mark.parametrize("place", ["process"], indirect=True)


def make_grants(folder):
    """Folders that the hostile plugin may read and write, each with a file, beside one that it may not; a host for another plugin."""
    folder.chmod(0o755)
    for name in ("read", "write", "neither"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
        (folder / name / "file").write_text("here")
        (folder / name / "file").chmod(0o666)
    (folder / "read" / "link").symlink_to(folder / "neither" / "file")
    (folder / "write" / "link").symlink_to(folder / "neither" / "file")
    return f"escape:read:{folder}/read, escape:write:{folder}/write, errand:host:localhost"


@pytest.fixture(scope="module", params=["none", "process"])
def place(request):
    """A server whose three plugins run inside the host, which checks what they do, and one where they run in workers."""
    trace = pathlib.Path(tempfile.mkdtemp(prefix="mortise-escape-")) / "trace"
    args = [*ARGS, *(["--plugins.isolated", SLUGS] if request.param == "process" else []), "--plugins.grants", make_grants(trace.parent)]
    request.addfinalizer(lambda: shutil.rmtree(trace.parent))
    env = {"ESCAPE_TRACE": str(trace), "MORTISE_DEBUG_CHECKS": "on"}
    for server in harness.run_server(request, plugins=FOLDERS, enable=[*PLUGINS, "escape", "scripted"], args=args, env=env):
        server.isolation, server.trace = request.param, trace
        with server.admin() as api:
            server.api = api
            yield server


@pytest.fixture(scope="module")
def api(place):
    return client.Tenant(place, "worker").api


@pytest.fixture(scope="module")
def web():
    """A page of 300,000 bytes, for plugins that fetch."""
    page = b"0123456789" * 30000

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/x-page")
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def info(place, slug):
    return place.api.call("GET", f"/plugins/{slug}").data


def test_its_code_runs_nowhere_else(place):
    """Not even to be looked at, before it is loaded the first time."""
    assert place.trace.exists() == (place.isolation == "none")


# --- the same tests, in both places ---

def test_it_is_told_where_a_plugin_runs(place):
    for slug in PLUGINS:
        told = info(place, slug)
        assert told["state"] == "active" and told["isolation"] == place.isolation
        if place.isolation == "process":
            assert told["worker"]["state"] == "running" and told["worker"]["restarts"] == 0
            assert servers.alive(told["worker"]["pid"]) and told["worker"]["pid"] != place.host_pid()
        else:
            assert "worker" not in told


def test_hello(place, api):
    assert api.call("GET", "/hello", params={"name": "Ada"}).data == {"message": "Hello, Ada!"}
    assert api.call("GET", "/hello", params={"name": "x" * 1000}, status=422).data["code"]
    place.api.call("PUT", "/plugins/hello/config", json={"greeting": "Ahoy"})
    assert api.call("GET", "/hello", params={"name": "Ada"}).data == {"message": "Ahoy, Ada!"}
    place.api.call("PUT", "/plugins/hello/config", json={})


def test_scanner_finds_and_is_configured(place, api):
    source = 'password = "hunter2hunter2"\neval(input())\n'
    clean = api.call("POST", "/code/analyze", json={"file_name": "a.py", "language": "python", "source": "print(1)\n"}).data
    found = api.call("POST", "/code/analyze", json={"file_name": "a.py", "language": "python", "source": source}).data
    assert clean["score"] > found["score"]
    assert {"code_execution"} <= {f["rule"] for f in found["findings"]}


def test_rows_and_constraints(api):
    one = api.call("POST", "/errand/notes", json={"text": "first"}).data
    assert one["text"] == "first" and one["n"] == 1
    assert api.call("GET", f"/errand/notes/{one['id']}").data == {"id": one["id"], "text": "first"}
    missing = api.call("GET", "/errand/notes/00000000-0000-0000-0000-00000000dead", status=404).data
    assert missing["code"] == "not_found"
    taken = api.call("POST", "/errand/notes", json={"text": "first"}, status=409).data
    assert (taken["code"], taken["pointer"]) == ("errand_text_taken", "/text")
    assert api.call("GET", "/errand/notes").data["text"] == "first"


def test_rows_larger_than_a_frame_takes(place):
    """A worker reads a column in parts; nothing is lost between them."""
    api, texts = client.Tenant(place, "wide").api, [f"{i:06}" * 20000 for i in range(7)]
    for text in texts:
        api.call("POST", "/errand/notes", json={"text": text})
    assert sorted(api.call("GET", "/errand/notes").data["text"].split(",")) == texts


def test_a_transaction_is_whole(api):
    assert api.call("POST", "/errand/pair", json={"first": "left", "second": "right"}).data["n"] == 2
    assert api.call("POST", "/errand/pair", json={"first": "new", "second": "right"}, status=409).data["code"] == "errand_text_taken"
    assert "new" not in api.call("GET", "/errand/notes").data["text"].split(",")


def test_what_is_known_of_the_call(place, api):
    answer = api.call("GET", "/errand/who", params={"word": "žaba"}, headers={"x-errand": "seen"})
    who = answer.data
    assert answer.headers["x-errand-told"] == "yes"
    assert (who["word"], who["nothing"], who["header"], who["mark"], who["secret"]) == ("žaba", None, "seen", "errand", None)
    assert (who["caller"], who["blobs"], who["found"], who["may"], who["may_not"], who["cancelled"]) == ("host", "blob_fs", True, True, False, False)
    assert len(who["org"]) == len(who["subject"]) == 36


def test_its_own_problem(api):
    refused = api.call("GET", "/errand/refuse", status=422).data
    assert (refused["code"], refused["detail"], refused["pointer"]) == ("errand_refused", "Not this one.", "/text")


def test_files_of_any_size(api):
    data = bytes(range(256)) * 40000
    sent = [("file", ("a.bin", data)), ("file", ("b.txt", b"b"))]
    total = 0
    for byte in data:
        total = (total * 31 + byte) & 0xFFFFFFFF
    assert api.call("POST", "/errand/upload", files=sent).data["text"] == f"a.bin:{len(data)}:{total};b.txt:1:98;"


def test_a_page_is_fetched(api, web):
    got = api.call("POST", "/errand/fetch", json={"url": web}).data
    assert (got["n"], got["id"], got["text"][:10]) == (300000, "text/x-page", "0123456789")
    assert api.call("POST", "/errand/fetch", json={"url": "http://example.org/"}, status=403).data["code"] == "host_not_granted"


def test_cache_and_blobs(api):
    text = "ščž " * 100000
    assert api.call("POST", "/errand/keep", json={"text": text}).data["n"] == len(text.encode())


def test_jobs(api):
    api.call("POST", "/errand/jobs", json={"text": "made by a job"})
    until("the job ran", lambda: "made by a job" in api.call("GET", "/errand/notes").data["text"].split(","))


def test_hooks(api):
    emitted = api.call("POST", "/errand/emit", json={"text": "int main;"}).data
    assert emitted["n"] == 87.5 and '"errand"' in emitted["text"]
    denied = api.call("POST", "/errand/emit", json={"text": "forbidden"}, status=422).data
    assert (denied["code"], denied["detail"]) == ("errand_forbidden", "This text is not looked at.")
    assert api.call("POST", "/errand/emit", json={"text": "broken"}).data == {"text": "[]", "n": 100}


def test_pool_and_trees(place, api):
    assert api.call("POST", "/errand/sum", json={"numbers": list(range(1000))}).data["n"] == 499500
    assert place.events("errand.summed", plugin="errand")
    until("it is counted", lambda: 'mortise_errand_sums_total{where="pool"} 2' in place.api.get("/metrics").text)


def test_a_service_is_asked_from_a_pool_thread(api):
    """Of the errand's pool, then of the host's: the model that counts is in a worker too."""
    assert api.call("POST", "/errand/count", json={"text": "one two three"}).data["n"] == 4


def test_streams(api):
    with api.stream("GET", "/errand/stream", params={"count": 50}) as answer:
        assert [data["n"] for name, data in client.events(answer.iter_lines()) if name == "tick"] == list(range(50))


def test_who_leaves_is_noticed(place, api):
    before = api.call("GET", "/errand/left").data["n"]
    with pytest.raises(client.TransportError):
        client.Client(place.url, api.key, timeout=0.3).get("/errand/hold")
    until("the handler was told", lambda: api.call("GET", "/errand/left").data["n"] == before + 1)


def question(model, text, **more):
    """Of OpenAI's API: the model says what its script has."""
    script = json.dumps({"rounds": [{"text": text}]})
    return {"model": model, "messages": [{"role": "system", "content": script}, {"role": "user", "content": "Well?"}], **more}


def test_a_model_is_provided(api):
    """llm_engine/1: a generation lives from open to close, and is streamed."""
    answer = api.call("POST", "/chat/completions", json=question("scripted", "It was said so.")).data
    assert answer["choices"][0]["message"]["content"] == "It was said so." and answer["usage"]["completion_tokens"] > 0
    with api.stream("POST", "/chat/completions", json=question("scripted", "It was said so.", stream=True)) as streamed:
        lines = [json.loads(line[6:]) for line in streamed.iter_lines() if line.startswith("data: {")]
    assert "".join(c["delta"].get("content") or "" for line in lines for c in line["choices"]) == "It was said so."


def test_many_at_once(api):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: api.call("GET", "/errand/who", params={"word": str(i)}).data["word"], range(400)))
    assert answers == [str(i) for i in range(400)]


def test_off_and_on(place, api):
    place.api.call("POST", "/plugins/errand/disable")
    api.call("GET", "/errand/notes", status=404)
    place.api.call("POST", "/plugins/errand/enable")
    assert api.call("GET", "/errand/notes").data["n"] >= 1


@in_the_host
def test_nothing_was_misused(place, api):
    """The host looked at every call of every plugin in the tests above."""
    api.call("GET", "/hello", params={"name": "Ada"})
    assert not place.events("plugin.misuse")


# --- what does not run in a worker ---

@in_workers
def test_what_cannot_run_in_one_says_why(place):
    refused = place.api.call("POST", "/plugins/index_faiss/enable", status=409).data
    assert refused["code"] == "plugin_failed" and "it writes files" in refused["detail"] and "plugins.isolated" in refused["detail"]


# --- attacks ---

WAYS = ["constructor", "read_path", "read_passwd", "read_environ", "read_memory", "list_root", "list_proc", "create_file", "write_path", "change_files",
        "make_memory_file", "connect_inet", "open_unix", "open_netlink", "send_descriptor", "foreign_descriptor", "start_thread", "start_process",
        "fork_bomb", "execute", "trace", "send_signal", "slow_another", "peek", "become_root", "leave", "make_namespace", "raise_limits", "reach_kernel", "filter_again"]


@in_workers
@pytest.mark.parametrize("way", WAYS)
def test_no_way_out(place, way):
    target = {"way": way, "pid": place.host_pid(), "path": str(place.data / "admin.key")}
    tried = place.api.call("POST", "/escape/attempts", json=target).data
    assert tried["outcome"] == "refused", tried


@in_workers
@pytest.mark.parametrize("way,path,outcome", [
    ("read_path", "read/file", "succeeded"), ("write_path", "read/file", "refused"), ("create_beside", "read/file", "refused"),
    ("read_path", "write/file", "succeeded"), ("write_path", "write/file", "succeeded"), ("create_beside", "write/file", "succeeded"),
    ("read_path", "neither/file", "refused"), ("write_path", "neither/file", "refused"), ("create_beside", "neither/file", "refused"),
    ("read_path", "read/../neither/file", "refused"), ("read_path", "read/link", "refused"), ("write_path", "write/link", "refused"),
    ("link_beside", "write/file", "refused")])
def test_files_that_were_granted_and_no_others(place, way, path, outcome):
    target = {"way": way, "pid": place.host_pid(), "path": f"{place.trace.parent}/{path}"}
    assert place.api.call("POST", "/escape/attempts", json=target).data["outcome"] == outcome


def test_a_host_that_was_granted(place, api, web):
    """By the operator, beyond the manifest: the host's client goes there, for this plugin alone."""
    assert api.call("POST", "/errand/fetch", json={"url": web.replace("127.0.0.1", "localhost")}).data["n"] == 300000


@in_the_host
@pytest.mark.parametrize("way", ["constructor", "read_path", "read_passwd", "read_environ", "read_memory", "list_root", "open_unix", "foreign_descriptor",
                                 "start_thread", "peek"])
def test_the_ways_are_real(place, way):
    """The host trusts its plugins: there those that change nothing work."""
    target = {"way": way, "pid": place.host_pid(), "path": str(place.data / "admin.key")}
    assert place.api.call("POST", "/escape/attempts", json=target).data["outcome"] == "succeeded"


@in_workers
def test_what_the_kernel_says_of_it(place):
    pid = info(place, "escape")["worker"]["pid"]
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapEff"], 16), int(status["CapPrm"], 16)) == ("1", "2", 0, 0)
    if os.geteuid() == 0 and all(folder.stat().st_mode & 0o001 for folder in servers.TEST_PLUGINS.parents):   # else nobody could not read the plugin
        assert status["Uid"].split() == ["65534"] * 4
    open_files = {os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
    assert {name.split(":")[0] for name in open_files} == {"/dev/null", "socket", "anon_inode"}
    assert pathlib.Path(f"/proc/{pid}/environ").read_bytes() == b"PATH=/usr/bin:/bin\0"


def escape_worker(place):
    return info(place, "escape")["worker"]


def answers(place):
    """Waits until the hostile plugin's process answers; how many harmful calls it has begun."""
    return int(until("it answers", lambda: (a := place.api.get("/escape/ping")).status_code == 200 and a.json()["detail"]))


@in_workers
@pytest.mark.parametrize("harm", ["crash", "corrupt_heap", "abort", "exit", "overflow", "spin", "close_channels", "forge_length", "forge_call", "forge_kind",
                                  "flood_frames", "hold_on"])
def test_harm_costs_only_its_own_calls(place, harm):
    answers(place)
    host, before = place.host_pid(), escape_worker(place)
    neighbour = place.api.call("GET", "/plugins/hello").data["worker"]["pid"]
    timeout = {"timeout": 1.0} if harm == "hold_on" else {}
    try:
        answer = place.api.call("POST", "/escape/harm", (503, 200), json={"way": harm}, **timeout)
        assert answer.status_code == 200 or answer.data["code"] == "worker_died"
    except client.TransportError:
        assert harm == "hold_on"                 # who left; the handler does not, so its process ends
    # others are answered meanwhile and afterwards
    assert place.api.call("GET", "/hello", params={"name": "Ada"}).data["message"] == "Hello, Ada!"
    until("another process took its place", lambda: escape_worker(place)["restarts"] > before["restarts"])
    answers(place)
    assert escape_worker(place)["pid"] != before["pid"]
    assert place.host_pid() == host and place.api.call("GET", "/plugins/hello").data["worker"]["pid"] == neighbour


@in_workers
def test_memory_is_bounded(place):
    rss, before = servers.rss_kib(place.host_pid()), escape_worker(place)
    place.api.call("POST", "/escape/harm", (200, 503), json={"way": "hog"})
    assert servers.rss_kib(place.host_pid()) < rss + 64 * 1024
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        assert servers.rss_kib(before["pid"]) < 256 * 1024
        os.kill(before["pid"], signal.SIGKILL)   # it has nothing left to work with
    until("another process took its place", lambda: escape_worker(place)["restarts"] > before["restarts"])
    answers(place)


@in_workers
def test_a_flood_of_lines_is_cut(place):
    before = len(place.events("escape.flood"))
    place.api.call("POST", "/escape/harm", (200, 503), json={"way": "flood_log"})
    answers(place)
    assert len(place.events("escape.flood")) - before < 5000


@in_workers
def test_killed_in_the_middle_of_a_call(place):
    begun = answers(place)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        held = pool.submit(lambda: client.Client(place.url, place.admin_key).post("/escape/harm", json={"way": "hold_on"}))
        until("the call is in the worker", lambda: answers(place) == begun + 1)
        os.kill(escape_worker(place)["pid"], signal.SIGKILL)
        answer = held.result(30)
    assert answer.status_code == 503 and answer.json()["code"] == "worker_died"


@in_workers
def test_killed_in_the_middle_of_a_generation(place, api):
    """The consumer hears that it is over; the next question goes to the process that took its place."""
    pid = info(place, "scripted")["worker"]["pid"]
    with api.stream("POST", "/chat/completions", json=question("scripted-slow", "word " * 400, stream=True)) as answer:
        lines = answer.iter_lines()
        until("its tokens come", lambda: "word" in next(lines))
        os.kill(pid, signal.SIGKILL)
        rest = list(lines)
    assert any('"error"' in line for line in rest) and "data: [DONE]" not in rest, rest[-3:]
    until("the next one answers", lambda: api.post("/chat/completions", json=question("scripted", "Here.")).status_code == 200)
    assert info(place, "scripted")["worker"]["pid"] != pid


@in_workers
def test_a_hook_that_dies_follows_its_rule(place):
    """http.response is fail-open: the answer passes as if nobody stood there."""
    answers(place)
    pid = escape_worker(place)["pid"]
    place.api.call("POST", "/escape/harm", json={"way": "arm_hook"})
    assert place.api.call("GET", "/hello", params={"name": "Ada"}).data["message"] == "Hello, Ada!"
    until("the death was logged", lambda: place.events("worker.ended", plugin="escape", pid=pid))


@in_workers
def test_workers_go_with_their_host(place):
    pids = [info(place, slug)["worker"]["pid"] for slug in PLUGINS]
    os.kill(place.host_pid(), signal.SIGKILL)
    until("the workers went with the host that was killed", lambda: not any(map(servers.alive, pids)))
    place.wait_ready()
    pids = [info(place, slug)["worker"]["pid"] for slug in PLUGINS]
    place.stop()
    assert not any(map(servers.alive, pids))
