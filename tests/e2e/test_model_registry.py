"""An organization's own models: uploaded, checked, switched on and off, run, deleted with their files."""
import hashlib
import http.client
import json
import pathlib
import struct
import threading

import pytest

import client
import onnx


@pytest.fixture(scope="module")
def tenant(server):
    tenant = client.Tenant(server, "registry")
    tenant.api.upload(tenant.workspace, ("a.txt", b"Ada Lovelace wrote the first program in 1843."))
    return tenant


def gguf(numbers=64, offset=0):
    """The least file that is right: one key, one tensor of F32."""
    text = lambda s: struct.pack("<Q", len(s)) + s
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    head += text(b"weight") + struct.pack("<IQIQ", 1, numbers, 0, offset)
    return head + b"\0" * (-len(head) % 32) + bytes(4 * numbers)


def upload(api, status=201, weights=None, vocab=None, **config):
    files = [("config", (None, json.dumps(config)))]
    if weights is not None:
        files.append(("model_file", ("weights.gguf", weights)))
    if vocab is not None:
        files.append(("vocab_file", ("vocab.txt", vocab)))
    return api.call("POST", "/models/upload", status, files=files).data


def stored(server, org):
    return sorted(p.name for p in (pathlib.Path(server.data) / "models" / org).glob("*.*"))


def test_a_name_of_its_own_answers_while_it_is_on(tenant):
    api = tenant.api
    made = upload(api, name="our-helper", type="openai", model="extractive", version="7")
    assert (made["is_active"], made["version"], made["format"]) == (False, "7", "none")
    agent = api.call("POST", f"/workspaces/{tenant.workspace}/agents", 201, json={"name": "a", "slug": "a", "model_name": "our-helper"}).data["id"]
    ask = lambda status: api.call("POST", f"/workspaces/{tenant.workspace}/chat", status, json={"query": "Who wrote the first program?", "agent_id": agent}).data
    assert ask(404)["code"] == "model_unknown"
    assert api.call("POST", f"/models/{made['id']}/activate").data["is_active"]
    assert "1843" in ask(200)["answer"]
    other = client.Tenant(tenant.server, "registry-other")
    other.api.call("POST", f"/models/{made['id']}/activate", 404)
    assert other.api.pages("/model-registry") == []
    api.call("POST", f"/models/{made['id']}/deactivate")
    ask(404)


def test_a_file_is_stored_once_and_freed_with_its_last_use(server, tenant):
    api, weights = tenant.api, gguf()
    name = hashlib.sha256(weights).hexdigest() + ".gguf"
    first = upload(api, weights=weights, name="one", type="custom")
    assert (first["format"], first["bytes"], first["sha256"]) == ("gguf", len(weights), name[:64])
    second = upload(api, weights=weights, name="two", type="custom")
    assert stored(server, tenant.org) == [name]
    assert upload(api, 409, weights=weights, name="two", type="custom")["code"] == "model_name_taken"
    api.call("DELETE", f"/models/{first['id']}", 204)
    assert stored(server, tenant.org) == [name]
    api.call("DELETE", f"/models/{second['id']}", 204)
    assert stored(server, tenant.org) == []
    api.call("GET", f"/model-registry/{second['id']}", 404)


@pytest.mark.parametrize("weights", [b"", b"GGUF", b"MZ\x90\0", gguf()[:-1], gguf(offset=32), gguf()[:60], b"PK\3\4" + bytes(100)],
                         ids=["empty", "magic only", "program", "cut", "outside", "half a head", "zip"])
def test_weights_that_are_none_are_refused(server, tenant, weights):
    assert upload(tenant.api, 422, weights=weights, name="bad", type="custom")["code"] in ("weights_invalid", "file_missing")
    assert stored(server, tenant.org) == []


def test_what_config_may_say(tenant):
    api = tenant.api
    assert upload(api, 422, name="x", type="virus", weights=gguf())["code"] == "type_unsupported"
    assert upload(api, 422, name="", type="custom", weights=gguf())["code"] == "name_invalid"
    assert upload(api, 422, name="x", type="openai")["code"] == "model_missing"
    assert api.call("POST", "/models/upload", 422, files=[("config", (None, "[1"))]).data["code"] == "config_invalid"
    assert api.call("POST", "/models/upload", 422, files=[("model_file", ("a", gguf()))]).data["code"] == "config_missing"


