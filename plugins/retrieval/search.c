/* One search: sync, embed the question, ask the index, read the passages from the rows (so a wrong index can lose, never show), tell the hook. */
#include "retrieval.h"

#include <stdlib.h>

typedef struct hit {
    mt_slice id;
    double score;
} hit;

typedef struct found {
    hit *hits;
    uint32_t n_hits;
    mt_handle rows;
    uint32_t limit;
    mt_slice *allowed;           /* chunk ids that the filter allows */
    size_t n_allowed;
    bool filtered;
} found;

/* PostgreSQL's array text of UUIDs. */
static mt_slice uuid_array(mt_call *c, const mt_slice *ids, size_t n)
{
    char *p = mt_alloc(c, n * 37 + 3), *at = p;
    if (!p)
        return (mt_slice){0};
    *at++ = '{';
    for (size_t i = 0; i < n; i++) {
        if (i)
            *at++ = ',';
        memcpy(at, ids[i].p, 36);
        at += 36;
    }
    *at++ = '}';
    return (mt_slice){p, (size_t)(at - p)};
}

static mt_slice filter_documents(mt_call *c, mt_handle options)
{
    int64_t n = mt_json_count(c, options, MT_SLICE("/filter/document_ids"));
    if (n <= 0)
        return (mt_slice){0};
    mt_slice *ids = mt_alloc(c, (size_t)n * sizeof *ids);
    for (int64_t i = 0; ids && i < n; i++)
        ids[i] = mt_json_text(c, options, mt_printf(c, "/filter/document_ids/%lld", (long long)i));
    return ids ? uuid_array(c, ids, (size_t)n) : (mt_slice){0};
}

static mt_status resolve_filter(mt_call *c, mt_handle options, found *f)
{
    mt_handle rows;
    mt_slice documents = filter_documents(c, options), name = mt_json_text(c, options, MT_SLICE("/filter/file_name"));
    if (!documents.p && !name.p)
        return MT_OK;
    const mt_field args[] = {{MT_SLICE("documents"), documents}, {MT_SLICE("file_name"), name}};
    MT_TRY(mt_db_query(c, name.p ? MT_SLICE("chunks_of_file") : MT_SLICE("chunks_of_documents"), args, 2, &rows));
    f->filtered = true;
    f->n_allowed = mt_db_rows(c, rows);
    f->allowed = mt_alloc(c, (f->n_allowed + 1) * sizeof *f->allowed);
    for (uint32_t i = 0; f->allowed && i < f->n_allowed; i++)
        f->allowed[i] = mt_db_value(c, rows, i, MT_SLICE("id"));
    return f->allowed ? MT_OK : MT_TOO_LARGE;
}

/* Best first; a passage that several models know counts by its best score. */
static void keep(found *f, hit h)
{
    uint32_t at = 0, old = 0;
    while (old < f->n_hits && !mt_slice_eq(f->hits[old].id, h.id))
        old++;
    if (old < f->n_hits && f->hits[old].score >= h.score)
        return;
    while (at < old && f->hits[at].score >= h.score)
        at++;
    if (at == f->limit)
        return;
    if (old == f->n_hits && f->n_hits < f->limit)
        f->n_hits++;
    else if (old == f->n_hits)
        old--;
    memmove(f->hits + at + 1, f->hits + at, (old - at) * sizeof h);
    f->hits[at] = h;
}

static mt_status ask_index(mt_call *c, mt_slice model, mt_slice query, found *f)
{
    const float *vector;
    size_t n;
    mt_handle result;
    hit h;
    MT_TRY(mt_embedder_embed(c, model, &query, 1, &vector, &n));
    MT_TRY(mt_index_search(c, mt_workspace_id(c), model, vector, n, f->limit, f->allowed, f->n_allowed, &result));
    for (uint32_t i = 0; i < f->limit && mt_index_hit(c, result, i, &h.id, &h.score) == MT_OK; i++)
        keep(f, h);
    return MT_OK;
}

