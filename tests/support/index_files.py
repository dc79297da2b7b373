"""What an index file says, read past the code that wrote it: its version and the ids of its rows, base and log."""
import struct


class Record:
    """How a log record begins: magic, checksum, version, removed ids, added ids, and for texts the length of all that follows."""

    def __init__(self, magic, layout, body):
        self.magic, self.layout, self.body = magic, struct.Struct(layout), body

    def replay(self, data, at, version, ids):
        while at + self.layout.size <= len(data):
            head = self.layout.unpack_from(data, at)
            end = at + self.layout.size + self.body(head)
            if head[0] != self.magic or end > len(data):
                break
            removed, added = head[3], head[4]
            ids -= set(ids_at(data, at + self.layout.size, removed))
            ids |= set(ids_at(data, at + self.layout.size + 16 * removed, added))
            version, at = head[2], end
        return version, ids


def aligned(n, to):
    return (n + to - 1) // to * to


def ids_at(data, at, n):
    return [data[i:i + 16] for i in range(at, at + 16 * n, 16)]


def base_ids(data, at, n):
    ids = ids_at(data, at, n)
    assert len(set(ids)) == n, "a row is twice in the file"
    return set(ids)


def as_text(ids):
    return {"-".join((i.hex()[:8], i.hex()[8:12], i.hex()[12:16], i.hex()[16:20], i.hex()[20:])) for i in ids}


def read_vectors(path):
    """index_local's .idx: the version of the rows, the ids, and how many bytes the graph has."""
    data = path.read_bytes()
    assert data[:8] == b"MTXINDEX"
    dim, version, count = struct.unpack_from("<4xI QQ", data, 8)[0:3]
    graph_len = struct.unpack_from("<Q", data, 216)[0]
    stride = aligned(dim, 64)
    codes = aligned(aligned(256 + 16 * count, 64) + 4 * count, 64)
    graph = codes + 2 * count * stride
    end = aligned(aligned(graph, 4096) + graph_len, 4096) if graph_len else aligned(graph, 64)
    log = Record(0x474F4C58, "<IIQII", lambda head: 16 * head[3] + head[4] * (16 + 4 * dim))
    version, ids = log.replay(data, end, version, base_ids(data, 256, count))
    return version >> 20, as_text(ids), graph_len


def read_texts(path):
    """index_text's .txt: the version of the rows, the ids, and how many of them are in the base."""
    data = path.read_bytes()
    assert data[:8] == b"MtText\r\n"
    version, = struct.unpack_from("<Q", data, 16)
    names, values, passages, terms, blocks = struct.unpack_from("<QQIII", data, 40)
    at = 128
    for length in (16 * passages, 4 * passages, 32 * terms, 20 * blocks, names):
        at = aligned(at + length, 64)
    end = aligned(at + values + 8, 64)
    log = Record(0x7478544D, "<IIQIIQ", lambda head: head[5])
    version, ids = log.replay(data, end, version, base_ids(data, 128, passages))
    return version >> 20, as_text(ids), passages
