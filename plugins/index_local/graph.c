/*
 * Each layer is an array of records of 32-bit numbers: the bottom one has a row's links, those above also which row it is and where it lies a layer
 * down. NONE ends a list. The part that came from a file stays where it is mapped; what is added lies behind it in memory.
 *
 * Links are written by one thread and read by others, so they are atomic: a reader may meet half of an old list and half of a new one, and both halves
 * are links. A record is complete before the first link to it is released.
 */
#include "graph.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { LAYERS = 8, LINKS = 16, WIDTH_0 = 2 * LINKS, WIDTH = LINKS + 2, EF_BUILD = 128, EFFORT = 70, EF_MOST = 4096, SLICE = 32, HEIRS = 8, CANDIDATES = WIDTH_0 * HEIRS };
#define NONE 0xFFFFFFFFu
#define SEEN_FLAG 0x80000000u

typedef _Atomic uint32_t word;

typedef struct layer {
    word *base, *more;      /* the file's records, and what was added */
    size_t n_base, n, room; /* room: how many fit in all */
    size_t width, skip;     /* words of a record, and those before its links */
} layer;

struct graph {
    layer layers[LAYERS];
    size_t dim, stride;
    scan_kernel kernel;
    size_t reserved;        /* rows that the upper layers have room for too */
    _Atomic uint64_t entry; /* 0: empty; else layer + 1, and the record in it in the lower half */
    _Atomic size_t linked;
};

