"""vector_index/1 through the server: files that were damaged are made again from the rows, FAISS in index_local's place, and the way back."""
import pytest

import server as servers
from client import Client, Tenant
from server import until

TEXT = b"The weir at Godstow was rebuilt in 1924, and its keeper paints the sluice gates every spring."
QUESTION = "When were the sluice gates at Godstow rebuilt?"
FAISS = servers.PLUGINS / "index_faiss" / "index_faiss.so"


@pytest.fixture
def own():
    """A server for one test; not started."""
    made = []

    def make(**options):
        made.append(servers.Server(name="index", **options))
        return made[-1]
    yield make
    for server in made:
        server.dispose()


def files(server, tenant):
    return sorted((server.data / "indexes" / tenant.org).glob(f"{tenant.workspace}.*.idx"))


def found(server, tenant):
    with Client(server.url, tenant.key) as api:
        return [r["chunk_id"] for r in api.search(tenant.workspace, QUESTION)]


def test_a_damaged_file_is_made_again(own):
    server = own().start()
    tenant = Tenant(server, "damaged")
    tenant.api.upload(tenant.workspace, ("weir.txt", TEXT))
    before = found(server, tenant)
    assert before
    for place in (40, 300, -1):                 # the header, the ids, the last byte of the log: each is noticed, none is served
        server.stop()
        path = files(server, tenant)[0]
        data = bytearray(path.read_bytes())
        data[place] ^= 0x55
        path.write_bytes(data)
        server.start()
        assert found(server, tenant) == before
        server.stop()
        path.write_bytes(path.read_bytes()[:200])
        server.start()
        assert found(server, tenant) == before


@pytest.mark.skipif(not FAISS.exists(), reason="index_faiss is not built: libfaiss-dev is not installed")
def test_faiss_in_place_of_index_local(own):
    server = own(enable=["index_faiss"], args=["--plugins.providers", "vector_index=index_faiss"]).start()
    tenant = Tenant(server, "faiss")
    document = tenant.api.upload(tenant.workspace, ("weir.txt", TEXT))[0]["document"]
    before = found(server, tenant)
    assert before
    server.stop()
    server.args = []                            # the same files, by index_local
    server.start()
    assert found(server, tenant) == before
    with Client(server.url, tenant.key) as api:
        api.call("DELETE", f"/workspaces/{tenant.workspace}/documents/{document['id']}", 204)
        until("nothing is found", lambda: not found(server, tenant))
