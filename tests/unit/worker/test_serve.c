/* What the host does with a worker's questions: handles are numbers of one call and one interface, and what was not given is denied. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "worker/methods.gen.h"
#include "worker/serve.h"

static mt_call call;
static mt_handle freed;
static size_t seen_args;

static mt_status query(mt_call *c, mt_slice name, const mt_field *args, size_t n, mt_handle *out)
{
    seen_args = n;
    *out = 0xAAAABBBBCCCCull;
    return mt_slice_eq(name, MT_SLICE("fails")) ? mti_fail(&c->error, MT_CONFLICT, "taken", "It is taken.") : MT_OK;
}

static mt_status row_json(mt_call *c, mt_handle result, uint32_t row, mt_slice *out)
{
    assert_true(result == 0xAAAABBBBCCCCull);
    *out = MT_SLICE("{}");
    return row < 3 ? MT_OK : MT_INVALID;
}

static mt_status release(mt_call *c, mt_handle result)
{
    freed = result;
    return MT_OK;
}

static const mt_db_1 db = {.size = sizeof db, .version = 1, .query = query, .json = row_json, .free = release};

static mti_buf question;
static mti_arena scratch;
static mti_grants grants;

static mti_serving ask(uint32_t method, const void *table)
{
    mti_serving s = {.in = {.p = question.p, .end = question.p + question.len, .arena = &scratch}, .c = &call, .table = table, .grants = &grants};
    mti_buf_init(&s.out, 1 << 20);
    mti_serve(&s, method);
    mti_buf_clear(&question);
    return s;
}

static mt_status status_of(mti_serving *s, mti_unpack *rest)
{
    *rest = (mti_unpack){.p = s->out.p, .end = s->out.p + s->out.len};
    return mti_take_status(rest);
}

static mt_handle run_query(void)
{
    mti_unpack in;
    mti_put_slice(&question, MT_SLICE("name"));
    mti_put_fields(&question, &(mt_field){MT_SLICE("a"), MT_SLICE("b")}, 1);
    mti_serving s = ask(MTI_METHOD_DB_QUERY, &db);
    assert_int_equal(status_of(&s, &in), MT_OK);
    mt_handle h = mti_take_handle(&in);
    mti_buf_dispose(&s.out);
    assert_int_equal(seen_args, 1);
    return h;
}

static mt_status ask_with(uint32_t method, const void *table, mt_handle h, mt_slice *text)
{
    mti_unpack in;
    mti_put_handle(&question, h);
    if (method == MTI_METHOD_DB_JSON)
        mti_put_u32(&question, 2);
    mti_serving s = ask(method, table);
    assert_false(s.broken);
    mt_status answer = status_of(&s, &in);
    if (answer == MT_OK && text)
        assert_true(mt_slice_eq(mti_take_slice(&in), *text));
    mti_buf_dispose(&s.out);
    return answer;
}

static void a_handle_is_a_number_and_ends(void **state)
{
    mt_slice object = MT_SLICE("{}");
    mt_handle first = run_query(), second = run_query();
    assert_true(first == 1 && second == 2);
    assert_int_equal(ask_with(MTI_METHOD_DB_JSON, &db, second, &object), MT_OK);
    assert_int_equal(ask_with(MTI_METHOD_DB_FREE, &db, first, NULL), MT_OK);
    assert_true(freed == 0xAAAABBBBCCCCull);
    assert_int_equal(ask_with(MTI_METHOD_DB_JSON, &db, first, NULL), MT_NOT_FOUND);
    assert_int_equal(ask_with(MTI_METHOD_DB_FREE, &db, first, NULL), MT_NOT_FOUND);
    assert_int_equal(ask_with(MTI_METHOD_DB_JSON, &db, 0xAAAABBBBCCCCull, NULL), MT_NOT_FOUND);
    assert_int_equal(ask_with(MTI_METHOD_DB_JSON, &db, 0, NULL), MT_NOT_FOUND);
    assert_int_equal(ask_with(MTI_METHOD_DB_JSON, &db, second, NULL), MT_OK);
}

static mt_status next(mt_call *c, mt_handle stream, mt_slice *part)
{
    fail_msg("a result is no stream");
    return MT_OK;
}

static void a_handle_belongs_to_its_interface(void **state)
{
    const mt_http_1 http = {.size = sizeof http, .version = 1, .next = next};
    assert_int_equal(ask_with(MTI_METHOD_HTTP_NEXT, &http, run_query(), NULL), MT_NOT_FOUND);
}

static mt_status open_engine(mt_call *c, mt_slice provider, const mt_llm_engine_in *in, mt_handle *out)
{
    *out = 7;
    return MT_OK;
}

static mt_status tool_calls(mt_call *c, mt_slice provider, mt_handle generation, mt_slice *out)
{
    assert_true(mt_slice_eq(provider, MT_SLICE("one")));
    return MT_OK;
}

/* The handle of one provider is another's wild pointer. */
static void a_handle_goes_back_to_its_provider(void **state)
{
    const mt_llm_engine_1 engines = {.size = sizeof engines, .version = 1, .open = open_engine, .tool_calls = tool_calls};
    const mt_slice nothing = {NULL, 0};
    mti_unpack in;
    mti_put_slice(&question, MT_SLICE("one"));
    for (int i = 0; i < 9; i++)
        mti_put_slice(&question, nothing);
    mti_put_u32(&question, 0);
    mti_put_i64(&question, 0);
    mti_put_f64(&question, 0);
    mti_put_f64(&question, 0);
    mti_serving s = ask(MTI_METHOD_LLM_ENGINE_OPEN, &engines);
    assert_int_equal(status_of(&s, &in), MT_OK);
    mt_handle h = mti_take_handle(&in);
    mti_buf_dispose(&s.out);
    static const char *const providers[] = {"one", "two"};
    for (int i = 0; i < 2; i++) {
        mti_put_slice(&question, mt_str(providers[i]));
        mti_put_handle(&question, h);
        s = ask(MTI_METHOD_LLM_ENGINE_TOOL_CALLS, &engines);
        assert_int_equal(status_of(&s, &in), i ? MT_NOT_FOUND : MT_OK);
        mti_buf_dispose(&s.out);
    }
}

