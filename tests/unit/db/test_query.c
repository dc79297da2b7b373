#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "db/query.h"

static mti_arena arena;
static mti_error error;
static mti_query *list;
static size_t n;

static mt_status parse(const char *text)
{
    mti_arena_reset(&arena);
    return mti_query_parse(&arena, "p/queries.sql", mt_str(text), &list, &n, &error);
}

static const mti_query *one(const char *text)
{
    if (parse(text))
        fail_msg("%s", error.detail);
    assert_int_equal(n, 1);
    return list;
}

static void test_parameters(void **state)
{
    const mti_query *q = one("-- name: a :one\nSELECT :x::text, ':no', \":no\", $t$ :no ; $t$, "
                             "E'\\':no', t.a[1:2], x AS \"y\"\"z\" -- :no\n"
                             "FROM t /* :no /* ; */ */ WHERE b = :y_2 AND c=:x;\n");
    assert_string_equal(q->sql, "SELECT $1::text, ':no', \":no\", $t$ :no ; $t$, E'\\':no', "
                                "t.a[1:2], x AS \"y\"\"z\" FROM t WHERE b = $2 AND c=$1");
    assert_int_equal(q->n_params, 2);
    assert_string_equal(q->params[0], "x");
    assert_string_equal(q->params[1], "y_2");
    assert_int_equal(q->statement[0], 'q');
    assert_int_equal(strlen(q->statement), 33);
}

static void test_header(void **state)
{
    assert_int_equal(
        parse("-- a file\n\n--name: a :one\nSELECT 1;\n  -- name: b_2 :many cursor=id slow "
              "custom\nSELECT id FROM t\n-- name: c :exec\n-- custom\nDELETE FROM t"),
        MT_OK);
    assert_int_equal(n, 3);
    assert_int_equal(list[0].kind, MTI_QUERY_ONE);
    assert_int_equal(list[1].kind, MTI_QUERY_MANY);
    assert_string_equal(list[1].cursor, "id");
    assert_int_equal(list[1].lane, MTI_LANE_SLOW);
    assert_true(list[1].custom_plan);
    assert_int_equal(list[1].line, 5);
    assert_int_equal(list[2].kind, MTI_QUERY_EXEC);
    assert_int_equal(list[2].lane, MTI_LANE_WRITE);
    assert_true(list[2].custom_plan);
    assert_string_equal(list[2].file, "p/queries.sql");
    assert_string_not_equal(list[0].statement, list[1].statement);
    assert_int_equal(parse(""), MT_OK);
    assert_int_equal(n, 0);
}

static void test_lanes(void **state)
{
    static const struct {
        const char *sql;
        mti_lane lane;
    } cases[] = {
        {"SELECT 1", MTI_LANE_READ},
        {"VALUES (1)", MTI_LANE_READ},
        {"(SELECT 1) UNION (SELECT 2)", MTI_LANE_READ},
        {"SELECT 1 FOR UPDATE", MTI_LANE_WRITE},
        {"SELECT 1 FOR NO KEY UPDATE SKIP LOCKED", MTI_LANE_WRITE},
        {"SELECT 1 for share", MTI_LANE_WRITE},
        {"SELECT substring(a FOR 3), 'FOR UPDATE' FROM t", MTI_LANE_READ},
        {"SELECT updated, deleted FROM t", MTI_LANE_READ},
        {"WITH x AS (SELECT 1) SELECT * FROM x", MTI_LANE_READ},
        {"WITH x AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT * FROM x", MTI_LANE_WRITE},
        {"WITH x AS (SELECT 1) update t SET a = 1", MTI_LANE_WRITE},
        {"insert into t values (1)", MTI_LANE_WRITE},
        {"MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", MTI_LANE_WRITE},
    };
    char text[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "-- name: a :many\n%s", cases[i].sql);
        if (one(text)->lane != cases[i].lane)
            fail_msg("%s", cases[i].sql);
    }
    assert_int_equal(one("-- name: a :one write\nSELECT mt.job_put()")->lane, MTI_LANE_WRITE);
    assert_int_equal(one("-- name: a :one\n-- slow\nSELECT 1")->lane, MTI_LANE_SLOW);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"-- name: a :one\nSELECT 1; SELECT 2", "p/queries.sql:2: a: two statements"},
        {"-- name: a :one\nSELECT 1;\n-- name: a :one\nSELECT 2",
         ":3: a: two queries of this name"},
        {"SELECT 1", "before the first"},
        {"-- name: a :one\n", "has no text"},
        {"-- name: a :one\n;", "has no text"},
        {"-- name: a\nSELECT 1", "kind is missing"},
        {"-- name: a :two\nSELECT 1", "the kind is"},
        {"-- name: a :one fast\nSELECT 1", "unknown word"},
        {"-- name: a-b :one\nSELECT 1", "letters, digits"},
        {"-- name:\nSELECT 1", "without a name"},
        {"-- name: a :one slow\nDELETE FROM t", "cannot be slow"},
        {"-- name: a :exec\nSET x = 1", "is one SELECT"},
        {"-- name: a :exec\nDO $$ $$", "is one SELECT"},
        {"-- name: a :exec\nCOPY t TO STDOUT", "is one SELECT"},
        {"-- name: a :exec\nselecting", "is one SELECT"},
        {"-- name: a :exec\n'x'", "is one SELECT"},
        {"-- name: a :one\nSELECT 'x", "inside a literal"},
        {"-- name: a :one\nSELECT \"x", "inside a literal"},
        {"-- name: a :one\nSELECT $x$ y", "inside a literal"},
        {"-- name: a :one\nSELECT /* y", "inside a comment"},
        {"-- name: a :one\nSELECT $1", "write :name"},
        {"-- name: a :one\nSELECT $", "stray"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (parse(cases[i].text) != MT_INVALID || !strstr(error.detail, cases[i].says))
            fail_msg("%s: %s", cases[i].text, error.detail);
        assert_null(list);
    }
    assert_int_equal(mti_query_parse(&arena, "f", (mt_slice){"-- name: a :one\nSELECT \0", 24},
                                     &list, &n, &error),
                     MT_INVALID);
}

