"""/v1/events: what changes, told as it happens, once and in order, to those whom it concerns; and again after a pause."""
import json
import threading
import time

import pytest

import client
from server import until
from test_upgrades import Maker


class Follower:
    """A stream of events that is read in a thread of its own; everything that came is in .events as (id, name, data)."""

    def __init__(self, api, last=None, **params):
        self.api, self.events, self.error = client.Client(str(api.base_url), api.key), [], None
        headers = {"Last-Event-ID": last} if last else {}
        self.request = self.api.build_request("GET", "/events", params={"follow": "true", **params}, headers=headers)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        until("the stream is ready", lambda: self.error or self.events)
        assert not self.error, self.error

    def run(self):
        try:
            self.answer = self.api.send(self.request, stream=True)
            if self.answer.status_code != 200:
                self.error = self.answer.read()
                return
            self.events += frames(self.answer.iter_lines(), self.events.append)
        except Exception as e:                # the client was closed, or the server went away
            self.error = repr(e)

    def changes(self, resource=None):
        return [(i, d) for i, name, d in list(self.events) if name == "change" and resource in (None, d["resource"])]

    def close(self):
        self.answer.close()
        self.api.close()


def frames(lines, tell):
    frame = {}
    for line in lines:
        if line:
            key, _, value = line.partition(": ")
            frame[key] = value
        elif "event" in frame:
            tell((frame.get("id"), frame["event"], json.loads(frame["data"])))
            frame = {}
    return []


def read(api, status=200, last=None, **params):
    """What there is now."""
    with api.stream("GET", "/events", params=params, headers={"Last-Event-ID": last} if last else {}) as answer:
        assert answer.status_code == status, answer.read()
        events = []
        frames(answer.iter_lines(), events.append)
        return events


def new_note(tenant, title="a note"):
    return tenant.api.call("POST", f"/workspaces/{tenant.workspace}/notes", 201, json={"title": title})


@pytest.fixture()
def follower(tenant):
    f = Follower(tenant.api)
    yield f
    f.close()


def test_a_change_is_told_at_once(tenant, follower):
    made = new_note(tenant)
    path = f"/workspaces/{tenant.workspace}/notes/{made.data['id']}"
    tenant.api.call("PATCH", path, json={"title": "secret-title"})
    tenant.api.call("DELETE", path, 204)
    told = until("three changes are told", lambda: len(got := follower.changes("notes.note")) == 3 and got)
    assert [d["type"] for _, d in told] == ["created", "updated", "deleted"]
    first = told[0][1]
    assert first["resource_id"] == made.data["id"] and first["organization_id"] == tenant.org and first["workspace_id"] == tenant.workspace
    assert (first["operation"], first["request_id"], first["actor_id"]) == ("notes.create", made.headers["x-request-id"], tenant.key_id)
    assert first["at"].endswith("Z") and "secret-title" not in json.dumps(told)
    ids = [tuple(map(int, i.split("-"))) for i, _ in told]
    assert ids == sorted(ids)
    assert tenant.server.database().count("mt.watcher", "until > now()") == 1


def test_nobody_hears_of_others(server, admin, tenant, follower):
    other = client.Tenant(server, "neighbours")
    theirs, bound = Follower(other.api), Follower(tenant.workspace_client(tenant.new_workspace("quiet")))
    try:
        made, own = new_note(tenant).data["id"], new_note(other).data["id"]
        until("each heard its own", lambda: follower.changes("notes.note") and theirs.changes("notes.note"))
        assert {d["organization_id"] for _, d in follower.changes()} == {tenant.org}
        assert {d["organization_id"] for _, d in theirs.changes()} == {other.org}
        assert [d["resource_id"] for _, d in theirs.changes("notes.note")] == [own] and made not in json.dumps(theirs.events)
        assert not bound.changes()
    finally:
        theirs.close()
        bound.close()
    unknown = other.api.call("GET", "/events", 404, params={"organization_id": client.new_id()}).data
    foreign = other.api.call("GET", "/events", 404, params={"organization_id": tenant.org}).data
    assert {k: v for k, v in unknown.items() if k != "request_id"} == {k: v for k, v in foreign.items() if k != "request_id"}
    reader = client.Client(server.url, tenant.make_key(tenant.api, f"/organizations/{tenant.org}/api-keys", scopes=["read"])[1])
    reader.call("GET", "/events", 403)
    start = read(admin, organization_id=tenant.org)[-1][0]
    new_note(tenant)
    assert [d["resource"] for _, name, d in read(admin, last=start, organization_id=tenant.org, resource="notes.note") if name == "change"] == ["notes.note"]


