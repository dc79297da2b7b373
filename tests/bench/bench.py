"""The measurements of ./mortise bench: each figure beside its floor or peer from the same run. See README.md.

usage: bench.py [NAME…] [--json] [--rounds N] [--seconds S] [--size 1m]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

import ann
import crash as crashes
import embedding
import engines
import llm as local
import quality as cranfield
import retrieval as searches
import upstreams as chats
from rounds import Mortise, Server, Skip, compare, drive, free_port, resident_kib

BUILD = os.environ["MORTISE_BUILD"]
CACHE = os.environ["MORTISE_CACHE"]
HERE = os.path.join(BUILD, "tests", "bench")
PROBES = os.path.join(BUILD, "tests", "integration", "http")
CHAIN = os.path.join(HERE, "plugins", "chain", "plugins", "chain")
WORKSPACE = "00000000-0000-0000-0000-000000000002"
ORGANIZATION = "00000000-0000-0000-0000-000000000001"


class Bench:
    """Holds the servers that several measurements share."""

    def __init__(self, rounds, seconds, fetch, rows, smoke):
        self.rounds, self.seconds = rounds, seconds
        self.fetch = fetch                   # names of measurements whose large peers may be fetched
        self.rows, self.smoke = rows, smoke  # rows: of ann
        self.servers = {}

    def server(self, name, start):
        if name not in self.servers:
            self.servers[name] = start()
        return self.servers[name]

    def raw(self):
        """h2o's own hello: the floor of everything that speaks HTTP."""
        def start():
            port = free_port()
            return Server([os.path.join(PROBES, "h2o_raw"), str(port)], port)
        return self.server("raw", start)

    def mortise(self):
        """The server as it is installed."""
        return self.server("mortise", lambda: Mortise(BUILD))

    def chain(self):
        """The same with a native hook on two phases and a policy."""
        return self.server("chain", lambda: Mortise(BUILD, [CHAIN]))

    def stop(self):
        for server in reversed(self.servers.values()):
            server.stop()

    def compare(self, ours, peer):
        return compare(ours, peer, self.rounds, self.seconds)


def http_hello(b):
    """The HTTP layer: a fiber for each request, its limits and time-outs, against h2o's own hello."""
    port = free_port()
    probe = b.server("probe", lambda: Server([os.path.join(PROBES, "http_probe"), f"--port={port}"], port))
    raw = b.raw()
    return {"http_hello": b.compare((probe, None, probe.port, "/hello", {}), (raw, None, raw.port, "/hello", {}))}


def full_chain(b):
    """Key, rights, two native hooks, limit, a 20-line policy and a JSON answer, against h2o's own hello."""
    m, raw = b.chain(), b.raw()
    return {"full_chain": b.compare((m, None, m.port, "/v1/bench/chain", m.headers), (raw, None, raw.port, "/hello", m.headers))}


def query_by_id(b, m):
    note = m.send("POST", f"/v1/workspaces/{WORKSPACE}/notes", {"title": "A note", "text": "Read often.", "tags": ["bench"]})
    port = free_port()
    peer = b.server(f"query {m.port}", lambda: Server([os.path.join(HERE, "h2o_query"), str(port), m.database_url(), ORGANIZATION,
                                             "mt_p_notes"], port))
    path = f"/v1/workspaces/{WORKSPACE}/notes/{note['id']}"
    return b.compare((m, m, m.port, path, m.headers), (peer, m, peer.port, path, m.headers))


def named_query(b):
    """GET of a row by id under row-level security: key, rights, scope, limit, context and query, against a handler that only
    sends the same two statements."""
    return {"named_query": query_by_id(b, b.mortise())}


def policed_query(b):
    """The same behind the hooks and the policy of full_chain."""
    return {"policed_query": query_by_id(b, b.chain())}


