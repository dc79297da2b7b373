/* @NAME@: language models behind an HTTP API that speaks OpenAI's chat completions, streamed. */
#include <mortise/entry.h>

enum { HELD = 64 << 10, BODY_MAX = 64 << 20 };

/* One generation. It lives in the call's memory; the exchange is closed with the call. */
typedef struct generation {
    mt_handle http, doc;         /* doc: the event that was read last; the token that was given lies in it */
    mt_slice model, finish;
    int64_t input_tokens, output_tokens;
    size_t len, at;              /* held bytes, and how many of them were read */
    char held[HELD];
} generation;

static mt_status fail(mt_call *c, int status, const char *code, const char *detail)
{
    return mt_problem(c, status, mt_str(code), mt_str(detail), (mt_slice){0});
}

/* --- the request --- */

static void write_messages(mt_writer *w, mt_handle messages, mt_slice system)
{
    mt_write_array(w, "messages");
    if (system.len) {
        mt_write_object(w, NULL);
        mt_write_text(w, "role", MT_SLICE("system"));
        mt_write_text(w, "content", system);
        mt_write_close(w);
    }
    for (int i = 0, n = (int)mt_json_count(w->c, messages, MT_SLICE("")); i < n; i++)
        mt_write_raw(w, NULL, mt_json_text(w->c, messages, mt_printf(w->c, "/%d", i)));
    mt_write_close(w);
}

static mt_status write_request(mt_call *c, const mt_llm_engine_in *in, mt_slice model, mt_slice *body)
{
    mt_handle messages;
    MT_TRY(mt_json_parse(c, in->messages, &messages));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "model", model);
    mt_write_bool(&w, "stream", true);
    mt_write_raw(&w, "stream_options", MT_SLICE("{\"include_usage\":true}"));
    write_messages(&w, messages, in->system);
    if (in->max_tokens)
        mt_write_int(&w, "max_tokens", in->max_tokens);
    if (in->temperature >= 0)
        mt_write_double(&w, "temperature", in->temperature);
    if (in->stop.len)
        mt_write_raw(&w, "stop", in->stop);
    mt_write_close(&w);
    return mt_write_end(&w, body);
}

/* What the upstream's status means to whoever asked here. */
static mt_status check_status(mt_call *c, int32_t status)
{
    if (status >= 200 && status <= 299)
        return MT_OK;
    switch (status) {
    case 400:
    case 422: return fail(c, 422, "@IDENT@_refused", "The model's provider refuses the request.");
    case 401:
    case 403: return fail(c, 503, "@IDENT@_key_refused", "The model's provider refuses the key: check api_key in the plugin's configuration.");
    case 404: return fail(c, 404, "@IDENT@_model_unknown", "The model's provider does not know this model: check models and base_url.");
    case 429: return fail(c, 429, "@IDENT@_limited", "The model's provider takes no more requests now: try again later.");
    default:  return fail(c, 503, "@IDENT@_failed", "The model's provider failed: try again later.");
    }
}

static mt_status open(void *self, mt_call *c, const mt_llm_engine_in *in, mt_handle *out)
{
    mt_slice base = mt_config(c, MT_SLICE("/base_url")), key = mt_config(c, MT_SLICE("/api_key"));
    generation *g = mt_alloc(c, sizeof *g);
    int32_t status;
    if (!g)
        return MT_NO_MEMORY;
    g->model = in->model.len ? in->model : mt_config(c, MT_SLICE("/models/0"));
    mt_http_exchange ask = {.size = sizeof ask, .method = MT_SLICE("POST"), .max_bytes = BODY_MAX, .timeout_ms = mt_int(mt_config(c, MT_SLICE("/timeout_ms")), 0)};
    ask.idle_ms = ask.timeout_ms;
    ask.url = mt_printf(c, "%.*s/chat/completions", (int)base.len, base.p);
    MT_TRY(write_request(c, in, g->model, &ask.body));
    mt_field headers[2] = {{MT_SLICE("content-type"), MT_SLICE("application/json")}};
    size_t n = 1;
    if (key.len)
        headers[n++] = (mt_field){MT_SLICE("authorization"), mt_printf(c, "Bearer %.*s", (int)key.len, key.p)};
    MT_TRY(mt_http_open(c, &ask, headers, n, &status, &g->http));
    MT_TRY(check_status(c, status));
    *out = (mt_handle)(uintptr_t)g;
    return MT_OK;
}

/* --- the answer: lines "data: {…}" --- */

static bool take_line(generation *g, mt_slice *line)
{
    char *from = g->held + g->at, *end = memchr(from, '\n', g->len - g->at);
    if (!end)
        return false;
    *line = (mt_slice){from, (size_t)(end - from)};
    g->at += line->len + 1;
    return true;
}

