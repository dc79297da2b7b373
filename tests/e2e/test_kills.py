"""kill -9 of the host, of PostgreSQL and of a file's reader at named steps of ingesting and of saving an index, and at random: every index equals the rows."""
import random
import threading
import time

import pytest

import client
import index_files
import server as servers
from client import Tenant
from harness import FAILED
from server import until

BIG = 2600                                   # chunks: two such documents are enough rows for a graph, and one that is read anew for a new file
KILL_AT = servers.BUILD / "test-support/kill_at.so"


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    return tmp_path_factory.mktemp("orders") / "kill"


@pytest.fixture(scope="module")
def server(request, orders):
    made = servers.Server(name="test_kills", plugins=[servers.plugin_folder("bag")], enable=["bag"], env={"LD_PRELOAD": str(KILL_AT), "KILL_AT": str(orders)}).start()
    with made.admin() as admin:
        admin.call("PUT", "/plugins/documents/config", json={"chunk_tokens": 32, "keep_versions": 32})
    yield made
    made.dispose(failed=request.module.__name__ in FAILED)


class Shelf:
    """A workspace's documents as they were acknowledged, and what may be done to them while the server is being killed."""

    def __init__(self, server, slug):
        self.server, self.tenant = server, Tenant(server, slug)
        self.api, self.workspace = self.tenant.api, self.tenant.workspace
        self.base = f"/workspaces/{self.workspace}"
        self.names, self.gone, self.rng, self.n = {}, set(), random.Random(7), 0
        self.set_model("bag-32")

    def text(self, chunks):
        """A paragraph a chunk, none like another."""
        self.n += 1
        words = lambda: " ".join("".join(self.rng.choices("abcdefghij", k=4)) for _ in range(22))
        return f"doc{self.n}", "\n\n".join(f"In doc{self.n} part {i}: {words()}." for i in range(chunks)).encode()

    def attempt(self, action):
        """None when the server went away in the middle of it, or is not back yet."""
        try:
            return action()
        except (client.TransportError, AssertionError):
            return None

    def insist(self, *words, **options):
        """Again until it is answered: the connections of a host that was killed are broken."""
        return until(f"{words} is answered", lambda: self.attempt(lambda: self.api.call(*words, **options)))

    def upload(self, chunks=3, wait=False):
        name, text = self.text(chunks)
        answer = self.insist("POST", self.base + "/documents/upload", (200, 202), files=[("file", (name + ".txt", text))], params={"wait": "true"} if wait else {})
        self.names[id := answer.data["items"][0]["document"]["id"]] = name
        return id

    def reindex(self, id):
        self.insist("POST", f"{self.base}/documents/{id}/reindex", (202, 404))

    def delete(self, id):
        self.gone.add(id)
        self.insist("DELETE", f"{self.base}/documents/{id}", (204, 404))

    def set_model(self, model):
        self.insist("PUT", self.base + "/embedding", (200, 202), json={"model": model})

    def find(self, query="part", **options):
        return [r["chunk_id"] for r in self.api.search(self.workspace, query, **options)]

    def settled(self):
        listed = self.attempt(lambda: self.api.pages(self.base + "/documents", limit=200))
        return listed if listed and all(d["status"] in ("indexed", "failed") for d in listed) else None

    def rows(self):
        """One look: version, the workspace's model, its chunks, the chunks that have a vector of the model, those that have one of another."""
        version, model, *ids = self.server.database().rows(f"""
            SELECT version, model, (SELECT string_agg(id::text, ' ') FROM documents.chunk c WHERE c.workspace_id = v.workspace_id),
                   (SELECT string_agg(chunk_id::text, ' ') FROM documents.vector x WHERE x.workspace_id = v.workspace_id AND x.model = v.model),
                   (SELECT string_agg(chunk_id::text, ' ') FROM documents.vector x WHERE x.workspace_id = v.workspace_id AND x.model <> v.model)
            FROM documents.index_version v WHERE workspace_id = '{self.workspace}'""")[0]
        return (int(version), model, *(set(text.split()) for text in ids))

    def equal(self):
        """The rows and both files, when they are of one version: then they must be the same. None when the rows moved on meanwhile."""
        if self.attempt(self.find) is None:  # a search takes the indexes to the rows' version
            return None
        folder = self.server.data / "indexes" / self.tenant.org
        try:
            version, model, chunks, vectors, _ = self.rows()
            texts = index_files.read_texts(folder / f"{self.workspace}.txt")
            nearest = index_files.read_vectors(folder / f"{self.workspace}.{model}.idx")
        except (FileNotFoundError, servers.database.DatabaseError):
            return None
        if (texts[0], nearest[0]) != (version, version):
            return None
        assert texts[1] == chunks, f"the index of words: {len(texts[1] - chunks)} too many, {len(chunks - texts[1])} missing"
        assert vectors == chunks, "each chunk has a vector"
        assert nearest[1] == vectors, f"the vectors: {len(nearest[1] - vectors)} too many, {len(vectors - nearest[1])} missing"
        return nearest, texts


