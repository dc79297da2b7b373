/* Terms of passages and questions, and where words of a question stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "analysis.h"

static mt_stemmer *stemmer;

static int set_up(void **state)
{
    return (stemmer = mt_stemmer_create()) ? 0 : 1;
}

static int tear_down(void **state)
{
    mt_stemmer_destroy(stemmer);
    return 0;
}

static bool has(const text_terms *t, const char *name, uint32_t count)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->items[i].len == strlen(name) && memcmp(t->names + t->items[i].at, name, t->items[i].len) == 0)
            return t->items[i].count == count;
    return false;
}

static void test_passage(void **state)
{
    text_terms t;
    assert_int_equal(text_analyze(stemmer, MT_SLICE("Installing packages: a package, then dpkg-reconfigure."), (mt_slice){0}, &t), MT_OK);
    assert_true(has(&t, "instal", 1) && has(&t, "packag", 2) && has(&t, "dpkg", 1) && has(&t, "dpkg-reconfigure", 1) && has(&t, "a", 1));
    assert_int_equal(t.length, 7); /* the whole is no word of its own */
    for (size_t i = 1; i < t.n; i++)
        assert_true(strncmp(t.names + t.items[i - 1].at, t.names + t.items[i].at, t.items[i - 1].len) <= 0);
    text_terms_dispose(&t);
    assert_int_equal(text_analyze(stemmer, MT_SLICE(" . "), (mt_slice){0}, &t), MT_OK);
    assert_int_equal(t.n, 0);
    text_terms_dispose(&t);
}

static void test_many_terms(void **state)
{
    static char text[60000];
    size_t len = 0;
    text_terms t;
    for (int i = 0; i < 5000; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "n%d n%d ", i, i / 2);
    assert_int_equal(text_analyze(stemmer, (mt_slice){text, len}, MT_SLICE("other"), &t), MT_OK);
    assert_int_equal(t.n, 5000);
    assert_true(has(&t, "n17", 3) && has(&t, "n4999", 1));
    text_terms_dispose(&t);
}

static void test_question(void **state)
{
    text_terms t;
    assert_int_equal(text_analyze_query(stemmer, MT_SLICE("How do I install the new packages of the system?"), (mt_slice){0}, &t), MT_OK);
    assert_true(has(&t, "instal", 1) && has(&t, "packag", 1) && has(&t, "new", 1) && has(&t, "system", 1));
    assert_int_equal(t.n, 4);
    text_terms_dispose(&t);
    assert_int_equal(text_analyze_query(stemmer, MT_SLICE("to be or not to be"), (mt_slice){0}, &t), MT_OK); /* nothing else */
    assert_true(has(&t, "be", 2) && has(&t, "not", 1));
    text_terms_dispose(&t);
}

/* A short question is stemmed for every language, each word counted once. */
static void test_short_question(void **state)
{
    text_terms t;
    assert_int_equal(text_analyze_query(stemmer, MT_SLICE("packages"), (mt_slice){0}, &t), MT_OK);
    assert_true(has(&t, "packag", 1) && has(&t, "packages", 1));
    assert_int_equal(t.words, 1);
    text_terms_dispose(&t);
    assert_int_equal(text_analyze_query(stemmer, MT_SLICE("packages"), MT_SLICE("en"), &t), MT_OK);
    assert_int_equal(t.n, 1);
    text_terms_dispose(&t);
}

typedef struct seen {
    char text[200];
    const char *of;
} seen;

static void note(void *user, size_t start, size_t end)
{
    seen *s = user;
    size_t at = strlen(s->text);
    snprintf(s->text + at, sizeof s->text - at, "(%.*s)", (int)(end - start), s->of + start);
}

static const char *marks(const char *query, const char *text)
{
    static seen s;
    text_terms t;
    s = (seen){.of = text};
    assert_int_equal(text_analyze_query(stemmer, mt_str(query), (mt_slice){0}, &t), MT_OK);
    text_find_marks(stemmer, &t, mt_str(text), note, &s);
    text_terms_dispose(&t);
    return s.text;
}

static void test_marks(void **state)
{
    assert_string_equal(marks("installing a package", "Install the packages of the system."), "(Install)(packages)");
    assert_string_equal(marks("dpkg-reconfigure", "Run dpkg-reconfigure once, or dpkg."), "(dpkg-reconfigure)(dpkg)");
    assert_string_equal(marks("kuće", "Stare kuće i nova kuća stoje na brdu, bez kućama."), "(kuće)(kuća)(kućama)");
    assert_string_equal(marks("kuce", "Stare kuće i nova kuća stoje na brdu."), "(kuće)(kuća)");
    assert_string_equal(marks("nothing", "Install the packages."), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passage),        cmocka_unit_test(test_many_terms), cmocka_unit_test(test_question),
        cmocka_unit_test(test_short_question), cmocka_unit_test(test_marks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
