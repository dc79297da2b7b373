/*
 * BM25 with Lucene's idf, by MaxScore: lists sorted by the most that they can give; those that together cannot lift a passage over
 * the k-th best are only asked about passages that others brought, and blocks that cannot are not read (Turtle and Flood 1995; Ding and
 * Suel 2011). The answer is the same as that of scoring everything.
 */
#include "text_parts.h"

#include <math.h>
#include <stdlib.h>

enum { STOP_EVERY = 16384 };
#define END UINT32_MAX
#define SLACK (1 + 1e-9) /* bounds are summed in another order than scores */

/* One term's postings in one part. */
typedef struct list {
    const text_index *x;
    const base_term *base;      /* or */
    const tail_term *tail;
    double weight, most;        /* idf × count in the question; the most that a posting can give */
    uint32_t n_blocks, block;   /* where it stands */
    uint32_t held;              /* which block is decoded; END: none */
    uint32_t at;                /* in the decoded block */
    uint32_t row;               /* END at the end */
    block_rows rows;
} list;

typedef struct run {
    text_index *x;
    text_bm25 how;
    double average, full;       /* words a passage; the score that counts as 1 */
    size_t k, n;
    struct best { double score; uint32_t part, row; } *heap; /* the least on top */
    double least;               /* what a passage must exceed */
    bool (*stop)(void *);
    void *user;
} run;

static double gives(const run *r, double weight, double count, double length)
{
    double norm = r->how.k1 * (1 - r->how.b + r->how.b * length / r->average);
    return weight * count * (r->how.k1 + 1) / (count + norm);
}

/* --- a list --- */

static uint32_t last_of(const list *l, uint32_t block)
{
    if (l->base)
        return l->x->blocks[l->base->first_block + block].last;
    uint32_t end = (block + 1) * BLOCK;
    return l->tail->postings[(end < l->tail->n ? end : l->tail->n) - 1].row;
}

static double block_gives(const run *r, const list *l)
{
    if (!l->base)
        return l->most;
    const block_head *h = &l->x->blocks[l->base->first_block + l->block];
    return gives(r, l->weight, h->max_count, h->min_length) * SLACK;
}

/* Makes the block the decoded one; a damaged one ends the list. */
static bool decode(list *l)
{
    if (l->held == l->block)
        return true;
    l->held = l->block;
    if (l->base)
        return text_read_block(l->x, l->base, l->block, &l->rows);
    uint32_t from = l->block * BLOCK;
    l->rows.n = l->tail->n - from < BLOCK ? l->tail->n - from : BLOCK;
    for (uint32_t i = 0; i < l->rows.n; i++) {
        l->rows.rows[i] = l->tail->postings[from + i].row;
        l->rows.counts[i] = l->tail->postings[from + i].count;
    }
    return true;
}

/* Moves to the block that may hold row, without reading it; false past the last. */
static bool seek_block(list *l, uint32_t row)
{
    while (l->block < l->n_blocks && last_of(l, l->block) < row)
        l->block++;
    return l->block < l->n_blocks;
}

/* Moves to the first posting at or behind row. */
static void seek(list *l, uint32_t row)
{
    if (l->row >= row)
        return;
    if (!seek_block(l, row) || (l->held != l->block && (l->at = 0, !decode(l)))) {
        l->row = END;
        return;
    }
    while (l->at < l->rows.n && l->rows.rows[l->at] < row)
        l->at++;
    l->row = l->at < l->rows.n ? l->rows.rows[l->at] : END;
}

static void open_list(list *l)
{
    l->held = END;
    l->n_blocks = ((l->base ? l->base->df : l->tail->n) + BLOCK - 1) / BLOCK;
    l->row = END;
    if (decode(l))
        l->row = l->rows.rows[0];
}

/* --- the best so far --- */

/* Whether a is worse than b; of equal ones the later is. */
static bool worse(const struct best *a, const struct best *b)
{
    if (a->score != b->score)
        return a->score < b->score;
    return a->part != b->part ? a->part > b->part : a->row > b->row;
}

static void sift_down(struct best *h, size_t n, size_t i)
{
    struct best x = h[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && worse(&h[child + 1], &h[child]);
        if (!worse(&h[child], &x))
            break;
        h[i] = h[child];
    }
    h[i] = x;
}

