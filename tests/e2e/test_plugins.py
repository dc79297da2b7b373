"""Plugins as an operator and a client see them: switched on and off under load, policies and filters that change what passes, an example of the SDK, and
the program's own command line."""
import json
import re
import threading
import time

import pytest

import client
import server as servers
import test_model_registry as registry
from server import until

EXAMPLES = servers.BUILD / "examples"
SERVER = {"plugins": [servers.plugin_folder("guard", "hooked"), EXAMPLES], "enable": ["security_scanner"]}


def plugin(admin, slug):
    return admin.call("GET", f"/plugins/{slug}").data


# --- on and off ---

class Load:
    """Readers of other routes; every answer but 200 is kept."""

    def __init__(self, tenant, n):
        self.stop, self.failures, self.done = threading.Event(), [], 0
        self.tenant = tenant
        self.threads = [threading.Thread(target=self.run) for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self):
        paths = [f"/workspaces/{self.tenant.workspace}", f"/workspaces/{self.tenant.workspace}/notes", "/plugins"]
        with client.Client(self.tenant.server.url, self.tenant.key) as api:
            while not self.stop.is_set():
                for path in paths:
                    try:
                        answer = api.get(path)
                        if answer.status_code != 200:
                            self.failures.append((path, answer.status_code, answer.text[:200]))
                    except client.TransportError as e:
                        self.failures.append((path, repr(e)))
                    self.done += 1

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)


def test_switching_under_load_disturbs_nobody(server, admin, tenant):
    load = Load(tenant, 4)
    answers = {"on": set(), "off": set()}
    for _ in range(15):
        assert admin.call("POST", "/plugins/hello/disable").data["state"] == "inactive"
        answers["off"].add(admin.get("/hello").status_code)
        assert "/hello" not in admin.call("GET", "/openapi.json").data["paths"]
        assert admin.call("POST", "/plugins/hello/enable").data["state"] == "active"
        answers["on"].add(admin.get("/hello").status_code)
        assert "/hello" in admin.call("GET", "/openapi.json").data["paths"]
    load.end()
    print(f"{load.done} requests of other routes while a plugin went on and off fifteen times")
    assert answers == {"on": {200}, "off": {404}}
    assert load.failures == [] and load.done > 100


def test_what_is_needed_or_essential_stays_on(admin):
    assert admin.call("POST", "/plugins/tenancy/disable", 409).data["code"] == "plugin_essential"
    needed = admin.call("POST", "/plugins/documents/disable", 409).data
    assert needed["code"] == "plugin_needed" and "retrieval" in needed["detail"]
    needed = admin.call("POST", "/plugins/embedder_onnx/disable", 409).data
    assert needed["code"] == "plugin_needed" and "embedding" in needed["detail"]
    admin.call("POST", "/plugins/nothing/enable", 404)


def test_a_choice_survives_a_restart(server, admin):
    admin.call("POST", "/plugins/hello/disable")
    server.restart()
    with server.admin() as again:
        assert plugin(again, "hello")["state"] == "inactive" and plugin(again, "hello")["enabled"] is False
        again.call("GET", "/hello", 404)
        again.call("POST", "/plugins/hello/enable")
        again.call("GET", "/hello")


def test_hello_and_its_configuration(admin):
    assert admin.call("GET", "/hello").data == {"message": "Hello, world!"}
    assert admin.call("GET", "/hello", params={"name": "Ada"}).data == {"message": "Hello, Ada!"}
    admin.call("PUT", "/plugins/hello/config", json={"greeting": "Salve"})
    until("the new configuration is in force", lambda: admin.call("GET", "/hello").data["message"] == "Salve, world!", 5)
    assert admin.call("PUT", "/plugins/hello/config", 422, json={"greeting": 7}).data["pointer"] == "/greeting"
    admin.call("PUT", "/plugins/hello/config", json={})
    until("the default is back", lambda: admin.call("GET", "/hello").data["message"] == "Hello, world!", 5)


def test_notes_from_first_to_last(tenant):
    api, path = tenant.api, f"/workspaces/{tenant.workspace}/notes"
    made = api.call("POST", path, 201, json={"title": "Milk", "text": "two litres", "tags": ["shop"]}).data
    note = f"{path}/{made['id']}"
    assert made["pinned"] is False and made["tags"] == ["shop"] and api.call("GET", note).data == made
    assert api.call("PATCH", note, json={"pinned": True}).data["pinned"] is True
    assert api.call("GET", path).data["items"][0]["id"] == made["id"]
    api.call("DELETE", note, 204)
    api.call("GET", note, 404)
    api.call("DELETE", note, 404)


# --- what stands between ---

@pytest.fixture()
def guarded(admin):
    admin.call("POST", "/plugins/guard/enable")
    yield
    admin.call("POST", "/plugins/guard/disable")