def anonymous_kib(pid):
    return int(pathlib.Path(f"/proc/{pid}/status").read_text().split("RssAnon:")[1].split()[0])


def test_a_large_file_does_not_sit_in_memory(server, tenant):
    """200 MB of weights: at no time does the host's own memory grow by more than the 32 MiB that a body may have before it goes to a file, and some."""
    pid, over, most = server.host_pid(), threading.Event(), [0]

    def watch():
        while not over.wait(0.01):
            most[0] = max(most[0], anonymous_kib(pid))

    before = anonymous_kib(pid)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        made = upload(tenant.api, weights=gguf(50_000_000), name="large", type="custom")
    finally:
        over.set()
        watcher.join()
    assert most[0] < before + 80_000
    assert made["bytes"] > 200_000_000
    tenant.api.call("DELETE", f"/models/{made['id']}", 204)


def test_over_the_limit(server, tenant):
    """Refused by its length, before it is sent whole."""

    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    link.putrequest("POST", "/v1/models/upload")
    for name, value in (("authorization", f"Bearer {tenant.key}"), ("content-type", "multipart/form-data; boundary=b"), ("content-length", str(502 << 20))):
        link.putheader(name, value)
    link.endheaders()
    assert link.getresponse().status == 413


# --- ONNX ---

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


def colours(api, status=201, vocab=onnx.vocabulary(COLOURS), weights=onnx.embedder(COLOURS), **config):
    return upload(api, status, weights=weights, vocab=vocab, **{"name": "colours", "type": "sentence-transformer", "dimensions": 3, "max_tokens": 16, **config})


def embed(api, text, status=200, model="colours"):
    answer = api.call("POST", "/embed", status, json={"texts": [text], "model": model}).data
    return [round(x, 4) for x in answer["vectors"][0]] if status == 200 else answer["code"]


def test_an_onnx_model_runs_while_it_is_on(server):
    """For its organization alone, at once, over a restart, until it is switched off; its files go with it."""
    tenant, other = client.Tenant(server, "colours"), client.Tenant(server, "no-colours")
    api, made = tenant.api, colours(tenant.api)
    assert (made["format"], made["is_active"]) == ("onnx", False) and len(made["vocab_sha256"]) == 64
    assert embed(api, "red", 404) == "model_not_found"
    assert api.call("POST", f"/models/{made['id']}/activate").data["is_active"]
    assert embed(api, "blue") == [0, 0, 1] and embed(api, "red green unheard") == [0.7071, 0.7071, 0]
    listed = {m["model"]: m for m in api.call("GET", "/embedding-models").data["items"]}["colours"]
    assert (listed["dimensions"], listed["max_tokens"], listed["provider"]) == (3, 16, "embedder_onnx")
    assert embed(other.api, "blue", 404) == "model_not_found"
    assert "colours" not in {m["model"] for m in other.api.call("GET", "/embedding-models").data["items"]}
    collection = api.call("POST", f"/workspaces/{tenant.workspace}/collections", 201, json={"name": "c", "model": "colours"}).data["id"]
    api.upload(tenant.workspace, ("sky.txt", b"blue blue"), data={"collection_id": collection})
    found = api.call("POST", f"/workspaces/{tenant.workspace}/search", json={"query": "blue", "mode": "vector", "filter": {"collection_ids": [collection]}}).data["results"]
    assert [(r["file_name"], round(r["vector_score"], 3)) for r in found] == [("sky.txt", 1)]
    server.restart()
    assert embed(api, "blue") == [0, 0, 1]
    api.call("POST", f"/models/{made['id']}/deactivate")
    assert embed(api, "blue", 404) == "model_not_found"
    api.call("POST", f"/models/{made['id']}/activate")
    api.call("DELETE", f"/models/{made['id']}", 204)
    assert embed(api, "blue", 404) == "model_not_found" and stored(server, tenant.org) == []
    swapped = colours(api, weights=onnx.embedder({"red": (0, 0, 1), "green": (0, 1, 0), "blue": (1, 0, 0)}))
    api.call("POST", f"/models/{swapped['id']}/activate")
    assert embed(api, "blue") == [1, 0, 0]               # another model under the name of the old one


