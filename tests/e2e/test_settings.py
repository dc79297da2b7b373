"""What organizations and workspaces have of plugins otherwise than everybody: configuration in layers, plugins on and off, hook handlers limited to calls,
instances. The plugin looked at is errand, inside the host and in a worker."""
import contextlib
import json
import threading

import pytest

import client
import server as servers
from server import until

NOBODY = "01890000-0000-7000-8000-00000000dead"
LOOPS = 8                                    # connections of one reader: every loop has some


@pytest.fixture(scope="module", params=["host", "worker"])
def server(request):
    isolated = {"MORTISE_PLUGINS_ISOLATED": "errand"} if request.param == "worker" else {}
    made = servers.Server(name=f"test_settings_{request.param}", plugins=[servers.plugin_folder("errand", "hooked", "guard")], enable=["errand"], env=isolated)
    failed = request.session.testsfailed
    try:
        yield made.start()
    finally:
        made.dispose(failed=request.session.testsfailed > failed)


@pytest.fixture(scope="module")
def red(server):
    return client.Tenant(server, "red")


@pytest.fixture(scope="module")
def blue(server):
    return client.Tenant(server, "blue")


def settings(tenant, slug="errand"):
    return f"/organizations/{tenant.org}/plugins/{slug}"


def in_workspace(workspace, slug="errand"):
    return f"/workspaces/{workspace}/plugins/{slug}"


def put(api, path, status=200, instance=None, **body):
    return api.call("PUT", path, status, json=body, params={"instance": instance} if instance else {}).data


def mark(api):
    return api.call("GET", "/errand/who").data["mark"]


def findings(api):
    """The marks of the handlers of code.analyze that the call met, in order."""
    return [f["rule"] for f in json.loads(api.call("POST", "/errand/emit", json={"text": "look"}).data["text"])]


@contextlib.contextmanager
def connections(server, key, n=LOOPS):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(client.Client(server.url, key)) for _ in range(n)]


@pytest.fixture(autouse=True)
def nothing_set(request):
    yield
    for name in ("red", "blue"):
        if name in request.fixturenames:
            tenant = request.getfixturevalue(name)
            for slug in ("errand", "hello", "hooked"):
                tenant.api.call("DELETE", settings(tenant, slug), (204, 404))
            tenant.api.call("DELETE", in_workspace(tenant.workspace), (204, 404))


# --- configuration in layers ---

def test_layers_from_the_default_to_the_workspace(admin, red, blue):
    bound = red.workspace_client(red.workspace)
    assert mark(red.api) == mark(bound) == mark(blue.api) == "errand"
    admin.call("PUT", "/plugins/errand/config", json={"mark": "everybody", "range": {"high": 7}})
    assert mark(red.api) == mark(bound) == mark(blue.api) == "everybody"
    put(red.api, settings(red), config={"mark": "red", "range": {"low": 2}})
    assert (mark(red.api), mark(bound), mark(blue.api)) == ("red", "red", "everybody")
    put(red.api, in_workspace(red.workspace), config={"mark": "red's workspace"})
    assert (mark(red.api), mark(bound), mark(blue.api)) == ("red", "red's workspace", "everybody")
    shown = red.api.call("GET", "/plugins/errand/effective-config", params={"workspace_id": red.workspace}).data
    assert shown["config"] == {"mark": "red's workspace", "range": {"low": 2, "high": 7}}      # not what is the operator's alone
    assert shown["origins"] == {"/mark": "workspace", "/range/low": "organization", "/range/high": "operator"} and shown["ignored"] == []
    whole = admin.call("GET", "/plugins/errand/effective-config", params={"organization_id": red.org}).data
    assert whole["config"] == {"mark": "red", "place": "here", "range": {"low": 2, "high": 7, "unit": "m"}}
    assert whole["origins"]["/mark"] == "organization" and whole["origins"]["/place"] == whole["origins"]["/range/unit"] == "default"
    assert admin.call("GET", "/plugins/errand/effective-config").data["config"]["mark"] == "everybody"
    put(red.api, settings(red), config={"mark": None})          # a merge patch: what the operator says does not count either
    assert mark(red.api) == "errand" and mark(bound) == "red's workspace"
    admin.call("PUT", "/plugins/errand/config", json={})
    red.api.call("DELETE", in_workspace(red.workspace), 204)
    red.api.call("DELETE", settings(red), 204)
    assert mark(red.api) == mark(bound) == "errand"
    bound.close()


