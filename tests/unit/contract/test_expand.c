/* The shorthand to OpenAPI: parameters, body, answers, security. */
#include "support.h"

#include "contract/expand.h"

static json_t *parse(const char *text)
{
    json_t *v;
    mti_error e;
    if (mti_json_parse(mt_str(text), 0, &v, &e) != MT_OK)
        fail_msg("%s", e.detail);
    return v;
}

/* The expansion of one operation, with Item and Body. The caller owns it. */
static json_t *expand(const char *path, const char *method, const char *operation)
{
    char text[4096];
    json_t *out = NULL;
    mti_error e = {0};
    snprintf(text, sizeof text,
             "{\"paths\":{\"%s\":{\"%s\":%s}},\"schemas\":{\"Item\":{\"properties\":{\"id\":{}}},"
             "\"Body\":{\"properties\":{\"id\":{}}}}}",
             path, method, operation);
    json_t *api = parse(text), *before = json_deep_copy(api);
    if (mti_contract_expand("shop", NULL, api, &out, &e) != MT_OK)
        fail_msg("%s", e.detail);
    assert_true(json_equal(api, before));
    json_decref(before);
    json_decref(api);
    return out;
}

static void assert_at(json_t *tree, const char *pointer, const char *json)
{
    json_t *found = mti_json_at(tree, mt_str(pointer)), *want = json ? parse(json) : NULL;
    if (want ? !found || !json_equal(found, want) : found != NULL) {
        char *text = found ? json_dumps(found, JSON_ENCODE_ANY) : NULL;
        fail_msg("%s is %s", pointer, text ? text : "absent");
    }
    json_decref(want);
}

static void test_parameters(void **state)
{
    json_t *x = expand("/a/{a_id}/{name}/{kind}", "get",
                       "{\"operationId\":\"o\",\"x-returns\":\"Item[]\",\"x-query\":\"q\",\"x-"
                       "path\":{\"kind\":{\"enum\":[\"b\"]}},"
                       "\"x-params\":{\"since\":{\"type\":\"string\",\"x-required\":true}}}");
#define AT "/paths/~1a~1{a_id}~1{name}~1{kind}/get"
    assert_at(x, AT "/parameters/0",
              "{\"name\":\"a_id\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":"
              "\"string\",\"format\":\"uuid\"}}");
    assert_at(x, AT "/parameters/1",
              "{\"name\":\"name\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":"
              "\"string\",\"minLength\":1,\"maxLength\":200}}");
    assert_at(x, AT "/parameters/2/schema", "{\"enum\":[\"b\"]}");
    assert_at(x, AT "/parameters/3/name", "\"since\"");
    assert_at(x, AT "/parameters/3/required", "true");
    assert_at(x, AT "/parameters/4/name", "\"limit\"");
    assert_at(x, AT "/parameters/4/required", "false");
    assert_at(x, AT "/parameters/4/schema/maximum", "200");
    assert_at(x, AT "/parameters/5/name", "\"cursor\"");
    assert_at(x, AT "/parameters/6", NULL);
    assert_at(x, AT "/x-query-schema/required", "[\"since\"]");
    assert_at(x, AT "/x-query-schema/additionalProperties", "false");
    assert_at(x, AT "/requestBody", NULL);
    assert_at(x, AT "/tags", "[\"shop\"]");
    assert_at(x, AT "/summary", "\"o\"");
    json_decref(x);
}

static void test_list_answer(void **state)
{
    json_t *x =
        expand("/a", "get", "{\"operationId\":\"o\",\"x-returns\":\"Item[]\",\"x-query\":\"q\"}");
    json_t *schema =
        mti_json_at(x, MT_SLICE("/paths/~1a/get/responses/200/content/application~1json/schema"));
    assert_non_null(schema);
    assert_at(schema, "/properties/items/items", "{\"$ref\":\"#/components/schemas/Item\"}");
    assert_non_null(mti_json_at(schema, MT_SLICE("/properties/next_cursor")));
    json_decref(x);
}

static void test_write(void **state)
{
    json_t *x = expand("/a", "post",
                       "{\"operationId\":\"o\",\"x-body\":\"Body\",\"x-returns\":\"Item\",\"x-"
                       "query\":\"q\",\"x-if-match\":\"required\"}");
    assert_at(x, "/paths/~1a/post/requestBody/content/application~1json/schema",
              "{\"$ref\":\"#/components/schemas/Body\"}");
    assert_at(x, "/paths/~1a/post/requestBody/required", "true");
    assert_at(x, "/paths/~1a/post/parameters/0/name", "\"If-Match\"");
    assert_at(x, "/paths/~1a/post/parameters/0/required", "true");
    assert_at(x, "/paths/~1a/post/parameters/1/name", "\"Idempotency-Key\"");
    assert_at(x, "/components/schemas/Body/additionalProperties", "false");
    assert_at(x, "/components/schemas/Body/type", "\"object\"");
    assert_at(x, "/components/schemas/Item/additionalProperties", NULL);
    json_decref(x);
}

static void test_open_bodies_stay_open(void **state)
{
    mti_error e;
    json_t *out,
        *api =
            parse("{\"paths\":{\"/"
                  "a\":{\"post\":{\"operationId\":\"o\",\"x-body\":\"B\",\"x-handler\":\"h\"}}},"
                  "\"schemas\":{\"B\":{\"additionalProperties\":true,\"properties\":{\"a\":{}}}}}");
    assert_int_equal(mti_contract_expand("shop", NULL, api, &out, &e), MT_OK);
    assert_at(out, "/components/schemas/B/additionalProperties", "true");
    json_decref(out);
    json_decref(api);
}

