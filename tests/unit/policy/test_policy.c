#include "support.h"

#include "bus/bus.h"
#include "loop/fiber.h"

static void assert_text(mt_slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.p, want, got.len);
}

static mt_status compile_status(world *w, const char *text)
{
    mti_policy *p;
    mt_status st = mti_policy_compile(w->engine, "p", mt_str(text), &p, &w->error);
    mti_policy_release(p);
    return st;
}

/* --- compiling --- */

static void header_says_where_it_stands(void **state)
{
    world *w = *state;
    mti_policy *p = compile(w, "-- Keeps the peace.\n\n--  hook:  limit.check \n-- priority: "
                               "7\nlocal x = 1\n-- hook: nonsense\n");
    assert_int_equal(mti_policy_hook(p), MTI_HOOK_LIMIT_CHECK);
    assert_int_equal(mti_policy_priority(p), 7);
    mti_policy_release(p);
    assert_int_equal(compile_status(w, "return 1"), MT_INVALID);
    assert_int_equal(compile_status(w, "-- hook: no.such\n"), MT_INVALID);
    assert_string_equal(w->error.code, "policy_hook");
    assert_int_equal(compile_status(w, CHAT "-- priority: -1\n"), MT_INVALID);
    assert_int_equal(compile_status(w, CHAT "-- priority: 1x\n"), MT_INVALID);
    assert_int_equal(compile_status(w, ""), MT_INVALID);
}

static void syntax_errors_name_the_line(void **state)
{
    world *w = *state;
    assert_int_equal(compile_status(w, CHAT "local x = = 1\n"), MT_INVALID);
    assert_string_equal(w->error.code, "policy_syntax");
    assert_non_null(strstr(w->error.detail, "p:2:"));
}

static void size_is_bounded(void **state)
{
    world *w = *state;
    char *text = malloc(70000);
    memset(text, ' ', 70000);
    memcpy(text, CHAT, strlen(CHAT));
    mti_policy *p;
    assert_int_equal(mti_policy_compile(w->engine, "p", (mt_slice){text, 70000}, &p, &w->error),
                     MT_TOO_LARGE);
    assert_null(p);
    free(text);
}

/* --- deciding --- */

static void decisions(void **state)
{
    world *w = *state;
    assert_int_equal(run_text(w, NOBODY, CHAT), MT_CONTINUE);
    assert_int_equal(run_text(w, NOBODY, CHAT "decide.stop() patch('/query', 'never')"), MT_STOP);
    assert_int_equal(w->patch.count, 0);
    assert_int_equal(run_text(w, NOBODY, CHAT "decide.continue() error('never')"), MT_CONTINUE);
    assert_int_equal(
        run_text(w, NOBODY, CHAT "decide.deny(451, 'not_here', 'Not in this country.')"), MT_DENY);
    assert_int_equal(mti_error_http(&w->call.error), 451);
    assert_string_equal(w->call.error.code, "not_here");
    assert_string_equal(w->call.error.detail, "Not in this country.");
    assert_int_equal(run_text(w, NOBODY, "-- hook: http.done\ndecide.deny()"), MT_ERROR);
}

static void errors_name_policy_and_line(void **state)
{
    world *w = *state;
    assert_int_equal(run_text(w, NOBODY, CHAT "local x\nx.y = 1\n"), MT_ERROR);
    assert_string_equal(w->call.error.code, "policy_error");
    assert_string_equal(w->call.error.detail, "The policy test failed in line 3.");
    assert_int_equal(run_text(w, NOBODY, CHAT "\n\nwhile true do end"), MT_ERROR);
    assert_string_equal(w->call.error.code, "policy_limit");
    assert_non_null(strstr(w->call.error.detail, "instructions in line 4"));
    assert_int_equal(run_text(w, NOBODY,
                              CHAT
                              "local ok, why = pcall(error, 'x') assert(not ok and why == 'x')\n"
                              "error({})"),
                     MT_ERROR);
    assert_string_equal(w->call.error.detail, "The policy test failed in line 3.");
}

/* --- seeing and changing --- */

static void ctx_reads_the_payload(void **state)
{
    world *w = *state;
    w->chat =
        (mt_chat_prepare){.query = MT_SLICE("why?"), .temperature = 0.5, .model = MT_SLICE("")};
    w->call.who.org_id = mti_uuid_v7();
    w->call.operation = "chat.ask";
    assert_int_equal(
        run_text(w, NOBODY,
                 CHAT
                 "assert(ctx.query == 'why?' and ctx.temperature == 0.5 and ctx.model == '' and "
                 "ctx.system == nil)\n"
                 "assert(#ctx.org_id == 36 and ctx.workspace_id == nil and ctx.subject_id == nil)\n"
                 "assert(ctx.operation == 'chat.ask')\n"
                 "assert(not pcall(function() return ctx.nonsense end))\n"),
        MT_CONTINUE);
}

