#include "support.h"
#include "gguf_check.h"

static void test_a_whole_file(void **state)
{
    bytes b = tiny_gguf();
    char reason[GGUF_REASON] = "";
    assert_int_equal(gguf_check(b.p, b.n, b.n, reason), MT_OK);
    free(b.p);
}

/* Wherever a file was cut, it is refused, with a reason. */
static void test_cut_anywhere(void **state)
{
    bytes b = tiny_gguf();
    for (size_t n = 0; n < b.n; n += n < 12000 ? 1 : 4099) {
        char reason[GGUF_REASON] = "";
        unsigned char *copy = malloc(n + !n);
        memcpy(copy, b.p, n);       /* its own block: a read past the end shows under ASan */
        assert_int_equal(gguf_check(copy, n, n, reason), MT_INVALID);
        assert_true(reason[0]);
        free(copy);
    }
    free(b.p);
}

static void refused(size_t at, const void *bytes_, size_t n)
{
    bytes b = tiny_gguf();
    char reason[GGUF_REASON] = "";
    memcpy(b.p + at, bytes_, n);
    assert_int_equal(gguf_check(b.p, b.n, b.n, reason), MT_INVALID);
    assert_true(reason[0]);
    free(b.p);
}

static void test_wrong_heads(void **state)
{
    uint64_t many = UINT64_MAX, none = 0;
    uint32_t version = 1;
    refused(0, "GGML", 4);
    refused(4, &version, 4);
    refused(8, &many, 8);
    refused(8, &none, 8);
    refused(16, &many, 8);
    refused(24, &many, 8);
}

static void test_wrong_tensors(void **state)
{
    bytes b = tiny_gguf();
    const unsigned char *name = memmem(b.p, b.n, "token_embd.weight", 17);
    size_t at = (size_t)(name - b.p) + 17;
    free(b.p);
    uint64_t huge = UINT64_MAX / 2, odd = 4;
    uint32_t five = 5, type = 200;
    refused(at, &five, 4);          /* dimensions */
    refused(at + 4, &huge, 8);      /* a size whose product overflows */
    refused(at + 20, &type, 4);
    refused(at + 24, &odd, 8);      /* an offset that is not aligned */
    refused(at + 24, &huge, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_whole_file), cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_wrong_heads),
                                       cmocka_unit_test(test_wrong_tensors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
