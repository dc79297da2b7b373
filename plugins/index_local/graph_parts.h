/* The inside of a graph, shared by graph.c, graph_walk.c, graph_link.c and graph_file.c only. */
#ifndef INDEX_LOCAL_GRAPH_PARTS_H
#define INDEX_LOCAL_GRAPH_PARTS_H

#include <stdatomic.h>

#include "graph.h"

/*
 * Each layer is an array of records of 32-bit numbers: the bottom one has a row's links, those above also which row it is and where it lies a layer
 * down. NONE ends a list. The part that came from a file stays where it is mapped; what is added lies behind it in memory.
 *
 * Links are written by one thread and read by others, so they are atomic: a reader may meet half of an old list and half of a new one, and both halves
 * are links. A record is complete before the first link to it is released.
 */
enum { GRAPH_LAYERS = 8, LINKS = 16, WIDTH_0 = 2 * LINKS, WIDTH = LINKS + 2, HEIRS = 8, CANDIDATES = WIDTH_0 * HEIRS };
#define NONE 0xFFFFFFFFu

typedef _Atomic uint32_t word;

typedef struct layer {
    word *base, *more;      /* the file's records, and what was added */
    size_t n_base, n, room; /* room: how many fit in all */
    size_t width, skip;     /* words of a record, and those before its links */
} layer;

struct graph {
    layer layers[GRAPH_LAYERS];
    size_t dim, stride;
    scan_kernel kernel;
    size_t reserved;        /* rows that the upper layers have room for too */
    _Atomic uint64_t entry; /* 0: empty; else layer + 1, and the record in it in the lower half */
    _Atomic size_t linked;
};

typedef struct near {
    float score;
    uint32_t id;            /* its highest bit, within a walk: its links have been followed */
} near;

/* A walk: where it runs, from which vector, and its room. */
typedef struct walk {
    const graph *g;
    const scan_rows *parts;
    const int8_t *codes;
    float scale;
    uint64_t *visited;
    near *pool;             /* best first */
    size_t n, ef;
} walk;

bool graph_reserve_layer(layer *y, size_t n);

/* --- graph_walk.c --- */

/* Room for a walk that keeps ef records; false without memory. free(w->visited) ends it. */
bool walk_open(walk *w, size_t ef);
/* Puts the entry into the pool; answers its layer, or GRAPH_LAYERS when there is none. */
size_t walk_enter(walk *w);
/* The ef nearest records of a layer that a walk from the pool's entries reaches. */
void walk_explore(walk *w, const layer *y, size_t records);
/* From a layer to the one below: the pool's best becomes its only entry. */
bool walk_descend(walk *w, size_t l);

/* --- graph_link.c --- */

/* Candidates for a record's links, best first. */
void links_rank(const walk *w, const layer *y, uint32_t id, const uint32_t *ids, size_t n, near *out);
/* Of candidates, best first, the at most `most` that are nearer to the record than to any that was taken before them. */
size_t links_choose(const walk *w, const layer *y, const near *from, size_t n, size_t most, uint32_t *out);

/* --- records and rows --- */

/* One in 16 rows reaches each next layer; always the same rows, so no state. */
static inline size_t layer_of(size_t row)
{
    uint64_t h = (row + 1) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
    size_t l = (size_t)__builtin_ctzll(h | 1ull << 60) / 4;
    return l < GRAPH_LAYERS ? l : GRAPH_LAYERS - 1;
}

static inline word *record(const layer *y, uint32_t id)
{
    return id < y->n_base ? y->base + id * y->width : y->more + (id - y->n_base) * y->width;
}

static inline uint32_t get(const word *w)
{
    return atomic_load_explicit((word *)(uintptr_t)w, memory_order_acquire);
}

static inline void set(word *w, uint32_t v)
{
    atomic_store_explicit(w, v, memory_order_release);
}

static inline uint32_t row_of(const layer *y, uint32_t id)
{
    return y->skip ? get(record(y, id)) : id;
}

static inline uint32_t below(const layer *y, uint32_t id)
{
    return get(record(y, id) + 1);
}

static inline const int8_t *codes_of(const walk *w, uint32_t row)
{
    size_t base = w->parts[0].n;
    return row < base ? w->parts[0].codes + row * w->g->stride : w->parts[1].codes + (row - base) * w->g->stride;
}

static inline float scale_of(const walk *w, uint32_t row)
{
    size_t base = w->parts[0].n;
    return row < base ? w->parts[0].scales[row] : w->parts[1].scales[row - base];
}

static inline size_t row_count(const scan_rows *parts)
{
    return parts[0].n + parts[1].n;
}

static inline size_t read_links(const layer *y, uint32_t id, uint32_t *out)
{
    const word *links = record(y, id) + y->skip;
    size_t n = 0, width = y->width - y->skip;
    for (uint32_t to; n < width && (to = get(links + n)) != NONE; n++)
        out[n] = to;
    return n;
}

#endif
