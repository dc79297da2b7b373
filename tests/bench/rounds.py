"""Servers under load: starts them, drives each in turn with wrk, and reads what processor time they took."""
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

TICK = os.sysconf("SC_CLK_TCK")


class Skip(Exception):
    """A measurement that cannot be made here, with the reason."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def processes():
    """pid → (parent, name, processor seconds)."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                text = f.read()
        except OSError:
            continue
        name = text[text.index("(") + 1:text.rindex(")")]
        rest = text[text.rindex(")") + 2:].split()
        found[int(pid)] = (int(rest[1]), name, (int(rest[11]) + int(rest[12])) / TICK)
    return found


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


class Server:
    """A child process that listens on a port. Its group is ended with it."""

    def __init__(self, command, port, env=None, log=None):
        self.port = port
        self.log = open(log or os.devnull, "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=env, start_new_session=True)
        self.databases = set()
        for _ in range(600):
            if self.process.poll() is not None:
                raise Skip(f"{os.path.basename(command[0])} ended with status {self.process.returncode}"
                           f"{' (see ' + log + ')' if log else ''}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Skip(f"{command[0]} does not listen")

    def seconds(self, all_processes):
        """Processor time so far: of the server itself, and of PostgreSQL below it."""
        own = database = 0.0
        for pid, (parent, name, used) in all_processes.items():
            at = pid
            while at in all_processes and at != self.process.pid:
                at = all_processes[at][0]
            if at == self.process.pid:
                own, database = (own, database + used) if name == "postgres" else (own + used, database)
        return own, database

    def host_pid(self):
        """The process that serves: a supervisor's child, or the program itself."""
        all_processes = processes()
        for pid, (parent, name, _) in all_processes.items():
            if parent == self.process.pid and name != "postgres":
                return pid
        return self.process.pid

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


class Mortise(Server):
    """The real server with a data folder of its own, one event loop and no limit that a load test would meet."""

    def __init__(self, build, plugins=(), options=None):
        self.folder = tempfile.TemporaryDirectory(prefix="mortise-bench-")
        os.chmod(self.folder.name, 0o711)
        self.data = os.path.join(self.folder.name, "data")
        self.program = os.path.join(build, "bin", "mortise")
        folders = ":".join([os.path.join(build, "plugins")] + [os.path.dirname(p) for p in plugins])
        port = free_port()
        env = dict(os.environ, MORTISE_LIMITS_REQUESTS_PER_MINUTE="10000000", **(options or {}))
        super().__init__([self.program, "serve", "--data", self.data, "--port", str(port), "--threads", "1",
                          "--plugins", folders], port, env, os.path.join(self.folder.name, "log"))
        self.wait_ready()
        with open(os.path.join(self.data, "admin.key")) as f:
            self.headers = {"Authorization": f"Bearer {f.read().strip()}"}
        for plugin in plugins:
            subprocess.run([self.program, "plugin", "enable", os.path.basename(plugin), "--data", self.data],
                           check=True, stdout=subprocess.DEVNULL)

    def host_pid(self):
        """As the supervisor notes it: its children are also those that only look at a plugin."""
        with open(os.path.join(self.data, "host.pid")) as f:
            return int(f.read().split()[0])

    def wait_ready(self):
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/health/ready", timeout=2):
                    if os.path.exists(os.path.join(self.data, "admin.key")):
                        return
            except OSError:
                pass
            time.sleep(0.1)
        raise Skip("the server does not become ready")

    def send(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, headers=dict(self.headers),
                                         data=None if body is None else json.dumps(body).encode())
        if body is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def database_url(self):
        with open(os.path.join(self.data, "postgres.url")) as f:
            return f.read().strip()

    def stop(self):
        super().stop()
        self.folder.cleanup()


def drive(port, path, headers, seconds, connections=64):
    """Requests answered well in a run of wrk, and the time it took."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"wrk: {done.stderr.strip() or done.stdout.strip()[-200:]}")
    text = done.stdout
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s|m)", text)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    if bad and int(bad.group(1)) * 1000 > int(found.group(1)):
        raise Skip(f"{bad.group(1)} of {found.group(1)} requests to {path} were refused")
    unit = {"ms": 1e-3, "s": 1, "m": 60}[found.group(3)]
    return int(found.group(1)), float(found.group(2)) * unit


def one_round(side, seconds):
    """side: (server whose processes are counted, server whose PostgreSQL is counted or None, port, path, headers)."""
    server, database, port, path, headers = side
    before = processes()
    own, below = server.seconds(before)[0], database.seconds(before)[1] if database else 0
    count, took = drive(port, path, headers, seconds)
    after = processes()
    own = server.seconds(after)[0] - own
    below = database.seconds(after)[1] - below if database else 0
    return {"rate": count / took, "cpu_us": own / count * 1e6, "database_us": below / count * 1e6}


def compare(ours, peer, rounds, seconds):
    """Rounds in turn, ours and the peer's next to each other. Rates are medians, their ratio the median of the pairs' own.
    Processor time is the least of the rounds: whatever else the machine does can only add to it."""
    pairs = []
    for side in (ours, peer):
        drive(side[2], side[3], side[4], 1)
    for i in range(rounds):
        first, second = (ours, peer) if i % 2 == 0 else (peer, ours)
        a, b = one_round(first, seconds), one_round(second, seconds)
        pairs.append((a, b) if i % 2 == 0 else (b, a))

    def least(side):
        return min((pair[side] for pair in pairs), key=lambda x: x["cpu_us"] + x["database_us"])

    a, b = least(0), least(1)
    return {"value": round(statistics.median(x["rate"] for x, _ in pairs)), "unit": "requests/s",
            "peer": round(statistics.median(y["rate"] for _, y in pairs)),
            "ratio": round(statistics.median(x["rate"] / y["rate"] for x, y in pairs), 3),
            "cpu_us": round(a["cpu_us"], 2), "peer_cpu_us": round(b["cpu_us"], 2),
            "database_us": round(a["database_us"], 2), "peer_database_us": round(b["database_us"], 2),
            "cpu_ratio": round((b["cpu_us"] + b["database_us"]) / (a["cpu_us"] + a["database_us"]), 3), "rounds": rounds}
