"""Search by words, by meaning and both: modes, settings, filters, highlights, languages; the indexes follow the rows whatever happens to their files."""
import glob
import json
import os

import pytest

import client

from server import until

EN = b"""The dpkg-reconfigure program asks the questions of a package again. It is found in /usr/sbin/dpkg-reconfigure.

The ferry to the island leaves at seven in the morning, and comes back before noon."""
BREAD = b"Rye bread is baked from a sourdough that has rested for sixteen hours. Bakers who bake it call it heavy."
HR = """Stara kuća na brdu pripada obitelji ribara. U dvorištu rastu masline i smokve.

Poslužitelji se svake noći ponovno pokreću, a poslužitelju se pristupa preko mreže."""
CLAUSES = [f"Clause {n}: the tenant pays the rent of month {n} before the fifth day, and keeps the receipt.".encode() for n in range(1, 13)]


@pytest.fixture(scope="module")
def docs(tenant):
    items = tenant.api.upload(tenant.workspace, ("manual.txt", EN), ("bread.txt", BREAD), ("kuca.txt", HR.encode()),
                              *((f"clause{n}.txt", text) for n, text in enumerate(CLAUSES)))
    assert {i["document"]["status"] for i in items} == {"indexed"}
    return {i["document"]["file_name"]: i["document"]["id"] for i in items}


def search(tenant, query, workspace=None, **body):
    return tenant.api.call("POST", f"/workspaces/{workspace or tenant.workspace}/search", json={"query": query, **body}).data


def names(tenant, query, **body):
    return [r["file_name"] for r in search(tenant, query, **body)["results"]]


def settings_path(tenant, workspace=None):
    return f"/workspaces/{workspace or tenant.workspace}/search-settings"


# --- modes and scores ---

@pytest.mark.parametrize("mode", ["text", "vector", "hybrid"])
def test_every_mode_finds_it(tenant, docs, mode):
    answer = search(tenant, "how long does the sourdough for rye bread rest", mode=mode)
    results = answer["results"]
    assert answer["mode"] == mode and results[0]["file_name"] == "bread.txt"
    scores = [r["score"] for r in results]
    assert scores == sorted(scores, reverse=True) and all(0 <= s <= 1 for s in scores)
    assert [r["number"] for r in results] == list(range(1, len(results) + 1))


def test_parts_of_a_score(tenant, docs):
    weighted = search(tenant, "rye bread", text_weight=0.25)["results"]
    for r in weighted:
        assert r["score"] == pytest.approx(0.25 * (r["text_score"] or 0) + 0.75 * max(0, r["vector_score"]), abs=1e-5)
        assert -1 <= r["vector_score"] <= 1
    assert weighted[0]["text_rank"] == 1 and weighted[0]["vector_rank"] == 1
    fused = search(tenant, "rye bread", fusion="rrf", rrf_k=10)["results"]
    for r in fused:
        ranks = [x for x in (r["text_rank"], r["vector_rank"]) if x]
        assert r["score"] == pytest.approx(sum(1 / (10 + x) for x in ranks) * 11 / 2, abs=1e-5)
    assert fused[0]["score"] == pytest.approx(1)
    words = search(tenant, "rye bread", mode="text")["results"]
    assert all(r["vector_score"] is None and r["score"] == pytest.approx(r["text_score"], abs=1e-5) and r["score"] > 0 for r in words)
    meaning = search(tenant, "rye bread", mode="vector")["results"]
    assert all(r["text_score"] is None and r["score"] == pytest.approx(max(0, r["vector_score"]), abs=1e-5) for r in meaning)


def test_scores_mean_the_same_in_each_search(tenant, docs):
    """All words found is near one, one of many is little: by words, scores are shares of the question."""
    whole = search(tenant, "rye bread sourdough", mode="text")["results"][0]["score"]
    part = search(tenant, "rye quasar neutrino galaxy", mode="text")["results"][0]["score"]
    assert whole > 0.4 > part > 0


def test_text_weight_decides(tenant, docs):
    for weight, mode in ((1, "text"), (0, "vector")):
        mixed = [r["chunk_id"] for r in search(tenant, "where do masline grow", text_weight=weight, limit=1)["results"]]
        alone = [r["chunk_id"] for r in search(tenant, "where do masline grow", mode=mode, limit=1)["results"]]
        assert mixed == alone


def test_min_score_cuts(tenant, docs):
    everything = search(tenant, "rye bread")["results"]
    least = everything[1]["score"]
    cut = search(tenant, "rye bread", min_score=least)["results"]
    assert len(cut) < len(everything) and all(r["score"] >= least for r in cut)


