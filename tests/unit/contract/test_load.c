/* api.json and queries.sql to a contract: what loads, what it means, and what must not load. */
#include "support.h"

#include <glob.h>

static const char SQL[] =
    "-- name: item_list :many cursor=id\n"
    "SELECT id, name FROM shop.item WHERE shelf_id = :shelf_id AND id < :cursor ORDER BY id DESC "
    "LIMIT :limit;\n"
    "-- name: item_add :one\n"
    "INSERT INTO shop.item (id, shelf_id, name) VALUES (:new_id, :shelf_id, :name) RETURNING id, "
    "name;\n"
    "-- name: item_touch :one\n"
    "UPDATE shop.item SET name = :name WHERE shelf_id = :shelf_id RETURNING id, name;\n"
    "-- name: item_drop :exec\n"
    "DELETE FROM shop.item WHERE shelf_id = :shelf_id;\n"
    "-- name: item_find :many cursor=id\n"
    "SELECT id, name FROM shop.item WHERE name = :q AND id < :cursor LIMIT :limit;\n";

static const char API[] =
    "{ \"paths\": { \"/shelves/{shelf_id}/items\": {"
    "   \"get\":  { \"operationId\": \"shop.list\", \"x-permission\": \"item.read\", \"x-query\": "
    "\"item_list\", \"x-returns\": \"Item[]\" },"
    "   \"post\": { \"operationId\": \"shop.add\", \"x-permission\": \"item.create\", \"x-query\": "
    "[\"item_add\", \"item_drop\"], \"x-body\": \"ItemNew\","
    "               \"x-returns\": \"Item\", \"x-rate\": \"upload\", \"x-body-limit\": 4096 },"
    "   \"put\":  { \"operationId\": \"shop.touch\", \"x-permission\": \"item.update\", "
    "\"x-query\": \"item_touch\", \"x-body\": \"ItemNew\","
    "               \"x-returns\": \"Item\", \"x-if-match\": \"required\" },"
    "   \"delete\": { \"operationId\": \"shop.drop\", \"x-permission\": \"item.delete\", "
    "\"x-query\": \"item_drop\", \"x-if-match\": \"optional\" } },"
    "  \"/items\": { \"get\": { \"operationId\": \"shop.find\", \"x-permission\": \"item.read\", "
    "\"x-query\": \"item_find\", \"x-returns\": \"Item[]\","
    "     \"x-params\": { \"q\": { \"type\": \"string\", \"x-required\": true } } } },"
    "  \"/say\": { \"post\": { \"operationId\": \"shop.say\", \"x-permission\": \"item.read\", "
    "\"x-handler\": \"on_say\", \"x-stream\": \"sse\","
    "     \"x-scope\": \"platform\", \"x-status\": 202 } },"
    "  \"/files\": { \"post\": { \"operationId\": \"shop.file\", \"x-permission\": "
    "\"item.create\", \"x-handler\": \"on_file\", \"x-content\": \"multipart\" } } },"
    " \"x-constraints\": { \"item_name\": { \"status\": 409, \"code\": \"name_taken\", "
    "\"pointer\": \"/name\" } },"
    " \"schemas\": { \"Item\": { \"required\": [\"id\"], \"properties\": { \"id\": { \"type\": "
    "\"string\" }, \"name\": { \"type\": \"string\" } } },"
    "   \"ItemNew\": { \"required\": [\"name\"], \"properties\": { \"name\": { \"type\": "
    "\"string\", \"maxLength\": 5 } } } } }";

static void test_good(void **state)
{
    mti_contract *k = load(API, SQL);
    assert_int_equal(k->n_operations, 7);
    assert_int_equal(k->n_queries, 5);
    const mti_operation *list = operation(k, "shop.list"), *add = operation(k, "shop.add");
    assert_string_equal(list->method, "GET");
    assert_string_equal(list->path, "/shelves/{shelf_id}/items");
    assert_int_equal(list->n_params, 1);
    assert_string_equal(list->params[0], "shelf_id");
    assert_true(list->list);
    assert_string_equal(list->returns, "Item");
    assert_string_equal(list->rate_class, "default");
    assert_int_equal(list->status, 200);
    assert_non_null(list->query_check);
    assert_string_equal(mti_permission_name(list->permission_id), "item.read");
    assert_ptr_equal(list->contract, k);
    assert_int_equal(add->n_queries, 2);
    assert_string_equal(add->queries[1]->name, "item_drop");
    assert_int_equal(add->status, 201);
    assert_int_equal(add->content, MTI_CONTENT_JSON);
    assert_int_equal(add->body_limit, 4096);
    assert_string_equal(add->rate_class, "upload");
    mti_contract_destroy(k);
}

