#include "support.h"

#include "base/ident.h"
#include "telemetry/trace.h"

/* --- handlers: self is what they note in --- */

typedef struct note {
    char seen[64];
    uint16_t plugin;
    int calls;
} note;

static mt_outcome mark(note *n, mt_call *c, char letter, mt_outcome answer)
{
    size_t len = strlen(n->seen);
    n->seen[len] = letter;
    n->plugin = c->plugin;
    n->calls++;
    return answer;
}

static mt_outcome on_a(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return mark(self, c, 'a', MT_CONTINUE);
}

static mt_outcome on_b(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return mark(self, c, 'b', MT_CONTINUE);
}

static mt_outcome on_stop(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return mark(self, c, 's', MT_STOP);
}

static mt_outcome on_deny(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return mark(self, c, 'd',
                mti_bus_deny(c, 429, MT_SLICE("too_many"), MT_SLICE("Wait a little.")));
}

static mt_outcome on_bare_deny(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return mark(self, c, 'd', MT_DENY);
}

static mt_outcome on_error(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return mark(self, c, 'e', MT_ERROR);
}

static mt_outcome on_text(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_chat_prepare *chat = in;
    char text[64];
    snprintf(text, sizeof text, "%.*s+%s", (int)chat->query.len, chat->query.p, (const char *)self);
    return mti_patch_set_text(out, MT_SLICE("/query"), mt_str(text)) == MT_OK ? MT_CONTINUE
                                                                              : MT_ERROR;
}

static mt_outcome on_slow(void *self, mt_call *c, const void *in, mt_patch *out)
{
    note *n = self;
    n->calls++;
    for (int64_t until = mti_thread_cpu_ns() + 120000000; mti_thread_cpu_ns() < until;)
        n->plugin = mti_bus_should_stop(c);
    return MT_CONTINUE;
}

static mt_limit_check limit_payload(void)
{
    return (mt_limit_check){
        .size = sizeof(mt_limit_check), .operation = MT_SLICE("notes.list"), .cost = 1};
}

static mt_outcome emit_limit(world *w)
{
    mt_limit_check in = limit_payload();
    return mti_bus_emit(w->bus, &w->call, MTI_HOOK_LIMIT_CHECK, &in);
}

/* --- tests --- */

static void runs_in_order(void **state)
{
    world *w = *state;
    note n = {0};
    stand(w, MTI_HOOK_LIMIT_CHECK, 20, on_b, &n);
    stand(w, MTI_HOOK_LIMIT_CHECK, 10, on_a, &n);
    stand(w, MTI_HOOK_LIMIT_CHECK, 20, on_a, &n);
    assert_int_equal(emit_limit(w), MT_CONTINUE);
    assert_string_equal(n.seen, "");
    mti_bus_publish(w->bus);
    w->call.plugin = 3;
    assert_int_equal(emit_limit(w), MT_CONTINUE);
    assert_string_equal(n.seen, "aba");
    assert_int_equal(n.plugin, 7);
    assert_int_equal(w->call.plugin, 3);
}

static void stop_ends_the_walk(void **state)
{
    world *w = *state;
    note n = {0};
    stand(w, MTI_HOOK_LIMIT_CHECK, 1, on_stop, &n);
    stand(w, MTI_HOOK_LIMIT_CHECK, 2, on_b, &n);
    mti_bus_publish(w->bus);
    assert_int_equal(emit_limit(w), MT_STOP);
    assert_string_equal(n.seen, "s");
}

static void deny_carries_its_problem(void **state)
{
    world *w = *state;
    note n = {0};
    stand(w, MTI_HOOK_LIMIT_CHECK, 1, on_deny, &n);
    stand(w, MTI_HOOK_LIMIT_CHECK, 2, on_b, &n);
    mti_bus_publish(w->bus);
    assert_int_equal(emit_limit(w), MT_DENY);
    assert_string_equal(n.seen, "d");
    assert_int_equal(mti_error_http(&w->call.error), 429);
    assert_string_equal(w->call.error.code, "too_many");
    assert_string_equal(w->call.error.detail, "Wait a little.");
}

static void bare_deny_is_403(void **state)
{
    world *w = *state;
    note n = {0};
    mti_fail(&w->call.error, MT_NOT_FOUND, "stale", "An older failure.");
    stand(w, MTI_HOOK_LIMIT_CHECK, 1, on_bare_deny, &n);
    mti_bus_publish(w->bus);
    assert_int_equal(emit_limit(w), MT_DENY);
    assert_int_equal(mti_error_http(&w->call.error), 403);
    assert_string_equal(w->call.error.code, "denied");
}

