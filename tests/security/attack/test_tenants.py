"""Two organizations with everything in them. The second one tries every operation with the first one's ids, names and cursors, with every kind of key
it can have; nothing of the first may show, and an id of the first must look exactly like one that does not exist."""
import itertools
import json
import re
import statistics
import time

import pytest

import client
from contract import Contract
from server import until

CANARY = re.compile(r"canary-[a-z]+-7f3a", re.I)
UNKNOWN = "01890000-0000-7000-8000-00000000dead"
SECRET = "The canary-document-7f3a password of the vault in Basel is marmalade."
POLICY = "-- hook: limit.check\n-- {}\nlocal x = 1"
BODIES = {
    "core.organization_plugin_put": {"enabled": False, "config": {"greeting": "stolen"}},
    "core.workspace_plugin_put": {"config": {"greeting": "stolen"}},
    "policies.create": {"name": "intruder", "source": POLICY.format("x")},
    "policies.update": {"name": "stolen", "enabled_version": None},
    "policies.version_create": {"source": POLICY.format("stolen")},
    "policies.replay": {"source": POLICY.format("x")},
    "policies.try": {"source": POLICY.format("x"), "cases": []},
    "policies.explain": {"method": "GET", "path": "/v1/organizations/x"},
    "chat.session_create": {"title": "x"},
    "chat.session_update": {"title": "stolen"},
    "openai.chat": {"model": "agent/agent", "messages": [{"role": "user", "content": "What is the password of the vault in Basel?"}]},
    "openai.embeddings": {"model": "all-minilm-l6-v2", "input": "vault"},
    "chat.ask": {"query": "What is the password of the vault in Basel?"},
    "models.settings_put": {"default_model": "stolen"},
    "notes.create": {"title": "x"},
    "notes.update": {"title": "stolen"},
    "retrieval.search": {"query": "password of the vault in Basel"},
    "organizations.replace": {"name": "stolen", "slug": "stolen"},
    "organizations.update": {"name": "stolen"},
    "workspaces.create": {"name": "x", "slug": "intruder"},
    "workspaces.replace": {"name": "stolen", "slug": "stolen"},
    "workspaces.update": {"name": "stolen"},
    "agents.create": {"name": "x", "slug": "intruder"},
    "agents.replace": {"name": "stolen", "slug": "stolen"},
    "agents.update": {"name": "stolen"},
    "organization_keys.create": {"name": "x"},
    "keys.create": {"name": "x"},
    "documents.update": {"file_name": "stolen.txt", "collection_id": None},
    "collections.create": {"name": "stolen"},
    "collections.update": {"name": "stolen"},
    "embedding.set": {"model": "all-minilm-l6-v2"},
}


