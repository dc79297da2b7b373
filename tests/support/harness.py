"""pytest fixtures shared by tests/e2e and tests/security: their conftest.py imports all of this."""
import pytest

import server as servers
from client import Tenant

FAILED = set()                               # names of modules and of tests: their servers' logs are kept


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        FAILED.update((item.module.__name__, item.name))


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    terminalreporter.config.closing_line = f"{len(stats.get('passed', []))} passed, {failed} failed"


def pytest_unconfigure(config):
    if hasattr(config, "closing_line"):
        print("\n" + config.closing_line)


def run_server(request, **options):
    """Start one, yield it, dispose of it: for fixtures of a module's own."""
    server, started = servers.Server(name=request.module.__name__, **options), False
    try:
        server.start()
        started = True
        yield server
    finally:
        server.dispose(failed=not started or request.module.__name__ in FAILED)


@pytest.fixture(scope="module")
def server(request):
    """One server for the module; SERVER in the module holds its options."""
    yield from run_server(request, **getattr(request.module, "SERVER", {}))


@pytest.fixture(scope="module")
def admin(server):
    with server.admin() as api:
        yield api


@pytest.fixture(scope="module")
def tenant(server):
    """An organization of its own for the module."""
    return Tenant(server, "tenant")