@pytest.mark.parametrize("changes, code", [
    ({"vocab": None}, "vocabulary_missing"), ({"vocab": b"red\ngreen\n"}, "vocabulary_invalid"), ({"vocab": b"\0" * 50}, "vocabulary_invalid"),
    ({"dimensions": 0}, "dimensions_invalid"), ({"dimensions": 2.5}, "dimensions_invalid"), ({"max_tokens": None}, "max_tokens_invalid"),
    ({"pooling": "last"}, "pooling_unsupported"), ({"task": "chat"}, "task_unsupported"), ({"prefix": "x" * 256}, "prefix_too_long"),
    ({"name": "../colours"}, "name_invalid"), ({"name": ".colours"}, "name_invalid"), ({"name": "a" * 101}, "name_invalid")])
def test_an_onnx_model_that_could_not_run_is_refused(server, tenant, changes, code):
    assert colours(tenant.api, 422, **changes)["code"] == code
    assert stored(server, tenant.org) == []


@pytest.mark.parametrize("changes, words", [({"dimensions": 4}, "3 numbers"), ({"vocab": onnx.vocabulary([*COLOURS, "grey"])}, "vocabulary of 8 words"),
                                            ({"task": "rerank", "dimensions": 1}, "")], ids=["size", "vocabulary", "kind"])
def test_an_onnx_model_that_does_not_run_stays_off(server, tenant, changes, words):
    made = colours(tenant.api, **changes)
    problem = tenant.api.call("POST", f"/models/{made['id']}/activate", 422).data
    assert problem["code"] == "model_not_run" and words in problem["detail"]
    assert not tenant.api.call("GET", f"/model-registry/{made['id']}").data["is_active"]
    assert embed(tenant.api, "red", 404) == "model_not_found"
    tenant.api.call("DELETE", f"/models/{made['id']}", 204)


def test_the_platforms_names_are_taken(tenant):
    made = colours(tenant.api, name="all-minilm-l6-v2")
    assert tenant.api.call("POST", f"/models/{made['id']}/activate", 409).data["code"] == "model_name_taken"
    tenant.api.call("DELETE", f"/models/{made['id']}", 204)


def test_an_onnx_reranker_sets_the_order(tenant):
    """Below what BM25 would put first; a word's weight is all that the model sees."""
    api, words = tenant.api, {"harbour": 0, "gull": -1, "pilot": 3}
    made = upload(api, weights=onnx.reranker(words), vocab=onnx.vocabulary(words), name="pilots-first", type="custom", task="rerank", max_tokens=64)
    api.call("POST", f"/models/{made['id']}/activate")
    for name, text in (("gull.txt", b"harbour harbour gull"), ("pilot.txt", b"The pilot went ashore from the harbour at night, long before anybody else was awake.")):
        api.upload(tenant.workspace, (name, text))
    search = lambda **more: api.call("POST", f"/workspaces/{tenant.workspace}/search", json={"query": "harbour", "mode": "text", **more}).data
    assert [r["file_name"] for r in search()["results"]] == ["gull.txt", "pilot.txt"]
    answer = search(rerank="pilots-first")
    assert answer["reranked"] and "rerank_note" not in answer
    assert [(r["file_name"], round(r["rerank_score"], 4), r["score"] == r["rerank_score"]) for r in answer["results"]] == [
        ("pilot.txt", 0.9526, True), ("gull.txt", 0.2689, True)]
    other = client.Tenant(tenant.server, "no-reranker")
    other.api.upload(other.workspace, ("gull.txt", b"harbour gull"))
    assert other.api.call("POST", f"/workspaces/{other.workspace}/search", json={"query": "harbour", "mode": "text", "rerank": "pilots-first"}).data["reranked"] is False
    api.call("DELETE", f"/models/{made['id']}", 204)


def test_a_slow_reranker_is_let_go(tenant):
    """Its work is many times a millisecond's; the answer comes in the order of the search, and says why."""
    api, words = tenant.api, {"marsh": 1}
    made = upload(api, weights=onnx.reranker(words, rounds=8000), vocab=onnx.vocabulary(words), name="slow", type="custom", task="rerank", max_tokens=64)
    api.call("POST", f"/models/{made['id']}/activate")
    api.upload(tenant.workspace, *((f"marsh-{i}.txt", b"marsh " * (60 - i)) for i in range(20)))
    search = lambda: api.call("POST", f"/workspaces/{tenant.workspace}/search", json={"query": "marsh", "mode": "text", "rerank": "slow", "limit": 20}).data
    with tenant.server.admin() as admin:
        before = admin.call("GET", "/plugins/retrieval/config").data
        whole = search()
        admin.call("PUT", "/plugins/retrieval/config", json={"rerank_timeout_ms": 1})
        try:
            cut = search()
        finally:
            admin.call("PUT", "/plugins/retrieval/config", json=before)
    assert whole["reranked"] and whole["results"][0]["rerank_score"] is not None
    assert cut["reranked"] is False and "too long" in cut["rerank_note"]
    assert len(cut["results"]) == 20 and all(r["rerank_score"] is None for r in cut["results"])
    api.call("DELETE", f"/models/{made['id']}", 204)


