#include "request.h"

static mt_slice at(mt_call *c, const char *base, int64_t i, const char *name)
{
    return mt_printf(c, "%s/%lld%s", base, (long long)i, name);
}

/* A content in OpenAI's shape as text blocks. Only text is known here. */
static mt_status write_text_blocks(mt_writer *w, mt_handle doc, mt_slice pointer)
{
    mt_call *c = w->c;
    int64_t n = mt_json_count(c, doc, pointer);
    mt_slice base = mt_printf(c, "%.*s", (int)pointer.len, pointer.p), plain = mt_json_text(c, doc, pointer);
    for (int64_t i = 0; i < (n < 0 ? plain.len > 0 : n); i++) {
        mt_slice text = n < 0 ? plain : mt_json_text(c, doc, at(c, base.p, i, "/text"));
        if (!text.p)
            return mt_problem(c, 422, MT_SLICE("content_unsupported"), MT_SLICE("Only text is sent to this model."), MT_SLICE("/messages"));
        mt_write_object(w, NULL);
        mt_write_text(w, "type", MT_SLICE("text"));
        mt_write_text(w, "text", text);
        mt_write_close(w);
    }
    return MT_OK;
}

/* OpenAI's arguments are a text that holds JSON; llm/1's own are JSON already. */
static void write_tool_uses(mt_writer *w, mt_handle doc, int64_t m)
{
    mt_call *c = w->c;
    mt_slice calls = at(c, "", m, "/tool_calls");
    for (int64_t i = 0, n = mt_json_count(c, doc, calls); i < n; i++) {
        mt_slice arguments = mt_json_text(c, doc, at(c, calls.p, i, "/function/arguments"));
        mt_write_object(w, NULL);
        mt_write_text(w, "type", MT_SLICE("tool_use"));
        mt_write_text(w, "id", mt_json_text(c, doc, at(c, calls.p, i, "/id")));
        mt_write_text(w, "name", mt_json_text(c, doc, at(c, calls.p, i, "/function/name")));
        mt_write_raw(w, "input", arguments.len ? arguments : MT_SLICE("{}"));
        mt_write_close(w);
    }
}

static bool has_role(mt_call *c, mt_handle doc, int64_t m, const char *role)
{
    return mt_slice_eq(mt_json_text(c, doc, at(c, "", m, "/role")), mt_str(role));
}

/* All results of one turn go in one message of the user. Answers how many messages it took. */
static int64_t write_results(mt_writer *w, mt_handle doc, int64_t m, int64_t n)
{
    mt_call *c = w->c;
    int64_t taken = 0;
    mt_write_text(w, "role", MT_SLICE("user"));
    mt_write_array(w, "content");
    for (; m < n && has_role(c, doc, m, "tool"); m++, taken++) {
        mt_write_object(w, NULL);
        mt_write_text(w, "type", MT_SLICE("tool_result"));
        mt_write_text(w, "tool_use_id", mt_json_text(c, doc, at(c, "", m, "/tool_call_id")));
        mt_write_array(w, "content");
        if (write_text_blocks(w, doc, at(c, "", m, "/content")) != MT_OK)
            w->status = MT_INVALID;
        mt_write_close(w);
        mt_write_close(w);
    }
    mt_write_close(w);
    return taken;
}

static mt_status write_messages(mt_writer *w, mt_handle doc)
{
    mt_call *c = w->c;
    mt_write_array(w, "messages");
    for (int64_t m = 0, n = mt_json_count(c, doc, MT_SLICE("")); m < n;) {
        if (has_role(c, doc, m, "system") || has_role(c, doc, m, "developer")) {
            m++;
            continue;
        }
        mt_write_object(w, NULL);
        if (has_role(c, doc, m, "tool")) {
            m += write_results(w, doc, m, n);
        } else {
            mt_write_text(w, "role", has_role(c, doc, m, "assistant") ? MT_SLICE("assistant") : MT_SLICE("user"));
            mt_write_array(w, "content");
            MT_TRY(write_text_blocks(w, doc, at(c, "", m, "/content")));
            write_tool_uses(w, doc, m);
            mt_write_close(w);
            m++;
        }
        mt_write_close(w);
    }
    mt_write_close(w);
    return w->status;
}

