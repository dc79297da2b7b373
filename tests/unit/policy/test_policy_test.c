#include "support.h"

#include "json/json.h"

static const char policy[] = "-- hook: limit.check\n-- priority: 5\n"
                             "if ctx.operation == 'chat.ask' and kv.incr('asked', 1, 60) > 3 then\n"
                             "  decide.deny(429, 'chat_limit', 'Three questions a minute.')\n"
                             "end\n";

static json_t *report(world *w, const char *source, const char *cases)
{
    mti_buf out;
    mti_buf_init(&out, 1 << 20);
    json_t *v = NULL;
    mt_status st =
        mti_policy_test(w->engine, "chat_limit", mt_str(source), mt_str(cases), &out, &w->error);
    if (st != MT_OK || mti_json_parse(mti_buf_slice(&out), 0, &v, &w->error) != MT_OK)
        fail_msg("%s: %.*s", w->error.detail, (int)out.len, out.p ? out.p : "");
    mti_buf_dispose(&out);
    return v;
}

static void cases_pass(void **state)
{
    json_t *v =
        report(*state, policy,
               "[{\"name\":\"first\",\"ctx\":{\"operation\":\"chat.ask\",\"cost\":1,\"org_id\":"
               "\"0198f3c4-0000-7000-8000-000000000001\"},"
               "\"expect\":{\"outcome\":\"continue\",\"patches\":[]}},"
               "{\"name\":\"fourth\",\"ctx\":{\"operation\":\"chat.ask\",\"org_id\":\"0198f3c4-"
               "0000-7000-8000-000000000001\"},\"repeat\":3,"
               "\"expect\":{\"outcome\":\"deny\",\"code\":\"chat_limit\",\"status\":429}},"
               "{\"ctx\":{\"operation\":\"notes.list\"},\"expect\":{\"outcome\":\"continue\"}}]");
    assert_int_equal(mti_json_get_int(v, "passed", -1), 3);
    assert_int_equal(mti_json_get_int(v, "failed", -1), 0);
    json_decref(v);
}

static void failures_say_why(void **state)
{
    json_t *v = report(*state, policy,
        "[{\"name\":\"a\",\"ctx\":{\"operation\":\"chat.ask\"},\"expect\":{\"outcome\":\"deny\"}},"
        "{\"name\":\"b\",\"ctx\":{\"nonsense\":1},\"expect\":{\"outcome\":\"continue\"}},"
        "{\"name\":\"c\",\"ctx\":{}},"
        "{\"name\":\"d\",\"ctx\":{},\"expect\":{\"patches\":[{\"pointer\":\"/x\",\"value\":1}]}}]");
    assert_int_equal(mti_json_get_int(v, "failed", -1), 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(
            mti_json_get_string(json_array_get(json_object_get(v, "cases"), i), "why", MT_SLICE(""))
                .len > 0);
    json_decref(v);
}

static void errors_and_patches_are_reported(void **state)
{
    json_t *v = report(
        *state, CHAT "patch('/query', 'new')\nif ctx.temperature > 1 then error('too warm') end\n",
        "[{\"ctx\":{\"temperature\":0.5},\"expect\":{\"patches\":[{\"pointer\":\"/"
        "query\",\"value\":\"new\"}]}},"
        "{\"ctx\":{\"temperature\":1.5},\"expect\":{\"outcome\":\"error\",\"code\":\"policy_"
        "error\"}}]");
    assert_int_equal(mti_json_get_int(v, "passed", -1), 2);
    const json_t *second = json_array_get(json_object_get(v, "cases"), 1);
    assert_non_null(
        strstr(mti_json_get_string(second, "detail", MT_SLICE("")).p, "chat_limit:3: too warm"));
    json_decref(v);
}

static void bad_input_is_told(void **state)
{
    world *w = *state;
    mti_buf out;
    mti_buf_init(&out, 1 << 20);
    assert_int_equal(
        mti_policy_test(w->engine, "p", mt_str(policy), MT_SLICE("{}"), &out, &w->error),
        MT_INVALID);
    assert_int_equal(
        mti_policy_test(w->engine, "p", mt_str(policy), MT_SLICE("["), &out, &w->error),
        MT_INVALID);
    assert_int_equal(
        mti_policy_test(w->engine, "p", MT_SLICE(CHAT "x x"), MT_SLICE("[]"), &out, &w->error),
        MT_INVALID);
    assert_string_equal(w->error.code, "policy_syntax");
    mti_buf_dispose(&out);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(cases_pass), T(failures_say_why),
                                       T(errors_and_patches_are_reported), T(bad_input_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