# --- files ---

def test_the_same_bytes_uploaded_and_deleted_at_once(server):
    """Whatever the order, the file of a row that is there is there: under its name, or for a moment under that of one that goes."""
    tenant, weights, kept, lost = client.Tenant(server, "race"), gguf(4096), [], []
    folder = pathlib.Path(server.data) / "models" / tenant.org
    file = folder / (hashlib.sha256(weights).hexdigest() + ".gguf")

    def turns(worker):
        with client.Client(server.url, tenant.key) as api:
            for i in range(150):
                made = upload(api, weights=weights, name=f"{worker}-{i}", type="custom")
                lost.extend(() if list(folder.glob(file.name + "*")) else [made["name"]])
                if i == 149:
                    kept.append(made["id"])
                else:
                    api.call("DELETE", f"/models/{made['id']}", 204)

    workers = [threading.Thread(target=turns, args=(n,)) for n in range(2)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not lost and len(kept) == 2 and file.read_bytes() == weights and stored(server, tenant.org) == [file.name]
    for i in kept:
        tenant.api.call("DELETE", f"/models/{i}", 204)
    assert list(folder.glob("*.*")) == []


def test_an_organizations_files_go_with_it(server):
    tenant = client.Tenant(server, "short-lived")
    made = colours(tenant.api)
    tenant.api.call("POST", f"/models/{made['id']}/activate")
    folder = pathlib.Path(server.data) / "models" / tenant.org
    assert (folder / "onnx" / "colours" / "manifest.json").exists()
    server.admin().call("DELETE", f"/organizations/{tenant.org}", 204)
    assert not folder.exists()


def test_what_a_crash_left_is_tidied(server):
    """An upload that broke off, and a file that a sweep had taken its name."""
    tenant, weights = client.Tenant(server, "crash"), gguf(128)
    upload(tenant.api, weights=weights, name="one", type="custom")
    folder, (name,) = pathlib.Path(server.data) / "models" / tenant.org, stored(server, tenant.org)
    (folder / name).rename(folder / (name + ".gone-7"))
    (folder / "upload-AbCdEf").write_bytes(b"half")
    server.restart()
    assert stored(server, tenant.org) == [name] and not (folder / "upload-AbCdEf").exists()


# --- addresses ---

def test_the_addresses_of_old(server, tenant):
    """POST /api/models/upload, GET /api/models?organization_id=, GET /api/models/{id}, POST …/activate, DELETE."""
    api, old = tenant.api, server.url.replace("/v1", "/api/models")
    made = api.post(old + "/upload", files=[("config", (None, json.dumps({"name": "old", "type": "openai", "model": "extractive"})))]).json()
    listed = api.get(old, params={"organization_id": tenant.org}).json()["data"]
    assert made["id"] in {m["id"] for m in listed}
    assert {k: v for k, v in next(m for m in listed if m["id"] == made["id"]).items() if k in made} == made
    assert api.get(old, params={"organization_id": client.new_id()}).status_code == 404
    assert api.post(f"{old}/{made['id']}/activate").json()["is_active"]
    one = api.get(f"{old}/{made['id']}").json()
    assert (one["name"], one["is_active"], one["owned_by"]) == ("old", True, "organization")
    other = client.Tenant(server, "old-addresses")
    assert other.api.get(f"{old}/{made['id']}").status_code == 404 and other.api.get(old, params={"organization_id": tenant.org}).status_code == 404
    assert tenant.workspace_client(tenant.workspace).get(f"{old}/{made['id']}").status_code == 404
    assert api.delete(f"{old}/{made['id']}").status_code == 204 and api.get(f"{old}/{made['id']}").status_code == 404
