/* POST /v1/chat/completions. */
#include "openai.h"

typedef struct options {
    uint32_t max_tokens;
    int64_t seed;
    double temperature, top_p;
    mt_slice stop, tools, tool_choice, response_format;
} options;

static double number(mt_call *c, const char *pointer, double fallback)
{
    return mt_number(mt_body_text(c, mt_str(pointer)), fallback);
}

static mt_slice non_empty(mt_slice json)
{
    return json.len > 2 ? json : (mt_slice){0};   /* [] and {} say nothing */
}

/* A text becomes an array of one. */
static mt_slice read_stop(mt_call *c)
{
    mt_slice stop = mt_body_text(c, MT_SLICE("/stop")), json;
    if (!stop.len || stop.p[0] == '[')
        return non_empty(stop);
    mt_writer w = mt_write_begin(c);
    mt_write_array(&w, NULL);
    mt_write_text(&w, NULL, stop);
    mt_write_close(&w);
    return mt_write_end(&w, &json) == MT_OK ? json : (mt_slice){0};
}

static options read_options(mt_call *c)
{
    options o = {.max_tokens = (uint32_t)number(c, "/max_completion_tokens", number(c, "/max_tokens", 0)), .seed = (int64_t)number(c, "/seed", -1),
                 .temperature = number(c, "/temperature", -1), .top_p = number(c, "/top_p", -1), .stop = read_stop(c),
                 .tools = non_empty(mt_body_text(c, MT_SLICE("/tools"))), .response_format = mt_body_text(c, MT_SLICE("/response_format"))};
    mt_slice choice = mt_body_text(c, MT_SLICE("/tool_choice"));
    if (choice.len && o.tools.p)
        o.tool_choice = choice.p[0] == '{' ? choice : mt_printf(c, "\"%.*s\"", (int)choice.len, choice.p);
    if (mt_slice_eq(mt_body_text(c, MT_SLICE("/response_format/type")), MT_SLICE("text")))
        o.response_format = (mt_slice){0};
    return o;
}

/* What cannot be kept is refused, never left out silently. */
static mt_status check(mt_call *c, const target *to, const options *o)
{
    if (number(c, "/n", 1) > 1)
        return refuse(c, "n_unsupported", "One choice a request: n must be 1.", "/n");
    if (mt_slice_eq(mt_body_text(c, MT_SLICE("/logprobs")), MT_SLICE("true")))
        return refuse(c, "logprobs_unsupported", "Log probabilities are not told.", "/logprobs");
    if (o->tools.p && to->agent_id.p)
        return refuse(c, "tools_unsupported", "An agent uses its own tools: leave tools out, or name a model.", "/tools");
    if (o->tools.p && !to->model.tools)
        return refuse(c, "tools_unsupported", "This model cannot call tools.", "/tools");
    if (o->response_format.p && (to->agent_id.p || !to->model.json))
        return refuse(c, "response_format_unsupported", "This model answers with plain text only.", "/response_format");
    return MT_OK;
}

/* --- an agent: the whole pipeline --- */

static mt_slice text_of(mt_call *c, mt_slice json, const char *pointer)
{
    mt_handle doc;
    return mt_json_parse(c, json, &doc) == MT_OK ? mt_json_text(c, doc, mt_str(pointer)) : (mt_slice){0};
}

static mt_status end_agent(completion *k, mt_handle turn)
{
    mt_slice extra;
    mt_chat_counts n = {.size = sizeof n};
    MT_TRY(mt_chat_answer(k->c, turn, &extra));
    MT_TRY(mt_chat_usage(k->c, turn, &n));
    k->counts = (mt_llm_counts){.size = sizeof k->counts, .input_tokens = n.input_tokens, .cached_tokens = n.cached_tokens, .output_tokens = n.output_tokens,
                                .finish = n.finish};
    return completion_end(k, text_of(k->c, extra, "/answer"), (mt_slice){0}, extra);
}

