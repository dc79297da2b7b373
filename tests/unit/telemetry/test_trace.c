/* Traces of calls on a loop that is never run: only its slots are needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>

#include "telemetry/trace.h"

static mti_loop *loop;
static const mti_uuid org = {{7}}, workspace = {{70}};
static const mti_trace_options defaults = {.every = 1, .slow_us = 1000000};

static uint64_t began;           /* when the last trace did, or a little later */

static void begin(mt_call *c, const char *traceparent, bool asked)
{
    mti_call_init(c, loop);
    c->operation = "agents.list";
    c->who.org_id = org;
    c->workspace_id = workspace;
    c->request_id = mti_uuid_v7();
    mti_trace_begin(c, mt_str(traceparent), asked);
    began = mti_ticks();
}

static void end(mt_call *c, int status)
{
    mti_trace_end(c, status);
    mti_call_dispose(c);
}

static double per_us;

static uint64_t ticks(int64_t us)
{
    return (uint64_t)((double)us * per_us);
}

/* Microseconds after the trace began. */
static void record(mt_call *c, const char *name, int64_t from, int64_t to)
{
    mti_trace_span(c, MTI_TRACE_DB, name, "agents", began + ticks(from), began + ticks(to), NULL, NULL);
}

static bool found_by(const void *id, mti_trace_viewer v, mti_buf *b)
{
    mti_uuid newest = {{0}};
    mti_buf_clear(b);
    return mti_trace_find(loop, id, &v, &newest, b);
}

static bool found(const void *id)
{
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    bool is = found_by(id, (mti_trace_viewer){0}, &b);
    mti_buf_dispose(&b);
    return is;
}

