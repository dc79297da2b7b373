"""OpenAI's own clients, unchanged, for Python and JavaScript, against this host: models, chat whole and streamed, tools, agents, embeddings, errors."""
import json
import math
import subprocess

import openai
import pytest

import client
import server as servers

TEXT = b"""# Fastnet

The Fastnet lighthouse stands on a rock four miles from Cape Clear. It was first lit on the evening of 27 June 1904.

The last keepers left the Fastnet lighthouse in 1989, when the light was automated.
"""
QUESTION = "In which year did the last keepers leave the Fastnet lighthouse?"
EMBEDDER = "all-minilm-l6-v2"
WEATHER = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


def script(**members):
    return json.dumps(members)


@pytest.fixture(scope="module")
def server():
    s = servers.Server(plugins=[servers.plugin_folder("scripted")], enable=["scripted"], name="openai").start()
    yield s
    s.dispose()


@pytest.fixture(scope="module")
def tenant(server):
    t = client.Tenant(server, "openai")
    t.api.upload(t.workspace, ("fastnet.md", TEXT))
    t.agent = t.api.call("POST", f"/workspaces/{t.workspace}/agents", 201, json={"name": "Keeper", "slug": "keeper", "model_name": "extractive"}).data["id"]
    return t


@pytest.fixture(scope="module")
def ai(server, tenant):
    with openai.OpenAI(api_key=tenant.key, base_url=server.url, max_retries=0) as a:
        yield a


def ask(ai, text="hello", model="scripted", system=None, **options):
    messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": text}]
    return ai.chat.completions.create(model=model, messages=messages, **options)


# --- models ---

def test_models(ai):
    listed = {m.id: m for m in ai.models.list()}
    assert {"extractive", "scripted", EMBEDDER, "agent/keeper"} <= set(listed)
    assert listed["agent/keeper"].owned_by == "agent" and listed["agent/keeper"].created > 0
    for name in ("scripted", EMBEDDER, "agent/keeper", "keeper"):
        assert ai.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError) as e:
        ai.models.retrieve("nobody")
    assert e.value.code == "model_not_found" and e.value.param == "model"


# --- a model itself ---

def test_chat_whole(ai):
    answer = ask(ai, system=script(rounds=[{"text": "It is so."}]))
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-") and answer.model == "scripted"
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "It is so.", "stop")
    assert answer.usage.prompt_tokens == 10 and answer.usage.completion_tokens == 3 and answer.usage.total_tokens == 13


