/* A graph without its dead rows, and as bytes. */
#include "graph_parts.h"

#include <stdlib.h>

/* The links of a record that stay, and in place of each that goes what it led to. */
static size_t surviving(const layer *y, uint32_t id, const uint32_t *anew, uint32_t *out, bool *lost)
{
    uint32_t ids[WIDTH_0], next[WIDTH_0];
    size_t n = read_links(y, id, ids), count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t m = 1;
        next[0] = ids[i];
        if (ids[i] < y->n && anew[ids[i]] == NONE) {
            *lost = true;
            m = read_links(y, ids[i], next);
            m = m < HEIRS ? m : HEIRS;
        }
        for (size_t j = 0; j < m; j++) {
            bool fresh = next[j] < y->n && next[j] != id && anew[next[j]] != NONE;
            for (size_t t = 0; t < count && fresh; t++)
                fresh = out[t] != next[j];
            if (fresh)
                out[count++] = next[j];
        }
    }
    return count;
}

/* The new numbers of a layer's records, NONE for those of dead rows; how many are left to *n. */
static uint32_t *number(const layer *y, const uint32_t *rows_anew, size_t linked, size_t *n)
{
    uint32_t *anew = malloc((y->n + 1) * sizeof *anew);
    *n = 0;
    for (size_t id = 0; anew && id < y->n; id++) {
        uint32_t row = row_of(y, (uint32_t)id);
        anew[id] = row < linked && rows_anew[row] != NONE ? (uint32_t)(*n)++ : NONE;
    }
    return anew;
}

static void copy_record(const walk *w, const layer *y, uint32_t id, word *to, const uint32_t *anew)
{
    uint32_t ids[CANDIDATES];
    near from[CANDIDATES];
    bool lost = false;
    size_t n = surviving(y, id, anew, ids, &lost);
    if (lost) {
        links_rank(w, y, id, ids, n, from);
        n = links_choose(w, y, from, n, y->width - y->skip, ids);
    }
    for (size_t i = 0; i < n; i++)
        set(to + y->skip + i, anew[ids[i]]);
}

/* Copies a layer without its dead records; *above numbers the layer below and then this one. */
static bool copy_layer(const walk *w, const layer *y, layer *to, const uint32_t *rows_anew, uint32_t **above)
{
    size_t n;
    uint32_t *anew = number(y, rows_anew, graph_linked(w->g), &n);
    bool ok = anew && (n == 0 || graph_reserve_layer(to, n));
    for (uint32_t id = 0; ok && id < y->n; id++) {
        if (anew[id] == NONE)
            continue;
        word *r = record(to, anew[id]);
        copy_record(w, y, id, r, anew);
        if (y->skip) {
            set(r, rows_anew[row_of(y, id)]);
            set(r + 1, (*above)[below(y, id)]);
        }
    }
    to->n = ok ? n : 0;
    free(*above);
    *above = anew;
    return ok;
}

graph *graph_without_dead(graph *g, const scan_rows parts[SCAN_PARTS], const uint64_t *live)
{
    graph *to = graph_create(g->dim);
    size_t linked = graph_linked(g);
    uint32_t *rows = malloc((linked + 1) * sizeof *rows), *above = NULL, n = 0;
    walk w = {.g = g, .parts = parts};
    bool ok = to && rows;
    for (size_t row = 0; ok && row < linked; row++)
        rows[row] = live[row / 64] >> row % 64 & 1 ? n++ : NONE;
    for (size_t l = 0; ok && l < GRAPH_LAYERS; l++) {
        ok = copy_layer(&w, &g->layers[l], &to->layers[l], rows, &above);
        if (ok && to->layers[l].n)
            to->entry = (uint64_t)(l + 1) << 32;
    }
    if (ok)
        to->linked = n;
    free(rows);
    free(above);
    if (!ok)
        graph_close(to);
    return ok ? to : NULL;
}

enum { HEAD = 16, HEAD_COUNTS = 2 }; /* words: the entry, then the records of each layer */

size_t graph_size(const graph *g)
{
    size_t words = HEAD;
    for (size_t l = 0; l < GRAPH_LAYERS; l++)
        words += g->layers[l].n * g->layers[l].width;
    return words * sizeof(word);
}

void graph_write(const graph *g, void (*put)(void *to, const void *p, size_t n), void *to)
{
    uint32_t head[HEAD] = {(uint32_t)(g->entry >> 32), (uint32_t)g->entry};
    for (size_t l = 0; l < GRAPH_LAYERS; l++)
        head[HEAD_COUNTS + l] = (uint32_t)g->layers[l].n;
    put(to, head, sizeof head);
    for (size_t l = 0; l < GRAPH_LAYERS; l++) {
        const layer *y = &g->layers[l];
        size_t first = y->n < y->n_base ? y->n : y->n_base;
        if (first)
            put(to, (const void *)y->base, first * y->width * sizeof(word));
        if (y->n > first)
            put(to, (const void *)y->more, (y->n - first) * y->width * sizeof(word));
    }
}

graph *graph_open(size_t dim, size_t rows, void *bytes, size_t len)
{
    const uint32_t *head = bytes;
    size_t at = HEAD;
    graph *g = len >= HEAD * sizeof(word) && head[HEAD_COUNTS] <= rows ? graph_create(dim) : NULL;
    for (size_t l = 0; g && l < GRAPH_LAYERS; l++) {
        layer *y = &g->layers[l];
        y->base = (word *)bytes + at;
        y->n = y->n_base = y->room = head[HEAD_COUNTS + l];
        at += y->n * y->width;
    }
    if (!g)
        return NULL;
    bool sound = at * sizeof(word) == len && head[0] <= GRAPH_LAYERS && (head[0] == 0) == (head[HEAD_COUNTS] == 0) &&
                 (head[0] == 0 || head[1] < g->layers[head[0] - 1].n);
    g->entry = (uint64_t)head[0] << 32 | head[1];
    g->linked = head[HEAD_COUNTS];
    if (sound)
        return g;
    graph_close(g);
    return NULL;
}
