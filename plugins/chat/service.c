/* chat/1: the same turn for other plugins. */
#include "service.h"

static mt_status read_messages(turn *t, mt_slice messages)
{
    mt_call *c = t->c;
    mt_handle doc;
    MT_TRY(mt_json_parse(c, messages, &doc));
    int64_t n = mt_json_count(c, doc, MT_SLICE(""));
    t->query = n > 0 ? mt_json_text(c, doc, mt_printf(c, "/%lld/content", (long long)n - 1)) : (mt_slice){0};
    if (!t->query.len || !mt_slice_eq(mt_json_text(c, doc, mt_printf(c, "/%lld/role", (long long)n - 1)), MT_SLICE("user")))
        return mt_problem(c, 422, MT_SLICE("question_missing"), MT_SLICE("The last message must be the user's question, a text."), MT_SLICE("/messages"));
    mt_writer w = mt_write_begin(c);
    mt_write_array(&w, NULL);
    for (int64_t i = 0; i + 1 < n; i++)
        mt_write_raw(&w, NULL, mt_json_text(c, doc, mt_printf(c, "/%lld", (long long)i)));
    mt_write_close(&w);
    return mt_write_end(&w, &t->earlier);
}

static mt_status on_open(void *self, mt_call *c, const mt_chat_in *in, mt_handle *out)
{
    turn *t = mt_alloc(c, sizeof *t);
    if (!t)
        return MT_TOO_LARGE;
    *t = (turn){.c = c, .agent_id = in->agent_id, .max_tokens = in->max_tokens, .temperature = in->temperature, .seed = in->seed, .stop = in->stop};
    MT_TRY(read_messages(t, in->messages));
    MT_TRY(turn_prepare(t));
    *out = (mt_handle)(uintptr_t)t;
    return MT_OK;
}

static mt_status on_next(void *self, mt_call *c, mt_handle handle, mt_slice *kind, mt_slice *data)
{
    return turn_next((turn *)(uintptr_t)handle, kind, data);
}

static mt_status on_answer(void *self, mt_call *c, mt_handle handle, mt_slice *json)
{
    const turn *t = (const turn *)(uintptr_t)handle;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    turn_write_answer(t, &w);
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

static mt_status on_usage(void *self, mt_call *c, mt_handle handle, mt_chat_counts *out)
{
    const turn *t = (const turn *)(uintptr_t)handle;
    *out = (mt_chat_counts){.size = sizeof *out, .input_tokens = t->counts.input_tokens, .cached_tokens = t->counts.cached_tokens,
                            .output_tokens = t->counts.output_tokens, .cost_microusd = t->counts.cost_microusd, .finish = t->finish,
                            .model = t->counts.model, .provider = t->counts.provider};
    return MT_OK;
}

static mt_status on_close(void *self, mt_call *c, mt_handle handle)
{
    turn_close((turn *)(uintptr_t)handle);
    return MT_OK;
}

const mt_chat_1_provider chat_service = {.size = sizeof chat_service, .version = 1, .open = on_open, .next = on_next, .answer = on_answer,
                                         .usage = on_usage, .close = on_close};
