"""An organization's own models: uploaded, checked, switched on and off, deleted with their file."""
import hashlib
import http.client
import json
import pathlib
import struct
import threading

import pytest

import client


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


def upload(api, status=201, weights=None, **config):
    files = [("config", (None, json.dumps(config)))]
    if weights is not None:
        files.append(("model_file", ("weights.gguf", weights)))
    return api.call("POST", "/models/upload", status, files=files).data


def stored(server, org):
    return sorted(p.name for p in (pathlib.Path(server.data) / "models" / org).glob("*"))


def test_a_name_of_its_own_answers_while_it_is_on(tenant):
    api = tenant.api
    made = upload(api, name="our-helper", type="openai", model="extractive", version="7")
    assert (made["is_active"], made["version"], made["format"]) == (False, "7", "none")
    agent = api.call("POST", f"/workspaces/{tenant.workspace}/agents", 201, json={"name": "a", "slug": "a", "model_name": "our-helper"}).data["id"]
    ask = lambda status: api.call("POST", f"/workspaces/{tenant.workspace}/chat", status, json={"query": "Who wrote the first program?", "agent_id": agent}).data
    assert ask(404)["code"] == "model_unknown"
    assert api.call("POST", f"/model-registry/{made['id']}/activate").data["is_active"]
    assert "1843" in ask(200)["answer"]
    other = client.Tenant(tenant.server, "registry-other")
    other.api.call("POST", f"/model-registry/{made['id']}/activate", 404)
    assert other.api.pages("/model-registry") == []
    api.call("POST", f"/model-registry/{made['id']}/deactivate")
    ask(404)


def test_a_file_is_stored_once_and_freed_with_its_last_use(server, tenant):
    api, weights = tenant.api, gguf()
    name = hashlib.sha256(weights).hexdigest() + ".gguf"
    first = upload(api, weights=weights, name="one", type="custom")
    assert (first["format"], first["bytes"], first["sha256"]) == ("gguf", len(weights), name[:64])
    second = upload(api, weights=weights, name="two", type="custom")
    assert stored(server, tenant.org) == [name]
    assert upload(api, 409, weights=weights, name="two", type="custom")["code"] == "model_name_taken"
    api.call("DELETE", f"/model-registry/{first['id']}", 204)
    assert stored(server, tenant.org) == [name]
    api.call("DELETE", f"/model-registry/{second['id']}", 204)
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
    tenant.api.call("DELETE", f"/model-registry/{made['id']}", 204)


def test_over_the_limit(server, tenant):
    """Refused by its length, before it is sent whole."""

    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    link.putrequest("POST", "/v1/models/upload")
    for name, value in (("authorization", f"Bearer {tenant.key}"), ("content-type", "multipart/form-data; boundary=b"), ("content-length", str(502 << 20))):
        link.putheader(name, value)
    link.endheaders()
    assert link.getresponse().status == 413
