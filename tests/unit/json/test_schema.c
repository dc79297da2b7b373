#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "json/schema.h"

#include <stdio.h>

static json_t *parse(const char *text)
{
    json_t *v;
    mti_error e;
    if (mti_json_parse(mt_str(text), 0, &v, &e) != MT_OK)
        fail_msg("%s in %s", e.detail, text);
    return v;
}

static mti_schema *compile(const char *text)
{
    mti_schema *s;
    mti_error e;
    json_t *v = parse(text);
    if (mti_schema_compile(v, NULL, NULL, 0, &s, &e) != MT_OK)
        fail_msg("%s: %s", e.pointer, e.detail);
    json_decref(v); /* the schema keeps its own reference */
    return s;
}

static mt_status check(const mti_schema *s, const char *text, bool closed, mti_error *e)
{
    json_t *v = parse(text);
    mti_schema_options o = {.closed = closed, .formats = true};
    *e = (mti_error){0};
    mt_status status = mti_schema_validate(s, v, &o, e);
    json_decref(v);
    return status;
}

static void assert_fits(const mti_schema *s, bool closed, const char *text)
{
    mti_error e;
    if (check(s, text, closed, &e) != MT_OK)
        fail_msg("%s: %s", text, e.detail);
}

static void assert_issue(const mti_schema *s, bool closed, const char *text, const char *pointer,
                         const char *detail)
{
    mti_error e;
    assert_int_equal(check(s, text, closed, &e), MT_INVALID);
    assert_string_equal(e.pointer, pointer);
    assert_string_equal(e.detail, detail);
    assert_string_equal(e.code, "validation_failed");
    assert_int_equal(mti_error_http(&e), 422);
}

static void assert_refused(const char *schema, const char *pointer)
{
    mti_schema *s;
    mti_error e = {0};
    json_t *v = parse(schema);
    if (mti_schema_compile(v, NULL, NULL, 0, &s, &e) != MT_INVALID)
        fail_msg("compiled: %s", schema);
    assert_null(s);
    assert_string_equal(e.code, "schema_invalid");
    assert_string_equal(e.pointer, pointer);
    json_decref(v);
}

static const char AGENT[] =
    "{\"type\":\"object\",\"required\":[\"slug\",\"name\"],\"properties\":{"
    "\"slug\":{\"type\":\"string\",\"pattern\":\"^[a-z0-9-]{1,63}$\"},\"name\":{\"type\":"
    "\"string\",\"minLength\":1},"
    "\"temperature\":{\"type\":\"number\",\"minimum\":0,\"maximum\":2,\"default\":0.7},"
    "\"model\":{\"type\":[\"string\",\"null\"],\"default\":null},\"id\":{\"type\":\"string\","
    "\"format\":\"uuid\"},"
    "\"tools\":{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\"]},\"maxItems\":2,"
    "\"uniqueItems\":true,\"default\":[]},"
    "\"meta\":{\"type\":\"object\"},\"a/"
    "b~c\":{\"type\":\"integer\"},\"x\":{\"properties\":{\"y\":{\"const\":1}}}}}";

static void test_says_what_is_expected(void **state)
{
    mti_schema *s = compile(AGENT);
    assert_fits(
        s, true,
        "{\"slug\":\"a\",\"name\":\"š\",\"temperature\":2,\"model\":null,\"meta\":{\"any\":1}}");
    assert_issue(s, true, "[]", "", "the value must be an object (type)");
    assert_issue(s, true, "{\"slug\":\"a\"}", "/name", "/name is required (required)");
    assert_issue(s, true, "{\"slug\":\"A\",\"name\":\"x\"}", "/slug",
                 "/slug must match the pattern ^[a-z0-9-]{1,63}$ (pattern)");
    assert_issue(s, true, "{\"slug\":\"a\",\"name\":\"\"}", "/name",
                 "/name must have at least 1 character (minLength)");
    assert_issue(s, true, "{\"slug\":\"a\",\"name\":\"x\",\"temperature\":2.5}", "/temperature",
                 "/temperature must be at most 2 (maximum)");
    assert_issue(s, true, "{\"slug\":\"a\",\"name\":\"x\",\"model\":3}", "/model",
                 "/model must be null or a string (type)");
    assert_issue(s, true, "{\"slug\":\"a\",\"name\":\"x\",\"tools\":[\"a\",\"c\"]}", "/tools/1",
                 "/tools/1 must be one of [\"a\",\"b\"] (enum)");
    assert_issue(s, true, "{\"slug\":\"a\",\"name\":\"x\",\"tools\":[\"a\",\"a\"]}", "/tools",
                 "/tools must not have the same item twice (uniqueItems)");
    assert_issue(s, true, "{\"slug\":\"a\",\"name\":\"x\",\"id\":\"1\"}", "/id",
                 "/id must have the format uuid (format)");
    assert_issue(s, true, "{\"slug\":\"a\",\"name\":\"x\",\"a/b~c\":true}", "/a~1b~0c",
                 "/a~1b~0c must be a whole number (type)");
    mti_schema_destroy(s);
}