static void errors_close_or_open(void **state)
{
    world *w = *state;
    note n = {0};
    stand(w, MTI_HOOK_LIMIT_CHECK, 1, on_error, &n);
    stand(w, MTI_HOOK_LIMIT_CHECK, 2, on_b, &n);
    stand(w, MTI_HOOK_RETRIEVAL_RESULTS, 1, on_error, &n);
    stand(w, MTI_HOOK_RETRIEVAL_RESULTS, 2, on_b, &n);
    mti_bus_publish(w->bus);
    assert_int_equal(emit_limit(w), MT_ERROR);
    assert_string_equal(w->call.error.code, "hook_failed");
    assert_string_equal(n.seen, "e");
    mt_retrieval_results in = {.size = sizeof in};
    assert_int_equal(mti_bus_emit(w->bus, &w->call, MTI_HOOK_RETRIEVAL_RESULTS, &in), MT_CONTINUE);
    assert_string_equal(n.seen, "eeb");
    assert_string_equal(w->call.error.code, "hook_failed"); /* what the call had before stays */
    memset(&w->call.error, 0, sizeof w->call.error);
    assert_int_equal(mti_bus_emit(w->bus, &w->call, MTI_HOOK_RETRIEVAL_RESULTS, &in), MT_CONTINUE);
    assert_string_equal(w->call.error.code, ""); /* what was passed over does not */
}

static void always_runs_everybody_and_actions_cannot_deny(void **state)
{
    world *w = *state;
    note n = {0};
    stand(w, MTI_HOOK_HTTP_DONE, 1, on_deny, &n);
    stand(w, MTI_HOOK_HTTP_DONE, 2, on_stop, &n);
    stand(w, MTI_HOOK_HTTP_DONE, 3, on_error, &n);
    stand(w, MTI_HOOK_HTTP_DONE, 4, on_a, &n);
    mti_bus_publish(w->bus);
    mt_http_done in = {.size = sizeof in, .status = 200};
    assert_int_equal(mti_bus_emit(w->bus, &w->call, MTI_HOOK_HTTP_DONE, &in), MT_CONTINUE);
    assert_string_equal(n.seen, "dsea");
}

static void the_next_handler_sees_the_patch(void **state)
{
    world *w = *state;
    stand(w, MTI_HOOK_CHAT_PREPARE, 1, on_text, "one");
    stand(w, MTI_HOOK_CHAT_PREPARE, 2, on_text, "two");
    mti_bus_publish(w->bus);
    mt_chat_prepare in = {.size = sizeof in, .query = MT_SLICE("q")};
    assert_int_equal(mti_bus_emit(w->bus, &w->call, MTI_HOOK_CHAT_PREPARE, &in), MT_CONTINUE);
    assert_int_equal(in.query.len, 9);
    assert_memory_equal(in.query.p, "q+one+two", 9);
}

static void trace_tells_who_changed_what(void **state)
{
    world *w = *state;
    stand(w, MTI_HOOK_CHAT_PREPARE, 1, on_text, "one");
    mti_bus_publish(w->bus);
    mti_trace_begin(&w->call, (mt_slice){NULL, 0}, false);
    mt_chat_prepare in = {.size = sizeof in, .query = MT_SLICE("q")};
    mti_bus_emit(w->bus, &w->call, MTI_HOOK_CHAT_PREPARE, &in);
    uint8_t id[16];
    memcpy(id, w->call.trace_id, 16);
    w->call.request_id = mti_uuid_v7();
    mti_trace_end(&w->call, 200);
    mti_buf json;
    mti_uuid newest = {{0}};
    mti_buf_init(&json, 1 << 20);
    assert_true(mti_trace_find(w->loop, id, &(mti_trace_viewer){0}, &newest, &json));
    assert_non_null(strstr(json.p, "chat.prepare"));
    assert_non_null(strstr(json.p, "test.handler"));
    assert_non_null(strstr(json.p, "\"patches\":[{\"pointer\":\"/query\",\"bytes\":5}]"));
    assert_null(strstr(json.p, "q+one"));
    mti_buf_dispose(&json);
}

static mt_outcome on_hot(void *self, mt_call *c, const void *in, mt_patch *out)
{
    bool set = mti_patch_set_text(out, MT_SLICE("/system"), MT_SLICE("hot")) == MT_OK && mti_patch_set(out, MT_SLICE("/temperature"), MT_SLICE("99")) == MT_OK;
    return set ? MT_CONTINUE : MT_ERROR;
}

