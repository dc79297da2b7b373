"""Plugins that were built with earlier SDKs and are kept as binaries: each loads in this host, inside it and in a worker, answers, and passes its checks."""
import http.server
import platform
import threading

import pytest

import client
import harness
import server as servers
from server import until

KEPT = servers.ROOT / "tests/abi/1.0/plugins"
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the kept plugins are binaries for x86_64")


@pytest.fixture(scope="module", params=["none", "process"])
def place(request):
    args = ["--outbound.allow_private", *(["--plugins.isolated", "kept_1_0"] if request.param == "process" else [])]
    for server in harness.run_server(request, plugins=[KEPT], enable=["kept_1_0"], args=args, env={"MORTISE_DEBUG_CHECKS": "on"}):
        server.isolation = request.param
        yield server


@pytest.fixture(scope="module")
def tenant(place):
    return client.Tenant(place, "kept")


@pytest.fixture(scope="module")
def api(tenant):
    return tenant.api


def test_it_is_the_binary_and_runs_where_it_should(place):
    with place.admin() as admin:
        told = admin.call("GET", "/plugins/kept_1_0").data
    assert (told["state"], told["version"], told["isolation"]) == ("active", "1.0.0", place.isolation)


def test_rows_transactions_and_jobs(place, api):
    made = api.call("POST", "/kept-1-0/notes", 201, json={"text": "one"}).data
    assert made["text"] == "one" and api.call("GET", f"/kept-1-0/notes/{made['id']}").data == made
    texts = until("the job wrote its note", lambda: len(found := {n["text"] for n in api.call("GET", "/kept-1-0/notes").data["items"]}) == 3 and found)
    assert texts == {"one", "one, again", "one, by a job"}
    taken = api.call("POST", "/kept-1-0/notes", 409, json={"text": "one"}).data
    assert (taken["code"], taken["pointer"]) == ("kept_1_0_taken", "/text")
    api.call("GET", "/kept-1-0/notes/00000000-0000-0000-0000-00000000dead", 404)
    assert client.Tenant(place, "kept-other").api.call("GET", "/kept-1-0/notes").data["items"] == []


def test_json_the_pool_and_configuration(api):
    assert api.call("POST", "/kept-1-0/sum", json={"numbers": [1, 2.5, -0.25]}).data == {"sum": 3.25, "configured": 7}


def test_http(api):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = b"x" * 100000 if self.headers["x-kept"] == "1.0" else b""
            self.send_response(200)
            self.send_header("content-type", "text/x-kept")
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        page = api.call("GET", "/kept-1-0/fetch", params={"url": f"http://127.0.0.1:{web.server_port}/"}).data
    finally:
        web.shutdown()
    assert page == {"status": 200, "type": "text/x-kept", "bytes": 100000}
    assert api.call("GET", "/kept-1-0/fetch", 403, params={"url": "http://other.example/"}).data["code"] == "host_not_granted"


def test_a_stream(api):
    with api.stream("GET", "/kept-1-0/count", params={"to": 4}) as answer:
        assert list(client.events(answer.iter_lines())) == [("number", {"n": n}) for n in (1, 2, 3, 4)]


def test_hooks_on_both_sides(tenant, api):
    found = api.call("POST", "/kept-1-0/analyze", json={"source": "this is kept"}).data
    assert found["score"] == 99 and [f["rule"] for f in found["findings"]] == ["kept"]
    assert api.call("POST", "/kept-1-0/analyze", json={"source": "nothing"}).data == {"score": 100, "findings": []}
    refused = api.call("POST", f"/workspaces/{tenant.workspace}/documents/upload", 422, files=[("file", ("a.kept.txt", b"text"))]).data
    assert refused["code"] == "kept_1_0_refused"


def test_the_service_it_provides(place, api):
    with place.admin() as admin:
        admin.call("PUT", "/plugins/models/config", json={"routes": [{"name": "kept", "targets": [{"engine": "kept_1_0", "model": "kept-echo"}]}]})
    answer = api.call("POST", "/chat/completions", json={"model": "kept", "messages": [{"role": "user", "content": "Say these four words"}]}).data
    assert answer["choices"][0]["message"]["content"] == "Say these four words"
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (11, 4)


def test_its_metrics(place, api):
    api.call("POST", "/kept-1-0/sum", json={"numbers": []})
    with place.admin() as admin:
        until("it is counted", lambda: 'mortise_kept_1_0_calls_total{what="sum"}' in admin.get("/metrics").text)


def test_off_and_on_again(place, api):
    place.cli("plugin", "disable", "kept_1_0")
    api.call("GET", "/kept-1-0/notes", 404)
    place.cli("plugin", "enable", "kept_1_0")
    api.call("GET", "/kept-1-0/notes")


def test_it_misuses_nothing(place):
    assert "plugin.misuse" not in place.log()