def test_policies_deny_and_patch(admin, tenant, guarded):
    api, w = tenant.api, f"/workspaces/{tenant.workspace}"
    note = api.call("POST", w + "/notes", 201, json={"title": "kept"}).data["id"]
    denied = api.call("DELETE", f"{w}/notes/{note}", 403).data
    assert (denied["code"], denied["detail"]) == ("deletion_guarded", "Notes stay.")
    item = api.upload(tenant.workspace, ("plan.txt", b"The plan is renamed on its way by a policy."))[0]
    assert item["document"]["file_name"] == "guarded-plan.txt"
    answer = api.call("POST", w + "/documents/upload", 422, files=[("file", ("forbidden.txt", b"Never stored."))])
    assert answer.data["code"] == "name_forbidden"
    hooks = admin.call("GET", "/hooks").data["items"]
    assert {"limit.check", "document.uploaded", "chat.prepare"} <= {h["hook"] for h in hooks if "guard" in h["label"]}
    admin.call("POST", "/plugins/guard/disable")
    api.call("DELETE", f"{w}/notes/{note}", 204)


def test_a_policy_changes_a_question(tenant, guarded):
    tenant.api.upload(tenant.workspace, ("keepers.txt", b"The keepers left the lighthouse in 1989, and nobody has lived there since."))
    answer = tenant.api.chat(tenant.workspace, "replace me")
    assert "1989" in answer["answer"]


def test_a_native_filter_changes_answers_and_failing_actions_do_not_matter(admin, tenant):
    admin.call("POST", "/plugins/hooked/enable")
    assert admin.call("GET", "/hello").data["message"] == "changed by a filter"
    tenant.api.chat(tenant.workspace, "Does an action that fails fail the chat?")
    admin.call("POST", "/plugins/hooked/disable")
    assert admin.call("GET", "/hello").data["message"] == "Hello, world!"


def test_a_trace_tells_who_changed_what(admin, tenant, guarded):
    api, w = tenant.api, f"/workspaces/{tenant.workspace}"
    denied = api.call("DELETE", f"{w}/notes/{client.new_id()}", 403)
    trace = api.call("GET", f"/traces/{denied.headers['traceparent'].split('-')[1]}").data
    assert "guard" in json.dumps(trace) and "limit.check" in json.dumps(trace)


SOURCE = '''import os
password = "hunter2hunter2"
query = "SELECT * FROM users WHERE name = '" + name + "'"
eval(name)
'''


def test_the_security_scanner_of_the_sdk(admin, tenant):
    clean = tenant.api.call("POST", "/code/analyze", json={"file_name": "a.py", "language": "python", "source": "print(1 + 1)\n"}).data
    assert clean["score"] == 100 and clean["findings"] == []
    bad = tenant.api.call("POST", "/code/analyze", json={"file_name": "a.py", "language": "python", "source": SOURCE}).data
    assert bad["score"] < 70 and {f["line"] for f in bad["findings"]} >= {2, 3}
    admin.call("PUT", "/plugins/security_scanner/config", json={"severity_threshold": "critical"})
    until("the threshold is in force", lambda: len(tenant.api.call("POST", "/code/analyze", json={"file_name": "a.py", "source": SOURCE}).data["findings"])
          < len(bad["findings"]), 5)


# --- the command line ---

COMMANDS = ["serve", "demo", "config", "health", "plugin", "policy", "model", "backup", "restore", "trace", "version"]


def test_help_of_every_command(server):
    text = server.cli("--help").stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", text, re.M), command
        assert "usage: mortise " + command in server.cli(command, "--help").stdout
    assert server.cli("no-such-command", check=False).returncode == 2


def test_config_tells_value_and_origin(server):
    items = {i["name"]: i for i in json.loads(server.cli("config", "--json").stdout)["items"]}
    assert items["data.dir"]["value"] == str(server.data) and items["data.dir"]["origin"].startswith("flag")
    assert items["limits.requests_per_minute"]["value"] in (10000000, "10000000") and "DEFAULT_RATE_LIMIT" in items["limits.requests_per_minute"]["origin"]
    assert items["http.head_timeout"]["origin"] == "default"


def test_version_names_its_libraries(server):
    told = json.loads(server.cli("version", "--json").stdout)
    assert told["version"] == "0.1.0" and "postgresql" in json.dumps(told).lower()
    assert server.cli("--version").stdout.startswith("mortise 0.1.0")


def test_plugins_over_the_local_socket(server, admin):
    listed = json.loads(server.cli("plugin", "list", "--json").stdout)["items"]
    assert {p["slug"] for p in listed} == {p["slug"] for p in admin.call("GET", "/plugins").data["items"]}
    server.cli("plugin", "disable", "hello")
    admin.call("GET", "/hello", 404)
    server.cli("plugin", "enable", "hello")
    admin.call("GET", "/hello")
    assert json.loads(server.cli("plugin", "info", "hello", "--json").stdout)["state"] == "active"
    assert server.cli("plugin", "enable", "nothing", check=False).returncode == 1
    assert (server.data / "mortise.sock").stat().st_mode & 0o777 == 0o600
    assert (server.data / "admin.key").stat().st_mode & 0o777 == 0o600


