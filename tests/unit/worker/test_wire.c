#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <mortise/hooks.h>

#include "bus/bus.h"
#include "worker/wire.h"

typedef struct world {
    mti_buf out;
    mti_arena arena;
    mt_call call;
} world;

static int set_up(void **state)
{
    world *w = calloc(1, sizeof *w);
    mti_buf_init(&w->out, 1 << 20);
    mti_arena_init(&w->arena, 1 << 20);
    mti_arena_init(&w->call.arena, 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    mti_buf_dispose(&w->out);
    mti_arena_dispose(&w->arena);
    mti_arena_dispose(&w->call.arena);
    free(w);
    return 0;
}

static mti_unpack reader(world *w)
{
    return (mti_unpack){.p = w->out.p, .end = w->out.p + w->out.len, .arena = &w->arena};
}

static void assert_slice(mt_slice got, mt_slice want)
{
    assert_int_equal(got.p == NULL, want.p == NULL);
    assert_int_equal(got.len, want.len);
    if (want.len)
        assert_memory_equal(got.p, want.p, want.len);
}

static void values_come_back(void **state)
{
    world *w = *state;
    const mt_slice texts[] = {MT_SLICE("a"), {NULL, 0}, MT_SLICE("")};
    const mt_field fields[] = {{MT_SLICE("n"), MT_SLICE("v\0w")}, {MT_SLICE("m"), {NULL, 0}}};
    const float numbers[] = {1.5f, -2};
    size_t n;
    mti_put_bool(&w->out, true);
    mti_put_i32(&w->out, -7);
    mti_put_u64(&w->out, UINT64_MAX);
    mti_put_f64(&w->out, 0.1);
    mti_put_slices(&w->out, texts, 3);
    mti_put_fields(&w->out, fields, 2);
    mti_put_f32s(&w->out, numbers, 2);
    mti_unpack in = reader(w);
    assert_true(mti_take_bool(&in));
    assert_int_equal(mti_take_i32(&in), -7);
    assert_true(mti_take_u64(&in) == UINT64_MAX);
    assert_true(mti_take_f64(&in) == 0.1);
    const mt_slice *s = mti_take_slices(&in, &n);
    assert_int_equal(n, 3);
    for (int i = 0; i < 3; i++)
        assert_slice(s[i], texts[i]);
    const mt_field *f = mti_take_fields(&in, &n);
    assert_int_equal(n, 2);
    assert_slice(f[0].value, fields[0].value);
    assert_slice(f[1].value, fields[1].value);
    const float *x = mti_take_f32s(&in, &n);
    assert_int_equal(n, 2);
    assert_true(x[0] == 1.5f && x[1] == -2);
    assert_true(mti_unpacked(&in));
}

/* A frame cut anywhere is bad, and reads as nothing. */
static void cut_frames_are_bad(void **state)
{
    world *w = *state;
    size_t n;
    mti_put_slice(&w->out, MT_SLICE("text"));
    mti_put_fields(&w->out, &(mt_field){MT_SLICE("name"), MT_SLICE("value")}, 1);
    mti_put_f32s(&w->out, (float[]){1, 2}, 2);
    for (size_t cut = 0; cut < w->out.len; cut++) {
        char *copy = malloc(cut + 1);     /* so that a checker sees a read behind it */
        memcpy(copy, w->out.p, cut);
        mti_unpack in = {.p = copy, .end = copy + cut, .arena = &w->arena};
        mti_take_slice(&in);
        mti_take_fields(&in, &n);
        mti_take_f32s(&in, &n);
        assert_true(in.bad);
        assert_int_equal(n, 0);
        free(copy);
    }
}

static void a_count_asks_for_no_more_than_the_frame_holds(void **state)
{
    world *w = *state;
    size_t n;
    mti_put_u32(&w->out, 0x7FFFFFFF);
    mti_put_u32(&w->out, 0);
    mti_unpack in = reader(w);
    assert_null(mti_take_slices(&in, &n));
    assert_true(in.bad && n == 0 && w->arena.used == 0);
}

static void payloads_come_back(void **state)
{
    world *w = *state;
    mt_http_done in = {.size = sizeof in, .operation = MT_SLICE("a.b"), .status = -3, .duration_us = INT64_MIN, .outcome = MT_SLICE("ok")}, out;
    mt_chat_prepare prepare = {.size = sizeof prepare, .query = MT_SLICE("q"), .temperature = 0.25}, got;
    mti_put_payload(&w->out, &mti_hook_catalogue[MTI_HOOK_HTTP_DONE], &in);
    mti_put_payload(&w->out, &mti_hook_catalogue[MTI_HOOK_CHAT_PREPARE], &prepare);
    mti_unpack r = reader(w);
    mti_take_payload(&r, &mti_hook_catalogue[MTI_HOOK_HTTP_DONE], &out);
    mti_take_payload(&r, &mti_hook_catalogue[MTI_HOOK_CHAT_PREPARE], &got);
    assert_true(mti_unpacked(&r));
    assert_int_equal(out.size, sizeof out);
    assert_slice(out.operation, in.operation);
    assert_slice(out.org_id, in.org_id);
    assert_true(out.status == -3 && out.duration_us == INT64_MIN && got.temperature == 0.25);
    assert_slice(got.query, prepare.query);
}

/* Every kind of field, a part of a JSON field, and null. */
static void patches_come_back(void **state)
{
    world *w = *state;
    mt_patch p, again;
    mt_chat_prepare in = {.size = sizeof in, .query = MT_SLICE("q"), .model = MT_SLICE("m"), .system = MT_SLICE("s")};
    mti_patch_init(&p, &w->call, &mti_hook_catalogue[MTI_HOOK_CHAT_PREPARE]);
    assert_int_equal(mti_patch_set_text(&p, MT_SLICE("/query"), MT_SLICE("a \"b\"")), MT_OK);
    assert_int_equal(mti_patch_set(&p, MT_SLICE("/model"), MT_SLICE("null")), MT_OK);
    assert_int_equal(mti_patch_set_text(&p, MT_SLICE("/system"), MT_SLICE("")), MT_OK);
    assert_int_equal(mti_patch_set(&p, MT_SLICE("/temperature"), MT_SLICE("0.1")), MT_OK);
    mti_put_patch(&w->out, &p);
    mti_unpack r = reader(w);
    mti_patch_init(&again, &w->call, p.hook);
    assert_int_equal(mti_take_patch(&r, &again), MT_OK);
    assert_true(mti_unpacked(&r));
    assert_int_equal(mti_patch_apply(&again, &in, NULL), MT_OK);
    assert_slice(in.query, MT_SLICE("a \"b\""));
    assert_slice(in.model, (mt_slice){NULL, 0});
    assert_slice(in.system, MT_SLICE(""));
    assert_true(in.temperature == 0.1);
}

static void a_patch_may_not_do_more_than_a_handler(void **state)
{
    world *w = *state;
    mt_patch p;
    mti_patch_init(&p, &w->call, &mti_hook_catalogue[MTI_HOOK_CHAT_PREPARE]);
    mti_put_u32(&w->out, 1);
    mti_put_slice(&w->out, MT_SLICE("/workspace_id"));
    mti_put_bool(&w->out, true);
    mti_put_slice(&w->out, MT_SLICE("another"));
    mti_unpack r = reader(w);
    assert_int_equal(mti_take_patch(&r, &p), MT_INVALID);
}

static void errors_are_bounded(void **state)
{
    world *w = *state;
    char longer[1000];
    mti_error e;
    memset(longer, 'x', sizeof longer);
    mti_put_i32(&w->out, 99999);
    for (int i = 0; i < 3; i++)
        mti_put_slice(&w->out, (mt_slice){longer, sizeof longer});
    mti_unpack r = reader(w);
    mti_take_error(&r, &e);
    assert_int_equal(e.http, 0);
    assert_int_equal(strlen(e.code), sizeof e.code - 1);
    assert_int_equal(strlen(e.detail), sizeof e.detail - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_come_back), TEST(cut_frames_are_bad), TEST(a_count_asks_for_no_more_than_the_frame_holds), TEST(payloads_come_back),
        TEST(patches_come_back), TEST(a_patch_may_not_do_more_than_a_handler), TEST(errors_are_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