static void offer(run *r, double score, uint32_t part, uint32_t row)
{
    struct best x = {score, part, row};
    if (r->n < r->k) {
        size_t i = r->n++;
        for (; i > 0 && worse(&x, &r->heap[(i - 1) / 2]); i = (i - 1) / 2)
            r->heap[i] = r->heap[(i - 1) / 2];
        r->heap[i] = x;
    } else if (worse(&r->heap[0], &x)) {
        r->heap[0] = x;
        sift_down(r->heap, r->n, 0);
    }
    if (r->n == r->k)
        r->least = r->heap[0].score;
}

static int by_rank(const void *a, const void *b)
{
    return worse(b, a) ? -1 : 1;
}

/* --- one part --- */

static double score_at(const run *r, const list *l, uint32_t part)
{
    return gives(r, l->weight, l->rows.counts[l->at], r->x->parts[part].lengths[l->row]);
}

static int by_most(const void *a, const void *b)
{
    const list *x = *(list *const *)a, *y = *(list *const *)b;
    return (x->most > y->most) - (x->most < y->most);
}

/* The score of row d, from the lists that stand on it and those before `first`; negative when it cannot enter. sums[i]: what lists 0..i can give. */
static double weigh(const run *r, list **lists, size_t n, size_t first, const double *sums, uint32_t part, uint32_t d)
{
    double score = 0;
    for (size_t i = first; i < n; i++)
        if (lists[i]->row == d)
            score += score_at(r, lists[i], part);
    for (size_t i = first; i-- > 0;) {
        double others = i ? sums[i - 1] : 0;
        if ((score + sums[i]) * SLACK <= r->least)
            return -1;
        if (!seek_block(lists[i], d))
            continue;
        if ((score + others + block_gives(r, lists[i])) * SLACK <= r->least)
            return -1;
        seek(lists[i], d);
        if (lists[i]->row == d)
            score += score_at(r, lists[i], part);
    }
    return score;
}

/* With one list left that matters: moves it over blocks that cannot bring anything in. */
static void skip_blocks(const run *r, list *l, double others)
{
    uint32_t to = l->row;
    while (l->row != END && l->block < l->n_blocks && (block_gives(r, l) + others) * SLACK <= r->least) {
        to = last_of(l, l->block) + 1;
        l->block++;
    }
    if (l->row != END && to != l->row)
        seek(l, to);
}

static mt_status scan(run *r, list **lists, size_t n, double *sums, uint32_t part)
{
    size_t first = 0, seen = 0;
    for (size_t i = 0; i < n; i++)
        sums[i] = lists[i]->most + (i ? sums[i - 1] : 0);
    for (;;) {
        while (first < n && sums[first] * SLACK <= r->least)
            first++;
        if (first + 1 == n)
            skip_blocks(r, lists[first], first ? sums[first - 1] : 0);
        uint32_t d = END;
        for (size_t i = first; i < n; i++)
            d = lists[i]->row < d ? lists[i]->row : d;
        if (d == END)
            return MT_OK;
        if (is_live(&r->x->parts[part], d)) {
            double score = weigh(r, lists, n, first, sums, part, d);
            if (score > 0)
                offer(r, score, part, d);
        }
        for (size_t i = first; i < n; i++)
            if (lists[i]->row == d)
                seek(lists[i], d + 1);
        if (++seen % STOP_EVERY == 0 && r->stop && r->stop(r->user))
            return MT_CANCELLED;
    }
}

/* The rows of a filter, each looked up in every list. */
static mt_status scan_rows(run *r, list **lists, size_t n, const uint32_t *rows, size_t n_rows, uint32_t part)
{
    for (size_t k = 0; k < n_rows; k++) {
        double score = 0;
        for (size_t i = 0; i < n; i++) {
            seek(lists[i], rows[k]);
            if (lists[i]->row == rows[k])
                score += score_at(r, lists[i], part);
        }
        if (score > 0)
            offer(r, score, part, rows[k]);
        if (k % STOP_EVERY == STOP_EVERY - 1 && r->stop && r->stop(r->user))
            return MT_CANCELLED;
    }
    return MT_OK;
}

/* --- the question --- */