typedef struct near {
    float score;
    uint32_t id;            /* SEEN_FLAG: its links have been followed */
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

const char *graph_kind(void)
{
    return "hnsw-16-128";
}

/* One in 16 rows reaches each next layer; always the same rows, so no state. */
static size_t layer_of(size_t row)
{
    uint64_t h = (row + 1) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
    size_t l = (size_t)__builtin_ctzll(h | 1ull << 60) / 4;
    return l < LAYERS ? l : LAYERS - 1;
}

graph *graph_create(size_t dim)
{
    graph *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->dim = dim;
    g->stride = scan_stride(dim);
    g->kernel = scan_best_kernel();
    for (size_t l = 0; l < LAYERS; l++) {
        g->layers[l].width = l ? WIDTH : WIDTH_0;
        g->layers[l].skip = l ? WIDTH - LINKS : 0;
    }
    return g;
}

void graph_close(graph *g)
{
    for (size_t l = 0; g && l < LAYERS; l++)
        free(g->layers[l].more);
    free(g);
}

size_t graph_linked(const graph *g)
{
    return atomic_load_explicit(&((graph *)(uintptr_t)g)->linked, memory_order_acquire);
}

static bool reserve_layer(layer *y, size_t n)
{
    if (n <= y->room)
        return true;
    size_t old = y->room - y->n_base, room = n + n / 4;
    word *more = realloc(y->more, (room - y->n_base) * y->width * sizeof *more);
    if (!more)
        return false;
    memset(more + old * y->width, 0xFF, (room - y->n_base - old) * y->width * sizeof *more);
    y->more = more;
    y->room = room;
    return true;
}

bool graph_reserve(graph *g, size_t rows)
{
    size_t need[LAYERS] = {rows};
    for (size_t row = graph_linked(g); row < rows; row++)
        for (size_t l = layer_of(row); l > 0; l--)
            need[l]++;
    for (size_t l = 0; l < LAYERS; l++)
        if (!reserve_layer(&g->layers[l], l ? g->layers[l].n + need[l] : rows))
            return false;
    g->reserved = rows > g->reserved ? rows : g->reserved;
    return true;
}

/* --- records and rows --- */

static word *record(const layer *y, uint32_t id)
{
    return id < y->n_base ? y->base + id * y->width : y->more + (id - y->n_base) * y->width;
}

static uint32_t get(const word *w)
{
    return atomic_load_explicit((word *)(uintptr_t)w, memory_order_acquire);
}

static void set(word *w, uint32_t v)
{
    atomic_store_explicit(w, v, memory_order_release);
}

static uint32_t row_of(const layer *y, uint32_t id)
{
    return y->skip ? get(record(y, id)) : id;
}

static uint32_t below(const layer *y, uint32_t id)
{
    return get(record(y, id) + 1);
}

static const int8_t *codes_of(const walk *w, uint32_t row)
{
    size_t base = w->parts[0].n;
    return row < base ? w->parts[0].codes + row * w->g->stride : w->parts[1].codes + (row - base) * w->g->stride;
}

static float scale_of(const walk *w, uint32_t row)
{
    size_t base = w->parts[0].n;
    return row < base ? w->parts[0].scales[row] : w->parts[1].scales[row - base];
}

static size_t row_count(const scan_rows *parts)
{
    return parts[0].n + parts[1].n;
}

/* --- walking --- */

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

/* The ef nearest records of a layer that a walk from the pool's entries reaches. */
static void explore(walk *w, const layer *y, size_t records)
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

/* Puts the entry into the pool; answers its layer, or LAYERS when there is none. */
static size_t enter(walk *w)
{
    uint64_t entry = atomic_load_explicit(&((graph *)(uintptr_t)w->g)->entry, memory_order_acquire);
    if (!entry)
        return LAYERS;
    size_t l = (size_t)(entry >> 32) - 1;
    uint32_t id = (uint32_t)entry, row = row_of(&w->g->layers[l], id);
    if (row >= row_count(w->parts))
        return LAYERS;
    const int8_t *at[1] = {codes_of(w, row)};
    int32_t sum;
    w->g->kernel(w->codes, at, w->g->stride, 1, &sum);
    w->pool[0] = (near){(float)sum * scale_of(w, row) * w->scale, id};
    w->n = 1;
    return l;
}

/* From a layer to the one below: the pool's best becomes its only entry. */
static bool descend(walk *w, size_t l)
{
    w->n = 1;
    w->pool[0].id = below(&w->g->layers[l], w->pool[0].id);
    const layer *y = &w->g->layers[l - 1];
    return w->pool[0].id < y->room && row_of(y, w->pool[0].id) < row_count(w->parts);
}

static bool open_walk(walk *w, size_t ef)
{
    size_t words = (w->g->layers[0].room + 63) / 64 + 1;
    w->visited = malloc(words * sizeof *w->visited + (ef + 1) * sizeof *w->pool);
    w->pool = (near *)(w->visited + words);
    return w->visited != NULL;
}

/* --- linking --- */

/* Of candidates, best first, the at most `most` that are nearer to the record than to any that was taken before them. */
static size_t choose(const walk *w, const layer *y, const near *from, size_t n, size_t most, uint32_t *out)
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

static int by_score(const void *a, const void *b)
{
    const near *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score) - (x->score > y->score) : (x->id > y->id) - (x->id < y->id);
}

/* Candidates for a record's links, best first. */
static void rank(const walk *w, const layer *y, uint32_t id, const uint32_t *ids, size_t n, near *out)
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

static size_t read_links(const layer *y, uint32_t id, uint32_t *out)
{
    const word *links = record(y, id) + y->skip;
    size_t n = 0, width = y->width - y->skip;
    for (uint32_t to; n < width && (to = get(links + n)) != NONE; n++)
        out[n] = to;
    return n;
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
        rank(w, y, id, ids, n + 1, from);
        n = choose(w, y, from, n + 1, n, ids);
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
    explore(w, y, y->n);
    size_t n = choose(w, y, w->pool, w->n, LINKS, chosen);
    write_links(y, id, chosen, n);
    for (size_t i = 0; i < n; i++)
        if (is_sound(w, y, chosen[i]))
            link_back(w, y, chosen[i], id);
}

