"""The SDK's examples in a real server, inside the host and in workers of their own: each loads, answers, keeps tenants apart, and fails as its page says."""
import pytest

import client
import harness
import server as servers

EXAMPLES = servers.BUILD / "examples"
TALLIES = [name for name in ("cpp_tally", "rust_tally") if (EXAMPLES / name / f"{name}.so").exists()]
PLUGINS = [*TALLIES]
both = pytest.mark.parametrize("slug", TALLIES)


@pytest.fixture(scope="module", params=["none", "process"])
def place(request):
    args = ["--outbound.allow_private", *(["--plugins.isolated", ",".join(PLUGINS)] if request.param == "process" else [])]
    for server in harness.run_server(request, plugins=[EXAMPLES], enable=PLUGINS, args=args):
        server.isolation = request.param
        yield server


@pytest.fixture(scope="module")
def tenant(place):
    return client.Tenant(place, "examples")


@pytest.fixture(scope="module")
def api(tenant):
    return tenant.api


def test_each_runs_where_it_should(place):
    with place.admin() as admin:
        for slug in PLUGINS:
            told = admin.call("GET", f"/plugins/{slug}").data
            assert (told["state"], told["isolation"]) == ("active", place.isolation)


# --- C++ and Rust ---

def votes(slug):
    return f"/{slug.replace('_', '-')}/votes"


@both
def test_votes_are_counted(place, slug):
    api = client.Tenant(place, f"{slug.replace('_', '-')}-voters").api
    assert api.call("GET", votes(slug)).data == {"total": 0, "choices": []}
    for choice, count in (("tea", 1), ("maté \"hot\"", 1), ("tea", 2)):
        assert api.call("POST", votes(slug), 201, json={"choice": choice}).data == {"choice": choice, "votes": count}
    assert api.call("GET", votes(slug)).data == {"total": 3, "choices": [{"choice": "tea", "votes": 2}, {"choice": "maté \"hot\"", "votes": 1}]}
    assert api.call("GET", f"{votes(slug)}/2").data["choice"] == "maté \"hot\""
    assert api.call("GET", f"{votes(slug)}/3", 404).data["code"] == "not_found"
    assert api.call("POST", votes(slug), 422, json={"choice": ""}).data["code"]


@both
def test_votes_of_others_are_not_seen(place, slug):
    first, second = (client.Tenant(place, f"{slug.replace('_', '-')}-{n}").api for n in "ab")
    first.call("POST", votes(slug), 201, json={"choice": "secret"})
    assert second.call("GET", votes(slug)).data == {"total": 0, "choices": []}