def test_what_may_not_be_set_is_refused_with_its_place(admin, red):
    for path, config, pointer, code in [
            (settings(red), {"place": "there"}, "/config/place", "setting_not_allowed"),
            (settings(red), {"range": {"unit": "km"}}, "/config/range/unit", "setting_not_allowed"),
            (settings(red), {"range": None}, "/config/range", "setting_not_allowed"),
            (settings(red), {"nothing": 1}, "/config/nothing", "setting_not_allowed"),
            (settings(red), {"mark": 7}, "/config/mark", "validation_failed"),
            (settings(red), {"range": {"high": 10}}, "/config/range/high", "validation_failed"),
            (in_workspace(red.workspace), {"range": {"low": 1}}, "/config/range/low", "setting_not_allowed")]:
        problem = put(red.api, path, 422, config=config)
        assert (problem["pointer"], problem["code"]) == (pointer, code)
    put(red.api, settings(red), 422, scope={"operations": ["no spaces please"]})
    put(red.api, settings(red), 422, scope={"api_keys": ["me"]})
    put(red.api, in_workspace(red.workspace), 422, enabled=False)
    assert red.api.call("GET", settings(red)).data["changed_at"] is None and mark(red.api) == "errand"
    assert put(red.api, settings(red), 404, instance="none", config={})["code"] == "instance_unknown"
    put(red.api, settings(red, "nothing"), 404, config={})


def test_an_empty_object_is_no_way_around_a_level(server, admin, red, tmp_path):
    server.cli("plugin", "install", version_of(tmp_path, "1.0.0", mode={"type": ["string", "object"], "properties": {"x": {"type": "integer", "x-level": "organization"}}},
                                               tls={"type": "object", "properties": {"verify": {"type": "boolean", "default": False}, "name": {"type": "string", "x-level": "organization"}}}))
    admin.call("PUT", "/plugins/conf/config", json={"mode": "strict"})
    for config, pointer in [({"tls": {}}, "/config/tls"), ({"tls": {"name": None}}, "/config/tls"), ({"mode": {}}, "/config/mode"), ({"mode": {"x": 1}}, "/config/mode")]:
        problem = put(red.api, settings(red, "conf"), 422, config=config)
        assert (problem["pointer"], problem["code"]) == (pointer, "setting_not_allowed")
    server.cli("plugin", "uninstall", "conf")


def test_a_built_in_plugin_obeys_its_organization(admin, red, blue):
    put(red.api, settings(red, "hello"), config={"greeting": "Salve"})
    assert red.api.call("GET", "/hello").data["message"] == "Salve, world!"
    assert blue.api.call("GET", "/hello").data["message"] == admin.call("GET", "/hello").data["message"] == "Hello, world!"


def test_two_organizations_at_once_are_never_mixed(server, red, blue):
    """Readers of both, on connections to every loop, while a third one's settings change all the time."""
    put(red.api, settings(red), config={"mark": "red"})
    put(blue.api, settings(blue), config={"mark": "blue"})
    stop, wrong, done = threading.Event(), [], [0, 0]

    def read(i, tenant, wanted):
        with connections(server, tenant.key) as apis:
            while not stop.is_set():
                for api in apis:
                    seen = {mark(api), *findings(api)}
                    done[i] += 1
                    if seen != {wanted}:
                        wrong.append((wanted, seen))

    readers = [threading.Thread(target=read, args=(i, *who)) for i, who in enumerate([(red, "red"), (blue, "blue")])]
    for reader in readers:
        reader.start()
    third = client.Tenant(server, "green-" + client.new_id()[:8])
    for n in range(40):
        put(third.api, settings(third), config={"mark": f"green {n}"})
        assert mark(third.api) == f"green {n}"
    until("both were read often", lambda: min(done) > 100)
    stop.set()
    for reader in readers:
        reader.join(30)
    assert wrong == []


def test_a_change_holds_for_the_next_call_on_every_loop(server, red):
    with connections(server, red.key) as apis:
        assert {mark(api) for api in apis} == {"errand"}
        for n in range(10):
            put(red.api, settings(red), config={"mark": f"number {n}"})
            assert {mark(api) for api in apis} == {f"number {n}"}
        red.api.call("DELETE", settings(red), 204)
        assert {mark(api) for api in apis} == {"errand"}


# --- on and off ---

def test_off_for_one_organization_disturbs_no_other(server, red, blue):
    stop, wrong, done = threading.Event(), [], [0]

    def read():
        with connections(server, blue.key) as apis:
            while not stop.is_set():
                for api in apis:
                    answers = [api.get("/errand/who"), api.post("/errand/emit", json={"text": "look"})]
                    done[0] += 1
                    wrong.extend(a.text for a in answers if a.status_code != 200)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    with connections(server, red.key) as apis:
        for _ in range(10):
            put(red.api, settings(red), enabled=False)
            assert {api.get("/errand/who").status_code for api in apis} == {404}
            put(red.api, settings(red), enabled=True)
            assert {api.get("/errand/who").status_code for api in apis} == {200}
    until("the other one was served", lambda: done[0] > 100)
    stop.set()
    for reader in readers:
        reader.join(30)
    assert wrong == []


