#include "support.h"

#include "json/json.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

static mt_outcome on_count(void *self, mt_call *c, const void *in, mt_patch *out)
{
    ++*(int *)self;
    return MT_CONTINUE;
}

static void on_release(void *self)
{
    *(int *)self += 100;
}

static void emit(world *w)
{
    mt_limit_check in = {.size = sizeof in};
    assert_int_equal(mti_bus_emit(w->bus, &w->call, MTI_HOOK_LIMIT_CHECK, &in), MT_CONTINUE);
}

static mti_bus_handler counting(int *count)
{
    return (mti_bus_handler){.owner = 3,
                             .hook = MTI_HOOK_LIMIT_CHECK,
                             .run = on_count,
                             .self = count,
                             .label = "count",
                             .release = on_release};
}

static void organizations_have_their_own(void **state)
{
    world *w = *state;
    static int all, own; /* all is still released when the bus goes */
    mti_uuid org = mti_uuid_v7();
    mti_bus_handler everybodys = counting(&all), theirs[] = {counting(&own), counting(&own)};
    mti_bus_add(w->bus, &everybodys);
    mti_bus_publish(w->bus);
    w->call.own = mti_bus_own_create(org, theirs, 2);
    emit(w);
    assert_int_equal(own, 0);
    w->call.who.org_id = org;
    emit(w);
    w->call.who.org_id = mti_uuid_v7();
    emit(w);
    assert_int_equal(all, 3);
    assert_int_equal(own, 2);
    mti_bus_own_destroy(w->call.own);
    assert_int_equal(own, 202);
    w->call.own = NULL;
}

/* --- the organization's own among everybody's --- */

static char order[16];

static mt_outcome on_letter(void *self, mt_call *c, const void *in, mt_patch *out)
{
    strcat(order, self);
    return *(const char *)self == 'S' ? MT_STOP : *(const char *)self == 'D' ? MT_DENY : MT_CONTINUE;
}

static mti_bus_handler letter(char *text, int priority)
{
    return (mti_bus_handler){
        .hook = MTI_HOOK_LIMIT_CHECK, .priority = priority, .run = on_letter, .self = text, .label = text};
}

static mt_outcome emit_in_order(world *w)
{
    mt_limit_check in = {.size = sizeof in};
    order[0] = 0;
    return mti_bus_emit(w->bus, &w->call, MTI_HOOK_LIMIT_CHECK, &in);
}

static void note_label(void *arg, const mti_bus_seen *seen)
{
    strcat(arg, seen->label);
    strcat(arg, seen->own ? "+" : "-");
}

static void own_ones_stand_by_priority_and_cannot_skip_others(void **state)
{
    world *w = *state;
    mti_bus_handler theirs[] = {letter("c", 300), letter("a", 50), letter("S", 100), letter("x", 200)},
                    deny = letter("D", 60), ours[] = {letter("1", 100), letter("2", 250)};
    for (int i = 0; i < 2; i++)
        mti_bus_add(w->bus, &ours[i]);
    mti_bus_publish(w->bus);
    w->call.who.org_id = mti_uuid_v7();
    w->call.own = mti_bus_own_create(w->call.who.org_id, theirs, 4);
    assert_int_equal(emit_in_order(w), MT_CONTINUE);
    assert_string_equal(order, "a1S2");
    char seen[32] = "";
    mti_bus_each(w->bus, &w->call, MTI_HOOK_LIMIT_CHECK, note_label, seen);
    assert_string_equal(seen, "a+1-S+x+2-c+");
    assert_false(mti_bus_has(w->bus, MTI_HOOK_AUTH_AUTHORIZE, &w->call));
    mti_bus_own_destroy(w->call.own);
    w->call.own = mti_bus_own_create(w->call.who.org_id, &deny, 1);
    assert_int_equal(emit_in_order(w), MT_DENY);
    assert_string_equal(order, "D");
    mti_bus_own_destroy(w->call.own);
    w->call.own = NULL;
    w->call.error = (mti_error){0};
}

static void released_after_every_loop_has_turned(void **state)
{
    world *w = *state;
    static int n;
    n = 0;
    mti_bus_handler h = counting(&n);
    mti_bus_add(w->bus, &h);
    mti_bus_publish(w->bus);
    emit(w);
    mti_bus_remove_owner(w->bus, 3);
    emit(w);
    mti_bus_publish(w->bus);
    assert_int_equal(n, 2);
    emit(w);
    assert_int_equal(n, 2);
    mti_loop_step(w->loop, 0);
    assert_int_equal(n, 102);
}

/* --- a handler that is suspended while its snapshot is retired --- */

typedef struct sleeper {
    world *w;
    mti_fiber *fiber;
    int n;
} sleeper;

static mt_outcome on_sleep(void *self, mt_call *c, const void *in, mt_patch *out)
{
    sleeper *s = self;
    s->fiber = mti_fiber_current();
    mti_fiber_suspend();
    s->fiber = NULL;
    s->n++;
    return MT_CONTINUE;
}

static void sleep_released(void *self)
{
    ((sleeper *)self)->n += 100;
}

