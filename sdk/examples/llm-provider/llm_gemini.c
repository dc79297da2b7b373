/* llm_engine/1 over Gemini's streamGenerateContent: one POST, answered by server-sent events. */
#include <mortise/entry.h>

enum { LINE_MAX_BYTES = 1 << 20, ANSWER_MAX_BYTES = 64 << 20, PATIENCE_MS = 30000 };

/* A generation. All of it lies in the memory of its call: a caller that just leaves leaves nothing behind. */
typedef struct generation {
    mt_handle http;              /* the exchange; 0 when it has ended */
    mt_handle event;             /* the last event: the text handed out is in it */
    char *held;                  /* bytes that came; from `at` on they are not read yet */
    size_t len, cap, at;
    bool finished;               /* the upstream said why it ended */
    mt_status end;               /* what next answers from now on; MT_OK before the end */
    mt_llm_engine_counts counts;
} generation;

static mt_status fail(mt_call *c, int http, mt_slice code, mt_slice detail)
{
    return mt_problem(c, http, code, detail, mt_str(NULL));
}

/* What the upstream's status means to those who ask here. */
static mt_status refused(mt_call *c, int status, mt_slice body)
{
    mt_handle doc = 0;
    mt_slice why = mt_json_parse(c, body, &doc) == MT_OK ? mt_json_text(c, doc, MT_SLICE("/error/message")) : mt_str(NULL);
    switch (status) {
    case 400:
        return fail(c, 422, MT_SLICE("gemini_refused"), mt_printf(c, "Gemini refuses the request: %.*s", why.len < 400 ? (int)why.len : 0, why.p));
    case 401:
    case 403:                    /* its own words may quote the key: they stay here */
        return fail(c, 503, MT_SLICE("gemini_key_refused"), MT_SLICE("Gemini refuses the key: check api_key of plugin llm_gemini."));
    case 404:
        return fail(c, 404, MT_SLICE("gemini_model_unknown"), MT_SLICE("Gemini does not know this model: check the route."));
    case 429:
        return fail(c, 429, MT_SLICE("gemini_limited"), MT_SLICE("Gemini takes no more requests now: try again later."));
    default:
        return fail(c, 503, MT_SLICE("gemini_failed"), mt_printf(c, "Gemini failed with status %d.", status));
    }
}

static mt_status broken(mt_call *c)
{
    return fail(c, 503, MT_SLICE("gemini_answer_invalid"), MT_SLICE("Gemini sent an answer that cannot be read."));
}

/* --- the request --- */

/* A content: a text, or an array of parts of which the texts are taken. */
static mt_slice text_of(mt_call *c, mt_handle doc, mt_slice pointer)
{
    int64_t n = mt_json_count(c, doc, pointer);
    if (n < 0)
        return mt_json_text(c, doc, pointer);
    mt_slice all = MT_SLICE("");
    for (int64_t i = 0; i < n; i++) {
        mt_slice part = mt_json_text(c, doc, mt_printf(c, "%.*s/%lld/text", (int)pointer.len, pointer.p, (long long)i));
        all = n == 1 ? part : mt_printf(c, "%.*s%.*s", (int)all.len, all.p, (int)part.len, part.p ? part.p : "");
    }
    return all;
}

static void write_content(mt_writer *w, const char *name, mt_slice role, mt_slice text)
{
    mt_write_object(w, name);
    if (role.len)
        mt_write_text(w, "role", role);
    mt_write_array(w, "parts");
    mt_write_object(w, NULL);
    mt_write_text(w, "text", text.p ? text : MT_SLICE(""));
    mt_write_close(w);
    mt_write_close(w);
    mt_write_close(w);
}

/* Gemini says "model" for "assistant" and knows no other roles. */
static mt_status write_messages(mt_writer *w, mt_slice messages)
{
    mt_call *c = w->c;
    mt_handle doc;
    MT_TRY(mt_json_parse(c, messages, &doc));
    mt_write_array(w, "contents");
    for (int64_t i = 0, n = mt_json_count(c, doc, MT_SLICE("")); i < n; i++) {
        mt_slice role = mt_json_text(c, doc, mt_printf(c, "/%lld/role", (long long)i));
        bool own = mt_slice_eq(role, MT_SLICE("assistant"));
        write_content(w, NULL, own ? MT_SLICE("model") : MT_SLICE("user"), text_of(c, doc, mt_printf(c, "/%lld/content", (long long)i)));
    }
    mt_write_close(w);
    return MT_OK;
}

/* No maximum, and others below zero: the model's own. */
static void write_settings(mt_writer *w, const mt_llm_engine_in *in)
{
    mt_write_object(w, "generationConfig");
    if (in->max_tokens)
        mt_write_int(w, "maxOutputTokens", in->max_tokens);
    if (in->temperature >= 0)
        mt_write_double(w, "temperature", in->temperature);
    if (in->top_p >= 0)
        mt_write_double(w, "topP", in->top_p);
    if (in->seed >= 0)
        mt_write_int(w, "seed", in->seed);
    if (in->stop.len)            /* a text or an array of texts */
        mt_write_raw(w, "stopSequences", in->stop.p[0] == '[' ? in->stop : mt_printf(w->c, "[%.*s]", (int)in->stop.len, in->stop.p));
    mt_write_close(w);
}

