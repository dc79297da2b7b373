"""`mortise apply`: from a file to a server that is as the file says, told before it is done, done once, put right after drift."""
import json
import pathlib
import pty
import re
import shutil
import subprocess

import pytest

import client
import server as servers
from test_upgrades import Maker

SECRET = "canary-apply-8d21"
QUIET = '-- hook: auth.authorize\nif ctx.operation == "nothing.at.all" then decide.deny(403, "no", "%s") end\n'
EXAMPLE = servers.ROOT / "sdk/examples/apply/state.json"


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    return Maker(tmp_path_factory.mktemp("versions"))


@pytest.fixture(scope="module")
def acme(server):
    return client.Tenant(server, "acme")


class State:
    """A file in a folder of its own, and what the program answers about it."""

    def __init__(self, server, folder):
        self.server, self.folder, self.file = server, folder, folder / "state.json"
        self.said = []

    def write(self, state):
        self.file.write_text(json.dumps(state, indent=1))
        return self

    def run(self, *words, status=0, env=None):
        self.server.env.update(env or {})
        done = self.server.cli("apply", self.file, *words, check=False)
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == status, f"{done.returncode}, not {status}\n{done.stdout}{done.stderr}"
        return done

    def differs(self):
        report = json.loads(self.run("--dry-run", "--json", status=3).stdout)
        assert report["done"] == 0 and report["failed"] is None
        return [(s["subject"], s["action"]) for s in report["steps"]]

    def apply(self, *words, **more):
        return json.loads(self.run("--yes", "--json", *words, **more).stdout)

    def holds(self):
        assert self.run().stdout == "no changes\n"        # without --yes: nobody has to be asked
        assert self.run("--dry-run").stdout == "no changes\n"


@pytest.fixture()
def state(server, tmp_path):
    made = State(server, tmp_path)
    yield made
    assert SECRET not in "".join(made.said) and SECRET not in server.log()


def plugin(admin, slug):
    return admin.call("GET", f"/plugins/{slug}").data


def test_a_state_is_reached_kept_and_repaired(state, admin, acme, maker, server):
    (state.folder / "key").write_text(SECRET + "\n")
    (state.folder / "quiet.lua").write_text(QUIET % "hush")
    shutil.copytree(maker.make("1.0.00001"), state.folder / "evolving")
    state.write({
        "plugins": {
            "evolving": {"package": "evolving", "version": "1.0.00001", "config": {"greeting": "Welcome"}},
            "hello": {"enabled": True, "config": {"greeting": {"$env": "GREETING"}}},
            "notes": {"enabled": False},
            "llm_openai": {"config": {"keys": {"mine": {"$file": "key"}}}}},
        "organizations": {"acme": {"policies": {
            "quiet": {"enabled": "quiet.lua"},
            "loud": {"enabled": None, "shadow": {"source": QUIET % "loud"}, "record": True}}}}})
    missing = state.run("--dry-run", status=2).stderr
    assert re.search(r"state\.json:\d+:\d+: The environment variable GREETING is not set", missing)
    server.env["GREETING"] = "Good day"

    wanted = [("plugin evolving", "install"), ("plugin hello", "configure"), ("plugin notes", "disable"), ("plugin llm_openai", "configure"),
              ("policy acme/quiet", "create"), ("policy acme/loud", "create")]
    assert state.differs() == wanted
    assert admin.get("/plugins/evolving").status_code == 404 and plugin(admin, "notes")["enabled"]
    shown = state.run("--dry-run", status=3).stdout
    assert '~ /config/greeting "Hello" → "Good day"' in shown and '+ /config/keys/mine "********"' in shown and '+ /version "1.0.00001"' in shown
    nobody = state.run(status=2)
    assert "--yes" in nobody.stderr and plugin(admin, "notes")["enabled"]

    report = state.apply()
    assert report["done"] == len(wanted) and report["failed"] is None
    assert admin.call("GET", "/evolving").data["version"] == "1.0.00001" and admin.call("GET", "/plugins/evolving/config").data == {"greeting": "Welcome"}
    assert admin.call("GET", "/hello").data["message"].startswith("Good day") and not plugin(admin, "notes")["enabled"]
    policies = {p["name"]: p for p in acme.api.call("GET", f"/organizations/{acme.org}/policies").data["items"]}
    assert policies["quiet"]["enabled_version"] == 1 and not policies["quiet"]["record"]
    assert policies["loud"]["enabled_version"] is None and policies["loud"]["shadow_version"] == 1 and policies["loud"]["record"]
    state.holds()

    admin.call("PUT", "/plugins/hello/config", json={"greeting": "Drifted"})
    admin.call("POST", "/plugins/notes/enable")
    admin.call("PUT", "/plugins/llm_openai/config", json={"keys": {"mine": "another"}})
    acme.api.call("PATCH", f"/organizations/{acme.org}/policies/{policies['quiet']['id']}", json={"enabled_version": None})
    assert state.differs() == [("plugin hello", "configure"), ("plugin notes", "disable"), ("plugin llm_openai", "configure"), ("policy acme/quiet", "change")]
    assert '~ /config/keys/mine "********" → "********" (another)' in state.run("--dry-run", status=3).stdout
    state.apply()
    state.holds()
    again = acme.api.call("GET", f"/organizations/{acme.org}/policies/{policies['quiet']['id']}").data
    assert again["enabled_version"] == again["latest_version"] == 1         # the text was there: no new version