def test_off_looks_like_not_there(red):
    put(red.api, settings(red), enabled=False)
    strip = lambda a: {k: v for k, v in a.json().items() if k != "request_id"}
    off, nothing = red.api.get("/errand/who"), red.api.get("/no/such/path")
    assert (off.status_code, strip(off)) == (nothing.status_code, strip(nothing))
    wrong_body = red.api.post("/errand/emit", json={"no": "text"})
    assert wrong_body.status_code == 404
    listed = {p["slug"]: p for p in red.api.call("GET", "/plugins").data["items"]}
    assert not {"quarantined_for", "digest", "worker", "permissions", "reason"} & set().union(*listed.values())
    assert listed["errand"]["state"] == "inactive" and listed["errand"]["enabled"] is False


def test_hooks_of_what_is_off_are_skipped(admin, red, blue):
    admin.call("POST", "/plugins/hooked/enable")
    assert red.api.call("GET", "/hello").data["message"] == "changed by a filter"
    put(red.api, settings(red, "hooked"), enabled=False)
    assert red.api.call("GET", "/hello").data["message"] == "Hello, world!"
    assert blue.api.call("GET", "/hello").data["message"] == "changed by a filter"
    put(red.api, settings(red, "hooked"), scope={"operations": ["hello.*"]})
    assert red.api.call("GET", "/hello").data["message"] == "changed by a filter"
    put(red.api, settings(red, "hooked"), scope={"operations": ["chat.*"]})
    assert red.api.call("GET", "/hello").data["message"] == "Hello, world!"
    put(red.api, settings(red, "hooked"), scope={"api_keys": [red.key_id]})
    assert red.api.call("GET", "/hello").data["message"] == "changed by a filter"
    put(red.api, settings(red, "hooked"), scope={"api_keys": [blue.key_id]})
    assert red.api.call("GET", "/hello").data["message"] == "Hello, world!"
    admin.call("POST", "/plugins/hooked/disable")


def test_the_operator_says_what_an_organization_may_have(admin, red, blue):
    admin.call("PUT", settings(red) + "/allowed", json={"allowed": False})
    red.api.call("GET", "/errand/who", 404)
    blue.api.call("GET", "/errand/who")
    assert "errand" not in {p["slug"] for p in red.api.call("GET", "/plugins").data["items"]}
    red.api.call("GET", "/plugins/errand", 404)
    put(red.api, settings(red), 404, enabled=True)               # not the organization's to say
    red.api.call("DELETE", settings(red), 404)
    assert admin.call("GET", settings(red)).data["allowed"] is False
    admin.call("DELETE", settings(red), 204)                     # what the organization set: the operator's word stays
    red.api.call("GET", "/errand/who", 404)
    red.api.call("PUT", settings(red) + "/allowed", 403, json={"allowed": True})
    admin.call("PUT", settings(red) + "/allowed", json={"allowed": True})
    red.api.call("GET", "/errand/who")


def test_what_an_organization_cannot_be_rid_of(admin, red, blue):
    admin.call("POST", "/plugins/guard/enable")
    for slug, code in [("tenancy", "plugin_essential"), ("models", "plugin_mandatory"), ("limiter_local", "plugin_serves_host"), ("queue_pg", "plugin_serves_host"), ("documents", "plugin_needed"), ("guard", "plugin_guards")]:
        assert put(red.api, settings(red, slug), 409, enabled=False)["code"] == code, slug
    for slug, code in [("tenancy", "plugin_essential"), ("models", "plugin_mandatory"), ("guard", "plugin_guards")]:
        assert put(red.api, settings(red, slug), 409, scope={"operations": []})["code"] == code, slug
    put(admin, settings(red, "tenancy"), 409, scope={"operations": []})
    put(admin, settings(red, "models"), scope={"operations": ["chat.*"]})        # the operator may
    red.api.call("DELETE", settings(red, "models"), 204)
    for slug in ("tenancy", "documents"):
        admin.call("PUT", settings(red, slug) + "/allowed", 409, json={"allowed": False})
    remove = lambda tenant: tenant.api.delete(f"/workspaces/{tenant.workspace}/notes/{client.new_id()}").status_code
    assert remove(red) == remove(blue) == 403                     # its policy on limit.check
    admin.call("PUT", settings(red, "guard") + "/allowed", json={"allowed": False})
    assert (remove(red), remove(blue)) == (404, 403)              # what the operator takes away does not refuse either
    admin.call("PUT", settings(red, "guard") + "/allowed", json={"allowed": True})
    assert remove(red) == 403
    admin.call("POST", "/plugins/guard/disable")
    assert "openai" in put(red.api, settings(red, "chat"), 409, enabled=False)["detail"]
    put(red.api, settings(red, "openai"), enabled=False)
    put(red.api, settings(red, "chat"), enabled=False)
    red.api.call("POST", f"/workspaces/{red.workspace}/chat", 404, json={"query": "Who?"})
    red.api.call("DELETE", settings(red, "chat"), 204)
    red.api.call("DELETE", settings(red, "openai"), 204)


