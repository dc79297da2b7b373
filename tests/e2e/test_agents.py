"""Agents: versions of their prompts, tools in the hands of a model that does what the test tells it."""
import itertools
import json
import pathlib

import pytest

import client
import server as servers

FASTNET = b"The Fastnet lighthouse stands on a rock. The last keepers left the Fastnet lighthouse in 1989, when the light was automated."
BREAD = b"Rye bread is baked from a sourdough that has rested for sixteen hours."
QUESTION = "Tell me about the keepers, please."
TRUE = "The last keepers left the Fastnet lighthouse in 1989."
numbers = itertools.count()


@pytest.fixture(scope="module")
def server():
    s = servers.Server(plugins=[servers.plugin_folder("scripted")], enable=["scripted"], name="agents").start()
    yield s
    s.dispose()


@pytest.fixture(scope="module")
def tenant(server):
    t = client.Tenant(server, "agents")
    t.api.upload(t.workspace, ("fastnet.txt", FASTNET), ("bread.txt", BREAD))
    return t


def path(tenant, rest=""):
    return f"/workspaces/{tenant.workspace}/agents{rest}"


def agent(tenant, rounds, model="scripted", tools=("vector_search",), **script):
    body = {"name": "a", "slug": f"a{next(numbers)}", "model_name": model, "enabled_tools": list(tools), "system_prompt": json.dumps({"rounds": rounds, **script})}
    return tenant.api.call("POST", path(tenant), 201, json=body).data["id"]


def calls(*list):
    return {"calls": [{"name": name, "arguments": arguments} for name, arguments in list]}


def stream(tenant, who, query=QUESTION):
    events = tenant.api.chat_stream(tenant.workspace, query, agent_id=who)
    assert events[-1][0] == "done", events[-1]
    return events, events[-1][1]


# --- fields and prompts ---

def test_every_field_is_kept(tenant):
    body = {"name": "Full", "slug": "full", "description": "d", "system_prompt": "p", "model_provider": "scripted", "model_name": "scripted", "temperature": 0.2,
            "enabled_tools": ["vector_search", "hybrid_search"], "tool_config": {"k": [1]}, "is_active": False}
    made = tenant.api.call("POST", path(tenant), 201, json=body).data
    read = tenant.api.call("GET", path(tenant, "/" + made["id"])).data
    assert {k: read[k] for k in body} == body and read["prompt_version"] == 1
    off = tenant.api.call("POST", f"/workspaces/{tenant.workspace}/chat", 409, json={"query": "x", "agent_id": made["id"]}).data
    assert off["code"] == "agent_inactive"


@pytest.mark.parametrize("tool", ["graph_search", "nonsense"])
def test_tools_that_are_not_there_are_refused(tenant, tool):
    problem = tenant.api.call("POST", path(tenant), 422, json={"name": "x", "slug": "x", "enabled_tools": [tool]}).data
    assert problem["pointer"] == "/enabled_tools/0"


