"""From a file to an answer: upload, status, search, chat, delete, each checked against the text itself and the rows."""
import concurrent.futures
import hashlib

import pytest

LIGHTHOUSE = b"""# Fastnet

The Fastnet lighthouse stands on a rock four miles from Cape Clear. It was first lit on the evening of 27 June 1904.

## Keepers

The last keepers left the Fastnet lighthouse in 1989, when the light was automated.

## Caf\xc3\xa9

Na\xc3\xafve visitors \xe2\x80\x94 there is no caf\xc3\xa9 \xf0\x9f\x97\xbc on the rock, only a landing stage of granite.
"""
BREAD = b"""Rye bread is baked from a sourdough that has rested for sixteen hours.

The oven is heated to 250 degrees before the loaf goes in, and turned down to 200 after ten minutes.
"""
BEES = b"""<!doctype html><html><head><title>Bees in winter</title><script>var hidden = "treasure map";</script></head><body>
<nav>Home</nav><h1>Bees</h1><p>Honey bees form a cluster in winter and shiver to keep their queen warm.</p>
<h2>Food</h2><p>A colony eats about fifteen kilograms of honey between October and April.</p></body></html>"""


@pytest.fixture(scope="module")
def docs(tenant):
    items = tenant.api.upload(tenant.workspace, ("fastnet.md", LIGHTHOUSE), ("bread.txt", BREAD), ("bees.html", BEES))
    assert [item["document"]["status"] for item in items] == ["indexed"] * 3, items
    return {item["document"]["file_name"]: item["document"] for item in items}


def base(tenant):
    return f"/workspaces/{tenant.workspace}/documents"


def chunks(tenant, document):
    return tenant.api.pages(f"{base(tenant)}/{document['id']}/chunks", limit=200)


def text_of(tenant, document, **params):
    return tenant.api.call("GET", f"{base(tenant)}/{document['id']}/text", params=params).data


def test_upload_many_at_once(tenant, docs):
    assert set(docs) == {"fastnet.md", "bread.txt", "bees.html"}
    for document in docs.values():
        assert document["chunk_count"] > 0 and document["reason"] is None


def test_get_and_list(tenant, docs):
    listed = tenant.api.call("GET", base(tenant)).data["items"]
    assert [d["id"] for d in listed] == sorted((d["id"] for d in docs.values()), reverse=True)
    one = tenant.api.call("GET", f"{base(tenant)}/{docs['bread.txt']['id']}").data
    assert one["sha256"] == hashlib.sha256(BREAD).hexdigest() and one["bytes"] == len(BREAD) and one["status"] == "indexed"
    assert tenant.api.call("GET", f"{base(tenant)}/{docs['bees.html']['id']}").data["title"] == "Bees in winter"


def test_pages_of_a_list(tenant, docs):
    assert [d["id"] for d in tenant.api.pages(base(tenant), limit=2)] == sorted((d["id"] for d in docs.values()), reverse=True)


@pytest.mark.parametrize("name", ["fastnet.md", "bread.txt", "bees.html"])
def test_every_range_is_its_chunk(tenant, docs, name):
    whole = text_of(tenant, docs[name])
    assert whole["characters"] == len(whole["text"])
    found = chunks(tenant, docs[name])
    assert len(found) == docs[name]["chunk_count"]
    for chunk in found:
        assert whole["text"][chunk["start_char"]:chunk["end_char"]] == chunk["text"]
        part = text_of(tenant, docs[name], start=chunk["start_char"], end=chunk["end_char"])
        assert part["text"] == chunk["text"]
        assert 0 < chunk["tokens"] <= 254


def test_sections_are_kept(tenant, docs):
    assert {c["section"] for c in chunks(tenant, docs["fastnet.md"])} >= {"Fastnet > Keepers"}
    assert any("Food" in c["section"] for c in chunks(tenant, docs["bees.html"]))


def test_html_is_read_as_text(tenant, docs):
    text = text_of(tenant, docs["bees.html"])["text"]
    assert "treasure map" not in text and "<p>" not in text and "shiver to keep their queen warm" in text


