/* Organizations' policies: compiled together, shadows noted, and a hundred thousand organizations within the bounds of a loop. */
#include "support.h"

#include "loop/org_cache.h"
#include "policy/org.h"
#include "policy/policy_impl.h"

#define ORGS 100000

/* --- one organization --- */

typedef struct heard {
    unsigned n, differs;
    char last[4096];
} heard;

static void on_note(void *arg, mt_call *c, const mti_policy_note *note)
{
    heard *h = arg;
    h->n++;
    h->differs += note->differs;
    snprintf(h->last, sizeof h->last, "%.*s", (int)note->json.len, note->json.p ? note->json.p : "");
}

/* A list as policy_store/1 answers it, with one policy. NULL: no such version. */
static json_t *list_of(const char *enabled, const char *shadow, bool record)
{
    json_t *one = json_pack("{s:s,s:s,s:b}", "id", "01890000-0000-7000-8000-000000000001", "name", "rule", "record", record);
    if (enabled)
        json_object_set_new(one, "enabled", json_pack("{s:i,s:s}", "version", 1, "source", enabled));
    if (shadow)
        json_object_set_new(one, "shadow", json_pack("{s:i,s:s}", "version", 2, "source", shadow));
    return json_pack("[o]", one);
}

static mti_org_policies *compile_list(world *w, mti_uuid org, json_t *take, heard *h)
{
    mti_org_policies *o = NULL;
    mti_org_policies_compile(w->engine, org, take, on_note, h, &o, &w->error);
    json_decref(take);
    return o;
}

static mt_outcome emit(world *w, mti_bus *bus, mti_org_policies *o, mti_uuid org)
{
    mt_limit_check in = {.size = sizeof in, .operation = MT_SLICE("notes.list"), .cost = 3};
    w->call.error = (mti_error){0};
    w->call.who.org_id = org;
    w->call.own = mti_org_policies_own(o);
    mt_outcome outcome = mti_bus_emit(bus, &w->call, MTI_HOOK_LIMIT_CHECK, &in);
    w->call.own = NULL;
    return outcome;
}

static void shadows_are_noted_and_decide_nothing(void **state)
{
    world *w = *state;
    heard h = {0};
    mti_bus *bus = mti_bus_create(&w->loop, 1);
    mti_uuid org = mti_uuid_v7();
    const char *count = "-- hook: limit.check\nif kv.incr('n') > 1 then decide.deny(429, 'enough') end";
    mti_org_policies *o = compile_list(w, org, list_of("-- hook: limit.check\n", count, false), &h);
    assert_int_equal(emit(w, bus, o, org), MT_CONTINUE);
    assert_true(h.n == 1 && h.differs == 0 && !h.last[0]);
    assert_int_equal(emit(w, bus, o, org), MT_CONTINUE);
    assert_true(h.n == 2 && h.differs == 1 && w->call.error.status == MT_OK);
    json_t *note;
    assert_int_equal(mti_json_parse(mt_str(h.last), 0, &note, NULL), MT_OK);
    assert_string_equal(json_string_value(mti_json_at(note, MT_SLICE("/shadow/code"))), "enough");
    assert_string_equal(json_string_value(mti_json_at(note, MT_SLICE("/ctx/operation"))), "notes.list");
    assert_int_equal(json_integer_value(mti_json_at(note, MT_SLICE("/shadow/line"))), 2);
    json_decref(note);
    mti_org_policies_release(o);
    o = compile_list(w, org, list_of(count, NULL, true), &h);   /* enabled it begins at nothing: a shadow's memory is its own */
    assert_int_equal(emit(w, bus, o, org), MT_CONTINUE);
    assert_int_equal(emit(w, bus, o, org), MT_DENY);
    assert_int_equal(h.n, 4);
    assert_non_null(strstr(h.last, "\"decision\":{\"outcome\":\"deny\",\"line\":2"));
    mti_org_policies_release(o);
    mti_bus_destroy(bus);
}

