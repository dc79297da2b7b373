/* The union of contracts, and its page. */
#include "support.h"

static const char A[] = "{\"paths\":{\"/"
                        "a\":{\"get\":{\"operationId\":\"a.get\",\"x-permission\":\"a.read\",\"x-"
                        "handler\":\"h\",\"x-returns\":\"A\","
                        "\"x-params\":{\"q\":{\"type\":\"string\"}}}}},\"schemas\":{\"A\":{"
                        "\"properties\":{\"id\":{\"type\":\"string\"}}}}}";
static const char B[] = "{\"paths\":{\"/"
                        "a\":{\"post\":{\"operationId\":\"b.post\",\"x-permission\":\"b.write\","
                        "\"x-handler\":\"h\",\"x-returns\":\"B\"}}},"
                        "\"schemas\":{\"B\":{\"properties\":{\"id\":{\"type\":\"string\"}}}}}";

static mt_status merge(const char *a, const char *b, json_t **out, mti_error *e)
{
    mti_contract *list[2];
    assert_int_equal(load_as("first", a, NULL, &list[0], e), MT_OK);
    assert_int_equal(load_as("second", b, NULL, &list[1], e), MT_OK);
    mt_status s = mti_openapi(list, 2, "1.2.3", out, e);
    mti_contract_destroy(list[0]);
    mti_contract_destroy(list[1]);
    return s;
}

static json_t *at(json_t *doc, const char *pointer)
{
    return mti_json_at(doc, mt_str(pointer));
}

static void test_merged(void **state)
{
    json_t *doc;
    mti_error e;
    assert_int_equal(merge(A, B, &doc, &e), MT_OK);
    assert_string_equal(json_string_value(at(doc, "/openapi")), "3.1.0");
    assert_string_equal(json_string_value(at(doc, "/info/version")), "1.2.3");
    assert_string_equal(json_string_value(at(doc, "/servers/0/url")), "/v1");
    assert_string_equal(json_string_value(at(doc, "/paths/~1a/get/operationId")), "a.get");
    assert_string_equal(json_string_value(at(doc, "/paths/~1a/post/operationId")), "b.post");
    assert_null(at(doc, "/paths/~1a/get/x-query-schema"));
    assert_non_null(at(doc, "/components/schemas/A"));
    assert_non_null(at(doc, "/components/schemas/Problem"));
    assert_non_null(at(doc, "/components/responses/Problem"));
    assert_non_null(at(doc, "/components/securitySchemes/key"));
    assert_string_equal(json_string_value(at(doc, "/tags/1/name")), "second");
    json_decref(doc);
}

/* Every "#/…" reference of the document leads somewhere. */
static void check_references(json_t *root, json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;
    const char *ref = json_string_value(json_object_get(v, "$ref"));
    if (ref && !at(root, ref + 1))
        fail_msg("%s leads nowhere", ref);
    json_object_foreach(v, key, item) check_references(root, item);
    json_array_foreach(v, i, item) check_references(root, item);
}

static void test_references_resolve(void **state)
{
    mti_contract *list[3];
    json_t *doc;
    mti_error e;
    static const char *const dirs[] = {"manifests/core", "plugins/notes", "plugins/hello"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(mti_contract_load(i ? "p" : "core", dirs[i], &list[i], &e), MT_OK);
    assert_int_equal(mti_openapi(list, 3, "1.0.0", &doc, &e), MT_OK);
    check_references(doc, doc);
    json_decref(doc);
    for (int i = 0; i < 3; i++)
        mti_contract_destroy(list[i]);
}

static void test_conflicts(void **state)
{
    static const char SAME_SCHEMA[] = "{\"schemas\":{\"A\":{}}}",
                      PROBLEM[] = "{\"schemas\":{\"Problem\":{}}}";
    json_t *doc;
    mti_error e;
    assert_int_equal(merge(A, A, &doc, &e), MT_CONFLICT);
    assert_string_equal(e.code, "route_taken");
    assert_non_null(strstr(e.detail, "second"));
    assert_int_equal(merge(A, SAME_SCHEMA, &doc, &e), MT_CONFLICT);
    assert_string_equal(e.code, "schema_taken");
    assert_int_equal(merge(A, PROBLEM, &doc, &e), MT_CONFLICT);
    assert_string_equal(e.code, "schema_taken");
    assert_int_equal(merge("{}", "{}", &doc, &e), MT_OK);
    json_decref(doc);
}

static char *page_of(const char *api)
{
    json_t *doc;
    mti_error e;
    mti_buf b;
    assert_int_equal(merge(api, "{}", &doc, &e), MT_OK);
    mti_buf_init(&b, 1 << 20);
    assert_int_equal(mti_openapi_page(doc, &b), MT_OK);
    json_decref(doc);
    return b.p;
}

static void test_page(void **state)
{
    char *page = page_of(A);
    assert_non_null(strstr(page, "id=\"a.get\""));
    assert_non_null(strstr(page, "href=\"#schema-A\""));
    assert_non_null(strstr(page, "id=\"schema-A\""));
    assert_non_null(strstr(page, "a.read"));
    free(page);
}

static void test_page_escapes(void **state)
{
    char *page = page_of(
        "{\"paths\":{\"/a\":{\"get\":{\"operationId\":\"a\\\"><script>1</"
        "script>\",\"x-permission\":\"a.read\",\"x-handler\":\"h\",\"summary\":\"<script>2\","
        "\"description\":\"</p><script>3 & "
        "'quoted'\",\"x-returns\":\"A\",\"x-params\":{\"q<script>4\":{\"description\":\"<script>"
        "5\"}},"
        "\"x-produces\":\"<script>6\"}}},\"schemas\":{\"A\":{\"description\":\"\\\"<script>7\"}}}");
    assert_null(strstr(page, "<script"));
    for (char c = '1'; c <= '7'; c++) {
        char text[24];
        snprintf(text, sizeof text, "script&gt;%c", c);
        if (!strstr(page, text))
            fail_msg("%s is not in the page", text);
    }
    assert_non_null(strstr(page, "&amp;"));
    free(page);
}

static void test_page_of_a_full_buffer(void **state)
{
    json_t *doc;
    mti_error e;
    mti_buf b;
    assert_int_equal(merge(A, B, &doc, &e), MT_OK);
    mti_buf_init(&b, 100);
    assert_int_equal(mti_openapi_page(doc, &b), MT_TOO_LARGE);
    mti_buf_dispose(&b);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merged),       cmocka_unit_test(test_references_resolve),
        cmocka_unit_test(test_conflicts),    cmocka_unit_test(test_page),
        cmocka_unit_test(test_page_escapes), cmocka_unit_test(test_page_of_a_full_buffer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