def test_long_document_never_exceeds_the_window(tenant):
    words = " ".join(f"Sentence {n} speaks of antidisestablishmentarianism and hydrochlorofluorocarbons once more." for n in range(400))
    document = tenant.api.upload(tenant.workspace, ("long.txt", words.encode()))[0]["document"]
    assert document["status"] == "indexed" and document["chunk_count"] > 20
    whole = text_of(tenant, document)["text"]
    for chunk in chunks(tenant, document):
        assert chunk["tokens"] <= 254 and whole[chunk["start_char"]:chunk["end_char"]] == chunk["text"]
    tenant.api.call("DELETE", f"{base(tenant)}/{document['id']}", 204)


def test_same_content_is_one_document(tenant, docs):
    again = tenant.api.upload(tenant.workspace, ("another name.md", LIGHTHOUSE))[0]
    assert again["duplicate"] and again["document"]["id"] == docs["fastnet.md"]["id"]
    twins = tenant.api.upload(tenant.workspace, ("x.txt", b"Twins are born on one day."), ("y.txt", b"Twins are born on one day."))
    assert twins[0]["document"]["id"] == twins[1]["document"]["id"] and twins[1]["duplicate"]
    tenant.api.call("DELETE", f"{base(tenant)}/{twins[0]['document']['id']}", 204)


def test_same_content_at_the_same_time_is_one_document(tenant, server):
    def put(n):
        return tenant.api.upload(tenant.workspace, (f"race{n}.txt", b"Eight uploads race for one row; the photo finish is green."))[0]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        items = list(pool.map(put, range(8)))
    assert len({item["document"]["id"] for item in items}) == 1
    assert sum(not item["duplicate"] for item in items) == 1
    assert {item["document"]["status"] for item in items} == {"indexed"}
    document = items[0]["document"]["id"]
    assert server.database().count("documents.chunk", f"document_id = '{document}'") == 1
    tenant.api.call("DELETE", f"{base(tenant)}/{document}", 204)


def test_failures_have_a_reason(tenant):
    api, workspace = tenant.api, tenant.workspace
    binary = api.upload(workspace, ("noise.txt", bytes(range(256)) * 40))[0]["document"]
    assert binary["status"] == "failed" and binary["reason"], binary
    blank = api.upload(workspace, ("blank.txt", b" \n\n\t \n"))[0]["document"]
    assert blank["status"] == "failed" and "no text" in blank["reason"], blank
    for document in (binary, blank):
        read = api.call("GET", f"{base(tenant)}/{document['id']}").data
        assert (read["status"], read["reason"]) == (document["status"], document["reason"])
        api.call("DELETE", f"{base(tenant)}/{document['id']}", 204)


@pytest.mark.parametrize("file, status, code", [
    (("empty.txt", b""), 422, "file_empty"),
    (("picture.png", b"\x89PNG", "image/png"), 415, "file_type_unsupported"),
    (("program.exe", b"MZ", "application/octet-stream"), 415, "file_type_unsupported"),
])
def test_refused_files(tenant, file, status, code):
    answer = tenant.api.call("POST", f"{base(tenant)}/upload", status, files=[("file", file)])
    assert answer.data["code"] == code and answer.data["pointer"] == "/file/0"


def test_one_bad_file_keeps_all_out(tenant, docs):
    before = len(tenant.api.pages(base(tenant), limit=200))
    tenant.api.call("POST", f"{base(tenant)}/upload", 415, files=[("file", ("fine.txt", b"A fine text.")), ("file", ("bad.zip", b"PK"))])
    assert len(tenant.api.pages(base(tenant), limit=200)) == before


def test_names_are_only_names(tenant):
    document = tenant.api.upload(tenant.workspace, ("../../etc/evil name.txt", b"A path is no name."))[0]["document"]
    assert document["file_name"] == "evil name.txt"
    tenant.api.call("DELETE", f"{base(tenant)}/{document['id']}", 204)


def test_upload_without_waiting(tenant):
    answer = tenant.api.call("POST", f"{base(tenant)}/upload", 202, files=[("file", ("later.txt", b"This is indexed a little later."))])
    document = answer.data["items"][0]["document"]
    assert document["status"] in ("queued", "indexing")
    from server import until
    until("it is indexed", lambda: tenant.api.call("GET", f"{base(tenant)}/{document['id']}").data["status"] == "indexed")
    tenant.api.call("DELETE", f"{base(tenant)}/{document['id']}", 204)


