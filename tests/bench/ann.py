"""Nearest neighbours: index_local beside usearch, hnswlib and FAISS called bare, on the same vectors, one thread, one query a call, in turns. Each gets the
least effort that reaches the recall (ann_effort.h)."""
import json
import os
import shutil
import statistics
import subprocess
import tempfile

from rounds import Skip

DIM, QUERIES, ENGINES = 384, 1000, ("usearch", "hnswlib", "faiss")
BUILD_LIMIT = 3600                       # seconds for one peer, its graph included: 1,000,000 rows take minutes on every processor
HERE = os.path.dirname(os.path.abspath(__file__))


def run(*command, limit=None):
    name = os.path.basename(str(command[0]))
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise Skip(f"{name} {command[1]} took more than {limit} seconds") from None
    if done.returncode:
        raise Skip(f"{name} ended with status {done.returncode}: {done.stderr.strip()[-200:]}")
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


def best(turns):
    """The first turn's figures, with the median rate and the least processor time of all."""
    return turns[0] | {"qps": statistics.median(t["qps"] for t in turns), "cpu_us": min(t["cpu_us"] for t in turns)}


def figures(ours, theirs, missing):
    """Rates and memory beside the best of the bare engines (which is named); memory beside the least. A rate's ratio is the least of those to each."""
    fastest = max(theirs, key=lambda f: f["qps"], default=None)
    leanest = min(theirs, key=lambda f: f["cpu_us"], default=None)
    smallest = min(theirs, key=lambda f: f["memory_mib"], default=None)

    def figure(value, unit, peer=None, **more):
        return {"value": value, "unit": unit, "peer": peer, "ratio": round(value / peer, 3) if peer else None, **more}

    search = figure(ours["qps"], "queries/s", fastest and fastest["qps"], recall=ours["recall"], ef=ours["ef"], rows=ours["rows"], usual_qps=ours["usual_qps"],
                    usual_recall=ours["usual_recall"], engines=theirs, missing=missing, cpu_us=ours["cpu_us"])
    search["note"] = f"recall {ours['recall']:.3f}" + "".join(f", {f['engine']} {f['recall']:.3f}" for f in theirs) + "".join(f"; {m}" for m in missing)
    if leanest:
        search |= {"peer_cpu_us": leanest["cpu_us"], "cpu_ratio": round(leanest["cpu_us"] / ours["cpu_us"], 3)}
    return {"ann_search": search,
            "ann_filter_recall": figure(ours["filter_recall"], "of 1", queries_per_s=ours["filter_qps"]),
            "ann_memory": figure(ours["memory_mib"], "MiB", smallest and smallest["memory_mib"]),
            "ann_open": figure(round(ours["open_s"] * 1000, 1), "ms", fastest and round(fastest["open_s"] * 1000, 1)),
            "ann_add": figure(round(ours["rows"] / ours["add_s"]), "rows/s"),
            "ann_link": figure(round(ours["rows"] / ours["link_s"]) if ours["link_s"] > 0.01 else 0, "rows/s"),
            "ann_remove": figure(ours["remove_per_s"], "rows/s")}


def in_turns(commands, turns):
    """name → its figures; and why some have none. The first turn builds what is not there."""
    found, missing = {name: [] for name in commands}, {}
    for _ in range(turns):
        for name, command in commands.items():
            try:
                if name not in missing:
                    found[name].append(json.loads(run(*command, limit=BUILD_LIMIT)))
            except Skip as reason:
                missing[name] = str(reason)
    return {name: best(f) for name, f in found.items() if f}, missing


def measure(build, cache, bench, b):
    """The vectors and the peers' graphs stay in /tmp: they take minutes to build. Ours is built each time."""
    kept = f"/tmp/mortise-ann-{os.getuid()}"
    program = peers(cache, "ann" in b.fetch and not b.smoke)
    os.makedirs(kept, mode=0o700, exist_ok=True)
    files = make_vectors(bench, kept, b.rows)
    with tempfile.TemporaryDirectory(prefix="mortise-ann-", dir="/tmp") as own:
        commands = {"ours": (os.path.join(build, "plugins", "index_local", "bench_ann"), *files, b.rows, DIM, own)}
        commands |= {e: (program, e, *files, b.rows, DIM, kept) for e in ENGINES if program}
        found, missing = in_turns(commands, min(b.rounds, 3))
    if not program:
        shutil.rmtree(kept, ignore_errors=True)
    if "ours" in missing:
        raise Skip(missing["ours"])
    return figures(found.pop("ours"), list(found.values()), list(missing.values()))
