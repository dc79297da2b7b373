/* The three forms of a configuration: plain, sealed, redacted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "secrets/secrets.h"

static char path[] = "/tmp/secrets.XXXXXX";
static mti_keyring *keys;
static const mti_secret_place here = {"p", ""};

static const char schema_text[] =
    "{'type':'object','properties':{'url':{'type':'string'},'key':{'type':'string','format':'secret'},"
    "'deep':{'type':'object','properties':{'token':{'type':'string','format':'secret'},'list':{'type':'array'}}},"
    "'keys':{'type':'object','additionalProperties':{'type':'string','format':'secret'}}}}";

/* JSON with ' for ". */
static json_t *parse(const char *text)
{
    char copy[1024];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    json_t *v = json_loads(copy, 0, NULL);
    assert_non_null(v);
    return v;
}

static void assert_json(json_t *have, const char *want)
{
    json_t *w = parse(want);
    char *text = json_dumps(have, 0);
    if (!json_equal(have, w))
        fail_msg("%s, not %s", text, want);
    free(text);
    json_decref(w);
    json_decref(have);
}

static json_t *sealed_of(const char *text)
{
    json_t *schema = parse(schema_text), *d = parse(text);
    mti_error e = {0};
    assert_int_equal(mti_secrets_seal(keys, here, schema, d, NULL, &e), MT_OK);
    json_decref(schema);
    return d;
}

#define ALL "{'url':'http://x','key':'one','deep':{'token':'two','list':[{'key':'no secret'}]},'keys':{'a/b':'three'}}"

static void sealed_holds_no_secret_and_opens_to_what_it_was(void **state)
{
    mti_error e = {0};
    json_t *d = sealed_of(ALL);
    char *text = json_dumps(d, 0);
    assert_null(strstr(text, "one"));
    assert_null(strstr(text, "two"));
    assert_null(strstr(text, "three"));
    assert_non_null(strstr(text, "no secret"));
    free(text);
    json_t *again = json_deep_copy(d), *schema = parse(schema_text);
    bool changed = true;
    assert_int_equal(mti_secrets_seal(keys, here, schema, again, &changed, &e), MT_OK);
    assert_false(changed);
    assert_true(json_equal(d, again));
    assert_int_equal(mti_secrets_open(keys, here, d, &e), MT_OK);
    assert_json(d, ALL);
    json_decref(again);
    json_decref(schema);
}

static void null_goes_and_other_types_are_the_schemas_to_refuse(void **state)
{
    assert_json(sealed_of("{'key':null,'deep':{'token':null}}"), "{'deep':{}}");
    assert_json(sealed_of("{'key':7,'keys':{'a':[1]}}"), "{'key':7,'keys':{'a':[1]}}");
    json_t *schema = parse(schema_text), *layer = parse("{'key':null}");
    mti_error e = {0};
    assert_int_equal(mti_secrets_seal(keys, (mti_secret_place){"p", "org"}, schema, layer, NULL, &e), MT_OK);
    assert_json(layer, "{'key':null}"); /* what lies below is taken away */
    json_decref(schema);
}

static void a_copy_in_another_place_does_not_open(void **state)
{
    static const mti_secret_place others[] = {{"q", ""}, {"p", "11111111-1111-1111-1111-111111111111"}};
    json_t *d = sealed_of("{'key':'one','deep':{'token':'two'}}");
    mti_error e = {0};
    for (size_t i = 0; i < 2; i++) {
        json_t *copy = json_deep_copy(d);
        assert_int_equal(mti_secrets_open(keys, others[i], copy, &e), MT_UNAVAILABLE);
        assert_string_equal(e.code, "secret_damaged");
        json_decref(copy);
    }
    json_object_set(d, "key", json_object_get(json_object_get(d, "deep"), "token"));
    assert_int_equal(mti_secrets_open(keys, here, d, &e), MT_UNAVAILABLE);
    assert_string_equal(e.pointer, "/key");
    assert_null(strstr(e.detail, "two"));
    json_decref(d);
}

static void shown_is_the_same_whatever_there_is(void **state)
{
    json_t *schema = parse(schema_text), *plain = parse("{'url':'u','key':'one','deep':{'token':7},'keys':{'a':'','b':null}}"), *sealed = sealed_of(ALL);
    mti_secrets_redact(schema, plain);
    assert_json(plain, "{'url':'u','key':'********','deep':{'token':'********'},'keys':{'a':'********','b':null}}");
    mti_secrets_redact(NULL, sealed); /* what a version keeps whose schema knows of no secret */
    assert_json(sealed, "{'url':'http://x','key':'********','deep':{'token':'********','list':[{'key':'no secret'}]},'keys':{'a/b':'********'}}");
    json_decref(schema);
}

