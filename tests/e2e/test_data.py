"""What moves a document's rows: collections, metadata, reading anew, another model, events, deletion, fairness, the command that ingests a folder."""
import json
import os
import pathlib

import pytest

import client
import server as servers
from client import Tenant
from harness import FAILED
from server import until


@pytest.fixture(scope="module")
def server(request):
    made = servers.Server(name="test_data", plugins=[servers.plugin_folder("bag")], enable=["bag"]).start()
    with made.admin() as admin:
        admin.call("PUT", "/plugins/documents/config", json={"sweep_after_ms": 1000, "keep_versions": 32})
    yield made
    made.dispose(failed=request.module.__name__ in FAILED)


@pytest.fixture()
def tenant(server):
    return Tenant(server, "data-" + client.new_id()[:8])


def paragraphs(n, about, word="plain"):
    return "\n\n".join(f"Part {i} of {about}: a {word} text of the river {i * 7} and its many mills, " + "with words that fill the part, " * 20 for i in range(n)).encode()


def base(tenant, workspace=None):
    return f"/workspaces/{workspace or tenant.workspace}"


def document_of(tenant, id):
    return tenant.api.call("GET", f"{base(tenant)}/documents/{id}").data


def settled(tenant):
    listed = tenant.api.pages(f"{base(tenant)}/documents", limit=200)
    return listed if all(d["status"] in ("indexed", "failed") for d in listed) else None


def found(tenant, mode="vector", limit=100):
    return {r["chunk_id"] for r in tenant.api.search(tenant.workspace, "river mills text part", limit=limit, mode=mode)}


def vectors(server, tenant):
    """model -> the chunk ids that have a vector of it."""
    out = {}
    for model, chunk in server.database().rows(f"SELECT model, chunk_id FROM documents.vector WHERE workspace_id = '{tenant.workspace}'"):
        out.setdefault(model, set()).add(chunk)
    return out


def chunk_ids(server, tenant):
    return {row[0] for row in server.database().rows(f"SELECT id FROM documents.chunk WHERE workspace_id = '{tenant.workspace}'")}


def set_model(tenant, model, status=202):
    return tenant.api.call("PUT", f"{base(tenant)}/embedding", status, json={"model": model}).data


def embedding(tenant):
    return tenant.api.call("GET", f"{base(tenant)}/embedding").data


def model_is(tenant, model):
    now = embedding(tenant)
    return now["model"] == model and not now["next_model"]


# --- collections and metadata ---

def test_upload_into_a_collection_with_metadata(tenant):
    api, w = tenant.api, base(tenant)
    shelf = api.call("POST", w + "/collections", 201, json={"name": "shelf", "description": "The north one"}).data
    assert shelf["model"] is None
    api.call("POST", w + "/collections", 409, json={"name": "shelf"})
    made = api.call("POST", w + "/documents/upload", 200, params={"wait": "true"}, files=[("file", ("a.txt", b"Apples keep best in the cold."))],
                    data={"collection_id": shelf["id"], "metadata": json.dumps({"year": 1843, "by": {"name": "Ada"}})}).data
    document = made["items"][0]["document"]
    assert document["collection_id"] == shelf["id"] and document["metadata"] == {"year": 1843, "by": {"name": "Ada"}}
    assert made["job_id"] == document["id"] and made["status"] == "indexed"
    other = api.upload(tenant.workspace, ("b.txt", b"Pears do not keep at all."))[0]["document"]
    assert other["collection_id"] is None and other["metadata"] == {}
    listed = lambda **params: [d["id"] for d in api.pages(w + "/documents", **params)]
    assert listed(collection_id=shelf["id"]) == [document["id"]] and listed(status="indexed") == [other["id"], document["id"]] and listed(status="failed") == []
    assert api.call("GET", f"{w}/collections/{shelf['id']}").data["documents"] == 1
    for wrong in ("[1]", "x", '"text"'):
        api.call("POST", w + "/documents/upload", 422, files=[("file", ("c.txt", b"Plums."))], data={"metadata": wrong})
    big = api.call("POST", w + "/documents/upload", 422, files=[("file", ("c.txt", b"Plums."))], data={"metadata": json.dumps({"x": "y" * 17000})}).data
    assert big["code"] == "metadata_too_large"
    assert api.call("POST", w + "/documents/upload", 422, files=[("file", ("c.txt", b"Plums."))], data={"zebra": "1"}).data["code"]


def test_upload_where_the_workspace_is_a_field(tenant):
    for sent in ({"data": {"workspace_id": tenant.workspace}}, {"params": {"workspace_id": tenant.workspace}}):
        answer = tenant.api.call("POST", "/documents/upload", (200, 202), files=[("file", ("field.txt", b"A field names the workspace."))], **sent).data
        assert answer["items"][0]["document"]["workspace_id"] == tenant.workspace and answer["job_id"]
    tenant.api.call("POST", "/documents/upload", 422, files=[("file", ("field.txt", b"Nobody names it."))])