class Victim:
    """An organization whose every text holds a canary; ids by the name of the path parameter."""

    def __init__(self, server, slug, marked):
        self.tenant = client.Tenant(server, slug)
        self.api, self.org, self.workspace = self.tenant.api, self.tenant.org, self.tenant.workspace
        self.mark = (lambda what: f"canary-{what}-7f3a") if marked else (lambda what: f"plain {what}")
        self.ids = self.fill(self.workspace, SECRET if marked else "The weather in Basel is mild; vaults stay dry.")
        self.ids["organization_id"] = self.org
        self.second = self.tenant.new_workspace("second")

    def fill(self, workspace, text):
        api, w, mark = self.api, f"/workspaces/{workspace}", self.mark
        api.call("PATCH", f"/organizations/{self.org}", json={"contact_name": mark("contact"), "settings": {"note": mark("settings")}})
        api.call("PATCH", w, json={"name": mark("workspace"), "description": mark("description")})
        agent = api.call("POST", w + "/agents", 201, json={"name": mark("agent"), "slug": "agent", "system_prompt": mark("prompt")}).data["id"]
        notes = [api.call("POST", w + "/notes", 201, json={"title": mark("note"), "text": mark("text"), "tags": [mark("tag")]}).data["id"] for _ in range(3)]
        document = api.upload(workspace, (mark("file") + ".txt", text.encode()))[0]["document"]["id"]
        collection = api.call("POST", w + "/collections", 201, json={"name": mark("collection")}).data["id"]
        chat = api.chat(workspace, f"What does {mark('question')} say of the vault in Basel?", agent_id=agent)
        model = api.call("POST", "/models/upload", 201, files=[
            ("config", (None, json.dumps({"name": mark("model"), "type": "openai", "model": "extractive"})))]).data["id"]
        policies = f"/organizations/{self.org}/policies"
        policy = api.call("POST", policies, 201, json={"name": "one", "source": POLICY.format(mark("policy")), "record": True}).data["id"]
        api.call("PATCH", f"{policies}/{policy}", json={"enabled_version": 1})
        key, self.workspace_key = self.tenant.make_key(api, w + "/api-keys", name=mark("key"))
        chunk = api.call("GET", f"{w}/documents/{document}/chunks").data["items"][0]["id"]
        return {"workspace_id": workspace, "agent_id": agent, "note_id": notes[0], "document_id": document, "session_id": chat["session_id"],
                "key_id": key, "chunk_id": chunk, "model_id": model, "collection_id": collection, "policy_id": policy, "number": "1"}

    def snapshot(self):
        """All that the owner can read, to be compared after the attack."""
        w = f"/workspaces/{self.workspace}"
        paths = [w, f"/organizations/{self.org}", *(f"{w}/{kind}/{self.ids[name]}" for kind, name in
                 (("notes", "note_id"), ("agents", "agent_id"), ("documents", "document_id"), ("sessions", "session_id"), ("collections", "collection_id")))]
        paths += [f"/organizations/{self.org}/policies/{self.ids['policy_id']}{more}" for more in ("", "/versions/1")]
        lists = [f"/organizations/{self.org}/policies", f"/organizations/{self.org}/policies/{self.ids['policy_id']}/versions", f"{w}/collections", f"{w}/notes", f"{w}/agents", f"{w}/documents", f"{w}/sessions", f"/organizations/{self.org}/workspaces",
                 f"{w}/sessions/{self.ids['session_id']}/messages", f"{w}/documents/{self.ids['document_id']}/chunks"]
        return {path: self.api.call("GET", path).data for path in paths} | {path: self.api.pages(path, limit=100) for path in lists}


@pytest.fixture(scope="module")
def contract(server):
    with client.Client(server.url) as api:
        return Contract(api.call("GET", "/openapi.json").data)


@pytest.fixture(scope="module")
def victim(server):
    return Victim(server, "victim", True)


@pytest.fixture(scope="module")
def attacker(server, victim):
    return Victim(server, "attacker", False)


@pytest.fixture(scope="module")
def attackers(server, victim, attacker):
    """Every kind of caller: name -> (client, the ids that are its own)."""
    inside = victim.tenant.workspace_client(victim.second)
    inside_ids = {"workspace_id": victim.second, "organization_id": victim.org, "number": "1"}
    return {
        "key of another organization": (attacker.api, attacker.ids),
        "key of another organization's workspace": (client.Client(server.url, attacker.workspace_key), attacker.ids),
        "key of another workspace of the same organization": (inside, inside_ids),
    }


def request_options(operation, **changes):
    if operation.id == "chat.query":
        return {"json": {"query": "vault", **changes}}
    if operation.content == "application/json":
        return {"json": {**BODIES[operation.id], **changes}} if operation.id in BODIES else {"json": changes}
    if operation.id == "models.upload":
        return {"files": [("config", (None, json.dumps({"name": "x", "type": "openai", "model": "extractive", **changes})))]}
    if operation.content == "multipart/form-data":
        return {"files": [("file", ("x.txt", b"An intruder was here."))], "data": changes}
    return {}


def picture(answer):
    """The answer without what differs from request to request (connection: whether the body had arrived before the answer went)."""
    dynamic = {"date", "connection", "x-request-id", "traceparent", "server-timing", "ratelimit-remaining", "ratelimit-reset"}
    try:
        body = {k: v for k, v in answer.json().items() if k != "request_id"}
    except json.JSONDecodeError:
        body = answer.content
    return answer.status_code, body, {k: v for k, v in answer.headers.items() if k not in dynamic}


