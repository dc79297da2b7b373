/* How a query's parameters get their values: arguments, path, query, body, the host's own. The
 * database is replaced by a recorder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "db/oid.h"
#include "plugin/values.h"

static mti_param bound[64];
static mt_status answer;
static const char *constraint;

static mt_status record_run(mt_call *c, const mti_db_role *role, const mti_query *q,
                            const mti_param *params, mti_result **out)
{
    memcpy(bound, params, q->n_params * sizeof *params);
    *out = NULL;
    return answer == MT_OK ? MT_OK : mti_fail(&c->error, answer, "conflict", "taken");
}

static const char *record_constraint(const mt_call *c)
{
    return constraint;
}

#define mti_db_run        record_run
#define mti_db_constraint record_constraint
#include "../../../core/plugin/values.c"

static const mti_constraint constraints[] = {{"name_key", "name_taken", "/name", 409},
                                             {"bare", "other", NULL, 422}};
static mti_contract contract;
static mti_operation operation;
static struct mti_values values;
static mt_call call;
static mti_contract *loaded;

static const char API[] =
    "{\"paths\":{\"/shelves/"
    "{shelf_id}\":{\"post\":{\"operationId\":\"o\",\"x-permission\":\"a.b\",\"x-handler\":\"h\","
    "\"x-body\":\"B\","
    "\"x-params\":{\"page\":{\"type\":\"integer\"},\"word\":{\"type\":\"string\"}}}}},"
    "\"schemas\":{\"B\":{\"properties\":{\"name\":{\"type\":\"string\"},\"note\":{\"type\":["
    "\"string\",\"null\"]},\"tags\":{},\"nested\":{},\"gone\":{}}}}}";

static json_t *parse(const char *text)
{
    json_t *v;
    assert_int_equal(mti_json_parse(mt_str(text), 0, &v, NULL), MT_OK);
    return v;
}

static int setup(void **state)
{
    char dir[] = "/tmp/mortise-values-XXXXXX", path[64];
    mti_error e = {0};
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/api.json", dir);
    FILE *f = fopen(path, "w");
    fputs(API, f);
    fclose(f);
    mt_status s = mti_contract_load("shop", dir, &loaded, &e);
    unlink(path);
    rmdir(dir);
    if (s != MT_OK)
        fail_msg("%s", e.detail);
    mti_call_init(&call, NULL);
    operation = loaded->operations[0];
    values = (struct mti_values){
        .op = &operation,
        .params = {MT_SLICE("the shelf")},
        .query = parse("{\"page\":3}"),
        .limit = 50,
        .cursor = MT_SLICE("last"),
        .body =
            parse("{\"name\":\"N\",\"note\":null,\"tags\":[\"a\"],\"nested\":{\"b\":[1,\"x\"]}}")};
    call.values = &values;
    contract = (mti_contract){.slug = "shop", .constraints = constraints, .n_constraints = 2};
    answer = MT_OK;
    constraint = "";
    return 0;
}

static int teardown(void **state)
{
    json_decref(values.query);
    json_decref(values.body);
    mti_call_dispose(&call);
    mti_contract_destroy(loaded);
    return 0;
}

/* Binds one parameter of a type the way a query of it would. */
static mt_status bind(const char *name, unsigned type, const mt_field *args, size_t n_args,
                      mti_param *out)
{
    const mti_query q = {
        .name = "q", .file = "queries.sql", .line = 3, .n_params = 1, .params = &name};
    *out = (mti_param){0};
    return bind_one(&call, &q, 0, type, args, n_args, out);
}

static void assert_bound(const char *name, unsigned type, const char *want)
{
    mti_param p;
    assert_int_equal(bind(name, type, NULL, 0, &p), MT_OK);
    if (want ? !p.value.p || !mt_slice_eq(p.value, mt_str(want)) : p.value.p != NULL)
        fail_msg(":%s is %.*s", name, p.value.p ? (int)p.value.len : 4,
                 p.value.p ? p.value.p : "NULL");
    assert_false(p.binary);
}

static void set(const char *name, const char *json)
{
    json_object_set_new(values.body, name, parse(json));
}

static void test_sources(void **state)
{
    assert_bound("shelf_id", OID_TEXT, "the shelf");
    assert_bound("page", OID_INT4, "3");
    assert_bound("name", OID_TEXT, "N");
    assert_bound("note", OID_TEXT, NULL);
    assert_bound("cursor", OID_UUID, "last");
    assert_bound("limit", OID_INT8, "51");
    assert_bound("if_match", OID_INT8, NULL);
    values.if_match = MT_SLICE("7");
    assert_bound("if_match", OID_INT8, "7");
}