def kill(server, who):
    pid_of = server.host_pid if who == "host" else server.postgres_pid
    pid = server.kill_host() if who == "host" else server.kill_postgres()
    until("it serves again", lambda: pid_of() not in (0, pid) and server.ready())


def give(orders, steps, action, push=lambda: None):
    """Carries the action out with orders given. A step that is never reached fails. push: what makes the next host go on."""
    orders.with_suffix(".new").write_text("\n".join(steps))
    orders.with_suffix(".new").rename(orders)
    action()
    until(f"it came to the last of {steps}", lambda: not orders.exists() or push())


def strike(server, shelf, orders, action, *steps):
    """The host dies of the action at the first step, and at each of the others of taking up what was broken off. In the end every index is the rows."""
    give(orders, steps, action, push=lambda: shelf.attempt(shelf.find) and None)
    until("the indexes are at the rows' version", shelf.equal)


# The trigger of every tenant table waits where it is told to; a trigger of its own would keep the plugin from starting.
HELD = """
    CREATE SCHEMA held;
    GRANT USAGE ON SCHEMA held TO PUBLIC;
    CREATE TABLE held.point (name text PRIMARY KEY);
    CREATE FUNCTION held.wait(place text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      WHILE EXISTS (SELECT FROM held.point WHERE name = place) LOOP PERFORM pg_sleep(0.02); END LOOP;
    END $$;
    DO $$ BEGIN
      EXECUTE replace(pg_get_functiondef('mt.on_change'::regproc), 'IF TG_OP <> ''INSERT'' THEN old_row',
        $x$PERFORM held.wait(concat_ws(' ', TG_OP, TG_TABLE_NAME, to_jsonb(NEW) ->> 'status')); IF TG_OP <> 'INSERT' THEN old_row$x$);
    END $$;"""


def hold_and_kill(server, shelf, point, who, action):
    """Kills the host or PostgreSQL while a transaction stands at a point of its work."""
    database = server.database()
    database.run(f"INSERT INTO held.point VALUES ('{point}')")
    doing = threading.Thread(target=action)
    doing.start()
    until(f"a transaction stands at {point}", lambda: database.count("pg_stat_activity", "wait_event = 'PgSleep'"))
    kill(server, who)
    database.run("DELETE FROM held.point")
    doing.join()
    until("the indexes are at the rows' version", shelf.equal)


def hurt_at_random(server, shelf, seconds):
    """Small changes, and kills between and in the middle of them."""
    rng, end, kills = shelf.rng, time.monotonic() + seconds, 0
    while time.monotonic() < end:
        kept = sorted(set(shelf.names) - shelf.gone)  # the two big ones come first
        shelf.upload()
        shelf.reindex(rng.choice(kept[2:]))
        if len(kept) > 8 and rng.random() < 0.5:
            shelf.delete(rng.choice(kept[2:]))
        shelf.attempt(shelf.find)
        time.sleep(rng.random() * 0.2)
        kill(server, "host" if rng.random() < 0.7 else "postgres")
        kills += 1
    return kills


