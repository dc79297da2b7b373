/* OpenAI's chat completions, streamed, as OpenAI, Azure's v1, vLLM, LM Studio and many others speak them. */
#include "llm_wire/upstream.h"

#include <mortise/entry.h>

/* --- the request --- */

static void write_messages(mt_writer *w, mt_slice system, mt_slice messages)
{
    mt_slice rest = {messages.p + 1, messages.len ? messages.len - 1 : 0};
    if (!system.len || !rest.len) {
        mt_write_raw(w, "messages", messages);
        return;
    }
    mt_slice one;
    mt_writer s = mt_write_begin(w->c);
    mt_write_object(&s, NULL);
    mt_write_text(&s, "role", MT_SLICE("system"));
    mt_write_text(&s, "content", system);
    mt_write_close(&s);
    if (mt_write_end(&s, &one) != MT_OK) {
        w->status = MT_TOO_LARGE;
        return;
    }
    while (rest.len && (*rest.p == ' ' || *rest.p == '\n' || *rest.p == '\t' || *rest.p == '\r'))
        rest = (mt_slice){rest.p + 1, rest.len - 1};
    const char *comma = rest.len && *rest.p == ']' ? "" : ",";
    mt_write_raw(w, "messages", mt_printf(w->c, "[%.*s%s%.*s", (int)one.len, one.p, comma, (int)rest.len, rest.p));
}

static void write_optional(mt_writer *w, const char *name, mt_slice json)
{
    if (json.len)
        mt_write_raw(w, name, json);
}

static void write_sampling(mt_writer *w, const mt_llm_engine_in *in, mt_handle options)
{
    mt_slice limit = mt_json_text(w->c, options, MT_SLICE("/max_tokens_field"));
    if (in->max_tokens)
        mt_write_int(w, limit.len ? mt_printf(w->c, "%.*s", (int)limit.len, limit.p).p : "max_tokens", in->max_tokens);
    if (in->temperature >= 0)
        mt_write_double(w, "temperature", in->temperature);
    if (in->top_p >= 0)
        mt_write_double(w, "top_p", in->top_p);
    if (in->seed >= 0)
        mt_write_int(w, "seed", in->seed);
}

static mt_status write(mt_call *c, const mt_llm_engine_in *in, mt_handle options, mt_slice base, mt_slice key, upstream_request *out)
{
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "model", in->model);
    write_messages(&w, in->system, in->messages);
    mt_write_bool(&w, "stream", true);
    mt_write_raw(&w, "stream_options", MT_SLICE("{\"include_usage\":true}"));
    write_sampling(&w, in, options);
    write_optional(&w, "stop", in->stop);
    write_optional(&w, "tools", in->tools);
    write_optional(&w, "tool_choice", in->tool_choice);
    write_optional(&w, "response_format", in->response_format);
    mt_write_close(&w);
    out->url = mt_printf(c, "%.*s/chat/completions", (int)base.len, base.p);
    upstream_header(out, "content-type", MT_SLICE("application/json"));
    upstream_header(out, "accept", MT_SLICE("text/event-stream"));
    if (key.len)
        upstream_header(out, "authorization", upstream_bearer(c, key));
    return mt_write_end(&w, &out->body);
}

/* --- the answer --- */

static mt_slice finish_of(upstream *u, mt_slice reason)
{
    if (mt_slice_eq(reason, MT_SLICE("function_call")))
        return MT_SLICE("tool_calls");
    return upstream_keep(u, reason);
}

/* A call's first delta has its id and name, the later ones pieces of its arguments. */
static mt_status take_tools(upstream *u, mt_handle doc)
{
    mt_call *c = u->c;
    for (int64_t i = 0, n = mt_json_count(c, doc, MT_SLICE("/choices/0/delta/tool_calls")); i < n; i++) {
        const char *at = mt_printf(c, "/choices/0/delta/tool_calls/%lld", (long long)i).p;
        upstream_tool *t = upstream_tool_at(u, (int64_t)mt_json_number(c, doc, mt_printf(c, "%s/index", at), (double)i));
        mt_slice id = mt_json_text(c, doc, mt_printf(c, "%s/id", at)), name = mt_json_text(c, doc, mt_printf(c, "%s/function/name", at));
        mt_slice piece = mt_json_text(c, doc, mt_printf(c, "%s/function/arguments", at));
        if (!t || wire_add(&t->arguments, piece) != MT_OK)
            return upstream_broken(u);
        if (id.len && !t->id.len)
            t->id = upstream_keep(u, id);
        if (name.len && !t->name.len)
            t->name = upstream_keep(u, name);
        u->bytes_out += piece.len + name.len;
    }
    return MT_OK;
}

static void take_usage(upstream *u, mt_handle doc)
{
    mt_call *c = u->c;
    if (mt_json_count(c, doc, MT_SLICE("/usage")) < 1)
        return;
    u->counted = true;
    u->counts.input_tokens = (int64_t)mt_json_number(c, doc, MT_SLICE("/usage/prompt_tokens"), 0);
    u->counts.cached_tokens = (int64_t)mt_json_number(c, doc, MT_SLICE("/usage/prompt_tokens_details/cached_tokens"), 0);
    u->counts.output_tokens = (int64_t)mt_json_number(c, doc, MT_SLICE("/usage/completion_tokens"), 0);
}

static mt_status take_error(upstream *u, mt_handle doc)
{
    mt_slice type = mt_json_text(u->c, doc, MT_SLICE("/error/type")), code = mt_json_text(u->c, doc, MT_SLICE("/error/code"));
    int status = (int)mt_json_number(u->c, doc, MT_SLICE("/error/code"), 0);
    if (mt_slice_eq(type, MT_SLICE("invalid_request_error")))
        status = 400;
    else if (mt_slice_eq(code, MT_SLICE("rate_limit_exceeded")))
        status = 429;
    return upstream_refused(u, status >= 400 && status < 600 ? status : 500, mt_json_text(u->c, doc, MT_SLICE("/error/message")));
}

static mt_status event(upstream *u, mt_slice name, mt_slice data, mt_handle doc)
{
    mt_call *c = u->c;
    if (mt_slice_eq(data, MT_SLICE("[DONE]")))
        return u->finished ? MT_DONE : upstream_broken(u);
    if (!doc)
        return upstream_broken(u);
    if (mt_json_text(c, doc, MT_SLICE("/error")).p)
        return take_error(u, doc);
    mt_slice text = mt_json_text(c, doc, MT_SLICE("/choices/0/delta/content")), reason = mt_json_text(c, doc, MT_SLICE("/choices/0/finish_reason"));
    MT_TRY(take_tools(u, doc));
    take_usage(u, doc);
    if (reason.len) {
        u->finished = true;
        u->counts.finish = finish_of(u, reason);
    }
    return text.len ? upstream_text(u, text) : MT_OK;
}

static const upstream_format format = {.slug = "llm_openai", .base_url = "https://api.openai.com/v1", .content_type = "text/event-stream", .write = write, .event = event};

static mt_status open(void *self, mt_call *c, const mt_llm_engine_in *in, mt_handle *out)
{
    return upstream_open(&format, c, in, out);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_llm_engine_1_provider service = {.size = sizeof service, .version = 1, .open = open, .next = upstream_next, .tool_calls = upstream_tool_calls,
                                                 .usage = upstream_usage, .close = upstream_close, .count_tokens = upstream_count_tokens, .models = upstream_models};
static const mt_service_entry services[] = {{"llm_engine/1", &service}};

MT_EXPORT const mt_plugin llm_openai_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "llm_openai", .version = "0.1.0", .load = load, .services = services, .n_services = 1};
