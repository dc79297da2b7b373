"""Secrets in plugin configurations: used by the plugin, encrypted where they are stored, shown to nobody."""
import base64
import json
import os
import secrets
import shutil
import stat
import tarfile

import pytest

import client
import server as servers
from harness import FAILED
from server import until

SHOWN = "********"
GREETING, TOKEN = f"open-{secrets.token_hex(8)}", f"token-{secrets.token_hex(8)}"
SCHEMA = {"type": "object", "additionalProperties": False, "properties": {
    "note": {"type": "string"}, "greeting": {"type": "string", "format": "secret", "minLength": 4, "x-level": "workspace"},
    "tokens": {"type": "object", "additionalProperties": {"type": "string", "format": "secret"}}}}
CONFIG = "/plugins/hello/config"


def hello_with(folder, schema):
    """The plugin hello with another schema: its greeting is the word that it shows to callers."""
    made = folder / "hello"
    shutil.copytree(servers.PLUGINS / "hello", made)
    manifest = json.loads((made / "plugin.json").read_text()) | {"config_schema": schema}
    (made / "plugin.json").write_text(json.dumps(manifest))
    return made


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    """The plugin runs in a process of its own here; test_upstreams and test_embed_remote have such that do not."""
    made = servers.Server(name="test_secrets", env={"MORTISE_TRACE_VALUES": "true", "LOG_LEVEL": "debug"}, args=["--plugins.isolated", "hello"])
    made.start()
    made.cli("plugin", "install", hello_with(tmp_path_factory.mktemp("hello"), SCHEMA), "--config", f"tokens.first={TOKEN}")
    yield made
    made.dispose(failed=request.module.__name__ in FAILED)


@pytest.fixture()
def admin(server):
    """Of its own, for the server restarts."""
    with server.admin() as api:
        yield api


def greet(admin):
    return admin.call("GET", "/hello").data["message"].split(",")[0]


def stored(server, column="config"):
    return json.loads(server.database().value(f"SELECT {column} FROM mt.plugin WHERE slug = 'hello'"))


def store(server, config):
    server.database().run(f"UPDATE mt.plugin SET config = '{json.dumps(config)}' WHERE slug = 'hello'")


def key_id(sealed):
    return sealed["$secret"].split(".")[1]


