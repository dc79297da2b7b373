"""The SDK's examples in a real server, inside the host and in workers of their own: each loads, answers, keeps tenants apart, and fails as its page says."""
import hashlib
import hmac
import http.server
import json
import threading

import pytest

import client
import harness
import server as servers
from fake_llm import ANSWER, CACHED, INPUT, OUTPUT, WORDS, FakeLLM
from server import until

EXAMPLES = servers.BUILD / "examples"
TALLIES = [name for name in ("cpp_tally", "rust_tally") if (EXAMPLES / name / f"{name}.so").exists()]
PLUGINS = [*TALLIES, "llm_gemini", "security_scanner", "briefing", "alert_relay", "digest", "helpdesk"]
NO_CODE = ["helpdesk"]
both = pytest.mark.parametrize("slug", TALLIES)


@pytest.fixture(scope="module", params=["none", "process"])
def place(request):
    args = ["--outbound.allow_private", *(["--plugins.isolated", ",".join(p for p in PLUGINS if p not in NO_CODE)] if request.param == "process" else [])]
    for server in harness.run_server(request, plugins=[EXAMPLES], enable=PLUGINS, args=args, env={"MORTISE_DEBUG_CHECKS": "on"}):
        server.isolation = request.param
        yield server


@pytest.fixture(scope="module")
def tenant(place):
    return client.Tenant(place, "examples")


@pytest.fixture(scope="module")
def api(tenant):
    return tenant.api


def test_each_runs_where_it_should(place):
    with place.admin() as admin:
        for slug in PLUGINS:
            told = admin.call("GET", f"/plugins/{slug}").data
            assert told["state"] == "active"
            assert slug in NO_CODE or told["isolation"] == place.isolation


# --- C++ and Rust ---

def votes(slug):
    return f"/{slug.replace('_', '-')}/votes"


@both
def test_votes_are_counted(place, slug):
    api = client.Tenant(place, f"{slug.replace('_', '-')}-voters").api
    assert api.call("GET", votes(slug)).data == {"total": 0, "choices": []}
    for choice, count in (("tea", 1), ("maté \"hot\"", 1), ("tea", 2)):
        assert api.call("POST", votes(slug), 201, json={"choice": choice}).data == {"choice": choice, "votes": count}
    assert api.call("GET", votes(slug)).data == {"total": 3, "choices": [{"choice": "tea", "votes": 2}, {"choice": "maté \"hot\"", "votes": 1}]}
    assert api.call("GET", f"{votes(slug)}/2").data["choice"] == "maté \"hot\""
    assert api.call("GET", f"{votes(slug)}/3", 404).data["code"] == "not_found"
    assert api.call("POST", votes(slug), 422, json={"choice": ""}).data["code"]


@both
def test_votes_of_others_are_not_seen(place, slug):
    first, second = (client.Tenant(place, f"{slug.replace('_', '-')}-{n}").api for n in "ab")
    first.call("POST", votes(slug), 201, json={"choice": "secret"})
    assert second.call("GET", votes(slug)).data == {"total": 0, "choices": []}


# --- the guide's language model ---

KEY = "g-canary-7f3a"
QUESTION = "Who wrote the first program?"
PRICE = {"input": 2.0, "cached": 0.5, "output": 10.0}


@pytest.fixture(scope="module")
def fake():
    with FakeLLM() as fake:
        yield fake


@pytest.fixture(scope="module")
def gemini(place, fake):
    """Makes a model of the upstream that behaves so the only route; its name."""
    with place.admin() as admin:
        admin.call("PUT", "/plugins/llm_gemini/config", json={"base_url": fake.url, "api_key": KEY})

        def route(how, timeout_ms=5000):
            target = {"engine": "llm_gemini", "model": how, "price": PRICE}
            config = {"retries": 0, "breaker": {"failures": 1000, "error_percent": 100}, "routes": [{"name": "gemini", "targets": [target], "timeout_ms": timeout_ms}]}
            admin.call("PUT", "/plugins/models/config", json=config)
            return "gemini"
        yield route


def complete(api, model, status=200, **more):
    return api.call("POST", "/chat/completions", status, json={"model": model, "messages": [{"role": "user", "content": QUESTION}], **more}).data


def test_the_openai_endpoint_answers_through_it(api, gemini, fake):
    answer = complete(api, gemini("ok"), max_tokens=30, temperature=0.2, stop=["END"])
    assert answer["choices"][0]["message"]["content"] == ANSWER and answer["choices"][0]["finish_reason"] == "stop"
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (INPUT, OUTPUT)
    path, headers, body = fake.requests[-1]
    assert path == "/v1beta/models/ok:streamGenerateContent?alt=sse" and headers["x-goog-api-key"] == KEY
    assert body == {"contents": [{"role": "user", "parts": [{"text": QUESTION}]}],
                    "generationConfig": {"maxOutputTokens": 30, "temperature": 0.2, "stopSequences": ["END"]}}