static mt_status write_request(mt_call *c, const mt_llm_engine_in *in, mt_slice *body)
{
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    if (in->system.len)
        write_content(&w, "systemInstruction", mt_str(NULL), in->system);
    MT_TRY(write_messages(&w, in->messages));
    write_settings(&w, in);
    mt_write_close(&w);
    return mt_write_end(&w, body);
}

/* --- reading what comes --- */

/* Adds what came to what is held, which is moved to the front first. */
static mt_status hold(mt_call *c, generation *g, mt_slice part)
{
    g->len -= g->at;
    if (g->at)
        memmove(g->held, g->held + g->at, g->len);
    g->at = 0;
    if (part.len > LINE_MAX_BYTES - g->len)
        return broken(c);
    if (g->len + part.len > g->cap) {
        size_t cap = g->cap ? g->cap : 4096;
        while (cap < g->len + part.len)
            cap *= 2;
        char *grown = mt_alloc(c, cap);
        if (!grown)
            return MT_TOO_LARGE;
        if (g->len)
            memcpy(grown, g->held, g->len);
        g->held = grown;
        g->cap = cap;
    }
    if (part.len)
        memcpy(g->held + g->len, part.p, part.len);
    g->len += part.len;
    return MT_OK;
}

/* Suspends until something comes. The body's end is good only after the answer's own. */
static mt_status read_part(mt_call *c, generation *g)
{
    mt_slice part;
    mt_status s = mt_http_next(c, g->http, &part);
    if (s == MT_DONE && !g->finished)
        return fail(c, 503, MT_SLICE("gemini_cut"), MT_SLICE("Gemini ended the answer before it was complete."));
    if (s != MT_OK)
        return s;
    return hold(c, g, part);
}

static bool take_line(generation *g, mt_slice *line)
{
    char *from = g->held + g->at, *nl = g->len > g->at ? memchr(from, '\n', g->len - g->at) : NULL;
    if (!nl)
        return false;
    g->at = (size_t)(nl + 1 - g->held);
    *line = mt_bytes(from, (size_t)(nl - from));
    return true;
}

/* stop and length are what consumers know; anything else is an answer that Gemini would not give. */
static mt_status take_finish(mt_call *c, generation *g, mt_slice reason)
{
    bool stop = mt_slice_eq(reason, MT_SLICE("STOP"));
    g->finished = true;
    g->counts.finish = stop ? MT_SLICE("stop") : MT_SLICE("length");
    if (stop || mt_slice_eq(reason, MT_SLICE("MAX_TOKENS")))
        return MT_OK;
    return fail(c, 422, MT_SLICE("gemini_withheld"), mt_printf(c, "Gemini withholds its answer: %.*s.", (int)reason.len, reason.p));
}

static int64_t count_of(mt_call *c, mt_handle event, const char *name, int64_t before)
{
    return (int64_t)mt_json_number(c, event, mt_printf(c, "/usageMetadata/%s", name), (double)before);
}

/* A line of the stream. "data: {…}" is an event, and this upstream writes each in one line; all other lines are signs of life. */
static mt_status read_line(mt_call *c, generation *g, mt_slice line, mt_slice *token)
{
    if (line.len < 5 || memcmp(line.p, "data:", 5))
        return MT_OK;
    if (g->event)
        mt_json_free(c, g->event);
    g->event = 0;
    if (mt_json_parse(c, mt_bytes(line.p + 5, line.len - 5), &g->event) != MT_OK)
        return broken(c);
    int status = (int)mt_json_number(c, g->event, MT_SLICE("/error/code"), 0);
    mt_slice blocked = mt_json_text(c, g->event, MT_SLICE("/promptFeedback/blockReason"));
    mt_slice reason = mt_json_text(c, g->event, MT_SLICE("/candidates/0/finishReason"));
    if (status)
        return refused(c, status, mt_bytes(line.p + 5, line.len - 5));
    g->counts.input_tokens = count_of(c, g->event, "promptTokenCount", g->counts.input_tokens);
    g->counts.cached_tokens = count_of(c, g->event, "cachedContentTokenCount", g->counts.cached_tokens);
    g->counts.output_tokens = count_of(c, g->event, "candidatesTokenCount", g->counts.output_tokens);
    *token = text_of(c, g->event, MT_SLICE("/candidates/0/content/parts"));
    return blocked.len || reason.len ? take_finish(c, g, blocked.len ? blocked : reason) : MT_OK;
}

/* --- llm_engine/1 --- */

static mt_status end(mt_call *c, generation *g, mt_status s)
{
    if (g->http)
        mt_http_close(c, g->http);
    g->http = 0;
    return g->end = s;
}

/* The next piece of text, which lives until the next call on this generation. */
static mt_status on_next(void *self, mt_call *c, mt_handle handle, mt_slice *token)
{
    generation *g = (generation *)(uintptr_t)handle;
    mt_slice line;
    *token = mt_str(NULL);
    while (g->end == MT_OK && !token->len) {
        mt_status s = take_line(g, &line) ? read_line(c, g, line, token) : read_part(c, g);
        if (s != MT_OK)
            end(c, g, s);
    }
    return token->len ? MT_OK : g->end;
}

