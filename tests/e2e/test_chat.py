"""Answers of a model that says what the test tells it: what is shown of them, cited, kept; sessions; many questions at once."""
import concurrent.futures
import itertools
import json
import time

import httpx
import pytest

import client
import server as servers
from server import until

FASTNET = b"""# Fastnet

The Fastnet lighthouse stands on a rock four miles from Cape Clear. It was first lit on the evening of 27 June 1904.

The last keepers left the Fastnet lighthouse in 1989, when the light was automated.
"""
PALAGRUZA = "Svjetionik na Palagruži sagrađen je 1875. godine i najviši je na Jadranu.".encode()
QUESTION = "In which year did the last keepers leave the Fastnet lighthouse?"
TRUE = "The last keepers left the Fastnet lighthouse in 1989."
numbers = itertools.count()


@pytest.fixture(scope="module")
def server():
    s = servers.Server(plugins=[servers.plugin_folder("scripted")], enable=["scripted"], name="chat").start()
    yield s
    s.dispose()


@pytest.fixture(scope="module")
def tenant(server):
    t = client.Tenant(server, "chat")
    items = t.api.upload(t.workspace, ("fastnet.md", FASTNET), ("palagruza.txt", PALAGRUZA))
    assert {i["document"]["status"] for i in items} == {"indexed"}
    return t


def agent(tenant, model="scripted", **script):
    body = {"name": "a", "slug": f"a{next(numbers)}", "model_name": model, "system_prompt": json.dumps(script), "enabled_tools": []}
    return tenant.api.call("POST", f"/workspaces/{tenant.workspace}/agents", 201, json=body).data["id"]


def ask(tenant, text, query=QUESTION, model="scripted", **body):
    return tenant.api.chat(tenant.workspace, query, agent_id=agent(tenant, model, rounds=[{"text": text}]), **body)


def check_citations(tenant, answer):
    """Every quote is its range of the document, and its sentence of the answer ends with its number."""
    for c in answer["citations"]:
        part = tenant.api.call("GET", f"/workspaces/{tenant.workspace}/documents/{c['document_id']}/text", params={"start": c["start_char"], "end": c["end_char"]})
        assert part.data["text"] == c["quote"]
        assert answer["answer"][c["answer_end"]:].startswith(f" [{c['number']}]")
        assert next(s for s in answer["sources"] if s["number"] == c["number"])["cited"]
    for u in answer["unsupported"]:
        assert answer["answer"][u["answer_end"]:].startswith(" [?]")


# --- what is shown ---

@pytest.mark.parametrize("written", [TRUE, TRUE + " [1]", TRUE + " [9]", TRUE[:-1] + " [4]."])
def test_a_supported_sentence_gets_its_own_citation(tenant, written):
    answer = ask(tenant, written)
    assert len(answer["citations"]) == 1 and answer["unsupported"] == [] and answer["finish"] == "stop"
    number = answer["citations"][0]["number"]
    assert answer["answer"] == f"{TRUE} [{number}]" and "1989" in answer["citations"][0]["quote"]
    assert answer["usage"]["model"] == "scripted" and answer["usage"]["output_tokens"] > 0 and answer["usage"]["cost_microusd"] == "0"
    check_citations(tenant, answer)


def test_what_no_passage_says_is_marked(tenant):
    answer = ask(tenant, TRUE + " The keepers were four brothers from Boston. [1] It was lit first on 27 June 1904.")
    assert "four brothers from Boston. [?]" in answer["answer"] and len(answer["unsupported"]) == 1 and len(answer["citations"]) == 2
    check_citations(tenant, answer)
    assert answer["confidence"] < ask(tenant, TRUE)["confidence"]


def test_a_model_that_goes_astray_is_stopped(tenant):
    inventions = " ".join(f"The keepers painted boat number {n} in Boston." for n in range(3000, 3030))
    answer = ask(tenant, f"{TRUE} {inventions}")
    assert len(answer["unsupported"]) == 4 and answer["answer"].startswith(TRUE) and answer["usage"]["output_tokens"] < 80
    check_citations(tenant, answer)
    answer = ask(tenant, inventions)
    assert answer["usage"]["model"] == "extractive" and "1989" in answer["answer"]
    check_citations(tenant, answer)