def test_chat_streamed(ai):
    chunks = list(ask(ai, system=script(rounds=[{"text": "One two three."}]), stream=True, stream_options={"include_usage": True}))
    assert all(c.object == "chat.completion.chunk" and c.id == chunks[0].id for c in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "One two three."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 13 and all(c.usage is None for c in chunks[:-1])
    assert all(c.usage is None for c in ask(ai, system=script(rounds=[{"text": "One."}]), stream=True))


def test_everything_that_is_asked_reaches_the_model(ai):
    answer = ai.chat.completions.create(
        model="scripted", temperature=0.25, top_p=0.5, seed=7, max_completion_tokens=33, stop="END", tools=WEATHER, tool_choice="auto",
        response_format={"type": "json_object"}, metadata={"unknown": "fields are let through"}, extra_body={"zebra": 1},
        messages=[{"role": "developer", "content": script(rounds=[{"text": ""}], echo=True)},
                  {"role": "user", "content": [{"type": "text", "text": "first"}, {"type": "text", "text": "second"}]},
                  {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
                  {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
                  {"role": "user", "content": "and now?"}])
    seen = json.loads(answer.choices[0].message.content)
    assert (seen["temperature"], seen["top_p"], seen["seed"], seen["max_tokens"], seen["stop"]) == (0.25, 0.5, 7, 33, ["END"])
    assert seen["tools"] == WEATHER and seen["tool_choice"] == "auto" and seen["response_format"] == {"type": "json_object"}
    assert [m["role"] for m in seen["messages"]] == ["user", "assistant", "tool", "user"]
    assert seen["messages"][0]["content"] == "first\nsecond" and seen["messages"][2]["tool_call_id"] == "c1"
    assert seen["messages"][1]["tool_calls"][0]["function"]["name"] == "weather"


def test_tools(ai):
    system = script(rounds=[{"calls": [{"name": "weather", "arguments": {"city": "Split"}}]}, {"text": "It is sunny."}])
    first = ask(ai, "How is the weather?", system=system, tools=WEATHER)
    assert first.choices[0].finish_reason == "tool_calls" and first.choices[0].message.content is None
    call = first.choices[0].message.tool_calls[0]
    assert call.type == "function" and call.function.name == "weather" and json.loads(call.function.arguments) == {"city": "Split"}
    second = ai.chat.completions.create(model="scripted", tools=WEATHER, messages=[
        {"role": "system", "content": system}, {"role": "user", "content": "How is the weather?"}, first.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"}])
    assert second.choices[0].message.content == "It is sunny."
    chunks = [c.choices[0] for c in ask(ai, system=system, tools=WEATHER, stream=True)]
    deltas = [c.delta.tool_calls[0] for c in chunks if c.delta.tool_calls]
    assert len(deltas) == 1 and deltas[0].index == 0 and deltas[0].function.name == "weather" and chunks[-1].finish_reason == "tool_calls"


# --- an agent ---

def cites(tenant, extra):
    assert extra["citations"]
    for c in extra["citations"]:
        text = tenant.api.call("GET", f"/workspaces/{tenant.workspace}/documents/{c['document_id']}/text").data["text"]
        assert text[c["start_char"]:c["end_char"]] == c["quote"]


@pytest.mark.parametrize("name", ["agent/keeper", "keeper"])
def test_agent_answers_from_the_documents(ai, tenant, name):
    answer = ask(ai, QUESTION, model=name)
    assert "1989" in answer.choices[0].message.content and "[1]" in answer.choices[0].message.content and answer.model == name
    assert answer.mortise["prompt_version"] == 1 and answer.mortise["agent_id"] == tenant.agent
    cites(tenant, answer.mortise)


def test_agent_streamed(ai, tenant):
    whole, chunks = ask(ai, QUESTION, model="agent/keeper"), list(ask(ai, QUESTION, model="agent/keeper", stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole.choices[0].message.content
    cites(tenant, chunks[-1].mortise)


def test_agent_says_when_it_finds_nothing(ai):
    answer = ask(ai, "Who won the chess championship of Iceland in 1931?", model="agent/keeper")
    assert "nothing" in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop" and answer.mortise["finish"] == "nothing_found"


def test_agent_of_another_workspace(server, tenant, ai):
    other = tenant.new_workspace("other")
    with pytest.raises(openai.NotFoundError) as e:       # there are two now: which?
        ask(ai, QUESTION, model="agent/keeper")
    assert "X-Workspace-Id" in e.value.message and "agent/keeper" not in {m.id for m in ai.models.list()}
    assert ask(ai, system=script(rounds=[{"text": "Yes."}])).choices[0].message.content == "Yes."
    with pytest.raises(openai.NotFoundError):
        ask(ai, QUESTION, model="agent/keeper", extra_headers={"X-Workspace-Id": other})
    assert "1989" in ask(ai, QUESTION, model="agent/keeper", extra_headers={"X-Workspace-Id": tenant.workspace}).choices[0].message.content
    bound = tenant.workspace_client(other)
    with openai.OpenAI(api_key=bound.key, base_url=server.url, max_retries=0) as theirs:
        assert "agent/keeper" not in {m.id for m in theirs.models.list()}
        with pytest.raises(openai.NotFoundError):
            theirs.models.list(extra_headers={"X-Workspace-Id": tenant.workspace})
    tenant.api.call("DELETE", f"/workspaces/{other}", 204)


# --- embeddings ---

def test_embeddings(ai):
    texts = ["A cat sleeps.", "A feline naps."]
    answer = ai.embeddings.create(model=EMBEDDER, input=texts)         # the client asks for base64 by itself
    plain = ai.embeddings.create(model=EMBEDDER, input=texts, encoding_format="float")
    assert [d.index for d in answer.data] == [0, 1] and answer.usage.prompt_tokens == answer.usage.total_tokens > 4
    for a, b in zip(answer.data, plain.data):
        assert len(a.embedding) == 384 and a.embedding == pytest.approx(b.embedding, abs=1e-7)
        assert math.sqrt(sum(x * x for x in a.embedding)) == pytest.approx(1, abs=1e-5)
    assert ai.embeddings.create(model=EMBEDDER, input=texts[0], dimensions=384).data[0].embedding == pytest.approx(answer.data[0].embedding, abs=1e-3)


@pytest.mark.parametrize("options, error, code", [
    ({"input": [1, 2, 3]}, openai.BadRequestError, "tokens_unsupported"),
    ({"input": [[1, 2], [3]]}, openai.BadRequestError, "tokens_unsupported"),
    ({"input": "text", "dimensions": 64}, openai.BadRequestError, "dimensions_unsupported"),
    ({"input": "text", "model": "nobody"}, openai.NotFoundError, "model_not_found"),
    ({"input": ""}, openai.BadRequestError, "validation_failed"),
    ({"input": ["fine", ""]}, openai.BadRequestError, "input_invalid"),
])
def test_embeddings_refused(ai, options, error, code):
    with pytest.raises(error) as e:
        ai.embeddings.create(**{"model": EMBEDDER, **options})
    assert e.value.code == code and e.value.type == "invalid_request_error", e.value


# --- errors ---

@pytest.mark.parametrize("options, code, param", [
    ({"n": 2}, "n_unsupported", "n"),
    ({"logprobs": True}, "logprobs_unsupported", "logprobs"),
    ({"model": "scripted-small", "tools": WEATHER}, "tools_unsupported", "tools"),
    ({"model": "keeper", "tools": WEATHER}, "tools_unsupported", "tools"),
    ({"model": "scripted-small", "response_format": {"type": "json_object"}}, "response_format_unsupported", "response_format"),
    ({"temperature": 3}, "validation_failed", "temperature"),
    ({"messages": []}, "validation_failed", "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "content_unsupported", "messages/0/content"),
])
def test_bad_requests(ai, options, code, param):
    with pytest.raises(openai.BadRequestError) as e:
        ai.chat.completions.create(**{"model": "scripted", "messages": [{"role": "user", "content": "hello"}], **options})
    assert (e.value.code, e.value.param, e.value.type) == (code, param, "invalid_request_error") and e.value.request_id


def test_errors_have_their_class(server, tenant, ai):
    with pytest.raises(openai.NotFoundError) as e:
        ask(ai, model="nobody")
    assert e.value.code == "model_not_found"
    with openai.OpenAI(api_key="sk_live_" + "0" * 43, base_url=server.url, max_retries=0) as stranger, pytest.raises(openai.AuthenticationError) as e:
        stranger.models.list()
    assert e.value.code == "invalid_api_key"
    _, narrow = tenant.make_key(tenant.api, f"/organizations/{tenant.org}/api-keys", scopes=["ingest"])
    with openai.OpenAI(api_key=narrow, base_url=server.url, max_retries=0) as other, pytest.raises(openai.PermissionDeniedError) as e:
        ask(other)
    assert e.value.code == "permission_missing"
    with pytest.raises(openai.RateLimitError) as e:
        ask(ai, system=script(fail="limited", rounds=[{"text": "x"}]))
    assert e.value.type == "rate_limit_error" and int(e.value.response.headers["retry-after"]) >= 1
    _, slow = tenant.make_key(tenant.api, f"/organizations/{tenant.org}/api-keys", rate_limit_per_minute=1)
    with openai.OpenAI(api_key=slow, base_url=server.url, max_retries=0) as other:
        other.models.list()
        with pytest.raises(openai.RateLimitError) as e:
            for _ in range(3):
                other.models.list()
    assert e.value.code == "rate_limit_exceeded" and e.value.response.headers["retry-after"]


def test_other_routes_keep_their_format(server):
    with client.Client(server.url, "nonsense") as api:
        assert api.get("/plugins").headers["content-type"] == "application/problem+json"
        assert api.get("/models").headers["content-type"] == "application/json"


# --- the other client ---

SCRIPT = """
import OpenAI from 'openai';
const [baseURL, apiKey] = process.argv.slice(2);
const ai = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const script = (o) => ({ role: 'system', content: JSON.stringify(o) });
const user = { role: 'user', content: 'hello' };
const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }];
const out = {};
out.models = []; for await (const m of ai.models.list()) out.models.push(m.id);
out.agent = (await ai.models.retrieve('agent/keeper')).id;
out.whole = (await ai.chat.completions.create({ model: 'scripted', messages: [script({ rounds: [{ text: 'It is so.' }] }), user] })).choices[0].message.content;
let text = ''; let usage = null;
for await (const c of await ai.chat.completions.create({ model: 'scripted', stream: true, stream_options: { include_usage: true },
    messages: [script({ rounds: [{ text: 'One two.' }] }), user] })) { text += c.choices[0]?.delta?.content ?? ''; usage = c.usage ?? usage; }
out.streamed = text; out.usage = usage.total_tokens;
const called = await ai.chat.completions.create({ model: 'scripted', tools, messages: [script({ rounds: [{ calls: [{ name: 'weather', arguments: {} }] }] }), user] });
out.tool = called.choices[0].message.tool_calls[0].function.name;
const answer = await ai.chat.completions.create({ model: 'agent/keeper', messages: [{ role: 'user', content: 'When did the last keepers leave the Fastnet lighthouse?' }] });
out.answer = answer.choices[0].message.content; out.citations = answer.mortise.citations.length;
out.vector = (await ai.embeddings.create({ model: 'all-minilm-l6-v2', input: 'text' })).data[0].embedding.length;
try { await ai.models.retrieve('nobody'); } catch (e) { out.error = [e instanceof OpenAI.NotFoundError, e.code]; }
try { await new OpenAI({ baseURL, apiKey: 'x', maxRetries: 0 }).models.list(); } catch (e) { out.stranger = e instanceof OpenAI.AuthenticationError; }
console.log(JSON.stringify(out));
"""


def test_javascript(server, tenant):
    prefix = subprocess.run([servers.ROOT / "mortise.d/fetch-openai-js.sh", servers.CACHE], capture_output=True, text=True, check=True).stdout.strip()
    done = subprocess.run(["node", "--input-type=module", "-", server.url, tenant.key], input=SCRIPT, capture_output=True, text=True, timeout=60, cwd=prefix)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert {"scripted", EMBEDDER, "agent/keeper"} <= set(out["models"]) and out["agent"] == "agent/keeper"
    assert (out["whole"], out["streamed"], out["usage"], out["tool"], out["vector"]) == ("It is so.", "One two.", 12, "weather", 384)
    assert "1989" in out["answer"] and out["citations"] >= 1 and out["error"] == [True, "model_not_found"] and out["stranger"]
