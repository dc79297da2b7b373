/* A completion as OpenAI's clients read it: chunks, or one object. */
#include "openai.h"

static void write_head(const completion *k, mt_writer *w, const char *object)
{
    mt_write_object(w, NULL);
    mt_write_text(w, "id", k->id);
    mt_write_text(w, "object", mt_str(object));
    mt_write_int(w, "created", k->created);
    mt_write_text(w, "model", k->model);
}

static void write_usage(const completion *k, mt_writer *w)
{
    mt_write_object(w, "usage");
    mt_write_int(w, "prompt_tokens", k->counts.input_tokens);
    mt_write_int(w, "completion_tokens", k->counts.output_tokens);
    mt_write_int(w, "total_tokens", k->counts.input_tokens + k->counts.output_tokens);
    mt_write_object(w, "prompt_tokens_details");
    mt_write_int(w, "cached_tokens", k->counts.cached_tokens);
    mt_write_close(w);
    mt_write_close(w);
}

static mt_status send(completion *k, mt_writer *w)
{
    mt_slice json;
    MT_TRY(mt_write_end(w, &json));
    if (!k->begun) {
        MT_TRY(mt_stream_begin(k->c));
        k->begun = true;
    }
    return mt_stream_event(k->c, (mt_slice){0}, json);
}

mt_status completion_chunk(completion *k, mt_slice delta, mt_slice finish, mt_slice extra)
{
    mt_writer w = mt_write_begin(k->c);
    write_head(k, &w, "chat.completion.chunk");
    mt_write_array(&w, "choices");
    mt_write_object(&w, NULL);
    mt_write_int(&w, "index", 0);
    mt_write_raw(&w, "delta", delta);
    mt_write_raw(&w, "logprobs", (mt_slice){0});
    mt_write_text(&w, "finish_reason", finish);
    mt_write_close(&w);
    mt_write_close(&w);
    if (k->include_usage)
        mt_write_raw(&w, "usage", (mt_slice){0});
    if (extra.p)
        mt_write_raw(&w, "mortise", extra);
    mt_write_close(&w);
    return send(k, &w);
}

mt_status completion_text(completion *k, mt_slice text)
{
    mt_writer w = mt_write_begin(k->c);
    mt_slice delta;
    if (!k->begun)
        MT_TRY(completion_chunk(k, MT_SLICE("{\"role\":\"assistant\",\"content\":\"\"}"), (mt_slice){0}, (mt_slice){0}));
    mt_write_object(&w, NULL);
    mt_write_text(&w, "content", text);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &delta));
    return completion_chunk(k, delta, (mt_slice){0}, (mt_slice){0});
}

mt_status completion_tool_calls(mt_call *c, mt_slice calls, bool indexed, mt_slice *json)
{
    mt_handle doc;
    MT_TRY(mt_json_parse(c, calls, &doc));
    mt_writer w = mt_write_begin(c);
    mt_write_array(&w, NULL);
    for (int64_t i = 0, n = mt_json_count(c, doc, MT_SLICE("")); i < n; i++) {
        mt_write_object(&w, NULL);
        if (indexed)
            mt_write_int(&w, "index", i);
        mt_write_text(&w, "id", mt_json_text(c, doc, mt_printf(c, "/%lld/id", (long long)i)));
        mt_write_text(&w, "type", MT_SLICE("function"));
        mt_write_object(&w, "function");
        mt_write_text(&w, "name", mt_json_text(c, doc, mt_printf(c, "/%lld/name", (long long)i)));
        mt_write_text(&w, "arguments", mt_json_text(c, doc, mt_printf(c, "/%lld/arguments", (long long)i)));
        mt_write_close(&w);
        mt_write_close(&w);
    }
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

/* OpenAI has no word for "nothing found": the answer says so itself. */
static mt_slice finish_of(const completion *k)
{
    return mt_slice_eq(k->counts.finish, MT_SLICE("nothing_found")) || !k->counts.finish.len ? MT_SLICE("stop") : k->counts.finish;
}

static mt_status end_stream(completion *k, mt_slice tool_calls, mt_slice extra)
{
    mt_slice calls;
    if (!k->begun)
        MT_TRY(completion_chunk(k, MT_SLICE("{\"role\":\"assistant\",\"content\":\"\"}"), (mt_slice){0}, (mt_slice){0}));
    if (tool_calls.p) {
        MT_TRY(completion_tool_calls(k->c, tool_calls, true, &calls));
        MT_TRY(completion_chunk(k, mt_printf(k->c, "{\"tool_calls\":%.*s}", (int)calls.len, calls.p), (mt_slice){0}, (mt_slice){0}));
    }
    MT_TRY(completion_chunk(k, MT_SLICE("{}"), finish_of(k), extra));
    if (k->include_usage) {
        mt_writer w = mt_write_begin(k->c);
        write_head(k, &w, "chat.completion.chunk");
        mt_write_array(&w, "choices");
        mt_write_close(&w);
        write_usage(k, &w);
        mt_write_close(&w);
        MT_TRY(send(k, &w));
    }
    MT_TRY(mt_stream_event(k->c, (mt_slice){0}, MT_SLICE("[DONE]")));
    return mt_stream_end(k->c);
}

mt_status completion_end(completion *k, mt_slice text, mt_slice tool_calls, mt_slice extra)
{
    mt_slice calls, json;
    if (k->stream)
        return end_stream(k, tool_calls, extra);
    mt_writer w = mt_write_begin(k->c);
    write_head(k, &w, "chat.completion");
    mt_write_array(&w, "choices");
    mt_write_object(&w, NULL);
    mt_write_int(&w, "index", 0);
    mt_write_object(&w, "message");
    mt_write_text(&w, "role", MT_SLICE("assistant"));
    mt_write_text(&w, "content", tool_calls.p && !text.len ? (mt_slice){0} : text.p ? text : MT_SLICE(""));
    mt_write_raw(&w, "refusal", (mt_slice){0});
    if (tool_calls.p) {
        MT_TRY(completion_tool_calls(k->c, tool_calls, false, &calls));
        mt_write_raw(&w, "tool_calls", calls);
    }
    mt_write_close(&w);
    mt_write_raw(&w, "logprobs", (mt_slice){0});
    mt_write_text(&w, "finish_reason", finish_of(k));
    mt_write_close(&w);
    mt_write_close(&w);
    write_usage(k, &w);
    if (extra.p)
        mt_write_raw(&w, "mortise", extra);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(k->c, 200, json);
}
