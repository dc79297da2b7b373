"""The least ONNX models that run: a table of numbers a word, so that what comes out can be told beforehand."""
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "mortise.d"))
import bert_onnx as o  # noqa: E402

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def vocabulary(words):
    return "\n".join(MARKS + list(words)).encode() + b"\n"


def _model(table, outputs, *nodes):
    """table: a row of numbers for each id; the nodes read input_ids and "table"."""
    flat = [float(x) for row in table for x in row]
    inputs = b"".join(o.block(11, o.value_info(name, o.INT64, ["batch", "sequence"])) for name in ("input_ids", "attention_mask"))
    weights = o.block(5, o.tensor("table", o.FLOAT, [len(table), len(table[0])], struct.pack(f"<{len(flat)}f", *flat)))
    axes = o.block(5, o.tensor("axes", o.INT64, [1], struct.pack("<q", 1)))
    graph = b"".join(o.block(1, n) for n in nodes) + o.block(2, "table") + weights + axes + inputs + o.block(12, outputs)
    return o.number(1, 8) + o.block(2, "mortise") + o.block(7, graph) + o.block(8, o.number(2, 17))


def embedder(vectors):
    """word → its vector; marks and unknown words have none. A text's vector is the mean of its words', made of length 1."""
    size = len(next(iter(vectors.values())))
    table = [[0.0] * size for _ in MARKS] + [list(v) for v in vectors.values()]
    return _model(table, o.value_info("last_hidden_state", o.FLOAT, ["batch", "sequence", size]),
                  o.node("Gather", ["table", "input_ids"], ["last_hidden_state"], axis=0))


def reranker(weights, rounds=0):
    """word → its weight; a pair's score is the logistic function of the sum over its words. rounds: how often it is worked out anew, to take its time."""
    table = [[0.0] for _ in MARKS] + [[w] for w in weights.values()]
    nodes, summed = [o.node("Gather", ["table", "input_ids"], ["words"], axis=0)], "words"
    for i in range(rounds):
        nodes.append(o.node("Erf", [summed], [f"round{i}"]))
        summed = f"round{i}"
    nodes.append(o.node("ReduceSum", [summed, "axes"], ["logits"], keepdims=0))
    return _model(table, o.value_info("logits", o.FLOAT, ["batch", 1]), *nodes)