def test_versions_go_up_and_down_with_their_configuration(state, admin, maker):
    shutil.copytree(maker.make("1.0.00001"), state.folder / "one")
    two = maker.make("1.0.00002", manifest={"config_schema": {"type": "object", "additionalProperties": False, "required": ["word"], "properties": {
        "word": {"type": "string", "format": "secret"}}}})
    shutil.copytree(two, state.folder / "two")
    state.write({"plugins": {"evolving": {"package": "one", "config": {"greeting": "One"}}}}).apply()
    state.write({"plugins": {"evolving": {"package": "two", "config": {"greeting": "Two"}}}})
    assert re.search(r'state\.json:5:\d+: .*word is required', state.run("--yes", status=2).stderr)        # told before anything is done
    assert plugin(admin, "evolving")["version"] == "1.0.00001"
    state.write({"plugins": {"evolving": {"package": "two", "config": {"word": SECRET}}}})
    assert state.differs() == [("plugin evolving", "upgrade")]
    state.apply()
    assert plugin(admin, "evolving")["version"] == "1.0.00002" and admin.call("GET", "/plugins/evolving/config").data == {"word": "********"}
    state.holds()
    state.write({"plugins": {"evolving": {"package": "one", "version": "1.0.00001", "config": {}}}})
    assert state.differs() == [("plugin evolving", "downgrade")]
    state.apply()
    assert admin.call("GET", "/plugins/evolving/config").data == {"greeting": "Hello"}
    state.holds()
    wrong = state.write({"plugins": {"evolving": {"package": "one", "version": "2.0.0"}}}).run("--yes", status=2).stderr
    assert re.search(r"state\.json:\d+:\d+: one has version 1\.0\.00001", wrong)


def test_a_failure_in_the_middle_tells_what_holds(state, admin, maker):
    shutil.copytree(maker.make("1.0.00003", behaviour="fail_on_activate"), state.folder / "bad")
    state.write({"plugins": {"hello": {"config": {"greeting": "Before"}}, "evolving": {"package": "bad"}, "llm_ollama": {"config": {"keys": {"x": SECRET}}}}})
    said = state.run("--yes", status=1).stderr
    assert "plugin evolving: upgrade failed: " in said
    assert re.findall(r"^  (done|failed|not done) +plugin (\w+)", said, re.M) == [("done", "hello"), ("failed", "evolving"), ("not done", "llm_ollama")]
    assert admin.call("GET", "/plugins/hello/config").data == {"greeting": "Before"} and admin.call("GET", "/plugins/llm_ollama/config").data == {"keys": {}}
    assert plugin(admin, "evolving")["state"] == "active"
    state.write({"plugins": {"hello": {"config": {"greeting": "Before"}}, "llm_ollama": {"config": {"keys": {"x": SECRET}}}}})
    assert state.differs() == [("plugin llm_ollama", "configure")]          # what was done holds
    state.apply()
    state.holds()


def test_somebody_else_changes_it_meanwhile(state, admin):
    """The question is asked, somebody changes the configuration, and the answer is yes: the difference is shown anew, and asked again."""
    state.write({"plugins": {"hello": {"config": {"greeting": "Mine"}}}})
    admin.call("PUT", "/plugins/hello/config", json={"greeting": "Before"})
    ours, theirs = pty.openpty()
    command = [servers.BINARY, "apply", state.file, "--data", state.server.data]
    with subprocess.Popen(list(map(str, command)), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=state.server.env) as run:
        def until_asked():
            text = ""
            while not text.endswith("[y/N] "):
                text += run.stdout.read(1)
            return text
        assert '"Before" → "Mine"' in until_asked()
        admin.call("PUT", "/plugins/hello/config", json={"greeting": "Theirs"})
        with open(ours, "w", buffering=1) as answers:
            answers.write("y\n")
            assert '"Theirs" → "Mine"' in until_asked()
            answers.write("n\n")
            said = run.stdout.read() + run.stderr.read()
            assert run.wait() == 1
    assert "changed by someone else" in said and "nothing was changed" in said
    assert admin.call("GET", "/plugins/hello/config").data == {"greeting": "Theirs"}


