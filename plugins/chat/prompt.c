/* What a model is told: the rules, what was said before, the question. */
#include "chat.h"

#include "window.h"

/* A small model does what is said last and shortly. Extractive ones read the passages themselves and need no rules. */
mt_slice turn_system(const turn *t)
{
    if (t->info.reads_passages)
        return t->system;
    if (t->info.small)
        return mt_printf(t->c, "%.*s%sAnswer with the words of the passages. Write the number of its passage, like [1], after each sentence.",
                         (int)t->system.len, t->system.p ? t->system.p : "", t->system.len ? "\n" : "");
    const char *language = t->language == MT_LANGUAGE_HR ? " Answer in Croatian." : t->language == MT_LANGUAGE_EN ? " Answer in English." : "";
    return mt_printf(t->c, "%.*s%sAnswer in one to three short sentences with the words of the passages. Write the number of its passage, like [1], after each "
                           "sentence.%s",
                     (int)t->system.len, t->system.p ? t->system.p : "", t->system.len ? "\n" : "", language);
}

typedef struct message {
    mt_slice role, content;
} message;

/* Earlier messages, newest first. */
static mt_status read_session(turn *t, message **out, size_t *n)
{
    mt_call *c = t->c;
    mt_handle rows;
    const mt_field arg = {MT_SLICE("session"), t->session_id};
    MT_TRY(mt_db_query(c, MT_SLICE("history"), &arg, 1, &rows));
    *n = mt_db_rows(c, rows);
    *out = mt_alloc(c, (*n + 1) * sizeof **out);
    for (uint32_t i = 0; *out && i < *n; i++)
        (*out)[i] = (message){mt_db_value(c, rows, i, MT_SLICE("role")), mt_db_value(c, rows, i, MT_SLICE("content"))};
    return *out ? MT_OK : MT_TOO_LARGE;
}

static mt_status read_given(turn *t, message **out, size_t *n)
{
    mt_call *c = t->c;
    mt_handle doc;
    MT_TRY(mt_json_parse(c, t->earlier, &doc));
    int64_t count = mt_json_count(c, doc, MT_SLICE(""));
    *n = count > 0 ? (size_t)count : 0;
    *out = mt_alloc(c, (*n + 1) * sizeof **out);
    for (size_t i = 0; *out && i < *n; i++)
        (*out)[*n - 1 - i] = (message){mt_json_text(c, doc, mt_printf(c, "/%zu/role", i)), mt_json_text(c, doc, mt_printf(c, "/%zu/content", i))};
    return *out ? MT_OK : MT_TOO_LARGE;
}

static mt_status read_earlier(turn *t, message **out, size_t *n)
{
    *n = 0;
    if (t->earlier.p)
        return read_given(t, out, n);
    return t->session_id.p ? read_session(t, out, n) : MT_OK;
}

mt_status turn_search_text(turn *t, mt_slice *text)
{
    message *list;
    size_t n;
    *text = t->query;
    if (!window_follows_up(t->query, t->language))
        return MT_OK;
    MT_TRY(read_earlier(t, &list, &n));
    for (size_t i = 0; i < n; i++)
        if (mt_slice_eq(list[i].role, MT_SLICE("user"))) {
            *text = mt_printf(t->c, "%.*s %.*s", (int)list[i].content.len, list[i].content.p, (int)t->query.len, t->query.p);
            break;
        }
    return MT_OK;
}

static uint32_t count(const turn *t, mt_slice text)
{
    return text.len ? mt_llm_count_tokens(t->c, t->info.model, text) + 8 : 0;   /* 8: what a chat template adds to a message */
}

/* A model that writes is given the best passages that fill a third of its context, and one at least; one that quotes reads them all. */
size_t turn_passages_fit(const turn *t)
{
    uint32_t left = t->info.context_tokens / 3;
    size_t n = 0;
    if (t->info.reads_passages)
        return t->n_passages;
    for (; n < t->n_passages; n++) {
        uint32_t tokens = count(t, t->passages[n].text);
        if (n && tokens > left)
            break;
        left -= tokens < left ? tokens : left;
    }
    return n;
}

static size_t fitting(turn *t, const message *list, size_t n, mt_slice passages)
{
    uint32_t *tokens = mt_alloc(t->c, (n + 1) * sizeof *tokens);
    uint32_t needed = count(t, turn_system(t)) + count(t, t->query) + count(t, passages) + count(t, t->rounds) + t->max_tokens;
    for (size_t i = 0; tokens && i < n; i++)
        tokens[i] = count(t, list[i].content);
    size_t fit = tokens ? window_fit(tokens, n, window_budget(t->info.context_tokens, needed, turn_config(t->c, MT_SLICE("/history_tokens"), 1000))) : 0;
    if (fit && !mt_slice_eq(list[fit - 1].role, MT_SLICE("user")))
        fit--;                                /* an answer without its question misleads */
    return fit;
}

static void write_message(mt_writer *w, mt_slice role, mt_slice content)
{
    mt_write_object(w, NULL);
    mt_write_text(w, "role", role);
    mt_write_text(w, "content", content);
    mt_write_close(w);
}

mt_status turn_write_messages(turn *t, mt_slice *json)
{
    message *list;
    size_t n;
    mt_slice passages;
    MT_TRY(turn_write_passages(t, &passages));
    MT_TRY(read_earlier(t, &list, &n));
    mt_writer w = mt_write_begin(t->c);
    mt_write_array(&w, NULL);
    for (size_t i = n ? fitting(t, list, n, passages) : 0; i-- > 0;)
        write_message(&w, list[i].role, list[i].content);
    write_message(&w, MT_SLICE("user"), t->query);
    if (t->rounds.len)
        mt_write_raw(&w, NULL, t->rounds);
    mt_write_close(&w);
    return mt_write_end(&w, json);
}
