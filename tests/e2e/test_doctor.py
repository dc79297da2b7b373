"""What an operator is told of a plugin: `mortise plugin info` and `mortise plugin doctor`, and the counter of crashes."""
import json

import client
import server as servers
from server import until

SERVER = {"plugins": [servers.plugin_folder("crasher", "hooked", "broken_dependency")], "enable": ["crasher", "hooked", "broken_dependency"]}


def doctor(server, slug, status=0):
    """check → (status, detail, advice) of one plugin."""
    done = server.cli("plugin", "doctor", slug, "--json", check=False)
    assert done.returncode == status, done.stdout + done.stderr
    item, = json.loads(done.stdout)["items"]
    return {c["check"]: (c["status"], c["detail"], c["advice"]) for c in item["checks"]}


def test_info_tells_all(server, admin, tenant):
    tenant.api.call("GET", f"/workspaces/{tenant.workspace}/documents")
    told = json.loads(server.cli("plugin", "info", "documents", "--json").stdout)
    assert told["state"] == "active" and told["version"] and told["dependents"] == ["retrieval"]
    assert {"id": "documents.list", "method": "GET", "path": "/workspaces/{workspace_id}/documents", "permission": "document.read"} in told["operations"]
    assert told["handlers"][0]["hook"] == "workspace.deleting" and told["handlers"][0]["budget_us"] > 0
    assert told["counters"]["operation"]["calls"] >= 1 and told["counters"]["crashes"] == 0
    assert {q["name"] for q in told["queues"]} >= {"documents.ingest"} and told["config"]["chunk_tokens"]
    text = server.cli("plugin", "info", "documents").stdout
    for line in ("slug           documents", "requires       blob/1", "documents.list (document.read)", "documents.ingest: 2 at a time"):
        assert line in text, text
    tenant.api.call("GET", "/plugins/documents/status", 403)
    assert server.cli("plugin", "info", "nothing", check=False).returncode == 1


def test_a_healthy_plugin_has_nothing_wrong(server):
    checks = doctor(server, "documents")
    assert {c for c in checks if checks[c][0] == "ok"} >= {"manifest", "code", "state", "dependencies", "contract", "config", "crashes", "queue documents.ingest"}
    assert "agree with each other and with the database" in checks["contract"][1]
    assert server.cli("plugin", "doctor", "documents").stdout.startswith("ok       documents ")


def test_what_is_wrong_is_told_with_what_helps(server, admin, tenant):
    db = server.database()
    db.run("ALTER TABLE notes.note RENAME COLUMN title TO headline")
    drift = doctor(server, "notes", 1)["contract"]
    db.run("ALTER TABLE notes.note RENAME COLUMN headline TO title")
    assert drift[0] == "error" and "queries.sql" in drift[1] and "migration" in drift[2]
    assert doctor(server, "notes")["contract"][0] == "ok"

    db.run(f"INSERT INTO mt.job (id, queue, org_id, payload, state, finished_at) VALUES ('{client.new_id()}', 'documents.ingest', '{tenant.org}', '{{}}', 'dead', now())")
    dead = doctor(server, "documents")["queue documents.ingest"]
    db.run("DELETE FROM mt.job WHERE state = 'dead'")
    assert dead[0] == "warning" and dead[1].startswith("1 jobs are dead") and "job.failed" in dead[2]

    waiting = doctor(server, "broken_dependency", 1)
    assert waiting["state"][0] == "error" and waiting["dependencies"][0] == "error" and "no_such_plugin" in waiting["dependencies"][1]
    tenant.api.chat(tenant.workspace, "Does an action that fails get counted?")
    failing = until("the failing hook is told", lambda: [c for c in doctor(server, "hooked").values() if "failed" in c[1]])
    assert failing[0][0] == "warning" and "hook.failed" in failing[0][2]


def test_all_at_once_tells_only_what_is_wrong(server):
    done = server.cli("plugin", "doctor", check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok       notes ") for line in lines) and any(line.startswith("error    broken_dependency ") for line in lines)
    assert not [line for line in lines if line.startswith("  ok ")]


def test_a_crash_is_counted(server, admin):
    host = server.host_pid()
    try:
        admin.post("/crasher/null")
    except client.TransportError:
        pass
    until("another host serves", lambda: server.host_pid() not in (None, host) and server.ready())
    crashes = doctor(server, "crasher", 1)["crashes"]
    assert crashes[0] == "error" and "1 times" in crashes[1] and "host.died" in crashes[2]
    with server.admin() as again:
        assert 'mortise_plugin_crashes_total{plugin="crasher"} 1' in again.get("/metrics").text