def test_patch_a_document(tenant):
    document = tenant.api.upload(tenant.workspace, ("old.txt", b"The name may change."))[0]["document"]
    path = f"{base(tenant)}/documents/{document['id']}"
    changed = tenant.api.call("PATCH", path, json={"file_name": "new.txt", "metadata": {"a": [1, 2]}}).data
    assert (changed["file_name"], changed["metadata"], changed["status"]) == ("new.txt", {"a": [1, 2]}, "indexed")
    tenant.api.call("PATCH", path, 422, json={"collection_id": client.new_id()})
    tenant.api.call("PATCH", path, 412, json={"file_name": "x.txt"}, headers={"if-match": '"999"'})


def test_a_collection_of_another_model(server, tenant):
    api, w = tenant.api, base(tenant)
    api.call("POST", w + "/collections", 422, json={"name": "none", "model": "no-such-model"})
    set_model(tenant, "bag-32", 200)
    bound = api.call("POST", w + "/collections", 201, json={"name": "bound", "model": "bag-48"}).data
    document = api.upload(tenant.workspace, ("a.txt", paragraphs(3, "moving")))[0]["document"]
    before = chunk_ids(server, tenant)
    assert vectors(server, tenant) == {"bag-32": before} and found(tenant) == before
    api.call("PATCH", f"{w}/documents/{document['id']}", json={"collection_id": bound["id"]})
    until("it is of the collection's model", lambda: set(vectors(server, tenant)) == {"bag-48"})
    until("it is indexed", lambda: settled(tenant))
    after = chunk_ids(server, tenant)
    assert vectors(server, tenant) == {"bag-48": after} and found(tenant) == after and not after & before
    api.call("DELETE", f"{w}/collections/{bound['id']}", 204)
    until("it is of the workspace's model again", lambda: set(vectors(server, tenant)) == {"bag-32"})
    until("it is indexed", lambda: settled(tenant))
    assert document_of(tenant, document["id"])["collection_id"] is None and found(tenant) == chunk_ids(server, tenant)


def test_a_collection_goes_with_its_documents(server, tenant):
    shelf = tenant.api.call("POST", base(tenant) + "/collections", 201, json={"name": "doomed"}).data
    tenant.api.call("POST", base(tenant) + "/documents/upload", 200, params={"wait": "true"}, files=[("file", ("a.txt", b"Doomed."))], data={"collection_id": shelf["id"]})
    tenant.api.upload(tenant.workspace, ("b.txt", b"It stays."))
    tenant.api.call("DELETE", f"{base(tenant)}/collections/{shelf['id']}", 204, params={"documents": "delete"})
    assert [d["file_name"] for d in tenant.api.pages(base(tenant) + "/documents")] == ["b.txt"]
    assert found(tenant) == chunk_ids(server, tenant)


# --- anew ---

def test_reindex_keeps_answering(server, tenant):
    set_model(tenant, "bag-32", 200)
    document = tenant.api.upload(tenant.workspace, ("a.txt", paragraphs(6, "anew", "slow")))[0]["document"]
    before = chunk_ids(server, tenant)
    answer = tenant.api.call("POST", f"{base(tenant)}/documents/{document['id']}/reindex", 202).data
    assert answer["status"] in ("queued", "indexing")
    while not settled(tenant):
        assert len(found(tenant)) == len(before)
    after = chunk_ids(server, tenant)
    assert len(after) == len(before) and not after & before and found(tenant) == after


def test_reindex_of_a_workspace(server, tenant):
    set_model(tenant, "bag-32", 200)
    tenant.api.upload(tenant.workspace, *[(f"{n}.txt", paragraphs(2, f"file {n}")) for n in range(20)])
    before = chunk_ids(server, tenant)
    tenant.api.call("POST", f"{base(tenant)}/reindex", 202)
    until("all chunks are others", lambda: not chunk_ids(server, tenant) & before)
    until("all is indexed", lambda: settled(tenant))
    assert len(chunk_ids(server, tenant)) == len(before) and found(tenant) == chunk_ids(server, tenant)


# --- another model ---