def clean(answer, what):
    assert not CANARY.search(answer.text), f"{what} shows the victim's data: {answer.text[:500]}"
    return answer


def combinations(operation, own, foreign):
    """The path with each non-empty choice of its parameters taken from the victim."""
    names = [p["name"] for p in operation.params("path") if p["name"] in foreign and own.get(p["name"]) != foreign[p["name"]]]
    for n in range(1, len(names) + 1):
        for chosen in itertools.combinations(names, n):
            yield chosen, {**own, **{name: foreign[name] for name in chosen}}


def fill(path, ids):
    for name, value in ids.items():
        path = path.replace("{" + name + "}", value)
    return path


@pytest.mark.parametrize("caller", ["key of another organization", "key of another organization's workspace",
                                    "key of another workspace of the same organization"])
def test_every_operation_with_foreign_ids(contract, victim, attackers, caller):
    api, own = attackers[caller]
    tried = 0
    for operation in contract.operations:
        if operation.public or operation.spec.get("x-scope") == "platform":
            continue
        for chosen, ids in combinations(operation, own, victim.ids):
            path = fill(operation.path, ids)
            if "{" in path:
                continue
            unknown = fill(operation.path, {**ids, **{name: UNKNOWN for name in chosen}})
            options = request_options(operation)
            foreign, none = api.request(operation.method, path, **options), api.request(operation.method, unknown, **options)
            clean(foreign, f"{operation.id} with {chosen}")
            assert picture(foreign) == picture(none), f"{operation.id}: {chosen} of the victim looks unlike an unknown id"
            assert foreign.status_code == 404 or (operation.is_list and foreign.json() == {"items": [], "next_cursor": None}), \
                f"{operation.id} {chosen}: {foreign.status_code} {foreign.text[:300]}"
            tried += 1
    assert tried >= 25, tried


def test_foreign_ids_in_bodies_and_filters(victim, attackers):
    for name, (api, own) in attackers.items():
        w = f"/workspaces/{own['workspace_id']}"
        for body in ({"agent_id": victim.ids["agent_id"]}, {"session_id": victim.ids["session_id"]}):
            unknown = {key: UNKNOWN for key in body}
            foreign = clean(api.post(w + "/chat", json={"query": "vault", **body}), name)
            assert foreign.status_code == 404 and picture(foreign) == picture(api.post(w + "/chat", json={"query": "vault", **unknown}))
        foreign = clean(api.post("/query", json={"query": "vault", "workspace_id": victim.workspace}), name)
        assert foreign.status_code == 404 and picture(foreign) == picture(api.post("/query", json={"query": "vault", "workspace_id": UNKNOWN}))
        foreign = clean(api.post("/embed", json={"texts": ["vault"], "workspace_id": victim.workspace}), name)
        assert foreign.status_code == 404 and picture(foreign) == picture(api.post("/embed", json={"texts": ["vault"], "workspace_id": UNKNOWN}))
        put = lambda path, **data: clean(api.post(path, files=[("file", ("x.txt", b"Theirs."))], data=data), name)
        answers = [put("/documents/upload", workspace_id=w) for w in (victim.workspace, UNKNOWN)]
        assert answers[0].status_code == 404 and picture(answers[0]) == picture(answers[1])
        answers = [put(w + "/documents/upload", collection_id=c) for c in (victim.ids["collection_id"], UNKNOWN)]
        assert answers[0].status_code == 422 and picture(answers[0]) == picture(answers[1])
        listed = clean(api.get(w + "/documents", params={"collection_id": victim.ids["collection_id"]}), name)
        assert listed.json()["items"] == []
        for search in ({"document_ids": [victim.ids["document_id"]]}, {"file_name": victim.mark("file") + ".txt"}):
            found = clean(api.post(w + "/search", json={"query": "password of the vault in Basel", "filter": search}), name)
            assert found.status_code == 200 and found.json()["results"] == []
        for extra in ("workspace_id", "org_id", "organization_id"):
            assert api.post(w + "/search", json={"query": "x", extra: victim.workspace}).status_code == 422
            assert api.post(w + "/notes", json={"title": "x", extra: victim.workspace}).status_code == 422
            assert api.get(w + "/notes", params={extra: victim.workspace}).status_code == 422