static mt_outcome on_bad_score(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return mti_patch_set(out, MT_SLICE("/score"), MT_SLICE("-1")) == MT_OK ? MT_CONTINUE : MT_ERROR;
}

/* A patch that breaks the schema is the handler's failure: the hook's rule decides. */
static void a_patch_that_breaks_its_schema_is_refused(void **state)
{
    world *w = *state;
    note n = {0};
    mti_bus_owner_stats s;
    stand(w, MTI_HOOK_CHAT_PREPARE, 1, on_hot, NULL);
    stand(w, MTI_HOOK_CODE_ANALYZE, 1, on_bad_score, NULL);
    stand(w, MTI_HOOK_CODE_ANALYZE, 2, on_a, &n);
    mti_bus_publish(w->bus);
    mt_chat_prepare chat = {.size = sizeof chat, .query = MT_SLICE("q")};
    assert_int_equal(mti_bus_emit(w->bus, &w->call, MTI_HOOK_CHAT_PREPARE, &chat), MT_ERROR);
    assert_null(chat.system.p);
    assert_string_equal(w->call.error.code, "patch_breaks_schema");
    assert_int_equal(mti_error_http(&w->call.error), 500);
    mt_code_analyze code = {.size = sizeof code, .findings = MT_SLICE("[]"), .score = 50};
    assert_int_equal(mti_bus_emit(w->bus, &w->call, MTI_HOOK_CODE_ANALYZE, &code), MT_CONTINUE);
    assert_true(code.score == 50);
    assert_string_equal(n.seen, "a");
    mti_bus_owner_read(w->bus, 7, &s);
    assert_int_equal(s.errors, 2);
}

static void a_wrong_payload_size_is_refused(void **state)
{
    world *w = *state;
    note n = {0};
    stand(w, MTI_HOOK_LIMIT_CHECK, 1, on_a, &n);
    mti_bus_publish(w->bus);
    mt_limit_check in = limit_payload();
    in.size = 8;
    assert_int_equal(mti_bus_emit(w->bus, &w->call, MTI_HOOK_LIMIT_CHECK, &in), MT_ERROR);
    assert_int_equal(n.calls, 0);
}

static mt_outcome on_recurse(void *self, mt_call *c, const void *in, mt_patch *out)
{
    world *w = self;
    mt_chat_prepare again = {.size = sizeof again};
    return mti_bus_emit(w->bus, c, MTI_HOOK_CHAT_PREPARE, &again);
}

static void endless_nesting_ends(void **state)
{
    world *w = *state;
    stand(w, MTI_HOOK_CHAT_PREPARE, 1, on_recurse, w);
    mti_bus_publish(w->bus);
    mt_chat_prepare in = {.size = sizeof in};
    assert_int_equal(mti_bus_emit(w->bus, &w->call, MTI_HOOK_CHAT_PREPARE, &in), MT_ERROR);
    assert_null(w->call.hook);
}

static void stand_seated(world *w, int hook, uint16_t seat, mti_bus_scope *scope, mt_hook_fn run, void *self)
{
    mti_bus_add(w->bus, &(mti_bus_handler){.owner = 7, .seats = {3, seat}, .scope = scope, .hook = hook, .priority = 1, .run = run, .self = self, .label = "t"});
}

static void calls_skip_seats(void **state)
{
    world *w = *state;
    note n = {0};
    uint64_t plugin[MTI_BUS_SEAT_WORDS] = {1 << 3}, instance[MTI_BUS_SEAT_WORDS] = {[1] = 1ull << (100 - 64)};
    stand_seated(w, MTI_HOOK_LIMIT_CHECK, 4, NULL, on_a, &n);
    stand_seated(w, MTI_HOOK_LIMIT_CHECK, 100, NULL, on_b, &n);
    stand_seated(w, MTI_HOOK_HTTP_REQUEST, 4, NULL, on_b, &n);
    mti_bus_publish(w->bus);
    w->call.skip = instance;                 /* one instance */
    assert_int_equal(emit_limit(w), MT_CONTINUE);
    assert_string_equal(n.seen, "a");
    w->call.skip = plugin;                   /* the plugin, with all of them */
    assert_false(mti_bus_has(w->bus, MTI_HOOK_LIMIT_CHECK, &w->call));
    assert_int_equal(emit_limit(w), MT_CONTINUE);
    mt_http_request in = {.size = sizeof in};
    assert_true(mti_bus_has(w->bus, MTI_HOOK_HTTP_REQUEST, &w->call));   /* the platform's */
    mti_bus_emit(w->bus, &w->call, MTI_HOOK_HTTP_REQUEST, &in);
    assert_string_equal(n.seen, "ab");
}

