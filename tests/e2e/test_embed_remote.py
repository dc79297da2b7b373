"""Embedding models elsewhere: an upstream that answers, and one that refuses, hangs, lies or is busy. The upstream is a server of this test."""
import contextlib
import http.server
import json
import math
import threading
import time

import pytest

import client

KEY = "sk-upstream-3f9c"
SERVER = {"env": {"MORTISE_OUTBOUND_ALLOW_PRIVATE": "true", "UPSTREAM_KEY": KEY}}
DIMENSIONS = 4


def vector(text):
    """Not of length 1: the host makes it so."""
    return [float(len(text)), 1.0, 0.0, -2.0]


class Upstream(http.server.BaseHTTPRequestHandler):
    """Speaks /v1/embeddings; the model's name says how it misbehaves."""
    protocol_version = "HTTP/1.1"
    seen, release = [], threading.Event()

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("content-type", "application/json"), ("content-length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        model, texts = body["model"], body["input"]
        before = sum(b["model"] == model for b in self.seen)
        self.seen.append({**body, "at": time.monotonic()})
        if self.path != "/v1/embeddings" or self.headers.get("authorization") != f"Bearer {KEY}" or model == "refuses":
            return self.answer(401, {"error": {"message": "no"}})
        data = [{"object": "embedding", "index": i, "embedding": vector(text)} for i, text in enumerate(texts)]
        fine = {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 5, "total_tokens": 5}}
        if model == "busy-once" and not before:
            return self.answer(429, {"error": {}}, [("retry-after", "1")])
        if model == "busy":
            return self.answer(429, {"error": {}}, [("retry-after", "3600")])
        if model == "broken" or (model == "broken-twice" and before < 2):
            return self.answer(500, b"oops")
        if model == "hangs":
            self.release.wait(30)
            self.close_connection = True
            return None
        if model == "stops":
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b'{"data": [')
            self.close_connection = True
            return None
        if model == "garbage":
            return self.answer(200, b"<html>It works!</html>")
        if model == "endless":
            with contextlib.suppress(ConnectionError):
                self.answer(200, b'{"data": [' + b" " * (1 << 20) + b"]}")
            return None
        if model == "short":
            data.pop()
        if model == "narrow":
            data[0]["embedding"].pop()
        if model == "not-a-number":
            data[0]["embedding"][1] = math.nan
        if model == "shuffled":
            data.reverse()
        return self.answer(200, fine)


MODELS = ["fine", "shuffled", "busy-once", "busy", "broken-twice", "broken", "refuses", "hangs", "stops", "garbage", "endless", "short", "narrow", "not-a-number"]


@pytest.fixture(scope="module")
def upstream(admin):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = {"base_url": f"http://127.0.0.1:{server.server_port}/v1/", "api_key_env": "UPSTREAM_KEY", "timeout_ms": 500, "tries": 3}
    models = [{"model": f"remote-{name}", "upstream": name, "dimensions": DIMENSIONS, "max_tokens": 64, "batch": 10} for name in MODELS]
    config = {"endpoints": [{"name": "fake", **endpoint, "models": models},
                            {"name": "keyless", **endpoint, "api_key_env": "NOT_SET_ANYWHERE", "models": [{"model": "remote-keyless", "dimensions": DIMENSIONS}]},
                            {"name": "kept", **endpoint, "api_key_name": "mine", "models": [{"model": "remote-kept", "upstream": "fine", "dimensions": DIMENSIONS}]},
                            {"name": "unkept", **endpoint, "api_key_name": "none", "models": [{"model": "remote-unkept", "dimensions": DIMENSIONS}]}],
              "keys": {"mine": KEY}}
    admin.call("PUT", "/plugins/embedder_openai/config", json=config)
    assert admin.call("POST", "/plugins/embedder_openai/enable").data["state"] == "active"
    yield Upstream
    Upstream.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


def embed(api, model, texts, status=200):
    return api.call("POST", "/embed", status, json={"texts": texts, "model": f"remote-{model}"}).data


def unit(text):
    v = vector(text)
    return [x / math.hypot(*v) for x in v]


def near(a, b):
    return all(math.dist(x, y) < 1e-6 for x, y in zip(a, b, strict=True))


def test_listed_beside_the_local_ones(tenant, upstream):
    listed = {m["model"]: m for m in tenant.api.call("GET", "/embedding-models").data["items"]}
    assert listed["remote-fine"] == {"model": "remote-fine", "provider": "embedder_openai", "dimensions": 4, "max_tokens": 64, "default": False}
    assert listed["all-minilm-l6-v2"]["default"]


