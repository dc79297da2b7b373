/* One search: sync, ask the indexes, read the passages from the rows (so a wrong index can lose, never show), rerank, tell the hook. */
#include "retrieval.h"

#include <math.h>
#include <stdlib.h>

enum { RERANKED = 30 };

/* Reads the rows of the first n candidates and drops those whose row is gone. */
static mt_status read_rows(search *s, uint32_t n)
{
    mt_call *c = s->c;
    mt_slice *ids = mt_alloc(c, (n + 1) * sizeof *ids);
    if (!ids)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        ids[i] = s->all[i].id;
    const mt_field arg = {MT_SLICE("ids"), uuid_array(c, ids, n)};
    MT_TRY(mt_db_query(c, MT_SLICE("passages"), &arg, 1, &s->rows));
    uint32_t kept = 0, n_rows = mt_db_rows(c, s->rows);
    for (uint32_t row = 0; row < n_rows; row++) {
        mt_slice id = mt_db_value(c, s->rows, row, MT_SLICE("id"));
        for (uint32_t i = 0; i < n; i++)
            if (mt_slice_eq(s->all[i].id, id)) {
                s->all[i].row = row + 1;
                s->all[i].document_id = mt_db_value(c, s->rows, row, MT_SLICE("document_id"));
                s->all[i].start = (uint32_t)mt_int(mt_db_value(c, s->rows, row, MT_SLICE("start_char")), 0);
                break;
            }
    }
    for (uint32_t i = 0; i < n; i++)
        if (s->all[i].row) {
            s->all[kept] = s->all[i];
            s->all[kept++].row--;
        }
    s->n = kept;
    return MT_OK;
}

static const char *note_of(mt_status s)
{
    return s == MT_TIMEOUT ? "The reranker took too long: the order is that of the search."
           : s == MT_NOT_FOUND ? "There is no such reranker here: the order is that of the search."
                               : "The reranker failed: the order is that of the search.";
}

/* The reranker's scores take the place of the others. A reranker that is slow, fails or is not there leaves all as it was, and that is told. */
static mt_status rerank(search *s)
{
    mt_call *c = s->c;
    uint32_t n = s->n < RERANKED ? s->n : RERANKED;
    const float *scores;
    size_t found = 0;
    if (!s->o.rerank.len || !n)
        return MT_OK;
    mt_slice model = mt_slice_eq(s->o.rerank, MT_SLICE("default")) ? (mt_slice){0} : s->o.rerank, *texts = mt_alloc(c, n * sizeof *texts);
    if (!texts)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        texts[i] = mt_db_value(c, s->rows, s->all[i].row, MT_SLICE("text"));
    mt_slice limit = mt_config(c, MT_SLICE("/rerank_timeout_ms"));
    mt_status status = mt_reranker_score(c, model, s->query, texts, n, mt_int(limit, 0), &scores, &found);
    if (status == MT_CANCELLED)
        return status;
    if (status == MT_OK && found != n)
        status = MT_INTERNAL;
    s->rerank_note = status == MT_OK ? NULL : note_of(status);
    if (s->rerank_note)
        return MT_OK;
    for (uint32_t i = 0; i < n; i++)
        s->all[i].score = s->all[i].rerank = (double)scores[i];
    s->n = n;
    candidates_sort(s);
    return MT_OK;
}

static bool collapses(const search *s)
{
    return mt_slice_eq(s->o.collapse, MT_SLICE("document"));
}

/* Keeps the best passage of each document. */
static void collapse(search *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        bool seen = false;
        for (uint32_t k = 0; k < kept && !seen; k++)
            seen = mt_slice_eq(s->all[i].document_id, s->all[k].document_id);
        if (!seen)
            s->all[kept++] = s->all[i];
    }
    s->n = kept;
}

