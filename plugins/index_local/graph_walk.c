/* Walking: from the entry down the layers, and among the links of each; and the search that does so. */
#include "graph_parts.h"

#include <stdlib.h>

enum { EFFORT = 70, EF_MOST = 4096 };
#define SEEN_FLAG 0x80000000u

static void insert(walk *w, near c)
{
    size_t low = 0, high = w->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (w->pool[mid].score >= c.score)
            low = mid + 1;
        else
            high = mid;
    }
    if (w->n < w->ef)
        w->n++;
    memmove(w->pool + low + 1, w->pool + low, (w->n - 1 - low) * sizeof c);
    w->pool[low] = c;
}

static bool visit(walk *w, uint32_t id)
{
    uint64_t bit = 1ull << id % 64, *at = &w->visited[id / 64];
    bool first = !(*at & bit);
    *at |= bit;
    return first;
}

/* The unvisited links of a record, their codes on the way to the cache. A number that is no record of this layer is passed over: nothing that a
   damaged file says is followed. */
static size_t gather(walk *w, const layer *y, uint32_t id, size_t records, uint32_t *ids, uint32_t *rows, const int8_t **at)
{
    const word *links = record(y, id) + y->skip;
    size_t n = 0, all = row_count(w->parts);
    for (size_t i = 0; i < y->width - y->skip; i++) {
        uint32_t to = get(links + i);
        if (to == NONE)
            break;
        if (to >= records || !visit(w, to))
            continue;
        uint32_t row = row_of(y, to);
        if (row >= all)
            continue;
        ids[n] = to;
        rows[n] = row;
        at[n] = codes_of(w, row);
        for (size_t b = 0; b < w->g->stride; b += 64)
            __builtin_prefetch(at[n] + b);
        n++;
    }
    return n;
}

void walk_explore(walk *w, const layer *y, size_t records)
{
    uint32_t ids[WIDTH_0], rows[WIDTH_0];
    const int8_t *at[WIDTH_0];
    int32_t sums[WIDTH_0];
    memset(w->visited, 0, (records + 63) / 64 * sizeof *w->visited);
    for (size_t i = 0; i < w->n; i++)
        visit(w, w->pool[i].id);
    for (size_t next = 0; next < w->n;) {
        uint32_t id = w->pool[next].id;
        w->pool[next].id |= SEEN_FLAG;
        size_t n = gather(w, y, id, records, ids, rows, at), best = w->n;
        if (n)
            w->g->kernel(w->codes, at, w->g->stride, n, sums);
        for (size_t i = 0; i < n; i++) {
            float score = (float)sums[i] * scale_of(w, rows[i]) * w->scale;
            if (!(w->n < w->ef ? score == score : score > w->pool[w->n - 1].score))
                continue;
            insert(w, (near){score, ids[i]});
            best = 0;
        }
        for (next = best ? next : 0; next < w->n && w->pool[next].id & SEEN_FLAG;)
            next++;
    }
    for (size_t i = 0; i < w->n; i++)
        w->pool[i].id &= ~SEEN_FLAG;
}

size_t walk_enter(walk *w)
{
    uint64_t entry = atomic_load_explicit(&((graph *)(uintptr_t)w->g)->entry, memory_order_acquire);
    if (!entry)
        return GRAPH_LAYERS;
    size_t l = (size_t)(entry >> 32) - 1;
    uint32_t id = (uint32_t)entry, row = row_of(&w->g->layers[l], id);
    if (row >= row_count(w->parts))
        return GRAPH_LAYERS;
    const int8_t *at[1] = {codes_of(w, row)};
    int32_t sum;
    w->g->kernel(w->codes, at, w->g->stride, 1, &sum);
    w->pool[0] = (near){(float)sum * scale_of(w, row) * w->scale, id};
    w->n = 1;
    return l;
}

bool walk_descend(walk *w, size_t l)
{
    w->n = 1;
    w->pool[0].id = below(&w->g->layers[l], w->pool[0].id);
    const layer *y = &w->g->layers[l - 1];
    return w->pool[0].id < y->room && row_of(y, w->pool[0].id) < row_count(w->parts);
}

bool walk_open(walk *w, size_t ef)
{
    size_t words = (w->g->layers[0].room + 63) / 64 + 1;
    w->visited = malloc(words * sizeof *w->visited + (ef + 1) * sizeof *w->pool);
    w->pool = (near *)(w->visited + words);
    return w->visited != NULL;
}

/* How many rows a walk keeps: those asked for, the effort, and as many more as the filter leaves out. */
static size_t ef_for(const graph *g, const graph_aim *aim)
{
    size_t linked = graph_linked(g), ef = aim->k + (aim->effort ? aim->effort : EFFORT);
    return aim->wanted == linked ? ef : aim->wanted ? (size_t)((double)ef * (double)linked / (double)aim->wanted) + 1 : EF_MOST;
}

/* A step of a walk costs about as much as scanning 64 rows. */
bool graph_pays(const graph *g, const graph_aim *aim)
{
    size_t ef = ef_for(g, aim);
    return ef < EF_MOST && ef * 64 < aim->wanted;
}

mt_status graph_search(graph *g, const scan_rows parts[SCAN_PARTS], scan_search *s, const float *query, const graph_aim *aim, size_t linked, size_t *taken)
{
    walk w = {.g = g, .parts = parts, .ef = 1};
    size_t ef = ef_for(g, aim), base = parts[0].n;
    *taken = 0;
    if (!walk_open(&w, ef))
        return MT_NO_MEMORY;
    w.codes = scan_query_codes(s, &w.scale);
    size_t l = walk_enter(&w);
    for (; l < GRAPH_LAYERS && l > 0; l--) {
        walk_explore(&w, &g->layers[l], g->layers[l].room);
        if (!walk_descend(&w, l))
            break;
    }
    if (l == 0) {
        w.ef = ef;
        walk_explore(&w, &g->layers[0], g->layers[0].room);
        for (size_t i = 0; i < w.n; i++) {
            uint32_t row = w.pool[i].id;
            if (row < linked)
                *taken += scan_offer(s, row >= base, (uint32_t)(row < base ? row : row - base), w.pool[i].score);
        }
    }
    free(w.visited);
    return MT_OK;
}
