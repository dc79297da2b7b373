"""Writes a BERT encoder's safetensors weights as an ONNX model, byte for byte the same on every machine.

usage: bert_onnx.py WEIGHTS.safetensors MODEL.onnx HEADS

Inputs  input_ids, attention_mask, token_type_ids: int64 [batch, sequence]
Outputs last_hidden_state: float [batch, sequence, hidden]
        sentence_embedding: float [batch, hidden], the mean over the attended tokens, of length 1

The standard library is enough: the ONNX file is protobuf, whose wire format is a few lines. The attention, bias-GELU and
skip-normalization nodes are ONNX Runtime's own fused ones (domain com.microsoft), so that no graph optimizer has to find them.
"""
import array
import json
import struct
import sys

EPSILON = 1e-12
FLOAT, INT32, INT64 = 1, 6, 7  # onnx.TensorProto.DataType


# --- protobuf ---

def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def block(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


# --- ONNX messages (onnx.proto: the numbers are its field numbers) ---

def attribute(name, value):
    if isinstance(value, float):
        return block(1, name) + varint(2 << 3 | 5) + struct.pack("<f", value) + number(20, 1)
    return block(1, name) + number(3, value) + number(20, 2)


def node(kind, inputs, outputs, domain="", **attributes):
    return (b"".join(block(1, name) for name in inputs) + b"".join(block(2, name) for name in outputs)
            + block(3, outputs[0]) + block(4, kind)
            + b"".join(block(5, attribute(*item)) for item in sorted(attributes.items()))
            + block(7, domain))


def tensor(name, kind, shape, data):
    return b"".join(number(1, size) for size in shape) + number(2, kind) + block(8, name) + block(9, data)


def value_info(name, kind, shape):
    sizes = b"".join(block(1, number(1, size) if isinstance(size, int) else block(2, size)) for size in shape)
    return block(1, name) + block(2, block(1, number(1, kind) + block(2, sizes)))


# --- the weights ---

class Weights:
    """The tensors of a safetensors file, little-endian float32."""

    def __init__(self, path):
        with open(path, "rb") as file:
            header = file.read(struct.unpack("<Q", file.read(8))[0])
            self.data = file.read()
        self.index = json.loads(header)

    def get(self, name):
        entry = self.index[name]
        if entry["dtype"] != "F32":
            sys.exit(f"{name} is {entry['dtype']}; only F32 weights are understood")
        begin, end = entry["data_offsets"]
        return entry["shape"], self.data[begin:end]

    def columns(self, name):
        """A dense layer's matrix [out, in] as the list of its out rows: the columns of the [in, out] that MatMul takes."""
        (rows, width), data = self.get(name)
        flat = array.array("f", data)
        return [flat[row * width:(row + 1) * width] for row in range(rows)]


def transposed(columns):
    flat = array.array("f", bytes(4 * len(columns) * len(columns[0])))
    for place, column in enumerate(columns):
        flat[place::len(columns)] = column
    return [len(columns[0]), len(columns)], flat.tobytes()


# --- the graph ---

class Graph:
    def __init__(self, weights, heads):
        self.weights, self.heads, self.nodes, self.tensors = weights, heads, [], []

    def add(self, kind, inputs, output, domain="", **attributes):
        self.nodes.append(node(kind, inputs, [output], domain, **attributes))
        return output

    def constant(self, name, kind, shape, data):
        self.tensors.append(tensor(name, kind, shape, data))
        return name

    def weight(self, name):
        return self.constant(name, FLOAT, *self.weights.get(name))

    def multiply(self, x, name, output):
        matrix = self.constant(name, FLOAT, *transposed(self.weights.columns(name)))
        return self.add("MatMul", [x, matrix], output)

    def norm(self, name):
        return [self.weight(name + ".weight"), self.weight(name + ".bias")]

    def embed(self):
        ids = self.add("Cast", ["input_ids"], "ids", to=INT32)
        types = self.add("Cast", ["token_type_ids"], "types", to=INT32)
        tables = [self.weight(f"embeddings.{name}_embeddings.weight") for name in ("word", "position", "token_type")]
        self.nodes.append(node("EmbedLayerNormalization", [ids, types, *tables, *self.norm("embeddings.LayerNorm")],
                               ["embedded", "lengths"], "com.microsoft", epsilon=EPSILON))
        return "embedded"

    def attend(self, x, mask, layer):
        parts = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        shape, data = transposed([column for part in parts for column in self.weights.columns(part + ".weight")])
        matrix = self.constant(layer + ".qkv.weight", FLOAT, shape, data)
        bias = self.constant(layer + ".qkv.bias", FLOAT, shape[1:],
                             b"".join(self.weights.get(part + ".bias")[1] for part in parts))
        heads = self.add("Attention", [x, matrix, bias, mask], layer + ".heads", "com.microsoft", num_heads=self.heads)
        return self.project(heads, x, layer + ".attention.output", layer + ".attended")

    def project(self, x, skip, name, output):
        """The dense layer called name, its bias and skip added, normalized."""
        dense = self.multiply(x, name + ".dense.weight", name + ".dense")
        inputs = [dense, skip, *self.norm(name + ".LayerNorm"), self.weight(name + ".dense.bias")]
        return self.add("SkipLayerNormalization", inputs, output, "com.microsoft", epsilon=EPSILON)

    def feed_forward(self, x, layer, output):
        name = layer + ".intermediate.dense"
        dense = self.multiply(x, name + ".weight", name)
        wide = self.add("BiasGelu", [dense, self.weight(name + ".bias")], layer + ".gelu", "com.microsoft")
        return self.project(wide, x, layer + ".output", output)

    def pool(self, x):
        weights = self.add("Cast", ["attention_mask"], "token_weights", to=FLOAT)
        last = self.constant("last_axis", INT64, [1], struct.pack("<q", 2))
        tokens = self.constant("token_axis", INT64, [1], struct.pack("<q", 1))
        column = self.add("Unsqueeze", [weights, last], "token_weights_column")
        attended = self.add("Mul", [x, column], "attended_tokens")
        total = self.add("ReduceSum", [attended, tokens], "token_total", keepdims=0)
        count = self.add("ReduceSum", [weights, tokens], "token_count", keepdims=1)
        least = self.constant("one", FLOAT, [1], struct.pack("<f", 1.0))
        mean = self.add("Div", [total, self.add("Max", [count, least], "token_divisor")], "token_mean")
        self.add("LpNormalization", [mean], "sentence_embedding", axis=1, p=2)

    def build(self):
        layers = 1 + max(int(name.split(".")[2]) for name in self.weights.index if name.startswith("encoder.layer."))
        mask = self.add("Cast", ["attention_mask"], "mask", to=INT32)
        x = self.embed()
        for number_of in range(layers):
            layer = f"encoder.layer.{number_of}"
            x = self.attend(x, mask, layer)
            x = self.feed_forward(x, layer, "last_hidden_state" if number_of == layers - 1 else layer + ".out")
        self.pool(x)

    def inputs(self):
        return ["input_ids", "attention_mask", "token_type_ids"]

    def outputs(self):
        hidden = self.weights.index["embeddings.LayerNorm.bias"]["shape"][0]
        return [value_info("last_hidden_state", FLOAT, ["batch", "sequence", hidden]),
                value_info("sentence_embedding", FLOAT, ["batch", hidden])]

    def message(self):
        inputs = [value_info(name, INT64, ["batch", "sequence"]) for name in self.inputs()]
        return (b"".join(block(1, item) for item in self.nodes) + block(2, "bert")
                + b"".join(block(5, item) for item in self.tensors)
                + b"".join(block(11, item) for item in inputs) + b"".join(block(12, item) for item in self.outputs()))


def whole(graph):
    graph.build()
    opsets = block(8, number(2, 17)) + block(8, block(1, "com.microsoft") + number(2, 1))
    return number(1, 8) + block(2, "mortise") + block(7, graph.message()) + opsets


def model_bytes(weights_path, heads):
    return whole(Graph(Weights(weights_path), heads))


if __name__ == "__main__":
    with open(sys.argv[2], "wb") as out:
        out.write(model_bytes(sys.argv[1], int(sys.argv[3])))