# --- words ---

@pytest.mark.parametrize("query", ["dpkg-reconfigure", "/usr/sbin/dpkg-reconfigure", "reconfigure", "DPKG"])
def test_identifiers_are_words(tenant, docs, query):
    assert names(tenant, query, mode="text") == ["manual.txt"]


@pytest.mark.parametrize("query", ["baking bread", "baker", "BAKES"])
def test_english_forms(tenant, docs, query):
    assert names(tenant, query, mode="text", language="en")[0] == "bread.txt"


@pytest.mark.parametrize("query", ["kuće", "kuća", "kućama", "kuci", "KUĆU", "poslužitelj", "posluziteljima", "masline", "maslina", "u kojoj kući žive ribari"])
def test_croatian_forms_and_diacritics(tenant, docs, query):
    assert names(tenant, query, mode="text")[0] == "kuca.txt"


def test_languages_side_by_side(tenant, docs):
    assert names(tenant, "ferry", mode="text") == ["manual.txt"] and names(tenant, "smokva", mode="text") == ["kuca.txt"]
    assert names(tenant, "houses", mode="text") == []


def test_stop_words_alone_still_find(tenant, docs):
    assert names(tenant, "to the", mode="text")


def test_highlight(tenant, docs):
    for query, wanted in (("rye breads", {"Rye", "bread"}), ("kućama", {"kuća"}), ("dpkg-reconfigure", {"dpkg-reconfigure"})):
        first = search(tenant, query, mode="text", highlight=True)["results"][0]
        part = first["highlight"]
        assert first["text"][part["start"]:part["end"]] == part["text"]
        assert {part["text"][a:b] for a, b in part["marks"]} == wanted
    assert "highlight" not in search(tenant, "rye", mode="text")["results"][0]


def test_highlight_counts_code_points(tenant):
    text = ("Žuta šuma čuva ćuk. " * 30 + "Ovdje leži zakopano blago gusara. " + "Žuta šuma čuva ćuk. " * 30).encode()
    document = tenant.api.upload(tenant.workspace, ("blago.txt", text))[0]["document"]["id"]
    found = [r for r in search(tenant, "blago", mode="text", highlight=True)["results"] if r["document_id"] == document]
    part = found[0]["highlight"]
    assert found[0]["text"][part["start"]:part["end"]] == part["text"] and len(part["text"]) <= 240
    assert [part["text"][a:b] for a, b in part["marks"]] == ["blago"]
    tenant.api.call("DELETE", f"/workspaces/{tenant.workspace}/documents/{document}", 204)


# --- which and how many ---

def test_pages_join_to_the_whole(tenant, docs):
    for mode in ("text", "vector", "hybrid"):
        whole = [r["chunk_id"] for r in search(tenant, "the tenant pays the rent", mode=mode, limit=9)["results"]]
        parts = [r["chunk_id"] for offset in (0, 3, 6) for r in search(tenant, "the tenant pays the rent", mode=mode, limit=3, offset=offset)["results"]]
        assert parts == whole and len(set(whole)) == 9
    assert search(tenant, "rent", offset=100)["results"] == []


def test_collapse(tenant, docs):
    """A document of several passages comes once, with the best of them."""
    lens = "\n\n".join(f"The lighthouse keeper trims lamp {n}, winds the clockwork of its lens and writes the hour into book {n} of the lighthouse. " * 4 for n in range(1, 9))
    (item,) = tenant.api.upload(tenant.workspace, ("lamps.txt", lens.encode()))
    assert item["document"]["chunk_count"] > 2
    try:
        every = search(tenant, "lighthouse keeper clockwork lens", limit=20)["results"]
        assert len([r for r in every if r["file_name"] == "lamps.txt"]) > 2
        once = search(tenant, "lighthouse keeper clockwork lens", limit=20, collapse="document")["results"]
        files = [r["file_name"] for r in once]
        assert sorted(files) == sorted({r["file_name"] for r in every} | set(files)) and files.count("lamps.txt") == 1
        assert once[0]["chunk_id"] == every[0]["chunk_id"] and once[0]["file_name"] == "lamps.txt"
    finally:
        tenant.api.call("DELETE", f"/workspaces/{tenant.workspace}/documents/{item['document']['id']}", 204)



@pytest.mark.parametrize("mode", ["text", "vector", "hybrid"])
def test_filters_hold_in_every_mode(tenant, docs, mode):
    wanted = [docs["clause3.txt"], docs["clause7.txt"]]
    found = search(tenant, "rent of the month", mode=mode, filter={"document_ids": wanted})["results"]
    assert {r["document_id"] for r in found} == set(wanted)
    assert set(names(tenant, "rent of the month", mode=mode, filter={"file_name": "clause5.txt"})) == {"clause5.txt"}
    assert search(tenant, "rent", mode=mode, filter={"file_name": "clause5.txt", "document_ids": wanted})["results"] == []


