/* One turn: find passages, ask the hook, let the model answer. */
#include "chat.h"

#include <stdlib.h>

static const char nothing_found[] = "I found nothing about this in the documents.";

static mt_status read_agent(turn *t)
{
    mt_call *c = t->c;
    mt_handle row;
    if (!t->agent_id.p)
        return MT_OK;
    const mt_field arg = {MT_SLICE("agent"), t->agent_id};
    mt_status s = mt_db_one(c, MT_SLICE("agent"), &arg, 1, &row);
    if (s == MT_NOT_FOUND)
        return mt_problem(c, 404, MT_SLICE("agent_not_found"), MT_SLICE("The workspace has no agent of this id."), MT_SLICE("/agent_id"));
    MT_TRY(s);
    if (mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("is_active")), MT_SLICE("f")))
        return mt_problem(c, 409, MT_SLICE("agent_inactive"), MT_SLICE("This agent is switched off."), MT_SLICE("/agent_id"));
    t->system = mt_db_value(c, row, 0, MT_SLICE("system_prompt"));
    t->model = mt_db_value(c, row, 0, MT_SLICE("model_name"));
    mt_slice temperature = mt_db_value(c, row, 0, MT_SLICE("temperature"));
    t->temperature = temperature.p ? strtod(temperature.p, NULL) : 0;
    return MT_OK;
}

static mt_status ask_hook(turn *t)
{
    mt_chat_prepare in = {.size = sizeof in, .workspace_id = mt_workspace_id(t->c), .agent_id = t->agent_id, .session_id = t->session_id,
                          .query = t->query, .system = t->system, .model = t->model, .temperature = t->temperature};
    mt_outcome o = mt_hook_emit(t->c, MT_SLICE("chat.prepare"), &in);
    if (o == MT_DENY || o == MT_ERROR)
        return o == MT_DENY ? MT_DENIED : MT_INTERNAL;
    t->query = in.query;
    t->system = in.system;
    t->model = in.model;
    t->temperature = in.temperature;
    return MT_OK;
}

static uint32_t config_u32(mt_call *c, mt_slice pointer, uint32_t fallback)
{
    mt_slice v = mt_config(c, pointer);
    return v.p ? (uint32_t)strtoul(v.p, NULL, 10) : fallback;
}

/* Keeps the passages that count as found; the model and the sources see only these, numbered from 1. */
static mt_status retrieve(turn *t)
{
    mt_call *c = t->c;
    mt_slice found, least = mt_config(c, MT_SLICE("/min_score"));
    mt_handle doc;
    double min_score = least.p ? strtod(least.p, NULL) : 0;
    MT_TRY(mt_retrieval_search(c, t->query, mt_printf(c, "{\"limit\":%u}", config_u32(c, MT_SLICE("/passages"), 6)), &found));
    MT_TRY(mt_json_parse(c, found, &doc));
    mt_writer w = mt_write_begin(c);
    mt_write_array(&w, NULL);
    for (int64_t i = 0, n = mt_json_count(c, doc, MT_SLICE("")); i < n; i++)
        if (mt_json_number(c, doc, mt_printf(c, "/%lld/score", (long long)i), 0) >= min_score)
            mt_write_raw(&w, NULL, mt_json_text(c, doc, mt_printf(c, "/%lld", (long long)i)));
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &t->passages));
    MT_TRY(mt_json_parse(c, t->passages, &t->passages_doc));
    t->n_passages = mt_json_count(c, t->passages_doc, MT_SLICE(""));
    return MT_OK;
}

/* Earlier messages oldest first, then the question. */
static mt_status write_messages(turn *t)
{
    mt_call *c = t->c;
    mt_writer w = mt_write_begin(c);
    mt_write_array(&w, NULL);
    if (t->session_id.p) {
        mt_handle rows;
        const mt_field args[] = {{MT_SLICE("session"), t->session_id}, {MT_SLICE("count"), mt_printf(c, "%u", config_u32(c, MT_SLICE("/history"), 6))}};
        MT_TRY(mt_db_query(c, MT_SLICE("history"), args, 2, &rows));
        for (uint32_t i = mt_db_rows(c, rows); i-- > 0;) {
            mt_write_object(&w, NULL);
            mt_write_text(&w, "role", mt_db_value(c, rows, i, MT_SLICE("role")));
            mt_write_text(&w, "content", mt_db_value(c, rows, i, MT_SLICE("content")));
            mt_write_close(&w);
        }
    }
    mt_write_object(&w, NULL);
    mt_write_text(&w, "role", MT_SLICE("user"));
    mt_write_text(&w, "content", t->query);
    mt_write_close(&w);
    mt_write_close(&w);
    return mt_write_end(&w, &t->messages);
}

mt_status turn_prepare(turn *t)
{
    MT_TRY(read_agent(t));
    MT_TRY(ask_hook(t));
    MT_TRY(retrieve(t));
    return write_messages(t);
}

static mt_status append(turn *t, mt_slice token)
{
    if (t->answer_len + token.len > t->answer_cap) {
        size_t cap = (t->answer_cap + token.len + 256) * 2;
        char *grown = mt_alloc(t->c, cap);
        if (!grown)
            return MT_TOO_LARGE;
        if (t->answer_len)
            memcpy(grown, t->answer, t->answer_len);
        t->answer = grown;
        t->answer_cap = cap;
    }
    memcpy(t->answer + t->answer_len, token.p, token.len);
    t->answer_len += token.len;
    return MT_OK;
}

static mt_status emit_token(turn *t, mt_slice token)
{
    mt_slice json;
    MT_TRY(append(t, token));
    if (!t->stream)
        return MT_OK;
    mt_writer w = mt_write_begin(t->c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "text", token);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_stream_event(t->c, MT_SLICE("token"), json);
}

static mt_status say_nothing_found(turn *t)
{
    t->finish = MT_SLICE("nothing_found");
    return emit_token(t, mt_str(nothing_found));
}

mt_status turn_generate(turn *t)
{
    mt_call *c = t->c;
    mt_handle generation;
    mt_slice token;
    mt_llm_counts counts = {.size = sizeof counts};
    if (!t->n_passages)
        return say_nothing_found(t);
    const mt_llm_in in = {.size = sizeof in, .model = t->model, .system = t->system, .messages = t->messages, .passages = t->passages,
                          .max_tokens = 512, .temperature = t->temperature, .top_p = -1, .seed = -1};
    MT_TRY(mt_llm_open(c, &in, &generation));
    mt_status s;
    while ((s = mt_llm_next(c, generation, &token)) == MT_OK)
        MT_TRY(emit_token(t, token));
    if (s != MT_DONE)
        return s;
    MT_TRY(mt_llm_usage(c, generation, &counts));
    t->finish = counts.finish;
    mt_llm_close(c, generation);
    return t->answer_len ? MT_OK : say_nothing_found(t);
}
