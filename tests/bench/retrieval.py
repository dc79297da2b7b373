"""What a search costs among 100,000 chunks: rows put in below HTTP with generated texts and vectors of a seeded generator, asked over HTTP one at a time."""
import json
import random
import statistics
import struct
import subprocess
import time

from rounds import Skip, processes

CHUNKS, DOCUMENTS, WORDS, VOCABULARY, QUERIES, DIMENSIONS = 100_000, 1000, 110, 60_000, 200, 384
MODEL = "all-minilm-l6-v2"
BATCH, BLOCK = 2000, 20


def word(i):
    """A pronounceable word of its own for each number; low numbers are frequent."""
    letters, out = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t"), ""
    for _ in range(2 + (i > 3599)):
        i, a = divmod(i, 12)
        i, e = divmod(i, 5)
        out += letters[a] + "aeiou"[e]
    return out + (str(i) if i else "")


def draw(rng):
    """Zipf's law."""
    return int(VOCABULARY ** rng.random()) - 1


def psql(url, text):
    done = subprocess.run(["psql", url, "-qX", "-v", "ON_ERROR_STOP=1", "-f", "-"], input=text, capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"psql: {done.stderr.strip()[-200:]}")


def uuid(kind, n):
    return f"0190{kind:04x}-0000-7000-8000-{n:012x}"


def vector(rng):
    values = [b - 127.5 for b in rng.randbytes(DIMENSIONS)]
    norm = sum(v * v for v in values) ** 0.5
    return struct.pack(f"<{DIMENSIONS}f", *(v / norm for v in values)).hex()


def load(url, organization, workspace):
    """The rows of DOCUMENTS documents, a batch a version."""
    rng = random.Random(7)
    psql(url, f"""SET app.org_id = '{organization}';
        INSERT INTO documents.index_version (org_id, workspace_id, version, model, dimensions) VALUES ('{organization}', '{workspace}', {CHUNKS // BATCH}, '{MODEL}', {DIMENSIONS});
        INSERT INTO documents.document (org_id, workspace_id, id, sha256, file_name, content_type, bytes, status)
        SELECT '{organization}', '{workspace}', ('01900001-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench' || n, n || '.txt', 'text/plain', 1, 'indexed'
        FROM generate_series(0, {DOCUMENTS - 1}) n;""")
    for at in range(0, CHUNKS, BATCH):
        chunks, vectors = [], []
        for n in range(at, at + BATCH):
            text = " ".join(word(draw(rng)) for _ in range(WORDS))
            document = uuid(1, n % DOCUMENTS)
            chunks.append(f"{organization}\t{workspace}\t{document}\t{uuid(2, n)}\t{n}\t\t0\t{len(text)}\t{WORDS}\t{text}\ten\t{at // BATCH + 1}")
            vectors.append(f"{organization}\t{workspace}\t{document}\t{uuid(2, n)}\t{MODEL}\t\\\\x{vector(rng)}\t{at // BATCH + 1}")
        psql(url, f"SET app.org_id = '{organization}';\n"
                  "COPY documents.chunk (org_id, workspace_id, document_id, id, number, section, start_char, end_char, tokens, text, language, added) FROM stdin;\n" +
             "\n".join(chunks) + "\n\\.\n" +
             "COPY documents.vector (org_id, workspace_id, document_id, chunk_id, model, vector, added) FROM stdin;\n" + "\n".join(vectors) + "\n\\.\n")
    psql(url, "ANALYZE documents.chunk; ANALYZE documents.document;")


def compare(m, asks):
    """Blocks of requests in turn, so that a busy minute meets all. name → {p50, p95, cpu: processor milliseconds a request}."""
    took, cpu = {name: [] for name in asks}, dict.fromkeys(asks, 0.0)
    for at in range(-BLOCK, QUERIES, BLOCK):         # the first block warms up
        for name, ask in asks.items():
            before = sum(m.seconds(processes()))
            block = []
            for i in range(at, at + BLOCK):
                begin = time.perf_counter()
                ask(i)
                block.append((time.perf_counter() - begin) * 1e3)
            if at >= 0:
                took[name] += block
                cpu[name] += sum(m.seconds(processes())) - before
    return {name: {"p50": statistics.median(t), "p95": sorted(t)[len(t) * 95 // 100], "cpu": cpu[name] * 1e3 / len(t)} for name, t in took.items()}


def settle(m, workspace):
    """A search builds the indexes, and may be answered that they are not there yet; what goes on behind searches is then waited for."""
    last = ""
    for _ in range(1200):
        try:
            m.send("POST", f"/v1/workspaces/{workspace}/search", {"query": "warm up"})
            state = m.send("GET", f"/v1/workspaces/{workspace}/search-index")
            if state["ready"]:
                return
            last = json.dumps(state)
        except OSError as error:             # a time-out, or 503 and 504 while the indexes are built
            last = str(error)
        time.sleep(0.5)
    raise Skip(f"the indexes are not built in ten minutes: {last}")


def measure(m, organization, workspace):
    load(m.database_url(), organization, workspace)
    path = f"/v1/workspaces/{workspace}/search"
    settle(m, workspace)
    rng = random.Random(8)
    queries = [" ".join(word(draw(rng)) for _ in range(4)) for _ in range(QUERIES)]
    asks = {mode: lambda i, mode=mode: m.send("POST", path, {"query": queries[i], "mode": mode}) for mode in ("text", "vector", "hybrid")}
    asks["embed"] = lambda i: m.send("POST", "/v1/embed", {"texts": [queries[i]]})
    asks["rows"] = lambda i: m.send("GET", f"/v1/workspaces/{workspace}/documents/{uuid(1, i % DOCUMENTS)}/chunks?limit=10")
    found, figures = compare(m, asks), {}
    for mode, floor in (("text", "rows"), ("vector", "embed"), ("hybrid", "embed")):
        f, peer = found[mode], found[floor]
        figures[f"search_{mode}"] = {
            "value": round(f["p50"], 2), "unit": "ms", "peer": round(peer["p50"], 2), "ratio": round(f["p50"] / peer["p50"], 2), "p95": round(f["p95"], 2),
            "cpu_ms": round(f["cpu"], 2), "chunks": CHUNKS, "note": f"p95 {f['p95']:.1f} ms; processor {f['cpu']:.1f} ms, of its floor {peer['cpu']:.1f}"}
    return figures