def test_what_an_essential_plugin_is_limited_to_counts_for_nothing(server, red):
    """Rows that are there all the same: the use of keys is noted."""
    rows = server.database()
    rows.run(f"INSERT INTO mt.plugin_setting (org_id, slug, scope) VALUES ('{red.org}', 'tenancy', '{{\"operations\": []}}')")
    key_id, key = red.make_key(red.api, f"/organizations/{red.org}/api-keys")
    with client.Client(server.url, key) as fresh:
        until("its use is noted", lambda: fresh.get("/hello").status_code == 200 and rows.count("tenancy.api_key_use", f"key_id = '{key_id}'") == 1)
    red.api.call("DELETE", settings(red, "tenancy"), 204)


def test_whatever_needs_a_plugin_keeps_it_on_however_many_do(server, red, tmp_path):
    """The last one of them is the only one that the organization has."""
    server.cli("plugin", "install", version_of(tmp_path, "1.0.0"))
    needing = [f"conf_{n:02}_".ljust(32, "x") for n in range(17)]
    for slug in needing:
        made = version_of(tmp_path, f"1.0.0-{slug[5:7]}")
        manifest = json.loads((made / "plugin.json").read_text())
        (made / "plugin.json").write_text(json.dumps(manifest | {"slug": slug, "version": "1.0.0", "dependencies": {"conf": "*"}}))
        server.cli("plugin", "install", made)
        if slug != needing[-1]:
            put(red.api, settings(red, slug), enabled=False)
    assert needing[-1] in put(red.api, settings(red, "conf"), 409, enabled=False)["detail"]
    for slug in [*needing, "conf"]:
        server.cli("plugin", "uninstall", slug)


def test_another_provider_or_none_serves(red, blue):
    """cache/1 has one provider."""
    put(red.api, settings(red, "cache_local"), enabled=False)
    assert red.api.call("POST", "/errand/keep", 503, json={"text": "kept"}).data["code"] == "no_provider"
    blue.api.call("POST", "/errand/keep", json={"text": "kept"})
    red.api.call("DELETE", settings(red, "cache_local"), 204)
    red.api.call("POST", "/errand/keep", json={"text": "kept"})


def test_jobs_come_to_their_end(red):
    text = f"a job {client.new_id()}"
    red.api.call("POST", "/errand/jobs", json={"text": text})
    put(red.api, settings(red), enabled=False)
    rows = red.server.database()
    until("the job has run", lambda: rows.value(f"SELECT count(*) FROM errand.note WHERE text = '{text}'") == "1")
    assert red.api.get("/errand/who").status_code == 404


def test_what_an_organization_may_keep_is_bounded(server, admin):
    small = client.Tenant(server, "small-" + client.new_id()[:8])
    server.database().run(f"INSERT INTO mt.plugin_setting (org_id, slug, instance, config) SELECT '{small.org}', 'gone', n::text, '{{\"x\": 1}}' FROM generate_series(1, 999) n")
    put(small.api, settings(small), config={"mark": "the last one"})
    put(small.api, settings(small), config={"mark": "replaced"})
    assert put(small.api, settings(small, "hello"), 409, config={"greeting": "one too many"})["code"] == "settings_full"
    server.database().run(f"DELETE FROM mt.plugin_setting WHERE org_id = '{small.org}' AND slug = 'gone' AND instance <> '1'")
    server.database().run(f"UPDATE mt.plugin_setting SET config = jsonb_build_object('x', repeat('x', 1048560)) WHERE org_id = '{small.org}' AND slug = 'gone'")
    assert put(small.api, settings(small, "hello"), 409, config={"greeting": "one too many"})["code"] == "settings_full"
    admin.call("DELETE", f"/organizations/{small.org}", 204)


# --- whose ids ---

def test_foreign_ids_look_unknown(red, blue):
    put(red.api, settings(red), config={"mark": "red"})
    strip = lambda a: (a.status_code, {k: v for k, v in a.json().items() if k != "request_id"})
    for foreign, unknown in [(settings(red), f"/organizations/{NOBODY}/plugins/errand"), (in_workspace(red.workspace), in_workspace(NOBODY))]:
        for method, body in [("GET", None), ("PUT", {"config": {"mark": "stolen"}}), ("DELETE", None)]:
            assert strip(blue.api.request(method, foreign, json=body)) == strip(blue.api.request(method, unknown, json=body))
            assert strip(blue.api.request(method, foreign, json=body))[0] == 404
    for name, value in [("organization_id", red.org), ("workspace_id", red.workspace)]:
        blue.api.call("GET", "/plugins/errand/effective-config", 404, params={name: value})
    blue.api.call("GET", "/plugins/errand/effective-config", 404, params={"organization_id": blue.org, "workspace_id": red.workspace})
    with red.workspace_client(red.workspace, scopes=["admin"]) as bound:
        assert bound.call("PUT", settings(red), 403, json={"config": {}}).data["code"] == "workspace_key"
        assert put(bound, in_workspace(red.workspace), config={"mark": "bound"})["config"] == {"mark": "bound"}
        assert bound.call("GET", "/plugins/errand/effective-config").data["config"]["mark"] == "bound"
    assert mark(red.api) == "red"


