/*
 * The plugin that is kept as a binary: it goes through the interfaces that most plugins use, so that a later host which breaks one of them is told. This is its
 * source as it was built; it is not built again, and may not be changed.
 */
#include <mortise/entry.h>
#include <mortise/hooks.h>

#include <stdatomic.h>

typedef struct instance {
    atomic_long calls;
    mt_handle family;
} instance;

static mt_status finish(mt_call *c, mt_writer *w, int status)
{
    mt_slice json;
    mt_write_close(w);
    MT_TRY(mt_write_end(w, &json));
    return mt_respond(c, status, json);
}

static void count(instance *self, const char *what)
{
    const mt_slice values[] = {mt_str(what)};
    atomic_fetch_add(&self->calls, 1);
    mt_metrics_add(self->family, values, 1, 1);
}

/* --- db/1, queue/1 --- */

static mt_status on_create(void *self, mt_call *c)
{
    mt_slice text = mt_body_text(c, MT_SLICE("/text")), json;
    const mt_field first[] = {{MT_SLICE("id"), mt_new_id(c)}, {MT_SLICE("given"), text}};
    const mt_field second[] = {{MT_SLICE("id"), mt_new_id(c)}, {MT_SLICE("given"), mt_printf(c, "%.*s, again", (int)text.len, text.p)}};
    mt_handle row, other;
    mt_writer w = mt_write_begin(c);
    count(self, "create");
    MT_TRY(mt_db_begin(c));
    MT_TRY(mt_db_one(c, MT_SLICE("note_add"), first, 2, &row));
    MT_TRY(mt_db_one(c, MT_SLICE("note_add"), second, 2, &other));
    mt_write_object(&w, NULL);
    mt_write_text(&w, "id", mt_new_id(c));
    mt_write_text(&w, "text", mt_printf(c, "%.*s, by a job", (int)text.len, text.p));
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    MT_TRY(mt_queue_put(c, MT_SLICE("kept_1_0.note"), json, mt_str(NULL), 0));
    MT_TRY(mt_db_commit(c));
    if (mt_db_rows(c, row) != 1 || !mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("text")), text))
        return MT_INTERNAL;
    MT_TRY(mt_db_json(c, row, 0, &json));
    mt_db_free(c, other);
    return mt_respond(c, 201, json);
}

static mt_status on_job(void *self, mt_call *c)
{
    mt_handle job;
    int64_t added = 0;
    count(self, "job");
    MT_TRY(mt_json_parse(c, mt_body(c), &job));
    const mt_field args[] = {{MT_SLICE("id"), mt_json_text(c, job, MT_SLICE("/id"))}, {MT_SLICE("given"), mt_json_text(c, job, MT_SLICE("/text"))}};
    MT_TRY(mt_queue_progress(c, 1, 2));
    return mt_db_exec(c, MT_SLICE("note_once"), args, 2, &added);
}

static mt_status on_get(void *self, mt_call *c)
{
    mt_handle row;
    mt_slice json;
    count(self, "get");
    MT_TRY(mt_db_one(c, MT_SLICE("note_get"), NULL, 0, &row));
    MT_TRY(mt_db_json(c, row, 0, &json));
    return mt_respond(c, 200, json);
}

/* --- json/1, offload/1, config --- */

typedef struct numbers {
    double *of, sum;
    int64_t n;
} numbers;

static void add_up(void *arg)
{
    numbers *x = arg;
    for (int64_t i = 0; i < x->n; i++)
        x->sum += x->of[i];
}

static mt_status on_sum(void *self, mt_call *c)
{
    numbers x = {0};
    mt_handle body;
    count(self, "sum");
    MT_TRY(mt_json_parse(c, mt_body(c), &body));
    x.n = mt_json_count(c, body, MT_SLICE("/numbers"));
    x.of = mt_alloc(c, (size_t)(x.n + 1) * sizeof *x.of);
    if (!x.of)
        return MT_NO_MEMORY;
    for (int64_t i = 0; i < x.n; i++)
        x.of[i] = mt_json_number(c, body, mt_printf(c, "/numbers/%lld", (long long)i), 0);
    mt_json_free(c, body);
    MT_TRY(mt_offload_run(c, add_up, &x));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_double(&w, "sum", x.sum);
    mt_write_raw(&w, "configured", mt_config(c, MT_SLICE("/deep/number")));
    return finish(c, &w, 200);
}

