/* Configuration in layers: merged, checked against who may set what, explained. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "plugin/layers.h"

static json_t *doc(const char *text)
{
    json_error_t e;
    json_t *v = json_loads(text, JSON_DECODE_ANY, &e);
    if (!v)
        fail_msg("%s: %s", text, e.text);
    return v;
}

/* Takes v. */
static void assert_doc(json_t *v, const char *text)
{
    json_t *wanted = doc(text);
    if (!json_equal(v, wanted))
        fail_msg("%s, not %s", json_dumps(v, JSON_ENCODE_ANY), text);
    json_decref(v);
    json_decref(wanted);
}

/* --- RFC 7396, its own table (appendix A) --- */

static void merges_as_the_rfc_has_it(void **state)
{
    static const char *const table[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        json_t *patch = doc(table[i][1]);
        assert_doc(mti_layer_merge(doc(table[i][0]), patch), table[i][2]);
        json_decref(patch);
    }
}

/* --- who may set what --- */

#define SCHEMA                                                                                                                                                     \
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"                                                                                         \
    "\"url\":{\"type\":\"string\",\"default\":\"http://inside\"},"                                                                                                 \
    "\"tone\":{\"type\":\"string\",\"default\":\"plain\",\"x-level\":\"workspace\"},"                                                                              \
    "\"limits\":{\"type\":\"object\",\"additionalProperties\":false,\"default\":{},\"x-level\":\"organization\",\"properties\":{"                                  \
    "\"most\":{\"type\":\"integer\",\"maximum\":100,\"default\":10},\"least\":{\"type\":\"integer\",\"default\":1},\"unit\":{\"type\":\"string\",\"x-level\":\"operator\"}}}," \
    "\"paths\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"data\":{\"type\":\"string\"},\"name\":{\"type\":\"string\",\"x-level\":\"organization\"}}}," \
    "\"free\":{\"type\":\"object\",\"x-level\":\"organization\"}}}"

static mti_manifest *manifest(void)
{
    static mti_manifest m = {.slug = "m"};
    if (!m.config_schema) {
        m.config_schema = doc(SCHEMA);
        assert_int_equal(mti_schema_compile(m.config_schema, NULL, NULL, 0, &m.config_check, NULL), MT_OK);
    }
    return &m;
}