static void test_traceparent_is_continued(void **state)
{
    mt_call c;
    begin(&c, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", false);
    char out[56];
    mti_traceparent(&c, out);
    assert_memory_equal(out, "00-4bf92f3577b34da6a3ce929d0e0e4736-", 36);
    assert_memory_not_equal(out + 36, "00f067aa0ba902b7", 16);
    assert_string_equal(out + 52, "-01");
    uint8_t id[16];
    memcpy(id, c.trace_id, 16);
    end(&c, 200);
    mti_buf b;
    mti_buf_init(&b, 65536);
    assert_true(found_by(id, (mti_trace_viewer){0}, &b));
    assert_non_null(strstr(b.p, "\"parent_id\":\"00f067aa0ba902b7\""));
    mti_buf_dispose(&b);
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
        begin(&c, bad[i], false);
        char hex[33];
        mti_hex(c.trace_id, 16, hex);
        assert_string_not_equal(hex, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_string_not_equal(hex, "00000000000000000000000000000000");
        end(&c, 200);
    }
}

static void test_server_timing_sums_by_kind(void **state)
{
    mt_call c;
    begin(&c, "", false);
    mti_trace_span(&c, MTI_TRACE_DB, "a", "agents", 0, ticks(1000), NULL, NULL);
    mti_trace_span(&c, MTI_TRACE_HOOK, "h", "x", 0, ticks(300), "continue", NULL);
    mti_trace_span(&c, MTI_TRACE_DB, "b", "agents", 0, ticks(1500), NULL, NULL);
    mti_trace_span(&c, MTI_TRACE_STAGE, "operation", NULL, 0, ticks(9000), NULL, NULL);
    char out[128];
    mti_trace_server_timing(&c, true, out, sizeof out);
    assert_int_equal(strncmp(out, "app;dur=", 8), 0);
    assert_string_equal(strchr(out, ','), ", hook;dur=0.3, db;dur=2.5");
    mti_trace_server_timing(&c, false, out, sizeof out);
    assert_null(strchr(out, ','));
    char small[16];
    mti_trace_server_timing(&c, true, small, sizeof small);
    assert_true(strlen(small) < sizeof small);
    end(&c, 200);
}

/* Who may not see a trace cannot tell it from one that is not there. */
static void test_a_trace_is_its_owners(void **state)
{
    mt_call c;
    begin(&c, "", false);
    uint8_t id[16];
    mti_uuid request = c.request_id;
    memcpy(id, c.trace_id, 16);
    end(&c, 422);
    mti_buf b;
    mti_buf_init(&b, 65536);
    assert_true(found_by(id, (mti_trace_viewer){0}, &b));
    assert_true(found_by(request.b, (mti_trace_viewer){org, {{0}}}, &b));
    assert_true(found_by(id, (mti_trace_viewer){org, workspace}, &b));
    assert_false(found_by(id, (mti_trace_viewer){{{8}}, {{0}}}, &b));
    assert_false(found_by(id, (mti_trace_viewer){org, {{8}}}, &b));
    assert_int_equal(b.len, 0);
    mti_buf_dispose(&b);
}

static void test_spans_are_bounded(void **state)
{
    static const char *const names[] = {"one", "two"};
    mt_call c;
    begin(&c, "", false);
    for (int i = 0; i < 130; i++)
        record(&c, names[i % 2], 1000 + 100 * i, 1100 + 100 * i);
    mti_uuid request = c.request_id;
    end(&c, 500);
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    assert_true(found_by(request.b, (mti_trace_viewer){0}, &b));
    assert_non_null(strstr(b.p, "\"dropped\":2,"));
    const char *first = strstr(b.p, "{\"depth\":0,");
    double at = 0, took = 0;
    assert_int_equal(sscanf(first, "{\"depth\":0,\"start_ms\":%lf,\"duration_ms\":%lf,", &at, &took), 2);
    assert_true(at > 0.99 && at < 2 && took > 0.09 && took < 0.11);
    assert_non_null(strstr(first, ",\"kind\":\"db\",\"name\":\"one\",\"owner\":\"agents\",\"outcome\":null,\"count\":1}"));
    mti_buf_dispose(&b);
}

static void test_repetitions_are_one_span(void **state)
{
    static const char name[] = "llm/1 next";
    mt_call c;
    begin(&c, "", false);
    for (int i = 0; i < 1000; i++)
        record(&c, name, 10 * i, 10 * i + 2);
    mti_uuid request = c.request_id;
    end(&c, 200);
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    assert_true(found_by(request.b, (mti_trace_viewer){0}, &b));
    double took = 0;
    assert_int_equal(sscanf(strstr(strstr(b.p, "\"spans\""), "\"duration_ms\":"), "\"duration_ms\":%lf", &took), 1);
    assert_true(took > 1.9 && took < 2.1);
    assert_non_null(strstr(b.p, "\"count\":1000}]"));
    mti_buf_dispose(&b);
}

/* They are recorded when they end, and told in the order in which they began. */
static void test_depth_follows_the_intervals(void **state)
{
    mt_call c;
    begin(&c, "", false);
    record(&c, "inner", 20, 30);
    record(&c, "inner sibling", 30, 40);
    record(&c, "outer", 10, 50);
    record(&c, "after", 50, 60);
    record(&c, "at once", 60, 60);
    record(&c, "at once too", 60, 60);
    mti_trace_span(&c, MTI_TRACE_STAGE, "stage", NULL, began + ticks(10), began + ticks(60), NULL, NULL);
    mti_uuid request = c.request_id;
    end(&c, 200);
    static const char *const order[] = {"0 stage", "1 outer", "2 inner", "2 inner sibling", "1 after", "1 at once", "1 at once too"};
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    assert_true(found_by(request.b, (mti_trace_viewer){0}, &b));
    const char *at = strstr(b.p, "\"spans\"");
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        char depth[24], name[48];
        snprintf(depth, sizeof depth, "{\"depth\":%c,", order[i][0]);
        snprintf(name, sizeof name, "\"name\":\"%s\"", order[i] + 2);
        assert_non_null(at = strstr(at, "{\"depth\""));
        assert_int_equal(strncmp(at, depth, strlen(depth)), 0);
        assert_non_null(strstr(at, name));
        assert_true(strstr(at, name) < strchr(at, '}'));
        at++;
    }
    mti_buf_dispose(&b);
}

