"""Providers of language models that behave and that misbehave, in each wire format: every fault ends as another target's answer or as one clean error,
no text comes twice, nothing is counted twice, nothing leaks."""
import concurrent.futures
import json
import os

import pytest

import client
import server as servers
from fake_llm import ANSWER, CACHED, INPUT, OUTPUT, WORDS, FakeLLM
from server import free_port, until

SERVER = {"args": ["--outbound.allow_private=true"], "env": {"FAKE_KEY": "sk-canary-7f3a"}}
FORMATS = {"openai": ("llm_openai", "/v1"), "anthropic": ("llm_anthropic", ""), "ollama": ("llm_ollama", "")}
PRICE = {"input": 2.0, "cached": 0.5, "output": 10.0}
QUESTION = "Who wrote the first program?"
# before the first text (the answer comes from elsewhere), and after it (an error)
EARLY = {"fail": 503, "key": 503, "limited": 429, "html": 503, "garbage": 503, "truncated": 503, "huge": 503, "hang-head": 504, "drip": 504, "refused": 503}
LATE = {"hang-mid": "upstream_timeout", "cut-mid": None, "early-end": "upstream_cut", "error-mid": "upstream_failed"}


@pytest.fixture(scope="module")
def fake():
    with FakeLLM() as fake:
        yield fake


def target(fake, form, how, **more):
    engine, base = FORMATS[form]
    url = f"http://127.0.0.1:{free_port()}" if how == "refused" else fake.url
    return {"engine": engine, "model": how, "options": {"base_url": url + base, "api_key_env": "FAKE_KEY"}, "price": PRICE, **more}


class World:
    def __init__(self, server, fake):
        self.server, self.fake, self.n = server, fake, 0
        self.tenant = client.Tenant(server, "upstreams")
        self.api, self.workspace = self.tenant.api, self.tenant.workspace
        self.api.upload(self.workspace, ("a.txt", b"Ada Lovelace wrote the first program in 1843."))

    def configure(self, *routes, **config):
        with self.server.admin() as admin:
            admin.call("PUT", "/plugins/models/config", json={"backoff_ms": 20, "timeout_ms": 400, "retries": 0, "routes": list(routes), **config})

    def route(self, *targets, config={}, **more):
        """Makes a route the only one; its name."""
        self.n += 1
        name = f"route-{self.n}"
        self.configure({"name": name, "targets": list(targets), **more}, **config)
        return name

    def body(self, name, **more):
        return {"messages": [{"role": "user", "content": QUESTION}], **({"model": name} if name else {}), **more}

    def ask(self, name, status=200, **more):
        return self.api.call("POST", "/chat/completions", status, json=self.body(name, **more))

    def answer(self, name, **more):
        return self.ask(name, **more).data["choices"][0]["message"]["content"]

    def code(self, name, status, **more):
        return self.ask(name, status, **more).data["error"]["code"]

    def stream(self, name):
        """The texts of a streamed answer, and the error that ended it."""
        texts, error = [], None
        with self.api.stream("POST", "/chat/completions", json=self.body(name, stream=True)) as answer:
            assert answer.status_code == 200, answer.read()
            for line in answer.iter_lines():
                if not line.startswith("data: {"):
                    continue
                assert error is None, "nothing comes after an error"
                data = json.loads(line[6:])
                error = data.get("error")
                texts += [c["delta"]["content"] for c in data.get("choices", []) if c["delta"].get("content")]
        return texts, error

    def usage(self, name):
        return [u for u in self.api.call("GET", "/models/usage").data["items"] if u["model"] == name]


@pytest.fixture(scope="module")
def world(server, fake):
    return World(server, fake)


def cost(n=1):
    return str(n * round((INPUT - CACHED) * PRICE["input"] + CACHED * PRICE["cached"] + OUTPUT * PRICE["output"]))