static void test_scalars(void **state)
{
    static const struct {
        const char *json;
        unsigned type;
        const char *text;
    } rows[] = {{"\"\"", OID_TEXT, ""},
                {"\"a\\\"b\"", OID_TEXT, "a\"b"},
                {"true", OID_BOOL, "true"},
                {"false", OID_BOOL, "false"},
                {"0", OID_INT4, "0"},
                {"-9223372036854775808", OID_INT8, "-9223372036854775808"},
                {"9223372036854775807", OID_INT8, "9223372036854775807"},
                {"0.1", OID_FLOAT8, "0.1"},
                {"5.0", OID_INT4, "5"},
                {"-2.5e1", OID_INT8, "-25"},
                {"1e300", OID_FLOAT8, "1e+300"},
                {"null", OID_INT4, NULL},
                {"{\"a\":[1,null,\"x\"]}", OID_TEXT, "{\"a\":[1,null,\"x\"]}"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        set("name", rows[i].json);
        assert_bound("name", rows[i].type, rows[i].text);
    }
}

static void test_json_parameters(void **state)
{
    static const struct {
        const char *json, *text;
    } rows[] = {{"\"s\"", "\"s\""}, {"\"a\\\"\\\\\\n\"", "\"a\\\"\\\\\\n\""},
                {"7", "7"},         {"true", "true"},
                {"null", NULL},     {"[1,\"a\"]", "[1,\"a\"]"},
                {"[]", "[]"},       {"{}", "{}"},
                {"\"\"", "\"\""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        set("nested", rows[i].json);
        assert_bound("nested", OID_JSON, rows[i].text);
        assert_bound("nested", OID_JSONB, rows[i].text);
    }
}

static void test_arrays(void **state)
{
    static const struct {
        const char *json, *text;
    } rows[] = {{"[]", "{}"},
                {"[\"a\"]", "{\"a\"}"},
                {"[\"a\",\"b\"]", "{\"a\",\"b\"}"},
                {"[null]", "{NULL}"},
                {"[\"NULL\"]", "{\"NULL\"}"},
                {"[\"\"]", "{\"\"}"},
                {"[\"a,b\",\"{c}\",\"d\\\"e\",\"f\\\\g\",\" h \"]",
                 "{\"a,b\",\"{c}\",\"d\\\"e\",\"f\\\\g\",\" h \"}"},
                {"[1,-2]", "{\"1\",\"-2\"}"},
                {"[true,false]", "{\"true\",\"false\"}"},
                {"[0.5]", "{\"0.5\"}"},
                {"[\"\\n\\u00e9\"]", "{\"\n\xc3\xa9\"}"},
                {"[{\"a\":\"b\"}]", "{\"{\\\"a\\\":\\\"b\\\"}\"}"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        set("tags", rows[i].json);
        assert_bound("tags", 1009, rows[i].text);
    }
}

static void test_null_and_absent(void **state)
{
    mti_param p;
    assert_bound("gone", OID_TEXT, NULL); /* an optional body member that was not sent */
    assert_bound("word", OID_TEXT, NULL); /* an optional query parameter that was not sent */
    assert_int_equal(bind("nobody", OID_TEXT, NULL, 0, &p), MT_INTERNAL);
    assert_string_equal(call.error.code, "parameter_unbound");
    assert_non_null(strstr(call.error.detail, "queries.sql:3"));
    bool found;
    mt_slice v = mti_value_find(&call, MT_SLICE("note"), &found);
    assert_true(found && !v.p);
    v = mti_value_find(&call, MT_SLICE("gone"), &found);
    assert_true(!found && !v.p);
    v = mti_value_find(&call, MT_SLICE("shelf_i"), &found);
    assert_false(found);
    call.values = NULL;
    v = mti_value_find(&call, MT_SLICE("name"), &found);
    assert_false(found);
    assert_int_equal(bind("name", OID_TEXT, NULL, 0, &p), MT_INTERNAL);
    assert_int_equal(bind("limit", OID_INT8, NULL, 0, &p), MT_INTERNAL);
    assert_int_equal(bind("new_id", OID_UUID, NULL, 0, &p), MT_OK);
}

static void test_arguments_win(void **state)
{
    const mt_field args[] = {{MT_SLICE("name"), MT_SLICE("given")},
                             {MT_SLICE("note"), {NULL, 0}},
                             {MT_SLICE("shelf_id"), MT_SLICE("other")},
                             {MT_SLICE("limit"), MT_SLICE("5")},
                             {MT_SLICE("raw"), MT_SLICE("\0\1")}};
    mti_param p;
    assert_int_equal(bind("name", OID_TEXT, args, 5, &p), MT_OK);
    assert_true(mt_slice_eq(p.value, MT_SLICE("given")));
    assert_int_equal(bind("note", OID_TEXT, args, 5, &p), MT_OK);
    assert_null(p.value.p);
    assert_int_equal(bind("shelf_id", OID_TEXT, args, 5, &p), MT_OK);
    assert_true(mt_slice_eq(p.value, MT_SLICE("other")));
    assert_int_equal(bind("limit", OID_INT8, args, 5, &p), MT_OK);
    assert_true(mt_slice_eq(p.value, MT_SLICE("5")));
    assert_int_equal(bind("raw", OID_BYTEA, args, 5, &p), MT_OK);
    assert_true(p.binary && p.value.len == 2);
}

static void test_new_id(void **state)
{
    mti_param a, b;
    mti_uuid id;
    assert_int_equal(bind("new_id", OID_UUID, NULL, 0, &a), MT_OK);
    assert_int_equal(bind("new_id", OID_UUID, NULL, 0, &b), MT_OK);
    assert_true(mt_slice_eq(a.value, b.value));
    assert_true(mti_uuid_parse(a.value, &id));
}

static void test_identity(void **state)
{
    mti_param p;
    assert_bound("workspace_scope", OID_UUID, NULL);
    call.who.workspace_id = call.who.org_id = mti_uuid_v7();
    assert_int_equal(bind("workspace_scope", OID_UUID, NULL, 0, &p), MT_OK);
    mti_uuid id;
    assert_true(mti_uuid_parse(p.value, &id) && mti_uuid_eq(id, call.who.workspace_id));
    assert_int_equal(bind("org_id", OID_UUID, NULL, 0, &p), MT_OK);
    assert_true(mti_uuid_parse(p.value, &id) && mti_uuid_eq(id, call.who.org_id));
    assert_int_equal(bind("now", OID_TIMESTAMPTZ, NULL, 0, &p), MT_OK);
    assert_int_equal(p.value.len, 27);
    set("tags", "[]");
    assert_int_equal(bind("body", OID_JSONB, NULL, 0, &p), MT_OK);
    assert_true(p.value.len > 2 && p.value.p[0] == '{');
}

static void test_run(void **state)
{
    static const char *names[] = {"name", "limit", "nobody"};
    mti_query q = {.name = "q", .file = "f", .n_params = 2, .params = names};
    mti_db_role role = {0};
    mti_result *rows;
    assert_int_equal(mti_query_run(&call, &contract, &role, &q, NULL, 0, &rows), MT_OK);
    assert_true(mt_slice_eq(bound[0].value, MT_SLICE("N")));
    assert_true(mt_slice_eq(bound[1].value, MT_SLICE("51")));
    q.n_params = 3;
    assert_int_equal(mti_query_run(&call, &contract, &role, &q, NULL, 0, &rows), MT_INTERNAL);
}

static void test_constraints(void **state)
{
    const mti_query q = {.name = "q", .file = "f"};
    mti_db_role role = {0};
    mti_result *rows;
    answer = MT_CONFLICT;
    constraint = "name_key";
    assert_int_equal(mti_query_run(&call, &contract, &role, &q, NULL, 0, &rows), MT_CONFLICT);
    assert_string_equal(call.error.code, "name_taken");
    assert_string_equal(call.error.pointer, "/name");
    assert_int_equal(mti_error_http(&call.error), 409);
    constraint = "bare";
    mti_query_run(&call, &contract, &role, &q, NULL, 0, &rows);
    assert_string_equal(call.error.pointer, "");
    assert_int_equal(mti_error_http(&call.error), 422);
    constraint = "unknown";
    mti_query_run(&call, &contract, &role, &q, NULL, 0, &rows);
    assert_string_equal(call.error.code, "conflict");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sources),    TEST(test_scalars),         TEST(test_json_parameters),
        TEST(test_arrays),     TEST(test_null_and_absent), TEST(test_arguments_win),
        TEST(test_new_id),     TEST(test_identity),        TEST(test_run),
        TEST(test_constraints)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