def memory(b):
    """The host's resident memory before and after a minute of load: it must not grow with the requests."""
    m = b.chain()
    drive(m.port, "/v1/bench/chain", m.headers, 5)
    before = resident_kib(m.host_pid())
    count, _ = drive(m.port, "/v1/bench/chain", m.headers, 60 if b.seconds > 1 else 3)
    after = resident_kib(m.host_pid())
    return {"memory": {"value": after, "unit": "KiB", "peer": before, "ratio": round(after / before, 3), "requests": count}}


def run_lines(*command):
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {line["name"]: line for line in map(json.loads, text.splitlines())}


def micro(program, names, rounds, floor):
    """The least of each named figure over the rounds; floor names the one that it stands beside."""
    runs = [run_lines(os.path.join(HERE, program)) for _ in range(rounds)]
    least = {n: min(r[n]["value"] for r in runs) for n in set(names.values()) | ({floor} if floor else set())}
    out = {}
    for name, line in names.items():
        peer = least[floor] if floor else None
        out[name] = {"value": least[line], "unit": runs[0][line]["unit"], "peer": peer,
                     "ratio": round(least[line] / peer, 3) if peer else None}
    return out


def hook_dispatch(b):
    """An emit to one native handler that does nothing, beside an emit that nobody listens to."""
    return micro("bench_bus", {"hook_dispatch": "hook.native"}, min(b.rounds, 3), "hook.nobody")


def lua_policy(b):
    """A 20-line policy, beside an empty one."""
    return micro("bench_bus", {"lua_policy": "policy.20_lines"}, min(b.rounds, 3), "policy.empty")


def settings(b):
    """The calls of an organization that has settings (its own configuration, read by the operation; a plugin off; a hook limited to other calls; 50 rows of
    workspaces), beside those of one that has none, on the same server; and a native handler that such a call meets, beside any other."""
    m = b.chain()
    sides = []
    for slug in ("set", "unset"):
        org = m.send("POST", "/v1/organizations", {"name": slug, "slug": slug, "plan_tier": "enterprise"})["id"]
        key = m.send("POST", f"/v1/organizations/{org}/api-keys", {"name": "bench", "scopes": ["admin"], "rate_limit_per_minute": 10_000_000})["key"]
        sides.append((m, m, m.port, "/v1/hello", {"Authorization": f"Bearer {key}"}))
        if slug == "unset":
            continue
        m.send("PUT", f"/v1/organizations/{org}/plugins/hello", {"config": {"greeting": "Salve"}, "scope": {"operations": ["chat.*"]}})
        m.send("PUT", f"/v1/organizations/{org}/plugins/openai", {"enabled": False})
        for n in range(50):
            workspace = m.send("POST", f"/v1/organizations/{org}/workspaces", {"name": f"w{n}", "slug": f"w{n}"})["id"]
            m.send("PUT", f"/v1/workspaces/{workspace}/plugins/hello", {"config": {"greeting": f"Ave {n}"}})
    return {"settings": b.compare(*sides)} | micro("bench_bus", {"settings_hook": "hook.settings"}, min(b.rounds, 3), "hook.native")


def trace(b):
    """Tracing every request beside tracing none, with the same server twice; and what is left of it in a request when it is off, beside a request
    that has only its ids."""
    on, off = b.chain(), b.server("untraced", lambda: Mortise(BUILD, [CHAIN], {"MORTISE_TRACE_EVERY": "0"}))
    side = lambda m: (m, None, m.port, "/v1/bench/chain", m.headers)
    left = micro("bench_trace", {"trace_off": "trace.off"}, min(b.rounds, 3), "trace.none")
    left["trace_off"]["added"] = round(left["trace_off"]["value"] - left["trace_off"]["peer"], 1)
    return {"trace_on": b.compare(side(on), side(off))} | left


def crash(b):
    """How long nobody is served after a plugin's code brought the host down."""
    return {"crash": crashes.measure(BUILD, b.rounds)}