# --- search ---

def test_search_finds_the_passage(tenant, docs):
    results = tenant.api.search(tenant.workspace, "When did the lighthouse keepers leave?")
    first = results[0]
    assert first["file_name"] == "fastnet.md" and first["document_id"] == docs["fastnet.md"]["id"] and "1989" in first["text"]
    assert first["section"] == "Fastnet > Keepers" and first["page"] is None
    assert text_of(tenant, docs["fastnet.md"])["text"][first["start_char"]:first["end_char"]] == first["text"]
    scores = [r["score"] for r in results]
    assert scores == sorted(scores, reverse=True) and all(-1.0001 <= s <= 1.0001 for s in scores)
    assert [r["number"] for r in results] == list(range(1, len(results) + 1))
    assert tenant.api.search(tenant.workspace, "how hot is the oven")[0]["file_name"] == "bread.txt"
    assert tenant.api.search(tenant.workspace, "what do bees eat in winter")[0]["file_name"] == "bees.html"


def test_search_limit(tenant, docs):
    assert len(tenant.api.search(tenant.workspace, "bread", limit=1)) == 1


def test_search_filters(tenant, docs):
    by_name = tenant.api.search(tenant.workspace, "lighthouse keepers", filter={"file_name": "bread.txt"})
    assert by_name and {r["file_name"] for r in by_name} == {"bread.txt"}
    by_id = tenant.api.search(tenant.workspace, "lighthouse keepers", filter={"document_ids": [docs["bees.html"]["id"]]})
    assert by_id and {r["document_id"] for r in by_id} == {docs["bees.html"]["id"]}
    both = tenant.api.search(tenant.workspace, "x", filter={"document_ids": [docs["bees.html"]["id"]], "file_name": "bread.txt"})
    assert both == []
    assert tenant.api.search(tenant.workspace, "x", filter={"file_name": "nothing.txt"}) == []


def test_search_in_an_empty_workspace(tenant):
    empty = tenant.new_workspace("empty")
    assert tenant.api.search(empty, "anything") == []
    answer = tenant.api.chat(empty, "Is anything here?")
    assert answer["finish"] == "nothing_found" and answer["sources"] == [] and answer["confidence"] == 0


# --- chat ---

def cited(answer):
    return [s for s in answer["sources"] if s["cited"]]


def holds_quote(tenant, answer):
    """Each cited passage is in its document, and the answer's sentence of it is in the passage."""
    assert cited(answer), answer
    for source in cited(answer):
        text = tenant.api.call("GET", f"{base(tenant)}/{source['document_id']}/text").data["text"]
        assert text[source["start_char"]:source["end_char"]] == source["text"]
    for piece in answer["answer"].split("] "):
        quote, _, number = piece.rstrip("]").rpartition(" [")
        source = next(s for s in answer["sources"] if s["number"] == int(number))
        assert " ".join(quote.split()) in " ".join(source["text"].split()), (quote, source["text"])


def test_chat_quotes_its_source(tenant, docs):
    answer = tenant.api.chat(tenant.workspace, "In which year did the last keepers leave the Fastnet lighthouse?")
    assert "1989" in answer["answer"] and answer["finish"] == "stop" and 0.3 < answer["confidence"] <= 1
    holds_quote(tenant, answer)


def test_chat_stream_is_the_same(tenant, docs):
    question = "How much honey does a colony eat in winter?"
    whole, events = tenant.api.chat(tenant.workspace, question), tenant.api.chat_stream(tenant.workspace, question)
    names = [name for name, _ in events]
    assert names[0] == "sources" and names[-1] == "done" and set(names[1:-1]) == {"token", "citation"} and len(names) > 3
    done = events[-1][1]
    assert "".join(data["text"] for name, data in events if name == "token") == done["answer"] == whole["answer"]
    assert [s["chunk_id"] for s in events[0][1]["sources"]] == [s["chunk_id"] for s in done["sources"]]
    holds_quote(tenant, done)