def test_foreign_cursors(victim, attackers):
    w = f"/workspaces/{victim.workspace}"
    for path in ("/notes", "/documents/" + victim.ids["document_id"] + "/chunks", "/sessions/" + victim.ids["session_id"] + "/messages"):
        cursor = victim.api.call("GET", w + path, params={"limit": 1}).data["next_cursor"]
        for name, (api, own) in attackers.items():
            if not cursor or "/" in path.strip("/"):
                continue
            answer = clean(api.get(f"/workspaces/{own['workspace_id']}{path}", params={"cursor": cursor}), name)
            assert answer.status_code == 400 and answer.json()["code"] == "cursor_invalid"


def test_own_lists_searches_and_chats_show_nothing_foreign(contract, victim, attackers):
    for name, (api, own) in attackers.items():
        for operation in contract.operations:
            path = fill(operation.path, own)
            if operation.method != "GET" or operation.spec.get("x-scope") == "platform" or "{" in path:
                continue
            if "same organization" in name and operation.id == "organizations.get":
                continue                     # its own organization's settings and contact are for it to read
            clean(api.get(path), f"{operation.id} by {name}")
        w = f"/workspaces/{own['workspace_id']}"
        for question in ("What is the password of the vault in Basel?", "password vault Basel", "canary document 7f3a"):
            assert "marmalade" not in clean(api.post(w + "/search", json={"query": question, "limit": 100}), name).text
            for stream in (False, True):
                assert "marmalade" not in clean(api.post(w + "/chat", json={"query": question, "stream": stream}), name).text


def test_a_workspace_key_sees_only_its_workspace(victim, attackers):
    api, own = attackers["key of another workspace of the same organization"]
    listed = api.call("GET", f"/organizations/{victim.org}/workspaces").data["items"]
    assert [w["id"] for w in listed] == [victim.second]
    assert api.call("GET", f"/organizations/{victim.org}/api-keys", (200, 403, 404)).data.get("items", []) == []
    for path, body in (("/workspaces", {"name": "x", "slug": "grab"}), ("/api-keys", {"name": "x", "scopes": ["admin"]})):
        api.call("POST", f"/organizations/{victim.org}{path}", (403, 404), json=body)
    api.call("PATCH", f"/organizations/{victim.org}", (403, 404), json={"name": "stolen"})
    api.call("DELETE", f"/organizations/{victim.org}", (403, 404))


def test_the_same_file_in_two_organizations_is_two_documents(victim, attacker):
    """Uploading the victim's own bytes tells nothing of the victim's having them, and deleting them takes nothing away."""
    item = attacker.api.upload(attacker.workspace, ("copy.txt", SECRET.encode()))[0]
    assert not item["duplicate"] and item["document"]["id"] != victim.ids["document_id"]
    inside = victim.tenant.workspace_client(victim.second)
    other = inside.upload(victim.second, ("copy.txt", SECRET.encode()))[0]
    assert not other["duplicate"]
    attacker.api.call("DELETE", f"/workspaces/{attacker.workspace}/documents/{item['document']['id']}", 204)
    inside.call("DELETE", f"/workspaces/{victim.second}/documents/{other['document']['id']}", 204)
    assert victim.api.search(victim.workspace, SECRET)[0]["document_id"] == victim.ids["document_id"]


def test_traces_are_their_owners(victim, attackers):
    failed = victim.api.call("POST", f"/workspaces/{victim.workspace}/notes", 422, json={})
    trace = failed.headers["traceparent"].split("-")[1]
    victim.api.call("GET", f"/traces/{trace}")
    for name, (api, own) in attackers.items():
        if "same organization" not in name:
            assert picture(api.get(f"/traces/{trace}")) == picture(api.get("/traces/" + "0" * 32)), name
            listed = api.get("/traces", params={"limit": 200})
            assert listed.status_code in (200, 403) and trace not in listed.text, name


