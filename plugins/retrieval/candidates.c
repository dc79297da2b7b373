/* Asks the indexes and makes one list of what they found. Each index is asked first for its best, then for its word on what only the other found, so that
 * scores are whole. */
#include "retrieval.h"

#include <math.h>
#include <stdlib.h>

enum { BROAD = 4 };      /* how many times as many are looked at when a filter may keep much */

typedef struct query_vector {
    const float *p;
    size_t n;
} query_vector;

/* One index's answer, best first. */
typedef struct answer {
    mt_slice *ids;
    double *scores;
    uint32_t n;
} answer;

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

static mt_status make_room(search *s, answer *a, uint32_t limit)
{
    *a = (answer){.ids = mt_alloc(s->c, (limit + 1) * sizeof *a->ids), .scores = mt_alloc(s->c, (limit + 1) * sizeof *a->scores)};
    return a->ids && a->scores ? MT_OK : MT_NO_MEMORY;
}

static mt_status ask_vectors(search *s, const retrieval_model *m, query_vector v, uint32_t limit, const mt_slice *only, size_t n_only, answer *a)
{
    mt_handle hits;
    MT_TRY(make_room(s, a, limit));
    MT_TRY(mt_index_search(s->c, s->state.workspace_id, m->name, v.p, v.n, limit, only, n_only, &hits));
    while (a->n < limit && mt_index_hit(s->c, hits, a->n, &a->ids[a->n], &a->scores[a->n]) == MT_OK)
        a->n++;
    return MT_OK;
}

static void take_vectors(search *s, const answer *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        candidate *x = get(s, a->ids[i]);
        if (x && !(x->vector >= a->scores[i])) /* a passage that several models know counts by its best */
            x->vector = a->scores[i];
    }
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

static mt_status ask_words(search *s, uint32_t limit, const mt_slice *only, size_t n_only, answer *a)
{
    mt_handle hits;
    mt_slice language = s->o.language.len ? s->o.language : (mt_slice){0};
    MT_TRY(make_room(s, a, limit));
    MT_TRY(mt_text_index_search(s->c, s->state.workspace_id, s->query, language, limit, only, n_only, &hits));
    while (a->n < limit && mt_text_index_hit(s->c, hits, a->n, &a->ids[a->n], &a->scores[a->n]) == MT_OK)
        a->n++;
    return MT_OK;
}

static void take_words(search *s, const answer *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        candidate *x = get(s, a->ids[i]);
        if (x)
            x->text = a->scores[i];
    }
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

/* Equals stand in the order of their documents' uploads, as ids of documents tell it; ids of chunks tell only who was read first. */
static int by_score(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    int documents = x->document_id.p && y->document_id.p ? memcmp(x->document_id.p, y->document_id.p, 36) : 0;
    return documents ? documents : x->start != y->start ? (x->start > y->start) - (x->start < y->start) : memcmp(x->id.p, y->id.p, 36);
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
    answer a;
    size_t n = lacking(s, false, ids);
    if (n) {
        MT_TRY(ask_words(s, (uint32_t)n, ids, n, &a));
        take_words(s, &a);
    }
    n = lacking(s, true, ids);
    for (uint32_t i = 0; n && i < s->state.n_models; i++) {
        MT_TRY(ask_vectors(s, &s->state.models[i], vectors[i], (uint32_t)n, ids, n, &a));
        take_vectors(s, &a);
    }
    return MT_OK;
}

/* Every index's best, at most limit each: the models' in their order, then the words'. */
static mt_status ask_all(search *s, const query_vector *vectors, uint32_t limit, answer *answers)
{
    uint32_t models = s->state.n_models;
    for (uint32_t i = 0; is_mode(s, "vector") && i < models; i++)
        MT_TRY(ask_vectors(s, &s->state.models[i], vectors[i], limit, s->allowed, s->n_allowed, &answers[i]));
    return is_mode(s, "text") ? ask_words(s, limit, s->allowed, s->n_allowed, &answers[models]) : MT_OK;
}

/* Leaves what the filter allows. *enough: no answer is shorter than it would be had the index been told the filter. */
static mt_status drop_filtered(search *s, answer *answers, uint32_t asked, bool *enough)
{
    size_t n = 0, all = 0;
    for (uint32_t i = 0; i <= s->state.n_models; i++)
        all += answers[i].n;
    mt_slice *ids = mt_alloc(s->c, (all + 1) * sizeof *ids);
    if (!ids)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i <= s->state.n_models; i++)
        for (uint32_t k = 0; k < answers[i].n; k++)
            ids[n++] = answers[i].ids[k];
    bool *keeps = mt_alloc(s->c, all + 1);
    if (!keeps)
        return MT_NO_MEMORY;
    MT_TRY(filter_keeps(s, ids, n, keeps));
    *enough = true;
    n = 0;
    for (uint32_t i = 0; i <= s->state.n_models; i++) {
        answer *a = &answers[i];
        uint32_t kept = 0, had = a->n;
        for (uint32_t k = 0; k < had; k++)
            if (keeps[n++]) {
                a->ids[kept] = a->ids[k];
                a->scores[kept++] = a->scores[k];
            }
        *enough &= kept >= wanted(s) || had < asked;
        a->n = kept < wanted(s) ? kept : wanted(s);
    }
    return MT_OK;
}

/* A filter that keeps much is applied to a few more of the best; only one that keeps little is worth listing every chunk that it allows. */
static mt_status ask_filtered(search *s, const query_vector *vectors, answer *answers)
{
    bool enough = false;
    if (!s->filter_is_list) {
        const uint32_t asked = BROAD * wanted(s);
        MT_TRY(ask_all(s, vectors, asked, answers));
        MT_TRY(drop_filtered(s, answers, asked, &enough));
    }
    if (enough)
        return MT_OK;
    MT_TRY(filter_list(s));
    if (s->n_allowed)
        return ask_all(s, vectors, wanted(s), answers);
    memset(answers, 0, (s->state.n_models + 1) * sizeof *answers);
    return MT_OK;
}

mt_status candidates_find(search *s)
{
    mt_call *c = s->c;
    query_vector *vectors = mt_alloc(c, (s->state.n_models + 1) * sizeof *vectors);
    answer *answers = mt_alloc(c, (s->state.n_models + 1) * sizeof *answers);
    s->room = wanted(s) * (s->state.n_models + 1);
    s->all = mt_alloc(c, s->room * sizeof *s->all);
    if (!vectors || !s->all || !answers)
        return MT_NO_MEMORY;
    memset(answers, 0, (s->state.n_models + 1) * sizeof *answers);
    for (uint32_t i = 0; is_mode(s, "vector") && i < s->state.n_models; i++)
        MT_TRY(mt_embedder_embed(c, s->state.models[i].name, &s->query, 1, &vectors[i].p, &vectors[i].n));
    MT_TRY(s->filtered ? ask_filtered(s, vectors, answers) : ask_all(s, vectors, wanted(s), answers));
    for (uint32_t i = 0; i < s->state.n_models; i++)
        take_vectors(s, &answers[i]);
    take_words(s, &answers[s->state.n_models]);
    if (is_mode(s, "text") && is_mode(s, "vector"))
        MT_TRY(complete(s, vectors));
    MT_TRY(rank(s, true));
    MT_TRY(rank(s, false));
    for (uint32_t i = 0; i < s->n; i++)
        s->all[i].score = round(fuse(s, &s->all[i]) * 1e5) / 1e5;   /* what is beyond is noise: the same text embedded beside others differs there */
    candidates_sort(s);
    return MT_OK;
}