def test_settings_go_with_their_workspace_and_organization(server, admin):
    doomed = client.Tenant(server, "doomed-" + client.new_id()[:8])
    second = doomed.new_workspace("second")
    put(doomed.api, settings(doomed), config={"mark": "a"})
    put(doomed.api, in_workspace(second), config={"mark": "b"})
    rows = lambda: int(server.database().value(f"SELECT count(*) FROM mt.plugin_setting WHERE org_id = '{doomed.org}'"))
    before = rows()
    doomed.api.call("DELETE", f"/workspaces/{second}", 204)
    assert (before, rows()) == (2, 1)
    admin.call("DELETE", f"/organizations/{doomed.org}", 204)
    assert rows() == 0


# --- instances ---

def test_instances_have_their_own_configuration_scope_and_place(admin, red, blue):
    path = "/plugins/errand/instances"
    admin.call("PUT", path + "/strict", json={"config": {"mark": "strict"}, "priority": 10})
    assert findings(red.api) == ["strict", "errand"] and mark(red.api) == "errand"      # the hook twice, an operation once
    put(red.api, settings(red), instance="strict", config={"mark": "red strict"})
    put(red.api, settings(red), config={"mark": "red"})
    assert (findings(red.api), findings(blue.api)) == (["red strict", "red"], ["strict", "errand"])
    put(blue.api, settings(blue), instance="strict", enabled=False)
    assert findings(blue.api) == ["errand"]
    admin.call("PUT", path + "/strict", json={"config": {"mark": "strict"}, "scope": {"api_keys": [red.key_id]}, "priority": 200})
    assert findings(red.api) == ["red", "red strict"]
    blue.api.call("DELETE", settings(blue), 204, params={"instance": "strict"})
    assert findings(blue.api) == ["errand"]
    admin.call("PUT", path + "/default", json={"scope": {"operations": ["hello.*"]}})
    assert findings(red.api) == ["red strict"] and findings(blue.api) == []
    listed = {i["instance"]: i for i in admin.call("GET", path).data["items"]}
    assert set(listed) == {"default", "strict"} and listed["strict"]["config"]["mark"] == "strict" and listed["strict"]["priority"] == 200
    put(red.api, settings(red), enabled=False)                   # the plugin: all its instances
    assert red.api.get("/errand/who").status_code == 404
    red.api.call("DELETE", settings(red), 204)
    admin.call("DELETE", path + "/default", 204)
    admin.call("DELETE", path + "/strict", 204)
    assert findings(red.api) == ["errand"]
    put(red.api, settings(red), 404, instance="strict", config={})
    assert admin.call("PUT", path + "/broken", 422, json={"config": {"mark": 7}}).data["pointer"] == "/config/mark"
    admin.call("PUT", path + "/default", 422, json={"config": {"mark": "x"}})
    admin.call("PUT", "/plugins/nothing/instances/x", 404, json={})
    admin.call("PUT", "/plugins/tenancy/instances/default", 409, json={"scope": {"operations": []}})


