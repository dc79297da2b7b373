"""Writes tiny_reranker/: a cross-encoder with random weights (one layer, eight numbers a token) as an ONNX model with its vocabulary and manifest, and
the scores that the same arithmetic, written out in plain Python, gives to some pairs.

usage: python3 make_tiny_reranker.py        (the standard library is enough)
"""
import array
import json
import math
import os
import random
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "mortise.d"))
import bert_onnx  # noqa: E402

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "mill", "river", "stands", "by", "a", "rates", "rose", "bank", "of", "what", "is", "where", "?", "."]
HIDDEN, HEADS, WIDE, WINDOW = 8, 2, 16, 16
PAIRS = [("where is the mill ?", "the mill stands by the river ."), ("where is the mill ?", "rates rose ."), ("bank", "the bank of the river ."),
         ("rates", ""), ("the mill the mill the mill the mill the mill", "river"), ("mill", "the river the river the river the river the river the bank"),
         ("a a a a a a a a a a a a", "b the b the b the b the b the b the"), ("unknown words", "are one token each")]


class Weights:
    def __init__(self):
        rng, self.index, self.values = random.Random(7), {}, {}
        norm = lambda name: [(name + ".weight", [HIDDEN]), (name + ".bias", [HIDDEN])]
        dense = lambda name, into, out: [(name + ".weight", [out, into]), (name + ".bias", [out])]
        layer = "encoder.layer.0."
        shapes = [("embeddings.word_embeddings.weight", [len(WORDS), HIDDEN]), ("embeddings.position_embeddings.weight", [WINDOW, HIDDEN]),
                  ("embeddings.token_type_embeddings.weight", [2, HIDDEN]), *norm("embeddings.LayerNorm"),
                  *(entry for part in ("query", "key", "value") for entry in dense(f"{layer}attention.self.{part}", HIDDEN, HIDDEN)),
                  *dense(layer + "attention.output.dense", HIDDEN, HIDDEN), *norm(layer + "attention.output.LayerNorm"),
                  *dense(layer + "intermediate.dense", HIDDEN, WIDE), *dense(layer + "output.dense", WIDE, HIDDEN), *norm(layer + "output.LayerNorm"),
                  *dense("pooler.dense", HIDDEN, HIDDEN), *dense("classifier", HIDDEN, 1)]
        for name, shape in shapes:
            values = array.array("f", [rng.uniform(-0.9, 0.9) for _ in range(math.prod(shape))])
            self.index[name], self.values[name] = {"shape": shape}, values

    def get(self, name):
        return self.index[name]["shape"], self.values[name].tobytes()

    def columns(self, name):
        rows, width = self.index[name]["shape"]
        return [self.values[name][row * width:(row + 1) * width] for row in range(rows)]


class CrossEncoder(bert_onnx.Graph):
    def pool(self, x):
        first = self.constant("first", bert_onnx.INT64, [], struct.pack("<q", 0))
        token = self.add("Gather", [x, first], "cls", axis=1)
        dense = self.add("Add", [self.multiply(token, "pooler.dense.weight", "pooler"), self.weight("pooler.dense.bias")], "pooler.sum")
        pooled = self.add("Tanh", [dense], "pooled")
        self.add("Add", [self.multiply(pooled, "classifier.weight", "classifier"), self.weight("classifier.bias")], "logits")

    def outputs(self):
        return [bert_onnx.value_info("logits", bert_onnx.FLOAT, ["batch", 1])]


# --- the same in plain Python ---

def normalized(w, name, x):
    mean = sum(x) / len(x)
    scale = 1 / math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + bert_onnx.EPSILON)
    return [(v - mean) * scale * g + b for v, g, b in zip(x, w.values[name + ".weight"], w.values[name + ".bias"])]


def dense(w, name, x):
    return [sum(a * b for a, b in zip(column, x)) + bias for column, bias in zip(w.columns(name + ".weight"), w.values[name + ".bias"])]


def attend(w, name, rows):
    q, k, v = ([dense(w, f"{name}.{part}", x) for x in rows] for part in ("query", "key", "value"))
    size, out = HIDDEN // HEADS, [[] for _ in rows]
    for head in range(0, HIDDEN, size):
        for i, query in enumerate(q):
            marks = [math.exp(sum(query[d] * key[d] for d in range(head, head + size)) / math.sqrt(size)) for key in k]
            out[i] += [sum(m * value[d] for m, value in zip(marks, v)) / sum(marks) for d in range(head, head + size)]
    return out


def added(*rows):
    return [sum(values) for values in zip(*rows)]


def logit(w, ids, types):
    tables = [w.columns(f"embeddings.{part}_embeddings.weight") for part in ("word", "position", "token_type")]
    rows = [normalized(w, "embeddings.LayerNorm", added(tables[0][i], tables[1][at], tables[2][t])) for at, (i, t) in enumerate(zip(ids, types))]
    name = "encoder.layer.0."
    heads = attend(w, name + "attention.self", rows)
    rows = [normalized(w, name + "attention.output.LayerNorm", added(dense(w, name + "attention.output.dense", h), x)) for h, x in zip(heads, rows)]
    gelu = lambda v: v * (1 + math.erf(v / math.sqrt(2))) / 2
    wide = [[gelu(v) for v in dense(w, name + "intermediate.dense", x)] for x in rows]
    rows = [normalized(w, name + "output.LayerNorm", added(dense(w, name + "output.dense", h), x)) for h, x in zip(wide, rows)]
    return dense(w, "classifier", [math.tanh(v) for v in dense(w, "pooler.dense", rows[0])])[0]


def cut(a, b, room):
    """The reference tokenizer's longest_first: one token at a time from the longer side, and from the first one where both are as long."""
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (b if len(b) > len(a) else a).pop()
    return a, b


def score(w, query, text):
    ids = lambda words: [WORDS.index(word) if word in WORDS else 1 for word in words.split()]
    a, b = cut(ids(query), ids(text), WINDOW - 3)
    row = [2, *a, 3, *b, 3]
    return 1 / (1 + math.exp(-logit(w, row, [0] * (len(a) + 2) + [1] * (len(b) + 1))))


def main():
    folder, w = os.path.join(HERE, "tiny_reranker"), Weights()
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.onnx"), "wb") as out:
        out.write(bert_onnx.whole(CrossEncoder(w, HEADS)))
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as out:
        out.write("\n".join(WORDS) + "\n")
    with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as out:
        json.dump({"name": "tiny-reranker", "task": "rerank", "max_tokens": WINDOW, "files": [{"name": "model.onnx"}, {"name": "vocab.txt"}]}, out)
        out.write("\n")
    with open(os.path.join(folder, "scores.tsv"), "w", encoding="utf-8") as out:
        for query, text in PAIRS:
            print(query, text, f"{score(w, query, text):.7f}", sep="\t", file=out)


if __name__ == "__main__":
    main()
