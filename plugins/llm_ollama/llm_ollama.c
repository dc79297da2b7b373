/* Ollama's /api/chat: a JSON document a line. */
#include "llm_wire/upstream.h"

#include <mortise/entry.h>

/* --- the request --- */

static mt_slice at(mt_call *c, int64_t m, const char *name)
{
    return mt_printf(c, "/%lld%s", (long long)m, name);
}

static void write_content(mt_writer *w, mt_handle doc, mt_slice pointer)
{
    mt_call *c = w->c;
    int64_t n = mt_json_count(c, doc, pointer);
    mt_slice all = n < 0 ? mt_json_text(c, doc, pointer) : MT_SLICE("");
    for (int64_t i = 0; i < n; i++) {
        mt_slice text = mt_json_text(c, doc, mt_printf(c, "%.*s/%lld/text", (int)pointer.len, pointer.p, (long long)i));
        all = mt_printf(c, "%.*s%.*s", (int)all.len, all.p, (int)text.len, text.p ? text.p : "");
    }
    mt_write_text(w, "content", all.p ? all : MT_SLICE(""));
}

/* Arguments are an object here, a text that holds one in OpenAI's shape. */
static void write_calls(mt_writer *w, mt_handle doc, int64_t m)
{
    mt_call *c = w->c;
    int64_t n = mt_json_count(c, doc, at(c, m, "/tool_calls"));
    if (n <= 0)
        return;
    mt_write_array(w, "tool_calls");
    for (int64_t i = 0; i < n; i++) {
        mt_slice base = mt_printf(c, "/%lld/tool_calls/%lld/function", (long long)m, (long long)i), arguments = mt_json_text(c, doc, mt_printf(c, "%s/arguments", base.p));
        mt_write_object(w, NULL);
        mt_write_object(w, "function");
        mt_write_text(w, "name", mt_json_text(c, doc, mt_printf(c, "%s/name", base.p)));
        mt_write_raw(w, "arguments", arguments.len ? arguments : MT_SLICE("{}"));
        mt_write_close(w);
        mt_write_close(w);
    }
    mt_write_close(w);
}

static mt_status write_messages(mt_writer *w, const mt_llm_engine_in *in)
{
    mt_call *c = w->c;
    mt_handle doc;
    MT_TRY(mt_json_parse(c, in->messages, &doc));
    mt_write_array(w, "messages");
    if (in->system.len) {
        mt_write_object(w, NULL);
        mt_write_text(w, "role", MT_SLICE("system"));
        mt_write_text(w, "content", in->system);
        mt_write_close(w);
    }
    for (int64_t m = 0, n = mt_json_count(c, doc, MT_SLICE("")); m < n; m++) {
        mt_slice tool = mt_json_text(c, doc, at(c, m, "/name"));
        mt_write_object(w, NULL);
        mt_write_text(w, "role", mt_json_text(c, doc, at(c, m, "/role")));
        write_content(w, doc, at(c, m, "/content"));
        write_calls(w, doc, m);
        if (tool.len)
            mt_write_text(w, "tool_name", tool);
        mt_write_close(w);
    }
    mt_write_close(w);
    return MT_OK;
}

static void write_options(mt_writer *w, const mt_llm_engine_in *in, mt_handle options)
{
    double context = mt_json_number(w->c, options, MT_SLICE("/num_ctx"), 0);
    mt_write_object(w, "options");
    if (in->max_tokens)
        mt_write_int(w, "num_predict", in->max_tokens);
    if (in->temperature >= 0)
        mt_write_double(w, "temperature", in->temperature);
    if (in->top_p >= 0)
        mt_write_double(w, "top_p", in->top_p);
    if (in->seed >= 0)
        mt_write_int(w, "seed", in->seed);
    if (context > 0)
        mt_write_int(w, "num_ctx", (int64_t)context);
    if (in->stop.len)
        mt_write_raw(w, "stop", in->stop.p[0] == '"' ? mt_printf(w->c, "[%.*s]", (int)in->stop.len, in->stop.p) : in->stop);
    mt_write_close(w);
}

