/* Answers of upstreams, good and hostile, and the estimate of tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "answer.h"
#include "tokens.h"

static char reason[ANSWER_REASON];
static float out[2 * 2];
static int64_t tokens;

/* From a block of exactly its size, so that a read past its end shows under a sanitizer. */
static mt_status read_exactly(const char *text, size_t len, size_t n)
{
    char *p = malloc(len + !len);
    memcpy(p, text, len);
    mt_status s = answer_read((mt_slice){p, len}, n, 2, out, &tokens, reason);
    free(p);
    return s;
}

static const char good[] = "{\"object\":\"list\",\"x\":{\"y\":[1,\"a\\\"}\",null]},\"data\":[{\"object\":\"embedding\",\"index\":1,\"embedding\":[0, -2.5e-1]},"
                           " {\"embedding\":[3.0,4],\"index\":0}],\"model\":\"m\",\"usage\":{\"prompt_tokens\":7,\"total_tokens\":9,\"d\":{}}}\n";

static void test_good(void **state)
{
    assert_int_equal(read_exactly(good, sizeof good - 1, 2), MT_OK);
    assert_true(fabsf(out[0] - 0.6f) < 1e-6f && fabsf(out[1] - 0.8f) < 1e-6f && out[2] == 0 && out[3] == -1);
    assert_int_equal(tokens, 9);
    const char plain[] = "{\"data\":[{\"embedding\":[1,0]},{\"embedding\":[0,1]}]}";
    assert_int_equal(read_exactly(plain, sizeof plain - 1, 2), MT_OK);
    assert_true(out[0] == 1 && out[3] == 1);
    assert_int_equal(tokens, -1);
}

static void refused(const char *text, const char *why)
{
    reason[0] = 0;
    assert_int_equal(read_exactly(text, strlen(text), 2), MT_INVALID);
    if (!strstr(reason, why))
        fail_msg("%s: %s", text, reason);
}

static void test_refused(void **state)
{
    refused("", "no JSON");
    refused("<html>busy</html>", "no JSON");
    refused("[]", "no JSON");
    refused("{}", "0 vectors came for 2 texts");
    refused("{\"data\":[{\"embedding\":[1,0]}]}", "1 vectors came for 2 texts");
    refused("{\"data\":[{\"embedding\":[1,0]},{\"embedding\":[1,0]},{\"embedding\":[1,0]}]}", "one more");
    refused("{\"data\":[{\"embedding\":[1]},{\"embedding\":[1,0]}]}", "fewer dimensions");
    refused("{\"data\":[{\"embedding\":[1,0,0]},{\"embedding\":[1,0]}]}", "more dimensions");
    refused("{\"data\":[{\"embedding\":[1,0],\"index\":1},{\"embedding\":[1,0],\"index\":1}]}", "another has too");
    refused("{\"data\":[{\"embedding\":[1,0],\"index\":2},{\"embedding\":[1,0]}]}", "not asked for");
    refused("{\"data\":[{\"embedding\":[1,0],\"index\":-1},{\"embedding\":[1,0]}]}", "not asked for");
    refused("{\"data\":[{\"embedding\":[0,0]},{\"embedding\":[1,0]}]}", "all zeros");
    refused("{\"data\":[{\"embedding\":[NaN,0]},{\"embedding\":[1,0]}]}", "missing");
    refused("{\"data\":[{\"embedding\":[1e999,0]},{\"embedding\":[1,0]}]}", "no finite number");
    refused("{\"data\":[{\"embedding\":[null,0]},{\"embedding\":[1,0]}]}", "no finite number");
    refused("{\"data\":[{\"embedding\":\"AAAA\"},{\"embedding\":[1,0]}]}", "no array");
    refused("{\"data\":[{\"index\":0},{\"embedding\":[1,0]}]}", "missing");
    refused("{\"data\":[{\"embedding\":[1,0]},{\"embedding\":[1,0]}]} trailing", "no JSON");
    refused("{\"error\":{\"message\":\"no\"}}", "0 vectors");
}

/* Cut anywhere, and with any byte changed: an answer or a refusal, never a read outside. */
static void test_damaged(void **state)
{
    char text[sizeof good];
    unsigned seed = 7;
    for (size_t n = 0; n < sizeof good - 2; n++)
        assert_int_equal(read_exactly(good, n, 2), MT_INVALID);
    for (int round = 0; round < 20000; round++) {
        memcpy(text, good, sizeof good);
        for (int k = 0; k < 2; k++)
            text[(size_t)rand_r(&seed) % (sizeof good - 1)] = "\"[]{},:\\0e-\xFF"[rand_r(&seed) % 12];
        if (read_exactly(text, sizeof good - 1, 2) == MT_OK)
            assert_true(fabsf(out[0] * out[0] + out[1] * out[1] - 1) < 1e-4f);
    }
    char deep[4096];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    assert_int_equal(read_exactly(deep, sizeof deep, 2), MT_INVALID);
}

static void test_estimate(void **state)
{
    size_t end;
    assert_int_equal(tokens_estimate(MT_SLICE(""), 100, NULL), 0);
    assert_int_equal(tokens_estimate(MT_SLICE("  \t "), 100, NULL), 0);
    assert_int_equal(tokens_estimate(MT_SLICE("the mill"), 100, NULL), 3);
    assert_int_equal(tokens_estimate(MT_SLICE("2026-11-25"), 100, NULL), 2 + 1 + 1 + 1 + 1);
    assert_int_equal(tokens_estimate(MT_SLICE("\xC4\x8D\xC5\xA1"), 100, NULL), 2);
    assert_int_equal(tokens_estimate(MT_SLICE("\xF0\x9F\x98\x80"), 100, NULL), 3);
    assert_true(tokens_estimate(MT_SLICE("a b c d"), 2, &end) > 2);
    assert_int_equal(end, 4);
    assert_true(tokens_estimate(MT_SLICE("a\xC4\x8D"), 1, &end) > 1);
    assert_int_equal(end, 1);                /* between characters */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_refused), cmocka_unit_test(test_damaged), cmocka_unit_test(test_estimate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
