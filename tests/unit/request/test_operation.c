/* Preconditions and paging of stage 6. */
#include "support.h"

#include "../../../core/request/operation.c"

static mti_operation operation = {.id = "shop.put"};
static mti_request r;
static mti_http_request http;

static int setup(void **state)
{
    http = (mti_http_request){0};
    r = (mti_request){.http = &http, .match.op = &operation};
    mti_call_init(&r.call, NULL);
    r.call.operation = operation.id;
    operation.if_match = MTI_IF_MATCH_OPTIONAL;
    operation.list = false;
    return 0;
}

static int teardown(void **state)
{
    mti_call_dispose(&r.call);
    return 0;
}

static void test_if_match(void **state)
{
    static const struct {
        const char *header, *version;
    } rows[] = {{"\"7\"", "7"},
                {"W/\"7\"", "7"},
                {"7", "7"},
                {"\"123456789012345678\"", "123456789012345678"},
                {"*", NULL},
                {"", "!"},
                {"\"\"", "!"},
                {"\"", "!"},
                {"W/", "!"},
                {"W/\"\"", "!"},
                {"\"7", "!"},
                {"7\"", "!"},
                {"\"a\"", "!"},
                {"\"-1\"", "!"},
                {"\"1234567890123456789\"", "!"},
                {"\"7\", \"8\"", "!"},
                {"\"7' OR 1\"", "!"},
                {" \"7\"", "!"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        http.headers[0][0] = "if-match";
        http.headers[0][1] = rows[i].header;
        r.values.if_match = (mt_slice){0};
        mt_status s = read_if_match(&r);
        bool refused = rows[i].version && rows[i].version[0] == '!';
        if (refused != (s == MT_PRECONDITION) ||
            (!refused && !mt_slice_eq(r.values.if_match, mt_str(rows[i].version))))
            fail_msg("If-Match: %s", rows[i].header);
        assert_true(!refused || mti_error_http(&r.call.error) == 412);
    }
}

static void test_if_match_required(void **state)
{
    assert_int_equal(read_if_match(&r), MT_OK);
    operation.if_match = MTI_IF_MATCH_REQUIRED;
    assert_int_equal(read_if_match(&r), MT_PRECONDITION);
    assert_int_equal(mti_error_http(&r.call.error), 428);
    operation.if_match = MTI_IF_MATCH_NO;
    http.headers[0][0] = "if-match";
    http.headers[0][1] = "rubbish";
    assert_int_equal(read_if_match(&r), MT_OK);
    assert_null(r.values.if_match.p);
}

static void test_if_none_match(void **state)
{
    static const struct {
        const char *header;
        bool yes;
    } rows[] = {{"\"7\"", true},   {"W/\"7\"", true}, {"\"6\", \"7\"", true}, {"*", true},
                {"\"77\"", false}, {"7", false},      {"\"6\"", false},       {"", false}};
    assert_false(not_modified(&r));
    r.etag = "7";
    assert_false(not_modified(&r));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        http.headers[0][0] = "if-none-match";
        http.headers[0][1] = rows[i].header;
        if (not_modified(&r) != rows[i].yes)
            fail_msg("If-None-Match: %s", rows[i].header);
    }
    r.etag = NULL;
    assert_false(not_modified(&r));
}

static void test_page(void **state)
{
    assert_int_equal(read_page(&r), MT_OK);
    assert_int_equal(r.values.limit, 50);
    assert_null(r.values.cursor.p);
    operation.list = true;
    assert_int_equal(read_page(&r), MT_OK);
    assert_int_equal(r.values.cursor.len, 36);
    r.values.query = json_pack("{s:i,s:s}", "limit", 3, "cursor", "nonsense");
    assert_int_equal(read_page(&r), MT_INVALID);
    assert_int_equal(r.values.limit, 3);
    json_object_set_new(r.values.query, "cursor", json_string(""));
    assert_int_equal(read_page(&r), MT_INVALID);
    json_decref(r.values.query);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_if_match), TEST(test_if_match_required),
                                       TEST(test_if_none_match), TEST(test_page)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