def test_a_workspace_changes_its_model(server, tenant):
    assert embedding(tenant)["next_model"] is None
    tenant.api.call("PUT", f"{base(tenant)}/embedding", 422, json={"model": "no-such-model"})
    set_model(tenant, "bag-32", 200)
    tenant.api.upload(tenant.workspace, *[(f"{n}.txt", paragraphs(8, f"file {n}", "slow")) for n in range(4)])
    before = chunk_ids(server, tenant)
    assert found(tenant) == before
    assert set_model(tenant, "bag-48")["next_model"] == "bag-48"
    tenant.api.upload(tenant.workspace, ("late.txt", paragraphs(4, "what came meanwhile")))
    assert set_model(tenant, "bag-48")["next_model"] == "bag-48", "asking again does no harm"
    while not model_is(tenant, "bag-48"):
        assert found(tenant) >= before
    all_chunks = chunk_ids(server, tenant)
    assert len(all_chunks) > len(before) and found(tenant) == all_chunks
    until("the old vectors are gone", lambda: vectors(server, tenant) == {"bag-48": all_chunks})
    set_model(tenant, "bag-32")
    until("back again", lambda: model_is(tenant, "bag-32"))
    until("and clean", lambda: vectors(server, tenant) == {"bag-32": all_chunks})
    assert found(tenant) == all_chunks


def test_a_change_is_cancelled(server, tenant):
    set_model(tenant, "bag-32", 200)
    tenant.api.upload(tenant.workspace, *[(f"{n}.txt", paragraphs(20, f"file {n}", "slow")) for n in range(4)])
    set_model(tenant, "bag-48")
    until("some are embedded", lambda: embedding(tenant).get("progress", {}).get("done"))
    assert set_model(tenant, "bag-32", 200)["next_model"] is None
    until("nothing of it is left", lambda: server.database().count("mt.job", f"workspace_id = '{tenant.workspace}' AND state IN ('ready', 'running')") == 0
          and set(vectors(server, tenant)) == {"bag-32"})
    assert found(tenant) == chunk_ids(server, tenant) and model_is(tenant, "bag-32")


# --- events ---

def test_events_tell_what_happens(tenant):
    set_model(tenant, "bag-32", 200)
    since = tenant.api.upload(tenant.workspace, ("first.txt", b"The first."))[0]["document"]["updated_at"]
    tenant.api.upload(tenant.workspace, ("a.txt", paragraphs(30, "events", "slow")), ("noise.txt", bytes(range(256)) * 8), wait=False)
    with tenant.api.stream("GET", f"{base(tenant)}/documents/events", params={"since": since}) as answer:
        told = list(client.events(answer.iter_lines()))
    assert told[-1][0] == "end" and {name for name, _ in told} <= {"document", "heartbeat", "end"}
    by_name = {}
    for name, data in told:
        if name == "document":
            by_name.setdefault(data["file_name"], []).append(data)
    assert by_name["a.txt"][-1]["status"] == "indexed" and by_name["noise.txt"][-1]["status"] == "failed" and by_name["noise.txt"][-1]["reason"]
    last = by_name["a.txt"][-1]
    assert last["done"] == last["total"] > 0 and any(d["status"] == "indexing" for d in by_name["a.txt"])
    assert len({(d["id"], d["updated_at"]) for _, d in told if d}) == sum(bool(d) for _, d in told), "nothing is told twice"


# --- deletion ---

def files_under(folder):
    """The files below a folder while others remove some of them: os.walk passes over what has just gone."""
    return [pathlib.Path(at, name) for at, _, names in os.walk(folder) for name in names]


def blobs(server, tenant):
    return [p for p in files_under(server.data / "blobs") if tenant.org in str(p)]


def test_a_deleted_workspace_leaves_nothing(server, tenant):
    doomed = tenant.new_workspace("doomed")
    shared, own = b"Both workspaces have this text.", b"Only one workspace has this text."
    tenant.api.upload(tenant.workspace, ("shared.txt", shared))
    tenant.api.upload(doomed, ("shared.txt", shared), ("own.txt", own))
    assert tenant.api.search(doomed, "text")
    files = lambda: [p for p in files_under(server.data) if doomed in str(p)]
    assert len(blobs(server, tenant)) == 2
    tenant.api.call("DELETE", base(tenant, doomed), 204)
    until("its own blob is gone", lambda: len(blobs(server, tenant)) == 1)
    assert [p.read_bytes() for p in blobs(server, tenant)] == [shared]
    until("its index files are gone", lambda: not files())
    until("no note is left", lambda: server.database().count("documents.blob_gone", f"org_id = '{tenant.org}'") == 0)
    for table in ("documents.removed", "documents.vector", "documents.index_version"):
        assert server.database().count(table, f"workspace_id = '{doomed}'") == 0
    assert tenant.api.search(tenant.workspace, "text")


def test_a_deleted_organization_leaves_no_blob(server):
    tenant = Tenant(server, "gone-" + client.new_id()[:8])
    tenant.api.upload(tenant.workspace, ("a.txt", b"It goes with its organization."))
    assert len(blobs(server, tenant)) == 1
    with server.admin() as admin:
        admin.call("DELETE", f"/organizations/{tenant.org}", 204)
    until("its blob is gone", lambda: not blobs(server, tenant))
    until("no note is left", lambda: server.database().count("documents.blob_gone", f"org_id = '{tenant.org}'") == 0)