def worker(b):
    """A hook whose handler stands in a worker, and a question from a worker to the host: the median, beside a byte to a child and back."""
    rounds = min(b.rounds, 3)
    return micro("bench_worker", {"worker_hook": "worker.hook", "worker_ask": "worker.ask"}, rounds, "worker.ping")


def loop(b):
    """The loop's basic moves, beside the bare switch pair."""
    names = {"fiber_spawn": "loop.spawn", "fiber_wake": "loop.wake_and_switch", "loop_turn": "loop.turn", "timer": "loop.timer_start_cancel"}
    rounds = min(b.rounds, 3)
    return (micro("bench_loop", names, rounds, "loop.switch_pair") |
            micro("bench_loop", {"offload": "loop.offload_round_trip"}, rounds, None))


def vector_search(b):
    """Nearest neighbours among clustered vectors of 384 numbers, beside usearch, hnswlib and FAISS called bare: see ann.py."""
    return ann.measure(BUILD, CACHE, HERE, b)


def embed(b):
    """Passages of the Debian FAQ through the embedder, beside sentence-transformers with the same weights and cores."""
    return {"embedding": embedding.measure(BUILD, CACHE, min(b.rounds, 3), "embedding" in b.fetch)}


def engine(b):
    """Models in processes of their own, beside models inside the host: a batch of passages, a question, a token, a document."""
    ours = b.server("engine", lambda: Mortise(BUILD))
    peer = b.server("inside", lambda: Mortise(BUILD, options={"MORTISE_PLUGINS_ENGINE_WORKERS": "false"}))
    return engines.measure(ours, peer, WORKSPACE, b.rounds, b.smoke)


def quality(b):
    """Cranfield through upload and search: by words beside 0.36, both together beside the better of the two."""
    return cranfield.measure(b.server("quality", lambda: Mortise(BUILD)), WORKSPACE)


def retrieval(b):
    """Searches among 100,000 chunks over HTTP, beside the embedding of their question alone and ten rows alone."""
    return searches.measure(b.server("retrieval", lambda: Mortise(BUILD)), ORGANIZATION, WORKSPACE)


def llm(b):
    """The local chat model with one, eight and fifty questions at once over HTTP, beside a bare llama.cpp loop."""
    m = b.server("llm", lambda: Mortise(BUILD))
    return local.measure(m, os.path.join(HERE, "bench_llm"), CACHE, WORKSPACE, 3 if b.smoke else 24, min(b.rounds, 3))


def upstreams(b):
    """Two thousand streamed chats at once through a fake upstream, beside the same chats straight to it; twice, so that what is left over shows."""
    start = lambda: b.server("upstreams", lambda: Mortise(BUILD, options={"MORTISE_OUTBOUND_ALLOW_PRIVATE": "true"}))
    return chats.measure(start, WORKSPACE, 200 if b.smoke else 2000)


# What must hold, as (field, at least or at most, bound). Ratios of rates hold by the clock or by processor time: on a machine that
# others use too, one of the two may be blurred.
BOUNDS = {"full_chain": (("ratio", "cpu_ratio"), ">=", 0.5), "named_query": (("ratio", "cpu_ratio"), ">=", 0.8),
          "hook_dispatch": (("value",), "<=", 100), "settings": (("ratio", "cpu_ratio"), ">=", 0.9), "settings_hook": (("value",), "<=", 100),
          "trace_on": (("ratio", "cpu_ratio"), ">=", 0.95), "trace_off": (("added",), "<=", 60),
          "lua_policy": (("value",), "<=", 10), "worker_hook": (("value",), "<=", 30), "crash": (("value",), "<=", 1000), "memory": (("ratio",), "<=", 1.1),
          "ann_search": (("ratio", "cpu_ratio"), ">=", 0.9), "ann_filter_recall": (("value",), ">=", 0.99), "ann_memory": (("ratio",), "<=", 1.1),
          "ann_open": (("value",), "<=", 1000), "quality_text": (("ratio",), ">=", 1), "quality_hybrid": (("ratio",), ">=", 1),
          "llm_1": (("ratio", "cpu_ratio"), ">=", 0.9), "llm_8": (("ratio", "cpu_ratio"), ">=", 0.9), "llm_50": (("ratio", "cpu_ratio"), ">=", 0.9),
          "engine_embed": (("ratio", "cpu_ratio"), ">=", 0.97), "engine_token": (("ratio", "cpu_ratio"), ">=", 0.97), "engine_upload": (("ratio", "cpu_ratio"), ">=", 0.97),
          "embedding": (("ratio", "cpu_ratio"), ">=", 1.5), "search_hybrid": (("value", "cpu_ms"), "<=", 10),
          "upstreams": (("value",), "<=", 5), "upstreams_lost": (("value",), "<=", 0), "upstreams_memory": (("ratio",), "<=", 1.1)}