static void test_good_flags(void **state)
{
    mti_contract *k = load(API, SQL);
    const mti_operation *touch = operation(k, "shop.touch"), *drop = operation(k, "shop.drop");
    const mti_operation *say = operation(k, "shop.say"), *file = operation(k, "shop.file");
    assert_int_equal(touch->status, 200);
    assert_int_equal(touch->if_match, MTI_IF_MATCH_REQUIRED);
    assert_int_equal(drop->if_match, MTI_IF_MATCH_OPTIONAL);
    assert_int_equal(drop->status, 204);
    assert_null(drop->returns);
    assert_int_equal(drop->content, MTI_CONTENT_NONE);
    assert_true(say->stream);
    assert_true(say->platform);
    assert_int_equal(say->status, 202);
    assert_string_equal(say->handler, "on_say");
    assert_int_equal(file->content, MTI_CONTENT_MULTIPART);
    assert_false(file->platform);
    mti_contract_destroy(k);
}

static void test_lookups(void **state)
{
    mti_contract *k = load(API, SQL);
    const mti_constraint *x = mti_contract_constraint(k, "item_name");
    assert_int_equal(x->status, 409);
    assert_string_equal(x->code, "name_taken");
    assert_string_equal(x->pointer, "/name");
    assert_null(mti_contract_constraint(k, "item_nam"));
    assert_null(mti_contract_constraint(k, ""));
    assert_string_equal(mti_contract_query(k, MT_SLICE("item_add"))->name, "item_add");
    assert_null(mti_contract_query(k, MT_SLICE("item_ad")));
    assert_null(mti_contract_query(k, (mt_slice){0}));
    assert_null(mti_contract_description(k, &k->queries[0]));
    mti_contract_destroy(k);
}

static mt_status answer_holds(const mti_operation *op, const char *text)
{
    json_t *v;
    assert_int_equal(mti_json_parse(mt_str(text), 0, &v, NULL), MT_OK);
    mt_status s = mti_schema_validate(mti_operation_returns_check(op), v, NULL, NULL);
    json_decref(v);
    return s;
}

static void test_answers_have_schemas(void **state)
{
    mti_contract *k = load(API, SQL);
    const mti_operation *list = operation(k, "shop.list"), *add = operation(k, "shop.add");
    assert_int_equal(answer_holds(add, "{\"id\": \"a\", \"more\": 1}"), MT_OK);
    assert_int_equal(answer_holds(add, "{\"name\": \"a\"}"), MT_INVALID);
    assert_int_equal(answer_holds(list, "{\"items\": [{\"id\": \"a\"}], \"next_cursor\": null}"), MT_OK);
    assert_int_equal(answer_holds(list, "{\"items\": [{\"id\": 7}], \"next_cursor\": null}"), MT_INVALID);
    assert_ptr_equal(mti_operation_returns_check(list), mti_operation_returns_check(list));
    assert_null(mti_operation_returns_check(operation(k, "shop.say")));
    mti_contract_destroy(k);
}

static void test_bodies_are_closed(void **state)
{
    mti_contract *k = load(API, SQL);
    const mti_schema *check = operation(k, "shop.add")->body_check;
    static const struct {
        const char *text;
        mt_status status;
    } rows[] = {{"{\"name\":\"abc\"}", MT_OK},
                {"{\"name\":\"abcdef\"}", MT_INVALID},
                {"{}", MT_INVALID},
                {"[]", MT_INVALID},
                {"{\"name\":\"a\",\"nmae\":1}", MT_INVALID},
                {"null", MT_INVALID}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *v;
        mti_error e;
        assert_int_equal(mti_json_parse(mt_str(rows[i].text), 0, &v, &e), MT_OK);
        assert_int_equal(mti_schema_validate(check, v, NULL, &e), rows[i].status);
        json_decref(v);
    }
    mti_contract_destroy(k);
}

static void test_missing_files(void **state)
{
    mti_contract *k = load(NULL, NULL);
    assert_int_equal(k->n_operations + k->n_queries, 0);
    mti_contract_destroy(k);
    k = load(NULL, SQL);
    assert_int_equal(k->n_queries, 5);
    mti_contract_destroy(k);
    k = load("{}", "");
    assert_int_equal(k->n_operations, 0);
    mti_contract_destroy(k);
    mti_contract_destroy(NULL);
}

