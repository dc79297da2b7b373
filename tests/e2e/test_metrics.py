"""What plugins publish on /v1/metrics: numbers of what was done, and nothing of whom."""
import json
import re

import pytest

import client
import server as servers


@pytest.fixture(scope="module")
def server():
    s = servers.Server(plugins=[servers.plugin_folder("scripted")], enable=["scripted"], name="metrics").start()
    yield s
    s.dispose()


@pytest.fixture(scope="module")
def tenant(server):
    return client.Tenant(server, "metrics-of-whom")


def read(server):
    """name{labels} → value."""
    with server.admin() as admin:
        text = admin.call("GET", "/metrics").text
    return {m[1]: float(m[2]) for m in re.finditer(r"^(mortise_[^ ]+) ([^ ]+)$", text, re.M)}


class Change:
    def __init__(self, server):
        self.server, self.before = server, read(server)

    def __call__(self, name):
        return read(self.server).get(name, 0) - self.before.get(name, 0)


def agent(tenant, slug, model="scripted", **script):
    return tenant.api.call("POST", f"/workspaces/{tenant.workspace}/agents", 201, json={
        "name": slug, "slug": slug, "model_name": model, "system_prompt": json.dumps(script)}).data["id"]


def test_a_question_is_counted_on_its_way(server, tenant):
    change = Change(server)
    tenant.api.upload(tenant.workspace, ("mill.txt", b"The mill by the river was built in 1843."))
    tenant.api.upload(tenant.workspace, ("broken.pdf", b"%PDF-1.4 nothing"))
    tenant.api.search(tenant.workspace, "mill", mode="text")
    tenant.api.search(tenant.workspace, "mill", mode="text", rerank="none-here")
    answer = tenant.api.chat(tenant.workspace, "When was the mill built?", agent_id=agent(tenant, "true", rounds=[{"text": "The mill by the river was built in 1843."}]))
    assert answer["finish"] == "stop"
    for name, by in {'mortise_documents_ingested_total{outcome="indexed"}': 1, 'mortise_documents_ingested_total{outcome="failed"}': 1, "mortise_documents_chunks_total": 1,
                     'mortise_retrieval_search_seconds_count{mode="text"}': 2, 'mortise_retrieval_rerankings_total{outcome="not"}': 1,
                     'mortise_retrieval_search_seconds_count{mode="hybrid"}': 1, 'mortise_chat_answers_total{provider="scripted",outcome="stop"}': 1,
                     'mortise_chat_answer_seconds_count{provider="scripted"}': 1,
                     'mortise_models_calls_total{model="scripted",provider="scripted",outcome="ok"}': 1, 'mortise_models_call_seconds_count{provider="scripted"}': 1}.items():
        assert change(name) == by, name
    assert change('mortise_models_tokens_total{model="scripted",kind="output"}') == answer["usage"]["output_tokens"] > 0


def test_failures_and_breakers(server, tenant):
    change = Change(server)
    with server.admin() as admin:
        admin.call("PUT", "/plugins/models/config", json={"breaker": {"failures": 2, "open_ms": 3600000}, "retries": 0})
        who = agent(tenant, "away", "scripted-small", fail="unavailable")
        for _ in range(3):
            assert tenant.api.chat(tenant.workspace, "When was the mill built?", agent_id=who)["usage"]["model"] == "extractive"
        assert change('mortise_models_upstream_failures_total{provider="scripted",reason="unavailable"}') == 2     # the third is not let through
        assert change('mortise_models_calls_total{model="scripted-small",provider="none",outcome="failed"}') == 3
        assert change('mortise_models_breaker_open{provider="scripted",state="open"}') == 1
        admin.call("PUT", "/plugins/models/config", json={})


def test_jobs_by_state(server, tenant):
    """A number that goes down again: also to nought, when there is nothing left to count."""
    name = 'mortise_queue_pg_jobs{queue="documents.ingest",state="dead"}'
    before = read(server).get(name, 0)
    database = server.database()
    database.run(f"INSERT INTO mt.job (id, queue, org_id, payload, state, finished_at) VALUES (gen_random_uuid(), 'documents.ingest', '{tenant.org}', '{{}}', 'dead', now())")
    assert read(server)[name] == before + 1
    database.run(f"DELETE FROM mt.job WHERE org_id = '{tenant.org}' AND state = 'dead' AND payload = '{{}}'")
    assert read(server)[name] == before


def test_nobody_is_named(server, tenant):
    made = tenant.api.call("POST", "/models/upload", 201, files=[("config", (None, json.dumps({"name": "our-secret-name", "type": "openai", "model": "scripted"})))]).data
    tenant.api.call("POST", f"/models/{made['id']}/activate")
    change = Change(server)
    tenant.api.chat(tenant.workspace, "When was the mill built?", agent_id=agent(tenant, "secret", "our-secret-name", rounds=[{"text": "The mill by the river was built in 1843."}]))
    assert change('mortise_models_calls_total{model="registered",provider="scripted",outcome="ok"}') == 1
    with server.admin() as admin:
        text = admin.call("GET", "/metrics").text
    for secret in ("our-secret-name", tenant.org, tenant.workspace, "metrics-of-whom"):
        assert secret not in text