def test_it_streams(api, gemini):
    with api.stream("POST", "/chat/completions", json={"model": gemini("ok"), "stream": True, "messages": [{"role": "user", "content": QUESTION}]}) as answer:
        chunks = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
    assert [c["choices"][0]["delta"]["content"] for c in chunks if c["choices"] and c["choices"][0]["delta"].get("content")] == WORDS


def test_a_chat_answers_through_it_with_its_sources(tenant, api, gemini):
    gemini("ok")
    workspace = tenant.new_workspace("gemini")
    api.upload(workspace, ("a.txt", b"Ada Lovelace wrote the first program in 1843."))
    api.call("PUT", f"/workspaces/{workspace}/model-settings", json={"default_model": "gemini"})
    answer = api.chat(workspace, QUESTION)
    assert answer["usage"]["model"] == "gemini" and "Ada Lovelace" in answer["answer"] and answer["sources"]


@pytest.mark.parametrize("how, status, code", [
    ("fail", 503, "gemini_failed"), ("key", 503, "gemini_key_refused"), ("bad", 422, "gemini_refused"), ("limited", 429, "gemini_limited"),
    ("garbage", 503, "gemini_answer_invalid"), ("truncated", 503, "gemini_answer_invalid"), ("huge", 503, "gemini_answer_invalid")])
def test_a_failure_is_one_clean_error(api, gemini, how, status, code):
    error = complete(api, gemini(how), (400, 422) if status == 422 else status)["error"]
    assert error["code"] == code
    assert "canary" not in error["message"] or how == "bad"


@pytest.mark.parametrize("how", ["hang-head", "hang-mid"])
def test_silence_ends_in_time(api, gemini, how):
    assert complete(api, gemini(how, timeout_ms=300), 504)["error"]["code"] == "upstream_timeout"


def test_tokens_are_counted(place, gemini):
    api = client.Tenant(place, "counted").api
    complete(api, gemini("ok"))
    (row,) = until("the call is counted", lambda: [u for u in api.call("GET", "/models/usage").data["items"] if u["model"] == "gemini"])
    assert (row["input_tokens"], row["cached_tokens"], row["output_tokens"]) == (INPUT, CACHED, OUTPUT)


def test_the_key_is_not_shown(place, gemini):
    with place.admin() as admin:
        assert KEY not in admin.call("GET", "/plugins/llm_gemini").text + admin.call("GET", "/plugins/llm_gemini/config").text
    assert KEY not in place.log()


# --- the cookbook ---

@pytest.fixture(scope="module")
def library(tenant):
    """A workspace that knows one thing."""
    workspace = tenant.new_workspace("library")
    tenant.api.upload(workspace, ("ada.txt", b"Ada Lovelace wrote the first program in 1843. It computed Bernoulli numbers."))
    return f"/workspaces/{workspace}"


def test_code_quality(api):
    assert api.call("POST", "/code/analyze", json={"source": "return 1"}).data == {"score": 100, "findings": []}
    assert api.call("POST", "/code/analyze", json={"source": "eval(x)"}).data["findings"][0]["rule"] == "code_execution"


def brief(api, at, subject):
    with api.stream("POST", f"{at}/briefing", json={"subject": subject}) as answer:
        answer.read() if answer.status_code != 200 else None
        return answer.status_code, list(client.events(answer.iter_lines())) if answer.status_code == 200 else answer.json()


def test_an_agent_briefs(api, library):
    status, events = brief(api, library, QUESTION)
    assert status == 200 and events[0][0] == "sources" and events[0][1][0]["file_name"] == "ada.txt"
    assert "Ada Lovelace" in "".join(data["text"] for name, data in events if name == "token")
    assert events[-1][0] == "done" and events[-1][1]["finish"] == "stop" and events[-1][1]["model"] == "extractive"


def test_an_agent_says_that_nothing_was_found(place, api, tenant):
    status, problem = brief(api, f"/workspaces/{tenant.new_workspace('empty')}", QUESTION)
    assert (status, problem["code"]) == (404, "briefing_nothing_found")
    other = client.Tenant(place, "briefing-other")
    assert api.call("POST", f"/workspaces/{other.workspace}/briefing", 404, json={"subject": QUESTION}).data["code"] == "not_found"


def test_a_workflow_comes_to_its_end(place, api, library):
    run = api.call("POST", f"{library}/digests", 202, json={"subject": QUESTION}).data
    assert (run["step"], run["text"]) == ("collect", None)
    done = until("the digest is written", lambda: (r := api.call("GET", f"{library}/digests/{run['id']}").data)["step"] == "done" and r)
    assert "Ada Lovelace" in done["text"]
    assert [r["id"] for r in api.call("GET", f"{library}/digests").data["items"]] == [run["id"]]
    other = client.Tenant(place, "digest-other")
    other.api.call("GET", f"{library}/digests/{run['id']}", 404)
    assert other.api.call("GET", f"/workspaces/{other.workspace}/digests/{run['id']}", 404).data["code"] == "not_found"