def test_an_invention_at_the_beginning_waits_for_support(tenant):
    events = tenant.api.chat_stream(tenant.workspace, QUESTION, agent_id=agent(tenant, rounds=[{"text": "Four brothers came from Boston. " + TRUE}]))
    kinds = [kind for kind, _ in events]
    assert kinds == ["sources", "token", "token", "citation", "done"]
    assert events[1][1]["text"] == "Four brothers came from Boston. [?]"
    check_citations(tenant, events[-1][1])


def test_an_answer_without_support_is_never_shown(tenant):
    lie = "The last keepers left the Fastnet lighthouse in 1979. [1] Four brothers came from Boston."
    for answer in (ask(tenant, lie), tenant.api.chat_stream(tenant.workspace, QUESTION, agent_id=agent(tenant, rounds=[{"text": lie}]))[-1][1]):
        assert "1979" not in answer["answer"] and "Boston" not in answer["answer"]
        assert "1989" in answer["answer"] and answer["usage"]["model"] == "extractive"      # quoted instead
        check_citations(tenant, answer)


def test_a_denial_turned_round_is_not_supported(tenant):
    assert "did not leave" not in ask(tenant, "The last keepers did not leave the Fastnet lighthouse in 1989.")["answer"]


def test_a_model_that_is_away_is_stood_in_for(tenant):
    answer = tenant.api.chat(tenant.workspace, QUESTION, agent_id=agent(tenant, fail="unavailable", rounds=[{"text": "x"}]))
    assert "1989" in answer["answer"] and answer["usage"]["model"] == "extractive"


def test_a_model_that_is_busy_says_so(tenant):
    body = {"query": QUESTION, "agent_id": agent(tenant, fail="limited", rounds=[{"text": "x"}])}
    for stream in (False, True):
        answer = tenant.api.call("POST", f"/workspaces/{tenant.workspace}/chat", 429, json={**body, "stream": stream})
        assert int(answer.headers["retry-after"]) >= 1


def test_stream_and_whole_are_the_same(tenant):
    who = agent(tenant, rounds=[{"text": TRUE + "\n\nIt was first lit in June 1904."}])
    whole, events = tenant.api.chat(tenant.workspace, QUESTION, agent_id=who), tenant.api.chat_stream(tenant.workspace, QUESTION, agent_id=who)
    done = events[-1][1]
    assert "".join(d["text"] for kind, d in events if kind == "token") == done["answer"] == whole["answer"]
    assert [d for kind, d in events if kind == "citation"] == done["citations"] == whole["citations"] and len(done["citations"]) == 2
    check_citations(tenant, done)


# --- language ---

def test_the_language_of_the_question_is_kept(tenant):
    found = tenant.api.chat(tenant.workspace, "Kada je sagrađen svjetionik na Palagruži?")
    assert found["language"] == "hr" and "1875" in found["answer"]
    for question, language, word in (("Tko je osvojio šahovsko prvenstvo Islanda 1931. godine?", "hr", "dokumentima"),
                                     ("Who won the chess championship of Iceland in 1931?", "en", "documents")):
        answer = tenant.api.call("POST", "/query", json={"query": question, "workspace_id": tenant.workspace}).data
        assert (answer["language"], answer["finish"], answer["confidence"], answer["citations"]) == (language, "nothing_found", 0, [])
        assert word in answer["answer"]


# --- history ---

def test_a_follow_up_is_looked_for_with_the_question_before(tenant):
    first = tenant.api.chat(tenant.workspace, "When was the Fastnet lighthouse first lit?")
    second = tenant.api.chat(tenant.workspace, "And why?", session_id=first["session_id"])
    assert any(s["file_name"] == "fastnet.md" for s in second["sources"])
    alone = tenant.api.chat(tenant.workspace, "And why?")
    assert alone["finish"] == "nothing_found"