def test_what_is_not_named_stays_unless_it_is_pruned(state, admin, acme, maker):
    shutil.copytree(maker.make("1.0.00001"), state.folder / "one")
    state.write({"plugins": {"evolving": {"package": "one"}}, "organizations": {"acme": {"policies": {"quiet": {"enabled": {"source": QUIET % "hush"}}}}}}).apply()
    state.write({"organizations": {acme.org: {"policies": {}}}})
    state.holds()
    listed = json.loads(state.run("--prune", "--dry-run", "--json", status=3).stdout)["steps"]
    assert {(s["subject"].replace(acme.org, "acme"), s["action"]) for s in listed} >= {("plugin evolving", "uninstall"), ("policy acme/quiet", "delete")}
    assert {s["subject"] for s in listed if s["subject"].startswith("plugin")} == {"plugin evolving"}
    state.apply("--prune")
    assert admin.get("/plugins/evolving").status_code == 404
    assert acme.api.call("GET", f"/organizations/{acme.org}/policies").data["items"] == []
    stays = state.write({"plugins": {"hello": {"absent": True}}}).run("--yes", status=2).stderr
    assert '"enabled": false' in stays and plugin(admin, "hello")["state"] == "active"


def test_an_export_is_a_state_that_holds(state, admin, acme):
    state.write({"plugins": {"llm_openai": {"config": {"keys": {"mine": SECRET}}}},
                 "organizations": {"acme": {"policies": {"quiet": {"enabled": {"source": QUIET % "hush"}}}, "plugins": {"notes": {"enabled": False}},
                                            "workspaces": {"main": {"plugins": {"hello": {"config": {"greeting": "Main"}}}}}}}}).apply()
    exported = state.server.cli("apply", "--export", "--org", "acme").stdout
    state.said.append(exported)
    made = json.loads(exported)
    assert made["plugins"]["llm_openai"]["config"]["keys"] == {"mine": "********"} and made["plugins"]["tenancy"]["enabled"]
    assert made["organizations"]["acme"]["policies"]["quiet"]["enabled"] == {"source": QUIET % "hush"}
    assert made["organizations"]["acme"]["plugins"] == {"notes": {"enabled": False}}
    assert made["organizations"]["acme"]["workspaces"] == {acme.workspace: {"plugins": {"hello": {"config": {"greeting": "Main"}}}}}
    state.file.write_text(exported)
    state.holds()
    admin.call("PUT", "/plugins/hello/config", json={"greeting": "Drifted"})
    made["plugins"]["hello"]["config"]["greeting"] = "Exported"
    state.write(made)
    assert state.differs() == [("plugin hello", "configure")]
    state.apply()
    state.holds()
    state.write({"organizations": {"acme": {"plugins": {"notes": {"absent": True}}, "workspaces": {"main": {"plugins": {"hello": {"absent": True}}}}}}}).apply()
    state.holds()