static mt_status ask_indexes(mt_call *c, const retrieval_model *models, uint32_t n, mt_slice query, found *f)
{
    f->hits = mt_alloc(c, (f->limit + 1) * sizeof *f->hits);
    if (!f->hits)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        MT_TRY(ask_index(c, models[i].name, query, f));
    return MT_OK;
}

static mt_status read_rows(mt_call *c, found *f)
{
    mt_slice *ids = mt_alloc(c, (f->n_hits + 1) * sizeof *ids);
    if (!ids)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i < f->n_hits; i++)
        ids[i] = f->hits[i].id;
    const mt_field arg = {MT_SLICE("ids"), uuid_array(c, ids, f->n_hits)};
    return mt_db_query(c, MT_SLICE("passages"), &arg, 1, &f->rows);
}

static void write_passage(mt_call *c, mt_writer *w, mt_handle rows, uint32_t i, uint32_t number, double score)
{
    static const char *const texts[] = {"document_id", "file_name", "section", "text"};
    static const char *const numbers[] = {"page", "start_char", "end_char"};
    mt_write_object(w, NULL);
    mt_write_int(w, "number", number);
    mt_write_text(w, "chunk_id", mt_db_value(c, rows, i, MT_SLICE("id")));
    mt_write_double(w, "score", score);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        mt_write_text(w, texts[k], mt_db_value(c, rows, i, mt_str(texts[k])));
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        mt_write_raw(w, numbers[k], mt_db_value(c, rows, i, mt_str(numbers[k])));
    mt_write_close(w);
}

/* In the index's order; a hit whose row is gone is left out. */
static mt_status write_results(mt_call *c, found *f, mt_slice *json)
{
    mt_writer w = mt_write_begin(c);
    uint32_t number = 0, n_rows = mt_db_rows(c, f->rows);
    mt_write_array(&w, NULL);
    for (uint32_t i = 0; i < f->n_hits; i++)
        for (uint32_t k = 0; k < n_rows; k++)
            if (mt_slice_eq(f->hits[i].id, mt_db_value(c, f->rows, k, MT_SLICE("id")))) {
                write_passage(c, &w, f->rows, k, ++number, f->hits[i].score);
                break;
            }
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

static mt_status tell_hook(mt_call *c, mt_slice query, mt_slice *results)
{
    mt_retrieval_results in = {.size = sizeof in, .workspace_id = mt_workspace_id(c), .query = query, .results = *results};
    mt_outcome o = mt_hook_emit(c, MT_SLICE("retrieval.results"), &in);
    *results = in.results;
    return o == MT_DENY ? MT_DENIED : o == MT_ERROR ? MT_INTERNAL : MT_OK;
}

mt_status retrieval_search(void *self, mt_call *c, mt_slice query, mt_slice options, mt_slice *results)
{
    found f = {0};
    uint32_t n_models;
    mt_handle doc;
    retrieval_model *models;
    MT_TRY(mt_json_parse(c, options.len ? options : MT_SLICE("{}"), &doc));
    f.limit = (uint32_t)mt_json_number(c, doc, MT_SLICE("/limit"), 10);
    mt_slice mode = mt_json_text(c, doc, MT_SLICE("/mode"));
    if (mode.p && !mt_slice_eq(mode, MT_SLICE("vector")))
        return mt_problem(c, 422, MT_SLICE("mode_unsupported"), MT_SLICE("The mode is \"vector\"."), MT_SLICE("/mode"));
    *results = MT_SLICE("[]");
    mt_status s = retrieval_sync(c, &models, &n_models);
    if (s == MT_NOT_FOUND)
        return MT_OK;
    MT_TRY(s);
    MT_TRY(resolve_filter(c, doc, &f));
    if (f.filtered && !f.n_allowed)
        return MT_OK;
    MT_TRY(ask_indexes(c, models, n_models, query, &f));
    MT_TRY(read_rows(c, &f));
    MT_TRY(write_results(c, &f, results));
    return tell_hook(c, query, results);
}