def test_batches_in_order_and_of_length_one(tenant, upstream):
    texts = ["x" * n for n in range(1, 26)]
    answer = embed(tenant.api, "fine", texts)
    assert near(answer["vectors"], map(unit, texts)) and answer["usage"]["tokens"] > 25
    sizes = [len(b["input"]) for b in upstream.seen if b["model"] == "fine"]
    assert sizes == [10, 10, 5]
    assert near(embed(tenant.api, "shuffled", texts)["vectors"], map(unit, texts))


def test_a_key_of_its_own_configuration(admin, tenant, upstream):
    assert near(embed(tenant.api, "kept", ["a"])["vectors"], [unit("a")])
    assert KEY not in admin.call("GET", "/plugins/embedder_openai/config").text


def test_a_long_text_is_cut(tenant, upstream):
    embed(tenant.api, "fine", ["word " * 1000])
    sent = upstream.seen[-1]["input"][0]
    assert 20 <= len(sent.split()) <= 64


@pytest.mark.parametrize("model, tries, least", [("busy-once", 2, 0.95), ("broken-twice", 3, 0.7)])
def test_passing_trouble_is_tried_again(tenant, upstream, model, tries, least):
    assert near(embed(tenant.api, model, ["a", "bb"])["vectors"], [unit("a"), unit("bb")])
    at = [b["at"] for b in upstream.seen if b["model"] == model]
    assert len(at) == tries and at[-1] - at[0] >= least


@pytest.mark.parametrize("model, tries, status, code, says", [
    ("busy", 1, 429, "upstream_limited", "fake"),
    ("broken", 3, 503, "upstream_failed", "500"),
    ("refuses", 1, 503, "upstream_key_refused", "api_key_env"),
    ("hangs", 3, 504, "upstream_timeout", "time"),
    ("stops", 3, 503, "upstream_unreachable", ""),
    ("garbage", 1, 503, "upstream_answer_invalid", "no JSON"),
    ("endless", 1, 503, "upstream_answer_too_large", "larger"),
    ("short", 1, 503, "upstream_answer_invalid", "1 vectors came for 2"),
    ("narrow", 1, 503, "upstream_answer_invalid", "fewer dimensions"),
    ("not-a-number", 1, 503, "upstream_answer_invalid", "vector 0"),
    ("keyless", 0, 503, "upstream_key_missing", "NOT_SET_ANYWHERE"),
    ("unkept", 0, 503, "upstream_key_missing", "none"),
])
def test_trouble_is_told(server, tenant, upstream, model, tries, status, code, says):
    problem = embed(tenant.api, model, ["a", "bb"], status)
    assert problem["code"] == code and says in problem["detail"], problem
    assert sum(b["model"] == model for b in upstream.seen) == tries
    assert KEY not in json.dumps(problem) and KEY not in server.log()
    assert near(embed(tenant.api, "fine", ["still"])["vectors"], [unit("still")])


def test_a_client_that_leaves_ends_the_tries(tenant, upstream):
    with client.Client(tenant.server.url, tenant.key, timeout=0.2) as hasty:
        with pytest.raises(client.TransportError):
            hasty.post("/embed", json={"texts": ["a"], "model": "remote-hangs"})
    tenant.api.call("GET", "/embedding-models")


def test_switched_off_it_is_unknown(admin, tenant, upstream):
    admin.call("POST", "/plugins/embedder_openai/disable")
    assert embed(tenant.api, "fine", ["a"], 404)["code"] == "model_not_found"
    assert tenant.api.call("POST", "/embed", json={"texts": ["a"]}).data["dimensions"] == 384
    admin.call("POST", "/plugins/embedder_openai/enable")
    assert near(embed(tenant.api, "fine", ["a"])["vectors"], [unit("a")])


def test_a_wrong_configuration_is_refused(admin):
    for endpoints in ([{"name": "x", "base_url": "ftp://x", "models": [{"model": "m", "dimensions": 1}]}],
                      [{"name": "x", "base_url": "http://x", "models": []}], [{"name": "x", "base_url": "http://x", "models": [{"model": "m"}]}], "none"):
        admin.call("PUT", "/plugins/embedder_openai/config", 422, json={"endpoints": endpoints})
