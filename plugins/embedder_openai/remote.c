#include "remote.h"
#include "answer.h"
#include "tokens.h"

#include <mortise/json.h>

enum { PAUSE_MS = 250, PAUSE_MAX_MS = 8000, ROOM_A_NUMBER = 32, ROOM_BESIDE = 65536 };

typedef struct batch {
    mt_call *c;
    const remote_endpoint *e;
    const remote_model *m;
    size_t n;
    float *out;
    mt_slice body, authorization;
    char *answer;                        /* malloc's: several tries would fill the call's memory */
    size_t len, cap;
    int32_t http;
    int64_t pause_ms, tokens;            /* pause_ms: that the upstream asks for; -1: none */
    mt_status parsed;
    char reason[ANSWER_REASON];
} batch;

static mt_slice request_body(mt_call *c, const remote_model *m, const mt_slice *texts, size_t n)
{
    mt_writer w = mt_write_begin(c);
    mt_slice json = {0};
    mt_write_object(&w, NULL);
    mt_write_text(&w, "model", mt_str(m->upstream));
    mt_write_text(&w, "encoding_format", MT_SLICE("float"));
    mt_write_array(&w, "input");
    for (size_t i = 0; i < n; i++) {
        mt_slice text = texts[i];
        tokens_estimate(text, m->max_tokens, &text.len);
        mt_write_text(&w, NULL, text.len ? text : MT_SLICE(" "));
    }
    mt_write_close(&w);
    mt_write_close(&w);
    return mt_write_end(&w, &json) == MT_OK ? json : (mt_slice){0};
}

/* Retry-After in seconds (the form with a date is rare and not read). */
static int64_t asked_pause(mt_slice v)
{
    int64_t seconds = 0;
    if (!v.len || v.len > 6)
        return -1;
    for (size_t i = 0; i < v.len; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return -1;
        seconds = seconds * 10 + v.p[i] - '0';
    }
    return seconds * 1000;
}

static mt_status read_body(batch *b, mt_handle stream, int64_t due_us)
{
    mt_slice part;
    mt_status s;
    b->len = 0;
    while ((s = mt_http_next(b->c, stream, &part)) == MT_OK) {
        if (part.len > b->cap - b->len)
            return MT_TOO_LARGE;
        memcpy(b->answer + b->len, part.p, part.len);
        b->len += part.len;
        if (mt_host_->clock_us() > due_us)
            return mt_problem(b->c, 504, MT_SLICE("upstream_timeout"), MT_SLICE("No answer in time."), MT_SLICE(""));
    }
    return s == MT_DONE ? MT_OK : s;
}

static void parse(void *arg)
{
    batch *b = arg;
    b->parsed = answer_read((mt_slice){b->answer, b->len}, b->n, b->m->dimensions, b->out, &b->tokens, b->reason);
}

/* One try. MT_OK: the upstream has answered, with b->http. */
static mt_status attempt(batch *b)
{
    const mt_field headers[] = {{MT_SLICE("content-type"), MT_SLICE("application/json")}, {MT_SLICE("authorization"), b->authorization}};
    mt_http_exchange in = {.size = sizeof in, .method = MT_SLICE("POST"), .url = mt_str(b->e->url), .body = b->body, .timeout_ms = b->e->timeout_ms,
                           .max_bytes = (int64_t)b->cap};
    int64_t due_us = mt_host_->clock_us() + b->e->timeout_ms * 1000;
    mt_handle stream;
    b->http = 0;
    b->pause_ms = -1;
    MT_TRY(mt_http_open(b->c, &in, headers, b->authorization.p ? 2 : 1, &b->http, &stream));
    b->pause_ms = asked_pause(mt_http_header(b->c, stream, MT_SLICE("retry-after")));
    mt_status s = b->http == 200 ? read_body(b, stream, due_us) : MT_OK;
    mt_http_close(b->c, stream);
    return s;
}

static bool worth_another(mt_status s, int32_t http)
{
    if (s != MT_OK)
        return s == MT_UNAVAILABLE || s == MT_TIMEOUT || s == MT_LIMITED;
    return http == 408 || http == 429 || http >= 500;
}