/* The operation O at PATH get, with the schemas Item and Body. */
static const char *with(const char *path, const char *o)
{
    static char text[8192];
    snprintf(text, sizeof text,
             "{\"paths\":{\"%s\":{\"get\":%s}},\"schemas\":{\"Item\":{\"properties\":{\"id\":{"
             "\"type\":\"string\"}}},"
             "\"Body\":{\"properties\":{\"name\":{\"type\":\"string\"},\"shelf_id\":{\"type\":"
             "\"string\"},\"now\":{\"type\":\"string\"}}}}}",
             path, o);
    return text;
}

#define OP "\"operationId\":\"shop.x\",\"x-permission\":\"item.read\""

static void test_documents_that_are_not(void **state)
{
    refused("", NULL, "api.json");
    refused("{", NULL, "api.json:1:");
    refused("[]", NULL, "object");
    refused("null", NULL, "object");
    refused("{\"paths\":[]}", NULL, "object");
    refused("{\"schemas\":[]}", NULL, "object");
    refused("{\"schemas\":{\"A\":7}}", NULL, "A");
    refused("{\"x-constraints\":[]}", NULL, "object");
    refused("{\"paths\":{\"/a\":[]}}", NULL, "object");
    refused("{\"paths\":{\"/a\":{\"get\":\"no\"}}}", NULL, "object");
    refused("{\"path\":{}}", NULL, "path");
    refused("{\"paths\":{},\"paths\":{}}", NULL, "duplicate");
}

static void test_operations_refused(void **state)
{
    refused(with("/a", "{}"), NULL, "operationId");
    refused(with("/a", "{\"operationId\":\"shop.x\",\"x-handler\":\"h\"}"), NULL, "x-permission");
    refused(with("/a", "{\"operationId\":\"shop.x\",\"x-handler\":\"h\",\"x-public\":true}"), NULL,
            "x-permission");
    refused(with("/a", "{\"operationId\":\"shop.x\",\"x-handler\":\"h\",\"x-permission\":\"\"}"),
            NULL, "x-permission");
    refused(with("/a", "{\"operationId\":\"shop.x\",\"x-handler\":\"h\",\"x-permission\":\"*\"}"),
            NULL, "x-permission");
    refused(with("/a", "{\"operationId\":\"shop.x\",\"x-handler\":\"h\",\"x-permission\":7}"), NULL,
            "x-permission");
    refused(with("/a", "{" OP "}"), NULL, "x-query and x-handler");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-query\":\"item_add\"}"), SQL,
            "x-query and x-handler");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"colour\":1}"), NULL, "colour");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"parameters\":[]}"), NULL, "parameters");
    refused(with("/a", "{" OP ",\"x-handler\":7}"), NULL, "x-handler");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-body\":\"Nothing\"}"), NULL, "x-body");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-body\":{\"type\":\"object\"}}"), NULL,
            "x-body");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-returns\":\"Nothing\"}"), NULL,
            "x-returns");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-returns\":\"[]\"}"), NULL, "x-returns");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-content\":\"xml\"}"), NULL, "x-content");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-if-match\":\"maybe\"}"), NULL,
            "x-if-match");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-stream\":\"websocket\"}"), NULL,
            "x-stream");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-scope\":\"galaxy\"}"), NULL, "x-scope");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-status\":\"200\"}"), NULL, "x-status");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-status\":99}"), NULL, "x-status");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-body-limit\":-1}"), NULL, "x-body-limit");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-body-limit-option\":\"models.max_size\"}"), NULL, "x-body-limit-option");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-body-limit-option\":\"data.dir\"}"), NULL, "x-body-limit-option");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-params\":[]}"), NULL, "x-params");
    refused(with("/a", "{" OP ",\"x-handler\":\"h\",\"x-params\":{\"q\":{\"type\":\"strin\"}}}"),
            NULL, "type");
}

