/* Traces of calls on a loop that is never run: only its slots are needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>

#include "telemetry/trace.h"

static mti_loop *loop;
static mti_uuid org = {{7}};

static void call_begin(mt_call *c, const char *traceparent)
{
    mti_call_init(c, loop);
    c->started_us = mti_mono_us();
    c->operation = "agents.list";
    c->who.org_id = org;
    mti_trace_begin(c, mt_str(traceparent));
}

static bool found(const uint8_t id[16], mti_uuid who, mti_buf *b)
{
    mti_buf_clear(b);
    return mti_trace_find(loop, id, who, b);
}

static void test_traceparent_is_continued(void **state)
{
    mt_call c;
    call_begin(&c, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    char out[56];
    mti_traceparent(&c, out);
    assert_memory_equal(out, "00-4bf92f3577b34da6a3ce929d0e0e4736-", 36);
    assert_memory_not_equal(out + 36, "00f067aa0ba902b7", 16);
    assert_string_equal(out + 52, "-01");
    mti_trace_end(&c, true, 200);
    mti_buf b;
    mti_buf_init(&b, 65536);
    assert_true(found(c.trace_id, org, &b));
    assert_non_null(strstr(b.p, "\"parent_id\":\"00f067aa0ba902b7\""));
    mti_buf_dispose(&b);
    mti_call_dispose(&c);
}

static void test_a_malformed_traceparent_is_ignored(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mt_call c;
        call_begin(&c, bad[i]);
        char hex[33];
        mti_hex(c.trace_id, 16, hex);
        assert_string_not_equal(hex, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_string_not_equal(hex, "00000000000000000000000000000000");
        mti_trace_end(&c, false, 200);
        mti_call_dispose(&c);
    }
}

static void test_server_timing_sums_by_kind(void **state)
{
    mt_call c;
    call_begin(&c, "");
    mti_trace_span(&c, "db", "a", "agents", 0, 1000, NULL, NULL);
    mti_trace_span(&c, "hook", "h", "x", 0, 300, "continue", NULL);
    mti_trace_span(&c, "db", "b", "agents", 0, 1500, NULL, NULL);
    char out[128];
    mti_trace_server_timing(&c, out, sizeof out);
    assert_non_null(strstr(out, "app;dur="));
    assert_non_null(strstr(out, ", db;dur=2.5, hook;dur=0.3"));
    char small[16];
    mti_trace_server_timing(&c, small, sizeof small);
    assert_true(strlen(small) < sizeof small);
    mti_trace_end(&c, false, 200);
    mti_call_dispose(&c);
}

static void test_find_needs_the_right_organization(void **state)
{
    mt_call c;
    call_begin(&c, "");
    char detail[400];
    memset(detail, 'd', sizeof detail - 1);
    detail[sizeof detail - 1] = 0;
    int64_t from = c.started_us;
    for (int i = 0; i < 130; i++)
        mti_trace_span(&c, "hook", "chat.prepare", "policy \"p\"", from + 1000, from + 1500,
                       "patched", detail);
    mti_trace_end(&c, true, 500);
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    assert_false(found(c.trace_id, (mti_uuid){{8}}, &b));
    assert_true(found(c.trace_id, (mti_uuid){{0}}, &b));
    assert_non_null(strstr(b.p, "\"dropped\":2,"));
    assert_non_null(strstr(
        b.p,
        "{\"start_ms\":1.000,\"duration_ms\":0.500,\"kind\":\"hook\",\"name\":\"chat.prepare\","
        "\"owner\":\"policy \\\"p\\\"\",\"outcome\":\"patched\",\"detail\":\"ddd"));
    assert_non_null(strstr(b.p, "\"status\":500"));
    mti_buf_dispose(&b);
    mti_call_dispose(&c);
}

static void test_good_ones_do_not_push_out_failed_ones(void **state)
{
    uint8_t failed[16], good[16], dropped[16];
    for (int i = 0; i < 600; i++) {
        mt_call c;
        call_begin(&c, "");
        memcpy(i == 0 ? failed : i == 1 ? dropped : good, c.trace_id, 16);
        mti_trace_end(&c, i != 2, i == 0 ? 503 : 200);
        mti_call_dispose(&c);
    }
    mti_buf b;
    mti_buf_init(&b, 65536);
    assert_true(found(failed, org, &b));
    assert_false(found(dropped, org, &b));
    assert_true(found(good, org, &b));
    mti_buf_dispose(&b);
}

/* A place of the ring is used again: by shorter traces, by longer ones, by one too long for its block. */
static void test_each_keeps_its_own_texts(void **state)
{
    char names[8][24], expected[64];
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    for (int i = 0; i < 2000; i++) {
        mt_call c;
        uint8_t id[16];
        int spans = i % 256 % 7 + (i / 256 % 3) * 50;
        call_begin(&c, "");
        memcpy(id, c.trace_id, 16);
        for (int k = 0; k < spans; k++) {
            snprintf(names[k % 8], sizeof *names, "handler %d", k % 8 / 2);
            mti_trace_span(&c, "hook", names[k % 8], names[k % 8], 0, 0, k % 3 ? "continue" : NULL, NULL);
        }
        mti_trace_end(&c, true, 200);
        mti_call_dispose(&c);
        assert_true(found(id, org, &b));
        const char *at = b.p;
        for (int k = 0; k < spans; k++) {
            snprintf(expected, sizeof expected, "\"name\":\"handler %d\",\"owner\":\"handler %d\"", k % 8 / 2, k % 8 / 2);
            assert_non_null(at = strstr(at, expected));
            at += strlen(expected);
            assert_int_equal(strncmp(at, k % 3 ? ",\"outcome\":\"continue\"" : ",\"outcome\":null", 15), 0);
        }
    }
    mti_buf_dispose(&b);
}

static int start(void **state)
{
    loop = mti_loop_create(0);
    return loop ? 0 : -1;
}

static int stop(void **state)
{
    mti_trace_dispose(loop);
    mti_loop_destroy(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traceparent_is_continued),
        cmocka_unit_test(test_a_malformed_traceparent_is_ignored),
        cmocka_unit_test(test_server_timing_sums_by_kind),
        cmocka_unit_test(test_find_needs_the_right_organization),
        cmocka_unit_test(test_good_ones_do_not_push_out_failed_ones),
        cmocka_unit_test(test_each_keeps_its_own_texts),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