static mt_status run_agent(completion *k, const asked *q, const options *o)
{
    mt_call *c = k->c;
    mt_handle turn;
    mt_slice kind, data;
    const mt_chat_in in = {.size = sizeof in, .agent_id = k->to.agent_id, .messages = q->dialogue, .stop = o->stop, .max_tokens = o->max_tokens,
                           .seed = o->seed, .temperature = o->temperature};
    MT_TRY(mt_chat_open(c, &in, &turn));
    mt_status s = MT_OK;
    while (s == MT_OK && (s = mt_chat_next(c, turn, &kind, &data)) == MT_OK)
        if (k->stream && mt_slice_eq(kind, MT_SLICE("token")))
            s = completion_text(k, text_of(c, data, "/text"));
    if (s == MT_DONE)
        s = end_agent(k, turn);
    mt_chat_close(c, turn);
    return s;
}

/* --- a model, and nothing else --- */

static mt_status append(mt_call *c, char **text, size_t *len, size_t *cap, mt_slice more)
{
    if (*len + more.len > *cap) {
        size_t want = (*cap + more.len + 512) * 2;
        char *grown = mt_alloc(c, want);
        if (!grown)
            return MT_TOO_LARGE;
        if (*len)
            memcpy(grown, *text, *len);
        *text = grown;
        *cap = want;
    }
    memcpy(*text + *len, more.p, more.len);
    *len += more.len;
    return MT_OK;
}

static mt_status end_model(completion *k, mt_handle generation, mt_slice text)
{
    mt_slice calls = {0};
    k->counts = (mt_llm_counts){.size = sizeof k->counts};
    MT_TRY(mt_llm_usage(k->c, generation, &k->counts));
    if (mt_slice_eq(k->counts.finish, MT_SLICE("tool_calls")))
        MT_TRY(mt_llm_tool_calls(k->c, generation, &calls));
    return completion_end(k, text, calls, (mt_slice){0});
}

static mt_status run_model(completion *k, const asked *q, const options *o)
{
    mt_call *c = k->c;
    mt_handle generation;
    mt_slice token;
    char *text = NULL;
    size_t len = 0, cap = 0;
    const mt_llm_in in = {.size = sizeof in, .model = k->to.name, .system = q->system, .messages = q->messages, .tools = o->tools, .tool_choice = o->tool_choice,
                          .response_format = o->response_format, .stop = o->stop, .max_tokens = o->max_tokens, .seed = o->seed,
                          .temperature = o->temperature, .top_p = o->top_p};
    MT_TRY(mt_llm_open(c, &in, &generation));
    mt_status s = MT_OK;
    while (s == MT_OK && (s = mt_llm_next(c, generation, &token)) == MT_OK)
        s = k->stream ? completion_text(k, token) : append(c, &text, &len, &cap, token);
    if (s == MT_DONE)
        s = end_model(k, generation, (mt_slice){text, len});
    mt_llm_close(c, generation);
    return s;
}

mt_status on_chat(void *self, mt_call *c)
{
    completion k = {.c = c, .created = mt_host_->clock_us() / 1000000, .stream = mt_slice_eq(mt_body_text(c, MT_SLICE("/stream")), MT_SLICE("true"))};
    options o = read_options(c);
    asked q = {0};
    k.include_usage = mt_slice_eq(mt_body_text(c, MT_SLICE("/stream_options/include_usage")), MT_SLICE("true"));
    k.model = mt_body_text(c, MT_SLICE("/model"));
    mt_slice id = mt_new_id(c);
    k.id = mt_printf(c, "chatcmpl-%.*s", (int)id.len, id.p);
    MT_TRY(target_find(c, k.model, &k.to));
    MT_TRY(check(c, &k.to, &o));
    MT_TRY(read_asked(c, &q));
    mt_status s = k.to.agent_id.p ? run_agent(&k, &q, &o) : run_model(&k, &q, &o);
    if (s == MT_LIMITED && !k.begun)
        mt_respond_header(c, MT_SLICE("retry-after"), MT_SLICE("1"));
    return s;
}