def test_health_and_policy_test(server, tmp_path):
    assert json.loads(server.cli("health", "--json").stdout)["status"] == "healthy"
    policy = tmp_path / "p.lua"
    policy.write_text('-- hook: limit.check\nif ctx.operation == "notes.create" then decide.deny(429, "later", "Later.") end\n')
    policy.with_suffix(".test.json").write_text(json.dumps([
        {"name": "denied", "ctx": {"operation": "notes.create"}, "expect": {"outcome": "deny", "status": 429, "code": "later"}},
        {"name": "passed", "ctx": {"operation": "notes.list"}, "expect": {"outcome": "continue"}}]))
    assert json.loads(server.cli("policy", "test", policy, "--json").stdout)["failed"] == 0
    policy.with_suffix(".test.json").write_text(json.dumps([{"ctx": {"operation": "notes.create"}, "expect": {"outcome": "continue"}}]))
    assert server.cli("policy", "test", policy, check=False).returncode == 1


def test_backup_and_restore(server, tenant, tmp_path):
    """Beside the running server, into a folder of its own: the same notes, documents, keys, blobs, models and installed plugins answer there."""
    api, w = tenant.api, f"/workspaces/{tenant.workspace}"
    api.call("POST", w + "/notes", 201, json={"title": "before the backup"})
    api.upload(tenant.workspace, ("backup.txt", b"The archive of the harbour office burned in 1871, only the tide tables were saved."))
    question = "What was saved from the fire in the harbour office?"
    before = {"notes": api.pages(w + "/notes", limit=200), "documents": api.pages(w + "/documents", limit=200), "search": api.search(tenant.workspace, question)}
    model = registry.upload(api, name="ours", type="custom", weights=registry.gguf())
    server.cli("plugin", "install", servers.TEST_PLUGINS / "evolving")
    archive = tmp_path / "backup.tar"
    server.cli("backup", archive)
    assert archive.stat().st_mode & 0o077 == 0
    api.call("POST", w + "/notes", 201, json={"title": "after the backup"})
    other = servers.Server(name="restored", plugins=SERVER["plugins"])
    try:
        other.cli("restore", archive)
        other.start()
        with client.Client(other.url, tenant.key) as there:
            after = {"notes": there.pages(w + "/notes", limit=200), "documents": there.pages(w + "/documents", limit=200),
                     "search": there.search(tenant.workspace, question)}
            assert after["notes"] == before["notes"] and after["documents"] == before["documents"]
            assert [r["chunk_id"] for r in after["search"]] == [r["chunk_id"] for r in before["search"]]
            there.call("POST", w + "/notes", 201, json={"title": "written after the restore"})
            item = there.upload(tenant.workspace, ("again.txt", b"The archive of the harbour office burned in 1871, only the tide tables were saved."))[0]
            assert item["duplicate"]
            assert there.call("GET", f"/models/{model['id']}").data["sha256"] == model["sha256"]
        assert registry.stored(other, tenant.org) == registry.stored(server, tenant.org)
        with other.admin() as admin:
            assert admin.call("GET", "/plugins/evolving").data["state"] == "active"
        assert other.cli("restore", archive, check=False).returncode == 1, "not into a folder in use"
    finally:
        other.dispose()


def test_a_backup_holds_when_a_file_goes_meanwhile(server, tmp_path, monkeypatch):
    """tar says 1 for that; any worse end leaves no file."""
    tar = tmp_path / "tar"
    monkeypatch.setitem(server.env, "PATH", f"{tmp_path}:{server.env['PATH']}")
    for end in 1, 2:
        tar.write_text(f'#!/bin/sh\n/bin/tar "$@" && exit {end}\n')
        tar.chmod(0o755)
        archive = tmp_path / f"{end}.tar"
        assert server.cli("backup", archive, check=False).returncode == end - 1
        assert archive.exists() == (end == 1) and not (tmp_path / f"{end}.tar.part").exists()


def test_two_servers_do_not_share_a_folder(server):
    second = server.cli("serve", "--port", "0", check=False)
    assert second.returncode == 1 and "Another mortise" in second.stderr, second.stderr
    with server.admin() as admin:
        admin.call("GET", "/hello")


def test_a_stop_lets_requests_end(server, tenant):
    """SIGTERM while an upload waits for its indexing: the answer still comes."""
    text = "\n\n".join(f"Paragraph {n} of a document that takes a while, about canal {n} and its locks." for n in range(60)).encode()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(tenant.api.upload(tenant.workspace, ("slow.txt", text))[0]["document"]["status"]))
    thread.start()
    until("it is being indexed", lambda: server.database().count("documents.document", "status = 'indexing'") > 0, 10, 0.005)
    begin = time.monotonic()
    server.stop()
    thread.join(30)
    took = time.monotonic() - begin
    server.start()
    assert took < 15
    path = f"/workspaces/{tenant.workspace}/documents"
    until("it is indexed in the end", lambda: all(d["status"] == "indexed" for d in client.Client(server.url, tenant.key).pages(path, limit=200)), 40)
