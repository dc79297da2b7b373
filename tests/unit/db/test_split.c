#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "db/split.h"

static void expect(mti_splitter *s, const char *text, int line)
{
    mt_slice got;
    int at = 0;
    assert_int_equal(mti_split_next(s, &got, &at), MT_OK);
    if (!mt_slice_eq(got, mt_str(text)) || at != line)
        fail_msg("line %d: %.*s", at, (int)got.len, got.p);
}

static void test_statements(void **state)
{
    static const char text[] = "-- first;\nA 'x;y';;\n /* ; */ B \"c;d\" $$ ; $$ $t$ ; $$ ; "
                               "$t$;\nC E'\\';' || $1 || a$b;\n D -- ; \n E";
    mti_splitter s = {text, text + strlen(text), 1};
    mt_slice rest;
    int line;
    expect(&s, "A 'x;y'", 2);
    expect(&s, "B \"c;d\" $$ ; $$ $t$ ; $$ ; $t$", 3);
    expect(&s, "C E'\\';' || $1 || a$b", 4);
    expect(&s, "D -- ; \n E", 5);
    assert_int_equal(mti_split_next(&s, &rest, &line), MT_DONE);
}

static void test_unclosed(void **state)
{
    static const char *const texts[] = {"A 'x", "A \"x", "A $x$ y", "A /* x", "/* x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mti_splitter s = {texts[i], texts[i] + strlen(texts[i]), 1};
        mt_slice got;
        int line;
        assert_int_equal(mti_split_next(&s, &got, &line), MT_INVALID);
    }
}

static void test_allowed(void **state)
{
    static const char *const yes[] = {"CREATE TABLE x ()",
                                      "create unique index i",
                                      "ALTER TABLE t",
                                      "DROP INDEX i",
                                      "CREATE OR REPLACE VIEW v",
                                      "SELECT 1",
                                      "WITH x",
                                      "INSERT",
                                      "UPDATE",
                                      "DELETE",
                                      "COMMENT ON",
                                      "CREATE TYPE",
                                      "CREATE DOMAIN",
                                      "/* x */ CREATE -- y\n SEQUENCE s"};
    static const char *const no[] = {"RESET ROLE",
                                     "SET ROLE x",
                                     "set/**/role x",
                                     "COMMIT",
                                     "DO $$",
                                     "GRANT x",
                                     "CREATE FUNCTION f",
                                     "CREATE OR REPLACE FUNCTION f",
                                     "CREATE TRIGGER",
                                     "CREATE POLICY",
                                     "CREATE RULE",
                                     "ALTER DEFAULT PRIVILEGES",
                                     "ALTER ROLE",
                                     "COPY",
                                     "LISTEN x",
                                     "CALL p()",
                                     "DROP SCHEMA",
                                     "CREATE EXTENSION",
                                     "CREATE TEMP TABLE",
                                     "CREATE MATERIALIZED VIEW",
                                     "REASSIGN",
                                     "DISCARD ALL",
                                     "PREPARE",
                                     "EXECUTE",
                                     "LOCK",
                                     "",
                                     "1"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!mti_split_allowed(mt_str(yes[i])))
            fail_msg("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (mti_split_allowed(mt_str(no[i])))
            fail_msg("%s", no[i]);
}

static void test_every_prefix(void **state)
{
    static const char text[] =
        "A 'a''b' E'\\'' \"q\" $t$ $ $t$ $$x$$ /* /* */ */ -- slow\nB; CREATE /* x */ TABLE";
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = test_malloc(len + 1);
        memcpy(copy, text, len);
        mti_splitter s = {copy, copy + len, 1};
        mt_slice got;
        int line;
        while (mti_split_next(&s, &got, &line) == MT_OK)
            mti_split_allowed(got);
        test_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements), cmocka_unit_test(test_unclosed),
        cmocka_unit_test(test_allowed), cmocka_unit_test(test_every_prefix)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