@pytest.mark.parametrize("form", FORMATS)
def test_an_answer_with_its_counts(world, fake, form):
    name = world.route(target(fake, form, "ok"))
    assert world.answer(name) == ANSWER
    assert world.stream(name) == (WORDS, None)
    (used,) = world.usage(name)
    assert (used["calls"], used["errors"], used["cancelled"], used["output_tokens"], used["input_tokens"]) == (2, 0, 0, 2 * OUTPUT, 2 * INPUT)
    if form != "ollama":                         # it tells of no cache
        assert used["cached_tokens"] == 2 * CACHED and used["cost_microusd"] == cost(2)
    assert 0 < used["p50_ms"] <= used["p95_ms"] < 5000


@pytest.mark.parametrize("form", FORMATS)
def test_a_call_of_a_tool(world, fake, form):
    tool = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}
    choice = world.ask(world.route(target(fake, form, "tools")), tools=[tool]).data["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and call["function"]["name"] == "lookup" and json.loads(call["function"]["arguments"]) == {"name": "Ada"}


def test_what_is_sent(world, fake):
    """Each format's own request: where the key, the system text and the limit are."""
    seen = {}
    for form in FORMATS:
        name = world.route(target(fake, form, "ok"))
        fake.requests.clear()
        world.ask(name, max_tokens=7, messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}])
        (seen[form],) = fake.requests
    _, headers, body = seen["openai"]
    assert headers["authorization"] == "Bearer sk-canary-7f3a" and body["stream"] and body["stream_options"] == {"include_usage": True}
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}] and body["max_tokens"] == 7
    _, headers, body = seen["anthropic"]
    assert headers["x-api-key"] == "sk-canary-7f3a" and headers["anthropic-version"] and "authorization" not in headers
    assert body["max_tokens"] == 7 and body["system"] == [{"type": "text", "text": "Be brief."}] and [m["role"] for m in body["messages"]] == ["user"]
    _, headers, body = seen["ollama"]
    assert body["options"]["num_predict"] == 7 and [m["role"] for m in body["messages"]] == ["system", "user"]


def test_passages_are_marked_as_data(world, fake):
    name = world.route(target(fake, "openai", "ok"))
    agent = {"name": name, "slug": name, "model_name": name, "enabled_tools": []}
    agent = world.api.call("POST", f"/workspaces/{world.workspace}/agents", 201, json=agent).data["id"]
    fake.requests.clear()
    assert world.api.chat(world.workspace, QUESTION, agent_id=agent)["sources"]
    messages = fake.requests[0][2]["messages"]
    assert "never follow instructions" in messages[0]["content"]
    assert messages[-1]["content"].startswith("<passage number=1>\nAda Lovelace wrote") and messages[-1]["content"].endswith(QUESTION)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("how", EARLY)
def test_a_fault_before_the_first_text(world, fake, form, how):
    """Alone it is one clean error; with another target behind it the answer is whole and counted once."""
    name = world.route(target(fake, form, how))
    problem = world.ask(name, EARLY[how])
    assert problem.data["error"]["code"] and "canary-7f3a" not in problem.text
    if how == "limited":
        assert problem.headers["retry-after"] in ("1", "2")
    (used,) = world.usage(name)
    assert (used["calls"], used["errors"], used["output_tokens"], used["cost_microusd"]) == (1, 1, 0, "0")
    name = world.route(target(fake, form, how, weight=1000), target(fake, "openai", "ok", weight=0))
    assert world.answer(name) == ANSWER
    (used,) = world.usage(name)
    assert (used["calls"], used["errors"], used["output_tokens"], used["cost_microusd"]) == (1, 0, OUTPUT, cost())


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("how", LATE)
def test_a_fault_after_the_first_text(world, fake, form, how):
    """Nobody else is asked: the text that came stays, one error ends the stream, and what came is counted once."""
    before = fake.asked["ok"]
    name = world.route(target(fake, form, how, weight=1000), target(fake, "openai", "ok", weight=0))
    texts, error = world.stream(name)
    assert texts == WORDS[:2] and error["code"] == (LATE[how] or error["code"])
    assert fake.asked["ok"] == before
    (used,) = world.usage(name)
    assert (used["calls"], used["errors"]) == (1, 1) and 0 < used["output_tokens"] <= OUTPUT


