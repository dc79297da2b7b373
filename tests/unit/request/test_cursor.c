/* Page tokens: what they hold comes back, and only in the list that they belong to. */
#include "support.h"

#include "../../../core/request/cursor.c"

#define ID "0190163d-8694-739b-aea5-966c26f8ad91"

static mti_operation operation = {.id = "shop.list", .n_params = 2};

static json_t *parse(const char *text)
{
    json_t *v = NULL;
    assert_int_equal(mti_json_parse(mt_str(text), 0, &v, NULL), MT_OK);
    return v;
}

static mti_request request(const char *first, const char *second, const char *query)
{
    mti_request r = {.match.op = &operation};
    mti_call_init(&r.call, NULL);
    r.call.operation = operation.id;
    r.call.who.org_id = (mti_uuid){{7}};
    r.values.params[0] = mt_str(first);
    r.values.params[1] = mt_str(second);
    r.values.query = query ? parse(query) : NULL;
    return r;
}

static void release_request(mti_request *r)
{
    json_decref(r->values.query);
    mti_call_dispose(&r->call);
}

static bool opens(mti_request *r, mt_slice token)
{
    mt_slice last = {0};
    mt_status s = mti_cursor_open(r, token, &last);
    if (s == MT_OK)
        assert_true(mt_slice_eq(last, MT_SLICE(ID)));
    else
        assert_true(s == MT_INVALID && mti_error_http(&r->call.error) == 400 &&
                    !strcmp(r->call.error.code, "cursor_invalid"));
    return s == MT_OK;
}

static void test_round_trip(void **state)
{
    mti_request r = request("a", "b", "{\"q\":\"word\",\"limit\":5}");
    mt_slice token = mti_cursor_seal(&r, MT_SLICE(ID)), last;
    assert_true(token.len > 20 && token.len < 512);
    for (size_t i = 0; i < token.len; i++)
        assert_true(token.p[i] != '+' && token.p[i] != '/' && token.p[i] != '=');
    assert_true(opens(&r, token));
    assert_int_equal(mti_cursor_open(&r, (mt_slice){0}, &last), MT_OK);
    assert_true(mt_slice_eq(last, MT_SLICE("ffffffff-ffff-ffff-ffff-ffffffffffff")));
    for (size_t len = 1; len <= 128; len++) {
        char text[128];
        memset(text, 'x', sizeof text);
        token = mti_cursor_seal(&r, (mt_slice){text, len});
        assert_int_equal(mti_cursor_open(&r, token, &last), MT_OK);
        assert_int_equal(last.len, len);
    }
    char long_one[129] = {0};
    assert_null(mti_cursor_seal(&r, (mt_slice){long_one, 129}).p);
    release_request(&r);
}

static void test_belongs_to_its_list(void **state)
{
    static const struct {
        const char *first, *second, *query;
        bool same;
    } rows[] = {
        {"a", "b", "{\"q\":\"x\",\"w\":\"y\"}", true},
        {"a", "b", "{\"w\":\"y\",\"q\":\"x\"}", true}, /* the order of filters is no filter */
        {"a", "b", "{\"q\":\"x\",\"w\":\"y\",\"limit\":9,\"cursor\":\"z\"}",
         true}, /* another page size goes on */
        {"a", "c", "{\"q\":\"x\",\"w\":\"y\"}", false},
        {"ab", "", "{\"q\":\"x\",\"w\":\"y\"}", false},
        {"b", "a", "{\"q\":\"x\",\"w\":\"y\"}", false},
        {"a", "b", "{\"q\":\"x\"}", false},
        {"a", "b", NULL, false},
        {"a", "b", "{\"q\":\"y\",\"w\":\"x\"}", false},
        {"a", "b", "{\"qx\":\"\",\"w\":\"y\"}", false},
        {"a", "b", "{\"q\":\"xw\",\"\":\"y\"}", false},
        {"a", "b", "{\"q\":\"x\",\"w\":\"y\",\"e\":null}", false}};
    mti_request made = request("a", "b", "{\"q\":\"x\",\"w\":\"y\"}");
    mt_slice token = mti_cursor_seal(&made, MT_SLICE(ID));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mti_request r = request(rows[i].first, rows[i].second, rows[i].query);
        if (opens(&r, token) != rows[i].same)
            fail_msg("row %zu", i);
        release_request(&r);
    }
    made.call.who.org_id.b[3] = 1;
    assert_false(opens(&made, token));
    made.call.who.org_id.b[3] = 0;
    made.call.operation = "shop.list2";
    assert_false(opens(&made, token));
    release_request(&made);
}

static void test_misuse(void **state)
{
    static const char *const tokens[] = {"",
                                         "a",
                                         "aaaa",
                                         "!!!!",
                                         ID,
                                         "AAAAAAAAAAA",
                                         "AAAAAAAAAAAA",
                                         "====",
                                         "a b",
                                         "\xc3\xa9\xc3\xa9"};
    mti_request r = request("a", "b", NULL);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        assert_false(opens(&r, mt_str(tokens[i])));
    mt_slice token = mti_cursor_seal(&r, MT_SLICE(ID));
    char copy[128];
    for (size_t i = 0; i < 11; i++) { /* the characters of the mark */
        memcpy(copy, token.p, token.len);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        mt_slice last;
        assert_int_equal(mti_cursor_open(&r, (mt_slice){copy, token.len}, &last), MT_INVALID);
    }
    assert_false(opens(&r, (mt_slice){token.p, 11}));
    release_request(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_belongs_to_its_list),
                                       cmocka_unit_test(test_misuse)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
