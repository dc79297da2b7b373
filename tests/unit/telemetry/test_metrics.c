/* Counters, gauges, histograms and their text, which promtool must accept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "telemetry/metrics.h"

static mti_buf page;

static const char *scrape(void)
{
    mti_buf_clear(&page);
    mti_metrics_write(&page);
    assert_int_equal(page.status, MT_OK);
    return page.p;
}

static void assert_line(const char *line)
{
    if (!strstr(scrape(), line))
        fail_msg("\"%s\" is not in\n%s", line, page.p);
}

static void test_counter(void **state)
{
    mti_family *f =
        mti_metric_family(MTI_COUNTER, "requests", "Requests \\ answered.\nAll.", "method,status");
    assert_ptr_equal(f, mti_metric_family(MTI_COUNTER, "requests_total", "other", ""));
    mti_metric *m = mti_metric_get(f, (mt_slice[]){MT_SLICE("GET"), MT_SLICE("200")}, 2);
    assert_ptr_equal(m, mti_metric_get(f, (mt_slice[]){MT_SLICE("GET"), MT_SLICE("200")}, 2));
    mti_metric_add(m, 2);
    mti_metric_add(m, 0.5);
    mti_metric_add(m, -1);
    mti_metric_add(m, NAN);
    assert_true(mti_metric_value(m) == 2.5);
    assert_line(
        "# HELP requests_total Requests \\\\ answered.\\nAll.\n# TYPE requests_total counter\n");
    assert_line("\nrequests_total{method=\"GET\",status=\"200\"} 2.5\n");
}

static void test_label_values_are_escaped_and_bounded(void **state)
{
    mti_family *f = mti_metric_family(MTI_COUNTER, "escapes_total", "x", "a b");
    char big[400];
    memset(big, 'x', sizeof big); /* no NUL: only 128 are printed */
    mti_metric_add(mti_metric_get(f, (mt_slice[]){MT_SLICE("q\"b\\n\n\xff\xc3\xa9")}, 1), 1);
    mti_metric_add(mti_metric_get(f, (mt_slice[]){{big, sizeof big}}, 1), 1);
    assert_line("escapes_total{a_b=\"q\\\"b\\\\n\\n?\xc3\xa9\"} 1\n");
    char cut[200];
    snprintf(cut, sizeof cut, "escapes_total{a_b=\"%.128s\"} 1\n", big);
    assert_line(cut);
}

static void test_the_256th_series_is_other(void **state)
{
    mti_family *f = mti_metric_family(MTI_COUNTER, "many_total", "Many.", "id");
    char id[16];
    mti_metric *last = NULL;
    for (int i = 0; i < 300; i++) {
        int n = snprintf(id, sizeof id, "%d", i);
        mti_metric_add(last = mti_metric_get(f, (mt_slice[]){{id, (size_t)n}}, 1), 1);
    }
    assert_true(mti_metric_value(last) == 300 - 255);
    assert_line("many_total{id=\"other\"} 45\n");
    assert_null(strstr(page.p, "many_total{id=\"255\"}"));
}

static void test_gauges(void **state)
{
    mti_metric *m = mti_metric_get(mti_metric_family(MTI_GAUGE, "open", "", ""), NULL, 0);
    mti_metric_set(m, 5);
    mti_metric_add(m, -2);
    assert_line("# HELP open open\n# TYPE open gauge\nopen 3\n");
}

static double answer(void *arg)
{
    return *(double *)arg;
}

static void test_a_callback_is_read_at_scrape(void **state)
{
    static double v = INFINITY;
    mti_metric_callback("live", "Live.", answer, &v);
    assert_line("\nlive +Inf\n");
    v = 0.1;
    assert_line("\nlive 0.1\n");
}

