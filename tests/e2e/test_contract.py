"""Every operation of /v1/openapi.json, called right and wrong. Each answer of this module is held against the document."""
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest

import client
import server as servers
from contract import Contract

NOBODY = "01890000-0000-7000-8000-00000000dead"
POLICY = '-- hook: limit.check\nif ctx.operation == "notes.list" then decide.deny(403, "no") end'


SERVER = {"env": {"MORTISE_PLUGINS_ALLOW_UNSIGNED": "true"}}


@pytest.fixture(scope="module")
def contract(server):
    with client.Client(server.url) as api:
        return Contract(api.call("GET", "/openapi.json").data)


@pytest.fixture(scope="module")
def checked(server, contract):
    """Clients whose answers are checked: checked(key)."""
    return lambda key=None: client.Client(server.url, key, event_hooks={"response": [contract.check]})


@pytest.fixture(scope="module")
def world(server, contract, checked):
    """An organization with one of everything: the path parameters of every operation."""
    tenant = client.Tenant(server, "contract")
    tenant.api = checked(tenant.key)
    api, w = tenant.api, f"/workspaces/{tenant.workspace}"
    tenant.ids = {"organization_id": tenant.org, "workspace_id": tenant.workspace, "slug": "hello"}
    tenant.ids["note_id"] = api.call("POST", w + "/notes", 201, json={"title": "one"}).data["id"]
    tenant.ids["agent_id"] = api.call("POST", w + "/agents", 201, json={"name": "one", "slug": "one"}).data["id"]
    document = api.upload(tenant.workspace, ("a.txt", b"Ada Lovelace wrote the first program in 1843."))[0]["document"]
    tenant.ids["document_id"] = document["id"]
    tenant.ids["collection_id"] = api.call("POST", w + "/collections", 201, json={"name": "one"}).data["id"]
    tenant.ids["session_id"] = api.chat(tenant.workspace, "Who wrote the first program?")["session_id"]
    tenant.ids["key_id"] = tenant.make_key(api, w + "/api-keys")[0]
    tenant.ids.update(number="1", instance="second", model="extractive", owner="agent", name="default")
    tenant.ids["model_id"] = new_model(checked(server.admin_key))
    tenant.ids["policy_id"] = api.call("POST", f"/organizations/{tenant.org}/policies", 201, json=new_policy()).data["id"]
    failed = api.call("GET", "/hello", 422, params={"name": ""})
    tenant.ids["trace_id"] = failed.headers["traceparent"].split("-")[1]
    return tenant


def new_policy():
    return {"name": "p_" + client.new_id()[-12:], "source": POLICY.replace("notes.list", "nothing.at.all")}


