"""Starts tests/support/http_probe and talks to it through raw sockets."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("MORTISE_BUILD", ROOT / "build"))
PROGRAM = BUILD / "tests/integration/http/http_probe"


class Probe:
    def __init__(self, **options):
        args = [f"--{k.replace('_', '-')}={v}" for k, v in options.items()]
        self.process = subprocess.Popen([PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("port "), line + self.process.stderr.read()
        self.port = int(line.split()[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status = self.stop()
        if kind is None:
            assert status == 0, f"the probe ended with {status}"

    def stop(self, timeout=15):
        """Graceful end; answers the exit status and shows what a sanitizer had to say."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            _, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, err = self.process.communicate()
            print(err)
            raise
        if self.process.returncode != 0:
            print(err)
        return self.process.returncode

    def connect(self, timeout=10):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def send(self, data, timeout=10):
        """Sends bytes on a fresh connection, answers everything until the server closes (or b"" at a reset)."""
        with self.connect(timeout) as s:
            try:
                s.sendall(data)
            except OSError:
                pass
            return read_all(s)

    def get(self, path):
        return self.send(f"GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode())

    def stats(self):
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", self.get("/stats").decode())}

    def wait_for(self, name, value, seconds=3):
        """Waits until a counter has the value; fails when it does not come."""
        deadline = time.monotonic() + seconds
        while (now := self.stats()).get(name) != value:
            assert time.monotonic() < deadline, f"{name} is {now.get(name)}, not {value}: {now}"
            time.sleep(0.02)


def read_all(s):
    data = b""
    while True:
        try:
            part = s.recv(65536)
        except ConnectionResetError:
            return data
        if not part:
            return data
        data += part


def read_answer(s, head_only=False):
    """One answer with a Content-Length: status, head, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = s.recv(1)    # what follows the head may belong to the next answer
        if not part:
            return None, data, b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and not head_only and len(body) < int(length[1]):
        part = s.recv(int(length[1]) - len(body))
        assert part, "cut body"
        body += part
    return status_of(head), head, body


def status_of(answer):
    m = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(m[1]) if m else None


def is_closed(s, seconds=2):
    s.settimeout(seconds)
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
