#include "weights.h"

enum { TENSORS_MAX = 1 << 20, KEYS_MAX = 1 << 16, DEPTH_MAX = 16 };

/* --- GGUF --- */

typedef struct reader {
    const char *p, *end;
    bool broken;
} reader;

static uint64_t take(reader *r, size_t n)
{
    uint64_t v = 0;
    if ((size_t)(r->end - r->p) < n) {
        r->broken = true;
        return 0;
    }
    memcpy(&v, r->p, n);         /* little-endian, as the format and the machines that this runs on */
    r->p += n;
    return v;
}

static mt_slice take_bytes(reader *r, uint64_t n)
{
    if ((uint64_t)(r->end - r->p) < n) {
        r->broken = true;
        return (mt_slice){0};
    }
    mt_slice s = {r->p, (size_t)n};
    r->p += n;
    return s;
}

static mt_slice take_string(reader *r)
{
    return take_bytes(r, take(r, 8));
}

enum { GGUF_U32 = 4, GGUF_STRING = 8, GGUF_ARRAY = 9 };

static size_t value_size(uint64_t type)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizeof sizes ? sizes[type] : 0;
}

static void skip_value(reader *r, uint64_t type)
{
    if (type == GGUF_STRING) {
        take_string(r);
    } else if (type == GGUF_ARRAY) {
        uint64_t of = take(r, 4), n = take(r, 8);
        size_t size = value_size(of);
        if (of == GGUF_STRING)
            while (n-- && !r->broken)
                take_string(r);
        else if (!size || n > (uint64_t)(r->end - r->p) / size)
            r->broken = true;
        else
            take_bytes(r, n * size);
    } else if (value_size(type)) {
        take(r, value_size(type));
    } else {
        r->broken = true;
    }
}

/* Numbers of a block and bytes of it, by ggml's type; 0 for types that are gone or not known. */
static const struct { uint16_t numbers, bytes; } blocks[] = {
    [0] = {1, 4}, [1] = {1, 2}, [2] = {32, 18}, [3] = {32, 20}, [6] = {32, 22}, [7] = {32, 24}, [8] = {32, 34}, [9] = {32, 36},
    [10] = {256, 84}, [11] = {256, 110}, [12] = {256, 144}, [13] = {256, 176}, [14] = {256, 210}, [15] = {256, 292}, [16] = {256, 66},
    [17] = {256, 74}, [18] = {256, 98}, [19] = {256, 50}, [20] = {32, 18}, [21] = {256, 110}, [22] = {256, 82}, [23] = {256, 136},
    [24] = {1, 1}, [25] = {1, 2}, [26] = {1, 4}, [27] = {1, 8}, [28] = {1, 8}, [29] = {256, 56}, [30] = {1, 2}, [34] = {256, 54},
    [35] = {256, 66}, [39] = {32, 17}};

typedef struct extent {
    uint64_t offset, bytes;
} extent;

static const char *read_tensor(reader *r, extent *out)
{
    uint64_t numbers = 1;
    take_string(r);
    uint64_t dims = take(r, 4);
    if (dims > 4)
        return "A tensor has more than four dimensions.";
    while (dims--) {
        uint64_t n = take(r, 8);
        if (__builtin_mul_overflow(numbers, n, &numbers))
            return "A tensor is too large.";
    }
    uint64_t type = take(r, 4);
    out->offset = take(r, 8);
    if (type >= sizeof blocks / sizeof *blocks || !blocks[type].numbers)
        return "A tensor has a type that is not known.";
    if (numbers % blocks[type].numbers || __builtin_mul_overflow(numbers / blocks[type].numbers, blocks[type].bytes, &out->bytes))
        return "A tensor's size does not fit its type.";
    return r->broken ? "The file ends inside its header." : NULL;
}

static uint64_t read_keys(reader *r, uint64_t n)
{
    uint64_t alignment = 32;
    while (n-- && !r->broken) {
        mt_slice key = take_string(r);
        uint64_t type = take(r, 4);
        if (type == GGUF_U32 && mt_slice_eq(key, MT_SLICE("general.alignment")))
            alignment = take(r, 4);
        else
            skip_value(r, type);
    }
    return alignment;
}

static const char *check_gguf(mt_slice file)
{
    reader r = {file.p + 4, file.p + file.len, false};
    uint64_t version = take(&r, 4), tensors = take(&r, 8), keys = take(&r, 8), used = 0;
    if (version < 2 || version > 3)
        return "Only versions 2 and 3 of GGUF are read.";
    if (!tensors || tensors > TENSORS_MAX || keys > KEYS_MAX)
        return "It has no tensors, or too many tensors or keys.";
    uint64_t alignment = read_keys(&r, keys);
    if (!alignment || alignment & (alignment - 1) || alignment > 65536)
        return "Its alignment is not a power of two.";
    for (uint64_t i = 0; i < tensors; i++) {
        extent e;
        const char *why = read_tensor(&r, &e);
        if (why)
            return why;
        if (e.offset % alignment || e.offset > file.len || e.bytes > file.len - e.offset)
            return "A tensor lies outside of the file.";
        used = e.offset + e.bytes > used ? e.offset + e.bytes : used;
    }
    uint64_t start = ((uint64_t)(r.p - file.p) + alignment - 1) / alignment * alignment;
    return start > file.len || used > file.len - start ? "A tensor lies outside of the file." : NULL;
}