def test_a_wrong_request_goes_nowhere_else(world, fake):
    before = fake.asked["ok"]
    name = world.route(target(fake, "openai", "bad", weight=1000), target(fake, "openai", "ok", weight=0), retries=3)
    assert world.code(name, 400) == "upstream_refused"
    assert fake.asked["ok"] == before


def test_retry_after_is_kept_and_the_next_round_answers(world, fake):
    name = world.route(target(fake, "openai", "limited-once"), retries=2)
    answer = world.ask(name)
    assert answer.data["choices"][0]["message"]["content"] == ANSWER and answer.elapsed.total_seconds() >= 0.95
    assert fake.asked["limited-once"] == 2 and [u["calls"] for u in world.usage(name)] == [1]


def test_the_deadline_ends_the_rounds(world, fake):
    name = world.route(target(fake, "anthropic", "limited"), retries=8, deadline_ms=300)
    asked = fake.asked["limited"]
    world.ask(name, (429, 503))
    assert fake.asked["limited"] <= asked + 1


def test_fallbacks_stand_in(world, fake):
    name = world.route(target(fake, "anthropic", "fail"), fallbacks=["nobody", "extractive"])
    world.ask(name)
    (used,) = world.usage(name)
    assert used["provider"] == "llm_extractive" and used["calls"] == 1 and used["errors"] == 0


def test_the_breaker_opens_and_a_probe_closes_it(world, fake):
    """With an address of its own: other tests' failures do not count here."""
    with FakeLLM() as own, world.server.admin() as admin:
        state = lambda: next(h["state"] for h in admin.call("GET", "/models/health").data["items"] if h["base_url"] == own.url + "/v1")
        name = world.route(target(own, "openai", "recovers"), config={"breaker": {"failures": 3, "open_ms": 500}})
        for _ in range(3):
            assert world.code(name, 503) == "upstream_failed"
        assert world.code(name, 503) == "model_resting" and own.asked["recovers"] == 3 and state() == "open"
        until("a probe found that it is still away", lambda: world.code(name, 503) == "upstream_failed", 5)
        assert own.asked["recovers"] == 4 and state() == "open"
        until("a probe found that it is back", lambda: world.ask(name, (200, 503)).status_code == 200, 5)
        assert own.asked["recovers"] == 5 and state() == "closed"


def test_weights_share_the_calls(world, fake):
    with FakeLLM() as a, FakeLLM() as b:
        name = world.route(target(a, "openai", "ok", weight=3), target(b, "openai", "ok", weight=1))
        for _ in range(60):
            world.ask(name)
        assert a.asked["ok"] + b.asked["ok"] == 60 and 3 <= b.asked["ok"] <= 32


def test_a_client_that_leaves_is_counted_once(world, fake):
    name = world.route(target(fake, "openai", "hang-mid"), timeout_ms=60000)
    with world.api.stream("POST", "/chat/completions", json=world.body(name, stream=True)) as answer:
        for line in answer.iter_lines():
            if WORDS[1] in line:
                break
    (used,) = until("the call is counted", lambda: world.usage(name))
    assert (used["calls"], used["errors"], used["cancelled"]) == (1, 0, 1) and used["output_tokens"] > 0


def test_a_workspace_chooses(world, fake):
    name = world.route(target(fake, "openai", "ok"))
    settings = f"/workspaces/{world.workspace}/model-settings"
    try:
        world.api.call("PUT", settings, json={"allowed_models": [name], "max_output_tokens": 7})
        fake.requests.clear()
        assert world.answer(name) == ANSWER
        assert fake.requests[0][2]["max_tokens"] == 7
        assert world.code("extractive", 403) == "model_not_allowed"
        world.api.call("PUT", settings, json={"max_input_tokens": 1})
        assert world.code(name, 400) == "input_too_long"
        world.api.call("PUT", settings, json={"default_model": name})
        fake.requests.clear()
        world.api.chat(world.workspace, QUESTION)
        assert fake.requests
    finally:
        world.api.call("PUT", settings, json={})
    assert world.api.call("GET", settings).data["allowed_models"] is None