static void emit_sleeping(void *arg)
{
    sleeper *s = arg;
    mt_chat_answered in = {.size = sizeof in};
    mti_bus_emit(s->w->bus, &s->w->call, MTI_HOOK_CHAT_ANSWERED, &in);
}

static void suspended_handlers_keep_their_snapshot(void **state)
{
    world *w = *state;
    sleeper s = {.w = w};
    mti_bus_add(w->bus, &(mti_bus_handler){.owner = 3,
                                           .hook = MTI_HOOK_CHAT_ANSWERED,
                                           .run = on_sleep,
                                           .self = &s,
                                           .label = "sleep",
                                           .release = sleep_released});
    mti_bus_publish(w->bus);
    assert_int_equal(mti_fiber_spawn(w->loop, emit_sleeping, &s), MT_OK);
    assert_non_null(s.fiber);
    mti_bus_remove_owner(w->bus, 3);
    mti_bus_publish(w->bus);
    mti_loop_step(w->loop, 0);
    assert_int_equal(s.n, 0);
    mti_fiber_resume(s.fiber, MT_OK);
    mti_loop_step(w->loop, 0);
    assert_int_equal(s.n, 101);
}

static void describes_what_happened(void **state)
{
    world *w = *state;
    static int n;
    n = 0;
    mti_bus_handler h = counting(&n);
    mti_bus_add(w->bus, &h);
    mti_bus_publish(w->bus);
    emit(w);
    emit(w);
    mti_buf out;
    mti_buf_init(&out, 4096);
    mti_bus_describe(w->bus, &out);
    json_t *v;
    assert_int_equal(mti_json_parse(mti_buf_slice(&out), 0, &v, NULL), MT_OK);
    const json_t *first = json_array_get(v, 0);
    assert_string_equal(mti_json_get_string(first, "hook", MT_SLICE("")).p, "limit.check");
    assert_string_equal(mti_json_get_string(first, "label", MT_SLICE("")).p, "count");
    assert_int_equal(mti_json_get_int(first, "calls", 0), 2);
    json_decref(v);
    mti_buf_dispose(&out);
}

/* --- two loops dispatch while a third thread publishes --- */

typedef struct runner {
    mti_loop *loop;
    mti_bus *bus;
    pthread_t thread;
    atomic_int left;
} runner;

static atomic_int live, released;

static mt_outcome on_touch(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return *(int *)self == 42 ? MT_CONTINUE : MT_ERROR;
}

static void touch_released(void *self)
{
    *(int *)self = 0;
    free(self);
    atomic_fetch_add(&released, 1);
}

static void on_round(void *arg)
{
    runner *r = arg;
    mt_call c;
    mti_call_init(&c, r->loop);
    mt_limit_check in = {.size = sizeof in};
    for (int i = 0; i < 50; i++)
        if (mti_bus_emit(r->bus, &c, MTI_HOOK_LIMIT_CHECK, &in) != MT_CONTINUE)
            abort();
    mti_call_dispose(&c);
    if (atomic_fetch_sub(&r->left, 1) > 1)
        mti_loop_post(r->loop, on_round, r);
    else
        atomic_fetch_sub(&live, 1);
}

static void *run_loop(void *arg)
{
    mti_loop_run(((runner *)arg)->loop);
    return NULL;
}

static void toggling_under_load(void **state)
{
    runner r[2] = {0};
    mti_loop *loops[2] = {r[0].loop = mti_loop_create(0), r[1].loop = mti_loop_create(1)};
    mti_bus *bus = mti_bus_create(loops, 2);
    live = 2;
    released = 0;
    for (int i = 0; i < 2; i++) {
        r[i].bus = bus;
        r[i].left = 300;
        mti_loop_post(loops[i], on_round, &r[i]);
        assert_int_equal(pthread_create(&r[i].thread, NULL, run_loop, &r[i]), 0);
    }
    int added = 0;
    do {
        int *self = malloc(sizeof *self);
        *self = 42;
        mti_bus_remove_owner(bus, 5);
        mti_bus_add(bus, &(mti_bus_handler){.owner = 5,
                                            .hook = MTI_HOOK_LIMIT_CHECK,
                                            .run = on_touch,
                                            .self = self,
                                            .label = "touch",
                                            .release = touch_released});
        mti_bus_publish(bus);
        added++;
        /* a publisher that never waits would only measure how snapshots queue up */
        while (atomic_load(&live) && added - atomic_load(&released) > 16)
            sched_yield();
    } while (atomic_load(&live) && added < 100000);
    while (atomic_load(&live))
        usleep(1000);
    for (int i = 0; i < 2; i++)
        mti_loop_stop(loops[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(r[i].thread, NULL);
    mti_bus_destroy(bus);
    assert_int_equal(atomic_load(&released), added);
    for (int i = 0; i < 2; i++)
        mti_loop_destroy(loops[i]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(organizations_have_their_own), T(own_ones_stand_by_priority_and_cannot_skip_others), T(released_after_every_loop_has_turned),
        T(suspended_handlers_keep_their_snapshot), T(describes_what_happened),
        cmocka_unit_test(toggling_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