@pytest.mark.parametrize("mode", ["text", "vector", "hybrid"])
def test_a_filter_keeps_much_or_little(tenant, docs, mode):
    """Few candidates, many passages. One that keeps all changes nothing; one that keeps a single passage finds it, though by its rank no index would name it."""
    workspace = tenant.new_workspace(f"filtered-{mode}")
    upload = lambda name, text, kind: tenant.api.call("POST", f"/workspaces/{workspace}/documents/upload", (200, 202), params={"wait": "true"},
                                                      files=[("file", (name, text.encode()))], data={"metadata": json.dumps({"kind": kind, "all": 1})})
    for n in range(40):
        upload(f"{n}.txt", f"The rent of the month is due, rent and rent again, says clause {n}.", "lease")
    upload("rare.txt", "Granite quarries near the river, with a single word on rent at the very end of a long text about stone, dust and hammers.", "rare")
    ask = lambda **body: [(r["file_name"], r["score"]) for r in search(tenant, "rent of the month", workspace=workspace, mode=mode, candidates=5, limit=5, **body)["results"]]
    assert len(ask()) == 5 and ask(filter={"metadata": {"all": 1}}) == ask()
    assert "rare.txt" not in [name for name, _ in ask()]
    assert [name for name, _ in ask(filter={"metadata": {"kind": "rare"}})] == ["rare.txt"]
    assert ask(filter={"metadata": {"kind": "none"}}) == []


def test_metadata_filter(tenant, docs, server):
    for n, metadata in ((1, '{"year": 2020, "kind": "lease", "tags": ["a", "b"]}'), (2, '{"year": 2022, "kind": "lease"}'), (3, '{"year": "2022", "kind": "note"}')):
        server.database().run(f"UPDATE documents.document SET metadata = '{metadata}' WHERE id = '{docs[f'clause{n}.txt']}'")
    for condition, numbers in (({"kind": "lease"}, {1, 2}), ({"kind": {"in": ["note", "lease"]}}, {1, 2, 3}), ({"year": {"gte": 2021}}, {2}),
                               ({"year": {"lte": 2021, "gte": 2020}}, {1}), ({"tags": "b"}, {1}), ({"kind": "lease", "year": 2022}, {2}),
                               ({"nothing": 1}, set()), ({"year": {"in": []}}, set())):
        assert set(names(tenant, "rent", filter={"metadata": condition})) == {f"clause{n}.txt" for n in numbers}, condition


@pytest.mark.parametrize("body", [{"mode": "graph"}, {"text_weight": 1.5}, {"limit": 0}, {"offset": 101}, {"candidates": 201}, {"fusion": "sum"},
                                  {"filter": {"metadata": {"a": {"between": 1}}}}, {"filter": {"zebra": 1}}, {"min_score": -1}])
def test_refused(tenant, docs, body):
    answer = tenant.api.call("POST", f"/workspaces/{tenant.workspace}/search", 422, json={"query": "x", **body})
    assert answer.data["code"]


def test_language_is_told_and_filters(tenant, docs):
    for name, language in (("bread.txt", "en"), ("kuca.txt", "hr")):
        assert tenant.api.call("GET", f"/workspaces/{tenant.workspace}/documents/{docs[name]}").data["language"] == language
    assert set(names(tenant, "bread", filter={"language": "hr"}, limit=50)) == {"kuca.txt"}
    assert {r["language"] for r in search(tenant, "bread", filter={"language": "en"}, limit=50)["results"]} == {"en"}


# --- settings ---

def test_settings_hold_until_a_request_says_otherwise(tenant):
    workspace = tenant.new_workspace("settings")
    tenant.api.upload(workspace, ("bread.txt", BREAD))
    path = settings_path(tenant, workspace)
    before = tenant.api.call("GET", path).data
    assert before["mode"] == "hybrid" and before["text_weight"] == 0.3
    after = tenant.api.call("PUT", path, json={"mode": "text", "min_score": 0.01}).data
    assert after == {**before, "mode": "text", "min_score": 0.01} == tenant.api.call("GET", path).data
    ask = lambda **body: tenant.api.call("POST", f"/workspaces/{workspace}/search", json={"query": "rye", **body}).data
    assert ask()["mode"] == "text" and ask()["results"][0]["vector_score"] is None
    assert ask(mode="vector")["mode"] == "vector"
    assert tenant.api.call("PUT", path, json={}).data == before and ask()["mode"] == "hybrid"
    tenant.api.call("PUT", path, 422, json={"mode": "best"})