/* --- ONNX --- */

typedef enum kind { NONE, MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, SPARSE, FUNCTION } kind;

static kind child_of(kind k, uint64_t field)
{
    static const struct { uint8_t in, field, is; } children[] = {
        {MODEL, 7, GRAPH}, {MODEL, 25, FUNCTION}, {GRAPH, 1, NODE}, {GRAPH, 5, TENSOR}, {GRAPH, 15, SPARSE}, {FUNCTION, 7, NODE},
        {NODE, 5, ATTRIBUTE}, {ATTRIBUTE, 5, TENSOR}, {ATTRIBUTE, 6, GRAPH}, {ATTRIBUTE, 10, TENSOR}, {ATTRIBUTE, 11, GRAPH},
        {ATTRIBUTE, 22, SPARSE}, {ATTRIBUTE, 23, SPARSE}, {SPARSE, 1, TENSOR}, {SPARSE, 2, TENSOR}};
    for (size_t i = 0; i < sizeof children / sizeof *children; i++)
        if (children[i].in == k && children[i].field == field)
            return children[i].is;
    return NONE;
}

static uint64_t varint(reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t b = take(r, 1);
        v |= (b & 127) << shift;
        if (!(b & 128))
            return v;
    }
    r->broken = true;
    return 0;
}

typedef struct onnx_seen {
    unsigned graphs, nodes, versions;
    const char *why;
} onnx_seen;

static void walk(mt_slice message, kind k, unsigned depth, onnx_seen *seen);

static void take_field(reader *r, kind k, unsigned depth, onnx_seen *seen)
{
    uint64_t tag = varint(r), field = tag >> 3, type = tag & 7, number = 0;
    mt_slice bytes = {0};
    if (type == 0)
        number = varint(r);
    else if (type == 2)
        bytes = take_bytes(r, varint(r));
    else if (type == 1 || type == 5)
        take_bytes(r, type == 1 ? 8 : 4);
    else
        r->broken = true;
    if (r->broken || !field)
        seen->why = "It is not the protocol buffer of a model.";
    else if (k == TENSOR && (field == 13 || (field == 14 && number == 1)))
        seen->why = "Its weights lie in another file: only models that hold their weights are taken.";
    else if (k == MODEL && field == 1 && type == 0)
        seen->versions++;
    else if (type == 2 && child_of(k, field) != NONE)
        walk(bytes, child_of(k, field), depth + 1, seen);
}

static void walk(mt_slice message, kind k, unsigned depth, onnx_seen *seen)
{
    reader r = {message.p, message.p + message.len, false};
    seen->graphs += k == GRAPH;
    seen->nodes += k == NODE;
    if (depth > DEPTH_MAX)
        seen->why = "Its graphs are nested too deeply.";
    while (r.p < r.end && !seen->why)
        take_field(&r, k, depth, seen);
}

static const char *check_onnx(mt_slice file)
{
    onnx_seen seen = {0};
    walk(file, MODEL, 0, &seen);
    if (seen.why)
        return seen.why;
    return seen.versions == 1 && seen.graphs && seen.nodes ? NULL : "It is neither a GGUF nor an ONNX model.";
}

weights_format weights_check(mt_slice file, const char **why)
{
    bool gguf = file.len >= 4 && !memcmp(file.p, "GGUF", 4);
    *why = gguf ? check_gguf(file) : file.len ? check_onnx(file) : "The file is empty.";
    return *why ? WEIGHTS_UNKNOWN : gguf ? WEIGHTS_GGUF : WEIGHTS_ONNX;
}

/* --- vocabularies --- */

const char *weights_check_vocabulary(mt_slice file)
{
    static const char *const marks[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"};
    unsigned seen = 0, words = 0;
    if (file.len > 16 << 20 || memchr(file.p, 0, file.len))
        return "The vocabulary is over 16 MiB, or no text.";
    while (file.len) {
        const char *end = memchr(file.p, '\n', file.len);
        size_t n = end ? (size_t)(end - file.p) : file.len;
        mt_slice word = {file.p, n && file.p[n - 1] == '\r' ? n - 1 : n};
        for (unsigned i = 0; i < 4; i++)
            seen |= mt_slice_eq(word, mt_str(marks[i])) ? 1u << i : 0;
        words++;
        file = (mt_slice){file.p + n + (end != NULL), file.len - n - (end != NULL)};
    }
    return seen == 15 && words > 4 ? NULL : "The vocabulary is not that of a BERT tokenizer: one word piece a line, [PAD], [UNK], [CLS] and [SEP] among them.";
}

const char *weights_name(weights_format f)
{
    return f == WEIGHTS_GGUF ? "gguf" : f == WEIGHTS_ONNX ? "onnx" : "none";
}
