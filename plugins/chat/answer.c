/* The answer as it is told: its members, and how sure it is. */
#include "chat.h"

/* all-MiniLM-L6-v2: unrelated English pairs score below 0.2, passages that hold the answer mostly 0.5 to 0.8. */
#define UNRELATED 0.2
#define CERTAIN 0.75
#define MEANING 0.8     /* against the agreement of the words */

double relevance_of(double score)
{
    double x = (score - UNRELATED) / (CERTAIN - UNRELATED);
    return x < 0 || x != x ? 0 : x > 1 ? 1 : x;
}

double confidence_of(double relevance, double words, double share)
{
    double agreed = words < 0 ? relevance : words > 1 ? 1 : words;
    return (MEANING * relevance + (1 - MEANING) * agreed) * share;
}

mt_slice nothing_found_text(mt_language language)
{
    return language == MT_LANGUAGE_HR ? MT_SLICE("U vašim dokumentima o tome nisam našao ništa.") : MT_SLICE("I found nothing about this in your documents.");
}

void turn_write_citation(const turn *t, mt_writer *w, const char *name, const citation *q)
{
    const passage *p = &t->passages[q->passage];
    mt_write_object(w, name);
    mt_write_int(w, "number", (int64_t)q->passage + 1);
    mt_write_text(w, "document_id", p->document_id);
    mt_write_text(w, "file_name", p->file_name);
    mt_write_raw(w, "page", p->page);
    mt_write_int(w, "start_char", q->start_char);
    mt_write_int(w, "end_char", q->end_char);
    mt_write_text(w, "quote", q->quote);
    mt_write_int(w, "answer_start", (int64_t)q->answer_start);
    mt_write_int(w, "answer_end", (int64_t)q->answer_end);
    mt_write_close(w);
}

void turn_write_usage(const turn *t, mt_writer *w, const char *name)
{
    mt_write_object(w, name);
    mt_write_int(w, "input_tokens", t->counts.input_tokens);
    mt_write_int(w, "cached_tokens", t->counts.cached_tokens);
    mt_write_int(w, "output_tokens", t->counts.output_tokens);
    mt_write_text(w, "cost_microusd", mt_printf(t->c, "%lld", (long long)t->counts.cost_microusd));
    mt_write_text(w, "model", t->counts.model);
    mt_write_text(w, "provider", t->counts.provider);
    mt_write_close(w);
}

static void write_unsupported(const turn *t, mt_writer *w)
{
    mt_write_array(w, "unsupported");
    for (const checked *one = t->unsupported; one; one = one->next) {
        mt_write_object(w, NULL);
        mt_write_int(w, "answer_start", (int64_t)one->start);
        mt_write_int(w, "answer_end", (int64_t)one->end);
        mt_write_close(w);
    }
    mt_write_close(w);
}

void turn_write_answer(const turn *t, mt_writer *w)
{
    mt_write_text(w, "answer", (mt_slice){t->answer ? t->answer : "", t->answer_len});
    mt_write_text(w, "language", mt_str(mt_language_code(t->language)));
    mt_write_double(w, "confidence", t->confidence);
    mt_write_text(w, "finish", t->finish);
    turn_write_sources(t, w, "sources");
    mt_write_array(w, "citations");
    for (const citation *q = t->citations; q; q = q->next)
        turn_write_citation(t, w, NULL, q);
    mt_write_close(w);
    write_unsupported(t, w);
    turn_write_usage(t, w, "usage");
    mt_write_text(w, "agent_id", t->agent_id);
    mt_write_raw(w, "prompt_version", t->prompt_version);
}
