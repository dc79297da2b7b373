/* A plugin that touches every part of the fake host. */
#include <mortise/entry.h>
#include <mortise/hooks.h>

typedef struct sample { int activations; } sample;

static mt_status create(void **self)
{
    *self = calloc(1, sizeof(sample));
    return *self ? MT_OK : MT_NO_MEMORY;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static mt_status activate(void *self, mt_call *c)
{
    ((sample *)self)->activations++;
    MT_TRY(mt_db_as_org(c, MT_SLICE("00000000-0000-0000-0000-00000000000a"), (mt_slice){0}));
    return mt_db_exec(c, MT_SLICE("row_add"), NULL, 0, NULL);
}

static void unload(void *self)
{
    free(self);
}

static mt_status on_echo(void *self, mt_call *c)
{
    mt_slice json, file, type, data, field;
    if (!mt_allowed(c, MT_SLICE("sample.use")))
        return mt_problem(c, 403, MT_SLICE("sample_forbidden"), MT_SLICE("No."), (mt_slice){0});
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "text", mt_body_text(c, MT_SLICE("/text")));
    mt_write_raw(&w, "loud", mt_param(c, MT_SLICE("loud")));
    mt_write_raw(&w, "times", mt_param(c, MT_SLICE("times")));
    mt_write_text(&w, "word", mt_config(c, MT_SLICE("/word")));
    mt_write_raw(&w, "max", mt_config(c, MT_SLICE("/limits/max")));
    mt_write_text(&w, "agent", mt_header(c, MT_SLICE("user-agent")));
    mt_write_text(&w, "id", mt_new_id(c));
    mt_write_int(&w, "files", mt_files(c));
    if (mt_file(c, 0, &field, &file, &type, &data) == MT_OK)
        mt_write_text(&w, "file", data);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    MT_TRY(mt_respond_header(c, MT_SLICE("x-sample"), MT_SLICE("yes")));
    mt_log(2, "sample.echoed", &(mt_field){MT_SLICE("k"), MT_SLICE("v")}, 1);
    return mt_respond(c, 200, json);
}

static mt_status on_stream(void *self, mt_call *c)
{
    MT_TRY(mt_stream_begin(c));
    for (int i = 0; i < 3; i++) {
        MT_TRY(mt_sleep(c, 1000));
        MT_TRY(mt_stream_event(c, MT_SLICE("token"), mt_printf(c, "%d", i)));
    }
    return mt_stream_end(c);
}

static mt_status on_db(void *self, mt_call *c)
{
    mt_handle row;
    mt_field arg = {MT_SLICE("id"), MT_SLICE("7")};
    MT_TRY(mt_db_begin(c));
    MT_TRY(mt_db_one(c, MT_SLICE("row_get"), &arg, 1, &row));
    MT_TRY(mt_db_commit(c));
    mt_slice ready = mt_db_value(c, row, 0, MT_SLICE("ready")), json;
    MT_TRY(mt_db_json(c, row, 0, &json));
    MT_TRY(mt_queue_put(c, MT_SLICE("sample.work"), json, (mt_slice){0}, 0));
    MT_TRY(mt_cache_put(c, MT_SLICE("k"), ready, 1000));
    MT_TRY(mt_cache_get(c, MT_SLICE("k"), &ready));
    return mt_respond(c, 200, mt_printf(c, "{\"ready\":\"%.*s\"}", (int)ready.len, ready.p));
}

static mt_status on_unknown_query(void *self, mt_call *c)
{
    return mt_db_exec(c, MT_SLICE("row_gone"), NULL, 0, NULL);
}

static mt_status on_fetch(void *self, mt_call *c)
{
    int32_t status;
    mt_slice body;
    mt_http_exchange in = {.size = sizeof in, .method = MT_SLICE("GET"), .url = mt_param(c, MT_SLICE("url"))};
    MT_TRY(mt_http_fetch(c, &in, NULL, 0, &status, &body));
    return mt_respond(c, status, body);
}

static mt_status on_llm(void *self, mt_call *c)
{
    mt_handle g;
    mt_slice token;
    mt_llm_in in = {.size = sizeof in};
    MT_TRY(mt_llm_open(c, &in, &g));
    MT_TRY(mt_llm_next(c, g, &token));
    return mt_respond(c, 200, mt_printf(c, "\"%.*s\"", (int)token.len, token.p));
}

static mt_status on_job(void *self, mt_call *c)
{
    mt_handle doc;
    MT_TRY(mt_json_parse(c, mt_body(c), &doc));
    return mt_json_number(c, doc, MT_SLICE("/n"), 0) == 5 && mt_respond(c, 200, MT_SLICE("1")) == MT_UNSUPPORTED ? MT_OK : MT_INVALID;
}

static mt_status on_emit(void *self, mt_call *c)
{
    mt_code_analyze in = {.size = sizeof in, .source = MT_SLICE("x"), .findings = MT_SLICE("[]"), .score = 100};
    if (mt_hook_emit(c, MT_SLICE("code.analyze"), &in) != MT_CONTINUE)
        return MT_INTERNAL;
    return mt_respond(c, 200, mt_printf(c, "{\"findings\":%.*s,\"score\":%g}", (int)in.findings.len, in.findings.p, in.score));
}

static mt_outcome on_chat(void *self, mt_call *c, const void *payload, mt_patch *out)
{
    const mt_chat_prepare *in = payload;
    if (mt_slice_eq(in->query, MT_SLICE("bad")))
        return mt_hook_deny(c, 422, MT_SLICE("sample_bad"), MT_SLICE("Bad."));
    if (mt_hook_set(c, out, MT_SLICE("/agent_id"), MT_SLICE("\"x\"")) != MT_INVALID ||
        mt_hook_set(c, out, MT_SLICE("/temperature"), MT_SLICE("\"x\"")) != MT_INVALID)
        return MT_ERROR;
    mt_hook_set(c, out, MT_SLICE("/temperature"), MT_SLICE("0.5"));
    mt_hook_set_text(c, out, MT_SLICE("/system"), MT_SLICE("Be \"kind\"."));
    return MT_CONTINUE;
}

static mt_outcome on_code(void *self, mt_call *c, const void *payload, mt_patch *out)
{
    mt_hook_set(c, out, MT_SLICE("/findings/-"), MT_SLICE("{\"rule\":\"a\"}"));
    return MT_CONTINUE;
}

static mt_outcome on_code_late(void *self, mt_call *c, const void *payload, mt_patch *out)
{
    const mt_code_analyze *in = payload;
    mt_hook_set(c, out, MT_SLICE("/score"), mt_printf(c, "%g", in->score - (double)in->findings.len));
    return MT_CONTINUE;
}

static const mt_handler_entry handlers[] = {{"on_echo", on_echo}, {"on_stream", on_stream}, {"on_db", on_db}, {"on_unknown_query", on_unknown_query},
                                            {"on_fetch", on_fetch}, {"on_llm", on_llm}, {"on_job", on_job}, {"on_emit", on_emit}};
static const mt_hook_entry hooks[] = {{"on_chat", on_chat}, {"on_code", on_code}, {"on_code_late", on_code_late}};

MT_EXPORT const mt_plugin sample_plugin = {.abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "sample", .version = "0.1.0", .create = create,
                                           .load = load, .activate = activate, .unload = unload, .handlers = handlers,
                                           .n_handlers = sizeof handlers / sizeof *handlers, .hooks = hooks, .n_hooks = 3};