static void test_closed_refuses_what_is_not_listed(void **state)
{
    mti_schema *s = compile(AGENT);
    assert_issue(s, true, "{\"slug\":\"a\",\"name\":\"x\",\"nmae\":1}", "/nmae",
                 "/nmae is not a known property (additionalProperties)");
    assert_issue(s, true, "{\"slug\":\"a\",\"name\":\"x\",\"x\":{\"y\":1,\"z\":1}}", "/x/z",
                 "/x/z is not a known property (additionalProperties)");
    assert_fits(s, false, "{\"slug\":\"a\",\"name\":\"x\",\"nmae\":1}");
    mti_schema_destroy(s);
}

static void test_closed_sees_through_composition(void **state)
{
    mti_schema *s = compile(
        "{\"allOf\":[{\"$ref\":\"#/$defs/a\"},{\"properties\":{\"b\":true}}],"
        "\"if\":{\"properties\":{\"a\":{\"properties\":{\"k\":{\"const\":1}}}},\"required\":[\"a\"]"
        "},"
        "\"then\":{\"properties\":{\"c\":true}},\"$defs\":{\"a\":{\"properties\":{\"a\":true}}}}");
    assert_fits(s, true, "{\"a\":{\"k\":1,\"more\":2},\"b\":1,\"c\":1}");
    assert_fits(s, true, "{\"b\":1}");
    assert_issue(s, true, "{\"b\":1,\"c\":1}", "/c",
                 "/c is not a known property (additionalProperties)");
    mti_schema_destroy(s);
    s = compile("{\"properties\":{\"a\":true},\"additionalProperties\":true}");
    assert_fits(s, true, "{\"z\":1}");
    mti_schema_destroy(s);
    s = compile("{\"type\":\"object\"}");
    assert_fits(s, true, "{\"z\":1}");
    mti_schema_destroy(s);
}

static void test_many_members_are_tracked(void **state)
{
    mti_schema *s = compile("{\"patternProperties\":{\"^p\":true},\"properties\":{\"q\":true},"
                            "\"unevaluatedProperties\":false}");
    json_t *v = json_object();
    for (int i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "p%d", i);
        json_object_set_new(v, key, json_true());
    }
    assert_int_equal(mti_schema_validate(s, v, NULL, NULL), MT_OK);
    json_object_set_new(v, "z", json_true());
    mti_error e;
    assert_int_equal(mti_schema_validate(s, v, NULL, &e), MT_INVALID);
    assert_string_equal(e.pointer, "/z");
    json_decref(v);
    mti_schema_destroy(s);
}

static void test_collects_several(void **state)
{
    mti_schema *s = compile(AGENT);
    json_t *v = parse("{\"slug\":\"!\",\"temperature\":-1,\"tools\":[\"a\",\"x\",\"y\"],\"no\":1}");
    mti_schema_issue issues[10];
    size_t n;
    mti_schema_options o = {.closed = true};
    assert_int_equal(mti_schema_collect(s, v, &o, issues, 10, &n), MT_INVALID);
    static const char *const expected[] = {"/name",    "/slug",    "/temperature", "/tools",
                                           "/tools/1", "/tools/2", "/no"};
    assert_int_equal(n, 7);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(issues[i].pointer, expected[i]);
    assert_string_equal(issues[2].keyword, "minimum");
    assert_int_equal(mti_schema_collect(s, v, &o, issues, 2, &n), MT_INVALID);
    assert_int_equal(n, 2);
    json_decref(v);
    mti_schema_destroy(s);
}

