/* Asks the indexes and makes one list of what they found. Each index is asked first for its best, then for its word on what only the other found, so that
 * scores are whole. */
#include "retrieval.h"

#include <math.h>
#include <stdlib.h>

typedef struct query_vector {
    const float *p;
    size_t n;
} query_vector;

static candidate *get(search *s, mt_slice id)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (mt_slice_eq(s->all[i].id, id))
            return &s->all[i];
    if (s->n == s->room)
        return NULL;
    s->all[s->n] = (candidate){.id = id, .vector = NAN, .text = NAN, .rerank = NAN};
    return &s->all[s->n++];
}

static bool is_mode(const search *s, const char *mode)
{
    return mt_slice_eq(s->o.mode, mt_str(mode)) || mt_slice_eq(s->o.mode, MT_SLICE("hybrid"));
}

static uint32_t wanted(const search *s)
{
    uint32_t shown = s->o.limit + s->o.offset;
    return s->o.candidates > shown ? s->o.candidates : shown;
}

/* --- vectors --- */

static mt_status ask_vectors(search *s, const retrieval_model *m, query_vector v, uint32_t limit, const mt_slice *only, size_t n_only)
{
    mt_handle hits;
    mt_slice id;
    double score;
    MT_TRY(mt_index_search(s->c, s->state.workspace_id, m->name, v.p, v.n, limit, only, n_only, &hits));
    for (uint32_t i = 0; i < limit && mt_index_hit(s->c, hits, i, &id, &score) == MT_OK; i++) {
        candidate *x = get(s, id);
        if (x && !(x->vector >= score)) /* a passage that several models know counts by its best */
            x->vector = score;
    }
    return MT_OK;
}

/* The ids of candidates that lack one of the scores. */
static size_t lacking(search *s, bool vector, mt_slice *ids)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (isnan(vector ? s->all[i].vector : s->all[i].text))
            ids[n++] = s->all[i].id;
    return n;
}

/* --- words --- */

static mt_status ask_words(search *s, uint32_t limit, const mt_slice *only, size_t n_only)
{
    mt_handle hits;
    mt_slice id, language = s->o.language.len ? s->o.language : (mt_slice){0};
    double score;
    MT_TRY(mt_text_index_search(s->c, s->state.workspace_id, s->query, language, limit, only, n_only, &hits));
    for (uint32_t i = 0; i < limit && mt_text_index_hit(s->c, hits, i, &id, &score) == MT_OK; i++) {
        candidate *x = get(s, id);
        if (x)
            x->text = score;
    }
    return MT_OK;
}

/* --- one list --- */

static int by_vector(const void *a, const void *b)
{
    const candidate *x = *(candidate *const *)a, *y = *(candidate *const *)b;
    return (x->vector < y->vector) - (x->vector > y->vector);
}

static int by_text(const void *a, const void *b)
{
    const candidate *x = *(candidate *const *)a, *y = *(candidate *const *)b;
    return (x->text < y->text) - (x->text > y->text);
}

/* Ranks from 1 of those that have the score; 0 for the others and for words that are not there at all. */
static mt_status rank(search *s, bool vector)
{
    candidate **order = mt_alloc(s->c, (s->n + 1) * sizeof *order);
    size_t n = 0;
    if (!order)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i < s->n; i++)
        if (vector ? !isnan(s->all[i].vector) : s->all[i].text > 0)
            order[n++] = &s->all[i];
    qsort(order, n, sizeof *order, vector ? by_vector : by_text);
    for (size_t i = 0; i < n; i++)
        *(vector ? &order[i]->vector_rank : &order[i]->text_rank) = (uint32_t)i + 1;
    return MT_OK;
}

static double at_least_0(double v)
{
    return v > 0 ? fmin(v, 1) : 0;
}

static double fuse(const search *s, const candidate *x)
{
    bool words = is_mode(s, "text"), vectors = is_mode(s, "vector");
    if (!words || !vectors)
        return at_least_0(words ? x->text : x->vector);
    if (mt_slice_eq(s->o.fusion, MT_SLICE("rrf"))) {
        double sum = (x->text_rank ? 1 / (s->o.rrf_k + x->text_rank) : 0) + (x->vector_rank ? 1 / (s->o.rrf_k + x->vector_rank) : 0);
        return sum * (s->o.rrf_k + 1) / 2;
    }
    return s->o.text_weight * at_least_0(x->text) + (1 - s->o.text_weight) * at_least_0(x->vector);
}

static int by_score(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return memcmp(x->id.p, y->id.p, 36);
}

void candidates_sort(search *s)
{
    if (s->n)
        qsort(s->all, s->n, sizeof *s->all, by_score);
}

static mt_status complete(search *s, const query_vector *vectors)
{
    mt_slice *ids = mt_alloc(s->c, (s->n + 1) * sizeof *ids);
    if (!ids)
        return MT_NO_MEMORY;
    size_t n = lacking(s, false, ids);
    if (n)
        MT_TRY(ask_words(s, (uint32_t)n, ids, n));
    n = lacking(s, true, ids);
    for (uint32_t i = 0; n && i < s->state.n_models; i++)
        MT_TRY(ask_vectors(s, &s->state.models[i], vectors[i], (uint32_t)n, ids, n));
    return MT_OK;
}

mt_status candidates_find(search *s)
{
    mt_call *c = s->c;
    query_vector *vectors = mt_alloc(c, (s->state.n_models + 1) * sizeof *vectors);
    s->room = wanted(s) * (s->state.n_models + 1);
    s->all = mt_alloc(c, s->room * sizeof *s->all);
    if (!vectors || !s->all)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; is_mode(s, "vector") && i < s->state.n_models; i++) {
        MT_TRY(mt_embedder_embed(c, s->state.models[i].name, &s->query, 1, &vectors[i].p, &vectors[i].n));
        MT_TRY(ask_vectors(s, &s->state.models[i], vectors[i], wanted(s), s->allowed, s->n_allowed));
    }
    if (is_mode(s, "text"))
        MT_TRY(ask_words(s, wanted(s), s->allowed, s->n_allowed));
    if (is_mode(s, "text") && is_mode(s, "vector"))
        MT_TRY(complete(s, vectors));
    MT_TRY(rank(s, true));
    MT_TRY(rank(s, false));
    for (uint32_t i = 0; i < s->n; i++)
        s->all[i].score = fuse(s, &s->all[i]);
    candidates_sort(s);
    return MT_OK;
}