typedef struct looked_up {
    const base_term *base;
    const tail_term *tail;
    double weight;
} looked_up;

/* Looks the terms up and weighs them; r->full becomes what the heaviest stem of every word gives at most. */
static bool look_up(run *r, const text_terms *query, looked_up *terms)
{
    double *heaviest = calloc(query->words + 1, sizeof *heaviest), passages = (double)text_count(r->x);
    if (!heaviest)
        return false;
    for (size_t i = 0; i < query->n; i++) {
        const text_term *q = &query->items[i];
        looked_up *t = &terms[i];
        t->base = text_find_base(r->x, query->names + q->at, q->len);
        t->tail = text_find_tail(r->x, query->names + q->at, q->len);
        if (t->tail && !t->tail->n)
            t->tail = NULL;
        double df = (t->base ? t->base->df : 0) + (t->tail ? t->tail->n : 0);
        df = df > passages ? passages : df; /* tombstones are counted until the next save */
        t->weight = log(1 + (passages - df + 0.5) / (df + 0.5)) * q->count;
        if (q->word <= query->words && t->weight > heaviest[q->word])
            heaviest[q->word] = t->weight;
    }
    for (size_t i = 0; i <= query->words; i++)
        r->full += heaviest[i] * (r->how.k1 + 1);
    free(heaviest);
    return true;
}

static mt_status search_part(run *r, const looked_up *terms, size_t n_terms, uint32_t part, const uint32_t *rows, size_t n_rows)
{
    list *lists = calloc(n_terms + 1, sizeof *lists), **order = calloc(n_terms + 1, sizeof *order);
    double *sums = calloc(n_terms + 1, sizeof *sums);
    mt_status status = lists && order && sums ? MT_OK : MT_NO_MEMORY;
    size_t n = 0;
    for (size_t i = 0; status == MT_OK && i < n_terms; i++) {
        list *l = &lists[n];
        const base_term *base = part == 0 ? terms[i].base : NULL;
        const tail_term *tail = part == 1 ? terms[i].tail : NULL;
        if (!base && !tail)
            continue;
        *l = (list){.x = r->x, .base = base, .tail = tail, .weight = terms[i].weight};
        l->most = gives(r, l->weight, base ? base->max_count : tail->max_count, base ? base->min_length : tail->min_length) * SLACK;
        open_list(l);
        order[n++] = l;
    }
    if (status == MT_OK && n) {
        qsort(order, n, sizeof *order, by_most);
        status = rows ? scan_rows(r, order, n, rows, n_rows, part) : scan(r, order, n, sums, part);
    }
    free(lists);
    free(order);
    free(sums);
    return status;
}

mt_status text_search(text_index *x, const text_terms *query, text_bm25 how, size_t k, const text_id *only, size_t n_only, text_hit *out, size_t *found,
                      bool (*stop)(void *), void *user)
{
    uint32_t *rows[PARTS] = {NULL, NULL};
    size_t n_rows[PARTS] = {0, 0}, count = text_count(x);
    run r = {.x = x, .how = how, .k = k, .stop = stop, .user = user};
    *found = 0;
    if (k == 0 || k > TEXT_MAX_K)
        return MT_INVALID;
    if (!query->n || !count)
        return MT_OK;
    r.average = x->words ? (double)x->words / (double)count : 1;
    r.heap = malloc(k * sizeof *r.heap);
    looked_up *terms = calloc(query->n, sizeof *terms);
    mt_status status = MT_NO_MEMORY;
    if (r.heap && terms && look_up(&r, query, terms) && (!only || text_rows_of(x, only, n_only, rows, n_rows)))
        status = MT_OK;
    for (uint32_t part = 0; status == MT_OK && part < PARTS; part++)
        status = search_part(&r, terms, query->n, part, rows[part], n_rows[part]);
    if (status == MT_OK && r.n) {
        qsort(r.heap, r.n, sizeof *r.heap, by_rank);
        for (size_t i = 0; i < r.n; i++)
            out[i] = (text_hit){x->parts[r.heap[i].part].ids[r.heap[i].row], (float)fmin(1, r.heap[i].score / r.full)};
        *found = r.n;
    }
    free(r.heap);
    free(terms);
    free(rows[0]);
    free(rows[1]);
    return status;
}