static void fields_of_every_type(void **state)
{
    world *w = *state;
    mti_policy *p = compile(
        w, "-- hook: limit.check\nassert(ctx.cost == 4294967295 and ctx.operation == 'a.b')\n");
    mt_limit_check in = {.size = sizeof in, .cost = UINT32_MAX, .operation = MT_SLICE("a.b")};
    assert_int_equal(mti_policy_run(p, &w->call, &in, &w->patch), MT_CONTINUE);
    mti_policy_release(p);
    p = compile(w, "-- hook: http.done\nassert(ctx.status == -1 and ctx.bytes_in == -2)\n");
    mt_http_done done = {.size = sizeof done, .status = -1, .bytes_in = -2};
    assert_int_equal(mti_policy_run(p, &w->call, &done, &w->patch), MT_CONTINUE);
    mti_policy_release(p);
}

static void json_fields_are_tables(void **state)
{
    world *w = *state;
    mti_policy *p = compile(w, "-- hook: retrieval.results\n"
                               "local r = ctx.results\n"
                               "assert(r == ctx.results and #r == 2 and r[1].score == 0.5 and "
                               "r[2].id == 'b' and r[2].none == nil)\n"
                               "table.remove(r, 1)\n"
                               "patch('/results', r)\n"
                               "patch('/results/0/score', 1)\n");
    mt_retrieval_results in = {.size = sizeof in,
                               .results =
                                   MT_SLICE("[{\"id\":\"a\",\"score\":0.5},{\"id\":\"b\",\"score\":"
                                            "0.25,\"none\":null,\"tags\":[1,true]}]")};
    for (int i = 0; i < 3; i++) {
        mt_retrieval_results copy = in;
        mti_patch_init(&w->patch, &w->call, &mti_hook_catalogue[MTI_HOOK_RETRIEVAL_RESULTS]);
        assert_int_equal(mti_policy_run(p, &w->call, &copy, &w->patch), MT_CONTINUE);
        assert_int_equal(mti_patch_apply(&w->patch, &copy, NULL), MT_OK);
        assert_true(copy.results.len > 30);
        char text[256];
        snprintf(text, sizeof text, "%.*s", (int)copy.results.len, copy.results.p);
        assert_non_null(strstr(text, "\"score\":1"));
        assert_non_null(strstr(text, "\"tags\":[1,true]"));
        assert_null(strstr(text, "\"a\""));
    }
    in.results = MT_SLICE("not json");
    assert_int_equal(mti_policy_run(p, &w->call, &in, &w->patch), MT_ERROR);
    mti_policy_release(p);
}

static void patches_change_the_payload(void **state)
{
    world *w = *state;
    w->chat = (mt_chat_prepare){.query = MT_SLICE("q")};
    assert_int_equal(
        run_text(w, NOBODY,
                 CHAT "patch('/query', 'a \"b\"') patch('/temperature', 0) patch('/model', nil)\n"
                      "assert(not pcall(patch, '/session_id', 'x'))\n"
                      "assert(not pcall(patch, '/query', 7))\n"
                      "assert(not pcall(patch, '/query', {[1.5] = 1}))\n"),
        MT_CONTINUE);
    assert_int_equal(mti_patch_apply(&w->patch, &w->chat, NULL), MT_OK);
    assert_text(w->chat.query, "a \"b\"");
}

/* --- remembering --- */

static void kv_is_apart_for_each_organization(void **state)
{
    world *w = *state;
    mti_uuid a = mti_uuid_v7(), b = mti_uuid_v7();
    const char *count = CHAT "if kv.incr('n') > 2 then decide.deny(429, 'slow_down') end";
    w->call.who.org_id = a;
    assert_int_equal(run_text(w, NOBODY, count), MT_CONTINUE);
    assert_int_equal(run_text(w, NOBODY, count), MT_CONTINUE);
    assert_int_equal(run_text(w, NOBODY, count), MT_DENY);
    assert_int_equal(run_text(w, a, count), MT_CONTINUE);
    w->call.who.org_id = b;
    assert_int_equal(run_text(w, NOBODY, count), MT_CONTINUE);
    assert_int_equal(
        run_text(w, b,
                 CHAT
                 "assert(kv.get('n') == nil)\nassert(kv.set('t', 'text', 5))\n"
                 "assert(kv.get('t') == 'text')\nkv.set('t', nil)\nassert(kv.get('t') == nil)"),
        MT_CONTINUE);
}

static void globals_do_not_last(void **state)
{
    world *w = *state;
    mti_policy *p = compile(
        w,
        CHAT "assert(seen == nil)\nseen = {}\nlocal function f() return seen end\nassert(f())\n");
    for (int i = 0; i < 3; i++)
        assert_int_equal(run_policy(w, p), MT_CONTINUE);
    assert_int_equal(run_text(w, NOBODY, CHAT "assert(seen == nil)"), MT_CONTINUE);
    mti_policy_release(p);
}