static void test_what_does_not_load(void **state)
{
    assert_refused("{\"properties\":{\"a\":{\"minimun\":1}}}", "/properties/a/minimun");
    assert_refused("{\"type\":\"strnig\"}", "/type");
    assert_refused("{\"type\":[]}", "/type");
    assert_refused("{\"pattern\":\"(\"}", "/pattern");
    assert_refused("{\"pattern\":\"(*UTF)a\"}", "/pattern");
    assert_refused("{\"patternProperties\":{\"[\":true}}", "/patternProperties/[");
    assert_refused("{\"items\":[true]}", "/items");
    assert_refused("{\"allOf\":[]}", "/allOf");
    assert_refused("{\"minLength\":-1}", "/minLength");
    assert_refused("{\"maxItems\":1.5}", "/maxItems");
    assert_refused("{\"multipleOf\":0}", "/multipleOf");
    assert_refused("{\"required\":\"a\"}", "/required");
    assert_refused("{\"format\":\"idn-email\"}", "/format");
    assert_refused("{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", "/$schema");
    assert_refused("{\"definitions\":{}}", "/definitions");
    assert_refused("{\"$ref\":\"#/$defs/none\"}", "/$ref");
    assert_refused("{\"properties\":{\"a\":{\"$ref\":\"other\"}}}", "/properties/a/$ref");
    assert_refused("{\"$ref\":\"#none\"}", "/$ref");
    assert_refused("3", "");
}

static void test_vendor_keywords_and_annotations_load(void **state)
{
    mti_schema *s = compile(
        "{\"x-any\":1,\"title\":\"\",\"description\":\"\",\"examples\":[],\"deprecated\":true,"
        "\"$comment\":\"\",\"readOnly\":true,\"format\":\"secret\",\"default\":1}");
    assert_fits(s, true, "5");
    mti_schema_destroy(s);
    json_t *v = parse("{\"minimun\":1}");
    assert_int_equal(mti_schema_compile(v, NULL, NULL, MTI_SCHEMA_ALLOW_UNKNOWN, &s, NULL), MT_OK);
    json_decref(v);
    mti_schema_destroy(s);
}

static json_t *resolve(void *arg, mt_slice uri)
{
    return json_object_getn(arg, uri.p, uri.len);
}

static void test_references_through_a_resolver(void **state)
{
    json_t *docs =
        parse("{\"Team\":{\"type\":\"object\",\"properties\":{\"lead\":{\"$ref\":\"User\"},"
              "\"sub\":{\"$ref\":\"#\"}}},\"User\":{\"type\":\"string\"}}");
    json_t *v = parse("{\"$ref\":\"Team\"}");
    mti_schema *s;
    assert_int_equal(mti_schema_compile(v, resolve, docs, 0, &s, NULL), MT_OK);
    json_decref(v);
    json_decref(docs);
    assert_fits(s, true, "{\"lead\":\"a\",\"sub\":{\"sub\":{\"lead\":\"b\"}}}");
    assert_issue(s, true, "{\"sub\":{\"sub\":{\"lead\":1}}}", "/sub/sub/lead",
                 "/sub/sub/lead must be a string (type)");
    mti_schema_destroy(s);
}

static void test_a_schema_inside_a_document(void **state)
{
    json_t *doc =
        parse("{\"paths\":{\"not\":\"a schema\"},\"schemas\":{\"A\":{\"properties\":{\"b\":"
              "{\"$ref\":\"#/schemas/B\"}}},\"B\":{\"type\":\"integer\"}}}");
    mti_schema *s;
    assert_int_equal(mti_schema_compile_at(doc, MT_SLICE("/schemas/A"), NULL, NULL, 0, &s, NULL),
                     MT_OK);
    assert_fits(s, true, "{\"b\":1}");
    assert_issue(s, true, "{\"b\":\"\"}", "/b", "/b must be a whole number (type)");
    assert_string_equal(
        json_string_value(json_object_get(mti_schema_property(s, MT_SLICE("b")), "$ref")),
        "#/schemas/B");
    assert_null(mti_schema_property(s, MT_SLICE("c")));
    mti_schema_destroy(s);
    assert_int_equal(mti_schema_compile_at(doc, MT_SLICE("/schemas/C"), NULL, NULL, 0, &s, NULL),
                     MT_INVALID);
    json_decref(doc);
}

static void assert_filled(const mti_schema *s, const char *text, const char *expected)
{
    json_t *v = parse(text);
    mti_buf b;
    mti_buf_init(&b, 10000);
    assert_int_equal(mti_schema_apply_defaults(s, v), MT_OK);
    mti_json_dump(v, &b);
    assert_string_equal(b.p, expected);
    mti_buf_dispose(&b);
    json_decref(v);
}

static void test_defaults(void **state)
{
    mti_schema *s = compile(
        "{\"properties\":{\"n\":{\"default\":1},\"o\":{\"default\":{},\"properties\":{\"p\":"
        "{\"default\":[2]}}},\"list\":{\"items\":{\"$ref\":\"#/$defs/item\"}},\"r\":{\"$ref\":"
        "\"#/$defs/item\"}},\"allOf\":[{\"properties\":{\"all\":{\"default\":null}}}],"
        "\"$defs\":{\"item\":{\"default\":\"d\",\"properties\":{\"q\":{\"default\":true}}}}}");
    assert_filled(s, "{}", "{\"n\":1,\"o\":{\"p\":[2]},\"r\":\"d\",\"all\":null}");
    assert_filled(
        s, "{\"n\":null,\"list\":[{},{\"q\":0},5],\"r\":1,\"all\":1}",
        "{\"n\":null,\"list\":[{\"q\":true},{\"q\":0},5],\"r\":1,\"all\":1,\"o\":{\"p\":[2]}}");
    assert_filled(s, "[]", "[]");
    mti_schema_destroy(s);
}