static mti_bus_scope *scope_of(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    mti_bus_scope *s = mti_bus_scope_create(json);
    json_decref(json);
    return s;
}

static void scopes_are_operations_and_keys(void **state)
{
    world *w = *state;
    note n = {0};
    const char *key = "00000000-0000-7000-8000-00000000000a";
    unsigned send = mti_operation_number("chat.send"), list = mti_operation_number("notes.list"), near = mti_operation_number("chatter.send");
    stand_seated(w, MTI_HOOK_LIMIT_CHECK, 4, scope_of("{\"operations\": [\"chat.*\", \"other.one\"]}"), on_a, &n);
    stand_seated(w, MTI_HOOK_LIMIT_CHECK, 5, scope_of("{\"operations\": [\"*\"], \"api_keys\": [\"00000000-0000-7000-8000-00000000000b\", \"00000000-0000-7000-8000-00000000000a\"]}"), on_b, &n);
    mti_bus_publish(w->bus);
    unsigned numbers[] = {send, list, near, 0, mti_operation_number("chat.later")};   /* the last one was not known to the scope */
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        w->call.operation_number = numbers[i];
        emit_limit(w);
    }
    assert_string_equal(n.seen, "a");
    assert_true(mti_uuid_parse(mt_str(key), &w->call.who.subject_id));
    w->call.operation_number = list;
    emit_limit(w);
    w->call.operation_number = 0;            /* no operation, so of none */
    emit_limit(w);
    assert_string_equal(n.seen, "ab");
    assert_null(mti_bus_scope_create(NULL));
    assert_null(scope_of("{}"));
    mti_bus_scope *nobody = scope_of("{\"operations\": []}");
    w->call.operation_number = send;
    assert_false(mti_bus_scope_fits(nobody, &w->call));
    mti_bus_scope_destroy(nobody);
}

static mt_outcome on_instance(void *self, mt_call *c, const void *in, mt_patch *out)
{
    *(const struct mti_instance **)self = c->instance;
    return MT_CONTINUE;
}

static void a_handler_runs_as_its_instance(void **state)
{
    world *w = *state;
    const struct mti_instance *seen = NULL, *one = (const struct mti_instance *)w, *outer = (const struct mti_instance *)state;
    mti_bus_add(w->bus, &(mti_bus_handler){.owner = 7, .instance = one, .hook = MTI_HOOK_LIMIT_CHECK, .run = on_instance, .self = &seen, .label = "t"});
    mti_bus_publish(w->bus);
    w->call.instance = outer;
    emit_limit(w);
    assert_ptr_equal(seen, one);
    assert_ptr_equal(w->call.instance, outer);
}

static void slow_handlers_of_open_hooks_are_bypassed(void **state)
{
    world *w = *state;
    note open = {0}, closed = {0};
    for (int64_t until = mti_mono_us() + 2000; mti_mono_us() < until;)
        ;
    stand(w, MTI_HOOK_RETRIEVAL_RESULTS, 1, on_slow, &open);
    stand(w, MTI_HOOK_CHAT_PREPARE, 1, on_slow, &closed);
    mti_bus_publish(w->bus);
    for (int i = 0; i < 5; i++) {
        mt_retrieval_results results = {.size = sizeof results};
        mti_bus_emit(w->bus, &w->call, MTI_HOOK_RETRIEVAL_RESULTS, &results);
        mt_chat_prepare chat = {.size = sizeof chat};
        mti_bus_emit(w->bus, &w->call, MTI_HOOK_CHAT_PREPARE, &chat);
    }
    assert_int_equal(open.calls, 3);
    assert_int_equal(open.plugin, true);
    assert_int_equal(closed.calls, 5);
    assert_false(mti_bus_has(w->bus, MTI_HOOK_RETRIEVAL_RESULTS, &w->call));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(runs_in_order),
        T(stop_ends_the_walk),
        T(deny_carries_its_problem),
        T(bare_deny_is_403),
        T(errors_close_or_open),
        T(always_runs_everybody_and_actions_cannot_deny),
        T(the_next_handler_sees_the_patch),
        T(trace_tells_who_changed_what),
        T(a_patch_that_breaks_its_schema_is_refused),
        T(a_wrong_payload_size_is_refused),
        T(endless_nesting_ends),
        T(calls_skip_seats),
        T(scopes_are_operations_and_keys),
        T(a_handler_runs_as_its_instance),
        T(slow_handlers_of_open_hooks_are_bypassed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
