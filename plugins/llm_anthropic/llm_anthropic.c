/* Anthropic's Messages, streamed. */
#include "request.h"

#include <mortise/entry.h>

static const struct { const char *type; int status; } errors[] = {
    {"invalid_request_error", 400}, {"authentication_error", 401}, {"permission_error", 403}, {"not_found_error", 404},
    {"request_too_large", 413}, {"rate_limit_error", 429}, {"api_error", 500}, {"overloaded_error", 529}};

static mt_status take_error(upstream *u, mt_handle doc)
{
    mt_slice type = mt_json_text(u->c, doc, MT_SLICE("/error/type"));
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (mt_slice_eq(type, mt_str(errors[i].type)))
            return upstream_refused(u, errors[i].status, mt_json_text(u->c, doc, MT_SLICE("/error/message")));
    return upstream_refused(u, 500, (mt_slice){0});
}

/* input_tokens are those that no cache served; the cache's own are told beside them. */
static void take_input(upstream *u, mt_handle doc)
{
    mt_call *c = u->c;
    int64_t read = (int64_t)mt_json_number(c, doc, MT_SLICE("/message/usage/cache_read_input_tokens"), 0);
    int64_t written = (int64_t)mt_json_number(c, doc, MT_SLICE("/message/usage/cache_creation_input_tokens"), 0);
    u->counts.cached_tokens = read;
    u->counts.input_tokens = (int64_t)mt_json_number(c, doc, MT_SLICE("/message/usage/input_tokens"), 0) + read + written;
}

/* Indexes count text blocks too: the tool that an index means is the last one begun. */
static mt_status begin_block(upstream *u, mt_handle doc)
{
    mt_call *c = u->c;
    if (!mt_slice_eq(mt_json_text(c, doc, MT_SLICE("/content_block/type")), MT_SLICE("tool_use")))
        return MT_OK;
    upstream_tool *t = upstream_tool_at(u, u->n_tools);
    if (!t)
        return upstream_broken(u);
    t->id = upstream_keep(u, mt_json_text(c, doc, MT_SLICE("/content_block/id")));
    t->name = upstream_keep(u, mt_json_text(c, doc, MT_SLICE("/content_block/name")));
    return MT_OK;
}

static mt_status take_delta(upstream *u, mt_handle doc)
{
    mt_call *c = u->c;
    mt_slice type = mt_json_text(c, doc, MT_SLICE("/delta/type")), text = mt_json_text(c, doc, MT_SLICE("/delta/text")),
             piece = mt_json_text(c, doc, MT_SLICE("/delta/partial_json"));
    if (mt_slice_eq(type, MT_SLICE("text_delta")))
        return upstream_text(u, text);
    if (!mt_slice_eq(type, MT_SLICE("input_json_delta")))
        return MT_OK;            /* thinking, signatures, citations */
    u->bytes_out += piece.len;
    if (!u->n_tools || wire_add(&u->tools[u->n_tools - 1].arguments, piece) != MT_OK)
        return upstream_broken(u);
    return MT_OK;
}

static mt_slice finish_of(upstream *u, mt_slice reason)
{
    if (mt_slice_eq(reason, MT_SLICE("end_turn")) || mt_slice_eq(reason, MT_SLICE("stop_sequence")))
        return MT_SLICE("stop");
    if (mt_slice_eq(reason, MT_SLICE("max_tokens")))
        return MT_SLICE("length");
    if (mt_slice_eq(reason, MT_SLICE("tool_use")))
        return MT_SLICE("tool_calls");
    return upstream_keep(u, reason);
}

static void take_end(upstream *u, mt_handle doc)
{
    mt_slice reason = mt_json_text(u->c, doc, MT_SLICE("/delta/stop_reason"));
    double output = mt_json_number(u->c, doc, MT_SLICE("/usage/output_tokens"), -1);
    if (reason.len) {
        u->counts.finish = finish_of(u, reason);
        u->finished = true;
    }
    if (output >= 0) {
        u->counts.output_tokens = (int64_t)output;
        u->counted = true;
    }
}

static mt_status event(upstream *u, mt_slice name, mt_slice data, mt_handle doc)
{
    if (!doc)
        return upstream_broken(u);
    mt_slice type = mt_json_text(u->c, doc, MT_SLICE("/type"));
    if (mt_slice_eq(type, MT_SLICE("content_block_delta")))
        return take_delta(u, doc);
    if (mt_slice_eq(type, MT_SLICE("content_block_start")))
        return begin_block(u, doc);
    if (mt_slice_eq(type, MT_SLICE("error")))
        return take_error(u, doc);
    if (mt_slice_eq(type, MT_SLICE("message_stop")))
        return u->finished ? MT_DONE : upstream_broken(u);
    if (mt_slice_eq(type, MT_SLICE("message_start")))
        take_input(u, doc);
    else if (mt_slice_eq(type, MT_SLICE("message_delta")))
        take_end(u, doc);
    return MT_OK;                /* ping, content_block_stop, and what is new */
}

static const upstream_format format = {.slug = "llm_anthropic", .base_url = "https://api.anthropic.com", .content_type = "text/event-stream", .write = anthropic_write, .event = event};

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

MT_EXPORT const mt_plugin llm_anthropic_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "llm_anthropic", .version = "0.1.0", .load = load, .services = services, .n_services = 1};