def test_old_removals_are_pruned(server, tenant):
    set_model(tenant, "bag-32", 200)
    kept = tenant.api.upload(tenant.workspace, ("kept.txt", b"A text of the river that is kept."))[0]["document"]["id"]
    for n in range(50):
        gone = tenant.api.upload(tenant.workspace, (f"{n}.txt", f"A text of the river that goes, number {n}.".encode()))[0]["document"]["id"]
        tenant.api.call("DELETE", f"{base(tenant)}/documents/{gone}", 204)
    row = lambda: server.database().rows(f"SELECT version, floor FROM documents.index_version WHERE workspace_id = '{tenant.workspace}'")[0]
    until("the floor rose", lambda: int(row()[1]) > 30)
    assert server.database().count("documents.removed", f"workspace_id = '{tenant.workspace}' AND version <= {row()[1]}") == 0
    assert server.database().count("documents.removed", f"workspace_id = '{tenant.workspace}'") > 0
    assert document_of(tenant, kept)["status"] == "indexed" and found(tenant) == chunk_ids(server, tenant)


# --- fairness ---

def test_one_organization_does_not_wait_for_another(server):
    many, few = Tenant(server, "many-" + client.new_id()[:8]), Tenant(server, "few-" + client.new_id()[:8])
    for t in (many, few):
        set_model(t, "bag-32", 200)
    for batch in range(4):
        many.api.upload(many.workspace, *[(f"{n}.txt", paragraphs(3, f"batch {batch} file {n}", "slow")) for n in range(50)], wait=False)
    id = few.api.upload(few.workspace, ("one.txt", paragraphs(3, "the one", "slow")), wait=False)[0]["document"]["id"]
    before = server.database().count("documents.document", f"org_id = '{many.org}' AND status = 'indexed'")
    until("the one is indexed", lambda: document_of(few, id)["status"] == "indexed")
    at = server.database().rows(f"SELECT indexed_at FROM documents.document WHERE id = '{id}'")[0][0]
    first = server.database().count("documents.document", f"org_id = '{many.org}' AND indexed_at < '{at}'")
    assert first - before <= 8, f"{first - before} of the other's 200 documents were indexed before it"
    with server.admin() as admin:
        admin.call("DELETE", f"/organizations/{many.org}", 204)


# --- the command ---

def test_ingest_command(server, tenant, tmp_path):
    set_model(tenant, "bag-32", 200)
    (tmp_path / "sub").mkdir()
    for n in range(9):
        (tmp_path / "sub" / f"{n}.md").write_bytes(paragraphs(2, f"file {n}"))
    (tmp_path / "noise.txt").write_bytes(bytes(range(256)) * 8)
    (tmp_path / ".hidden.txt").write_text("x")
    (tmp_path / "picture.png").write_bytes(b"x")
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "link.txt").symlink_to(tmp_path / "noise.txt")
    shelf = tenant.api.call("POST", base(tenant) + "/collections", 201, json={"name": "shelf"}).data["id"]
    command = ("ingest", "--workspace-id", tenant.workspace, "--directory", str(tmp_path), "--collection", shelf)
    dry = server.cli(*command, "--dry-run", "--json", check=False)
    assert dry.returncode == 0 and {f["status"] for f in json.loads(dry.stdout)["files"]} == {"found"} and not tenant.api.pages(base(tenant) + "/documents")
    first = server.cli(*command, check=False)
    assert first.returncode == 1 and "failed   noise.txt: " in first.stdout
    for skipped in (".hidden.txt (hidden)", "picture.png (its ending", "empty.txt (empty)", "link.txt (a link)"):
        assert f"skipped  {skipped}" in first.stdout, first.stdout
    assert "9 indexed, 0 known before, 1 failed, 4 skipped" in first.stdout
    listed = tenant.api.pages(base(tenant) + "/documents", limit=100, collection_id=shelf)
    assert len(listed) == 10 and found(tenant) == chunk_ids(server, tenant)
    again = server.cli(*command, "--include", "*.md", "--exclude", "sub/8.md", "--json", check=False)
    report = json.loads(again.stdout)
    assert again.returncode == 0 and (report["indexed"], report["known"], report["failed"]) == (0, 8, 0)
    assert server.cli("ingest", "--directory", str(tmp_path), check=False).returncode == 2
    wrong = server.cli("ingest", "--workspace-id", client.new_id(), "--directory", str(tmp_path), check=False)
    assert wrong.returncode == 1 and "There is no workspace" in wrong.stderr
    assert server.cli("ingest", "--workspace-id", tenant.workspace, "--directory", str(tmp_path / "none"), check=False).returncode == 1
