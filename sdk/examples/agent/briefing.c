/* An agent: it looks up, asks a model with a prompt of its own, and passes on what the model says as it says it. */
#include <mortise/entry.h>

/* What the documents say: a JSON array, whose elements are what llm/1 takes as passages. */
static mt_status look_up(mt_call *c, mt_slice subject, mt_slice *found)
{
    mt_slice limit = mt_body_text(c, MT_SLICE("/passages"));
    mt_handle list;
    MT_TRY(mt_retrieval_search(c, subject, mt_printf(c, "{\"limit\":%.*s}", (int)limit.len, limit.p), found));
    MT_TRY(mt_json_parse(c, *found, &list));
    if (mt_json_count(c, list, MT_SLICE("")) > 0)
        return MT_OK;
    return mt_problem(c, 404, MT_SLICE("briefing_nothing_found"), MT_SLICE("No document of this workspace speaks of it."), MT_SLICE("/subject"));
}

static mt_status ask(mt_call *c, mt_slice subject, mt_slice passages, mt_handle *generation)
{
    mt_slice model = mt_config(c, MT_SLICE("/model")), messages;
    mt_writer w = mt_write_begin(c);
    mt_write_array(&w, NULL);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "role", MT_SLICE("user"));
    mt_write_text(&w, "content", subject);
    mt_write_close(&w);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &messages));
    const mt_llm_in in = {.size = sizeof in, .model = model.len ? model : mt_str(NULL), .system = mt_config(c, MT_SLICE("/instructions")),
                          .messages = messages, .passages = passages, .max_tokens = 400, .seed = -1, .temperature = 0.2, .top_p = -1};
    return mt_llm_open(c, &in, generation);
}

static mt_status tell(mt_call *c, mt_slice text)
{
    mt_slice json;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "text", text);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_stream_event(c, MT_SLICE("token"), json);
}

static mt_status tell_end(mt_call *c, mt_handle generation)
{
    mt_llm_counts n = {.size = sizeof n};
    mt_slice json;
    MT_TRY(mt_llm_usage(c, generation, &n));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "finish", n.finish);
    mt_write_text(&w, "model", n.model);
    mt_write_int(&w, "input_tokens", n.input_tokens);
    mt_write_int(&w, "output_tokens", n.output_tokens);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    MT_TRY(mt_stream_event(c, MT_SLICE("done"), json));
    return mt_stream_end(c);
}

/*
 * Whatever can fail with a status of its own happens before the stream begins; after it a failure is its last event, "error", which the host writes.
 * A client that leaves makes the next call MT_CANCELLED, and the generation ends with this one: nothing is closed by hand.
 */
static mt_status on_brief(void *self, mt_call *c)
{
    mt_slice subject = mt_body_text(c, MT_SLICE("/subject")), found, text;
    mt_handle generation;
    mt_status s;
    MT_TRY(look_up(c, subject, &found));
    MT_TRY(ask(c, subject, found, &generation));
    MT_TRY(mt_stream_begin(c));
    MT_TRY(mt_stream_event(c, MT_SLICE("sources"), found));
    while ((s = mt_llm_next(c, generation, &text)) == MT_OK)
        MT_TRY(tell(c, text));
    return s == MT_DONE ? tell_end(c, generation) : s;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_brief", on_brief}};

MT_EXPORT const mt_plugin briefing_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "briefing", .version = "0.1.0", .load = load, .handlers = handlers, .n_handlers = 1};
