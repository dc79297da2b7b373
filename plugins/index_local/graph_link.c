/* Linking rows: which links a record gets, and the way back to it. */
#include "graph_parts.h"

#include <stdlib.h>

enum { EF_BUILD = 128, SLICE = 32 };

static int by_score(const void *a, const void *b)
{
    const near *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score) - (x->score > y->score) : (x->id > y->id) - (x->id < y->id);
}

void links_rank(const walk *w, const layer *y, uint32_t id, const uint32_t *ids, size_t n, near *out)
{
    const int8_t *at[CANDIDATES];
    int32_t sums[CANDIDATES];
    uint32_t own = row_of(y, id);
    float scale = scale_of(w, own);
    for (size_t i = 0; i < n; i++)
        at[i] = codes_of(w, row_of(y, ids[i]));
    if (n)
        w->g->kernel(codes_of(w, own), at, w->g->stride, n, sums);
    for (size_t i = 0; i < n; i++)
        out[i] = (near){(float)sums[i] * scale * scale_of(w, row_of(y, ids[i])), ids[i]};
    qsort(out, n, sizeof *out, by_score);
}

size_t links_choose(const walk *w, const layer *y, const near *from, size_t n, size_t most, uint32_t *out)
{
    const int8_t *taken[WIDTH_0];
    float scales[WIDTH_0];
    int32_t sums[WIDTH_0];
    size_t count = 0;
    for (size_t i = 0; i < n && count < most; i++) {
        uint32_t row = row_of(y, from[i].id);
        const int8_t *codes = codes_of(w, row);
        float scale = scale_of(w, row);
        bool apart = true;
        for (size_t j = 0; j < count && apart; j += 8) {
            size_t m = count - j < 8 ? count - j : 8;
            w->g->kernel(codes, taken + j, w->g->stride, m, sums);
            for (size_t t = 0; t < m; t++)
                apart &= (float)sums[t] * scale * scales[j + t] < from[i].score;
        }
        if (!apart)
            continue;
        taken[count] = codes;
        scales[count] = scale;
        out[count++] = from[i].id;
    }
    return count;
}

static void write_links(const layer *y, uint32_t id, const uint32_t *ids, size_t n)
{
    word *links = record(y, id) + y->skip;
    size_t width = y->width - y->skip;
    for (size_t i = 0; i < n; i++)
        set(links + i, ids[i]);
    for (size_t i = n; i < width && get(links + i) != NONE; i++)
        set(links + i, NONE);
}

static void link_back(const walk *w, const layer *y, uint32_t id, uint32_t to)
{
    uint32_t ids[WIDTH_0 + 1];
    size_t n = read_links(y, id, ids);
    ids[n] = to;
    if (n < y->width - y->skip) {
        set(record(y, id) + y->skip + n, to);
    } else {
        near from[WIDTH_0 + 1];
        links_rank(w, y, id, ids, n + 1, from);
        n = links_choose(w, y, from, n + 1, n, ids);
        write_links(y, id, ids, n);
    }
}

/* Whether all links of the chosen records can be followed: not so only when a file is damaged. */
static bool is_sound(const walk *w, const layer *y, uint32_t id)
{
    uint32_t ids[WIDTH_0];
    size_t n = read_links(y, id, ids);
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= y->n || row_of(y, ids[i]) >= row_count(w->parts))
            return false;
    return true;
}

static void link_in_layer(walk *w, layer *y, uint32_t id)
{
    uint32_t chosen[LINKS];
    w->ef = EF_BUILD;
    walk_explore(w, y, y->n);
    size_t n = links_choose(w, y, w->pool, w->n, LINKS, chosen);
    write_links(y, id, chosen, n);
    for (size_t i = 0; i < n; i++)
        if (is_sound(w, y, chosen[i]))
            link_back(w, y, chosen[i], id);
}

static void link_row(graph *g, walk *w, uint32_t row)
{
    size_t top = layer_of(row);
    uint32_t ids[GRAPH_LAYERS] = {row};
    for (size_t l = 1; l <= top; l++) {
        layer *y = &g->layers[l];
        ids[l] = (uint32_t)y->n;
        set(record(y, ids[l]), row);
        set(record(y, ids[l]) + 1, ids[l - 1]);
    }
    w->codes = codes_of(w, row);
    w->scale = scale_of(w, row);
    size_t first = walk_enter(w);
    bool way = first < GRAPH_LAYERS;
    for (size_t l = way ? first : 0; way && l > top; l--) {
        w->ef = 1;
        walk_explore(w, &g->layers[l], g->layers[l].n);
        way = walk_descend(w, l);
    }
    for (size_t l = way ? (first < top ? first : top) : GRAPH_LAYERS; l < GRAPH_LAYERS; l--) {
        link_in_layer(w, &g->layers[l], ids[l]);
        if (l > 0 && !walk_descend(w, l))
            break;
    }
    for (size_t l = 0; l <= top; l++)
        g->layers[l].n = ids[l] + 1;
    if (first == GRAPH_LAYERS || top > first)
        atomic_store_explicit(&g->entry, (uint64_t)(top + 1) << 32 | ids[top], memory_order_release);
    atomic_store_explicit(&g->linked, row + 1, memory_order_release);
}

bool graph_prepare(graph *g)
{
    return true;
}

bool graph_link(graph *g, const scan_rows parts[SCAN_PARTS])
{
    walk w = {.g = g, .parts = parts};
    size_t row = graph_linked(g), last = row_count(parts);
    if (!walk_open(&w, EF_BUILD))
        return false;
    last = last < g->reserved ? last : g->reserved;
    last = last < row + SLICE ? last : row + SLICE;
    for (; row < last; row++)
        link_row(g, &w, (uint32_t)row);
    free(w.visited);
    return true;
}