# A body that is right, for every operation that takes JSON.
BODIES = {
    "core.plugin_configure": lambda w: {"greeting": "Hello"},
    "core.plugin_instance_put": lambda w: {"config": {"greeting": "Salve"}, "scope": {"operations": ["chat.*"], "api_keys": [w.key_id]}, "priority": 5},
    "core.organization_plugin_put": lambda w: {"enabled": True, "config": {"greeting": "Salve"}, "scope": {"operations": ["hello.*"]}},
    "core.organization_plugin_allow": lambda w: {"allowed": True},
    "core.workspace_plugin_put": lambda w: {"config": {"greeting": "Ave"}},
    "core.plugin_config_check": lambda w: {"greeting": "Hello"},
    "core.policy_test": lambda w: {"name": "p", "source": POLICY, "cases": [{"ctx": {"operation": "notes.list"}, "expect": {"outcome": "deny", "status": 403}}]},
    "policies.create": lambda w: new_policy(),
    "policies.update": lambda w: {"enabled_version": 1, "shadow_version": None, "record": True},
    "policies.version_create": lambda w: {"source": POLICY},
    "policies.replay": lambda w: {"source": POLICY},
    "policies.try": lambda w: BODIES["core.policy_test"](w),
    "policies.explain": lambda w: {"method": "GET", "path": f"/v1/workspaces/{w.workspace}/notes"},
    "models.settings_put": lambda w: {"default_model": "extractive", "allowed_models": ["extractive"], "max_output_tokens": 500},
    "chat.ask": lambda w: {"query": "Who wrote the first program?"},
    "chat.query": lambda w: {"query": "Who wrote the first program?", "workspace_id": w.workspace},
    "embedding.embed": lambda w: {"texts": ["Ada wrote the first program."], "workspace_id": w.workspace},
    "chat.session_create": lambda w: {"title": "A chat", "metadata": {"colour": "blue"}},
    "chat.session_update": lambda w: {"title": "Another title"},
    "openai.chat": lambda w: {"model": "extractive", "messages": [{"role": "user", "content": "Who wrote the first program?"}]},
    "openai.embeddings": lambda w: {"model": "all-minilm-l6-v2", "input": "words"},
    "notes.create": lambda w: {"title": "two", "text": "words", "tags": ["a"], "pinned": True},
    "notes.update": lambda w: {"text": "changed"},
    "retrieval.search": lambda w: {"query": "program", "limit": 3},
    "retrieval.settings_put": lambda w: {"mode": "hybrid", "text_weight": 0.3},
    "organizations.create": lambda w: {"name": "Other", "slug": "other-" + client.new_id()[:8]},
    "organizations.replace": lambda w: {"name": "Contract", "slug": "contract"},
    "organizations.update": lambda w: {"contact_name": "Ada"},
    "workspaces.create": lambda w: {"name": "Next", "slug": "next-" + client.new_id()[:8]},
    "workspaces.replace": lambda w: {"name": "Main", "slug": "main"},
    "workspaces.update": lambda w: {"description": "changed"},
    "agents.create": lambda w: {"name": "Next", "slug": "next-" + client.new_id()[:8]},
    "agents.replace": lambda w: {"name": "One", "slug": "one"},
    "agents.update": lambda w: {"temperature": 0.1},
    "documents.update": lambda w: {"metadata": {"shelf": "north"}},
    "collections.create": lambda w: {"name": "Shelf " + client.new_id()[:8]},
    "collections.update": lambda w: {"description": "changed"},
    "embedding.set": lambda w: {"model": "all-minilm-l6-v2"},
    "organization_keys.create": lambda w: {"name": "key", "scopes": ["read"]},
    "keys.create": lambda w: {"name": "key", "scopes": ["search"]},
}
# What may not fall on the shared things: each gets something of its own to destroy.
FRESH = {
    "notes.delete": ("note_id", "/workspaces/{workspace_id}/notes", {"title": "x"}),
    "agents.delete": ("agent_id", "/workspaces/{workspace_id}/agents", {"name": "x", "slug": "doomed"}),
    "collections.delete": ("collection_id", "/workspaces/{workspace_id}/collections", {"name": "doomed"}),
    "workspaces.delete": ("workspace_id", "/organizations/{organization_id}/workspaces", {"name": "x", "slug": "doomed"}),
    "keys.revoke": ("key_id", "/workspaces/{workspace_id}/api-keys", {"name": "x"}),
    "organization_keys.revoke": ("key_id", "/organizations/{organization_id}/api-keys", {"name": "x"}),
}


def model_parts():
    """Of an upload that registers a name for a model of the platform."""
    return [("config", (None, json.dumps({"name": client.new_id(), "type": "openai", "model": "extractive"})))]


def new_model(api):
    return api.call("POST", "/models/upload", 201, files=model_parts()).data["id"]