static void test_errors(void **state)
{
    static const char *const guarded[] = {"400", "401", "403", "404", "408", "413", "415",
                                          "422", "429", "431", "500", "503", "504"};
    json_t *x = expand("/a", "delete",
                       "{\"operationId\":\"o\",\"x-query\":\"q\",\"x-if-match\":\"optional\"}");
    json_t *responses = mti_json_at(x, MT_SLICE("/paths/~1a/delete/responses"));
    for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++) {
        char pointer[16];
        snprintf(pointer, sizeof pointer, "/%s", guarded[i]);
        assert_at(responses, pointer, "{\"$ref\":\"#/components/responses/Problem\"}");
    }
    assert_non_null(json_object_get(responses, "409"));
    assert_non_null(json_object_get(responses, "412"));
    assert_non_null(json_object_get(responses, "428"));
    assert_non_null(json_object_get(responses, "204"));
    json_decref(x);
    x = expand("/a", "get", "{\"operationId\":\"o\",\"x-handler\":\"h\",\"x-public\":true}");
    assert_at(x, "/paths/~1a/get/responses/401", NULL);
    assert_at(x, "/paths/~1a/get/responses/409", NULL);
    assert_at(x, "/paths/~1a/get/responses/412", NULL);
    assert_at(x, "/paths/~1a/get/security", "[]");
    json_decref(x);
    x = expand("/a", "get", "{\"operationId\":\"o\",\"x-handler\":\"h\",\"x-permission\":\"p.q\"}");
    assert_at(x, "/paths/~1a/get/security", NULL);
    json_decref(x);
}

static void test_multipart_and_stream(void **state)
{
    json_t *x = expand("/a", "post",
                       "{\"operationId\":\"o\",\"x-handler\":\"h\",\"x-content\":\"multipart\"}");
    assert_at(x,
              "/paths/~1a/post/requestBody/content/multipart~1form-data/schema/properties/file/"
              "items/format",
              "\"binary\"");
    json_decref(x);
    x = expand("/a", "post", "{\"operationId\":\"o\",\"x-handler\":\"h\",\"x-stream\":\"sse\"}");
    assert_at(x, "/paths/~1a/post/parameters", "[]");
    assert_non_null(
        mti_json_at(x, MT_SLICE("/paths/~1a/post/responses/200/content/text~1event-stream")));
    json_decref(x);
    x = expand("/a", "get",
               "{\"operationId\":\"o\",\"x-handler\":\"h\",\"x-produces\":\"text/html\"}");
    assert_non_null(mti_json_at(x, MT_SLICE("/paths/~1a/get/responses/200/content/text~1html")));
    json_decref(x);
}

/* The status that is documented is the one that is answered. */
static void test_documented_status(void **state)
{
    static const char SQL[] =
        "-- name: add :one\nINSERT INTO a (b) VALUES (:new_id) RETURNING b AS id;\n"
        "-- name: put :one\nUPDATE a SET b = :new_id RETURNING b AS id;\n-- name: del "
        ":exec\nDELETE FROM a;\n";
    static const struct {
        const char *method, *rest;
        int status;
    } rows[] = {{"post", "\"x-query\":\"add\",\"x-returns\":\"Item\"", 201},
                {"post", "\"x-query\":\"put\",\"x-returns\":\"Item\"", 200},
                {"put", "\"x-query\":\"add\",\"x-returns\":\"Item\"", 200},
                {"delete", "\"x-query\":\"del\"", 204},
                {"post", "\"x-query\":\"del\"", 204},
                {"post", "\"x-query\":\"add\"", 201},
                {"post", "\"x-handler\":\"h\",\"x-returns\":\"Item\"", 200},
                {"get", "\"x-handler\":\"h\",\"x-status\":202", 202}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char api[512], pointer[64];
        snprintf(api, sizeof api,
                 "{\"paths\":{\"/"
                 "a\":{\"%s\":{\"operationId\":\"o\",\"x-permission\":\"a.b\",%s}}},\"schemas\":{"
                 "\"Item\":{\"properties\":{\"id\":{}}}}}",
                 rows[i].method, rows[i].rest);
        mti_contract *k = load(api, SQL);
        assert_int_equal(k->operations[0].status, rows[i].status);
        json_t *responses = mti_json_at(
            k->api,
            mt_str((snprintf(pointer, sizeof pointer, "/paths/~1a/%s/responses", rows[i].method),
                    pointer)));
        int seen = 0;
        const char *status;
        json_t *v;
        json_object_foreach(responses, status, v) if (status[0] == '2') seen =
            seen ? -1 : atoi(status);
        if (seen != rows[i].status)
            fail_msg("%s %s documents %d", rows[i].method, rows[i].rest, seen);
        mti_contract_destroy(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parameters),
                                       cmocka_unit_test(test_list_answer),
                                       cmocka_unit_test(test_write),
                                       cmocka_unit_test(test_open_bodies_stay_open),
                                       cmocka_unit_test(test_errors),
                                       cmocka_unit_test(test_multipart_and_stream),
                                       cmocka_unit_test(test_documented_status)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