static void failures_carry_their_problem(void **state)
{
    mti_unpack in;
    mti_error e = {0};
    mti_put_slice(&question, MT_SLICE("fails"));
    mti_put_fields(&question, NULL, 0);
    mti_serving s = ask(MTI_METHOD_DB_QUERY, &db);
    assert_int_equal(status_of(&s, &in), MT_CONFLICT);
    assert_true(mti_take_bool(&in));
    mti_take_error(&in, &e);
    assert_string_equal(e.code, "taken");
    assert_true(mti_take_handle(&in) == 0);
    mti_buf_dispose(&s.out);
}

static void what_was_not_given_is_denied(void **state)
{
    mti_unpack in;
    mti_put_handle(&question, 1);
    mti_put_u32(&question, 0);
    mti_serving s = ask(MTI_METHOD_DB_JSON, NULL);
    assert_int_equal(status_of(&s, &in), MT_DENIED);
    mti_buf_dispose(&s.out);
    s = ask(MTI_METHOD_QUEUE_TAKE, &db);             /* the host's own, whoever has queue/1 */
    assert_int_equal(status_of(&s, &in), MT_DENIED);
    mti_buf_dispose(&s.out);
}

static void nonsense_is_broken(void **state)
{
    static const uint32_t methods[] = {0xFFFFFFFF, 0x3F, 0xFFC0, MTI_METHOD_DB_QUERY};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        mti_put_u32(&question, 0x01010101);
        mti_serving s = ask(methods[i], &db);
        assert_true(s.broken);
        mti_buf_dispose(&s.out);
    }
    mt_handle h = run_query();
    mti_put_handle(&question, h);
    mti_put_u32(&question, 0);
    mti_buf_addc(&question, 'x');                    /* one byte too many */
    mti_serving s = ask(MTI_METHOD_DB_JSON, &db);
    assert_true(s.broken);
    mti_buf_dispose(&s.out);
}

static int set_up(void **state)
{
    mti_buf_init(&question, 1 << 20);
    mti_arena_init(&scratch, 1 << 20);
    memset(&call, 0, sizeof call);
    mti_arena_init(&call.arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    mti_buf_dispose(&question);
    mti_arena_dispose(&scratch);
    mti_arena_dispose(&call.arena);
    mti_grants_dispose(&grants);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_handle_is_a_number_and_ends), TEST(a_handle_belongs_to_its_interface), TEST(a_handle_goes_back_to_its_provider),
        TEST(failures_carry_their_problem), TEST(what_was_not_given_is_denied), TEST(nonsense_is_broken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