def guest(version="1.0.0"):
    """A package of a plugin that has nothing but its name."""
    manifest = json.dumps({"slug": "guest", "version": version, "abi": 1, "description": "d", "license": "MIT"}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("guest/plugin.json")
        entry.size = len(manifest)
        tar.addfile(entry, io.BytesIO(manifest))
    return [("file", ("guest.mortise", out.getvalue()))]


def fill(path, ids):
    for name, value in ids.items():
        path = path.replace("{" + name + "}", value)
    return path


def request_of(operation, world):
    """The keyword arguments of a right call."""
    if operation.content == "application/json":
        assert operation.id in BODIES, f"tell BODIES a right body of {operation.id}"
        return {"json": BODIES[operation.id](world)}
    if operation.id == "models.upload":
        return {"files": model_parts()}
    if operation.id in ("core.plugin_install", "core.plugin_check"):
        return {"files": guest()}
    if operation.content == "multipart/form-data":
        data = {"workspace_id": world.workspace} if operation.id == "documents.upload_to" else {}
        return {"files": [("file", ("b.txt", b"Charles Babbage designed the analytical engine."))], "data": data}
    return {}


def ids_for(operation, world, admin):
    ids = dict(world.ids)
    if operation.id in FRESH:
        name, path, body = FRESH[operation.id]
        ids[name] = world.api.call("POST", fill(path, ids), 201, json=body).data["id"]
    if operation.id == "chat.session_delete":
        ids["session_id"] = world.api.chat(world.workspace, "Who wrote the first program?")["session_id"]
    if operation.id == "model_registry.delete":
        ids["model_id"] = new_model(admin)
    if operation.id == "policies.delete":
        ids["policy_id"] = world.api.call("POST", f"/organizations/{world.org}/policies", 201, json=new_policy()).data["id"]
    if operation.id in ("core.plugin_isolate", "core.plugin_trust"):
        admin.call("POST", "/plugins/hello/enable")
        ids["slug"] = "hello"
    if operation.id in ("core.plugin_rollback", "core.plugin_uninstall"):
        for version in ("1.1.0", "1.2.0"):
            admin.call("POST", "/plugins/install", files=guest(version))
        ids["slug"] = "guest"
    if operation.id == "documents.delete":
        ids["document_id"] = world.api.upload(world.workspace, ("doomed.txt", b"To be deleted."))[0]["document"]["id"]
    if operation.id == "organizations.delete":
        ids["organization_id"] = admin.call("POST", "/organizations", 201, json={"name": "x", "slug": "doomed"}).data["id"]
    return ids


def every(contract, **wanted):
    return [o for o in contract.operations if all(getattr(o, name) == value for name, value in wanted.items())]


# --- right ---

def test_every_operation_called_right(contract, checked, server, world):
    admin = checked(server.admin_key)
    order = sorted(contract.operations, key=lambda o: (o.method == "DELETE", o.id.startswith("core.plugin_"), o.id == "core.plugin_enable", o.id))
    for operation in order:
        path = fill(operation.path, ids_for(operation, world, admin))
        assert "{" not in path, f"tell world.ids the parameters of {operation.path}"
        answer = admin.request(operation.method, path, **request_of(operation, world))
        assert answer.status_code < 300, f"{operation.id}: {answer.status_code} {answer.text[:1000]}"
        for header in ("x-request-id", "traceparent", "server-timing", "x-content-type-options"):
            assert header in answer.headers, f"{operation.id} answers without {header}"
    missing = [o.id for o in contract.operations if not any(s < 300 for s in contract.answered.get(o.id, ()))]
    assert not missing


def test_streamed_answers_keep_the_contract(contract, world):
    answers = world.api.chat_stream(world.workspace, "Who wrote the first program?")
    contract.validate({"$ref": "#/components/schemas/ChatAnswer"}, answers[-1][1])


# --- wrong: who asks ---

def test_nothing_answers_without_a_key(contract, checked, world):
    for key in (None, "sk_live_" + "0" * 43, "nonsense"):
        api = checked(key)
        for operation in every(contract, public=False):
            answer = api.request(operation.method, fill(operation.path, world.ids), **request_of(operation, world))
            assert answer.status_code == 401, f"{operation.id} with key {key}: {answer.status_code}"
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert api.get("/no/such/path").status_code in (401, 404)


def test_only_these_are_public(contract):
    assert {o.id for o in every(contract, public=True)} == {
        "core.health", "core.health_agent", "core.health_admin", "core.ready", "core.openapi", "core.docs"}


def test_paths_are_unknown_to_strangers(checked):
    """Whether a path exists is told to nobody without a key; the two answers differ only in the id of the request."""
    api = checked()
    there, not_there = api.get(f"/workspaces/{NOBODY}"), api.get(f"/nothing/{NOBODY}")
    strip = lambda a: {k: v for k, v in a.json().items() if k != "request_id"}
    assert (there.status_code, strip(there)) == (not_there.status_code, strip(not_there))


def test_a_narrow_key_is_refused_what_it_may_not(contract, checked, server, world):
    """scopes: search. What it holds answers; all else is 403, the platform's operations too."""
    api = checked(world.make_key(world.api, f"/organizations/{world.org}/api-keys", scopes=["search"])[1])
    may = {"search.use", "embedding.use", "document.read", "workspace.read", "hello.read"}
    for operation in every(contract, public=False):
        answer = api.request(operation.method, fill(operation.path, world.ids), **request_of(operation, world))
        if operation.spec["x-permission"] in may:
            assert answer.status_code < 300, f"{operation.id}: {answer.text}"
        else:
            assert answer.status_code == 403 and operation.problem(answer)["code"] == "permission_missing", f"{operation.id}: {answer.status_code}"


def test_platform_operations_need_a_platform_key(contract, world):
    for operation in contract.operations:
        if operation.spec.get("x-scope") == "platform":
            world.api.call(operation.method, fill(operation.path, world.ids), 403, **request_of(operation, world))


# --- wrong: what is asked for ---

def test_unknown_and_malformed_ids(contract, world):
    for operation in every(contract, public=False):
        if operation.spec.get("x-scope") == "platform":
            continue
        for parameter in operation.params("path"):
            for wrong in (NOBODY, "not-an-id", "%2e%2e", "0" * 36, world.ids["workspace_id"][:-1]):
                if parameter["name"] == "trace_id" and wrong == NOBODY:
                    wrong = "0" * 32
                path = fill(operation.path, {**world.ids, parameter["name"]: wrong})
                answer = world.api.request(operation.method, path, **request_of(operation, world))
                if operation.is_list and parameter["name"] not in ("workspace_id", "organization_id") and wrong == NOBODY:
                    assert answer.status_code in (200, 404) and not answer.json().get("items"), operation.id
                    continue
                assert answer.status_code == 404, f"{operation.id} {parameter['name']}={wrong}: {answer.status_code} {answer.text}"


def test_wrong_method(contract, checked, server):
    admin = checked(server.admin_key)
    for path in contract.document["paths"]:
        methods = {m.upper() for m in contract.document["paths"][path] if m in ("get", "post", "put", "patch", "delete")}
        url = fill(path, {p: NOBODY for p in ("workspace_id", "organization_id", "note_id", "agent_id", "document_id", "session_id", "key_id", "collection_id", "policy_id")})
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"} - methods:
            answer = admin.request(method, url.replace("{slug}", "hello").replace("{trace_id}", "0" * 32))
            assert answer.status_code == 405, f"{method} {url}: {answer.status_code} {answer.text}"
            assert methods <= {m.strip() for m in answer.headers["allow"].split(",")}


def test_unknown_query_parameter(contract, checked, server, world):
    admin = checked(server.admin_key)
    for operation in contract.operations:
        answer = admin.request(operation.method, fill(operation.path, world.ids), params={"zebra": "1"}, **request_of(operation, world))
        assert answer.status_code == operation.invalid(), f"{operation.id}: {answer.status_code} {answer.text[:300]}"


# --- wrong: bodies ---

def with_json(contract):
    return every(contract, content="application/json")


def put(api, operation, world, status, **options):
    answer = api.request(operation.method, fill(operation.path, world.ids), **options)
    status = operation.invalid() if status == 422 else status
    assert answer.status_code == status, f"{operation.id}: {answer.status_code}, not {status}: {answer.text[:500]}"
    return operation.problem(answer) if status >= 400 else answer.json()


def test_wrong_content_type(contract, checked, server, world):
    admin = checked(server.admin_key)
    for operation in contract.operations:
        if operation.content:
            put(admin, operation, world, 415, content=b"a=b", headers={"content-type": "application/x-www-form-urlencoded"})
            put(admin, operation, world, 415, content=b"{}")


def test_broken_json(contract, checked, server, world):
    admin, headers = checked(server.admin_key), {"content-type": "application/json"}
    for operation in with_json(contract):
        for text in (b"", b"{", b"{'a':1}", b'{"a":1,}', b"\xff\xfe", b'{"a":"\xc3"}', b"[" * 100 + b"]" * 100, b'{"a":1}{"b":2}', b'{"a":1,"a":2}'):
            put(admin, operation, world, 400, content=text, headers=headers)
        for text in (b"[]", b"null", b'"text"', b"7"):
            put(admin, operation, world, 422, content=text, headers=headers)


def test_unknown_fields(contract, checked, server, world):
    admin = checked(server.admin_key)
    for operation in with_json(contract):
        if operation.openai:                 # clients of other versions send more
            put(admin, operation, world, 200, json={**BODIES[operation.id](world), "zebra": 1})
            continue
        problem = put(admin, operation, world, 422, json={**BODIES[operation.id](world), "zebra": 1})
        assert problem["pointer"] == "/zebra", operation.id


def test_missing_and_mistyped_fields(contract, checked, server, world):
    admin = checked(server.admin_key)
    for operation in with_json(contract):
        name = operation.spec["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        schema = contract.document["components"]["schemas"][name]
        right = BODIES[operation.id](world)
        for field in schema.get("required", []):
            problem = put(admin, operation, world, 422, json={k: v for k, v in right.items() if k != field})
            assert field in problem["detail"] + problem.get("pointer", ""), f"{operation.id} without {field}: {problem}"
        for field, of in schema.get("properties", {}).items():
            kinds = str([of.get("type"), *(one.get("type") for one in of.get("anyOf", []))])
            wrong = 5 if "string" in kinds or "object" in kinds or "enum" in of or "$ref" in of else {"an": "object"}
            problem = put(admin, operation, world, 422, json={**right, field: wrong})
            assert problem["pointer"] == f"/{field}", f"{operation.id} {field}: {problem}"


def test_nul_is_refused_everywhere(contract, checked, server, world):
    admin = checked(server.admin_key)
    for operation in with_json(contract):
        right = BODIES[operation.id](world)
        text = next((k for k, v in right.items() if isinstance(v, str)), "description")
        answer = admin.request(operation.method, fill(operation.path, world.ids), json={**right, text: "a\0b"})
        assert answer.status_code in (400, 422), f"{operation.id}: {answer.status_code}"


def test_too_large(contract, checked, server, world):
    admin = checked(server.admin_key)
    for operation in with_json(contract):
        put(admin, operation, world, 413, content=b'{"a":"' + b"x" * (2 << 20) + b'"}', headers={"content-type": "application/json"})


def test_multipart_that_is_none(contract, checked, server, world):
    admin, headers = checked(server.admin_key), {"content-type": "multipart/form-data; boundary=b"}
    operation = contract["documents.upload"]
    for text in (b"", b"--b", b"no boundary", b"--b\r\n\r\nx\r\n--b--\r\n", b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ncut'):
        put(admin, operation, world, 400, content=text, headers=headers)
    put(admin, operation, world, 400, content=b"x", headers={"content-type": "multipart/form-data"})
    put(admin, operation, world, 422, files=[("other", ("a.txt", b"text"))])
    put(admin, operation, world, 422, data={"file": "no file"}, files=[("x", (None, b"y"))])


# --- lists, conditions, repeats ---

def test_lists_have_bounds_and_cursors(contract, checked, server, world):
    admin = checked(server.admin_key)
    for operation in every(contract, is_list=True):
        path = fill(operation.path, world.ids)
        for wrong in ("0", "201", "-1", "many", "1.5", ""):
            answer = admin.get(path, params={"limit": wrong})
            assert answer.status_code == 422 and answer.json()["pointer"] == "/query/limit", f"{operation.id} limit={wrong}: {answer.text}"
        for wrong in ("x", "////", "AAAAAAAAAAAAAAAA", "0" * 5000):
            assert admin.get(path, params={"cursor": wrong}).status_code in (400, 414, 431, 422), f"{operation.id} cursor={wrong[:20]}"


def test_a_list_in_pages(world):
    api, path = world.api, f"/workspaces/{world.workspace}/notes"
    made = [api.call("POST", path, 201, json={"title": f"page {n}"}).data["id"] for n in range(7)]
    listed = [note["id"] for note in api.pages(path, limit=3)]
    assert listed[:7] == made[::-1] and len(listed) == len(set(listed))
    cursor = api.call("GET", path, params={"limit": 2}).data["next_cursor"]
    other = world.new_workspace("other-list")
    assert api.call("GET", f"/workspaces/{other}/notes", 400, params={"cursor": cursor}).data["code"] == "cursor_invalid"
    assert api.call("GET", f"/workspaces/{world.workspace}/agents", 400, params={"cursor": cursor}).data["code"] == "cursor_invalid"


def test_etag_and_if_match(world):
    api, path = world.api, f"/workspaces/{world.workspace}/notes"
    made = api.call("POST", path, 201, json={"title": "versions"})
    note = f"{path}/{made.data['id']}"
    assert made.headers["location"] == "/v1" + note
    first = api.call("GET", note).headers["etag"]
    assert first == made.headers["etag"]
    same = api.call("GET", note, 304, headers={"if-none-match": first})
    assert not same.content and same.headers["etag"] == first
    second = api.call("PATCH", note, json={"title": "second"}, headers={"if-match": first}).headers["etag"]
    assert second != first
    api.call("GET", note, 200, headers={"if-none-match": first})
    stale = api.call("PATCH", note, 412, json={"title": "third"}, headers={"if-match": first})
    assert api.call("GET", note).data["title"] == "second", stale.text
    for odd in ('"abc"', "x", '"', '"1', "1,2", '"99999999999999999999"'):
        api.call("PATCH", note, 412, json={"title": "third"}, headers={"if-match": odd})
    api.call("PATCH", note, 200, json={"title": "third"}, headers={"if-match": "*"})
    api.call("PATCH", f"{path}/{NOBODY}", 404, json={"title": "x"}, headers={"if-match": first})


def test_patch_is_a_merge(world):
    api, path = world.api, f"/workspaces/{world.workspace}/agents/{world.ids['agent_id']}"
    api.call("PATCH", path, json={"description": "something", "model_name": "m"})
    after = api.call("PATCH", path, json={"description": None}).data
    assert after["description"] is None and after["model_name"] == "m"
    assert api.call("PATCH", path, json={}).data["model_name"] == "m"


def test_conflicts_are_told_by_name(world):
    api = world.api
    again = api.call("POST", f"/workspaces/{world.workspace}/agents", 409, json={"name": "x", "slug": "one"}).data
    assert (again["code"], again["pointer"]) == ("agent_slug_taken", "/slug")
    again = api.call("POST", f"/organizations/{world.org}/workspaces", 409, json={"name": "x", "slug": "main"}).data
    assert (again["code"], again["pointer"]) == ("workspace_slug_taken", "/slug")


def test_idempotency_key(contract, world):
    api = world.api
    creators = {"notes.create": lambda o: {"title": "once"}, **{name: BODIES[name] for name in
                ("agents.create", "workspaces.create", "keys.create", "chat.query")}}
    for name, body in creators.items():
        operation, body, headers = contract[name], body(world), {"idempotency-key": client.new_id()}
        path = fill(operation.path, world.ids)
        first = api.call("POST", path, (200, 201), json=body, headers=headers)
        if name == "keys.create":            # its answer held a secret, which is kept nowhere
            assert api.call("POST", path, 409, json=body, headers=headers).data["code"] == "idempotency_secret"
            continue
        again = api.call("POST", path, (200, 201), json=body, headers=headers)
        assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
        assert (again.status_code, again.data) == (first.status_code, first.data), name
        other = api.call("POST", path, 422, json={**body, next(iter(body)): "changed"}, headers=headers)
        assert other.data["code"] == "idempotency_mismatch"
    notes = api.pages(f"/workspaces/{world.workspace}/notes", limit=100)
    assert sum(note["title"] == "once" for note in notes) == 1


def test_idempotency_key_of_another_place(contract, world):
    """The same key and body for another workspace or by another caller is never answered with what the first one got."""
    api, headers = world.api, {"idempotency-key": "1"}
    api.call("POST", f"/workspaces/{world.workspace}/notes", 201, json={"title": "mine"}, headers=headers)
    elsewhere = world.new_workspace("idempotent")
    for caller in (api, world.workspace_client(elsewhere)):
        answer = caller.call("POST", f"/workspaces/{elsewhere}/notes", (201, 422), json={"title": "mine"}, headers=headers)
        assert "idempotent-replayed" not in answer.headers or answer.data["workspace_id"] == elsewhere, answer.text


def test_a_failed_request_does_not_keep_its_key(world):
    path, headers = f"/workspaces/{world.workspace}/agents", {"idempotency-key": client.new_id()}
    world.api.call("POST", path, 409, json={"name": "x", "slug": "one"}, headers=headers)
    world.api.call("POST", path, 201, json={"name": "x", "slug": "free-" + client.new_id()[:8]}, headers=headers)


def test_rate_limit_headers_and_429(checked, world):
    api = checked(world.make_key(world.api, f"/organizations/{world.org}/api-keys", rate_limit_per_minute=3)[1])
    answers = [api.get("/hello") for _ in range(6)]
    assert [a.status_code for a in answers[:3]] == [200] * 3 and answers[5].status_code == 429
    assert answers[0].headers["ratelimit-limit"] == "3" and answers[0].headers["ratelimit-remaining"] == "2"
    assert int(answers[5].headers["retry-after"]) > 0


# --- tools of others ---

def test_metrics_are_accepted_by_promtool(server, admin):
    tool = shutil.which("promtool")
    if not tool:
        pytest.skip("promtool is not installed (package prometheus)")
    text = admin.call("GET", "/metrics").text
    done = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr[:2000]
    assert 'mortise_http_requests_total{operation="notes.create"' in text


def test_redocly_finds_nothing(server, contract, tmp_path):
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(contract.document))
    prefix = subprocess.run([servers.ROOT / "mortise.d/fetch-redocly.sh", servers.CACHE], capture_output=True, text=True, check=True).stdout.strip()
    done = subprocess.run([f"{prefix}/node_modules/.bin/redocly", "lint", str(document), "--config", str(pathlib.Path(__file__).parent / "redocly.yaml"),
                           "--format", "stylish"], capture_output=True, text=True, timeout=120, cwd=tmp_path,
                          env={"PATH": servers.os.environ["PATH"], "HOME": str(tmp_path), "REDOCLY_TELEMETRY": "off", "CI": "1"})
    assert done.returncode == 0 and "warning" not in done.stdout, done.stdout + done.stderr


SCHEMATHESIS = """
[parameters]
workspace_id = "{workspace_id}"
organization_id = "{organization_id}"
agent_id = "{agent_id}"
document_id = "{document_id}"
session_id = "{session_id}"
"""


@pytest.mark.parametrize("known_ids, phases", [(True, "coverage,fuzzing"), (False, "fuzzing")])
def test_schemathesis_finds_no_fault(server, world, tmp_path, known_ids, phases):
    """Generated requests, with ids that exist and without: no 5xx, no answer off the document."""
    (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS.format(**world.ids) if known_ids else "")
    tool = pathlib.Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [str(tool), "run", f"{server.url}/openapi.json", "--url", server.url, "-H", f"Authorization: Bearer {world.key}", "--seed", "7",
         "--max-examples", "8", "--phases", phases, "--no-shrink", "--suppress-health-check", "all", "--continue-on-failure",
         "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
         "--exclude-operation-id-regex", r"^(organizations|workspaces)\.delete$|revoke$|^documents.upload$"],
        capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
