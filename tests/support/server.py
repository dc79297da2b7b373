"""A real `mortise serve` with its own data folder and port, and the means to hurt it."""
import atexit
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import client
import database

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MORTISE_BUILD", ROOT / "build"))
BINARY = BUILD / "bin" / "mortise"
PLUGINS = BUILD / "plugins"
TEST_PLUGINS = BUILD / "test-plugins"
CACHE = pathlib.Path(os.environ.get("MORTISE_CACHE", pathlib.Path.home() / ".cache/mortise"))
LOGS = BUILD / "test-logs"
PATIENCE = 60.0


def until(what, check, patience=PATIENCE, pause=0.02):
    """Polls check() until it answers something true, which is returned. what says in the failure what was waited for."""
    end = time.monotonic() + patience
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"after {patience:.0f} s still not so: {what}")
        time.sleep(pause)


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def rss_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def plugin_folder(*names):
    """A folder that holds links to these test plugins, for --plugins."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mortise-plugins-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in names:
        (folder / name).symlink_to(TEST_PLUGINS / name)
    return folder


class Server:
    """plugins: folders beside the built ones; enable: what of them to switch on. env and args configure it."""

    def __init__(self, plugins=(), enable=(), env=None, args=(), name="server"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"mortise-{name}-"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.log_path = self.folder / "log"
        self.name, self.args, self.enable = name, list(args), list(enable)
        self.plugins = ":".join(str(p) for p in (PLUGINS, *plugins))
        self.env = {**os.environ, "DEFAULT_RATE_LIMIT": "10000000", "FREE_TIER_MAX_WORKSPACES": "1000",
                    "FREE_TIER_MAX_DOCUMENTS": "100000", **(env or {})}
        self.process, self.port = None, 0

    # --- life ---

    def start(self, ready=True):
        """Starts the supervisor; a second start takes the same port and data."""
        command = [BINARY, "serve", "--data", self.data, "--port", str(self.port), "--plugins", self.plugins, *self.args]
        url = self.data / "mortise.url"
        url.unlink(missing_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env, cwd=ROOT, start_new_session=True)
        until("the server wrote its address", lambda: self.died() or (url.exists() and url.read_text().strip()))
        self.port = int(url.read_text().strip().rsplit(":", 1)[1])
        if ready:
            self.wait_ready()
            with self.admin() as admin:
                for slug in self.enable:
                    admin.call("POST", f"/plugins/{slug}/enable")
        return self

    def died(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log()[-4000:]}")

    def wait_ready(self, patience=PATIENCE):
        return until("the server is ready", lambda: self.died() or self.ready(), patience)

    def ready(self):
        with client.Client(self.url) as api:
            try:
                return api.get("/health/ready").status_code == 200
            except client.TransportError:
                return False

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.end_leftovers()

    def end_leftovers(self):
        """What outlived a killed supervisor."""
        for pid in (self.postgres_pid(), self.host_pid()):
            if pid and alive(pid):
                os.kill(pid, signal.SIGKILL)
                until(f"process {pid} is gone", lambda pid=pid: not alive(pid))

    def restart(self):
        self.stop()
        return self.start()

    def dispose(self, failed=False):
        """Stops it; the log survives only a failure."""
        self.stop()
        if failed:
            LOGS.mkdir(parents=True, exist_ok=True)
            kept = LOGS / f"{self.name}.server.log"
            shutil.copy(self.log_path, kept)
            print(f"\nthe server's log: {kept}")
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what it is made of ---

    @property
    def url(self):
        scheme = "https" if "--tls-certificate" in self.args else "http"
        return f"{scheme}://127.0.0.1:{self.port}/v1"

    @property
    def admin_key(self):
        return (self.data / "admin.key").read_text().strip()

    def admin(self, **options):
        return client.Client(self.url, self.admin_key, **options)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def events(self, name, **fields):
        """Log lines of this event whose text holds every key=value."""
        marks = [f"event={name}", *(f"{key}={value}" for key, value in fields.items())]
        return [line for line in self.log().splitlines() if all(mark in line for mark in marks)]

    def host_pid(self):
        try:
            return int((self.data / "host.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return 0

    def postgres_pid(self):
        try:
            return int((self.data / "postgres/data/postmaster.pid").read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return 0

    def kill_host(self):
        pid = self.host_pid()
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_postgres(self):
        pid = self.postgres_pid()
        os.kill(pid, signal.SIGKILL)
        return pid

    def database(self):
        return database.Database((self.data / "postgres.url").read_text().strip())

    def cli(self, *words, check=True):
        """The program's own command line against this server."""
        done = subprocess.run([str(BINARY), *map(str, words), "--data", str(self.data)], capture_output=True, text=True,
                              timeout=120, env=self.env, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"mortise {words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