def test_settings_are_the_workspaces_own(tenant):
    other = tenant.new_workspace("other-settings")
    tenant.api.call("PUT", settings_path(tenant, other), json={"mode": "vector"})
    assert tenant.api.call("GET", settings_path(tenant)).data["mode"] == "hybrid"


def test_settings_hold_in_an_empty_workspace(tenant):
    empty = tenant.new_workspace("empty-" + client.new_id()[:8])
    search = lambda **more: tenant.api.call("POST", f"/workspaces/{empty}/search", json={"query": "rye", **more}).data
    assert (search()["mode"], search()["fusion"]) == ("hybrid", "weighted")
    tenant.api.call("PUT", f"/workspaces/{empty}/search-settings", json={"mode": "text", "fusion": "rrf"})
    assert search() == {"mode": "text", "fusion": "rrf", "results": []} and search(mode="vector")["mode"] == "vector"


def test_a_reranker_that_is_not_there_is_told(tenant, docs):
    answer = search(tenant, "rye bread", rerank="no-such-model")
    assert answer["reranked"] is False and "no such reranker" in answer["rerank_note"] and answer["results"][0]["file_name"] == "bread.txt"
    assert answer["results"][0]["rerank_score"] is None
    assert "reranked" not in search(tenant, "rye bread")


# --- the index follows the rows ---

def test_how_far_the_indexes_are(tenant, docs, server):
    state = lambda workspace: tenant.api.call("GET", f"/workspaces/{workspace}/search-index").data
    assert state(tenant.new_workspace("no-documents")) == {"ready": True, "indexes": []}
    search(tenant, "rent")
    now = state(tenant.workspace)
    words, vectors = now["indexes"]
    assert now["ready"] and (words["kind"], words["behind"], words["ready"]) == ("words", 0, True)
    assert (vectors["kind"], vectors["model"], vectors["behind"], vectors["ready"]) == ("vectors", "all-minilm-l6-v2", 0, True)
    chunks = server.database().run(f"SELECT count(*) FROM documents.vector WHERE workspace_id = '{tenant.workspace}'")
    assert vectors["passages"] == vectors["unlinked"] == int(chunks)      # so few are looked at one by one for good
    server.database().run(f"UPDATE documents.index_version SET version = version + 2 WHERE workspace_id = '{tenant.workspace}'")
    behind = state(tenant.workspace)
    assert not behind["ready"] and [(i["behind"], i["ready"]) for i in behind["indexes"]] == [(2, False)] * 2
    search(tenant, "rent")
    assert state(tenant.workspace) == now


def text_files(server):
    return [p for p in glob.glob(f"{server.data}/indexes/**/*.txt", recursive=True)]


def test_deleted_is_not_found(tenant):
    document = tenant.api.upload(tenant.workspace, ("gone.txt", b"The xylophone is lent to a school."))[0]["document"]["id"]
    assert names(tenant, "xylophone", mode="text") == ["gone.txt"]
    tenant.api.call("DELETE", f"/workspaces/{tenant.workspace}/documents/{document}", 204)
    assert names(tenant, "xylophone", mode="text") == []


@pytest.mark.parametrize("harm", ["removed", "cut", "damaged", "garbage"])
def test_a_lost_or_damaged_file_is_built_anew(tenant, docs, server, harm):
    before = names(tenant, "rent", mode="text", limit=20)
    assert len(before) == len(CLAUSES) and text_files(server)
    server.stop()
    for path in text_files(server):
        data = bytearray(open(path, "rb").read())
        if harm == "removed":
            os.unlink(path)
            continue
        if harm == "cut":
            data = data[:len(data) * 2 // 3]
        if harm == "damaged":
            for at in range(0, len(data), 97):
                data[at] ^= 0x41
        if harm == "garbage":
            data = bytearray(os.urandom(5000))
        open(path, "wb").write(data)
    server.start()
    assert sorted(names(tenant, "rent", mode="text", limit=20)) == sorted(before)


def test_kill_while_documents_come(tenant, docs, server):
    """What was acknowledged is found by its words after kill -9, once."""
    for n in range(6):
        tenant.api.upload(tenant.workspace, (f"kill{n}.txt", f"The zebra number{n} crosses the road.".encode()))
    killed = server.kill_host()
    until("another host is ready", lambda: server.host_pid() != killed and server.ready())
    assert sorted(names(tenant, "zebra", mode="text", limit=50)) == [f"kill{n}.txt" for n in range(6)]

