"""How good the answers are: the Cranfield collection through a real server's upload and search, nDCG@10 with binary gains."""
import math
import os
import re
import time
import urllib.request
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

from rounds import Skip

MODES = {"text": {"mode": "text"}, "vector": {"mode": "vector"}, "hybrid": {}, "hybrid_rrf": {"fusion": "rrf"}}
BATCH, DEPTH = 20, 10


def records(path):
    """The .I records as dictionaries of their other marks."""
    with open(path, encoding="latin-1") as f:
        for record in re.split(r"^\.I ", f.read(), flags=re.M)[1:]:
            number, *parts = re.split(r"^\.([TABW])\s*$", record, flags=re.M)
            yield int(number), {parts[i]: " ".join(parts[i + 1].split()) for i in range(0, len(parts) - 1, 2)}


def collection(folder):
    paths = [os.path.join(folder, name) for name in ("cran.all.1400", "cran.qry", "cranqrel")]
    for path in paths:
        if not os.path.exists(path):
            raise Skip(f"{path} is not there")
    documents = {n: (r.get("T", ""), r.get("W", "")) for n, r in records(paths[0])}
    queries = [r["W"] for _, r in records(paths[1])]
    relevant = {}
    with open(paths[2]) as f:
        for line in f:
            query, document, grade = line.split()[:3]
            if int(grade) > 0:
                relevant.setdefault(int(query), set()).add(int(document))
    return documents, queries, relevant


def upload(m, workspace, files):
    mark = uuid.uuid4().hex
    body = b"".join(f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/plain\r\n\r\n'.encode() +
                    text.encode() + b"\r\n" for name, text in files) + f"--{mark}--\r\n".encode()
    request = urllib.request.Request(f"http://127.0.0.1:{m.port}/v1/workspaces/{workspace}/documents/upload?wait=true", body,
                                     {**m.headers, "Content-Type": f"multipart/form-data; boundary={mark}"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.loads(answer.read())["items"]


def wait_indexed(m, workspace, count):
    """All documents are indexed or failed; how many failed."""
    for _ in range(3000):
        cursor, states = "", []
        while cursor is not None:
            page = m.send("GET", f"/v1/workspaces/{workspace}/documents?limit=200" + (f"&cursor={cursor}" if cursor else ""))
            states += [d["status"] for d in page["items"]]
            cursor = page["next_cursor"]
        if len(states) >= count and not {"queued", "indexing"} & set(states):
            return states.count("failed")
        time.sleep(0.2)
    raise Skip("the documents are not indexed in time")


def ndcg(ranked, relevant):
    ideal = sum(1 / math.log2(i + 2) for i in range(min(DEPTH, len(relevant))))
    return sum(1 / math.log2(i + 2) for i, d in enumerate(ranked[:DEPTH]) if d in relevant) / ideal


def load(m, workspace, documents):
    files = [(f"{n}.txt", f"{title}\n\n{text}") for n, (title, text) in documents.items() if title or text]
    for at in range(0, len(files), BATCH):
        upload(m, workspace, files[at:at + BATCH])
    return wait_indexed(m, workspace, len({text for _, text in files}))


def judge(m, workspace, queries, relevant, body):
    def one(i):
        answer = m.send("POST", f"/v1/workspaces/{workspace}/search", {"query": queries[i - 1], "limit": DEPTH, "collapse": "document", **body})
        return ndcg([int(r["file_name"].removesuffix(".txt")) for r in answer["results"]], relevant[i])
    with ThreadPoolExecutor(2) as pool:
        gains = list(pool.map(one, sorted(relevant)))
    return sum(gains) / len(gains)


def measure(m, workspace, modes=MODES):
    folder = os.environ.get("MORTISE_CRANFIELD")
    if not folder:
        raise Skip("MORTISE_CRANFIELD names no folder with the Cranfield collection")
    documents, queries, relevant = collection(folder)
    failed = load(m, workspace, documents)
    found = {name: round(judge(m, workspace, queries, relevant, body), 4) for name, body in modes.items()}
    alone = max(found["text"], found["vector"])
    peers = {"text": 0.36, "vector": None, "hybrid": alone, "hybrid_rrf": alone}
    return {f"quality_{name}": {"value": value, "unit": "nDCG@10", "peer": peers[name], "ratio": round(value / peers[name], 3) if peers[name] else None,
                                "queries": len(relevant), "failed_documents": failed, "note": f"{value:.4f}"} for name, value in found.items()}
