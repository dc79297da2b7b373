"""Vectors over HTTP: the models of this machine by name, and what is asked wrongly."""
import math

import pytest

TEXTS = ["The mill stands by the river.", "A watermill on the bank of a stream.", "Interest rates rose by half a point."]
INT8 = "all-minilm-l6-v2-int8"


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))


def embed(api, texts, status=200, **more):
    return api.call("POST", "/embed", status, json={"texts": texts, **more}).data


def test_vectors_mean_something(tenant):
    answer = embed(tenant.api, TEXTS, workspace_id=tenant.workspace)
    assert answer["model"] == "all-minilm-l6-v2" and answer["dimensions"] == 384
    assert [len(v) for v in answer["vectors"]] == [384] * 3
    mill, stream, rates = answer["vectors"]
    assert all(abs(math.hypot(*v) - 1) < 1e-5 for v in answer["vectors"])
    assert cosine(mill, stream) > 0.4 > 0.3 > abs(cosine(mill, rates))
    assert answer["usage"]["tokens"] == 7 + 10 + 8     # "watermill" is two


def test_a_model_by_name(tenant):
    listed = {m["model"]: m for m in tenant.api.call("GET", "/embedding-models").data["items"]}
    assert listed["all-minilm-l6-v2"] == {"model": "all-minilm-l6-v2", "provider": "embedder_onnx", "dimensions": 384, "max_tokens": 256, "default": True}
    assert INT8 in listed and not listed[INT8]["default"]
    whole, small = embed(tenant.api, TEXTS), embed(tenant.api, TEXTS, model=INT8)
    assert small["model"] == INT8 and embed(tenant.api, TEXTS, model_id=INT8) == small
    for a, b in zip(whole["vectors"], small["vectors"]):
        assert 0.97 < cosine(a, b) < 0.99999


def test_the_old_path(tenant, server):
    answer = tenant.api.post(server.url.replace("/v1", "/api/embed"), json={"texts": TEXTS[:1], "workspace_id": tenant.workspace})
    assert answer.status_code == 200 and len(answer.json()["vectors"]) == 1


def test_long_and_many(tenant):
    answer = embed(tenant.api, ["word " * 5000, "word " * 254])
    assert answer["usage"]["tokens"] == 256 + 254
    assert cosine(*answer["vectors"]) > 0.99999          # what is beyond the window is not read
    assert len(embed(tenant.api, [f"number {i}" for i in range(256)])["vectors"]) == 256


@pytest.mark.parametrize("body, status, code, pointer", [
    ({"texts": ["x"], "model": "no-such-model"}, 404, "model_not_found", "/model"),
    ({"texts": ["x"], "model": "a", "model_id": "b"}, 422, "model_ambiguous", "/model_id"),
    ({"texts": ["x", "  \n"]}, 422, "text_empty", "/texts/1"),
    ({"texts": ["x", ""]}, 422, None, "/texts/1"),
    ({"texts": []}, 422, None, "/texts"),
    ({"texts": ["x"] * 257}, 422, None, "/texts"),
    ({"texts": ["x"], "workspace_id": "01890000-0000-7000-8000-00000000dead"}, 404, None, None),
])
def test_asked_wrongly(tenant, body, status, code, pointer):
    problem = tenant.api.call("POST", "/embed", status, json=body).data
    assert code in (None, problem["code"]) and pointer in (None, problem.get("pointer")), problem


def test_a_private_upstream_is_refused(admin, tenant):
    """outbound.allow_private is off here, so the host itself refuses the address."""
    models = [{"model": "inside", "dimensions": 3}]
    admin.call("PUT", "/plugins/embedder_openai/config", json={"endpoints": [{"name": "x", "base_url": "http://127.0.0.1:9/v1", "models": models}]})
    admin.call("POST", "/plugins/embedder_openai/enable")
    problem = tenant.api.call("POST", "/embed", 403, json={"texts": ["x"], "model": "inside"}).data
    assert problem["code"] == "upstream_address_refused"
    admin.call("POST", "/plugins/embedder_openai/disable")
