#include "llm_wire/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

/* The lines of a text that is fed in parts of n bytes, joined by '|'. */
static void lines_of(const char *text, size_t n, char *out)
{
    wire_lines l = {.held.max = 64};
    mt_slice line;
    out[0] = 0;
    for (size_t at = 0, all = strlen(text); at < all; at += n) {
        assert_int_equal(wire_feed(&l, (mt_slice){text + at, all - at < n ? all - at : n}), MT_OK);
        while (wire_line(&l, &line))
            sprintf(out + strlen(out), "%.*s|", (int)line.len, line.p);
    }
    mt_slice rest = wire_rest(&l);
    sprintf(out + strlen(out), "%.*s", (int)rest.len, rest.p ? rest.p : "");
    wire_dispose(&l.held);
}

static void test_lines_in_parts_of_any_size(void **state)
{
    char out[256];
    for (size_t n = 1; n < 24; n++) {
        lines_of("one\ntwo\r\n\r\n\rthree\r\nfour", n, out);
        assert_string_equal(out, "one|two|||three|four");
    }
}

static void test_a_line_has_a_limit(void **state)
{
    wire_lines l = {.held.max = 16};
    mt_slice line;
    assert_int_equal(wire_feed(&l, MT_SLICE("0123456789")), MT_OK);
    assert_false(wire_line(&l, &line));
    assert_int_equal(wire_feed(&l, MT_SLICE("0123456789")), MT_TOO_LARGE);
    wire_dispose(&l.held);
}

static bool give(wire_event *e, const char *line)
{
    mt_status s;
    bool whole = wire_event_line(e, mt_str(line), &s);
    assert_int_equal(s, MT_OK);
    return whole;
}

static void test_events(void **state)
{
    wire_event e = {.data.max = 32};
    assert_false(give(&e, ": a comment"));
    assert_false(give(&e, ""));
    assert_false(give(&e, "event: ping"));
    assert_false(give(&e, ""));
    assert_false(give(&e, "event:delta"));
    assert_false(give(&e, "id: 7"));
    assert_false(give(&e, "data: a"));
    assert_false(give(&e, "data:  b"));
    assert_true(give(&e, ""));
    assert_string_equal(e.name, "delta");
    assert_int_equal(e.data.len, 4);
    assert_memory_equal(e.data.p, "a\n b", 4);
    assert_false(give(&e, "data"));
    assert_true(give(&e, ""));
    assert_string_equal(e.name, "");
    assert_int_equal(e.data.len, 0);
    mt_status s;
    wire_event_line(&e, mt_str("data: 012345678901234567890123456789012345"), &s);
    assert_int_equal(s, MT_TOO_LARGE);
    wire_dispose(&e.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines_in_parts_of_any_size), cmocka_unit_test(test_a_line_has_a_limit), cmocka_unit_test(test_events)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