def everything(server, admin):
    """name -> text of all that is stored, logged and answered."""
    rows = server.database()
    tables = rows.rows("SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
    found = {f"table {t}": rows.run(f"SELECT x::text FROM {t} x").encode() for (t,) in tables}
    found["log"] = server.log_path.read_bytes()
    for path in ("/plugins", "/plugins/hello", "/plugins/hello/status", CONFIG, "/openapi.json", "/traces", "/metrics"):
        found[path] = admin.call("GET", path).content
    for trace in admin.call("GET", "/traces").data["items"]:
        found[f"trace {trace['trace_id']}"] = admin.get(f"/traces/{trace['trace_id']}").content
    for words in (("plugin", "info", "hello"), ("plugin", "doctor", "hello"), ("plugin", "list", "--json")):
        found[" ".join(words)] = server.cli(*words, check=False).stdout.encode()
    for folder, _, names in os.walk(server.data):     # PostgreSQL's own files and its log of writes too
        for name in names:
            path = os.path.join(folder, name)
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    with open(path, "rb") as f:
                        found[path] = f.read()
            except FileNotFoundError:
                pass
    return found


def assert_nowhere(server, admin, *words):
    forms = [form for word in words for form in (word.encode(), word.encode().hex().encode(), base64.b64encode(word.encode())[:-4])]
    bad = [name for name, text in everything(server, admin).items() if any(form in text for form in forms)]
    assert bad == []


def test_it_is_used_and_nowhere_to_be_seen(server, admin):
    key = server.data / "secret.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    answer = admin.call("PUT", CONFIG, headers={"Mortise-Trace": "1"}, json={"note": "seen", "greeting": GREETING, "tokens": {"first": SHOWN, "x/y": TOKEN[::-1]}})
    assert answer.data == admin.call("GET", CONFIG).data == {"note": "seen", "greeting": SHOWN, "tokens": {"first": SHOWN, "x/y": SHOWN}}
    assert admin.call("GET", "/plugins/hello/status").data["config"] == answer.data
    assert greet(admin) == GREETING
    assert stored(server)["note"] == "seen" and set(stored(server)["greeting"]) == {"$secret"}
    admin.call("PUT", CONFIG, 422, json={"greeting": 7, "tokens": {"second": TOKEN}})
    # a wrong request and a trace of it say nothing either; GREETING is the plugin's to show, and no answer of it was kept
    assert_nowhere(server, admin, GREETING, TOKEN, TOKEN[::-1])


def test_what_was_shown_keeps_it_and_absence_or_null_removes_it(admin):
    assert admin.call("PUT", CONFIG, json={"greeting": SHOWN}).data == {"greeting": SHOWN}
    assert greet(admin) == GREETING
    for given in ({"note": "none"}, {"note": "none", "greeting": None}):
        admin.call("PUT", CONFIG, json={"greeting": GREETING})
        assert admin.call("PUT", CONFIG, json=given).data == {"note": "none"}
        assert greet(admin) == ""
    gone = admin.call("PUT", CONFIG, 422, json={"greeting": SHOWN}).data
    assert gone["code"] == "secret_unknown" and "/greeting" in json.dumps(gone)
    assert admin.call("PUT", CONFIG, 422, json={"greeting": {"$secret": "v1.00000000.AAAA"}}).data["code"] == "secret_reserved"
    short = admin.call("PUT", CONFIG, 422, json={"greeting": "abc"})
    assert "/greeting" in short.text and "abc" not in short.text
    assert admin.call("GET", CONFIG).data == {"note": "none"}


def test_what_was_stored_plainly_is_encrypted_at_the_next_start(server):
    store(server, {"greeting": "plain and old", "tokens": {"a": "plain too"}})
    server.restart()
    with server.admin() as admin:
        assert greet(admin) == "plain and old"
        until("what was stored plainly is sealed", lambda: server.events("secrets.sealed", plugin="hello"))
        assert set(stored(server)["greeting"]) == set(stored(server)["tokens"]["a"]) == {"$secret"}
    server.cli("reload")
    with server.admin() as admin:
        assert greet(admin) == "plain and old" and len(server.events("secrets.sealed", plugin="hello")) == 1


def test_a_copy_in_another_place_is_no_secret(server):
    with server.admin() as admin:
        admin.call("PUT", CONFIG, json={"greeting": GREETING, "tokens": {"a": TOKEN}})
    sealed = stored(server)
    store(server, {"greeting": sealed["tokens"]["a"]})
    server.restart()
    with server.admin() as admin:
        plugin = admin.call("GET", "/plugins/hello").data
        assert plugin["state"] == "waiting" and "/greeting" in plugin["reason"] and "give the secret anew" in plugin["reason"]
        assert admin.call("GET", CONFIG).data == {"greeting": SHOWN}
        assert admin.call("GET", "/hello", 503).data["detail"]
        assert admin.call("PUT", CONFIG, json={"greeting": GREETING}).data == {"greeting": SHOWN}      # the way out
        assert admin.call("GET", "/plugins/hello").data["state"] == "active" and greet(admin) == GREETING


def test_without_its_key_the_plugin_waits_and_the_rest_serves(server):
    key, aside = server.data / "secret.key", server.folder / "aside.key"
    key.rename(aside)
    server.restart()                                  # ready: nobody else waits for it
    with server.admin() as admin:
        plugin = admin.call("GET", "/plugins/hello").data
        assert plugin["state"] == "waiting" and str(key) in plugin["reason"] and key_id(stored(server)["greeting"]) in plugin["reason"]
        assert admin.call("GET", "/health").data["status"] == "degraded"
        assert not key.exists()                       # reading makes none
        unlock = admin.call("PUT", CONFIG, 503, json={"greeting": SHOWN}).data
        assert unlock["code"] == "secret_key_missing"
    aside.rename(key)
    server.cli("reload")
    with server.admin() as admin:
        assert admin.call("GET", "/plugins/hello").data["state"] == "active" and greet(admin) == GREETING


def test_organizations_and_instances_have_secrets_of_their_own(server, admin):
    red, blue = client.Tenant(server, "red"), client.Tenant(server, "blue")
    words = {name: f"{name}-{secrets.token_hex(8)}" for name in ("red", "blue", "workspace", "instance", "stolen")}
    of_red, of_blue, of_workspace = f"/organizations/{red.org}/plugins/hello", f"/organizations/{blue.org}/plugins/hello", f"/workspaces/{red.workspace}/plugins/hello"
    for tenant, path, name in ((red, of_red, "red"), (blue, of_blue, "blue"), (red, of_workspace, "workspace")):
        assert tenant.api.call("PUT", path, json={"config": {"greeting": words[name]}}).data["config"] == {"greeting": SHOWN}
        assert tenant.api.call("GET", path).data["config"] == {"greeting": SHOWN}
        tenant.api.call("PUT", path, json={"config": {"greeting": SHOWN}})
    admin.call("PUT", "/plugins/hello/instances/other", json={"config": {"greeting": words["instance"]}})
    bound = red.workspace_client(red.workspace)
    assert [greet(api) for api in (red.api, blue.api, bound)] == [words["red"], words["blue"], words["workspace"]]
    assert red.api.call("GET", "/plugins/hello/effective-config", params={"workspace_id": red.workspace}).data["config"] == {"greeting": SHOWN}
    for path in (f"/plugins/hello/effective-config?organization_id={red.org}", "/plugins/hello/effective-config?instance=other", "/plugins/hello/instances"):
        text = admin.call("GET", path).text
        assert SHOWN in text and not any(word in text for word in words.values())
    assert not any(word in red.api.call("GET", f"/organizations/{red.org}/plugins").text for word in words.values())
    assert_nowhere(server, admin, *words.values())

    server.database().run(f"""UPDATE mt.plugin_setting SET config = (SELECT config FROM mt.plugin_setting WHERE org_id = '{red.org}' AND workspace_id = '00000000-0000-0000-0000-000000000000')
                              WHERE org_id = '{blue.org}'""")
    def refused():                                    # neither red's nor the operator's, once the host has heard of it
        answer = blue.api.get("/hello")
        assert words["red"] not in answer.text and GREETING not in answer.text
        assert str(server.data) not in answer.text    # nor where keys lie: who asks is anybody of the organization
        return answer.status_code == 503 and answer.json()["code"] == "settings_unreadable"
    until("what was copied is refused", refused)
    blue.api.call("PUT", of_blue, json={"config": {"greeting": words["blue"]}})
    assert greet(blue.api) == words["blue"]

    layers = "SELECT config #>> '{greeting,$secret}' FROM mt.plugin_setting WHERE slug = 'hello'"
    new = json.loads(server.cli("secrets", "rotate", "--json").stdout)["key"]
    server.cli("reload")
    until("every layer is sealed with the new key", lambda: {row[0].split(".")[1] for row in server.database().rows(layers)} == {new})
    assert [greet(client.Client(server.url, api.key)) for api in (red.api, blue.api, bound)] == [words["red"], words["blue"], words["workspace"]]


def test_keys_rotate(server):
    old = key_id(stored(server)["greeting"])
    new = json.loads(server.cli("secrets", "rotate", "--json").stdout)["key"]
    assert json.loads(server.cli("secrets", "list", "--json").stdout)["keys"][:2] == [new, old]
    server.cli("reload")
    with server.admin() as admin:
        until("it is sealed with the new key", lambda: key_id(stored(server)["greeting"]) == new)
        assert new != old and greet(admin) == GREETING
    key = server.data / "secret.key"
    key.write_text("".join(line for line in key.read_text().splitlines(True) if line[0] != "#").splitlines(True)[0])
    server.cli("reload")
    with server.admin() as admin:
        assert admin.call("GET", "/plugins/hello").data["state"] == "active" and greet(admin) == GREETING


def test_a_backup_has_the_keys_wherever_they_lie(server):
    elsewhere = server.folder / "shared.key"
    shutil.copy(server.data / "secret.key", elsewhere)
    for words in ((), ("--secrets.key_file", elsewhere)):
        server.cli("backup", server.folder / "b.tar", *words)
        with tarfile.open(server.folder / "b.tar") as tar:
            assert [m for m in tar.getnames() if m.endswith("secret.key")] == ["secret.key"]
            assert tar.extractfile("secret.key").read() == elsewhere.read_bytes()


def test_a_schema_whose_secrets_cannot_be_kept_is_refused(server, tmp_path):
    made = hello_with(tmp_path, {"type": "object", "properties": {"list": {"type": "array", "items": {"type": "string", "format": "secret"}}}})
    refused = server.cli("plugin", "install", made, check=False)
    assert refused.returncode == 1 and "not in lists" in refused.stderr