def test_a_configuration_that_settings_of_an_instance_do_not_fit_is_refused(server, admin, red, tmp_path):
    tags = {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string"}, "x-level": "organization"}
    server.cli("plugin", "install", version_of(tmp_path, "1.0.0", tags=tags))
    path = "/plugins/conf/instances/eu"
    admin.call("PUT", path, json={"config": {"tags": {"a": "1"}, "token": "the operator's"}})
    admin.call("PUT", "/plugins/conf/instances/us", json={"config": {"tags": {"a": "1"}}})
    put(red.api, settings(red, "conf"), instance="eu", config={"tags": {"red": "1"}, "token": "red's"})
    put(red.api, in_workspace(red.workspace, "conf"), instance="eu", config={"word": "deep"})
    for dry in ({}, {"dry_run": "true"}):
        refused = admin.call("PUT", path, 409, json={"config": {"tags": {"a": "1", "b": "2"}}}, params=dry).data
        assert refused["code"] == "settings_unfit" and "1 setting " in refused["detail"] and f"{red.org}, instance eu" in refused["detail"]
    admin.call("PUT", path, json={"config": {"tags": {"b": "2"}, "token": "********"}})
    admin.call("PUT", "/plugins/conf/instances/us", json={"config": {"tags": {"a": "1", "b": "2"}}})
    assert red.api.call("GET", "/plugins/conf/effective-config", params={"instance": "eu"}).data["config"]["tags"] == {"b": "2", "red": "1"}
    server.cli("plugin", "uninstall", "conf")


# --- versions ---

SCHEMA = {"type": "object", "additionalProperties": False, "properties": {
    "word": {"type": "string", "maxLength": 10, "x-level": "workspace"}, "most": {"type": "integer", "default": 5, "x-level": "organization"},
    "token": {"type": "string", "format": "secret", "x-level": "organization"}}}


def version_of(folder, version, **changed):
    """A plugin that is nothing but its configuration."""
    made = folder / version
    made.mkdir()
    schema = json.loads(json.dumps(SCHEMA))
    for name, value in changed.items():
        schema["properties"][name] = value
        if value is None:
            del schema["properties"][name]
    manifest = {"slug": "conf", "name": "Conf", "version": version, "abi": 1, "description": "d", "license": "MIT", "config_schema": schema}
    (made / "plugin.json").write_text(json.dumps(manifest))
    return made


def test_a_version_that_settings_do_not_fit_is_refused(server, admin, red, blue, tmp_path):
    """And what there is stays; going back is not refused: there a layer that does not fit counts for nothing, and says so."""
    one = version_of(tmp_path, "1.0.0")
    server.cli("plugin", "install", one)
    put(red.api, settings(red, "conf"), config={"most": 7, "token": "red's"})
    put(blue.api, settings(blue, "conf"), config={"word": "blue", "most": 8})
    put(red.api, in_workspace(red.workspace, "conf"), config={"word": "deep"})
    for number, (changed, n, place) in enumerate([({"word": None}, 2, "/word"), ({"most": {"type": "integer", "maximum": 7, "x-level": "organization"}}, 1, "/most"),
                                                  ({"word": {"type": "string", "x-level": "organization"}}, 1, "/word"), ({"most": {"type": "integer"}}, 2, "/most")]):
        two = version_of(tmp_path, f"2.0.{number}", **changed)
        problems = json.loads(server.cli("plugin", "check", two, "--json", check=False).stdout)["problems"]
        assert [p["code"] for p in problems] == ["settings_unfit"] and f"{n} setting" in problems[0]["detail"] and place in problems[0]["detail"]
        refused = server.cli("plugin", "install", two, check=False)
        assert refused.returncode == 1 and f"{n} setting" in refused.stderr
    assert admin.call("GET", "/plugins/conf").data["version"] == "1.0.0"
    server.cli("plugin", "install", version_of(tmp_path, "1.1.0", word={"type": "string", "x-level": "workspace"}))
    put(blue.api, settings(blue, "conf"), config={"word": "longer than ten"})
    server.cli("plugin", "rollback", "conf")
    shown = blue.api.call("GET", "/plugins/conf/effective-config").data
    assert shown["config"] == {"most": 5} and [(i["level"], i["pointer"]) for i in shown["ignored"]] == [("organization", "/word")]
    assert red.api.call("GET", "/plugins/conf/effective-config").data["config"]["most"] == 7
    refused = admin.call("PUT", "/plugins/conf/config", 422, json={"most": "many"}).data
    assert refused["pointer"] == "/most"
    server.cli("plugin", "uninstall", "conf")
    assert server.database().value("SELECT count(*) FROM mt.plugin_setting WHERE slug = 'conf'") == "0"


def test_secrets_of_an_organization_are_sealed_for_it(server, red, blue, tmp_path):
    server.cli("plugin", "install", version_of(tmp_path, "1.0.0"))
    rows = server.database()
    path = settings(red, "conf")
    assert put(red.api, path, config={"token": "canary-red"})["config"] == {"token": "********"}
    assert put(red.api, path, config={"token": "********", "most": 3})["config"] == {"token": "********", "most": 3}
    assert "canary-red" not in rows.run("SELECT s::text FROM mt.plugin_setting s") and "$secret" in rows.run("SELECT s::text FROM mt.plugin_setting s")
    for answer in (red.api.call("GET", path), red.api.call("GET", f"/organizations/{red.org}/plugins"), red.api.call("GET", "/plugins/conf/effective-config")):
        assert "canary" not in answer.text and "********" in answer.text
    assert put(blue.api, settings(blue, "conf"), 422, config={"token": "********"})["code"] == "secret_unknown"
    rows.run(f"INSERT INTO mt.plugin_setting (org_id, slug, config) SELECT '{blue.org}', slug, config FROM mt.plugin_setting WHERE org_id = '{red.org}' AND slug = 'conf'")
    until("the copied row is told", lambda: blue.api.get("/plugins/conf/effective-config").status_code == 503)        # another's is worth nothing
    rows.run(f"DELETE FROM mt.plugin_setting WHERE org_id = '{blue.org}'")
    until("it is gone", lambda: blue.api.get("/errand/who").status_code == 200)
    server.cli("plugin", "uninstall", "conf")


def test_going_back_to_a_version_without_the_secret_shows_none(server, admin, red, blue, tmp_path):
    """What is stored sealed is shown as a secret, whatever the schema of the version that serves says."""
    server.cli("plugin", "install", version_of(tmp_path, "2.0.0", token={"type": "string", "x-level": "organization"}))
    server.cli("plugin", "install", version_of(tmp_path, "2.1.0"))
    put(red.api, settings(red, "conf"), config={"token": "canary-red"})
    put(red.api, in_workspace(red.workspace, "conf"), config={"word": "deep"})
    admin.call("PUT", "/plugins/conf/config", json={"token": "canary-operator", "most": 6})
    admin.call("PUT", "/plugins/conf/instances/eu", json={"config": {"token": "canary-eu"}})
    server.cli("plugin", "rollback", "conf")
    admin.call("PUT", "/plugins/conf/config", json={"token": "********", "most": 6})      # a rollback brings the configuration back, too
    asked = [admin.call("GET", "/plugins/conf/effective-config", params=whose) for whose in
             ({"organization_id": red.org}, {"organization_id": red.org, "workspace_id": red.workspace}, {}, {"instance": "eu"})]
    asked += [tenant.api.call("GET", "/plugins/conf/effective-config", params=which) for tenant in (red, blue) for which in ({}, {"instance": "eu"})]
    for answer in asked:
        assert answer.data["config"]["token"] == "********" and "canary" not in answer.text
    listed = admin.call("GET", "/plugins/conf/instances")
    assert {i["instance"]: i["config"]["token"] for i in listed.data["items"]} == {"default": "********", "eu": "********"}
    again = admin.call("PUT", "/plugins/conf/instances/eu", json={"config": {"token": "********"}}, params={"dry_run": "true"})
    for answer in (listed, again, admin.call("GET", "/plugins/conf/config"), red.api.call("GET", settings(red, "conf"))):
        assert "canary" not in answer.text and "********" in answer.text
    server.cli("plugin", "uninstall", "conf")


def test_what_is_too_large_once_sealed_is_refused_and_changes_nothing(server, admin, red, tmp_path):
    server.cli("plugin", "install", version_of(tmp_path, "1.0.0"))
    path, large = settings(red, "conf"), {"most": 8, "token": "x" * 800_000}
    instance, operators = "/plugins/conf/instances/eu", "/plugins/conf/config"
    put(red.api, path, config={"most": 7})
    admin.call("PUT", instance, json={"config": {"most": 7}})
    admin.call("PUT", operators, json={"most": 6})
    for dry in ({}, {"dry_run": "true"}):
        assert red.api.call("PUT", path, 409, json={"config": large}, params=dry).data["code"] == "settings_full"
        assert admin.call("PUT", instance, 409, json={"config": large}, params=dry).data["code"] == "settings_full"
    assert admin.call("PUT", operators, 409, json=large).data["code"] == "settings_full"
    assert red.api.call("GET", path).data["config"] == {"most": 7}
    assert {i["instance"]: i["config"]["most"] for i in admin.call("GET", "/plugins/conf/instances").data["items"]} == {"default": 6, "eu": 7}
    server.cli("plugin", "uninstall", "conf")


def test_a_secret_that_was_changed_meanwhile_does_not_come_back(server, red, tmp_path):
    """Somebody keeps a secret while another one, here the test, gives a new one."""
    server.cli("plugin", "install", version_of(tmp_path, "1.0.0"))
    path, rows, row = settings(red, "conf"), server.database(), f"org_id = '{red.org}' AND slug = 'conf'"
    put(red.api, path, config={"token": "the new one"})
    new = rows.value(f"SELECT config FROM mt.plugin_setting WHERE {row}")
    put(red.api, path, config={"token": "the old one"})
    with rows.session() as run:
        run(f"BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('mt.plugin_setting {red.org}', 0)); SELECT 1 FROM mt.plugin_setting WHERE {row} FOR UPDATE")
        keeper = threading.Thread(target=put, args=(red.api, path), kwargs={"config": {"token": "********", "most": 2}})
        keeper.start()
        until("the change waits", lambda: rows.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%plugin_setting%'") == "1")
        run(f"UPDATE mt.plugin_setting SET config = '{new}' WHERE {row}; COMMIT")
        keeper.join(30)
    assert red.api.call("PUT", path, json={"config": {"token": "the new one", "most": 2}}, params={"dry_run": "true"}).data["secrets_changed"] == []
    assert red.api.call("GET", path).data["config"] == {"token": "********", "most": 2}
    server.cli("plugin", "uninstall", "conf")


# --- two hosts ---

def test_another_host_of_the_database_hears_within_a_second(server, admin, red):
    shared = ["--secrets.key_file", str(server.data / "secret.key")] if (server.data / "secret.key").exists() else []
    url = server.database().url.replace("user=postgres", "user=mortise")
    second = servers.Server(name="test_settings_second", plugins=[servers.plugin_folder("errand")], env={"DATABASE_URL": url}, args=shared)
    try:
        second.start(ready=False)            # who administers is known to the database already
        second.wait_ready()
        with client.Client(second.url, red.key) as there:
            assert mark(there) == "errand"
            for n in range(5):
                put(red.api, settings(red), config={"mark": f"number {n}"})
                until("the other host hears", lambda n=n: mark(there) == f"number {n}", 1)
            put(red.api, settings(red), enabled=False)
            until("off there too", lambda: there.get("/errand/who").status_code == 404, 1)
            red.api.call("DELETE", settings(red), 204)
            until("and on", lambda: there.get("/errand/who").status_code == 200, 1)
            admin.call("PUT", "/plugins/errand/config", json={"mark": "everybody"})
            until("the operator's configuration", lambda: mark(there) == "everybody", 2)
            admin.call("PUT", "/plugins/errand/config", json={})
            admin.call("PUT", "/plugins/errand/instances/far", json={"config": {"mark": "far"}})
            until("an instance", lambda: "far" in findings(there), 2)
            admin.call("DELETE", "/plugins/errand/instances/far", 204)
            until("no instance", lambda: findings(there) == ["errand"], 2)
    finally:
        second.stop()
        second.dispose()


# --- who did it ---

def test_the_change_log_tells_who_set_what_but_no_values(server, red):
    put(red.api, settings(red), config={"mark": "canary"}, enabled=True)
    put(red.api, settings(red), enabled=False)
    rows = server.database().rows(f"""SELECT op, actor, operation, after ->> 'slug', after ->> 'enabled', coalesce(before::text, '') || after::text FROM mt.change
        WHERE org_id = '{red.org}' AND "table" = 'mt.plugin_setting' ORDER BY id DESC LIMIT 2""")
    assert [row[:5] for row in rows] == [["U", red.key_id, "core.organization_plugin_put", "errand", "false"], ["I", red.key_id, "core.organization_plugin_put", "errand", "true"]]
    assert not any("canary" in row[5] for row in rows)


# --- the command line ---

def test_the_command_line(server, admin, red, blue):
    cli = lambda *words, **options: server.cli("plugin", *words, **options).stdout
    assert "errand is off for red" in cli("disable", "errand", "--organization", "red")
    red.api.call("GET", "/errand/who", 404)
    cli("enable", "errand", "--organization", red.org)
    assert mark(red.api) == "errand"
    assert "mark" in cli("config", "errand", "mark=red", "range.low=3", "--organization", "red")
    put(red.api, in_workspace(red.workspace), config={"mark": "deep"})
    cli("config", "errand", "place=there")
    shown = json.loads(cli("config", "errand", "--effective", "--workspace", red.workspace, "--json"))
    assert shown["config"] == {"mark": "deep", "place": "there", "range": {"low": 3, "high": 5, "unit": "m"}}
    assert (shown["origins"]["/mark"], shown["origins"]["/place"], shown["origins"]["/range/high"]) == ("workspace", "operator", "default")
    assert "(workspace)" in cli("config", "errand", "--effective", "--workspace", red.workspace)
    assert json.loads(cli("config", "errand", "--unset", "range.low", "--organization", "red", "--json")) == {"mark": "red", "range": {}}
    assert json.loads(cli("config", "errand", "--json")) == {"place": "there"}                # and not the defaults
    assert json.loads(cli("config", "errand", "--unset", "place", "--json")) == {}
    put(red.api, settings(red), config={"mark": "red"}, scope={"operations": ["errand.*"]})
    cli("config", "errand", "mark=changed", "--organization", "red")
    assert red.api.call("GET", settings(red)).data["scope"] == {"operations": ["errand.*"]}   # what it does not name stays
    cli("config", "errand", "mark=second", "--instance", "second")
    admin.call("PUT", "/plugins/errand/instances/second", json={"config": {"mark": "second"}, "priority": 9})
    cli("config", "errand", "mark=changed second", "--instance", "second")
    assert findings(blue.api) == ["changed second", "errand"]
    admin.call("DELETE", "/plugins/errand/instances/second", 204)
    for words in (["config", "errand", "mark"], ["config", "errand", "place=x", "--organization", "red"], ["config", "nothing"], ["disable", "errand", "--organization", "nobody"]):
        assert server.cli("plugin", *words, check=False).returncode in (1, 2), words


# --- what stays ---

def test_a_restart_keeps_all(server, admin, red, blue):
    admin.call("PUT", "/plugins/errand/instances/kept", json={"config": {"mark": "kept"}, "priority": 10})
    put(red.api, settings(red), config={"mark": "red"})
    put(blue.api, settings(blue), enabled=False)
    server.restart()
    assert mark(red.api) == "red" and findings(red.api) == ["kept", "red"]
    blue.api.call("GET", "/errand/who", 404)
    with server.admin() as again:
        again.call("DELETE", "/plugins/errand/instances/kept", 204)