def test_every_index_equals_the_rows_after_kills(server, orders):
    """Ingest, re-indexing, deletion and changes of the model, killed at named steps and at random: nothing acknowledged is lost, each index is the rows after
    every kill, and no file had to be made anew. What was killed is taken up when its lease has passed, so all of it is waited for together."""
    shelf, *changing = [Shelf(server, f"kills-{n}") for n in range(3)]
    big = [shelf.upload(BIG, wait=True) for _ in range(2)]
    small = [shelf.upload(wait=True) for _ in range(6)]
    until("the files hold it all", shelf.equal)
    server.database().run(HELD)
    for one, point in zip(changing, ("INSERT vector", "DELETE vector")):
        one.upload(12, wait=True)
        hold_and_kill(server, one, point, "host", lambda: one.set_model("bag-48"))
    hold_and_kill(server, shelf, "INSERT chunk", "host", lambda: shelf.reindex(small[0]))
    hold_and_kill(server, shelf, "INSERT chunk", "postgres", lambda: shelf.reindex(small[1]))
    hold_and_kill(server, shelf, "UPDATE document indexed", "host", lambda: shelf.reindex(small[2]))
    hold_and_kill(server, shelf, "UPDATE document indexed", "postgres", lambda: shelf.reindex(small[3]))
    hold_and_kill(server, shelf, "INSERT removed", "host", lambda: shelf.delete(small[4]))
    give(orders, ["posix_spawn after mortise-extract 1"], shelf.upload)
    strike(server, shelf, orders, shelf.upload, "rename before /blobs/ 1")
    strike(server, shelf, orders, shelf.upload, "rename after /blobs/ 1")
    kills = hurt_at_random(server, shelf, 4)
    kept = {d["id"]: d for d in until("all is settled", shelf.settled)}
    print(f"{kills} kills at random; {len(kept)} documents of {len(shelf.names)} acknowledged, {len(shelf.gone)} deleted")
    assert set(kept) == set(shelf.names) - shelf.gone and {d["status"] for d in kept.values()} == {"indexed"}
    words, vectors = f"{shelf.workspace}.txt", f"{shelf.workspace}.bag-32.idx"
    last, again = sorted(set(kept) - set(big))[:2]
    for file in (words, vectors):            # few rows, so that no save hides what the log is like
        strike(server, shelf, orders, lambda: shelf.reindex(again), f"pwrite half {file} 1")
    strike(server, shelf, orders, lambda: shelf.reindex(big[0]), f"pwrite half {words} 4", f"pwrite half {words}.*.new 2", f"rename before {words} 1",
           f"rename after {words} 1")
    strike(server, shelf, orders, lambda: shelf.reindex(big[1]), f"pwrite half {vectors} 4", f"fsync before {vectors}.*.new 1", f"rename before {vectors} 1",
           f"rename after {vectors} 1")

    shelf.delete(last)
    shelf.reindex(again)
    until("it is read anew", lambda: shelf.settled() and shelf.equal())
    (_, _, graph), (_, _, base) = shelf.equal()
    assert graph and base >= BIG, "there are enough rows for a graph, and the words were saved"
    for one in changing:
        until("the old model's vectors are gone", lambda: one.rows()[1] == "bag-48" and not one.rows()[4])
        until("the index of the new model is the rows", one.equal)
        assert len(one.rows()[2]) == 12
    assert not server.events("index.rebuild"), "nothing was torn"
    for id, name in shelf.names.items():
        there = {id} - shelf.gone
        for mode in ("text", "vector"):
            seen = {r["document_id"] for r in shelf.api.search(shelf.workspace, name, mode=mode, limit=100, filter={"document_ids": [id]})}
            assert seen == there, f"{name}: {mode}"