static void many_policies_and_organizations(void **state)
{
    world *w = *state;
    for (int i = 0; i < 300; i++)
        assert_int_equal(run_text(w, NOBODY, CHAT "local x = ('a'):rep(10)"), MT_CONTINUE);
    mti_policy *p = compile(w, CHAT "n = (n or 0) + 1\nassert(n == 1)\n");
    for (int i = 0; i < 1100; i++) {
        mti_policy_set_org(p, mti_uuid_v7());
        assert_int_equal(run_policy(w, p), MT_CONTINUE);
    }
    mti_policy_release(p);
}

static void libraries_work(void **state)
{
    world *w = *state;
    if (run_text(
            w, NOBODY,
            CHAT
            "assert(tostring(1.5) == '1.5' and tostring(nil) == 'nil' and tostring({}) == "
            "'table')\n"
            "assert(select('#', table.unpack({1, 2, 3})) == 3)\n"
            "local t = {} table.insert(t, 'b') table.insert(t, 1, 'a') table.insert(t, 'c')\n"
            "assert(table.concat(t) == 'abc' and table.concat(t, '-', 2) == 'b-c' and "
            "table.concat({}, 'x') == '')\n"
            "assert(table.remove(t, 1) == 'a' and table.remove(t) == 'c' and #t == 1 and "
            "table.remove({}) == nil)\n"
            "local s = {} for i = 1, 100 do s[i] = (i * 7919) % 503 end table.sort(s)\n"
            "for i = 2, #s do assert(s[i - 1] <= s[i]) end\n"
            "table.sort(s, function(a, b) return a > b end) for i = 2, #s do assert(s[i - 1] >= "
            "s[i]) end\n"
            "local o = setmetatable({}, {__index = function(_, k) return k .. '!' end}) assert(o.x "
            "== 'x!')\n"
            "assert(getmetatable(o).__index)\n"
            "assert(math.floor(2.5) == 2 and math.max(1, 3) == 3 and math.tointeger(3.0) == 3)\n"
            "local c = 0 for k, v in pairs({1, 2, x = 3}) do c = c + v end assert(c == 6)\n"
            "local n = now() assert(n > 1.7e9)\n"
            "local log_ok = log('a line') metric('seen', 2)\n") != MT_CONTINUE)
        fail_msg("%s", w->call.error.detail);
}

/* --- on the bus --- */

static void a_policy_on_the_bus(void **state)
{
    world *w = *state;
    mti_bus *bus = mti_bus_create(&w->loop, 1);
    const char *texts[] = {
        "-- hook: limit.check\nif ctx.cost > 10 then decide.deny(429, 'too_costly') end",
        "-- hook: retrieval.results\nerror('broken')",
        "-- hook: limit.check\nif ctx.cost == 5 then error('broken') end"};
    for (int i = 0; i < 3; i++) {
        mti_policy *p = compile(w, texts[i]);
        mti_bus_add(bus, &(mti_bus_handler){.hook = mti_policy_hook(p),
                                            .priority = mti_policy_priority(p),
                                            .run = mti_policy_run,
                                            .self = p,
                                            .label = "policy",
                                            .release = mti_policy_drop});
    }
    mti_bus_publish(bus);
    mt_limit_check in = {.size = sizeof in, .cost = 1};
    assert_int_equal(mti_bus_emit(bus, &w->call, MTI_HOOK_LIMIT_CHECK, &in), MT_CONTINUE);
    in.cost = 11;
    assert_int_equal(mti_bus_emit(bus, &w->call, MTI_HOOK_LIMIT_CHECK, &in), MT_DENY);
    assert_string_equal(w->call.error.code, "too_costly");
    in.cost = 5;
    assert_int_equal(mti_bus_emit(bus, &w->call, MTI_HOOK_LIMIT_CHECK, &in), MT_ERROR);
    assert_string_equal(w->call.error.code, "policy_error");
    mt_retrieval_results results = {.size = sizeof results};
    assert_int_equal(mti_bus_emit(bus, &w->call, MTI_HOOK_RETRIEVAL_RESULTS, &results),
                     MT_CONTINUE);
    mti_bus_destroy(bus);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(header_says_where_it_stands),
                                       T(syntax_errors_name_the_line),
                                       T(size_is_bounded),
                                       T(decisions),
                                       T(errors_name_policy_and_line),
                                       T(ctx_reads_the_payload),
                                       T(fields_of_every_type),
                                       T(json_fields_are_tables),
                                       T(patches_change_the_payload),
                                       T(kv_is_apart_for_each_organization),
                                       T(globals_do_not_last),
                                       T(many_policies_and_organizations),
                                       T(libraries_work),
                                       T(a_policy_on_the_bus)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
