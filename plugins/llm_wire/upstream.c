#include "upstream.h"

#include <stdlib.h>
#include <strings.h>
#include <time.h>

enum { LINE_MAX_BYTES = 1 << 20, TEXT_MAX = 8 << 20, BODY_MAX = 64 << 20, ERROR_MAX = 64 << 10 };

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static mt_status fail(mt_call *c, int http, mt_slice code, mt_slice detail)
{
    return mt_problem(c, http, code, detail, (mt_slice){0});
}

/* --- for events --- */

mt_status upstream_text(upstream *u, mt_slice text)
{
    u->bytes_out += text.len;
    return wire_add(&u->text, text) == MT_OK ? MT_OK : upstream_broken(u);
}

upstream_tool *upstream_tool_at(upstream *u, int64_t index)
{
    if (index < 0 || index >= UPSTREAM_TOOLS || index > u->n_tools)
        return NULL;
    if (index == u->n_tools)
        u->tools[u->n_tools++].arguments.max = LINE_MAX_BYTES;
    return &u->tools[index];
}

mt_slice upstream_keep(upstream *u, mt_slice text)
{
    char *p = text.p ? mt_alloc(u->c, text.len + 1) : NULL;
    if (p && text.len)
        memcpy(p, text.p, text.len);
    return (mt_slice){p, p ? text.len : 0};
}

mt_status upstream_broken(upstream *u)
{
    return fail(u->c, 503, MT_SLICE("upstream_answer_invalid"), MT_SLICE("The model's provider sent an answer that cannot be read."));
}

static mt_slice cut(mt_slice s, size_t most)
{
    if (s.len <= most)
        return s;
    while (most && ((unsigned char)s.p[most] & 0xc0) == 0x80)
        most--;
    return (mt_slice){s.p, most};
}

/* The key is never in a sentence, and a 401's own sentence is not passed on, for it may quote a part of the key. */
mt_status upstream_refused(upstream *u, int status, mt_slice message)
{
    mt_call *c = u->c;
    message = cut(message, 300);
    switch (status) {
    case 429:
        return fail(c, 429, MT_SLICE("upstream_limited"), MT_SLICE("The model's provider takes no more requests now: try again later."));
    case 401:
    case 403:
        return fail(c, 503, MT_SLICE("upstream_key_refused"), MT_SLICE("The model's provider refuses the key of the route: check its api_key_name or api_key_env."));
    case 404:
        return fail(c, 404, MT_SLICE("upstream_model_unknown"), MT_SLICE("The model's provider does not know this model or address: check the route."));
    case 408:
    case 504:
        return fail(c, 504, MT_SLICE("upstream_timeout"), MT_SLICE("The model's provider did not answer in time."));
    case 400:
    case 413:
    case 422:
        return fail(c, 422, MT_SLICE("upstream_refused"), mt_printf(c, "The model's provider refuses the request: %.*s", (int)message.len, message.p ? message.p : "no reason was given."));
    default:
        return fail(c, 503, MT_SLICE("upstream_failed"), mt_printf(c, "The model's provider failed with status %d.", status));
    }
}

/* --- opening --- */

int64_t upstream_wait_ms(mt_slice text)
{
    char copy[32], *p = copy, *end;
    double ms = 0;
    if (!text.len || text.len >= sizeof copy)
        return 0;
    memcpy(copy, text.p, text.len);
    copy[text.len] = 0;
    while (*p) {
        if ((*p < '0' || *p > '9') && *p != '.')
            return 0;
        double n = strtod(p, &end);
        bool milli = end[0] == 'm' && end[1] == 's';
        double unit = milli ? 1 : *end == 'h' ? 3600000 : *end == 'm' ? 60000 : *end == 's' || !*end ? 1000 : 0;
        if (end == p || !unit)
            return 0;
        ms += n * unit;
        p = end + (*end ? milli ? 2 : 1 : 0);
    }
    return ms > 0 && ms < 86400000.0 ? (int64_t)(ms + 0.5) : 0;
}

