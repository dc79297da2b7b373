"""Traces of requests: what they show, who may see them, which requests have one; the counters of each plugin."""
import json
import re

import pytest

import client
import harness
import server as servers
from server import until

SERVER = {"plugins": [servers.plugin_folder("guard", "hooked")], "enable": ["guard"]}
SOME_TRACED = {"plugins": [servers.plugin_folder("guard")], "enable": ["guard"], "args": ["--trace.every", "0", "--threads", "1"]}


@pytest.fixture(scope="module")
def sparing(request):
    """A server that traces only who asks."""
    yield from harness.run_server(request, **SOME_TRACED)


def trace_id(answer):
    return answer.headers["traceparent"].split("-")[1]


def trace_of(api, answer):
    """It is kept when what follows the answer has ended."""
    return until("the trace is kept", lambda: (got := api.get(f"/traces/{trace_id(answer)}")).status_code == 200 and got.json())


def spans(trace, kind):
    return [s for s in trace["spans"] if s["kind"] == kind]


def test_a_trace_is_a_tree_of_what_happened(tenant):
    path = f"/workspaces/{tenant.workspace}/notes"
    made = tenant.api.call("POST", path, 201, json={"title": "Milk"})
    trace = trace_of(tenant.api, made)
    assert (trace["operation"], trace["status"], trace["code"], trace["recorded"], trace["dropped"]) == ("notes.create", 201, None, True, 0)
    assert trace["request_id"] == made.headers["x-request-id"]
    assert [s["name"] for s in spans(trace, "stage")] == ["head", "authenticate", "authorize", "limit", "body", "operation"]
    policy = next(s for s in spans(trace, "hook") if s["owner"].startswith("guard."))
    assert policy["name"] == "limit.check" and policy["outcome"] == "continue" and policy["depth"] > 0
    query = next(s for s in spans(trace, "db") if s["owner"] == "notes")
    assert query["depth"] == 1 and query["duration_ms"] > 0
    inside = [s for s in trace["spans"] if s["start_ms"] < 0 or s["start_ms"] + s["duration_ms"] > trace["duration_ms"] + 0.01]
    assert not inside, f"these lie outside of the request: {inside}"
    assert made.headers["server-timing"].count("dur=") == 1
    asked = tenant.api.call("GET", path, headers={"Mortise-Trace": "1"})
    assert "db;dur=" in asked.headers["server-timing"] and asked.headers["mortise-trace-id"] == trace_id(asked)
    assert tenant.api.call("GET", f"/traces/{made.headers['x-request-id']}").data == trace


def test_services_and_handlers_are_told_with_their_plugins(tenant):
    tenant.api.upload(tenant.workspace, ("keepers.txt", b"The keepers left the lighthouse in 1989."))
    asked = tenant.api.call("POST", f"/workspaces/{tenant.workspace}/chat", json={"query": "replace me"})
    trace = trace_of(tenant.api, asked)
    handler = spans(trace, "handler")[0]
    assert handler["owner"] == "chat"
    services = {(s["name"].split("/")[0], s["owner"]) for s in spans(trace, "service")}
    assert ("retrieval", "retrieval") in services and ("llm", "models") in services, services
    patch = next(s for s in spans(trace, "hook") if s["patches"])
    assert patch["owner"].startswith("guard.") and patch["name"] == "chat.prepare"
    assert patch["patches"] == [{"pointer": "/query", "bytes": len("When did the keepers leave the lighthouse?")}]
    assert "lighthouse" not in json.dumps(trace) and "replace me" not in json.dumps(trace)


def test_a_refusal_names_who_refused(tenant):
    denied = tenant.api.call("DELETE", f"/workspaces/{tenant.workspace}/notes/{client.new_id()}", 403)
    trace = trace_of(tenant.api, denied)
    assert (trace["status"], trace["code"]) == (403, "deletion_guarded")
    last = [s for s in trace["spans"] if s["outcome"] == "deny"]
    assert last and last[0]["owner"].startswith("guard.")
    assert spans(trace, "stage")[-1]["name"] == "limit" and spans(trace, "stage")[-1]["outcome"]
    assert denied.headers["server-timing"].count("dur=") == 1


def test_the_list_goes_back_in_time(tenant):
    for i in range(5):
        tenant.api.call("GET", f"/workspaces/{tenant.workspace}/notes", 422, params={"limit": "0"})
    failed = until("the five are kept", lambda: len(got := tenant.api.pages("/traces", limit=2, failed=True, operation="notes.list")) == 5 and got)
    assert {t["status"] for t in failed} == {422}
    ids = [t["request_id"] for t in tenant.api.pages("/traces", limit=50)]
    assert ids == sorted(ids, reverse=True) and len(ids) == len(set(ids)) > 5
    tenant.api.call("GET", "/traces", 400, params={"cursor": "AAAAAAAAAAAAAAAAAAAA"})


def test_traces_belong_to_an_organization_and_a_workspace(server, admin, tenant):
    own = tenant.api.call("GET", f"/workspaces/{tenant.workspace}")
    trace_of(tenant.api, own)
    other = client.Tenant(server, "others")
    second = tenant.new_workspace("second")
    bound = tenant.workspace_client(second)
    unknown = {}
    for name, api in (("another organization", other.api), ("another workspace", bound)):
        for path in (f"/traces/{trace_id(own)}", f"/traces/{own.headers['x-request-id']}"):
            answer = api.call("GET", path, 404).data
            nothing = api.call("GET", "/traces/" + "0" * 32, 404).data
            unknown[name] = {k: v for k, v in answer.items() if k != "request_id"}
            assert unknown[name] == {k: v for k, v in nothing.items() if k != "request_id"}, name
    mine = bound.call("GET", f"/workspaces/{second}")
    trace_of(bound, mine)
    assert trace_id(mine) in {t["trace_id"] for t in bound.pages("/traces", limit=100)}
    assert trace_id(own) not in {t["trace_id"] for t in bound.pages("/traces", limit=100) + other.api.pages("/traces", limit=100)}
    assert trace_id(own) in {t["trace_id"] for t in admin.pages("/traces", limit=200)}
    reader = client.Client(server.url, tenant.make_key(tenant.api, f"/organizations/{tenant.org}/api-keys", scopes=["read"])[1])
    reader.call("GET", f"/traces/{trace_id(own)}", 403)
    reader.call("GET", "/traces", 403)