def test_who_comes_back_misses_nothing(tenant):
    start = read(tenant.api)
    assert [name for _, name, _ in start] == ["ready", "end"]
    first = Follower(tenant.api, resource="notes.note")
    made = [new_note(tenant).data["id"] for _ in range(3)]
    seen = until("three are told", lambda: len(got := first.changes()) == 3 and got)
    first.close()
    made += [new_note(tenant).data["id"] for _ in range(250)]
    again = Follower(tenant.api, last=seen[1][0], resource="notes.note")
    more = until("the rest is told", lambda: len(got := again.changes()) >= 251 and got)
    made += [new_note(tenant).data["id"] for _ in range(3)]
    more = until("what came while it followed is told too", lambda: len(got := again.changes()) >= 254 and got)
    again.close()
    assert [d["resource_id"] for _, d in more] == made[2:]
    assert [d["resource_id"] for _, name, d in read(tenant.api, last=start[-1][0], resource="notes.note") if name == "change"] == made
    assert tenant.api.call("GET", "/events", 400, params={"after": "12"}).data["code"] == "event_id_invalid"


def test_many_writers_and_one_that_is_slow_to_commit(server, tenant, follower):
    """A transaction that began first and commits last is told too, though its number is the lowest."""
    with server.database().session() as run:
        run("BEGIN")
        run(f"""INSERT INTO mt.change (org_id, "table", op, after) VALUES ('{tenant.org}', 'test.slow', 'I', '{{"id": "slow"}}')""")
        made = set()
        lock = threading.Lock()

        def write():
            for _ in range(25):
                note = new_note(tenant).data["id"]
                with lock:
                    made.add(note)

        threads = [threading.Thread(target=write) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not follower.changes("test.slow")
        run("COMMIT")
    told = until("all are told", lambda: len(got := follower.changes()) >= 101 and got)
    assert [d["resource_id"] for _, d in told if d["resource"] == "test.slow"] == ["slow"]
    notes = [d["resource_id"] for _, d in told if d["resource"] == "notes.note"]
    assert len(notes) == len(set(notes)) == 100 and set(notes) == made
    keys = [tuple(map(int, i.split("-"))) for i, _ in told]
    assert keys == sorted(keys)


def test_a_reader_that_is_stuck_holds_nothing_and_catches_up(tenant):
    """More events than its loop's ring and its socket hold, while it does not read."""
    stuck = tenant.api.build_request("GET", "/events", params={"follow": "true", "resource": "notes.note"})
    with client.Client(str(tenant.api.base_url), tenant.api.key) as api:
        answer = api.send(stuck, stream=True)
        lines = answer.iter_lines()
        events = []
        for line in lines:
            if line == "event: ready":
                break
        tenant.server.database().run(f"""INSERT INTO mt.change (org_id, "table", op, after)
            SELECT '{tenant.org}', 'notes.note', 'I', jsonb_build_object('id', n) FROM generate_series(1, 6000) n""")
        last = new_note(tenant).data["id"]
        for line in lines:
            if line.startswith("data: ") and len(line) > 10:
                events.append(json.loads(line[6:])["resource_id"])
                if events[-1] == last:
                    break
        answer.close()
    assert events == [str(n) for n in range(1, 6001)] + [last]


def test_operators_hear_of_plugins(server, admin, tenant, follower, tmp_path):
    operator, maker = Follower(admin), Maker(tmp_path)
    for version in ("1.0.00001", "1.0.00002"):
        server.cli("plugin", "install", maker.make(version))
    admin.call("POST", "/plugins/hello/disable")
    admin.call("POST", "/plugins/hello/enable")
    upgraded = until("the upgrade is told", lambda: len(got := [(d["version"][-1], d["state"]) for _, name, d in operator.events
                                                                if name == "plugin" and d["slug"] == "evolving"]) >= 5 and got)
    assert upgraded == [("1", "staged"), ("1", "active"), ("2", "staged"), ("2", "active"), ("1", "retired")]
    told = until("both are told", lambda: len(got := [d for _, name, d in operator.events if name == "plugin" and d["slug"] == "hello"]) >= 2 and got)
    operator.close()
    assert told[0]["state"] == "inactive" and told[-1]["state"] == "active" and told[-1]["version"]
    new_note(tenant)
    until("the tenant's stream goes on", lambda: follower.changes("notes.note"))
    assert not [e for e in follower.events if e[1] == "plugin"]


def test_a_stop_ends_the_streams(server, tenant):
    f = Follower(tenant.api)
    began = time.monotonic()
    server.restart()
    until("the stream has ended", lambda: not f.thread.is_alive())
    assert f.events[-1][1] == "end" and time.monotonic() - began < 60
    again = Follower(tenant.api, last=f.events[-1][0])
    note = new_note(tenant).data["id"]
    until("it goes on after the restart", lambda: any(d["resource_id"] == note for _, d in again.changes("notes.note")))
    again.close()