static mt_status write_results(search *s, mt_slice *json)
{
    mt_writer w = mt_write_begin(s->c);
    mt_write_array(&w, NULL);
    for (uint32_t i = s->o.offset; i < s->n && i < s->o.offset + s->o.limit; i++)
        passage_write(s, &w, &s->all[i], i - s->o.offset + 1);
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

static mt_status tell_hook(search *s, mt_slice *results)
{
    mt_retrieval_results in = {.size = sizeof in, .workspace_id = s->state.workspace_id, .query = s->query, .results = *results};
    mt_outcome o = mt_hook_emit(s->c, MT_SLICE("retrieval.results"), &in);
    *results = in.results;
    return o == MT_DENY ? MT_DENIED : o == MT_ERROR ? MT_INTERNAL : MT_OK;
}

static mt_status read_options(search *s, mt_slice options)
{
    mt_handle settings;
    MT_TRY(mt_json_parse(s->c, options.len ? options : MT_SLICE("{}"), &s->request));
    options_default(&s->o);
    if (s->state.settings.len) {
        MT_TRY(mt_json_parse(s->c, s->state.settings, &settings));
        options_read(s->c, settings, &s->o);
    }
    options_read(s->c, s->request, &s->o);
    static const char *const modes[] = {"text", "vector", "hybrid"};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (mt_slice_eq(s->o.mode, mt_str(modes[i])))
            return s->o.limit && s->o.limit <= 100 && s->o.offset <= 100 && s->o.candidates <= 200
                       ? MT_OK
                       : mt_problem(s->c, 422, MT_SLICE("search_bounds"), MT_SLICE("A search has a limit of 1 to 100, an offset and candidates of at most 100 and 200."),
                                    MT_SLICE("/limit"));
    return mt_problem(s->c, 422, MT_SLICE("mode_unsupported"), MT_SLICE("The mode is \"text\", \"vector\" or \"hybrid\"."), MT_SLICE("/mode"));
}

/* Candidates with their rows. none: there is nothing to search in. lost: rows of candidates are gone. */
static mt_status find(search *s, mt_slice options, bool *none, bool *lost)
{
    mt_status status = retrieval_sync(s->c, &s->state);
    if (status != MT_OK && status != MT_NOT_FOUND)
        return status;
    MT_TRY(read_options(s, options));
    *none = status == MT_NOT_FOUND;
    if (*none)
        return MT_OK;
    filter_read(s);
    MT_TRY(candidates_find(s));
    uint32_t shown = s->o.limit + s->o.offset, n = !collapses(s) && !s->o.rerank.len && s->n > shown ? shown : s->n;
    while (n < s->n && n && s->all[n].score == s->all[n - 1].score)
        n++;                                  /* who of equals is shown depends on their rows */
    MT_TRY(read_rows(s, n));
    *lost = s->n < n;
    candidates_sort(s);
    return MT_OK;
}

/* A document that was read anew between the indexes' answer and the rows has other chunks now: looked for once more, they are found. */
static mt_status find_settled(search *s, mt_slice options, bool *none)
{
    const search begin = *s;
    bool lost = false;
    MT_TRY(find(s, options, none, &lost));
    if (!lost)
        return MT_OK;
    mt_db_free(s->c, s->rows);
    *s = begin;
    return find(s, options, none, &lost);
}

static mt_handle seconds, rerankings;

mt_status search_declare_metrics(mt_call *c)
{
    MT_TRY(mt_metrics_family(c, MT_SLICE("histogram"), MT_SLICE("search_seconds"), MT_SLICE("Time of searches that were answered, by mode; of an empty workspace too."),
                             MT_SLICE("mode"), &seconds));
    return mt_metrics_family(c, MT_SLICE("counter"), MT_SLICE("rerankings"), MT_SLICE("Searches that asked for a reranker, by what came of it (reranked, not)."),
                             MT_SLICE("outcome"), &rerankings);
}

static mt_status run(search *s, mt_slice options, mt_slice *results)
{
    bool none = false;
    *results = MT_SLICE("[]");
    MT_TRY(find_settled(s, options, &none));
    if (none)
        return MT_OK;
    MT_TRY(rerank(s));
    if (collapses(s))
        collapse(s);
    while (s->n && s->all[s->n - 1].score < s->o.min_score)
        s->n--;
    MT_TRY(write_results(s, results));
    return tell_hook(s, results);
}

mt_status search_run(search *s, mt_slice options, mt_slice *results)
{
    int64_t began = mt_host_->clock_us();
    mt_status status = run(s, options, results);
    const mt_slice outcome = s->rerank_note ? MT_SLICE("not") : MT_SLICE("reranked");
    if (status == MT_OK)
        mt_metrics_observe(seconds, &s->o.mode, 1, (double)(mt_host_->clock_us() - began) / 1e6);
    if (status == MT_OK && s->o.rerank.len)
        mt_metrics_add(rerankings, &outcome, 1, 1);
    return status;
}
