/* What retrieval found, numbered as the answer cites it. */
#include "chat.h"

enum { SMALL_PASSAGES = 2, SMALL_BYTES = 500 };

#define MANY_WORDS 0.5     /* of the question: found, however far its meaning seems */

static bool is_known(const turn *t, mt_slice chunk_id)
{
    for (size_t i = 0; i < t->n_passages; i++)
        if (mt_slice_eq(t->passages[i].chunk_id, chunk_id))
            return true;
    return false;
}

static mt_slice member(mt_call *c, mt_handle doc, int64_t i, const char *name)
{
    return mt_json_text(c, doc, mt_printf(c, "/%lld/%s", (long long)i, name));
}

/* How near it is in meaning, and how many of the question's words it has; -1: that was not looked at. */
static void read_scores(mt_call *c, mt_handle doc, int64_t i, passage *p)
{
    p->score = mt_json_number(c, doc, mt_printf(c, "/%lld/score", (long long)i), 0);
    p->text_score = mt_json_number(c, doc, mt_printf(c, "/%lld/text_score", (long long)i), -1);
    p->vector_score = mt_json_number(c, doc, mt_printf(c, "/%lld/vector_score", (long long)i), p->text_score < 0 ? p->score : -1);
}

static mt_status add(turn *t, mt_handle doc, int64_t i, const passage *scores)
{
    mt_call *c = t->c;
    passage *p = &t->passages[t->n_passages];
    *p = (passage){.document_id = member(c, doc, i, "document_id"), .file_name = member(c, doc, i, "file_name"), .chunk_id = member(c, doc, i, "chunk_id"),
                   .section = member(c, doc, i, "section"), .text = member(c, doc, i, "text"), .page = member(c, doc, i, "page"), .score = scores->score,
                   .text_score = scores->text_score, .vector_score = scores->vector_score};
    if (is_known(t, p->chunk_id))
        return MT_OK;
    p->start_char = (int64_t)mt_json_number(c, doc, mt_printf(c, "/%lld/start_char", (long long)i), 0);
    mt_slice end = member(c, doc, i, "end_char");
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "document_id", p->document_id);
    mt_write_text(&w, "file_name", p->file_name);
    mt_write_text(&w, "chunk_id", p->chunk_id);
    mt_write_text(&w, "section", p->section);
    mt_write_text(&w, "text", p->text);
    mt_write_int(&w, "number", (int64_t)t->n_passages + 1);
    mt_write_double(&w, "score", p->score);
    mt_write_raw(&w, "page", p->page);
    mt_write_int(&w, "start_char", p->start_char);
    mt_write_raw(&w, "end_char", end);
    MT_TRY((mt_write_close(&w), mt_write_end(&w, &p->json)));
    t->n_passages++;
    return support_add(t->support, p->text, mt_printf(c, "%.*s. %.*s", (int)p->section.len, p->section.p ? p->section.p : "", (int)p->file_name.len,
                                                       p->file_name.p ? p->file_name.p : ""));
}

mt_status turn_search(turn *t, mt_slice query, mt_slice options, size_t *added)
{
    mt_call *c = t->c;
    mt_slice found;
    mt_handle doc;
    double min_score = mt_number(mt_config(c, MT_SLICE("/min_score")), 0);
    size_t before = t->n_passages;
    t->looked = true;
    MT_TRY(mt_retrieval_search(c, query, options, &found));
    MT_TRY(mt_json_parse(c, found, &doc));
    for (int64_t i = 0, n = mt_json_count(c, doc, MT_SLICE("")); i < n && t->n_passages < PASSAGES_MAX; i++) {
        passage scores;
        read_scores(c, doc, i, &scores);
        if (scores.vector_score >= min_score || scores.text_score >= MANY_WORDS)
            MT_TRY(add(t, doc, i, &scores));
    }
    *added = t->n_passages - before;
    return MT_OK;
}

/* A small model reads a few short ones: what it is given beyond that leads it astray. */
static void write_excerpts(const turn *t, mt_writer *w)
{
    excerpt list[SMALL_PASSAGES];
    for (size_t i = 0, n = support_excerpts(t->support, SMALL_BYTES, list, SMALL_PASSAGES); i < n; i++) {
        mt_write_object(w, NULL);
        mt_write_int(w, "number", (int64_t)list[i].passage + 1);
        mt_write_text(w, "text", list[i].text);
        mt_write_close(w);
    }
}

mt_status turn_write_passages(const turn *t, mt_slice *json)
{
    mt_writer w = mt_write_begin(t->c);
    mt_write_array(&w, NULL);
    if (t->info.small)
        write_excerpts(t, &w);
    else
        for (size_t i = 0, n = turn_passages_fit(t); i < n; i++)
            mt_write_raw(&w, NULL, t->passages[i].json);
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

void turn_write_sources(const turn *t, mt_writer *w, const char *name)
{
    mt_write_array(w, name);
    for (size_t i = 0; i < t->n_passages; i++) {
        mt_slice json = t->passages[i].json;     /* an object: the member goes before its brace */
        mt_write_raw(w, NULL, mt_printf(t->c, "%.*s,\"cited\":%s}", (int)json.len - 1, json.p, t->passages[i].cited ? "true" : "false"));
    }
    mt_write_close(w);
}