def test_organizations_and_workspaces(state, admin, acme):
    """hello's greeting is a secret here, which organizations and workspaces may have their own of."""
    folder = state.folder / "hello"
    shutil.copytree(servers.PLUGINS / "hello", folder)
    greeting = {"type": "string", "format": "secret", "x-level": "workspace"}
    (folder / "plugin.json").write_text(json.dumps(json.loads((folder / "plugin.json").read_text()) | {
        "config_schema": {"type": "object", "additionalProperties": False, "properties": {"greeting": greeting, "note": {"type": "string", "x-level": "organization"}}}}))
    said = {"plugins": {"hello": {"package": "hello", "config": {"greeting": SECRET}, "instances": {"other": {"config": {"greeting": SECRET + "-other"}, "priority": 7}}}},
            "organizations": {"acme": {"plugins": {"hello": {"config": {"greeting": SECRET + "-acme", "note": "ours"}}, "notes": {"enabled": False}},
                                       "workspaces": {"main": {"plugins": {"hello": {"config": {"greeting": SECRET + "-main"}}}}}}}}
    state.write(said)
    wanted = [("plugin hello", "replace"), ("instance hello:other", "create"), ("setting acme/hello", "set"), ("setting acme/notes", "set"), ("setting acme/main/hello", "set")]
    assert state.differs() == wanted and state.apply()["done"] == 5
    with acme.workspace_client(acme.workspace) as bound:
        assert [api.call("GET", "/hello").data["message"].split(",")[0] for api in (acme.api, bound)] == [SECRET + "-acme", SECRET + "-main"]
    state.holds()
    acme.api.call("PUT", f"/organizations/{acme.org}/plugins/hello", json={"config": {"greeting": "another", "note": "theirs"}})
    shown = state.run("--dry-run", status=3).stdout
    assert '~ /config/note "theirs" → "ours"' in shown and '~ /config/greeting "********" → "********" (another)' in shown
    state.apply()
    state.holds()
    said["plugins"]["hello"]["instances"] = {"other": {"config": {"greeting": SECRET + "-changed"}}, "default": {"scope": {"operations": ["hello.*"]}}}
    assert state.write(said).differs() == [("instance hello:other", "set"), ("instance hello:default", "set")]
    assert '~ /config/greeting "********" → "********" (another)' in state.run("--dry-run", status=3).stdout
    state.apply()
    state.holds()
    said["plugins"]["hello"]["instances"] = {"other": {"absent": True}, "default": {"scope": {}}}
    state.write(said).apply()
    state.holds()
    acme_said = said["organizations"]["acme"]
    acme_said["plugins"] = {"hello": {"absent": True}, "notes": {"allowed": False, "enabled": True}}
    state.write(said)
    assert state.differs() == [("setting acme/hello", "take away"), ("setting acme/notes", "forbid"), ("setting acme/notes", "set")]
    state.apply()
    state.holds()
    assert acme.api.call("GET", "/hello").data["message"].startswith(SECRET + ",")
    acme_said["plugins"] = {"notes": {"allowed": True}}
    state.write(said).apply()
    acme_said["workspaces"]["main"]["plugins"]["hello"]["config"]["note"] = "not a workspace's"
    state.write(said)
    assert re.search(r"state\.json:\d+:\d+: .*not for a workspace to set", state.run("--yes", status=2).stderr)
    state.server.cli("plugin", "uninstall", "hello", check=False)
    state.server.cli("plugin", "rollback", "hello")


def test_an_id_is_one_of_the_organization_that_it_stands_under(state, server, acme):
    """Another tenant's workspace, or an id of nobody, is refused with its line, and nothing is written."""
    other = client.Tenant(server, "stranger")
    greeting = {"plugins": {"hello": {"config": {"greeting": "Misplaced"}}}}
    state.write({"organizations": {"acme": {"workspaces": {other.workspace: greeting}}}})
    assert re.search(rf"state\.json:5:\d+: There is no workspace {other.workspace} in organization acme\.", state.run("--yes", status=2).stderr)
    with other.workspace_client(other.workspace) as bound:
        assert "Misplaced" not in bound.call("GET", "/hello").data["message"]
    nobody = client.new_id()
    state.write({"organizations": {nobody: {"plugins": {}}}})
    assert re.search(rf"state\.json:3:\d+: There is no organization {nobody}\.", state.run("--yes", status=2).stderr)
    state.write({"organizations": {acme.org.upper(): {"workspaces": {acme.workspace.upper(): greeting}}}})
    assert len(state.apply()["steps"]) == 1
    state.holds()
    state.write({"organizations": {"acme": {"workspaces": {"main": {"plugins": {"hello": {"absent": True}}}}}}}).apply()


def test_switches_that_depend_on_each_other(state, server):
    red = client.Tenant(server, "switches")
    chain = ["documents", "retrieval", "chat", "openai"]            # each needs the one before

    def switch(on, slugs):
        return state.write({"organizations": {"switches": {"plugins": {slug: {"enabled": on} for slug in slugs}}}})

    def listed():
        rows = red.api.call("GET", f"/organizations/{red.org}/plugins").data["items"]
        return [slug for slug in chain if next(r["enabled"] for r in rows if r["slug"] == slug)]

    said = switch(False, ["chat", "notes"]).run("--yes", status=2).stderr
    assert re.search(r"state\.json:5:\d+: Plugin chat is needed by openai", said) and listed() == chain
    switch(False, chain)
    assert state.differs() == [(f"setting switches/{slug}", "set") for slug in reversed(chain)]
    assert '~ /enabled true → false' in state.run("--dry-run", status=3).stdout
    state.apply()
    assert listed() == []
    state.holds()
    assert re.search(r"state\.json:5:\d+: Plugin retrieval needs documents", switch(True, ["retrieval", "notes"]).run("--yes", status=2).stderr)
    switch(True, reversed(chain))
    assert state.differs() == [(f"setting switches/{slug}", "set") for slug in chain]
    state.apply()
    assert listed() == chain
    state.holds()