/* The body of an error is small, and read whole. */
static mt_status refuse(mt_call *c, generation *g, int status)
{
    mt_slice part, wait = mt_http_header(c, g->http, MT_SLICE("retry-after"));
    if (status == 429 && wait.len && wait.len < 6)
        g->counts.retry_after_ms = mt_int(wait, 0) * 1000;
    while (mt_http_next(c, g->http, &part) == MT_OK && hold(c, g, part) == MT_OK)
        continue;
    return end(c, g, refused(c, status, mt_bytes(g->held, g->len)));
}

static mt_status send(mt_call *c, generation *g, mt_slice url, mt_slice key, mt_slice body, int64_t patience_ms)
{
    int32_t status = 0;
    const mt_field headers[] = {{MT_SLICE("content-type"), MT_SLICE("application/json")}, {MT_SLICE("x-goog-api-key"), key}};
    const mt_http_exchange x = {.size = sizeof x, .method = MT_SLICE("POST"), .url = url, .body = body,
                                .timeout_ms = patience_ms,   /* until the answer begins */
                                .idle_ms = patience_ms,      /* between two parts of it */
                                .max_bytes = ANSWER_MAX_BYTES};
    mt_status s = mt_http_open(c, &x, headers, 2, &status, &g->http);
    if (s == MT_DENIED)          /* a host that is not granted is the operator's matter, not a 403 for who asks */
        return fail(c, 503, mt_problem_code(c), mt_problem_detail(c));
    if (s != MT_OK || status == 200)
        return s;
    return refuse(c, g, status);
}

static bool is_model_name(mt_slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", name.p[i]) || !name.p[i])
            return false;
    return name.len > 0;
}

/* The route's model and options, this plugin's address and key, and then the request. */
static mt_status on_open(void *self, mt_call *c, const mt_llm_engine_in *in, mt_handle *out)
{
    mt_slice base = mt_config(c, MT_SLICE("/base_url")), key = mt_config(c, MT_SLICE("/api_key")), body, url;
    mt_handle options;
    generation *g = mt_alloc(c, sizeof *g);
    *out = 0;
    if (!g)
        return MT_NO_MEMORY;
    if (!key.len)
        return fail(c, 503, MT_SLICE("gemini_key_missing"), MT_SLICE("Plugin llm_gemini has no key: set its api_key."));
    if (!is_model_name(in->model))
        return fail(c, 404, MT_SLICE("gemini_model_unknown"), MT_SLICE("The route names no model that Gemini can have."));
    MT_TRY(mt_json_parse(c, in->options.len ? in->options : MT_SLICE("{}"), &options));
    MT_TRY(write_request(c, in, &body));
    url = mt_printf(c, "%.*s/v1beta/models/%.*s:streamGenerateContent?alt=sse", (int)base.len, base.p, (int)in->model.len, in->model.p);
    g->counts = (mt_llm_engine_counts){.size = sizeof g->counts, .finish = MT_SLICE("stop"), .provider = MT_SLICE("llm_gemini"),
                                       .model = mt_printf(c, "%.*s", (int)in->model.len, in->model.p)};
    mt_status s = send(c, g, url, key, body, (int64_t)mt_json_number(c, options, MT_SLICE("/timeout_ms"), PATIENCE_MS));
    if (s == MT_OK || s == MT_LIMITED)   /* of a limited one the caller asks when to come again */
        *out = (mt_handle)(uintptr_t)g;
    return s;
}

static mt_status on_usage(void *self, mt_call *c, mt_handle handle, mt_llm_engine_counts *out)
{
    *out = ((const generation *)(uintptr_t)handle)->counts;
    return MT_OK;
}

static mt_status on_tool_calls(void *self, mt_call *c, mt_handle handle, mt_slice *out)
{
    *out = MT_SLICE("[]");       /* tools are not offered: see on_models */
    return MT_OK;
}

static mt_status on_close(void *self, mt_call *c, mt_handle handle)
{
    end(c, (generation *)(uintptr_t)handle, MT_CANCELLED);
    return MT_OK;
}

static uint32_t on_count_tokens(void *self, mt_call *c, mt_slice model, mt_slice text)
{
    return 0;                    /* not known: who asks makes an estimate */
}

/* Listed models answer to everybody by their own name, and one of them may become the default. An upstream costs money: routes name its models. */
static mt_status on_models(void *self, mt_call *c, uint32_t index, mt_llm_engine_model *out)
{
    return MT_DONE;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_llm_engine_1_provider engine = {.size = sizeof engine, .version = 1, .open = on_open, .next = on_next, .tool_calls = on_tool_calls,
                                                .usage = on_usage, .close = on_close, .count_tokens = on_count_tokens, .models = on_models};
static const mt_service_entry services[] = {{"llm_engine/1", &engine}};

MT_EXPORT const mt_plugin llm_gemini_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "llm_gemini", .version = "0.1.0", .load = load, .services = services, .n_services = 1};