static void test_recursion_without_end_is_stopped(void **state)
{
    mti_error e;
    mti_schema *s = compile("{\"$ref\":\"#\"}");
    assert_int_equal(check(s, "1", false, &e), MT_LIMITED);
    assert_string_equal(e.code, "validation_limit");
    json_t *v = parse("{}");
    assert_int_equal(mti_schema_apply_defaults(s, v), MT_LIMITED);
    json_decref(v);
    mti_schema_destroy(s);
    s = compile("{\"not\":{\"$ref\":\"#\"}}");
    assert_int_equal(check(s, "1", false, &e), MT_LIMITED);
    mti_schema_destroy(s);
    /* two ways at each level: 2^60 without a bound */
    s = compile("{\"anyOf\":[{\"items\":{\"$ref\":\"#\"},\"minItems\":9},{\"items\":{\"$ref\":\"#"
                "\"},\"minItems\":9}]}");
    char text[121];
    memset(text, '[', 60);
    memset(text + 60, ']', 60);
    text[120] = 0;
    assert_int_equal(check(s, text, false, &e),
                     MT_INVALID); /* minItems comes first, so nothing is walked */
    mti_schema_destroy(s);
    s = compile("{\"allOf\":[{\"items\":{\"$ref\":\"#\"}},{\"items\":{\"$ref\":\"#\"}}]}");
    assert_int_equal(check(s, text, false, &e), MT_LIMITED);
    mti_schema_destroy(s);
}

static void test_patterns_are_bounded(void **state)
{
    mti_error e;
    mti_schema *s = compile("{\"pattern\":\"^(a+)+$\"}");
    assert_int_equal(check(s, "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"", false, &e),
                     MT_LIMITED);
    mti_schema_destroy(s);
    s = compile("{\"not\":{\"pattern\":\"^(a+)+$\"}}");
    assert_int_equal(check(s, "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"", false, &e),
                     MT_LIMITED);
    mti_schema_destroy(s);
}

static void test_unique_items_is_not_quadratic(void **state)
{
    mti_schema *s = compile("{\"uniqueItems\":true}");
    json_t *v = json_array();
    for (int i = 0; i < 100000; i++)
        json_array_append_new(v, json_pack("{s:i}", "n", i));
    assert_int_equal(mti_schema_validate(s, v, NULL, NULL), MT_OK);
    json_array_append_new(v, json_pack("{s:f}", "n", 77.0));
    assert_int_equal(mti_schema_validate(s, v, NULL, NULL), MT_INVALID);
    json_decref(v);
    mti_schema_destroy(s);
}

static void test_long_pointers_are_cut_at_a_token(void **state)
{
    mti_schema *s =
        compile("{\"type\":[\"array\",\"object\"],\"additionalProperties\":{\"$ref\":\"#\"}}");
    char text[4000] = "";
    for (int i = 0; i < 20; i++)
        strcat(text, "{\"a~fairly~long~name\":");
    strcat(text, "1");
    for (int i = 0; i < 20; i++)
        strcat(text, "}");
    mti_error e;
    assert_int_equal(check(s, text, false, &e), MT_INVALID);
    assert_int_equal(strlen(e.pointer) % strlen("/a~0fairly~0long~0name"), 0);
    assert_in_range(strlen(e.pointer), 100, 159);
    mti_schema_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_what_is_expected),
        cmocka_unit_test(test_closed_refuses_what_is_not_listed),
        cmocka_unit_test(test_closed_sees_through_composition),
        cmocka_unit_test(test_many_members_are_tracked),
        cmocka_unit_test(test_collects_several),
        cmocka_unit_test(test_what_does_not_load),
        cmocka_unit_test(test_vendor_keywords_and_annotations_load),
        cmocka_unit_test(test_references_through_a_resolver),
        cmocka_unit_test(test_a_schema_inside_a_document),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_recursion_without_end_is_stopped),
        cmocka_unit_test(test_patterns_are_bounded),
        cmocka_unit_test(test_unique_items_is_not_quadratic),
        cmocka_unit_test(test_long_pointers_are_cut_at_a_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