def test_what_is_forbidden_and_absent_is_so_once(state, acme):
    acme.api.call("PUT", f"/organizations/{acme.org}/plugins/hello", json={"config": {"greeting": "Ours"}})
    state.write({"organizations": {"acme": {"plugins": {"hello": {"allowed": False, "absent": True}}}}})
    assert state.differs() == [("setting acme/hello", "forbid"), ("setting acme/hello", "take away")]
    state.apply()
    state.holds()
    state.write({"organizations": {"acme": {"plugins": {"hello": {"allowed": True}}}}}).apply()
    assert acme.api.call("GET", f"/organizations/{acme.org}/plugins/hello").data["config"] == {}


def test_instances_keep_their_defaults_and_are_exported(state, admin, acme):
    def given():
        return {i["instance"]: i.get("given") for i in admin.call("GET", "/plugins/hello/instances").data["items"]}

    admin.call("PUT", "/plugins/hello/instances/plain", json={"priority": 3})
    state.write({"plugins": {"hello": {"instances": {"plain": {"priority": 7}, "own": {"config": {"greeting": "Own"}, "scope": {"operations": ["hello.*"]}}}}}})
    state.apply()
    origins = admin.call("GET", "/plugins/hello/effective-config", params={"instance": "plain"}).data["origins"]
    assert origins == {"/greeting": "default"} and given() == {"default": None, "plain": {}, "own": {"greeting": "Own"}}
    state.holds()

    admin.call("PUT", "/plugins/llm_openai/instances/second", json={"config": {"keys": {"mine": SECRET}}})
    acme.api.call("PUT", f"/organizations/{acme.org}/plugins/hello", params={"instance": "own"}, json={"config": {"greeting": "Acme's"}})
    exported = state.server.cli("apply", "--export", "--org", "acme")
    state.said.append(exported.stdout + exported.stderr)
    made = json.loads(exported.stdout)
    assert made["plugins"]["hello"]["instances"] == {"plain": {"config": {}, "priority": 7}, "own": {"config": {"greeting": "Own"}, "scope": {"operations": ["hello.*"]}}}
    assert made["plugins"]["llm_openai"]["instances"] == {"second": {"config": {"keys": {"mine": "********"}}}}
    assert f"organization {acme.org} has of instance hello:own is left out" in exported.stderr and "instances" not in made["plugins"]["tenancy"]
    state.file.write_text(exported.stdout)
    state.holds()
    for slug, name in (("hello", "plain"), ("hello", "own"), ("llm_openai", "second")):
        admin.call("DELETE", f"/plugins/{slug}/instances/{name}", 204)


def test_mistakes_have_their_line(state):
    for text, place, says in (
            ('{ "plugins": {\n "hello": { "on": true } } }', "2:13", "on"),
            ('{ "plugins": {\n "hello": { "config": {\n  "greeting": "" } } } }', "3:3", "greeting"),
            ('{ "plugins": {\n\n "nothing": { "enabled": true } } }', "3:2", "name its package"),
            ('{ "plugins": { "hello": { "package":\n "no/such/file" } } }', "1:27", "No such file"),
            ('{ "organizations": {\n "nobody": { "policies": {} } } }', "2:2", "no organization"),
            ('{ "organizations": { "acme": { "policies": { "p": {\n "enabled": { "source": "-- hook: auth.authorize\\nif then" } } } } } }', "2:2", "")):
        state.file.write_text(text)
        said = state.run("--yes", status=2).stderr
        assert f"state.json:{place}: " in said and says in said, said


def test_the_example_of_the_docs(server, admin, acme):
    server.env["OPENAI_API_KEY"] = SECRET
    first = server.cli("apply", EXAMPLE, "--yes")
    assert server.cli("apply", EXAMPLE).stdout == "no changes\n"
    assert admin.call("GET", "/plugins/models/config").data["routes"][0]["name"] == "fast"
    assert SECRET not in first.stdout + first.stderr
    server.env["OPENAI_API_KEY"] = "another"
    assert '"********" → "********" (another)' in server.cli("apply", EXAMPLE, "--dry-run", check=False).stdout