/* --- http/1 --- */

static mt_status on_fetch(void *self, mt_call *c)
{
    const mt_field headers[] = {{MT_SLICE("x-kept"), MT_SLICE("1.0")}};
    const mt_http_exchange x = {.size = sizeof x, .method = MT_SLICE("GET"), .url = mt_param(c, MT_SLICE("url")), .timeout_ms = 5000, .max_bytes = 1 << 20, .idle_ms = 5000};
    int32_t status = 0;
    int64_t bytes = 0;
    mt_handle stream;
    mt_slice part;
    mt_status s;
    count(self, "fetch");
    MT_TRY(mt_http_open(c, &x, headers, 1, &status, &stream));
    mt_slice type = mt_http_header(c, stream, MT_SLICE("content-type"));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_int(&w, "status", status);
    mt_write_text(&w, "type", type);
    while ((s = mt_http_next(c, stream, &part)) == MT_OK)
        bytes += (int64_t)part.len;
    if (s != MT_DONE)
        return s;
    mt_http_close(c, stream);
    mt_write_int(&w, "bytes", bytes);
    return finish(c, &w, 200);
}

/* --- stream/1 --- */

static mt_status on_count(void *self, mt_call *c)
{
    long long n = mt_int(mt_param(c, MT_SLICE("to")), 0);
    count(self, "count");
    MT_TRY(mt_stream_begin(c));
    for (long long i = 1; i <= n; i++) {
        MT_TRY(mt_sleep(c, 1));
        MT_TRY(mt_stream_event(c, MT_SLICE("number"), mt_printf(c, "{\"n\":%lld}", i)));
    }
    return mt_stream_end(c);
}

/* --- hook/1 --- */

static mt_status on_analyze(void *self, mt_call *c)
{
    mt_code_analyze in = {.size = sizeof in, .language = MT_SLICE("text"), .file_name = MT_SLICE("a.txt"), .source = mt_body_text(c, MT_SLICE("/source")),
                          .findings = MT_SLICE("[]"), .score = 100};
    mt_outcome o = mt_hook_emit(c, MT_SLICE("code.analyze"), &in);
    count(self, "analyze");
    if (o == MT_DENY || o == MT_ERROR)
        return o == MT_DENY ? MT_DENIED : MT_INTERNAL;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_double(&w, "score", in.score);
    mt_write_raw(&w, "findings", in.findings);
    return finish(c, &w, 200);
}

static mt_outcome on_code_analyze(void *self, mt_call *c, const void *payload, mt_patch *out)
{
    const mt_code_analyze *in = payload;
    for (size_t i = 0; i + 4 <= in->source.len; i++)
        if (!memcmp(in->source.p + i, "kept", 4)) {
            if (mt_hook_set(c, out, MT_SLICE("/findings/-"), MT_SLICE("{\"rule\":\"kept\",\"severity\":\"low\",\"message\":\"It is here.\"}")) != MT_OK)
                return MT_ERROR;
            return mt_hook_set(c, out, MT_SLICE("/score"), mt_printf(c, "%.1f", in->score - 1)) == MT_OK ? MT_CONTINUE : MT_ERROR;
        }
    return MT_CONTINUE;
}

static mt_outcome on_document_uploaded(void *self, mt_call *c, const void *payload, mt_patch *out)
{
    const mt_document_uploaded *in = payload;
    mt_slice end = mt_config(c, MT_SLICE("/refused_ending"));
    if (in->bytes > 0 && end.len && in->file_name.len >= end.len && !memcmp(in->file_name.p + in->file_name.len - end.len, end.p, end.len))
        return mt_hook_deny(c, 422, MT_SLICE("kept_1_0_refused"), MT_SLICE("Files of this kind are refused."));
    return MT_CONTINUE;
}

/* --- llm_engine/1: says what it was asked, word by word --- */

typedef struct echo {
    mt_slice text;
    size_t at;
    int64_t words;
} echo;

static mt_status on_open(void *self, mt_call *c, const mt_llm_engine_in *in, mt_handle *out)
{
    echo *g = mt_alloc(c, sizeof *g);
    mt_handle doc;
    if (!g)
        return MT_NO_MEMORY;
    MT_TRY(mt_json_parse(c, in->messages, &doc));
    g->text = mt_json_text(c, doc, mt_printf(c, "/%lld/content", (long long)mt_json_count(c, doc, MT_SLICE("")) - 1));
    *out = (mt_handle)(uintptr_t)g;
    return g->text.len ? MT_OK : mt_problem(c, 422, MT_SLICE("kept_1_0_nothing"), MT_SLICE("There is nothing to say."), MT_SLICE("/messages"));
}