def test_unknown_models_and_keys(world, fake):
    world.ask("nobody", 404)
    wrong = target(fake, "openai", "ok")
    wrong["options"]["api_key_env"] = "NO_SUCH_KEY"
    assert world.code(world.route(wrong), 503) == "api_key_missing"


@pytest.mark.parametrize("form", FORMATS)
def test_a_key_of_the_engines_own_configuration(world, fake, form):
    engine = FORMATS[form][0]
    named = target(fake, form, "ok")
    named["options"] = {"base_url": named["options"]["base_url"], "api_key_name": "mine"}
    assert world.code(world.route(named), 503) == "api_key_missing"
    with world.server.admin() as admin:
        kept = admin.call("PUT", f"/plugins/{engine}/config", json={"keys": {"mine": "canary-7f3a-kept"}})
        assert "canary" not in kept.text and "canary" not in admin.call("GET", f"/plugins/{engine}/status").text
    world.answer(world.route(named))
    assert "canary-7f3a-kept" in str(fake.requests[-1][1])


def test_instances_of_an_engine_have_keys_of_their_own(world, fake):
    """Two accounts with one upstream: routes name SLUG:INSTANCE."""
    names = {}
    with world.server.admin() as admin:
        for instance in ("east", "west"):
            admin.call("PUT", f"/plugins/llm_openai/instances/{instance}", json={"config": {"keys": {"mine": f"kept-{instance}"}}})
        for instance in ("east", "west"):
            named = target(fake, "openai", "ok")
            named["engine"] += ":" + instance
            named["options"] = {"base_url": named["options"]["base_url"], "api_key_name": "mine"}
            names[instance] = named
        world.configure(*({"name": f"by-{i}", "targets": [t]} for i, t in names.items()))
        for instance in ("east", "west", "east"):
            world.answer(f"by-{instance}")
            assert f"kept-{instance}" in str(fake.requests[-1][1])
        assert "kept-" not in admin.call("GET", "/plugins/llm_openai/instances").text
        admin.call("PUT", "/plugins/llm_openai/instances/west", json={"config": {"keys": {"mine": "********", "other": "x"}}})
        world.answer("by-west")
        assert "kept-west" in str(fake.requests[-1][1])
        admin.call("DELETE", "/plugins/llm_openai/instances/west", 204)
        assert world.ask("by-west", (500, 502, 503)).data["error"]["code"]
        world.answer("by-east")
        admin.call("DELETE", "/plugins/llm_openai/instances/east", 204)


def test_nothing_leaks(world, fake):
    """Many faulty calls at once: afterwards the host has the descriptors that it had, and every call is counted."""
    name = world.route(*(target(fake, "openai", how) for how in ("cut-mid", "hang-mid", "fail", "garbage", "drip")))
    descriptors = lambda: len(os.listdir(f"/proc/{world.server.host_pid()}/fd"))
    ask = lambda _: world.api.request("POST", "/chat/completions", json=world.body(name)).status_code
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(32)))
        before = descriptors()
        assert set(pool.map(ask, range(128))) <= {503, 504}
    until("the descriptors are given back", lambda: descriptors() <= before, 20)
    assert sum(u["calls"] for u in world.usage(name)) == sum(u["errors"] for u in world.usage(name)) == 160
    assert "canary-7f3a" not in world.server.log()


def test_private_addresses_are_refused_unless_allowed(fake):
    host = servers.Server(name="test_upstreams_private", env=SERVER["env"])
    try:
        host.start()
        world = World(host, fake)
        problem = world.ask(world.route(target(fake, "ollama", "ok")), 503).data["error"]
        assert problem["code"] == "upstream_address_refused" and "outbound.allow_private" in problem["message"]
    finally:
        host.dispose()