def test_who_sends_a_traceparent_finds_it_again(tenant):
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    path = f"/workspaces/{tenant.workspace}/notes"
    first = tenant.api.call("GET", path, headers={"traceparent": parent})
    second = tenant.api.call("GET", path, headers={"traceparent": parent})
    trace = trace_of(tenant.api, first)
    assert trace["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736" and trace["parent_id"] == "00f067aa0ba902b7"
    until("the newest one of the trace is told", lambda: trace_of(tenant.api, second)["request_id"] == second.headers["x-request-id"])


def test_only_who_asks_and_may_is_traced(sparing):
    tenant = client.Tenant(sparing, "sparing")
    path = f"/workspaces/{tenant.workspace}/notes"
    plain = tenant.api.call("GET", path)
    assert plain.headers["traceparent"].endswith("-00") and "mortise-trace-id" not in plain.headers
    tenant.api.call("GET", f"/traces/{trace_id(plain)}", 404)
    asked = tenant.api.call("GET", path, headers={"Mortise-Trace": "1"})
    assert asked.headers["traceparent"].endswith("-01") and asked.headers["mortise-trace-id"] == trace_id(asked)
    assert spans(trace_of(tenant.api, asked), "db")
    reader = client.Client(sparing.url, tenant.make_key(tenant.api, f"/organizations/{tenant.org}/api-keys", scopes=["chat"])[1])
    for answer in (reader.call("GET", f"/workspaces/{tenant.workspace}/agents", headers={"Mortise-Trace": "1"}),
                   client.Client(sparing.url).call("GET", path, 401, headers={"Mortise-Trace": "1"})):
        assert "mortise-trace-id" not in answer.headers and answer.headers["traceparent"].endswith("-00")
        with sparing.admin() as admin:
            admin.call("GET", f"/traces/{trace_id(answer)}", 404)


def test_the_command_line_shows_a_tree(server, tenant):
    text = server.cli("trace", "GET", "/v1/plugins").stdout
    assert re.search(r"^core\.plugins  200 ", text) and re.search(r"stage operation\n +[\d.]+ +[\d.]+    handler on_plugins  host", text), text
    failed = server.cli("trace", "POST", f"/v1/workspaces/{tenant.workspace}/notes", "--body", '{"title": 7}').stdout
    assert failed.startswith("notes.create  422 ")
    denied = tenant.api.call("DELETE", f"/workspaces/{tenant.workspace}/notes/{client.new_id()}", 403)
    request = trace_of(tenant.api, denied)["request_id"]
    shown = server.cli("trace", request).stdout
    assert "deletion_guarded" in shown and re.search(r"hook limit\.check  guard\.policy\d  → deny", shown), shown
    assert json.loads(server.cli("trace", request, "--json").stdout)["request_id"] == request
    assert request in server.cli("trace", "--failed").stdout
    assert server.cli("trace", client.new_id(), check=False).returncode == 1
    assert server.cli("trace", "not-an-id", check=False).returncode == 2
    assert server.cli("trace", "GET", "plugins", check=False).returncode == 2


def counters(admin, name):
    text = admin.get("/metrics").text
    return {tuple(re.findall(r'"([^"]*)"', labels)): float(value) for labels, value in re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.M)}


def test_each_plugin_is_metered(admin, tenant):
    path = f"/workspaces/{tenant.workspace}/notes"
    before = {n: counters(admin, f"mortise_plugin_{n}_total") for n in ("calls", "errors", "seconds", "bytes")}
    for _ in range(3):
        tenant.api.call("POST", path, 201, json={"title": "Milk"})
    tenant.api.call("POST", path, 422, json={})
    tenant.api.call("GET", "/health/ready")
    after = {n: counters(admin, f"mortise_plugin_{n}_total") for n in ("calls", "errors", "seconds", "bytes")}

    def grown(name, *labels):
        return after[name].get(labels, 0) - before[name].get(labels, 0)

    assert grown("calls", "notes", "operation") == 3, "the body that was refused never came to the plugin"
    assert grown("errors", "notes", "operation") == 0 and grown("seconds", "notes", "operation") > 0
    assert grown("bytes", "notes", "in") >= 3 * len('{"title":"Milk"}') and grown("bytes", "notes", "out") > 0
    assert grown("calls", "guard", "hook") >= 4 and grown("seconds", "guard", "hook") > 0
    assert grown("calls", "limiter_local", "service") >= 4
    assert after["calls"]["documents", "job"] >= 1
    assert counters(admin, "mortise_plugin_active")["notes",] == 1


def test_counters_go_on_when_plugins_are_published_anew(admin, tenant):
    def calls():
        return counters(admin, "mortise_plugin_calls_total")["guard", "hook"]

    tenant.api.call("GET", f"/workspaces/{tenant.workspace}/notes")
    before = calls()
    admin.call("POST", "/plugins/hooked/enable")
    admin.call("POST", "/plugins/hooked/disable")
    assert calls() >= before > 0
