"""Nearest neighbours: index_local beside usearch, hnswlib and FAISS called bare, on the same vectors, one thread, one query a call."""
import json
import os
import shutil
import subprocess
import tempfile

from rounds import Skip

DIM, QUERIES, ENGINES = 384, 500, ("usearch", "hnswlib", "faiss")
HERE = os.path.dirname(os.path.abspath(__file__))


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"{os.path.basename(str(command[0]))}: {done.stderr.strip()[-200:]}")
    return done.stdout


def peers(cache, fetch):
    """The program of the bare engines; None when it is not there and should not be fetched now."""
    if fetch:
        folder = run(os.path.join(HERE, "fetch-ann-peers.sh"), cache).splitlines()[-1]
        return os.path.join(folder, "ann_peers")
    return None


def make_vectors(bench, folder, rows):
    names = [os.path.join(folder, f"{n}-{rows}") for n in ("vectors", "queries", "truth", "few")]
    if not all(map(os.path.exists, names)):
        run(os.path.join(bench, "ann_vectors"), rows, DIM, min(QUERIES, rows // 10), folder)
    return names


def figures(ours, theirs):
    """Rates and memory beside the best of the bare engines (which is named); memory beside the least."""
    fastest = max(theirs, key=lambda f: f["qps"], default=None)
    smallest = min(theirs, key=lambda f: f["memory_mib"], default=None)

    def figure(value, unit, peer=None, **more):
        return {"value": value, "unit": unit, "peer": peer, "ratio": round(value / peer, 3) if peer else None, **more}

    return {"ann_search": figure(ours["qps"], "queries/s", fastest and fastest["qps"], recall=ours["recall"], engines=theirs,
                                 note=f"recall {ours['recall']:.3f}" + (f", {fastest['engine']} {fastest['recall']:.3f}" if fastest else "")),
            "ann_filter_recall": figure(ours["filter_recall"], "of 1", queries_per_s=ours["filter_qps"]),
            "ann_memory": figure(ours["memory_mib"], "MiB", smallest and smallest["memory_mib"]),
            "ann_open": figure(round(ours["open_s"] * 1000, 1), "ms", fastest and round(fastest["open_s"] * 1000, 1)),
            "ann_add": figure(round(ours["rows"] / ours["add_s"]), "rows/s"),
            "ann_link": figure(round(ours["rows"] / ours["link_s"]) if ours["link_s"] > 0.01 else 0, "rows/s"),
            "ann_remove": figure(ours["remove_per_s"], "rows/s")}


def measure(build, cache, bench, b):
    """The vectors and the peers' graphs stay in /tmp: they take minutes to build. Ours is built each time."""
    kept = f"/tmp/mortise-ann-{os.getuid()}"
    program = peers(cache, "ann" in b.fetch and not b.smoke)
    os.makedirs(kept, mode=0o700, exist_ok=True)
    files = make_vectors(bench, kept, b.rows)
    with tempfile.TemporaryDirectory(prefix="mortise-ann-", dir="/tmp") as own:
        ours = json.loads(run(os.path.join(build, "plugins", "index_local", "bench_ann"), *files, b.rows, DIM, own))
        theirs = [json.loads(run(program, e, *files, b.rows, DIM, kept)) for e in ENGINES] if program else []
    if not program:
        shutil.rmtree(kept, ignore_errors=True)
    return figures(ours, theirs)
