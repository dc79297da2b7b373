"""Behind the host: plugins with hostile queries and migrations, and the roles themselves. The database refuses, not the host's good will."""
import json
import pathlib

import pytest

import client
from database import DatabaseError

HOSTILE = pathlib.Path(__file__).resolve().parents[1] / "plugins"
SERVER = {"plugins": [HOSTILE], "enable": ["planted"]}
HONEST = {"own", "read-own", "read-granted"}
PLANTED = sorted(path.removeprefix("/planted/") for path in json.loads((HOSTILE / "planted/api.json").read_text())["paths"])
REFUSED = sorted(folder.name for folder in HOSTILE.iterdir() if folder.is_dir() and folder.name != "planted")


@pytest.fixture(scope="module")
def a(server):
    tenant = client.Tenant(server, "victim")
    tenant.api.call("POST", "/planted/own", 201, json={"other": "canary-item-7f3a"})
    tenant.api.call("POST", f"/workspaces/{tenant.workspace}/notes", 201, json={"title": "canary-note-7f3a"})
    return tenant


@pytest.fixture(scope="module")
def b(server, a):
    return client.Tenant(server, "attacker")


def test_honest_queries_work(a, b):
    assert a.api.call("POST", "/planted/read-own", (200, 201), json={"other": "x"}).data["value"] == "canary-item-7f3a"
    assert b.api.call("POST", "/planted/read-own", (200, 201), json={"other": "x"}).data["value"] is None
    assert b.api.call("POST", "/planted/read-granted", (200, 201), json={"other": "x"}).data["value"] == "main"


@pytest.mark.parametrize("what", [name for name in PLANTED if name not in HONEST])
def test_a_planted_query_is_denied_by_the_database(server, a, b, what):
    answer = b.api.call("POST", f"/planted/{what}", 500, json={"other": a.org})
    assert answer.data["code"] == "internal_error" and "canary" not in answer.text
    assert "permission" not in answer.text and "policy" not in answer.text, "what the database says stays inside"
    assert server.events("db.query_failed", query=what.replace("-", "_"), sqlstate="42501"), "it failed for another reason than the database's refusal"


def test_the_host_serves_on_after_all_that(a, b):
    test_honest_queries_work(a, b)


@pytest.mark.parametrize("slug", REFUSED)
def test_a_hostile_plugin_does_not_start(server, admin, slug):
    admin.call("POST", f"/plugins/{slug}/enable", 409)
    plugin = admin.call("GET", f"/plugins/{slug}").data
    assert plugin["state"] == "failed" and plugin["reason"], plugin
    print(f"{slug}: {plugin['reason']}")
    database = server.database()
    left = database.rows(f"SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{slug}'"
                         f" UNION ALL SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = '{slug}'")
    assert not left, f"its migration left {left}"
    assert admin.get(f"/{slug}").status_code == 404


ROLES = ["notes", "documents", "chat", "retrieval", "tenancy", "planted"]
FORBIDDEN = {
    "move to another tenant": "SELECT set_config('app.org_id', '{other}', true)",
    "read the credentials": "SELECT * FROM mt.credential",
    "read the directory": "SELECT * FROM mt.scope_directory",
    "read the jobs": "SELECT * FROM mt.job",
    "read the idempotency keys": "SELECT * FROM mt.idempotency",
    "read the migrations": "SELECT * FROM mt.migration",
    "make a credential": "SELECT mt.put_credential('{{}}')",
    "sleep": "SELECT pg_sleep(0)",
    "lock": "SELECT pg_advisory_lock(1)",
    "notify": "SELECT pg_notify('mt_cache', 'x')",
    "make a table": "CREATE TABLE public.mine (x int)",
    "make a temporary table": "CREATE TEMP TABLE mine (x int)",
    "switch row security off": "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "drop the trigger": "DROP TRIGGER mt_change ON {table}",
    "empty the table": "TRUNCATE {table}",
}
TABLES = {"notes": "notes.note", "documents": "documents.document", "chat": "chat.session", "tenancy": "tenancy.workspace", "planted": "planted.item",
          "retrieval": "documents.chunk"}


@pytest.mark.parametrize("role", ROLES)
def test_what_a_plugin_role_may_not(server, a, b, role):
    database, table = server.database(), TABLES[role]
    assert int(database.as_plugin(role, b.org, f"SELECT count(*) FROM {table} WHERE org_id <> '{b.org}'")[0][0]) == 0
    assert int(database.as_plugin(role, "", f"SELECT count(*) FROM {table}")[0][0]) == 0, "without a context there are no rows"
    for what, sql in FORBIDDEN.items():
        text = sql.format(other=a.org, table=table)
        with pytest.raises(DatabaseError) as refused:
            database.as_plugin(role, b.org, text)
        assert "permission denied" in str(refused.value) or "must be owner" in str(refused.value) or "cannot set parameter" in str(refused.value), \
            f"{role}: {what}: {refused.value}"


def test_the_quota_rows_are_the_tenants_own(server, a, b):
    database = server.database()
    assert int(database.as_plugin("notes", b.org, f"SELECT count(*) FROM notes.note WHERE workspace_id = '{a.workspace}'")[0][0]) == 0
    with pytest.raises(DatabaseError):
        database.as_plugin("notes", b.org, f"INSERT INTO notes.note (org_id, workspace_id, id, title, text, tags, pinned)"
                           f" VALUES ('{a.org}', '{a.workspace}', gen_random_uuid(), 'x', '', '{{}}', false)")
    with pytest.raises(DatabaseError):
        database.as_plugin("notes", b.org, f"INSERT INTO notes.note (workspace_id, id, title, text, tags, pinned)"
                           f" VALUES ('{a.workspace}', gen_random_uuid(), 'x', '', '{{}}', false)")


def test_every_tenant_table_is_guarded(server):
    """Whatever a plugin has made: a table with rows of tenants has row security, forced, and keys that lead with the organization."""
    rows = server.database().rows(
        "SELECT c.oid::regclass, c.relrowsecurity, c.relforcerowsecurity, EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'mt_change')"
        " FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.relkind IN ('r', 'p') AND r.rolname LIKE 'mt\\_o\\_%'")
    assert len(rows) > 8
    assert all(row[1:] == ["t", "t", "t"] for row in rows), rows
