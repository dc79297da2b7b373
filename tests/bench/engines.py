"""What it costs that models run in processes of their own: the server as installed beside one whose models run inside the host, in turns. Processor time is of
the whole server."""
import glob
import http.client
import json
import statistics
import time

from embedding import passages
from llm import MODEL
from rounds import Skip, processes


class Side:
    def __init__(self, mortise, workspace):
        self.mortise = mortise
        self.headers = {**mortise.headers, "Content-Type": "application/json", "X-Workspace-Id": workspace}
        self.connection = http.client.HTTPConnection("127.0.0.1", mortise.port, timeout=120)

    def post(self, path, body, headers=None):
        self.connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), {**self.headers, **(headers or {})})
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise Skip(f"{path}: {answer.status} {data[:200]}")
        return data

    def cpu(self):
        """Processor seconds of the host and the engines, by the scheduler: their threads stay."""
        all_processes = processes()
        mine = [pid for pid, (parent, name, _) in all_processes.items() if parent == self.mortise.process.pid and name != "postgres"]
        return sum(int(open(task).read().split()[0]) for pid in mine for task in glob.glob(f"/proc/{pid}/task/*/schedstat")) / 1e9

    def measure(self, work):
        """Seconds and processor seconds of one piece: work says how many it did."""
        before, begun = self.cpu(), time.monotonic()
        pieces = work(self)
        return (time.monotonic() - begun) / pieces, (self.cpu() - before) / pieces


def compare(ours, peer, work, rounds, unit):
    pairs = []
    for side in (ours, peer):
        work(side)
    for i in range(rounds):
        first, second = (ours, peer) if i % 2 == 0 else (peer, ours)
        a, b = first.measure(work), second.measure(work)
        pairs.append((a, b) if i % 2 == 0 else (b, a))
    clock = [statistics.median(pair[side][0] for pair in pairs) * 1e6 for side in (0, 1)]
    cpu = [min(pair[side][1] for pair in pairs) * 1e6 for side in (0, 1)]
    return {"value": round(clock[0]), "unit": f"us/{unit}", "peer": round(clock[1]), "ratio": round(statistics.median(b[0] / a[0] for a, b in pairs), 3),
            "cpu_us": round(cpu[0]), "peer_cpu_us": round(cpu[1]), "cpu_ratio": round(cpu[1] / cpu[0], 3), "rounds": rounds}


def measure(ours, peer, workspace, rounds, smoke):
    texts = passages()[:8 if smoke else 32]
    document = "\n\n".join(texts).encode()
    sides = [Side(m, workspace) for m in (ours, peer)]

    def batch(side):
        side.post("/v1/embed", {"texts": texts})
        return len(texts)

    def question(side):
        times = 10 if smoke else 100
        for i in range(times):
            side.post("/v1/embed", {"texts": [f"What is package number {i}?"]})
        return times

    def answer(side):
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Tell a long story."}], "temperature": 0, "max_tokens": 8 if smoke else 64, "stream": True}
        side.post("/v1/chat/completions", body)
        return body["max_tokens"]        # temperature 0: both sides write the same

    count = iter(range(1 << 30))

    def upload(side):
        name = f"{next(count)}.txt"
        mark = name.encode() * 3
        body = (b'--x\r\ncontent-disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\ncontent-type: text/plain\r\n\r\n' + mark + b"\n\n" + document + b"\r\n--x--\r\n")
        side.post(f"/v1/workspaces/{workspace}/documents/upload?wait=true", body, {"Content-Type": "multipart/form-data; boundary=x"})
        return 1

    works = {"engine_embed": (batch, "text"), "engine_question": (question, "text"), "engine_token": (answer, "token"), "engine_upload": (upload, "file")}
    return {name: compare(*sides, work, rounds, unit) for name, (work, unit) in works.items()}