MEASUREMENTS = {{embed: "embedding", vector_search: "ann"}.get(f, f.__name__): f
                for f in (http_hello, full_chain, named_query, policed_query, hook_dispatch, settings, lua_policy, trace, crash, worker, loop, embed, engine, vector_search, quality, retrieval, llm, upstreams, memory)}


SIZES = {"10k": 10_000, "100k": 100_000, "300k": 300_000, "1m": 1_000_000}


def verdict(name, figure):
    if "skipped" in figure:
        return "skipped: " + figure["skipped"]
    if name not in BOUNDS:
        return figure.get("note", "")
    fields, sign, bound = BOUNDS[name]
    values = [figure[f] for f in fields if figure.get(f) is not None]
    if not values:
        return "no peer"
    holds = any(v >= bound if sign == ">=" else v <= bound for v in values)
    return f"{sign} {bound:g} {'ok' if holds else 'MISSED'}  {figure.get('note', '')}".rstrip()


def show(value):
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}".rstrip("0").rstrip(".")


def print_row(name, f):
    cpu = ""
    if "cpu_us" in f:
        cpu = " / ".join(show(f[side + "cpu_us"] + f.get(side + "database_us", 0)) for side in ("", "peer_") if side + "cpu_us" in f)
    print(f"{name:<14} {show(f.get('value')):>10} {show(f.get('peer')):>10} {f.get('unit', ''):<11} {show(f.get('ratio')):>6} "
          f"{cpu:>17} {show(f.get('cpu_ratio')):>7}  {verdict(name, f)}", flush=True)


def main():
    p = argparse.ArgumentParser(prog="mortise bench")
    p.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    p.add_argument("--json", action="store_true")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=int, default=2)
    p.add_argument("--size", choices=SIZES, help="how many vectors ann is measured on (100k)")
    p.add_argument("--smoke", action="store_true", help="each once and briefly: bounds are shown, not judged")
    a = p.parse_args()
    if a.smoke:
        a.rounds = a.seconds = 1
    unknown = [n for n in a.names if n not in MEASUREMENTS]
    if unknown:
        p.error(f"no measurement is called {unknown[0]}; there are {', '.join(MEASUREMENTS)}")
    if not a.json:
        print(f"{'':<14} {'here':>10} {'peer':>10} {'':<11} {'ratio':>6} {'µs CPU, peer':>17} {'ratio':>7}", flush=True)
    b, results = Bench(a.rounds, a.seconds, a.names, SIZES[a.size or ("10k" if a.smoke else "100k")], a.smoke), {}
    try:
        for name in a.names or MEASUREMENTS:
            try:
                found = MEASUREMENTS[name](b)
            except Skip as reason:
                found = {name: {"value": None, "unit": "", "peer": None, "ratio": None, "skipped": str(reason)}}
            results.update(found)
            for key, figure in found.items() if not a.json else ():
                print_row(key, figure)
    finally:
        b.stop()
    if a.json:
        print(json.dumps(results, indent=1))
    return not a.smoke and any("MISSED" in verdict(n, f) for n, f in results.items())


if __name__ == "__main__":
    sys.exit(main())