static void test_paths_refused(void **state)
{
    static const char *const paths[][2] = {
        {"a", "begin with /"},
        {"", "begin with /"},
        {"/a/{b", "whole segment"},
        {"/a/{b}c", "whole segment"},
        {"/a{b}", "whole segment"},
        {"/a/b}", "segment"},
        {"/a/{}", "segment"},
        {"/a/{b}/{b}", "b"},
        {"/a/{b c}", "segment"},
        {"/a/{{b}}", "segment"},
        {"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "8 path parameters"},
        {"/a//b", "segment"},
        {"/a?b", "segment"},
        {"/a/", "segment"}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        refused(with(paths[i][0], "{" OP ",\"x-handler\":\"h\"}"), NULL, paths[i][1]);
    mti_contract *k =
        load(with("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", "{" OP ",\"x-handler\":\"h\"}"), NULL);
    assert_int_equal(operation(k, "shop.x")->n_params, 8);
    mti_contract_destroy(k);
    mti_contract_destroy(load(with("/openapi.json", "{" OP ",\"x-handler\":\"h\"}"), NULL));
}

static void test_methods_refused(void **state)
{
    refused("{\"paths\":{\"/a\":{\"fetch\":{" OP ",\"x-handler\":\"h\"}}}}", NULL, "fetch");
    refused("{\"paths\":{\"/a\":{\"GET\":{" OP ",\"x-handler\":\"h\"}}}}", NULL, "GET");
    refused("{\"paths\":{\"/a\":{\"parameters\":{" OP ",\"x-handler\":\"h\"}}}}", NULL,
            "parameters");
    refused("{\"paths\":{\"/a\":{\"get\":{" OP ",\"x-handler\":\"h\"}},\"/b\":{\"get\":{" OP
            ",\"x-handler\":\"h\"}}}}",
            NULL, "shop.x");
}

static void test_queries_refused(void **state)
{
    refused(with("/a", "{" OP ",\"x-query\":[]}"), SQL, "x-query");
    refused(with("/a", "{" OP ",\"x-query\":7}"), SQL, "x-query");
    refused(with("/a", "{" OP ",\"x-query\":[7]}"), SQL, "x-query");
    refused(with("/a", "{" OP ",\"x-query\":null}"), SQL, "x-query");
    refused(with("/a", "{" OP ",\"x-query\":\"item_nothing\"}"), SQL, "item_nothing");
    refused(with("/a", "{" OP ",\"x-query\":\"item_nothing\"}"), NULL, "item_nothing");
    refused(with("/{shelf_id}", "{" OP ",\"x-query\":\"item_list\",\"x-returns\":\"Item\"}"), SQL,
            "[]");
    refused(with("/{shelf_id}", "{" OP ",\"x-query\":\"item_list\"}"), SQL, "[]");
    refused(with("/{shelf_id}", "{" OP ",\"x-query\":\"item_drop\",\"x-returns\":\"Item[]\"}"), SQL,
            "[]");
    refused(with("/{shelf_id}", "{" OP ",\"x-query\":[\"item_drop\",\"item_list\"]}"), SQL,
            ":many");
    refused(with("/a", "{" OP ",\"x-query\":\"item_drop\"}"), SQL, ":shelf_id");
    refused(with("/{shelf_id}", "{" OP ",\"x-query\":\"item_touch\",\"x-returns\":\"Item\"}"), SQL,
            ":name");
    refused(with("/a", "{" OP ",\"x-query\":\"a\"}"), "-- name: a :exec\nDROP TABLE x;\n",
            "queries.sql:2");
    refused(with("/a", "{" OP ",\"x-query\":\"a\"}"),
            "-- name: a :exec\nDELETE FROM a;\n-- name: a :exec\nDELETE FROM b;\n",
            "queries.sql:3");
}

static void test_lists_page(void **state)
{
    static const char *const queries[] = {
        "-- name: a :many\nSELECT id FROM a LIMIT :limit;\n",
        "-- name: a :many cursor=id\nSELECT id FROM a LIMIT :limit;\n",
        "-- name: a :many cursor=id\nSELECT id FROM a WHERE id < :cursor;\n"};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        refused(with("/a", "{" OP ",\"x-query\":\"a\",\"x-returns\":\"Item[]\"}"), queries[i],
                "cursor=");
}

static void test_two_sources(void **state)
{
    refused(with("/{name}/{shelf_id}",
                 "{" OP ",\"x-body\":\"Body\",\"x-query\":\"item_touch\",\"x-returns\":\"Item\"}"),
            SQL, "two sources");
    refused(
        with("/{shelf_id}", "{" OP ",\"x-params\":{\"name\":{\"type\":\"string\"}},\"x-body\":"
                                   "\"Body\",\"x-query\":\"item_touch\",\"x-returns\":\"Item\"}"),
        SQL, "two sources");
    refused(with("/a", "{" OP ",\"x-body\":\"Body\",\"x-query\":\"a\"}"),
            "-- name: a :exec\nDELETE FROM a WHERE t < :now;\n", "two sources");
    refused(with("/{new_id}", "{" OP ",\"x-query\":\"a\"}"),
            "-- name: a :exec\nDELETE FROM a WHERE t < :new_id;\n", "two sources");
    refused(with("/a", "{" OP ",\"x-params\":{\"now\":{\"type\":\"string\"}},\"x-query\":\"a\"}"),
            "-- name: a :exec\nDELETE FROM a WHERE t < :now;\n", "two sources");
}

static void test_constraints_refused(void **state)
{
    refused("{\"x-constraints\":{\"a\":{\"status\":200,\"code\":\"x\"}}}", NULL, "x-constraints/a");
    refused("{\"x-constraints\":{\"a\":{\"status\":500,\"code\":\"x\"}}}", NULL, "x-constraints/a");
    refused("{\"x-constraints\":{\"a\":{\"status\":409}}}", NULL, "x-constraints/a");
    refused("{\"x-constraints\":{\"a\":7}}", NULL, "x-constraints/a");
}

static void test_schemas_refused(void **state)
{
    static const char *const schemas[] = {"{\"typ\":\"string\"}",
                                          "{\"type\":\"strin\"}",
                                          "{\"$ref\":\"other.json\"}",
                                          "{\"$ref\":\"Item\"}",
                                          "{\"$ref\":\"#/components/schemas/Gone\"}",
                                          "{\"properties\":{\"a\":{\"pattern\":\"(\"}}}"};
    char text[512];
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        snprintf(text, sizeof text,
                 "{\"paths\":{\"/a\":{\"post\":{" OP
                 ",\"x-handler\":\"h\",\"x-body\":\"S\"}}},\"schemas\":{\"S\":%s}}",
                 schemas[i]);
        refused(text, NULL, "api.json");
        /* also one that only answers use: it ends up in the OpenAPI document */
        snprintf(text, sizeof text,
                 "{\"paths\":{\"/a\":{\"post\":{" OP
                 ",\"x-handler\":\"h\",\"x-returns\":\"S\"}}},\"schemas\":{\"S\":%s}}",
                 schemas[i]);
        refused(text, NULL, "api.json");
    }
}

static void test_public_is_for_the_host_only(void **state)
{
    const char *api =
        with("/a", "{\"operationId\":\"core.x\",\"x-handler\":\"h\",\"x-public\":true}");
    mti_contract *k;
    mti_error e;
    assert_int_equal(load_as("core", api, NULL, &k, &e), MT_OK);
    assert_null(k->operations[0].permission);
    assert_int_equal(k->operations[0].permission_id, -1);
    mti_contract_destroy(k);
    assert_int_equal(load_as("cores", api, NULL, &k, &e), MT_INVALID);
    assert_int_equal(
        load_as("core",
                with("/a", "{\"operationId\":\"core.x\",\"x-handler\":\"h\",\"x-public\":false}"),
                NULL, &k, &e),
        MT_INVALID);
}

/* The contracts that come with the host are read as they are in the tree. */
static void test_shipped(void **state)
{
    glob_t found;
    mti_error e;
    mti_contract *k;
    assert_int_equal(glob("plugins/*/api.json", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *dir = found.gl_pathv[i];
        *strrchr(dir, '/') = 0;
        if (mti_contract_load(strrchr(dir, '/') + 1, dir, &k, &e) != MT_OK)
            fail_msg("%s: %s", dir, e.detail);
        assert_true(k->n_operations > 0);
        mti_contract_destroy(k);
    }
    assert_true(found.gl_pathc >= 2);
    globfree(&found);
    assert_int_equal(mti_contract_load("core", "manifests/core", &k, &e), MT_OK);
    mti_contract_destroy(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_good_flags),
        cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_answers_have_schemas),
        cmocka_unit_test(test_bodies_are_closed),
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_documents_that_are_not),
        cmocka_unit_test(test_operations_refused),
        cmocka_unit_test(test_paths_refused),
        cmocka_unit_test(test_methods_refused),
        cmocka_unit_test(test_queries_refused),
        cmocka_unit_test(test_lists_page),
        cmocka_unit_test(test_two_sources),
        cmocka_unit_test(test_constraints_refused),
        cmocka_unit_test(test_schemas_refused),
        cmocka_unit_test(test_public_is_for_the_host_only),
        cmocka_unit_test(test_shipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
