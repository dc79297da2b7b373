"""The local chat engine with its real model: the time of the first token, clients that leave, JSON, memory, switching off and on."""
import concurrent.futures
import json
import pathlib
import threading
import time

import pytest

import client
import server as servers
from server import until

MODEL = "smollm2-135m-instruct-q4_1"
FILE = servers.CACHE / "models" / MODEL / f"{MODEL}.gguf"
SHORT = "What is the capital of France? Answer in one short sentence."
LONG = "Write a very long story about a lighthouse, its keepers, the sea and the ships that passed."
DECODE = 2.0      # seconds: the promise is looked at before each decode, so one may be under way when the time is over; shared with others


@pytest.fixture(scope="module")
def server(request):
    s = servers.Server(enable=["llm_llamacpp"], name="llamacpp").start()
    (s.data / "models").mkdir(exist_ok=True)
    (s.data / "models" / "second.gguf").symlink_to(FILE)
    yield s
    s.dispose()


@pytest.fixture(scope="module")
def tenants(server):
    return [client.Tenant(server, slug) for slug in ("ours", "theirs")]


@pytest.fixture
def api(tenants):
    return tenants[0].api


def configure(server, **config):
    """A configuration holds from the next activation on."""
    with server.admin() as admin:
        admin.call("PUT", "/plugins/llm_llamacpp/config", json=config)
        admin.call("POST", "/plugins/llm_llamacpp/disable")
        admin.call("POST", "/plugins/llm_llamacpp/enable")


def body(text, max_tokens, model=MODEL, **options):
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, "temperature": 0, **options}


def ask(api, text=SHORT, max_tokens=8, status=200, **options):
    return api.call("POST", "/chat/completions", status, json=body(text, max_tokens, **options))


def said(answer):
    return answer.data["choices"][0]["message"]["content"]


def text_of(data):
    return "".join(choice["delta"].get("content") or "" for choice in data["choices"])


def chunks(stream):
    """Data of a stream of OpenAI's shape, to its [DONE]."""
    for line in stream.iter_lines():
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            yield json.loads(line[6:])


# --- the time of the first token ---

def first_token(tenant, number, start):
    """(status, seconds to the first token or the refusal, Retry-After)"""
    with client.Client(tenant.server.url, tenant.key) as api:
        api.call("GET", "/models")                      # connected before the clock runs
        start.wait()
        begun = time.monotonic()
        with api.stream("POST", "/chat/completions", json=body(f"Question {number}: {SHORT}", 12, stream=True)) as stream:
            if stream.status_code != 200:
                return stream.status_code, time.monotonic() - begun, int(stream.headers["retry-after"])
            answer = chunks(stream)
            took = next(time.monotonic() - begun for data in answer if text_of(data))
            for _ in answer:
                pass
            return 200, took, None


def slowest_client(tenant, over):
    """How long the client's own machine made a small request wait."""
    worst = 0.0
    with client.Client(tenant.server.url, tenant.key) as api:
        while not over.wait(0.05):
            begun = time.monotonic()
            api.call("GET", "/models")
            worst = max(worst, time.monotonic() - begun)
    return worst


def rush(tenants, count):
    """count chats at once, each second one of the other organization: their answers by organization, and what the machine added."""
    start, over = threading.Barrier(count, timeout=60), threading.Event()
    with concurrent.futures.ThreadPoolExecutor(count + 1) as pool:
        delay = pool.submit(slowest_client, tenants[0], over)
        asked = [pool.submit(first_token, tenants[i % 2], i, start) for i in range(count)]
        concurrent.futures.wait(asked)
        over.set()
        answers = [a.result() for a in asked]
        return [answers[0::2], answers[1::2]], delay.result()


def check_promise(answers, promise, delay):
    for status, took, retry in answers:
        assert status in (200, 429)
        assert took < promise + DECODE + delay, answers
        assert status == 200 or retry >= 1


