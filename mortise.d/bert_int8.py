"""Makes the int8 variant of an ONNX model that bert_onnx.py wrote, byte for byte the same on every machine.

usage: bert_int8.py MODEL.onnx INT8.onnx HEADS

The matrices become int8 with one scale a column, and are multiplied as integers: ONNX Runtime's QAttention and DynamicQuantizeMatMul
quantize what comes in as they run. The table of words becomes int8 with one scale a row. Norms, biases, GELU and attention's own
arithmetic stay float. Inputs input_ids and attention_mask; outputs as bert_onnx.py's. The weights have 7 bits: with 8, processors
without VNNI overflow in the pairs that they add up in 16 bits.
"""
import array
import struct
import sys

import bert_onnx
from bert_onnx import FLOAT, INT32, INT64

INT8, LARGEST = 3, 63


def fields(data):
    """The (number, value) pairs of a protobuf message; a value is an int or the bytes of a block."""
    at, end = 0, len(data)

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < end:
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            size = varint()
            yield key >> 3, data[at:at + size]
            at += size
        else:
            at += {1: 8, 5: 4}[key & 7]


class Weights:
    """The float tensors of an ONNX file, by name."""

    def __init__(self, path):
        with open(path, "rb") as file:
            model = memoryview(file.read())
        graph = next(value for number, value in fields(model) if number == 7)
        self.index = {}
        for number, value in fields(graph):
            if number == 5:
                self.add(value)

    def add(self, data):
        shape, name, kind, raw = [], "", 0, b""
        for number, value in fields(data):
            if number == 1:
                shape.append(value)
            elif number == 2:
                kind = value
            elif number == 8:
                name = bytes(value).decode()
            elif number == 9:
                raw = value
        if kind == FLOAT:
            self.index[name] = {"shape": shape, "data": raw}

    def get(self, name):
        entry = self.index[name]
        return entry["shape"], bytes(entry["data"])

    def floats(self, name):
        shape, data = self.get(name)
        return shape, array.array("f", data)


def quantized(line):
    """The scale of these numbers, and they as integers."""
    most = max(max(line), -min(line))
    if most == 0:
        return 0.0, array.array("b", bytes(len(line)))
    scale = LARGEST / most
    return most / LARGEST, array.array("b", [round(x * scale) for x in line])


class Int8Graph(bert_onnx.Graph):
    def columns(self, name):
        """The matrix called name in int8, its scales and its zero point: names of constants."""
        (rows, width), flat = self.weights.floats(name)
        scales, out = array.array("f"), array.array("b", bytes(rows * width))
        for column in range(width):
            scale, line = quantized(flat[column::width])
            scales.append(scale)
            out[column::width] = line
        return (self.constant(name, INT8, [rows, width], out.tobytes()),
                self.constant(name + ".scale", FLOAT, [width], scales.tobytes()),
                self.constant(name + ".zero", INT8, [width], bytes(width)))

    def rows(self, name):
        (rows, width), flat = self.weights.floats(name)
        scales, out = array.array("f"), array.array("b")
        for row in range(rows):
            scale, line = quantized(flat[row * width:(row + 1) * width])
            scales.append(scale)
            out.extend(line)
        return (self.constant(name, INT8, [rows, width], out.tobytes()),
                self.constant(name + ".scale", FLOAT, [rows, 1], scales.tobytes()))

    def positions(self):
        """The table of positions with segment 0 added, for as many tokens as there are."""
        (count, width), table = self.weights.floats("embeddings.position_embeddings.weight")
        _, types = self.weights.floats("embeddings.token_type_embeddings.weight")
        added = array.array("f", [table[i] + types[i % width] for i in range(count * width)])
        whole = self.constant("positions.table", FLOAT, [count, width], added.tobytes())
        begin, end, axis = (self.constant(name, INT64, [1], struct.pack("<q", value))
                            for name, value in (("zero", 0), ("two", 2), ("axis", 0)))
        one = self.constant("begin", INT64, [1], struct.pack("<q", 1))
        shape = self.add("Shape", ["input_ids"], "ids.shape")
        length = self.add("Slice", [shape, one, end], "ids.length")
        return self.add("Slice", [whole, begin, length, axis], "positions")

    def embed(self):
        table, scale = self.rows("embeddings.word_embeddings.weight")
        words = self.add("Gather", [table, "input_ids"], "words.int8")
        scales = self.add("Gather", [scale, "input_ids"], "words.scale")
        words = self.add("Mul", [self.add("Cast", [words], "words.float", to=FLOAT), scales], "words")
        total = self.add("Add", [words, self.positions()], "embedded.sum")
        return self.add("LayerNormalization", [total, *self.norm("embeddings.LayerNorm")], "embedded",
                        axis=2, epsilon=bert_onnx.EPSILON)

    def attend(self, x, mask, layer):
        matrix, scale, zero = self.columns(layer + ".qkv.weight")
        bias = self.weight(layer + ".qkv.bias")
        parts = [layer + ".x", layer + ".x.scale", layer + ".x.zero"]
        self.nodes.append(bert_onnx.node("DynamicQuantizeLinear", [x], parts))
        heads = self.add("QAttention", [parts[0], matrix, bias, parts[1], scale, mask, parts[2], zero],
                         layer + ".heads", "com.microsoft", num_heads=self.heads)
        return self.project(heads, x, layer + ".attention.output", layer + ".attended")

    def multiply(self, x, name, output):
        return self.add("DynamicQuantizeMatMul", [x, *self.columns(name)], output, "com.microsoft")

    def inputs(self):
        return ["input_ids", "attention_mask"]


def model_bytes(path, heads):
    return bert_onnx.whole(Int8Graph(Weights(path), heads))


if __name__ == "__main__":
    with open(sys.argv[2], "wb") as out:
        out.write(model_bytes(sys.argv[1], int(sys.argv[3])))