static void test_what_is_not_drawn_leaves_an_outline_when_it_fails(void **state)
{
    mt_call c;
    mti_trace_setup(&(mti_trace_options){.every = 0, .slow_us = 1000000});
    mti_uuid good, refused, failed, slow;
    begin(&c, "", false);
    good = c.request_id;
    assert_null(c.trace);
    char out[56];
    mti_traceparent(&c, out);
    assert_string_equal(out + 52, "-00");
    record(&c, "nothing", 0, 1);
    end(&c, 200);
    begin(&c, "", false);
    refused = c.request_id;
    end(&c, 404);
    begin(&c, "", false);
    failed = c.request_id;
    mti_fail(&c.error, MT_INTERNAL, "hook_failed", "x");
    end(&c, 500);
    begin(&c, "", false);
    slow = c.request_id;
    c.started_us -= 2000000;
    end(&c, 200);
    mti_trace_setup(&defaults);
    mti_buf b;
    mti_buf_init(&b, 65536);
    assert_false(found(good.b));
    assert_false(found(refused.b));
    assert_true(found(slow.b));
    assert_true(found_by(failed.b, (mti_trace_viewer){0}, &b));
    assert_non_null(strstr(b.p, "\"code\":\"hook_failed\",\"status\":500,"));
    assert_non_null(strstr(b.p, "\"recorded\":false,\"dropped\":0,\"spans\":[]}"));
    mti_buf_dispose(&b);
}

static void test_who_asks_needs_leave(void **state)
{
    mt_call c;
    mti_trace_setup(&(mti_trace_options){.every = 0, .slow_us = 1000000});
    mti_uuid refused, allowed;
    begin(&c, "", true);
    refused = c.request_id;
    assert_true(mti_trace_wants(&c));
    assert_false(mti_trace_allowed(&c));
    end(&c, 200);
    begin(&c, "", true);
    allowed = c.request_id;
    mti_trace_allow(&c);
    assert_true(mti_trace_allowed(&c));
    end(&c, 200);
    begin(&c, "", false);
    mti_trace_allow(&c);
    assert_false(mti_trace_allowed(&c));
    end(&c, 200);
    mti_trace_setup(&defaults);
    assert_false(found(refused.b));
    assert_true(found(allowed.b));
}

static void test_one_in_so_many_is_drawn(void **state)
{
    mti_trace_setup(&(mti_trace_options){.every = 4, .slow_us = 1000000});
    int drawn = 0;
    for (int i = 0; i < 4000; i++) {
        mt_call c;
        begin(&c, "", false);
        drawn += c.trace != NULL;
        end(&c, 200);
    }
    mti_trace_setup(&defaults);
    assert_in_range(drawn, 800, 1200); /* 1,000 ± 27: seven deviations */
}

static void test_good_ones_do_not_push_out_failed_ones(void **state)
{
    mti_uuid failed, dropped, good;
    for (int i = 0; i < 600; i++) {
        mt_call c;
        begin(&c, "", false);
        *(i == 0 ? &failed : i == 1 ? &dropped : &good) = c.request_id;
        end(&c, i == 0 ? 503 : 200);
    }
    assert_true(found(failed.b));
    assert_false(found(dropped.b));
    assert_true(found(good.b));
}

/* Traces of some 130 KiB: the ring's bytes end before its places do. */
static void test_long_traces_push_out_old_ones_early(void **state)
{
    char detail[1025];
    mti_uuid first, last;
    memset(detail, 'd', sizeof detail - 1);
    detail[sizeof detail - 1] = 0;
    for (int i = 0; i < 40; i++) {
        mt_call c;
        begin(&c, "", false);
        *(i ? &last : &first) = c.request_id;
        for (int k = 0; k < 128; k++)
            mti_trace_span(&c, MTI_TRACE_HTTP, "fetch", "x", 0, 0, NULL, detail);
        end(&c, 200);
    }
    assert_false(found(first.b));
    assert_true(found(last.b));
}

static unsigned list(mti_trace_filter f, mti_trace_outline *out, unsigned cap)
{
    if (mti_uuid_is_nil(f.before))
        memset(f.before.b, 0xff, 16);
    return mti_trace_list(loop, &f, out, 0, cap);
}