static mt_status on_next(void *self, mt_call *c, mt_handle handle, mt_slice *token)
{
    echo *g = (echo *)(uintptr_t)handle;
    if (g->at >= g->text.len)
        return MT_DONE;
    const char *from = g->text.p + g->at, *space = memchr(from, ' ', g->text.len - g->at);
    size_t n = space ? (size_t)(space - from) + 1 : g->text.len - g->at;
    *token = mt_bytes(from, n);
    g->at += n;
    g->words++;
    return mt_cancelled(c) ? MT_CANCELLED : MT_OK;
}

static mt_status on_tool_calls(void *self, mt_call *c, mt_handle handle, mt_slice *out)
{
    *out = MT_SLICE("[]");
    return MT_OK;
}

static mt_status on_usage(void *self, mt_call *c, mt_handle handle, mt_llm_engine_counts *out)
{
    const echo *g = (const echo *)(uintptr_t)handle;
    *out = (mt_llm_engine_counts){.size = sizeof *out, .input_tokens = 11, .output_tokens = g->words, .finish = MT_SLICE("stop"), .model = MT_SLICE("kept-echo")};
    return MT_OK;
}

static mt_status on_close(void *self, mt_call *c, mt_handle handle)
{
    return MT_OK;
}

static uint32_t on_count_tokens(void *self, mt_call *c, mt_slice model, mt_slice text)
{
    return (uint32_t)text.len;
}

static mt_status on_models(void *self, mt_call *c, uint32_t index, mt_llm_engine_model *out)
{
    return MT_DONE;
}

/* --- its life --- */

static mt_status create(void **self)
{
    *self = calloc(1, sizeof(instance));
    return *self ? MT_OK : MT_NO_MEMORY;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return host->clock_us() > 0 && MT_HAS(host, dir) && host->dir ? MT_OK : MT_INTERNAL;
}

static mt_status activate(void *self, mt_call *c)
{
    instance *x = self;
    MT_TRY(mt_metrics_family(c, MT_SLICE("counter"), MT_SLICE("calls_total"), MT_SLICE("Calls of the kept plugin."), MT_SLICE("what"), &x->family));
    mt_log(1, "kept.active", NULL, 0);
    return MT_OK;
}

static void deactivate(void *self, mt_call *c)
{
    mt_log(1, "kept.inactive", NULL, 0);
}

static void unload(void *self)
{
    free(self);
}

static mt_status hand_over(void *self, mt_call *c, mt_slice *state)
{
    *state = mt_printf(c, "1 %ld", atomic_load(&((instance *)self)->calls));
    return state->p ? MT_OK : MT_NO_MEMORY;
}

static mt_status take_over(void *self, mt_call *c, mt_slice from, mt_slice state)
{
    if (state.len > 2)
        atomic_store(&((instance *)self)->calls, (long)mt_int(mt_bytes(state.p + 2, state.len - 2), 0));
    return MT_OK;
}

static const mt_llm_engine_1_provider engine = {.size = sizeof engine, .version = 1, .open = on_open, .next = on_next, .tool_calls = on_tool_calls, .usage = on_usage,
                                                .close = on_close, .count_tokens = on_count_tokens, .models = on_models};
static const mt_service_entry services[] = {{"llm_engine/1", &engine}};
static const mt_handler_entry handlers[] = {{"on_create", on_create}, {"on_get", on_get}, {"on_job", on_job}, {"on_sum", on_sum}, {"on_fetch", on_fetch}, {"on_count", on_count}, {"on_analyze", on_analyze}};
static const mt_hook_entry hooks[] = {{"on_code_analyze", on_code_analyze}, {"on_document_uploaded", on_document_uploaded}};

MT_EXPORT const mt_plugin kept_1_0_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "kept_1_0", .version = "1.0.0", .create = create, .load = load, .activate = activate, .deactivate = deactivate, .unload = unload,
    .handlers = handlers, .n_handlers = sizeof handlers / sizeof *handlers, .hooks = hooks, .n_hooks = sizeof hooks / sizeof *hooks, .services = services, .n_services = 1,
    .hand_over = hand_over, .take_over = take_over};