def test_query_without_a_session(tenant, docs):
    sessions = len(tenant.api.pages(f"/workspaces/{tenant.workspace}/sessions", limit=200))
    answer = tenant.api.call("POST", "/query", json={"query": "How hot is the oven for rye bread?", "workspace_id": tenant.workspace}).data
    assert "250" in answer["answer"] and answer["query_id"]
    holds_quote(tenant, answer)
    assert len(tenant.api.pages(f"/workspaces/{tenant.workspace}/sessions", limit=200)) == sessions


def test_nothing_found_says_so(tenant, docs):
    answer = tenant.api.chat(tenant.workspace, "Who won the chess championship of Iceland in 1931?")
    assert answer["finish"] == "nothing_found" and not cited(answer) and answer["confidence"] == 0
    assert "nothing" in answer["answer"]
    events = tenant.api.chat_stream(tenant.workspace, "Who won the chess championship of Iceland in 1931?")
    assert events[-1][0] == "done" and events[-1][1]["finish"] == "nothing_found"


def test_session_history(tenant, docs):
    api, sessions = tenant.api, f"/workspaces/{tenant.workspace}/sessions"
    first = api.chat(tenant.workspace, "When was the Fastnet light first lit?")
    second = api.chat(tenant.workspace, "And when was it automated?", session_id=first["session_id"])
    assert second["session_id"] == first["session_id"] and second["message_id"] != first["message_id"]
    messages = api.pages(f"{sessions}/{first['session_id']}/messages", limit=3)
    assert [m["role"] for m in messages] == ["assistant", "user"] * 2
    assert messages[0]["id"] == second["message_id"] and messages[2]["content"] == first["answer"]
    assert messages[3]["content"] == "When was the Fastnet light first lit?"
    assert [s["chunk_id"] for s in messages[2]["sources"]] == [s["chunk_id"] for s in first["sources"]]
    assert api.call("GET", f"{sessions}/{first['session_id']}").data["title"] == "When was the Fastnet light first lit?"
    api.call("DELETE", f"{sessions}/{first['session_id']}", 204)
    api.call("GET", f"{sessions}/{first['session_id']}", 404)
    assert api.call("GET", f"{sessions}/{first['session_id']}/messages").data["items"] == []
    api.call("POST", f"/workspaces/{tenant.workspace}/chat", 404, json={"query": "x", "session_id": first["session_id"]})


# --- delete ---

def test_delete_removes_rows_chunks_and_vectors(tenant, server, docs):
    api, database = tenant.api, server.database()
    text = b"The zeppelin hangar of Tondern burned down on 19 July 1918 after an attack by Sopwith Camels."
    document = api.upload(tenant.workspace, ("hangar.txt", text))[0]["document"]
    question = "When did the zeppelin hangar burn?"
    assert api.search(tenant.workspace, question)[0]["document_id"] == document["id"]
    assert database.count("documents.vector", f"document_id = '{document['id']}' AND length(vector) = 384 * 4") == document["chunk_count"]
    api.call("DELETE", f"{base(tenant)}/{document['id']}", 204)
    assert database.count("documents.document", f"id = '{document['id']}'") == 0
    assert database.count("documents.chunk", f"document_id = '{document['id']}'") == 0
    assert all(r["document_id"] != document["id"] for r in api.search(tenant.workspace, question, limit=100))
    for path in ("", "/text"):
        api.call("GET", f"{base(tenant)}/{document['id']}{path}", 404)
    api.call("DELETE", f"{base(tenant)}/{document['id']}", 404)
    again = api.upload(tenant.workspace, ("hangar.txt", text))[0]
    assert not again["duplicate"] and again["document"]["status"] == "indexed"
    assert api.search(tenant.workspace, question)[0]["document_id"] == again["document"]["id"]
    api.call("DELETE", f"{base(tenant)}/{again['document']['id']}", 204)


def test_all_is_there_after_a_restart(tenant, server, docs):
    before = tenant.api.search(tenant.workspace, "When did the lighthouse keepers leave?")
    server.restart()
    after = tenant.api.search(tenant.workspace, "When did the lighthouse keepers leave?")
    assert [(r["chunk_id"], r["text"]) for r in after] == [(r["chunk_id"], r["text"]) for r in before]