def test_prompt_versions(tenant):
    api = tenant.api
    who = api.call("POST", path(tenant), 201, json={"name": "v", "slug": "versions", "system_prompt": "one", "model_name": "extractive"}).data
    one = path(tenant, f"/{who['id']}")
    assert api.call("PATCH", one, json={"temperature": 0.1}).data["prompt_version"] == 1      # another field is no other prompt
    assert api.call("PATCH", one, json={"system_prompt": "two"}).data["prompt_version"] == 2
    assert api.call("PATCH", one, json={"system_prompt": "two"}).data["prompt_version"] == 2
    assert api.call("PUT", one, json={"name": "v", "slug": "versions", "system_prompt": "three", "model_name": "extractive"}).data["prompt_version"] == 3
    versions = api.pages(one + "/prompts", limit=2)
    assert [(v["number"], v["system_prompt"], v["is_current"]) for v in versions] == [(3, "three", True), (2, "two", False), (1, "one", False)]
    assert api.call("GET", one + "/prompts/2").data["system_prompt"] == "two"
    restored = api.call("POST", one + "/prompts/1/restore").data
    assert (restored["system_prompt"], restored["prompt_version"]) == ("one", 4)
    assert api.call("GET", one + "/prompts/4").data["system_prompt"] == "one" and len(api.pages(one + "/prompts", limit=50)) == 4
    for wrong in ("0", "5", "x", "-1", "99999999999"):
        api.call("GET", f"{one}/prompts/{wrong}", 404)
        api.call("POST", f"{one}/prompts/{wrong}/restore", 404)
    answer = api.chat(tenant.workspace, "When did the last keepers leave the lighthouse?", agent_id=who["id"])
    assert answer["prompt_version"] == 4 and answer["agent_id"] == who["id"]
    tag = api.call("GET", one).headers["etag"]
    api.call("PATCH", one, json={"system_prompt": "five"}, headers={"if-match": tag})
    api.call("POST", one + "/prompts/1/restore", 412, headers={"if-match": tag})
    other = tenant.new_workspace("elsewhere")
    api.call("GET", f"/workspaces/{other}/agents/{who['id']}/prompts/1", 404)
    api.call("POST", f"/workspaces/{other}/agents/{who['id']}/prompts/1/restore", 404)
    assert api.call("GET", f"/workspaces/{other}/agents/{who['id']}/prompts").data["items"] == []


# --- tools ---

def test_a_model_searches_and_cites_what_it_found(tenant):
    who = agent(tenant, [{**calls(("vector_search", {"query": "lighthouse keepers", "limit": 3})), "text": "Let me look for you."}, {"text": TRUE}])
    events, done = stream(tenant, who)
    kinds = [k for k, _ in events]
    assert kinds == ["sources", "tool_call", "tool_result", "sources", "token", "citation", "done"]
    assert events[0][1] == {"sources": []} and events[1][1]["name"] == "vector_search" and json.loads(events[1][1]["arguments"])["query"] == "lighthouse keepers"
    assert events[2][1]["error"] is None and events[2][1]["passages"] == len(events[3][1]["sources"]) >= 1
    assert done["answer"] == f"{TRUE} [{done['citations'][0]['number']}]" and "Let me look" not in done["answer"]
    assert done["usage"]["input_tokens"] == 20                       # of both rounds


def test_two_searches_number_their_passages_on(tenant):
    who = agent(tenant, [calls(("vector_search", {"query": "lighthouse keepers", "limit": 1})),
                         calls(("hybrid_search", {"query": "rye bread sourdough", "limit": 1}), ("vector_search", {"query": "lighthouse keepers", "limit": 1})),
                         {"text": TRUE + " Rye bread is baked from a sourdough."}], tools=("vector_search", "hybrid_search"))
    _, done = stream(tenant, who)
    assert [s["file_name"] for s in done["sources"]] == ["fastnet.txt", "bread.txt"] and [s["number"] for s in done["sources"]] == [1, 2]
    assert [c["number"] for c in done["citations"]] == [1, 2]


@pytest.mark.parametrize("name, arguments, error", [
    ("graph_search", {"query": "x"}, "graph_search is not available"),
    ("hybrid_search", {"query": "x"}, "no tool called"),              # not enabled for this agent
    ("rm", {"path": "/"}, "no tool called"),
    ("vector_search", {}, "query is missing"),
    ("vector_search", {"query": ""}, "query is missing"),
    ("vector_search", {"query": "x", "limit": 100}, "limit must be"),
    ("vector_search", [1], "no JSON object"),
])
def test_wrong_calls_are_answered_to_the_model(tenant, name, arguments, error):
    """It may do better then, and here it does."""
    who = agent(tenant, [calls((name, arguments)), calls(("vector_search", {"query": "lighthouse keepers"})), {"text": TRUE}])
    events, done = stream(tenant, who)
    results = [d for k, d in events if k == "tool_result"]
    assert error in results[0]["error"] and results[0]["passages"] == 0 and results[1]["error"] is None
    assert done["answer"].startswith(TRUE)