static int64_t header_wait_ms(upstream *u)
{
    static const char *const names[] = {"retry-after", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"};
    int64_t ms = 0;
    mt_slice exact = mt_http_header(u->c, u->http, MT_SLICE("retry-after-ms"));
    if (exact.len)
        ms = upstream_wait_ms(mt_printf(u->c, "%.*sms", (int)exact.len, exact.p));
    for (size_t i = 0; !ms && i < sizeof names / sizeof *names; i++)
        ms = upstream_wait_ms(mt_http_header(u->c, u->http, mt_str(names[i])));
    return ms;
}

/* The sentence of an error's body: {"error": {"message": …}} or {"error": …}. */
static mt_slice error_message(upstream *u)
{
    mt_call *c = u->c;
    wire_buf body = {.max = ERROR_MAX};
    mt_slice part, message = {0};
    mt_handle doc;
    while (mt_http_next(c, u->http, &part) == MT_OK && wire_add(&body, part) == MT_OK)
        ;
    if (mt_json_parse(c, (mt_slice){body.p, body.len}, &doc) == MT_OK) {
        message = mt_json_text(c, doc, MT_SLICE("/error/message"));
        if (!message.p)
            message = mt_json_text(c, doc, MT_SLICE("/error"));
    }
    wire_dispose(&body);
    return message;
}

static mt_status check_head(upstream *u, int32_t status)
{
    size_t n = strlen(u->format->content_type);
    mt_slice type = mt_http_header(u->c, u->http, MT_SLICE("content-type"));
    if (status == 429)
        u->counts.retry_after_ms = header_wait_ms(u);
    if (status < 200 || status > 299)
        return upstream_refused(u, status, error_message(u));
    if (type.len && (type.len < n || strncasecmp(type.p, u->format->content_type, n)))
        return upstream_broken(u);
    return MT_OK;
}

static void release(void *arg)
{
    upstream *u = arg;
    wire_dispose(&u->lines.held);
    wire_dispose(&u->event.data);
    wire_dispose(&u->text);
    for (unsigned i = 0; i < u->n_tools; i++)
        wire_dispose(&u->tools[i].arguments);
}

/* By the name of a secret in the engine's own configuration, else of a variable of the server. */
static mt_status read_key(mt_call *c, mt_handle options, mt_slice *key)
{
    mt_slice kept = mt_json_text(c, options, MT_SLICE("/api_key_name")), name = mt_json_text(c, options, MT_SLICE("/api_key_env"));
    *key = (mt_slice){0};
    if (kept.len) {
        *key = mt_config(c, mt_printf(c, "/keys/%.*s", (int)kept.len, kept.p));
        return key->len ? MT_OK : fail(c, 503, MT_SLICE("api_key_missing"), mt_printf(c, "The engine's configuration has no key \"%.*s\", which the route names.", (int)kept.len, kept.p));
    }
    if (!name.len)
        return MT_OK;
    mt_slice variable = mt_printf(c, "%.*s", (int)name.len, name.p);
    *key = mt_str(variable.p ? getenv(variable.p) : NULL);
    if (key->len)
        return MT_OK;
    return fail(c, 503, MT_SLICE("api_key_missing"), mt_printf(c, "The environment variable %.*s, which the route names, is not set.", (int)name.len, name.p));
}

static mt_status start(upstream *u, const mt_llm_engine_in *in, const upstream_request *r)
{
    mt_call *c = u->c;
    int32_t status = 0;
    const mt_http_exchange x = {.size = sizeof x, .method = MT_SLICE("POST"), .url = r->url, .body = r->body, .timeout_ms = u->timeout_ms,
                                .idle_ms = u->timeout_ms, .max_bytes = BODY_MAX};
    mt_status s = mt_http_open(c, &x, r->headers, r->n_headers, &status, &u->http);
    if (s == MT_DENIED)          /* the route's mistake, not the caller's */
        return fail(c, 503, mt_problem_code(c), mt_problem_detail(c));
    if (s == MT_OK && (s = check_head(u, status)) != MT_OK) {
        mt_http_close(c, u->http);
        u->http = 0;
    }
    return s;
}

static mt_status read_options(upstream *u, mt_slice text, mt_handle *options, mt_slice *base)
{
    mt_call *c = u->c;
    MT_TRY(mt_json_parse(c, text.len ? text : MT_SLICE("{}"), options));
    *base = mt_json_text(c, *options, MT_SLICE("/base_url"));
    if (!base->len)
        *base = mt_str(u->format->base_url);
    while (base->len && base->p[base->len - 1] == '/')
        base->len--;
    u->timeout_ms = (int64_t)mt_json_number(c, *options, MT_SLICE("/timeout_ms"), 60000);
    return MT_OK;
}

mt_status upstream_open(const upstream_format *f, mt_call *c, const mt_llm_engine_in *in, mt_handle *out)
{
    mt_handle options;
    mt_slice base, key;
    upstream_request r = {0};
    upstream *u = mt_alloc(c, sizeof *u);
    *out = 0;
    if (!u)
        return MT_NO_MEMORY;
    *u = (upstream){.c = c, .format = f, .lines.held.max = LINE_MAX_BYTES, .event.data.max = LINE_MAX_BYTES, .text.max = TEXT_MAX};
    if (!in->model.len)
        return fail(c, 404, MT_SLICE("model_unknown"), MT_SLICE("This engine has no model of its own: a route names one."));
    MT_TRY(read_options(u, in->options, &options, &base));
    MT_TRY(read_key(c, options, &key));
    MT_TRY(f->write(c, in, options, base, key, &r));
    MT_TRY(mt_defer_add(c, release, u));
    u->counts = (mt_llm_engine_counts){.size = sizeof u->counts, .model = in->model, .provider = mt_str(f->slug)};
    u->bytes_in = in->messages.len + in->system.len + in->tools.len;
    mt_status s = start(u, in, &r);
    if (s == MT_OK || s == MT_LIMITED)
        *out = (mt_handle)(uintptr_t)u;
    return s;
}

/* --- reading --- */

static mt_status take_event(upstream *u, mt_slice name, mt_slice data)
{
    mt_handle doc = 0;
    bool json = data.len && data.p[0] == '{';
    if (json && mt_json_parse(u->c, data, &doc) != MT_OK)
        return upstream_broken(u);
    mt_status s = u->format->event(u, name, data, doc);
    if (doc)
        mt_json_free(u->c, doc);
    return s;
}

static mt_status take_line(upstream *u, mt_slice line)
{
    mt_status s;
    if (u->format->lines)
        return line.len ? take_event(u, (mt_slice){0}, line) : MT_OK;
    if (wire_event_line(&u->event, line, &s))
        return take_event(u, mt_str(u->event.name), (mt_slice){u->event.data.p, u->event.data.len});
    return s == MT_OK ? MT_OK : upstream_broken(u);
}

/* The body ended: well, when the answer did before; some send no last line end. */
static mt_status at_end(upstream *u)
{
    mt_slice rest = wire_rest(&u->lines);
    if (u->format->lines && rest.len) {
        mt_status s = take_event(u, (mt_slice){0}, rest);
        if (s != MT_OK)
            return s;
    }
    if (u->finished)
        return MT_DONE;
    return fail(u->c, 503, MT_SLICE("upstream_cut"), MT_SLICE("The model's provider ended the answer before it was complete."));
}

static mt_status read_part(upstream *u)
{
    mt_slice part;
    mt_status s = mt_http_next(u->c, u->http, &part);
    if (s == MT_DONE)
        return at_end(u);
    MT_TRY(s);
    s = wire_feed(&u->lines, part);
    return s == MT_OK ? MT_OK : upstream_broken(u);
}

static mt_status ended(upstream *u, mt_status s)
{
    u->end = s;
    if (u->http)
        mt_http_close(u->c, u->http);
    u->http = 0;
    return s;
}

/* Signs of life that are no text do not count: the time runs from one piece to the next. */
mt_status upstream_next(void *self, mt_call *c, mt_handle handle, mt_slice *token)
{
    upstream *u = (upstream *)(uintptr_t)handle;
    int64_t due = now_ms() + u->timeout_ms;
    mt_slice line;
    mt_status s = u->end;
    u->text.len = 0;
    while (s == MT_OK && !u->text.len) {
        if (wire_line(&u->lines, &line))
            s = take_line(u, line);
        else if (now_ms() > due)
            s = fail(c, 504, MT_SLICE("upstream_timeout"), MT_SLICE("The model's provider sent nothing for too long."));
        else
            s = read_part(u);
    }
    if (s != MT_OK && !u->end)
        ended(u, s);
    *token = (mt_slice){u->text.p, u->text.len};
    return u->text.len ? MT_OK : s;
}

/* --- the rest --- */

mt_status upstream_tool_calls(void *self, mt_call *c, mt_handle handle, mt_slice *out)
{
    upstream *u = (upstream *)(uintptr_t)handle;
    mt_writer w = mt_write_begin(c);
    mt_write_array(&w, NULL);
    for (unsigned i = 0; i < u->n_tools; i++) {
        const upstream_tool *t = &u->tools[i];
        mt_write_object(&w, NULL);
        mt_write_text(&w, "id", t->id.len ? t->id : mt_printf(c, "call_%u", i));
        mt_write_text(&w, "name", t->name);
        mt_write_raw(&w, "arguments", t->arguments.len ? (mt_slice){t->arguments.p, t->arguments.len} : MT_SLICE("{}"));
        mt_write_close(&w);
    }
    mt_write_close(&w);
    return mt_write_end(&w, out);
}

mt_status upstream_usage(void *self, mt_call *c, mt_handle handle, mt_llm_engine_counts *out)
{
    const upstream *u = (const upstream *)(uintptr_t)handle;
    *out = u->counts;
    if (!u->counted && u->bytes_out) {
        out->input_tokens = out->input_tokens ? out->input_tokens : (int64_t)(u->bytes_in + 3) / 4;
        out->output_tokens = (int64_t)(u->bytes_out + 3) / 4;
    }
    if (!out->finish.p)
        out->finish = MT_SLICE("stop");
    return MT_OK;
}

mt_status upstream_close(void *self, mt_call *c, mt_handle handle)
{
    upstream *u = (upstream *)(uintptr_t)handle;
    if (!u->end)
        ended(u, MT_CANCELLED);
    return MT_OK;
}

mt_status upstream_models(void *self, mt_call *c, uint32_t index, mt_llm_engine_model *out)
{
    return MT_DONE;
}

uint32_t upstream_count_tokens(void *self, mt_call *c, mt_slice model, mt_slice text)
{
    return 0;                    /* who asks makes an estimate */
}

mt_slice upstream_bearer(mt_call *c, mt_slice key)
{
    return mt_printf(c, "Bearer %.*s", (int)key.len, key.p);
}

void upstream_header(upstream_request *r, const char *name, mt_slice value)
{
    if (r->n_headers < UPSTREAM_HEADERS)
        r->headers[r->n_headers++] = (mt_field){mt_str(name), value};
}