static void test_the_list_is_newest_first(void **state)
{
    mti_uuid ids[30];
    mti_trace_outline out[8];
    for (int i = 0; i < 30; i++) {
        mt_call c;
        begin(&c, "", false);
        c.operation = i % 10 == 4 ? "listed.other" : "listed.one";
        ids[i] = c.request_id;
        end(&c, i % 10 == 3 ? 404 : 200);
    }
    assert_int_equal(list((mti_trace_filter){.viewer = {org, {{0}}}}, out, 8), 8);
    for (int i = 0; i < 8; i++)
        assert_memory_equal(out[i].request_id.b, ids[29 - i].b, 16);
    assert_int_equal(list((mti_trace_filter){.before = ids[22]}, out, 8), 8);
    assert_memory_equal(out[0].request_id.b, ids[21].b, 16);
    assert_int_equal(list((mti_trace_filter){.operation = "listed.other"}, out, 8), 3);
    assert_memory_equal(out[2].request_id.b, ids[4].b, 16);
    assert_int_equal(list((mti_trace_filter){.operation = "listed.one", .min_status = 400}, out, 8), 3);
    assert_int_equal(out[0].status, 404);
    assert_int_equal(list((mti_trace_filter){.viewer = {{{9}}, {{0}}}}, out, 8), 0);
}

/* A place of the ring is used again: by shorter traces, by longer ones, by one too long for its block. Owners of hooks and details are copies. */
static void test_each_keeps_its_own_texts(void **state)
{
    char owners[64][24], detail[24], expected[96];
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    for (int i = 0; i < 2000; i++) {
        mt_call c;
        int spans = i % 256 % 7 + (i / 256 % 3) * 50;
        begin(&c, "", false);
        mti_uuid request = c.request_id;
        for (int k = 0; k < spans; k++) {
            snprintf(owners[k % 64], sizeof *owners, "handler %d", k % 64);
            snprintf(detail, sizeof detail, "[%d]", k);
            mti_trace_span(&c, MTI_TRACE_HOOK, "http.done", owners[k % 64], (uint64_t)k, (uint64_t)k, k % 3 ? "continue" : NULL, k % 2 ? detail : NULL);
        }
        end(&c, 200);
        memset(owners, 'x', sizeof owners);
        assert_true(found_by(request.b, (mti_trace_viewer){0}, &b));
        const char *at = b.p;
        for (int k = 0; k < spans; k++) {
            snprintf(expected, sizeof expected, "\"owner\":\"handler %d\",\"outcome\":%s,\"count\":1,\"patches\":[%.*d]}", k % 64, k % 3 ? "\"continue\"" : "null", k % 2, k);
            if (k % 2 == 0)
                snprintf(strstr(expected, "patches") + 9, 5, "[]}");
            assert_non_null(at = strstr(at, expected));
            at += strlen(expected);
        }
    }
    mti_buf_dispose(&b);
}

/* A tick's length is known a millisecond after the clock began to be watched. */
static void learn_ticks(void)
{
    int64_t from_us = mti_mono_us(), us;
    uint64_t from = mti_ticks();
    while ((us = mti_mono_us() - from_us) < 20000)
        ;
    per_us = (double)(mti_ticks() - from) / (double)us;
}

static int start(void **state)
{
    loop = mti_loop_create(0);
    mti_trace_setup(&defaults);
    learn_ticks();
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
        cmocka_unit_test(test_a_trace_is_its_owners),
        cmocka_unit_test(test_spans_are_bounded),
        cmocka_unit_test(test_repetitions_are_one_span),
        cmocka_unit_test(test_depth_follows_the_intervals),
        cmocka_unit_test(test_what_is_not_drawn_leaves_an_outline_when_it_fails),
        cmocka_unit_test(test_who_asks_needs_leave),
        cmocka_unit_test(test_one_in_so_many_is_drawn),
        cmocka_unit_test(test_good_ones_do_not_push_out_failed_ones),
        cmocka_unit_test(test_long_traces_push_out_old_ones_early),
        cmocka_unit_test(test_the_list_is_newest_first),
        cmocka_unit_test(test_each_keeps_its_own_texts),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