static void test_too_many_parameters(void **state)
{
    char text[2048] = "-- name: a :one\nSELECT 1";
    for (int i = 0; i < 65; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ", :p%d", i);
    assert_int_equal(parse(text), MT_INVALID);
    assert_non_null(strstr(error.detail, "64 parameters"));
}

/* Every prefix of a text with all that the scanner knows must end without reading past its end (run
 * under ASan). */
static void test_every_prefix(void **state)
{
    static const char text[] =
        "-- name: a :one slow\nSELECT :x::t, 'a''b', E'\\'', \"q\", $t$ $ $t$, $$x$$ /* /* */ */ "
        "-- slow\nFROM t;\n-- name: b :many\nWITH x AS (SELECT 1) SELECT 2";
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = test_malloc(len + 1);
        memcpy(copy, text, len);
        mti_arena_reset(&arena);
        mti_query_parse(&arena, "f", (mt_slice){copy, len}, &list, &n, &error);
        test_free(copy);
    }
}

/* word stands in the sql of the query; the place of it in the file. */
static void stands_at(const char *text, size_t query, const char *word, int line, int column)
{
    int l, c;
    if (parse(text))
        fail_msg("%s", error.detail);
    const char *at = strstr(list[query].sql, word);
    assert_non_null(at);
    int position = 1;
    for (const char *b = list[query].sql; b < at; b++)
        position += ((unsigned char)*b & 0xc0) != 0x80;
    mti_query_place(mt_str(text), &list[query], position, &l, &c);
    if (l != line || c != column)
        fail_msg("%s is at %d:%d, not %d:%d", word, l, c, line, column);
}

static void test_places(void **state)
{
    static const char text[] = "-- A file.\n"
                               "-- name: a :one\n"
                               "SELECT id,\t 'x\n"
                               "y' AS lit, \"\xc4\x8d\" AS hook -- why not\n"
                               "  FROM t /* one\n"
                               "  two */ WHERE  tilte = :title AND x = $$ -- $$;\n"
                               "\n"
                               "-- name: b :many cursor=id\n"
                               "-- slow\n"
                               "\n"
                               "SELECT id, :title::text AS tilte FROM u;";
    stands_at(text, 0, "id", 3, 8);
    stands_at(text, 0, "'x", 3, 13);
    stands_at(text, 0, "lit", 4, 7);
    stands_at(text, 0, "hook", 4, 19);
    stands_at(text, 0, "tilte", 6, 17);
    stands_at(text, 0, "$1", 6, 25);
    stands_at(text, 0, "$$", 6, 40);
    stands_at(text, 1, "SELECT", 11, 1);
    stands_at(text, 1, "$1", 11, 12);
    stands_at(text, 1, "u", 11, 39);
}

static void test_a_place_that_is_gone_is_the_querys_own(void **state)
{
    int line, column;
    const mti_query *q = one("\n-- name: a :one\nSELECT 1");
    static const char *const others[] = {"", "-- name: b :one\nSELECT 1", "\n-- name: a :one\nSELECT", "-- name: a :one\nSELECT '"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        mti_query_place(mt_str(others[i]), q, 9, &line, &column);
        assert_int_equal(line, 2);
        assert_int_equal(column, 1);
    }
    mti_query_place(MT_SLICE("\n-- name: a :one\nSELECT 1"), q, 0, &line, &column);
    assert_int_equal(line, 2);
}

int main(void)
{
    mti_arena_init(&arena, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_a_place_that_is_gone_is_the_querys_own),
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_too_many_parameters),
        cmocka_unit_test(test_every_prefix),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mti_arena_dispose(&arena);
    return failed;
}