@pytest.mark.parametrize("promise, sequences", [(8.0, 8), (0.6, 1)])
def test_fifty_at_once_are_answered_in_time_or_refused(server, tenants, promise, sequences):
    configure(server, first_token_ms=int(promise * 1000), sequences=sequences)
    ask(tenants[0].api, max_tokens=1, status=(200, 429))    # loaded; on a busy machine that alone may take longer than was promised
    by_tenant, delay = rush(tenants, 50)
    check_promise(by_tenant[0] + by_tenant[1], promise, delay)
    answered = [sum(status == 200 for status, _, _ in answers) for answers in by_tenant]
    assert sum(answered) > 0
    if sequences == 1:
        assert sum(answered) < 50                           # not so many can be in time, one after the other
    else:
        assert min(answered) * 3 >= sum(answered), answered
    until("nothing stays: the next is answered", lambda: ask(tenants[1].api, status=(200, 429)).status_code == 200)


# --- one at a time ---

def test_streaming(server, api):
    configure(server)
    with api.stream("POST", "/chat/completions", json=body(SHORT, 40, stream=True, stream_options={"include_usage": True})) as stream:
        assert stream.status_code == 200
        got = list(chunks(stream))
    pieces = [text_of(data) for data in got if data["choices"]]
    assert len([p for p in pieces if p]) > 3 and "Paris" in "".join(pieces)
    assert [c["finish_reason"] for data in got for c in data["choices"]][-1] == "stop"
    assert said(ask(api, max_tokens=40)) == "".join(pieces)
    assert got[-1]["usage"]["completion_tokens"] >= len([p for p in pieces if p])


def test_a_client_that_leaves_frees_its_sequence(server, api):
    """With one sequence, who asks next gets it at once, and not only when 1,500 tokens are written: then it would be refused."""
    configure(server, sequences=1, first_token_ms=5000)
    with api.stream("POST", "/chat/completions", json=body(LONG, 1500, stream=True)) as stream:
        next(data for data in chunks(stream) if text_of(data))
    ask(api)


def test_json(api):
    answer = ask(api, 'Answer with JSON: {"capital": NAME}. What is the capital of France?', 60, response_format={"type": "json_object"})
    assert answer.data["choices"][0]["finish_reason"] == "stop"
    assert json.loads(said(answer)) == {"capital": "Paris"}


def test_memory_and_idle_models(server, api):
    """The cap leaves room for one of two; the first is given back when nobody used it for a second."""
    configure(server, memory_mib=FILE.stat().st_size * 3 // 2 >> 20, idle_seconds=1)
    assert {MODEL, "second"} <= {m["id"] for m in api.call("GET", "/models").data["data"]}
    assert "Paris" in said(ask(api, max_tokens=20))
    assert ask(api, model="second", status=503).data["error"]["code"] == "model_memory"
    with server.admin() as admin:
        maps = pathlib.Path(f"/proc/{admin.call('GET', '/plugins/llm_llamacpp').data['worker']['pid']}/maps")
    assert FILE.name in maps.read_text()
    until("the first model is given back", lambda: FILE.name not in maps.read_text())
    assert "Paris" in said(ask(api, max_tokens=20, model="second"))


# --- off and on ---

def test_switched_off_while_an_answer_runs(server, api):
    """The answer ends, whole or with an error, and the next is written by an engine with the new configuration."""
    configure(server, sequences=1)
    with api.stream("POST", "/chat/completions", json=body(LONG, 250, stream=True)) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if '"content":"' in line)
        configure(server, sequences=1, max_tokens=3)
        rest = [line for line in lines if line.startswith("data: ")]
    assert rest and (rest[-1] == "data: [DONE]" or "error" in json.loads(rest[-1][6:]))
    answer = api.call("POST", "/chat/completions", json={k: v for k, v in body(LONG, 0).items() if k != "max_tokens"})
    assert answer.data["usage"]["completion_tokens"] == 3 and answer.data["choices"][0]["finish_reason"] == "length"


def test_switched_off_it_is_away(server, api):
    with server.admin() as admin:
        admin.call("POST", "/plugins/llm_llamacpp/disable")
        assert MODEL not in {m["id"] for m in api.call("GET", "/models").data["data"]}
        ask(api, status=404)
        admin.call("POST", "/plugins/llm_llamacpp/enable")
    ask(api)