static void what_was_shown_keeps_the_secret(void **state)
{
    mti_error e = {0};
    json_t *schema = parse(schema_text), *stored = sealed_of(ALL);
    json_t *given = parse("{'url':'********','key':'********','keys':{'a/b':'********','new':'four'}}");
    assert_int_equal(mti_secrets_take(schema, given, stored, &e), MT_OK);
    assert_int_equal(mti_secrets_seal(keys, here, schema, given, NULL, &e), MT_OK);
    assert_int_equal(mti_secrets_open(keys, here, given, &e), MT_OK);
    assert_json(given, "{'url':'********','key':'one','keys':{'a/b':'three','new':'four'}}");

    json_t *plain = parse("{'key':'not sealed yet'}");
    given = parse("{'key':'********'}");
    assert_int_equal(mti_secrets_take(schema, given, plain, &e), MT_OK);
    assert_json(given, "{'key':'not sealed yet'}");
    json_decref(plain);
    json_decref(stored);
    json_decref(schema);
}

static void refuse_given(const char *text, const char *code, const char *pointer)
{
    mti_error e = {0};
    json_t *schema = parse(schema_text), *stored = sealed_of("{'key':'one'}"), *given = parse(text);
    assert_int_equal(mti_secrets_take(schema, given, stored, &e), MT_INVALID);
    assert_string_equal(e.code, code);
    assert_string_equal(e.pointer, pointer);
    json_decref(schema);
    json_decref(stored);
    json_decref(given);
}

static void nobody_gives_what_is_not_theirs(void **state)
{
    refuse_given("{'deep':{'token':'********'}}", "secret_unknown", "/deep/token");
    refuse_given("{'key':{'$secret':'v1.x'}}", "secret_reserved", "/key");
    refuse_given("{'deep':{'list':[{'$secret':'v1.x'}]}}", "secret_reserved", "/deep/list/0");
    refuse_given("{'$secret':'v1.x'}", "secret_reserved", "");
}

static void an_older_key_gives_way(void **state)
{
    char id[MTI_KEY_ID + 1];
    bool changed = false;
    mti_error e = {0};
    json_t *d = sealed_of("{'url':'u','key':'one'}");
    assert_int_equal(mti_keyring_rotate(path, id, &e), MT_OK);
    assert_int_equal(mti_secrets_seal(keys, here, NULL, d, &changed, &e), MT_OK); /* also without a schema */
    assert_true(changed);
    assert_non_null(strstr(json_string_value(json_object_get(json_object_get(d, "key"), "$secret")), id));
    assert_int_equal(mti_secrets_open(keys, here, d, &e), MT_OK);
    assert_json(d, "{'url':'u','key':'one'}");
}

static void check(const char *text, mt_status want)
{
    mti_error e = {0};
    json_t *schema = parse(text);
    assert_int_equal(mti_secrets_check(schema, &e), want);
    if (want != MT_OK)
        assert_string_equal(e.code, "secret_misplaced");
    json_decref(schema);
}

static void a_secret_stands_where_it_can_be_kept(void **state)
{
    mti_error e = {0};
    assert_int_equal(mti_secrets_check(NULL, &e), MT_OK);
    check(schema_text, MT_OK);
    check("{'properties':{'format':{'type':'string'}}}", MT_OK);
    check("{'properties':{'l':{'items':{'type':'string','format':'secret'}}}}", MT_INVALID);
    check("{'properties':{'k':{'$ref':'#/$defs/k'}},'$defs':{'k':{'type':'string','format':'secret'}}}", MT_INVALID);
    check("{'properties':{'k':{'anyOf':[{'type':'string','format':'secret'}]}}}", MT_INVALID);
    check("{'patternProperties':{'k':{'type':'string','format':'secret'}}}", MT_INVALID);
    check("{'type':'string','format':'secret'}", MT_INVALID);
    check("{'properties':{'k':{'format':'secret'}}}", MT_INVALID);
    check("{'properties':{'k':{'type':['string','null'],'format':'secret'}}}", MT_INVALID);
    check("{'properties':{'k':{'type':'string','format':'secret','default':'x'}}}", MT_INVALID);
    check("{'properties':{'k':{'type':'string','format':'secret','enum':['x']}}}", MT_INVALID);
}

static int set_up(void **state)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    close(fd);
    unlink(path);
    keys = mti_keyring_create(path);
    return keys ? 0 : -1;
}

static int tear_down(void **state)
{
    mti_keyring_destroy(keys);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_holds_no_secret_and_opens_to_what_it_was),
        cmocka_unit_test(null_goes_and_other_types_are_the_schemas_to_refuse),
        cmocka_unit_test(a_copy_in_another_place_does_not_open),
        cmocka_unit_test(shown_is_the_same_whatever_there_is),
        cmocka_unit_test(what_was_shown_keeps_the_secret),
        cmocka_unit_test(nobody_gives_what_is_not_theirs),
        cmocka_unit_test(an_older_key_gives_way),
        cmocka_unit_test(a_secret_stands_where_it_can_be_kept),
    };
    return cmocka_run_group_tests_name("secrets", tests, set_up, tear_down);
}