static void link_row(graph *g, walk *w, uint32_t row)
{
    size_t top = layer_of(row);
    uint32_t ids[LAYERS] = {row};
    for (size_t l = 1; l <= top; l++) {
        layer *y = &g->layers[l];
        ids[l] = (uint32_t)y->n;
        set(record(y, ids[l]), row);
        set(record(y, ids[l]) + 1, ids[l - 1]);
    }
    w->codes = codes_of(w, row);
    w->scale = scale_of(w, row);
    size_t first = enter(w);
    bool way = first < LAYERS;
    for (size_t l = way ? first : 0; way && l > top; l--) {
        w->ef = 1;
        explore(w, &g->layers[l], g->layers[l].n);
        way = descend(w, l);
    }
    for (size_t l = way ? (first < top ? first : top) : LAYERS; l < LAYERS; l--) {
        link_in_layer(w, &g->layers[l], ids[l]);
        if (l > 0 && !descend(w, l))
            break;
    }
    for (size_t l = 0; l <= top; l++)
        g->layers[l].n = ids[l] + 1;
    if (first == LAYERS || top > first)
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
    if (!open_walk(&w, EF_BUILD))
        return false;
    last = last < g->reserved ? last : g->reserved;
    last = last < row + SLICE ? last : row + SLICE;
    for (; row < last; row++)
        link_row(g, &w, (uint32_t)row);
    free(w.visited);
    return true;
}

/* --- searching --- */

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
    if (!open_walk(&w, ef))
        return MT_NO_MEMORY;
    w.codes = scan_query_codes(s, &w.scale);
    size_t l = enter(&w);
    for (; l < LAYERS && l > 0; l--) {
        explore(&w, &g->layers[l], g->layers[l].room);
        if (!descend(&w, l))
            break;
    }
    if (l == 0) {
        w.ef = ef;
        explore(&w, &g->layers[0], g->layers[0].room);
        for (size_t i = 0; i < w.n; i++) {
            uint32_t row = w.pool[i].id;
            if (row < linked)
                *taken += scan_offer(s, row >= base, (uint32_t)(row < base ? row : row - base), w.pool[i].score);
        }
    }
    free(w.visited);
    return MT_OK;
}

/* --- files --- */

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
        rank(w, y, id, ids, n, from);
        n = choose(w, y, from, n, y->width - y->skip, ids);
    }
    for (size_t i = 0; i < n; i++)
        set(to + y->skip + i, anew[ids[i]]);
}

/* Copies a layer without its dead records; *above numbers the layer below and then this one. */
static bool copy_layer(const walk *w, const layer *y, layer *to, const uint32_t *rows_anew, uint32_t **above)
{
    size_t n;
    uint32_t *anew = number(y, rows_anew, graph_linked(w->g), &n);
    bool ok = anew && (n == 0 || reserve_layer(to, n));
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
    for (size_t l = 0; ok && l < LAYERS; l++) {
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
    for (size_t l = 0; l < LAYERS; l++)
        words += g->layers[l].n * g->layers[l].width;
    return words * sizeof(word);
}

void graph_write(const graph *g, void (*put)(void *to, const void *p, size_t n), void *to)
{
    uint32_t head[HEAD] = {(uint32_t)(g->entry >> 32), (uint32_t)g->entry};
    for (size_t l = 0; l < LAYERS; l++)
        head[HEAD_COUNTS + l] = (uint32_t)g->layers[l].n;
    put(to, head, sizeof head);
    for (size_t l = 0; l < LAYERS; l++) {
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
    for (size_t l = 0; g && l < LAYERS; l++) {
        layer *y = &g->layers[l];
        y->base = (word *)bytes + at;
        y->n = y->n_base = y->room = head[HEAD_COUNTS + l];
        at += y->n * y->width;
    }
    if (!g)
        return NULL;
    bool sound = at * sizeof(word) == len && head[0] <= LAYERS && (head[0] == 0) == (head[HEAD_COUNTS] == 0) &&
                 (head[0] == 0 || head[1] < g->layers[head[0] - 1].n);
    g->entry = (uint64_t)head[0] << 32 | head[1];
    g->linked = head[HEAD_COUNTS];
    if (sound)
        return g;
    graph_close(g);
    return NULL;
}
