/* Rows, tombstones and the map from ids to rows. */
#include "index_parts.h"

#include <stdio.h>
#include <stdlib.h>

#define ROWS_MAX 0x7FFFFFFFu

mt_status index_create(vector_index **out, const index_meta *meta)
{
    *out = NULL;
    if (meta->dim == 0 || meta->dim > SCAN_MAX_DIM)
        return MT_INVALID;
    vector_index *x = calloc(1, sizeof *x);
    if (!x)
        return MT_NO_MEMORY;
    x->meta = *meta;
    x->meta.model[INDEX_MODEL - 1] = 0;
    x->graph = graph_create(meta->dim);
    if (!x->graph) {
        free(x);
        return MT_NO_MEMORY;
    }
    pthread_mutex_init(&x->slots_lock, NULL);
    *out = x;
    return MT_OK;
}

const index_meta *index_get_meta(const vector_index *x)
{
    return &x->meta;
}

size_t index_count(const vector_index *x)
{
    return x->parts[0].n + x->parts[1].n - x->parts[0].dead - x->parts[1].dead;
}

size_t index_garbage(const vector_index *x)
{
    return x->parts[0].dead + x->parts[1].n;
}

mt_status index_set_base(vector_index *x, size_t n, const index_id *ids, const scan_rows *rows)
{
    size_t words = (n + 63) / 64;
    uint64_t *live = malloc((words + 1) * sizeof *live);
    if (!live)
        return MT_NO_MEMORY;
    memset(live, 0xFF, words * sizeof *live);
    if (n % 64)
        live[words - 1] = (1ull << n % 64) - 1;
    x->parts[0] = (index_part){.n = n, .ids = ids, .live = live, .rows = *rows};
    x->parts[0].rows.n = n;
    x->parts[0].rows.live = live;
    return MT_OK;
}

/* --- id → row --- */

static size_t hash_id(const index_id *id)
{
    uint64_t a, b;
    memcpy(&a, id->b, 8);
    memcpy(&b, id->b + 8, 8);
    a = (a ^ b * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
    return (size_t)(a ^ a >> 31);
}

static const index_id *id_of(const vector_index *x, uint32_t row)
{
    return row < x->parts[0].n ? &x->parts[0].ids[row] : &x->parts[1].ids[row - x->parts[0].n];
}

static bool is_live(const vector_index *x, uint32_t row)
{
    const index_part *p = &x->parts[row >= x->parts[0].n];
    size_t r = row < x->parts[0].n ? row : row - x->parts[0].n;
    return p->live[r / 64] >> r % 64 & 1;
}

/* The slot of the id, or the free one where it would go. Slots of dead rows are reused for their own id only. */
static uint32_t *find_slot(const vector_index *x, const index_id *id)
{
    for (size_t i = hash_id(id) & x->mask;; i = (i + 1) & x->mask) {
        if (x->slots[i] == 0 || memcmp(id_of(x, x->slots[i] - 1), id, sizeof *id) == 0)
            return &x->slots[i];
    }
}

/* Builds the map, or a larger one, with room for `extra` more rows. */
static bool reserve_slots(vector_index *x, size_t extra)
{
    size_t rows = x->parts[0].n + x->parts[1].n, size = 64;
    if (x->slots && (rows + extra) * 2 <= x->mask + 1)
        return true;
    while (size < (rows + extra) * 2 + 2)
        size *= 2;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return false;
    free(x->slots);
    x->slots = slots;
    x->mask = size - 1;
    for (uint32_t row = 0; row < rows; row++) {
        uint32_t *slot = find_slot(x, id_of(x, row));
        if (*slot == 0 || is_live(x, row))
            *slot = row + 1;
    }
    return true;
}

/* Answers 1 + the live row of the id, or 0. */
static uint32_t find_row(const vector_index *x, const index_id *id)
{
    uint32_t slot = *find_slot(x, id);
    return slot && is_live(x, slot - 1) ? slot : 0;
}

/* --- changes --- */

static void bury(vector_index *x, const index_id *id)
{
    uint32_t row = find_row(x, id);
    if (row == 0)
        return;
    row--;
    index_part *p = &x->parts[row >= x->parts[0].n];
    size_t r = row < x->parts[0].n ? row : row - x->parts[0].n;
    p->live[r / 64] &= ~(1ull << r % 64);
    p->dead++;
}

static bool grow(void *field, size_t cap, size_t each)
{
    void *p;
    memcpy(&p, field, sizeof p);
    p = realloc(p, cap * each);
    if (p)
        memcpy(field, &p, sizeof p);
    return p != NULL;
}

static bool reserve_tail(vector_index *x, size_t adds)
{
    index_part *p = &x->parts[1];
    size_t need = p->n + adds, cap = p->cap ? p->cap : 64;
    if (need <= p->cap)
        return true;
    while (cap < need)
        cap += cap / 2;
    cap = (cap + 63) & ~(size_t)63;
    size_t words = p->cap / 64;
    if (!grow(&p->ids, cap, sizeof *p->ids) || !grow(&p->rows.scales, cap, sizeof(float)) ||
        !grow(&p->rows.codes, cap, scan_stride(x->meta.dim)) || !grow(&p->rows.fine, cap, scan_stride(x->meta.dim)) ||
        !grow(&p->live, cap / 64, sizeof *p->live))
        return false;
    memset(p->live + words, 0, (cap / 64 - words) * sizeof *p->live);
    p->rows.live = p->live;
    p->cap = cap;
    return true;
}

/* Writes row i of the change behind the tail's last row without counting it; false when the vector is unusable. */
static bool stage(vector_index *x, const index_change *c, size_t i)
{
    index_part *p = &x->parts[1];
    size_t row = p->n + i, dim = x->meta.dim, at = row * scan_stride(dim);
    ((index_id *)(uintptr_t)p->ids)[row] = c->add[i];
    return scan_quantize(c->vectors + i * dim, dim, (int8_t *)(uintptr_t)p->rows.codes + at, (int8_t *)(uintptr_t)p->rows.fine + at,
                         (float *)(uintptr_t)p->rows.scales + row);
}

static mt_status prepare(vector_index *x, const index_change *c, char *reason)
{
    if (c->version <= x->meta.version) {
        snprintf(reason, INDEX_REASON, "The index is at version %llu already.", (unsigned long long)x->meta.version);
        return MT_CONFLICT;
    }
    if (c->adds > ROWS_MAX || x->parts[0].n + x->parts[1].n + c->adds > ROWS_MAX) {
        snprintf(reason, INDEX_REASON, "The index would have more than %u rows.", ROWS_MAX);
        return MT_TOO_LARGE;
    }
    if (!reserve_tail(x, c->adds) || !reserve_slots(x, c->adds)) {
        snprintf(reason, INDEX_REASON, "Out of memory.");
        return MT_NO_MEMORY;
    }
    for (size_t i = 0; i < c->adds; i++) {
        if (!stage(x, c, i)) {
            snprintf(reason, INDEX_REASON, "Vector %zu is zero or not finite.", i);
            return MT_INVALID;
        }
    }
    return MT_OK;
}

mt_status index_apply(vector_index *x, const index_change *c, char reason[INDEX_REASON])
{
    MT_TRY(prepare(x, c, reason));
    for (size_t i = 0; i < c->removes; i++)
        bury(x, &c->remove[i]);
    index_part *p = &x->parts[1];
    for (size_t i = 0; i < c->adds; i++) {
        bury(x, &c->add[i]);
        size_t row = p->n++;
        p->rows.n = p->n;
        p->live[row / 64] |= 1ull << row % 64;
        *find_slot(x, &p->ids[row]) = (uint32_t)(x->parts[0].n + row) + 1;
    }
    x->meta.version = c->version;
    return MT_OK;
}

/* --- search --- */

/* Bitmaps of the wanted rows in allow[PARTS], to be freed; false when out of memory. */
static bool allow_only(vector_index *x, const index_id *only, size_t n, uint64_t *allow[PARTS])
{
    pthread_mutex_lock(&x->slots_lock);
    bool ok = reserve_slots(x, 0);
    pthread_mutex_unlock(&x->slots_lock);
    for (int i = 0; i < PARTS; i++)
        ok &= (allow[i] = calloc((x->parts[i].n + 63) / 64 + 1, sizeof **allow)) != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        uint32_t row = find_row(x, &only[i]);
        if (row == 0)
            continue;
        size_t base = x->parts[0].n, r = row - 1 < base ? row - 1 : row - 1 - base;
        allow[row - 1 >= base][r / 64] |= 1ull << r % 64;
    }
    return ok;
}