@pytest.mark.parametrize("model, default, few", [("scripted", None, False), ("scripted-small", None, True), (None, "scripted", False), (None, "scripted-small", True)])
def test_history_is_told_as_far_as_it_fits(tenant, model, default, few):
    """The model says one sentence a message that it was told. A small context leaves room for the newest ones only, whole pairs of them; it is the one of
    the model that answers, also where only the workspace names it."""
    tenant.api.call("PUT", f"/workspaces/{tenant.workspace}/model-settings", json={"default_model": default})
    who, told, session = agent(tenant, model, per_message=True, rounds=[{"text": TRUE}]), [], None
    for _ in range(6):
        answer = tenant.api.chat(tenant.workspace, QUESTION, agent_id=who, session_id=session)
        session = answer["session_id"]
        told.append(len(answer["citations"]))
    assert told[:2] == [1, 3] and all(n % 2 for n in told), told
    assert (max(told) < 11) == few, told
    tenant.api.call("PUT", f"/workspaces/{tenant.workspace}/model-settings", json={"default_model": tenant.model})


# --- sessions ---

def test_sessions(tenant):
    api, path = tenant.api, f"/workspaces/{tenant.workspace}/sessions"
    who = agent(tenant, rounds=[{"text": TRUE}])
    made = api.call("POST", path, 201, json={"agent_id": who, "metadata": {"colour": "blue"}}).data
    assert (made["title"], made["agent_id"], made["metadata"]) == ("", who, {"colour": "blue"})
    answer = api.chat(tenant.workspace, QUESTION, session_id=made["id"])
    assert answer["agent_id"] == who and answer["answer"].startswith(TRUE) and answer["prompt_version"] == 1
    assert api.call("GET", f"{path}/{made['id']}").data["title"] == QUESTION
    renamed = api.call("PATCH", f"{path}/{made['id']}", json={"title": "Keepers"}).data
    assert (renamed["title"], renamed["metadata"]) == ("Keepers", {"colour": "blue"})
    api.chat(tenant.workspace, QUESTION, session_id=made["id"])
    assert api.call("GET", f"{path}/{made['id']}").data["title"] == "Keepers"
    kept = api.pages(f"{path}/{made['id']}/messages", limit=3)
    assert [m["role"] for m in kept] == ["assistant", "user"] * 2
    for member in ("answer", "citations", "sources", "confidence", "usage", "language", "prompt_version", "agent_id"):
        assert kept[2]["content" if member == "answer" else member] == answer[member], member
    api.call("POST", path, 404, json={"agent_id": client.new_id()})
    api.call("DELETE", f"{path}/{made['id']}", 204)


# --- leaving, and many at once ---

def test_who_leaves_leaves_nothing_behind(tenant):
    api, path = tenant.api, f"/workspaces/{tenant.workspace}/sessions"
    before = {s["id"] for s in api.pages(path, limit=200)}
    who = agent(tenant, "scripted-slow", rounds=[{"text": (TRUE + " ") * 40}])
    for _ in range(3):
        with api.stream("POST", f"/workspaces/{tenant.workspace}/chat", json={"query": QUESTION, "agent_id": who, "stream": True}) as answer:
            next(answer.iter_lines())
    quick = agent(tenant, "scripted-slow", rounds=[{"text": TRUE}])
    until("its places are free again", lambda: api.post(f"/workspaces/{tenant.workspace}/chat", json={"query": QUESTION, "agent_id": quick}).status_code == 200, 20)
    assert len({s["id"] for s in api.pages(path, limit=200)} - before) == 1          # the last one's


def test_fifty_at_once_are_answered_or_told_to_come_back(server, tenant):
    """The model takes two at a time and lets eight wait: each question is answered whole or refused at once, none hangs or fails another way; who comes
    back is answered."""
    who, url = agent(tenant, "scripted-slow", rounds=[{"text": TRUE}]), f"{server.url}/workspaces/{tenant.workspace}/chat"
    headers = {"authorization": f"Bearer {tenant.key}"}

    def one(_):
        for attempt in range(200):
            answer = httpx.post(url, headers=headers, json={"query": QUESTION, "agent_id": who}, timeout=60, trust_env=False)
            if answer.status_code == 200:
                return attempt, answer.json()["answer"]
            assert answer.status_code == 429 and answer.json()["code"] == "model_busy" and int(answer.headers["retry-after"]) >= 1, answer.text
            time.sleep(0.1)                  # Retry-After says a second; the test has less patience
        raise AssertionError("never served")

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        results = list(pool.map(one, range(50)))
    assert {text for _, text in results} == {f"{TRUE} [1]"}
    assert any(attempt for attempt, _ in results), "the queue was never full"