/* Doubles with each try, up to half of it more by chance, so that many do not come back at once. */
static int64_t pause_before(const batch *b, uint32_t tried)
{
    int64_t ms = tried < 6 ? (int64_t)PAUSE_MS << (tried - 1) : PAUSE_MAX_MS;
    ms += mt_host_->clock_us() % (ms / 2 + 1);
    return b->pause_ms > ms ? b->pause_ms : ms;
}

static mt_status try_until_answered(batch *b)
{
    for (uint32_t tried = 1;; tried++) {
        mt_status s = attempt(b);
        if (tried >= b->e->tries || !worth_another(s, b->http) || b->pause_ms > RETRY_AFTER_MAX_MS)
            return s;
        MT_TRY(mt_sleep(b->c, pause_before(b, tried)));
    }
}

static mt_status refused(batch *b)
{
    mt_call *c = b->c;
    if (b->http == 429)
        return mt_problem(c, 429, MT_SLICE("upstream_limited"), mt_printf(c, "The endpoint \"%s\" takes no more requests now: try again later.", b->e->name), MT_SLICE(""));
    if (b->http == 401 || b->http == 403)
        return mt_problem(c, 503, MT_SLICE("upstream_key_refused"),
                          mt_printf(c, "The endpoint \"%s\" refuses the key (%d): see its api_key_name or api_key_env.", b->e->name, b->http), MT_SLICE(""));
    return mt_problem(c, 503, MT_SLICE("upstream_failed"), mt_printf(c, "The endpoint \"%s\" answers %d for the model \"%s\".", b->e->name, b->http, b->m->upstream), MT_SLICE(""));
}

static mt_status run(batch *b)
{
    mt_call *c = b->c;
    mt_status s = try_until_answered(b);
    if (s == MT_TOO_LARGE)                       /* the upstream's fault, not that of who asks */
        return mt_problem(c, 503, MT_SLICE("upstream_answer_too_large"), MT_SLICE("The upstream's answer is larger than its vectors can be."), MT_SLICE(""));
    MT_TRY(s);
    if (b->http != 200)
        return refused(b);
    MT_TRY(mt_offload_run(c, parse, b));
    if (b->parsed != MT_OK)
        return mt_problem(c, 503, MT_SLICE("upstream_answer_invalid"),
                          mt_printf(c, "The answer of the endpoint \"%s\" for the model \"%s\" cannot be used: %s.", b->e->name, b->m->upstream, b->reason), MT_SLICE(""));
    const mt_field used[] = {{MT_SLICE("model"), mt_str(b->m->name)}, {MT_SLICE("texts"), mt_printf(c, "%zu", b->n)}, {MT_SLICE("tokens"), mt_printf(c, "%lld", (long long)b->tokens)}};
    mt_log(0, "embedder_openai.used", used, 3);
    return MT_OK;
}

static mt_status read_key(mt_call *c, const remote_endpoint *e, mt_slice *key)
{
    *key = (mt_slice){0};
    if (e->key_name[0])
        *key = mt_config(c, mt_printf(c, "/keys/%s", e->key_name));
    else if (e->key_env[0])
        *key = mt_str(getenv(e->key_env));
    if (key->len || (!e->key_name[0] && !e->key_env[0]))
        return MT_OK;
    mt_slice why = e->key_name[0] ? mt_printf(c, "The endpoint \"%s\" names a key \"%s\" that the configuration's keys do not have.", e->name, e->key_name)
                                  : mt_printf(c, "The environment variable %s, which should hold the key of the endpoint \"%s\", is not set.", e->key_env, e->name);
    return mt_problem(c, 503, MT_SLICE("upstream_key_missing"), why, MT_SLICE(""));
}

mt_status remote_embed(mt_call *c, const remote_config *config, const remote_model *m, const mt_slice *texts, size_t n, float *out)
{
    batch b = {.c = c, .e = &config->endpoints[m->endpoint], .m = m, .n = n, .out = out, .cap = n * m->dimensions * ROOM_A_NUMBER + ROOM_BESIDE};
    mt_slice key;
    MT_TRY(read_key(c, b.e, &key));
    b.body = request_body(c, m, texts, n);
    b.answer = malloc(b.cap);
    if (key.len)
        b.authorization = mt_printf(c, "Bearer %.*s", (int)key.len, key.p);
    mt_status s = b.body.p && b.answer ? run(&b) : MT_NO_MEMORY;
    free(b.answer);
    return s;
}