/* The system text is a field of its own, that of messages too. */
static mt_status write_system(mt_writer *w, const mt_llm_engine_in *in, mt_handle doc)
{
    mt_call *c = w->c;
    mt_writer s = mt_write_begin(c);
    mt_slice blocks;
    mt_write_array(&s, NULL);
    if (in->system.len) {
        mt_write_object(&s, NULL);
        mt_write_text(&s, "type", MT_SLICE("text"));
        mt_write_text(&s, "text", in->system);
        mt_write_close(&s);
    }
    for (int64_t m = 0, n = mt_json_count(c, doc, MT_SLICE("")); m < n; m++)
        if (has_role(c, doc, m, "system") || has_role(c, doc, m, "developer"))
            MT_TRY(write_text_blocks(&s, doc, at(c, "", m, "/content")));
    if (in->response_format.len && !memmem(in->response_format.p, in->response_format.len, "\"text\"", 6)) {
        mt_write_object(&s, NULL);
        mt_write_text(&s, "type", MT_SLICE("text"));
        mt_write_text(&s, "text", mt_printf(c, "Answer with one JSON value and nothing else. The format that is asked for: %.*s", (int)in->response_format.len, in->response_format.p));
        mt_write_close(&s);
    }
    mt_write_close(&s);
    MT_TRY(mt_write_end(&s, &blocks));
    if (blocks.len > 2)
        mt_write_raw(w, "system", blocks);
    return MT_OK;
}

static mt_status write_tools(mt_writer *w, const mt_llm_engine_in *in)
{
    mt_call *c = w->c;
    mt_handle doc;
    if (!in->tools.len)
        return MT_OK;
    MT_TRY(mt_json_parse(c, in->tools, &doc));
    mt_write_array(w, "tools");
    for (int64_t i = 0, n = mt_json_count(c, doc, MT_SLICE("")); i < n; i++) {
        mt_slice about = mt_json_text(c, doc, at(c, "", i, "/function/description")), schema = mt_json_text(c, doc, at(c, "", i, "/function/parameters"));
        mt_write_object(w, NULL);
        mt_write_text(w, "name", mt_json_text(c, doc, at(c, "", i, "/function/name")));
        if (about.p)
            mt_write_text(w, "description", about);
        mt_write_raw(w, "input_schema", schema.len ? schema : MT_SLICE("{\"type\":\"object\"}"));
        mt_write_close(w);
    }
    mt_write_close(w);
    return MT_OK;
}

/* "auto", "none", "required", or {"type": "function", "function": {"name": …}}. */
static mt_status write_choice(mt_writer *w, const mt_llm_engine_in *in)
{
    mt_handle doc;
    mt_slice choice = in->tool_choice;
    if (!in->tools.len || !choice.len)
        return MT_OK;
    if (choice.p[0] == '"') {
        bool any = mt_slice_eq(choice, MT_SLICE("\"required\"")), none = mt_slice_eq(choice, MT_SLICE("\"none\""));
        mt_write_raw(w, "tool_choice", any ? MT_SLICE("{\"type\":\"any\"}") : none ? MT_SLICE("{\"type\":\"none\"}") : MT_SLICE("{\"type\":\"auto\"}"));
        return MT_OK;
    }
    MT_TRY(mt_json_parse(w->c, choice, &doc));
    mt_write_object(w, "tool_choice");
    mt_write_text(w, "type", MT_SLICE("tool"));
    mt_write_text(w, "name", mt_json_text(w->c, doc, MT_SLICE("/function/name")));
    mt_write_close(w);
    return MT_OK;
}

static void write_sampling(mt_writer *w, const mt_llm_engine_in *in, mt_handle options)
{
    mt_write_int(w, "max_tokens", in->max_tokens ? in->max_tokens : (int64_t)mt_json_number(w->c, options, MT_SLICE("/max_tokens"), 4096));
    if (in->temperature >= 0)
        mt_write_double(w, "temperature", in->temperature > 1 ? 1 : in->temperature);
    if (in->top_p >= 0 && in->temperature < 0)
        mt_write_double(w, "top_p", in->top_p);
    if (in->stop.len)
        mt_write_raw(w, "stop_sequences", in->stop.p[0] == '"' ? mt_printf(w->c, "[%.*s]", (int)in->stop.len, in->stop.p) : in->stop);
}

mt_status anthropic_write(mt_call *c, const mt_llm_engine_in *in, mt_handle options, mt_slice base, mt_slice key, upstream_request *out)
{
    mt_handle messages;
    mt_slice version = mt_json_text(c, options, MT_SLICE("/anthropic_version"));
    mt_writer w = mt_write_begin(c);
    MT_TRY(mt_json_parse(c, in->messages, &messages));
    mt_write_object(&w, NULL);
    mt_write_text(&w, "model", in->model);
    mt_write_bool(&w, "stream", true);
    write_sampling(&w, in, options);
    MT_TRY(write_system(&w, in, messages));
    MT_TRY(write_messages(&w, messages));
    MT_TRY(write_tools(&w, in));
    MT_TRY(write_choice(&w, in));
    mt_write_close(&w);
    out->url = mt_printf(c, "%.*s/v1/messages", (int)base.len, base.p);
    upstream_header(out, "content-type", MT_SLICE("application/json"));
    upstream_header(out, "accept", MT_SLICE("text/event-stream"));
    upstream_header(out, "anthropic-version", version.len ? version : MT_SLICE("2023-06-01"));
    if (key.len)
        upstream_header(out, "x-api-key", key);
    return mt_write_end(&w, &out->body);
}
