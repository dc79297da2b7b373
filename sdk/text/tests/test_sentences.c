/* Sentence boundaries: one table of texts, each with its sentences joined by '|'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "text/sentences.h"
#include "text/utf8.h"

static const struct {
    const char *text, *want;
} cases[] = {
    {"", ""},
    {"  \n\t ", ""},
    {"One. Two! Three? Four", "One.|Two!|Three?|Four"},
    {"Dr. Smith met Mr. Jones. They spoke.", "Dr. Smith met Mr. Jones.|They spoke."},
    {"Use a tool, e.g. Debian. It works.", "Use a tool, e.g. Debian.|It works."},
    {"Version 11.0 is out. See 3.2.1 for more.", "Version 11.0 is out.|See 3.2.1 for more."},
    {"He said \"Stop.\" Then he left.", "He said \"Stop.\"|Then he left."},
    {"He asked \"What?\" and left.", "He asked \"What?\" and left."},
    {"Is it free? No. It costs. See No. 5 there.", "Is it free?|No.|It costs.|See No. 5 there."},
    {"J. R. Tolkien wrote it. Yes.", "J. R. Tolkien wrote it.|Yes."},
    {"In the U.S. Army. At 5 p.m. They came.", "In the U.S. Army.|At 5 p.m.|They came."},
    {"It was in 2021. The end.", "It was in 2021.|The end."},
    {"Line one\nline two\n\nNew paragraph", "Line one\nline two|New paragraph"},
    {"List:\n  * one\n  * two\n1. three\n2. Four", "List:|* one|* two|1. three|2. Four"},
    {"Vidi npr. Zagreb, Split itd. Sve je tu.", "Vidi npr. Zagreb, Split itd.|Sve je tu."},
    {"Vidi str. 15 i čl. 3 Zakona. Čekaj. Što je to?", "Vidi str. 15 i čl. 3 Zakona.|Čekaj.|Što je to?"},
    {"Sastanak je 15. siječnja 2024. godine. Đuro dolazi.", "Sastanak je 15. siječnja 2024. godine.|Đuro dolazi."},
    {"Dr. sc. Ana Anić, dipl. ing. šumarstva. Ona radi.", "Dr. sc. Ana Anić, dipl. ing. šumarstva.|Ona radi."},
    {"Rekao je: „Dođi.” Zatim je otišao… Kasnije se vratio.",
     "Rekao je: „Dođi.”|Zatim je otišao…|Kasnije se vratio."},
    {"これは文です。次の文です！", "これは文です。|次の文です！"},
    {"10.1. Can I?\n\nYes.", "10.1. Can I?|Yes."},
    {"Wait... what? OK", "Wait... what?|OK"},
    {"example.com is a site. www.x.org too.", "example.com is a site. www.x.org too."},
};

static void test_table(void **state)
{
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char got[512] = "";
        size_t pos = 0;
        mt_sentence s;
        mt_slice t = mt_str(cases[c].text);
        while (mt_sentence_next(t, &pos, &s)) {
            if (*got)
                strcat(got, "|");
            strncat(got, t.p + s.start, s.end - s.start);
        }
        assert_string_equal(got, cases[c].want);
    }
}

/* Whatever the bytes: sentences are in order, do not overlap, hold every visible byte, and the scan ends. */
static void test_random_bytes(void **state)
{
    static const char alphabet[] = ".!? \n\n*-1aZ\"'\xE2\x80\xA6\xC4\x8D\xFF";
    unsigned seed = 7;
    for (int round = 0; round < 20000; round++) {
        char text[40];
        size_t n = rand_r(&seed) % sizeof text, pos = 0, last = 0;
        for (size_t i = 0; i < n; i++)
            text[i] = alphabet[rand_r(&seed) % (sizeof alphabet - 1)];
        mt_sentence s;
        while (mt_sentence_next((mt_slice){text, n}, &pos, &s)) {
            assert_true(s.start >= last && s.end > s.start && s.end <= n && pos >= s.end);
            for (size_t i = last; i < s.start; i++)
                assert_non_null(memchr(" \n", text[i], 2));
            last = s.end;
        }
        for (size_t i = last; i < n; i++)
            assert_non_null(memchr(" \n", text[i], 2));
    }
}

static double seconds_for(const char *unit, size_t bytes)
{
    char *text = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        text[i] = unit[i % strlen(unit)];
    struct timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    size_t pos = 0;
    mt_sentence s;
    while (mt_sentence_next((mt_slice){text, bytes}, &pos, &s))
        ;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    free(text);
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

/* A quadratic scan of 8 MiB would take hours. */
static void test_linear(void **state)
{
    static const char *const units[] = {"a", ".", ". ", "\n", " \n", "\nx", "...", "\" ", "1. ", "a. ", "A. B", "?)"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        assert_true(seconds_for(units[i], getenv("MORTISE_TEST_SMALL") ? 1 << 20 : 8 << 20) < 10);
}

static void test_utf8(void **state)
{
    static const char *const bad[] = {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "\xF5\x80\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mt_utf8_valid(bad[i], strlen(bad[i]), NULL));
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF)
            continue;
        char out[4];
        uint32_t back;
        size_t n = mt_utf8_put(cp, out);
        assert_int_equal(mt_utf8_next(out, n, &back), n);
        assert_int_equal(back, cp);
    }
    assert_int_equal(mt_utf8_lower(0x10C), 0x10D); /* Č */
    assert_int_equal(mt_utf8_lower(0x17D), 0x17E); /* Ž */
    assert_int_equal(mt_utf8_lower(0x17E), 0x17E);
    assert_int_equal(mt_utf8_lower(0x110), 0x111); /* Đ */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