def test_unknown_and_foreign_take_the_same_time(victim, attacker):
    foreign, unknown = f"/workspaces/{victim.workspace}/notes/{victim.ids['note_id']}", f"/workspaces/{UNKNOWN}/notes/{UNKNOWN}"
    ratios = []
    for _ in range(6):
        ratios.append(ratio_of_times(attacker.api, foreign, unknown))
        if 0.8 < ratios[-1] < 1.25:
            return
    raise AssertionError(f"foreign / unknown: {ratios}")   # a difference that is real shows each time, a busy machine's does not


def ratio_of_times(api, one, other):
    """Of the quickest tenth: what other work takes can only be added. In turns, and who goes first changes."""
    times = {one: [], other: []}
    for n in range(300):
        for path in (one, other) if n % 2 else (other, one):
            begin = time.perf_counter()
            api.get(path)
            times[path].append(time.perf_counter() - begin)
    a, b = (statistics.quantiles(t, n=10)[0] for t in times.values())
    print(f"foreign {a * 1e6:.0f} µs, unknown {b * 1e6:.0f} µs")
    return a / b


def test_nothing_of_the_victim_has_changed(server, contract, victim, attackers):
    """Runs the whole attack between two readings of all that the victim has."""
    before = victim.snapshot()
    for caller in attackers:
        test_every_operation_with_foreign_ids(contract, victim, attackers, caller)
    assert victim.snapshot() == before
    assert not CANARY.search("\n".join(line for line in server.log().splitlines() if "level=info" in line or "level=warn" in line or "level=error" in line))


def test_revoked_keys_stop_working(server, victim, attacker):
    """At once, for the key of an organization, of a workspace, and with the workspace or organization that they were for."""
    def dead(key):
        with client.Client(server.url, key) as api:
            return api.get("/hello").status_code == 401

    tenant = client.Tenant(server, "short-lived")
    org_key_id, org_key = tenant.make_key(tenant.api, f"/organizations/{tenant.org}/api-keys")
    workspace = tenant.new_workspace("doomed")
    _, bound = tenant.make_key(tenant.api, f"/workspaces/{workspace}/api-keys")
    one_id, one = tenant.make_key(tenant.api, f"/workspaces/{workspace}/api-keys")
    for key in (org_key, bound, one):
        assert not dead(key)
    tenant.api.call("DELETE", f"/organizations/{tenant.org}/api-keys/{org_key_id}", 204)
    until("the organization's key is dead", lambda: dead(org_key), 1)
    tenant.api.call("DELETE", f"/workspaces/{workspace}/api-keys/{one_id}", 204)
    until("the workspace's key is dead", lambda: dead(one), 1)
    assert not dead(bound)
    tenant.api.call("DELETE", f"/workspaces/{workspace}", 204)
    until("the key went with its workspace", lambda: dead(bound), 1)
    with server.admin() as admin:
        admin.call("DELETE", f"/organizations/{tenant.org}", 204)
    until("the key went with its organization", lambda: dead(tenant.key), 1)


def test_an_expired_key_stops_working(server, attacker):
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    _, key = attacker.tenant.make_key(attacker.api, f"/workspaces/{attacker.workspace}/api-keys", expires_at=soon)
    with client.Client(server.url, key) as api:
        api.call("GET", "/hello")
        until("it has expired", lambda: api.get("/hello").status_code == 401, 5)


def test_deleting_an_organization_leaves_nothing(server, victim):
    """Every tenant table of every plugin, and the directories. The notes of blobs to be removed outlive it for a minute (test_data.py)."""
    database = server.database()
    doomed = Victim(server, "doomed", True)
    tables = [row[0] for row in database.rows(
        "SELECT c.oid::regclass FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'mt') AND c.relname <> 'blob_gone'")] + ["mt.credential", "mt.scope_directory"]
    assert sum(database.count(table, f"org_id = '{doomed.org}'") for table in tables) > 10
    with server.admin() as admin:
        admin.call("DELETE", f"/organizations/{doomed.org}", 204)
    left = {table: n for table in tables if (n := database.count(table, f"org_id = '{doomed.org}'"))}
    assert not left