static void a_guard_that_does_not_compile_is_not_left_out(void **state)
{
    world *w = *state;
    heard h = {0};
    mti_uuid org = mti_uuid_v7();
    assert_null(compile_list(w, org, list_of("-- hook: limit.check\nif", NULL, false), &h));
    assert_string_equal(w->error.code, "policy_broken");
    assert_null(compile_list(w, org, list_of("-- hook: http.request\n", NULL, false), &h));
    mti_org_policies *o = compile_list(w, org, list_of("-- hook: limit.check\n", "x x", false), &h);
    assert_non_null(mti_org_policies_own(o));
    mti_org_policies_release(o);
    o = compile_list(w, org, list_of("-- hook: limit.check\n", "-- hook: chat.prepare\n", false), &h);
    mti_org_policies_release(o);
    o = compile_list(w, org, json_array(), &h);
    assert_null(mti_org_policies_own(o));
    mti_org_policies_release(o);
}

static void replay_tells_the_differences(void **state)
{
    world *w = *state;
    mti_buf report;
    mti_buf_init(&report, 1 << 20);
    const char *records =
        "[{\"id\":\"018bcfe5-6800-7000-8000-000000000001\",\"ctx\":{\"operation\":\"a\"},\"decision\":{\"outcome\":\"continue\",\"patches\":[]}},"
        "{\"id\":\"018bcfe5-6800-7000-8000-000000000002\",\"ctx\":{\"operation\":\"b\"},\"decision\":{\"outcome\":\"continue\",\"patches\":[]}},"
        "{\"id\":\"x\",\"ctx\":null,\"decision\":{}},{\"id\":\"y\",\"ctx\":{\"query\":\"another hook\"},\"decision\":{}}]";
    const char *source = "-- hook: limit.check\nif ctx.operation == 'b' then decide.deny(403, 'no', tostring(now() // 1)) end";
    assert_int_equal(mti_policy_replay(w->engine, "p", mt_str(source), mt_str(records), &report, &w->error), MT_OK);
    assert_non_null(strstr(report.p, "\"replayed\":2,\"same\":1,\"different\":1,\"skipped\":2"));
    assert_non_null(strstr(report.p, "\"detail\":\"1700000000.0\""));   /* the time of the record, not ours */
    mti_buf_dispose(&report);
    assert_int_equal(mti_policy_replay(w->engine, "p", MT_SLICE("x"), mt_str(records), &report, &w->error), MT_INVALID);
    assert_int_equal(mti_policy_replay(w->engine, "p", mt_str(source), MT_SLICE("{}"), &report, &w->error), MT_INVALID);
}

static void dry_runs_leave_nothing(void **state)
{
    world *w = *state;
    mti_policy *p = compile(w, "-- hook: limit.check\nkv.set('t', 'x') log('seen') metric('seen')\n"
                               "if kv.incr('n') > 1 then decide.deny(429, 'enough') end");
    mt_limit_check in = {.size = sizeof in};
    mt_patch patch;
    mti_policy_verdict v;
    for (int i = 0; i < 3; i++) {
        mti_patch_init(&patch, &w->call, &mti_hook_catalogue[MTI_HOOK_LIMIT_CHECK]);
        assert_int_equal(mti_policy_try(p, MTI_POLICY_DRY, &w->call, &in, &patch, &v), MT_CONTINUE);
    }
    assert_int_equal(mti_kv_count(w->engine->kv), 0);
    mti_policy_release(p);
}

/* --- very many --- */

/* As its first request finds it: asked for, compiled, run. */
static void visit(world *w, mti_bus *bus, mti_org_cache *cache, mti_uuid org, heard *h)
{
    mti_org_entry *e = mti_org_cache_hold(cache, org);
    if (!e->value)
        mti_org_entry_set(e, compile_list(w, org, list_of("-- hook: limit.check\nif ctx.cost > 9 then decide.deny(429, 'dear') end", NULL, false), h));
    assert_int_equal(emit(w, bus, e->value, org), MT_CONTINUE);
    mti_org_entry_release(e);
}