static void a_level_sets_what_is_its_own(void **state)
{
    static const struct { const char *layer; int organization, workspace; const char *pointer; } table[] = {
        {"{}", 1, 1, ""},
        {"{\"tone\":\"dry\"}", 1, 1, ""},
        {"{\"url\":\"http://elsewhere\"}", 0, 0, "/url"},
        {"{\"limits\":{\"most\":5}}", 1, 0, "/limits/most"},
        {"{\"limits\":{\"unit\":\"x\"}}", 0, 0, "/limits/unit"},
        {"{\"limits\":null}", 0, 0, "/limits"},           /* would take the operator's unit along */
        {"{\"limits\":7}", 0, 0, "/limits"},
        {"{\"limits\":{\"other\":1}}", 1, 0, "/limits/other"},   /* the schema refuses it */
        {"{\"paths\":{\"name\":\"n\"}}", 1, 0, "/paths/name"},
        {"{\"paths\":{\"data\":\"/etc\"}}", 0, 0, "/paths/data"},
        {"{\"paths\":null}", 0, 0, "/paths"},
        {"{\"free\":{\"any\":{\"thing\":1}}}", 1, 0, "/free"},
        {"{\"unknown\":1}", 0, 0, "/unknown"},
        {"{\"a/b~c\":1}", 0, 0, "/a~1b~0c"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int level = MTI_LEVEL_ORGANIZATION; level <= MTI_LEVEL_WORKSPACE; level++) {
            mti_error e = {0};
            json_t *layer = doc(table[i].layer);
            bool may = level == MTI_LEVEL_ORGANIZATION ? table[i].organization : table[i].workspace;
            mt_status s = mti_layer_check(manifest()->config_schema, NULL, layer, (mti_level)level, &e);
            if ((s == MT_OK) != may)
                fail_msg("%s at level %d: %d", table[i].layer, level, s);
            if (!may) {
                assert_string_equal(e.pointer, table[i].pointer);
                assert_string_equal(e.code, "setting_not_allowed");
            }
            json_decref(layer);
        }
}

/* Over what is below, too: an object is only looked into where one is, or where it sets something. */
static void an_object_in_the_place_of_something_else_is_set_as_a_whole(void **state)
{
    static const struct { const char *below, *layer; bool may; const char *pointer; } table[] = {
        {"{}", "{\"paths\":{}}", false, "/paths"},
        {"{}", "{\"paths\":{\"name\":null}}", false, "/paths"},
        {"{}", "{\"paths\":{\"name\":\"n\"}}", true, ""},
        {"{\"paths\":{}}", "{\"paths\":{}}", true, ""},                  /* changes nothing */
        {"{\"paths\":{\"name\":\"n\"}}", "{\"paths\":{\"name\":null}}", true, ""},
        {"{\"paths\":\"none\"}", "{\"paths\":{\"name\":\"n\"}}", false, "/paths"},
        {"{\"paths\":null}", "{\"paths\":{\"name\":\"n\"}}", false, "/paths"},
        {"{\"free\":1}", "{\"free\":{}}", true, ""}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        mti_error e = {0};
        json_t *below = doc(table[i].below), *layer = doc(table[i].layer);
        mt_status s = mti_layer_check(manifest()->config_schema, below, layer, MTI_LEVEL_ORGANIZATION, &e);
        if ((s == MT_OK) != table[i].may)
            fail_msg("%s over %s: %d", table[i].layer, table[i].below, s);
        assert_string_equal(e.pointer, table[i].pointer);
        json_decref(below);
        json_decref(layer);
    }
}

static void levels_stand_at_properties_only(void **state)
{
    static const struct { const char *schema; bool right; } table[] = {
        {SCHEMA, true},
        {"{\"x-level\":\"organization\",\"properties\":{}}", false},
        {"{\"properties\":{\"a\":{\"x-level\":\"everybody\"}}}", false},
        {"{\"properties\":{\"a\":{\"items\":{\"x-level\":\"workspace\"}}}}", false},
        {"{\"properties\":{\"a\":{\"allOf\":[{\"properties\":{\"b\":{\"x-level\":\"operator\"}}}]}}}", false},
        {"{\"$defs\":{\"a\":{\"properties\":{\"b\":{\"x-level\":\"operator\"}}}},\"properties\":{\"a\":{\"$ref\":\"#/$defs/a\",\"x-level\":\"workspace\"}}}", false}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        mti_error e = {0};
        json_t *schema = doc(table[i].schema);
        assert_int_equal(mti_layer_schema_check(schema, &e), table[i].right ? MT_OK : MT_INVALID);
        json_decref(schema);
    }
}

/* --- all layers --- */

static mt_status merge(const char *operator_s, const char *organization, const char *workspace, const char *config, const char *origins, const char *visible)
{
    mti_error e = {0};
    json_t *texts[MTI_LAYERS] = {operator_s ? doc(operator_s) : NULL, organization ? doc(organization) : NULL, workspace ? doc(workspace) : NULL}, *merged = NULL;
    const json_t *layers[MTI_LAYERS] = {texts[0], texts[1], texts[2]};
    mt_status s = mti_layers_merge(manifest(), layers, &merged, &e);
    if (s == MT_OK && origins)
        assert_doc(mti_layers_origins(layers, merged), origins);
    if (s == MT_OK && visible)
        assert_doc(mti_layer_visible(manifest()->config_schema, merged), visible);
    if (s == MT_OK)
        assert_doc(merged, config);
    else
        assert_string_equal(e.pointer, config);
    for (int i = 0; i < MTI_LAYERS; i++)
        json_decref(texts[i]);
    return s;
}

static void layers_are_laid_over_each_other(void **state)
{
    assert_int_equal(merge(NULL, NULL, NULL, "{\"url\":\"http://inside\",\"tone\":\"plain\",\"limits\":{\"most\":10,\"least\":1}}",
                           "{\"/url\":\"default\",\"/tone\":\"default\",\"/limits/most\":\"default\",\"/limits/least\":\"default\"}",
                           "{\"tone\":\"plain\",\"limits\":{\"most\":10,\"least\":1}}"), MT_OK);
    assert_int_equal(merge("{\"url\":\"u\",\"tone\":\"op\",\"limits\":{\"most\":20,\"unit\":\"m\"},\"paths\":{\"data\":\"d\"}}", "{\"tone\":\"org\",\"limits\":{\"least\":2},\"paths\":{\"name\":\"n\"}}",
                           "{\"tone\":\"ws\"}",
                           "{\"url\":\"u\",\"tone\":\"ws\",\"limits\":{\"most\":20,\"least\":2,\"unit\":\"m\"},\"paths\":{\"data\":\"d\",\"name\":\"n\"}}",
                           "{\"/url\":\"operator\",\"/tone\":\"workspace\",\"/limits/most\":\"operator\",\"/limits/least\":\"organization\",\"/limits/unit\":\"operator\","
                           "\"/paths/data\":\"operator\",\"/paths/name\":\"organization\"}",
                           "{\"tone\":\"ws\",\"limits\":{\"most\":20,\"least\":2},\"paths\":{\"name\":\"n\"}}"), MT_OK);
    /* null: the default counts again, whatever the operator says */
    assert_int_equal(merge("{\"tone\":\"op\"}", "{\"tone\":null}", NULL, "{\"url\":\"http://inside\",\"tone\":\"plain\",\"limits\":{\"most\":10,\"least\":1}}",
                           "{\"/url\":\"default\",\"/tone\":\"default\",\"/limits/most\":\"default\",\"/limits/least\":\"default\"}", NULL), MT_OK);
}

static void what_comes_out_fits_the_schema(void **state)
{
    assert_int_equal(merge(NULL, "{\"limits\":{\"most\":101}}", NULL, "/limits/most", NULL, NULL), MT_INVALID);
    assert_int_equal(merge(NULL, "{\"limits\":{\"other\":1}}", NULL, "/limits/other", NULL, NULL), MT_INVALID);
    assert_int_equal(merge(NULL, NULL, "{\"url\":\"x\"}", "/url", NULL, NULL), MT_INVALID);
    mti_manifest none = {.slug = "none"};
    json_t *merged, *something = doc("{\"a\":1}");
    mti_error e = {0};
    assert_int_equal(mti_layers_merge(&none, (const json_t *const[MTI_LAYERS]){NULL}, &merged, &e), MT_OK);
    assert_doc(merged, "{}");
    assert_int_equal(mti_layers_merge(&none, (const json_t *const[MTI_LAYERS]){something}, &merged, &e), MT_INVALID);
    assert_int_equal(mti_layers_merge(&none, (const json_t *const[MTI_LAYERS]){NULL, something}, &merged, &e), MT_INVALID);
    json_decref(something);
}

static void merging_leaves_the_layers_as_they_were(void **state)
{
    mti_error e = {0};
    json_t *base = doc("{\"limits\":{\"most\":20}}"), *org = doc("{\"limits\":{\"least\":3}}"), *merged;
    assert_int_equal(mti_layers_merge(manifest(), (const json_t *const[MTI_LAYERS]){base, org}, &merged, &e), MT_OK);
    assert_doc(base, "{\"limits\":{\"most\":20}}");
    assert_doc(org, "{\"limits\":{\"least\":3}}");
    json_decref(merged);
}

static int tear_down(void **state)
{
    mti_schema_destroy(manifest()->config_check);
    json_decref(manifest()->config_schema);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_as_the_rfc_has_it), cmocka_unit_test(a_level_sets_what_is_its_own), cmocka_unit_test(an_object_in_the_place_of_something_else_is_set_as_a_whole), cmocka_unit_test(levels_stand_at_properties_only),
        cmocka_unit_test(layers_are_laid_over_each_other), cmocka_unit_test(what_comes_out_fits_the_schema), cmocka_unit_test(merging_leaves_the_layers_as_they_were)};
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