/* {"type": "json_object"} is "json"; a schema is itself. */
static mt_status write_format(mt_writer *w, const mt_llm_engine_in *in)
{
    mt_handle doc;
    if (!in->response_format.len)
        return MT_OK;
    MT_TRY(mt_json_parse(w->c, in->response_format, &doc));
    mt_slice schema = mt_json_text(w->c, doc, MT_SLICE("/json_schema/schema")), type = mt_json_text(w->c, doc, MT_SLICE("/type"));
    if (schema.len)
        mt_write_raw(w, "format", schema);
    else if (mt_slice_eq(type, MT_SLICE("json_object")))
        mt_write_text(w, "format", MT_SLICE("json"));
    return MT_OK;
}

static mt_status write(mt_call *c, const mt_llm_engine_in *in, mt_handle options, mt_slice base, mt_slice key, upstream_request *out)
{
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "model", in->model);
    mt_write_bool(&w, "stream", true);
    MT_TRY(write_messages(&w, in));
    write_options(&w, in, options);
    if (in->tools.len)
        mt_write_raw(&w, "tools", in->tools);
    MT_TRY(write_format(&w, in));
    mt_write_close(&w);
    out->url = mt_printf(c, "%.*s/api/chat", (int)base.len, base.p);
    upstream_header(out, "content-type", MT_SLICE("application/json"));
    if (key.len)
        upstream_header(out, "authorization", upstream_bearer(c, key));
    return mt_write_end(&w, &out->body);
}

/* --- the answer --- */

static mt_status take_tools(upstream *u, mt_handle doc)
{
    mt_call *c = u->c;
    for (int64_t i = 0, n = mt_json_count(c, doc, MT_SLICE("/message/tool_calls")); i < n; i++) {
        upstream_tool *t = upstream_tool_at(u, u->n_tools);
        mt_slice base = mt_printf(c, "/message/tool_calls/%lld/function", (long long)i), arguments = mt_json_text(c, doc, mt_printf(c, "%s/arguments", base.p));
        if (!t || wire_add(&t->arguments, arguments) != MT_OK)
            return upstream_broken(u);
        t->name = upstream_keep(u, mt_json_text(c, doc, mt_printf(c, "%s/name", base.p)));
        u->bytes_out += arguments.len + t->name.len;
    }
    return MT_OK;
}

static void take_end(upstream *u, mt_handle doc)
{
    mt_call *c = u->c;
    mt_slice reason = mt_json_text(c, doc, MT_SLICE("/done_reason"));
    u->finished = u->counted = true;
    u->counts.finish = u->n_tools ? MT_SLICE("tool_calls") : reason.len ? upstream_keep(u, reason) : MT_SLICE("stop");
    u->counts.input_tokens = (int64_t)mt_json_number(c, doc, MT_SLICE("/prompt_eval_count"), 0);
    u->counts.output_tokens = (int64_t)mt_json_number(c, doc, MT_SLICE("/eval_count"), 0);
}

static mt_status event(upstream *u, mt_slice name, mt_slice data, mt_handle doc)
{
    mt_call *c = u->c;
    if (!doc)
        return upstream_broken(u);
    if (mt_json_text(c, doc, MT_SLICE("/error")).p)
        return upstream_refused(u, 500, (mt_slice){0});
    mt_slice text = mt_json_text(c, doc, MT_SLICE("/message/content"));
    MT_TRY(take_tools(u, doc));
    if (text.len)
        MT_TRY(upstream_text(u, text));
    if (!mt_slice_eq(mt_json_text(c, doc, MT_SLICE("/done")), MT_SLICE("true")))
        return MT_OK;
    take_end(u, doc);
    return MT_DONE;
}

static const upstream_format format = {.slug = "llm_ollama", .base_url = "http://127.0.0.1:11434", .content_type = "application/x-ndjson", .lines = true, .write = write, .event = event};

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

MT_EXPORT const mt_plugin llm_ollama_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "llm_ollama", .version = "0.1.0", .load = load, .services = services, .n_services = 1};