def test_a_step_that_fails_is_done_again(tenant, api, gemini, fake):
    """The model refuses once: the queue gives the job again, which goes on from what the first step kept."""
    workspace = tenant.new_workspace("again")
    api.upload(workspace, ("ada.txt", b"Ada Lovelace wrote the first program in 1843."))
    api.call("PUT", f"/workspaces/{workspace}/model-settings", json={"default_model": gemini("limited-once")})
    fake.asked.clear()
    run = api.call("POST", f"/workspaces/{workspace}/digests", 202, json={"subject": QUESTION}).data
    done = until("the digest is written", lambda: (r := api.call("GET", f"/workspaces/{workspace}/digests/{run['id']}").data)["step"] == "done" and r)
    assert done["text"] == ANSWER and fake.asked["limited-once"] == 2


class Target:
    """A chat's incoming webhook that fails at first."""

    def __init__(self, *answers):
        self.answers, self.got = list(answers), []
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = target.answers.pop(0) if target.answers else 204
                target.got.append((status, self.headers["idempotency-key"], body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


def send_alert(api, secret, delivery, status=202, **alert):
    body = json.dumps(alert)
    signature = "sha256=" + hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json", "x-signature": signature, "x-delivery": delivery}
    return api.call("POST", "/alert-relay/alerts", status, content=body, headers=headers).data


def test_an_integration_relays_what_was_signed(place, api):
    target = Target(503, 429)
    with place.admin() as admin:
        admin.call("PUT", "/plugins/alert_relay/config", json={"signing_secret": "s3cret", "target_url": target.url, "pause_ms": 5})
    assert send_alert(api, "guessed", "d-0", 403, title="x")["code"] == "alert_relay_unsigned"
    assert send_alert(api, "s3cret", "d-1", title="Disk \"full\"", severity="critical", host="db1") == {"taken": True}
    until("it was delivered", lambda: any(status == 204 for status, *_ in target.got))
    text = {"text": "[critical] Disk \"full\""}
    assert target.got == [(503, "d-1", text), (429, "d-1", text), (204, "d-1", text)]
    target.server.shutdown()


def test_a_template_is_whole_without_code(place, tenant):
    api, at = tenant.api, f"/workspaces/{tenant.new_workspace('desk')}"
    ticket = api.call("POST", f"{at}/tickets", 201, json={"title": "Paper jam", "text": "Second floor, again."}).data
    assert ticket["state"] == "open" and [t["id"] for t in api.call("GET", f"{at}/tickets").data["items"]] == [ticket["id"]]
    closed = api.call("POST", f"{at}/tickets/{ticket['id']}/close", (200, 201), json={"text": "The rear door."}).data
    assert closed["state"] == "closed"
    api.call("POST", f"{at}/tickets/{ticket['id']}/close", 404, json={"text": "Twice."})
    assert [e["text"] for e in api.call("GET", f"{at}/tickets/{ticket['id']}/entries").data["items"]] == ["The rear door.", "Second floor, again."]
    assert api.call("GET", f"{at}/tickets").data["items"] == []
    other = client.Tenant(place, "desk-other")
    other.api.call("GET", f"/workspaces/{other.workspace}/tickets/{ticket['id']}", 404)
    assert other.api.call("GET", f"/workspaces/{other.workspace}/tickets/{ticket['id']}/entries").data["items"] == []
    codes = [api.request("POST", f"{at}/tickets", json={"title": "t", "text": "x"}).status_code for _ in range(11)]
    assert codes[0] == 201 and codes[-1] == 429
    assert "4 passed" in place.cli("policy", "test", servers.ROOT / "sdk/examples/template/policies/flood.lua").stdout


def test_a_templates_files_make_it_ready(place, tenant):
    """What the page says to run after installing it: the handbook is read, and the agent answers from it."""
    workspace, files = tenant.new_workspace("handbook"), EXAMPLES / "helpdesk" / "files"
    place.cli("ingest", "--workspace-id", workspace, "--directory", files / "documents")
    agent = tenant.api.call("POST", f"/workspaces/{workspace}/agents", 201, json=json.loads((files / "agent.json").read_text())).data
    answer = tenant.api.chat(workspace, "How is a paper jam cleared?", agent_id=agent["id"])
    assert "rear door" in answer["answer"] and answer["sources"][0]["file_name"] == "printers.md"


def test_none_of_them_misuses_the_host(place):
    assert "plugin.misuse" not in place.log()