static void test_histogram(void **state)
{
    mti_family *f = mti_metric_family(MTI_HISTOGRAM, "took_seconds", "Time.", "op");
    mti_family_buckets(f, (double[]){0.1, 1}, 2);
    mti_metric *m = mti_metric_get(f, (mt_slice[]){MT_SLICE("a")}, 1);
    double values[] = {0.1, 0.2, 1, 5, NAN};
    for (int i = 0; i < 5; i++)
        mti_metric_observe(m, values[i]);
    assert_true(mti_metric_value(m) == 4);
    assert_line(
        "took_seconds_bucket{op=\"a\",le=\"0.1\"} 1\ntook_seconds_bucket{op=\"a\",le=\"1\"} 3\n"
        "took_seconds_bucket{op=\"a\",le=\"+Inf\"} 4\ntook_seconds_sum{op=\"a\"} "
        "6.3\ntook_seconds_count{op=\"a\"} 4\n");
    mti_family_buckets(f, (double[]){7}, 1); /* too late: it has a series */
    assert_line("took_seconds_bucket{op=\"a\",le=\"0.1\"} 1\n");
}

enum { THREADS = 40, ROUNDS = 20000 };

static void *add_many(void *arg)
{
    mti_metric **m = arg;
    for (int i = 0; i < ROUNDS; i++) {
        mti_metric_add(m[0], 1);
        mti_metric_observe(m[1], 0.003);
    }
    return NULL;
}

/* More threads than shards, so that some share one: nothing may be lost either way. */
static void test_no_add_is_lost_between_threads(void **state)
{
    mti_metric *m[2] = {
        mti_metric_get(mti_metric_family(MTI_COUNTER, "threads_total", "x", ""), NULL, 0),
        mti_metric_get(mti_metric_family(MTI_HISTOGRAM, "threads_seconds", "x", ""), NULL, 0)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, m), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(mti_metric_value(m[0]) == (double)THREADS * ROUNDS);
    assert_true(mti_metric_value(m[1]) == (double)THREADS * ROUNDS);
}

static void test_a_plugins_family_is_refused_and_not_fatal(void **state)
{
    mti_family *f = mti_metric_try_family(MTI_GAUGE, "test_tried", "Tried.", "a,b");
    assert_non_null(f);
    assert_ptr_equal(mti_metric_try_family(MTI_GAUGE, "test_tried", "Tried.", "a,b"), f);
    assert_null(mti_metric_try_family(MTI_HISTOGRAM, "test_tried", "Tried.", "a,b"));
    static const char *const others[] = {"", "a", "a,b,c", "a,c", "ab"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_null(mti_metric_try_family(MTI_GAUGE, "test_tried", "Tried.", others[i]));
}

static void test_a_gauge_goes_back_to_nought(void **state)
{
    mti_family *f = mti_metric_family(MTI_GAUGE, "test_zero", "Zero.", "a");
    mti_metric *x = mti_metric_get(f, (mt_slice[]){MT_SLICE_INIT("x")}, 1), *y = mti_metric_get(f, (mt_slice[]){MT_SLICE_INIT("y")}, 1);
    mti_metric_set(x, 3);
    mti_metric_add(y, 4);
    mti_family_zero(f);
    assert_true(mti_metric_value(x) == 0 && mti_metric_value(y) == 0);
}

static void test_promtool_accepts_the_page(void **state)
{
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        print_message("skipped: promtool is not installed (package prometheus)\n");
        skip();
    }
    scrape();
    FILE *p = popen("promtool check metrics >&2", "w");
    assert_non_null(p);
    assert_int_equal(fwrite(page.p, 1, page.len, p), page.len);
    assert_int_equal(pclose(p), 0);
}

static int start(void **state)
{
    mti_buf_init(&page, 1 << 20);
    return 0;
}

static int stop(void **state)
{
    mti_buf_dispose(&page);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counter),
        cmocka_unit_test(test_label_values_are_escaped_and_bounded),
        cmocka_unit_test(test_the_256th_series_is_other),
        cmocka_unit_test(test_gauges),
        cmocka_unit_test(test_a_callback_is_read_at_scrape),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_no_add_is_lost_between_threads),
        cmocka_unit_test(test_a_plugins_family_is_refused_and_not_fatal),
        cmocka_unit_test(test_a_gauge_goes_back_to_nought),
        cmocka_unit_test(test_promtool_accepts_the_page),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
