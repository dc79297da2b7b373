"""How long nobody is served after the host died: from the fault in a plugin's code to the first whole answer (key, rights, limit, JSON)."""
import http.client
import os
import re
import signal
import statistics
import tempfile
import time
from datetime import datetime, timezone

from rounds import Mortise

PHASES = ("host.died", "host.started", "host.ready", "database.up")


def answers(m, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", m.port, timeout=10)
    try:
        connection.request(method, path, headers=m.headers)
        return connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def host_of(m):
    """None while the file is being written."""
    try:
        return m.host_pid()
    except (OSError, IndexError, ValueError):
        return None


def wait(m, path, old=None):
    until = time.monotonic() + 60
    while host_of(m) in (None, old) or not answers(m, "GET", path):
        if time.monotonic() > until:
            raise RuntimeError("no host serves again")
        time.sleep(0.002)


def phases(m, since):
    """When, in ms after the fault, the log tells each."""
    found = {}
    with open(os.path.join(m.folder.name, "log"), errors="replace") as log:
        for line in log:
            told = re.match(r"time=(\S+)Z .*?event=(\S+)", line)
            if told and told[2] in PHASES:
                at = datetime.fromisoformat(told[1]).replace(tzinfo=timezone.utc).timestamp()
                if at >= since:
                    found.setdefault(told[2], round((at - since) * 1000))
    return found


def once(m, kill):
    wait(m, "/v1/health/ready")
    old, begun, wall = m.host_pid(), time.monotonic(), time.time()
    if kill:
        os.kill(old, signal.SIGKILL)
    else:
        answers(m, "POST", "/v1/crasher/null")
    wait(m, "/v1/hello", old)
    return (time.monotonic() - begun) * 1000, phases(m, wall)


def measure(build, rounds):
    """A fault of a plugin's beside a kill -9 of the same host, in turns."""
    with tempfile.TemporaryDirectory(prefix="mortise-crasher-") as folder:
        link = os.path.join(folder, "crasher")
        os.symlink(os.path.join(build, "test-plugins", "crasher"), link)
        os.chmod(folder, 0o755)
        m = Mortise(build, [link], {"MORTISE_QUARANTINE_CRASHES": "1000000"})
        try:
            faults, kills = [], []
            for _ in range(rounds):
                faults.append(once(m, False))
                kills.append(once(m, True))
        finally:
            m.stop()
    value, peer = (statistics.median(ms for ms, _ in side) for side in (faults, kills))
    told = {phase: round(statistics.median(p.get(phase, 0) for _, p in faults)) for phase in PHASES}
    return {"value": round(value), "unit": "ms", "peer": round(peer), "ratio": round(value / peer, 3), "most": round(max(ms for ms, _ in faults)), "phases": told,
            "note": ", ".join(f"{phase} {ms}" for phase, ms in told.items())}