static size_t count_wanted(const scan_rows *rows, size_t n)
{
    size_t count = 0;
    for (size_t word = 0; word * 64 < n; word++) {
        uint64_t bits = rows->live[word] & (rows->allow ? rows->allow[word] : ~0ull);
        if (n - word * 64 < 64)
            bits &= (1ull << n % 64) - 1;
        count += (size_t)__builtin_popcountll(bits);
    }
    return count;
}

/* Through the graph for what it covers when that pays, and every row behind it. Too few hits, because a filter left out what is near: every row. */
static mt_status search_rows(vector_index *x, scan_search *s, const scan_rows *rows, const index_query *q)
{
    size_t linked = graph_linked(x->graph), base = rows[0].n, in_base = linked < base ? linked : base, taken;
    graph_aim aim = {.k = q->k, .effort = q->effort, .wanted = linked ? count_wanted(&rows[0], in_base) + count_wanted(&rows[1], linked - in_base) : 0};
    if (linked && graph_pays(x->graph, &aim)) {
        MT_TRY(graph_search(x->graph, rows, s, q->vector, &aim, linked, &taken));
        if (taken >= q->k) {
            MT_TRY(scan_part(s, 0, in_base, q->stop, q->user));
            return scan_part(s, 1, linked - in_base, q->stop, q->user);
        }
        scan_restart(s);
    }
    MT_TRY(scan_part(s, 0, 0, q->stop, q->user));
    return scan_part(s, 1, 0, q->stop, q->user);
}

mt_status index_search(vector_index *x, const index_query *q, index_hit *out, size_t *found)
{
    uint64_t *allow[PARTS] = {NULL, NULL};
    scan_rows rows[PARTS] = {x->parts[0].rows, x->parts[1].rows};
    scan_search *s = NULL;
    *found = 0;
    mt_status status = scan_begin(&s, rows, x->meta.dim, q->vector, q->k);
    scan_hit *hits = status == MT_OK ? malloc(q->k * sizeof *hits) : NULL;
    if (status == MT_OK && (!hits || (q->only && !allow_only(x, q->only, q->n_only, allow))))
        status = MT_NO_MEMORY;
    for (int i = 0; i < PARTS; i++)
        rows[i].allow = allow[i];
    if (status == MT_OK)
        status = search_rows(x, s, rows, q);
    if (status == MT_OK)
        *found = scan_finish(s, hits);
    for (size_t i = 0; i < *found; i++)
        out[i] = (index_hit){x->parts[hits[i].part].ids[hits[i].row], hits[i].score};
    scan_end(s);
    free(hits);
    free(allow[0]);
    free(allow[1]);
    return status;
}
