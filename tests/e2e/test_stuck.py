"""Isolated plugins whose activate, deactivate or hand_over never returns: they fail, with the reason; plugins are changed, hosts start and stop as ever."""
import os
import signal
import time

import pytest

import server as servers
from harness import FAILED
from server import alive, until

SHORT = ["--plugins.isolated", "stuck", "--worker.activate_timeout", "2s", "--worker.hang_timeout", "1s"]
LONG = ["--plugins.isolated", "stuck", "--worker.activate_timeout", "10m", "--worker.hang_timeout", "10m"]


@pytest.fixture()
def own(request):
    made = []

    def start(args):
        made.append(servers.Server(name=request.node.name.replace("[", "-").strip("]"), plugins=[servers.plugin_folder("stuck")], args=args))
        return made[-1].start()
    yield start
    for one in made:
        one.dispose(failed=request.node.name in FAILED or one.process is None)


@pytest.fixture(scope="module")
def short(request):
    made = servers.Server(name="test_stuck", plugins=[servers.plugin_folder("stuck")], args=SHORT).start()
    yield made
    made.dispose(failed=request.module.__name__ in FAILED)


def ask(server, method, path, status=200, **more):
    with server.admin(timeout=20) as admin:
        return admin.call(method, path, status, **more).data


def told(server):
    return ask(server, "GET", "/plugins/stuck")


def configure(server, **how):
    ask(server, "PUT", "/plugins/stuck/config", json=how)


def switch(server, on, slug="stuck", status=200):
    return ask(server, "POST", f"/plugins/{slug}/{'enable' if on else 'disable'}", status)


def others_change(server):
    switch(server, False, "hello")
    switch(server, True, "hello")


@pytest.mark.parametrize("how", ["wait", "turn"])
def test_activate(short, how):
    configure(short, activate=how)
    refused = switch(short, True, status=409)
    assert refused["code"] == "plugin_failed" and "activate() of plugin stuck did not end within" in refused["detail"]
    assert told(short)["state"] == "failed"
    others_change(short)
    configure(short)
    switch(short, True)
    assert told(short)["state"] == "active"
    switch(short, False)


@pytest.mark.parametrize("how", ["wait", "turn"])
def test_deactivate(short, how):
    switch(short, True)
    configure(short, deactivate=how)
    switch(short, False)
    assert told(short)["state"] == "inactive"
    if how == "turn":                        # who waits ends when it is cancelled
        assert short.events("worker.not_deactivated", plugin="stuck", code="deactivate_timeout")
    others_change(short)
    configure(short)
    switch(short, True)
    assert told(short)["state"] == "active"
    switch(short, False)


def test_handing_over_and_retiring(short):
    switch(short, True)
    configure(short, hand_over="wait")
    refused = short.cli("plugin", "trust", "stuck", check=False)
    assert refused.returncode and "hand_over() of plugin stuck did not end within 2000 ms" in refused.stdout + refused.stderr
    assert (told(short)["state"], told(short)["isolation"]) == ("active", "process")
    configure(short, deactivate="wait")
    short.cli("plugin", "trust", "stuck")
    until("the version before is gone", lambda: short.events("plugin.retired", plugin="stuck"), 10)
    others_change(short)
    configure(short)
    short.cli("plugin", "isolate", "stuck")
    switch(short, False)


def test_a_restart_serves_without_it(short):
    switch(short, True)
    configure(short, activate="wait")
    short.stop()
    short.start(ready=False)
    short.wait_ready(20)
    assert told(short)["state"] == "failed" and "activate() of plugin stuck did not end within" in told(short)["reason"]
    short.cli("reload")
    switch(short, False)
    configure(short)


def test_its_next_process(short):
    """It was active, and what took the place of its process does not come up: another one is tried, until it does."""
    configure(short)
    switch(short, True)
    configure(short, activate="turn")
    pid = told(short)["worker"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until("the next one was given up", lambda: short.events("worker.not_activated", plugin="stuck", code="activate_timeout"), 20)
    configure(short)
    until("it is up", lambda: told(short)["worker"]["state"] == "running", 20)
    switch(short, False)


def test_the_next_process_is_switched_off(own):
    server = own(LONG)
    switch(server, True)
    configure(server, activate="turn")
    tried, pid = len(server.events("stuck.tried")), told(server)["worker"]["pid"]
    os.kill(pid, signal.SIGKILL)
    next_pid = until("the next one is activated", lambda: len(server.events("stuck.tried")) > tried and told(server)["worker"]["pid"])
    switch(server, False)
    until("its process is gone", lambda: not alive(next_pid), 5)
    until("it rests", lambda: told(server)["worker"]["state"] == "running", 5)
    assert told(server)["state"] == "inactive"


@pytest.mark.parametrize("when", ["restart", "start"])
def test_a_stop_does_not_wait_for_it(own, when):
    server = own(LONG)
    switch(server, True)
    configure(server, activate="wait")
    tried = len(server.events("stuck.tried"))
    if when == "restart":
        os.kill(told(server)["worker"]["pid"], signal.SIGKILL)
    else:
        server.stop()
        server.start(ready=False)
    until("it is activated", lambda: len(server.events("stuck.tried")) > tried)
    server.stop()
    assert server.process.returncode == 0 and not server.events("host.killed") and not server.events("host.died")


def test_what_cannot_now_is_tried_again_after_a_second(own):
    """And not each time that another plugin is up."""
    server = own(SHORT)
    switch(server, True)
    configure(server, activate="refuse")
    server.stop()
    before, begin = len(server.events("stuck.tried")), time.monotonic()
    server.start(ready=False)
    tried = until("it was tried again", lambda: (n := len(server.events("stuck.tried")) - before) > 2 and n, 20)
    assert tried <= time.monotonic() - begin + 2
    assert told(server)["reason"] == "Another time."
    switch(server, False)
