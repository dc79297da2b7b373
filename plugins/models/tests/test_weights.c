#include "weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

typedef struct bytes {
    char p[4096];
    size_t len;
} bytes;

static void put(bytes *b, uint64_t v, size_t n)
{
    memcpy(b->p + b->len, &v, n);
    b->len += n;
}

static void put_text(bytes *b, const char *s, bool counted)
{
    if (counted)
        put(b, strlen(s), 8);
    memcpy(b->p + b->len, s, strlen(s));
    b->len += strlen(s);
}

/* One key of each shape, one tensor of 8 × 32 numbers of a type at an offset. */
static bytes gguf(uint64_t type, uint64_t offset)
{
    bytes b = {0};
    put_text(&b, "GGUF", false);
    put(&b, 3, 4);
    put(&b, 1, 8);
    put(&b, 3, 8);
    put_text(&b, "general.architecture", true);
    put(&b, 8, 4);
    put_text(&b, "llama", true);
    put_text(&b, "general.alignment", true);
    put(&b, 4, 4);
    put(&b, 64, 4);
    put_text(&b, "tokens", true);
    put(&b, 9, 4);
    put(&b, 8, 4);
    put(&b, 2, 8);
    put_text(&b, "a", true);
    put_text(&b, "b", true);
    put_text(&b, "weight", true);
    put(&b, 2, 4);
    put(&b, 32, 8);
    put(&b, 8, 8);
    put(&b, type, 4);
    put(&b, offset, 8);
    b.len = (b.len + 63) / 64 * 64 + 8 * 34;       /* 256 numbers of Q8_0 */
    return b;
}

static weights_format check(bytes b)
{
    const char *why;
    weights_format f = weights_check((mt_slice){b.p, b.len}, &why);
    assert_true((f == WEIGHTS_UNKNOWN) == (why != NULL));
    return f;
}

static void test_gguf(void **state)
{
    bytes b = gguf(8, 0);
    assert_int_equal(check(b), WEIGHTS_GGUF);
    for (size_t n = 4; n < b.len; n++) {
        bytes cut = b;
        cut.len = n;
        assert_int_equal(check(cut), WEIGHTS_UNKNOWN);
    }
    assert_int_equal(check(gguf(0, 0)), WEIGHTS_UNKNOWN);            /* four times as large */
    assert_int_equal(check(gguf(8, 64)), WEIGHTS_UNKNOWN);
    assert_int_equal(check(gguf(8, 7)), WEIGHTS_UNKNOWN);
    assert_int_equal(check(gguf(8, UINT64_MAX - 63)), WEIGHTS_UNKNOWN);
    assert_int_equal(check(gguf(4, 0)), WEIGHTS_UNKNOWN);            /* a type that is gone */
    b.p[4] = 1;
    assert_int_equal(check(b), WEIGHTS_UNKNOWN);
}

static void field(bytes *b, unsigned number, const bytes *inner)
{
    put(b, number << 3 | 2, 1 + (number > 15));
    if (number > 15) {
        b->p[b->len - 2] = (char)((number << 3 | 2) & 127) | (char)128;
        b->p[b->len - 1] = (char)(number >> 4);
    }
    if (inner->len > 127)
        put(b, inner->len & 127, 1), b->p[b->len - 1] |= (char)128;
    put(b, inner->len > 127 ? inner->len >> 7 : inner->len, 1);
    memcpy(b->p + b->len, inner->p, inner->len);
    b->len += inner->len;
}

static bytes onnx(const bytes *tensor, const bytes *attribute)
{
    bytes node = {0}, graph = {0}, model = {0}, name = {.p = "Add", .len = 3};
    field(&node, 4, &name);
    if (attribute)
        field(&node, 5, attribute);
    field(&graph, 1, &node);
    field(&graph, 5, tensor);
    put(&model, 1 << 3, 1);
    put(&model, 8, 1);
    field(&model, 7, &graph);
    return model;
}

static void test_onnx(void **state)
{
    bytes raw = {.p = "0123", .len = 4}, tensor = {0}, outside = {0}, entry = {.p = "x", .len = 1}, attribute = {0}, model;
    field(&tensor, 9, &raw);
    model = onnx(&tensor, NULL);
    assert_int_equal(check(model), WEIGHTS_ONNX);
    for (size_t n = 0; n < model.len; n++) {
        bytes cut = model;
        cut.len = n;
        assert_int_equal(check(cut), WEIGHTS_UNKNOWN);
    }
    field(&outside, 13, &entry);
    assert_int_equal(check(onnx(&outside, NULL)), WEIGHTS_UNKNOWN);
    field(&attribute, 5, &outside);
    assert_int_equal(check(onnx(&tensor, &attribute)), WEIGHTS_UNKNOWN);
    bytes located = {0};
    put(&located, 14 << 3, 1);
    put(&located, 1, 1);
    assert_int_equal(check(onnx(&located, NULL)), WEIGHTS_UNKNOWN);
}

/* An attribute's graph within a node's attribute, and so on. */
static void test_depth_has_a_limit(void **state)
{
    bytes graph = {0};
    for (int i = 0; i < 12; i++) {
        bytes attribute = {0}, node = {0}, outer = {0};
        field(&attribute, 6, &graph);
        field(&node, 5, &attribute);
        field(&outer, 1, &node);
        graph = outer;
    }
    bytes model = {0};
    put(&model, 1 << 3, 1);
    put(&model, 8, 1);
    field(&model, 7, &graph);
    assert_int_equal(check(model), WEIGHTS_UNKNOWN);
}

static void test_neither(void **state)
{
    assert_int_equal(check((bytes){.p = "MZ\x90", .len = 3}), WEIGHTS_UNKNOWN);
    assert_int_equal(check((bytes){.p = "PK\3\4", .len = 4}), WEIGHTS_UNKNOWN);
}

static void test_vocabularies(void **state)
{
    assert_null(weights_check_vocabulary(MT_SLICE("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")));
    assert_null(weights_check_vocabulary(MT_SLICE("[PAD]\r\na\r\n[UNK]\r\n[CLS]\r\n[SEP]")));
    static const mt_slice wrong[] = {MT_SLICE_INIT("\n"), MT_SLICE_INIT("[PAD]\n[UNK]\n[CLS]\n[SEP]\n"), MT_SLICE_INIT("[PAD]\n[UNK]\n[CLS]\na\nb\n"),
                                     MT_SLICE_INIT("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\0\n"), MT_SLICE_INIT("[PAD] [UNK] [CLS] [SEP] a b c")};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_non_null(weights_check_vocabulary(wrong[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vocabularies), cmocka_unit_test(test_gguf), cmocka_unit_test(test_onnx), cmocka_unit_test(test_depth_has_a_limit), cmocka_unit_test(test_neither)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
