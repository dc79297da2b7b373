"""Embedding passages: ours and sentence-transformers on the same weights, texts and number of cores."""
import glob
import gzip
import json
import os
import re
import statistics
import subprocess

from rounds import Skip

FAQ = "/usr/share/doc/debian/FAQ/debian-faq.en.txt*"
TEXTS, LONGEST = 96, 900


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


def run(command, texts, **env):
    done = subprocess.run(command, input=b"".join(t.encode() + b"\0" for t in texts), capture_output=True, env={**os.environ, **env})
    if done.returncode:
        raise Skip(f"{os.path.basename(command[0])}: {done.stderr.decode(errors='replace').strip()[-200:]}")
    return json.loads(done.stdout.splitlines()[-1])


def peer_command(cache, threads, fetch):
    """None when it is not there and should not be fetched now."""
    here = os.path.dirname(os.path.abspath(__file__))
    whole = glob.glob(os.path.join(cache, "sentence-transformers-*", ".whole"))
    if not whole and not fetch:
        return None
    done = subprocess.run([os.path.join(here, "fetch-sentence-transformers.sh"), cache], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return None
    prefix = done.stdout.strip().splitlines()[-1]
    return [os.path.join(prefix, "bin", "python"), os.path.join(here, "embed_peer.py"), os.path.join(prefix, "model"), str(threads)]


def add_int8(figure, ours, texts, cache, rounds):
    """The 8-bit model beside the float one, in turn."""
    model = os.path.join(cache, "models", "all-minilm-l6-v2-int8", "model.onnx")
    if os.path.exists(model):
        pairs = [(run(ours, texts, MODEL=model), run(ours, texts)) for _ in range(rounds)]
        figure["int8"] = statistics.median(a["texts_per_s"] for a, _ in pairs)
        figure["int8_ratio"] = round(statistics.median(a["texts_per_s"] / b["texts_per_s"] for a, b in pairs), 3)


def measure(build, cache, rounds, fetch):
    texts, cores = passages(), len(os.sched_getaffinity(0))
    ours = [os.path.join(build, "plugins", "embedder_onnx", "bench_embed"), str(cores), "1"]
    peer = peer_command(cache, cores, fetch)
    pairs = [(run(ours, texts), run(peer, texts) if peer else None) for _ in range(rounds)]
    figure = {"value": statistics.median(a["texts_per_s"] for a, _ in pairs), "unit": "texts/s", "peer": None, "ratio": None}
    add_int8(figure, ours, texts, cache, rounds)
    if not peer:
        figure["note"] = "sentence-transformers is not here: mortise bench embedding fetches it (3 GB)"
        return figure
    figure["peer"] = statistics.median(b["texts_per_s"] for _, b in pairs)
    figure["ratio"] = round(statistics.median(a["texts_per_s"] / b["texts_per_s"] for a, b in pairs), 3)
    figure["cpu_us"] = round(min(a["cpu_ms_per_text"] for a, _ in pairs) * 1000)
    figure["peer_cpu_us"] = round(min(b["cpu_ms_per_text"] for _, b in pairs) * 1000)
    figure["cpu_ratio"] = round(figure["peer_cpu_us"] / figure["cpu_us"], 3)
    return figure