static void a_hundred_thousand_organizations(void **state)
{
    world *w = *state;
    heard h = {0};
    mti_bus *bus = mti_bus_create(&w->loop, 1);
    mti_org_cache *cache = mti_org_cache_create(&mti_org_policies_kind);
    unsigned n = ORGS / (slower() > 20 ? 20 : slower());
    const mti_policy_lane *lane = &w->engine->lanes[0];
    size_t most_code = 0, most_states = 0;
    mti_uuid first = mti_uuid_v7();
    for (unsigned i = 0; i < n; i++) {
        visit(w, bus, cache, i % 500 == 0 ? first : mti_uuid_v7(), &h);
        most_code = mti_org_cache_bytes(cache) > most_code ? mti_org_cache_bytes(cache) : most_code;
        most_states = lane->bytes > most_states ? lane->bytes : most_states;
        if (i % 64 == 0)
            mti_arena_reset(&w->call.arena);
    }
    if (getenv("MORTISE_TEST_VERBOSE"))
        printf("%u organizations: %zu kept, %zu bytes of code, %zu of states\n", n, mti_org_cache_count(cache), most_code, most_states);
    assert_int_equal(mti_org_cache_count(cache), MTI_POLICY_STATES);
    assert_int_equal(mti_map_count(lane->states), MTI_POLICY_STATES);
    assert_true(most_code < MTI_POLICY_BYTES && most_states < MTI_POLICY_BYTES);
    mti_org_entry *e = mti_org_cache_hold(cache, first);   /* used again and again: it is still there */
    assert_non_null(e->value);
    mti_org_entry_release(e);
    mti_org_cache_destroy(cache);
    mti_bus_destroy(bus);
}

/* Large ones are fewer: what bounds them is their bytes. */
static void large_states_are_fewer(void **state)
{
    world *w = *state;
    mti_buf text;
    mti_buf_init(&text, 64 << 10);
    mti_buf_adds(&text, CHAT "if ctx.query then return end\n");
    while (text.len < 60000)
        mti_buf_adds(&text, "do local a = ctx.query .. 'b' .. ctx.model end\nfunction f() end\n");
    mti_policy *p = compile(w, text.p);
    mti_buf_dispose(&text);
    w->chat.query = MT_SLICE("why");
    const mti_policy_lane *lane = &w->engine->lanes[0];
    for (int i = 0; i < 600; i++) {
        mti_policy_set_org(p, mti_uuid_v7());
        assert_int_equal(run_policy(w, p), MT_CONTINUE);
        assert_true(lane->bytes <= MTI_POLICY_BYTES);
    }
    assert_true(mti_map_count(lane->states) < 600);
    size_t sum = 0;
    for (const mti_policy_state *s = lane->newest; s; s = s->older)
        sum += s->counted;
    assert_int_equal(sum, lane->bytes);
    mti_policy_release(p);
}

static void the_cache_forgets_what_it_is_told(void **state)
{
    world *w = *state;
    heard h = {0};
    mti_org_cache *cache = mti_org_cache_create(&mti_org_policies_kind);
    mti_uuid a = mti_uuid_v7(), b = mti_uuid_v7();
    mti_org_entry *ea = mti_org_cache_hold(cache, a), *eb = mti_org_cache_hold(cache, b);
    mti_org_entry_set(ea, compile_list(w, a, list_of("-- hook: limit.check\n", NULL, false), &h));
    ea->until_us = eb->until_us = 7;
    mti_org_cache_expire(cache, a);
    assert_true(ea->until_us == 0 && ea->stale && eb->until_us == 7);
    mti_org_cache_expire(cache, (mti_uuid){{0}});
    assert_true(eb->until_us == 0);
    mti_org_policies *held = mti_org_policies_ref(ea->value);
    mti_org_entry_set(ea, NULL);             /* a call goes on with what it holds */
    assert_int_equal(mti_org_cache_count(cache), 0);
    assert_int_equal(mti_org_cache_bytes(cache), 0);
    assert_non_null(mti_org_policies_own(held));
    mti_org_policies_release(held);
    for (int i = 0; i < 20000; i++)          /* those without are bounded too, and drop what is held by nobody else */
        mti_org_entry_release(mti_org_cache_hold(cache, mti_uuid_v7()));
    assert_null(ea->cache);
    mti_org_entry_set(ea, compile_list(w, a, list_of("-- hook: limit.check\n", NULL, false), &h));
    mti_org_entry_release(ea);
    mti_org_entry_release(eb);
    mti_org_cache_destroy(cache);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {T(shadows_are_noted_and_decide_nothing), T(a_guard_that_does_not_compile_is_not_left_out),
                                       T(replay_tells_the_differences), T(dry_runs_leave_nothing), T(a_hundred_thousand_organizations),
                                       T(large_states_are_fewer), T(the_cache_forgets_what_it_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