static mt_status read_part(generation *g, mt_call *c)
{
    mt_slice part;
    mt_status s = mt_http_next(c, g->http, &part);
    if (s == MT_DONE && g->finish.len)
        return MT_DONE;
    if (s == MT_DONE)
        return fail(c, 503, "@IDENT@_cut", "The model's provider ended the answer before it was complete.");
    MT_TRY(s);
    g->len -= g->at;
    memmove(g->held, g->held + g->at, g->len);
    g->at = 0;
    if (part.len > HELD - g->len)
        return fail(c, 503, "@IDENT@_unreadable", "The model's provider sent a line that is too long.");
    memcpy(g->held + g->len, part.p, part.len);
    g->len += part.len;
    return MT_OK;
}

/* The token is empty for an event without text. */
static mt_status read_event(generation *g, mt_call *c, mt_slice line, mt_slice *token)
{
    static const char mark[] = "data: {";
    if (line.len < sizeof mark || memcmp(line.p, mark, sizeof mark - 1))
        return MT_OK;            /* an empty line, a comment, or [DONE]: finish_reason has told it */
    if (g->doc)
        mt_json_free(c, g->doc);
    g->doc = 0;
    if (mt_json_parse(c, (mt_slice){line.p + 6, line.len - 6}, &g->doc) != MT_OK)
        return fail(c, 503, "@IDENT@_unreadable", "The model's provider sent what is no JSON.");
    if (mt_json_text(c, g->doc, MT_SLICE("/error")).p)
        return fail(c, 503, "@IDENT@_failed", "The model's provider failed while it answered: try again later.");
    mt_slice finish = mt_json_text(c, g->doc, MT_SLICE("/choices/0/finish_reason"));
    if (finish.len)
        g->finish = mt_printf(c, "%.*s", (int)finish.len, finish.p);
    g->input_tokens = (int64_t)mt_json_number(c, g->doc, MT_SLICE("/usage/prompt_tokens"), (double)g->input_tokens);
    g->output_tokens = (int64_t)mt_json_number(c, g->doc, MT_SLICE("/usage/completion_tokens"), (double)g->output_tokens);
    *token = mt_json_text(c, g->doc, MT_SLICE("/choices/0/delta/content"));
    return MT_OK;
}

static mt_status next(void *self, mt_call *c, mt_handle handle, mt_slice *token)
{
    generation *g = (generation *)(uintptr_t)handle;
    mt_slice line;
    for (;;) {
        *token = (mt_slice){0};
        while (!token->len && take_line(g, &line))
            MT_TRY(read_event(g, c, line, token));
        if (token->len)
            return MT_OK;
        MT_TRY(read_part(g, c));
    }
}

/* --- the rest of llm_engine/1 --- */

static mt_status tool_calls(void *self, mt_call *c, mt_handle handle, mt_slice *out)
{
    *out = MT_SLICE("[]");
    return MT_OK;
}

static mt_status usage(void *self, mt_call *c, mt_handle handle, mt_llm_engine_counts *out)
{
    const generation *g = (const generation *)(uintptr_t)handle;
    *out = (mt_llm_engine_counts){.size = sizeof *out, .input_tokens = g->input_tokens, .output_tokens = g->output_tokens, .finish = g->finish,
                                  .model = g->model, .provider = MT_SLICE("@IDENT@")};
    return MT_OK;
}

static mt_status close(void *self, mt_call *c, mt_handle handle)
{
    generation *g = (generation *)(uintptr_t)handle;
    return mt_http_close(c, g->http);
}

static uint32_t count_tokens(void *self, mt_call *c, mt_slice model, mt_slice text)
{
    return (uint32_t)(text.len / 3 + 1);     /* an estimate that is not too low */
}

static mt_status models(void *self, mt_call *c, uint32_t index, mt_llm_engine_model *out)
{
    char pointer[24];
    int n = snprintf(pointer, sizeof pointer, "/models/%u", index);
    *out = (mt_llm_engine_model){.size = sizeof *out, .model = mt_config(c, (mt_slice){pointer, (size_t)n}), .provider = MT_SLICE("@IDENT@"), .context_tokens = 8192};
    return out->model.len ? MT_OK : MT_DONE;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_llm_engine_1_provider engine = {.size = sizeof engine, .version = 1, .open = open, .next = next, .tool_calls = tool_calls,
                                                .usage = usage, .close = close, .count_tokens = count_tokens, .models = models};
static const mt_service_entry services[] = {{"llm_engine/1", &engine}};

MT_EXPORT const mt_plugin @IDENT@_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "@IDENT@", .version = "0.1.0", .load = load, .services = services, .n_services = 1};
