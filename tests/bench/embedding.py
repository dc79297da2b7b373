"""Embedding passages: ours and sentence-transformers on the same weights, texts and number of cores."""
import glob
import gzip
import json
import os
import re
import select
import statistics
import subprocess
import tempfile

from rounds import Skip

HERE = os.path.dirname(os.path.abspath(__file__))
FAQ = "/usr/share/doc/debian/FAQ/debian-faq.en.txt*"
TEXTS, LONGEST, LIMIT = 96, 900, 300


def passages():
    """Paragraphs of the Debian FAQ, joined up to the length of a usual chunk."""
    found = glob.glob(FAQ) or glob.glob("/usr/share/doc/debian-faq/**/debian-faq.en.txt*", recursive=True)
    if not found:
        raise Skip("the package debian-faq is not installed")
    with (gzip.open if found[0].endswith(".gz") else open)(found[0], "rt", encoding="utf-8") as f:
        paragraphs = [re.sub(r"\s+", " ", p).strip() for p in f.read().split("\n\n")]
    texts, text = [], ""
    for p in filter(None, paragraphs):
        if text and len(text) + len(p) > LONGEST:
            texts.append(text)
            text = ""
        text = f"{text} {p}"[:LONGEST].strip()
    return texts[:TEXTS]


def packed(texts):
    return b"".join(t.encode() + b"\0" for t in texts)


def ended(command, status, words):
    return Skip(f"{os.path.basename(command[0])} ended with status {status}: {words.decode(errors='replace').strip()[-200:]}")


def run(command, texts, **env):
    done = subprocess.run(command, input=packed(texts), capture_output=True, env={**os.environ, **env})
    if done.returncode:
        raise ended(command, done.returncode, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


class Peer:
    """sentence-transformers in a process that stays: to load it takes longer than to measure it. Its threads sleep while they wait, so that processor time is
    work on both sides."""

    def __init__(self, prefix, texts, threads):
        self.files = [tempfile.NamedTemporaryFile(prefix="mortise-embed-") for _ in range(2)]
        self.files[0].write(packed(texts))
        self.files[0].flush()
        self.command = [os.path.join(prefix, "bin", "python"), os.path.join(HERE, "embed_peer.py"), os.path.join(prefix, "model"), str(threads), self.files[0].name]
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.files[1], env=env, text=True)

    def line(self):
        """Its next line, within LIMIT seconds."""
        if not select.select([self.process.stdout], [], [], LIMIT)[0]:
            raise Skip(f"sentence-transformers did not answer in {LIMIT} seconds")
        line = self.process.stdout.readline()
        if not line:
            with open(self.files[1].name, "rb") as f:
                raise ended(self.command, self.process.wait(), f.read())
        return line

    def measure(self):
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        return json.loads(self.line())

    def stop(self):
        self.process.kill()
        self.process.wait()
        for f in self.files:
            f.close()


def peer_prefix(cache, fetch):
    """None when it is not there and should not be fetched now."""
    if not glob.glob(os.path.join(cache, "sentence-transformers-*", ".whole")) and not fetch:
        return None
    done = subprocess.run([os.path.join(HERE, "fetch-sentence-transformers.sh"), cache], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Skip("sentence-transformers could not be fetched; the words above say why")
    return done.stdout.strip().splitlines()[-1]


def ratio(a, b, key):
    return round(statistics.median(x[key] / y[key] for x, y in zip(a, b)), 3)


def in_turns(ours, texts, int8, prefix, threads, rounds):
    """The rounds of ours, of the 8-bit model and of the peer; of those that are there."""
    found = {"ours": [], "int8": [], "peer": []}
    peer = Peer(prefix, texts, threads) if prefix else None
    try:
        if peer:
            peer.line()
        for _ in range(rounds):
            found["ours"].append(run(ours, texts))
            if peer:
                found["peer"].append(peer.measure())
            if int8:
                found["int8"].append(run(ours, texts, MODEL=int8))
    finally:
        if peer:
            peer.stop()
    return found


def measure(build, cache, rounds, fetch):
    texts, cores = passages(), len(os.sched_getaffinity(0))
    command = [os.path.join(build, "plugins", "embedder_onnx", "bench_embed"), str(cores), "1"]
    int8 = os.path.join(cache, "models", "all-minilm-l6-v2-int8", "model.onnx")
    prefix = peer_prefix(cache, fetch)
    found = in_turns(command, texts, int8 if os.path.exists(int8) else None, prefix, cores, rounds)
    rate = {name: statistics.median(r["texts_per_s"] for r in runs) for name, runs in found.items() if runs}
    figure = {"value": rate["ours"], "unit": "texts/s", "peer": rate.get("peer"), "ratio": None,
              "cpu_us": round(min(r["cpu_ms_per_text"] for r in found["ours"]) * 1000), "texts": len(texts)}
    if found["int8"]:
        figure |= {"int8": rate["int8"], "int8_ratio": ratio(found["int8"], found["ours"], "texts_per_s")}
    if not prefix:
        return figure | {"note": "sentence-transformers is not here: mortise bench embedding fetches it (3 GB)"}
    peer_cpu = round(min(r["cpu_ms_per_text"] for r in found["peer"]) * 1000)
    return figure | {"ratio": ratio(found["ours"], found["peer"], "texts_per_s"), "peer_cpu_us": peer_cpu, "cpu_ratio": round(peer_cpu / figure["cpu_us"], 3)}