def test_a_policy_says_which_tools_may_be_used(tenant):
    """tool.call: the model is told why not, and does better."""
    policies = f"/organizations/{tenant.org}/policies"
    text = (pathlib.Path(__file__).parents[2] / "sdk/examples/policies/tool_permission.lua").read_text()
    made = tenant.api.call("POST", policies, 201, json={"name": "tool_permission", "source": text}).data["id"]
    tenant.api.call("PATCH", f"{policies}/{made}", json={"enabled_version": 1})
    who = agent(tenant, [calls(("hybrid_search", {"query": "lighthouse keepers"})), calls(("vector_search", {"query": "salaries of keepers"})),
                         calls(("vector_search", {"query": "lighthouse keepers"})), {"text": TRUE}], tools=("vector_search", "hybrid_search"))
    events, done = stream(tenant, who)
    tenant.api.call("DELETE", f"{policies}/{made}", 204)
    assert [d["error"] for k, d in events if k == "tool_result"] == ["This agent may not use hybrid_search.", "Salaries are not searched for.", None]
    assert done["answer"].startswith(TRUE)


def test_a_model_that_never_stops_asking_is_stopped(tenant):
    who = agent(tenant, [{**calls(("vector_search", {"query": "lighthouse keepers"})), "text": TRUE}])
    events, done = stream(tenant, who)
    assert len([k for k, _ in events if k == "tool_call"]) == 4       # tool_rounds
    assert done["answer"].startswith(TRUE)                            # what it says when no tool is offered any more
    stubborn = agent(tenant, [{**calls(("vector_search", {"query": "lighthouse keepers"})), "text": TRUE}], stubborn=True)
    _, done = stream(tenant, stubborn)
    assert done["answer"].startswith(TRUE) and done["finish"] == "stop"
    many = agent(tenant, [calls(*[("vector_search", {"query": f"lighthouse {n}"}) for n in range(12)]), {"text": TRUE}])
    events, done = stream(tenant, many)
    refused = [d for k, d in events if k == "tool_result" and d["error"]]
    assert len(refused) == 4 and "No more calls" in refused[0]["error"] and done["answer"].startswith(TRUE)


def test_an_answer_without_a_search_is_checked_all_the_same(tenant):
    _, done = stream(tenant, agent(tenant, [{"text": TRUE}]), "When did the last keepers leave the Fastnet lighthouse?")
    assert done["answer"].startswith(TRUE) and done["citations"]
    _, done = stream(tenant, agent(tenant, [{"text": "The last keepers left the Fastnet lighthouse in 1979."}]), "When did the last keepers leave the Fastnet lighthouse?")
    assert "1979" not in done["answer"]


def test_a_model_without_tools_gets_its_passages_first(tenant):
    who = agent(tenant, [{**calls(("vector_search", {"query": "x"})), "text": TRUE}], model="scripted-small")
    events, done = stream(tenant, who, "When did the last keepers leave the Fastnet lighthouse?")
    assert [k for k, _ in events] == ["sources", "token", "citation", "done"] and events[0][1]["sources"]


def test_tools_see_only_the_workspace(tenant):
    other = tenant.new_workspace("empty")
    body = {"name": "a", "slug": "a", "model_name": "scripted",
            "system_prompt": json.dumps({"rounds": [calls(("vector_search", {"query": "lighthouse keepers"})), {"text": TRUE}]})}
    who = tenant.api.call("POST", f"/workspaces/{other}/agents", 201, json=body).data["id"]
    events = tenant.api.chat_stream(other, QUESTION, agent_id=who)
    assert events[-1][1]["finish"] == "nothing_found" and events[-1][1]["sources"] == [] and "1989" not in events[-1][1]["answer"]
