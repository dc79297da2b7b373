/* Passages, tombstones, the map from ids to rows, and the terms of the tail. */
#include "text_parts.h"

#include <stdio.h>
#include <stdlib.h>

#define ROWS_MAX 0x7FFFFFFFu

mt_status text_create(text_index **out, const text_meta *meta)
{
    text_index *x = *out = calloc(1, sizeof *x);
    if (!x)
        return MT_NO_MEMORY;
    x->meta = *meta;
    pthread_mutex_init(&x->slots_lock, NULL);
    return MT_OK;
}

const text_meta *text_get_meta(const text_index *x)
{
    return &x->meta;
}

size_t text_count(const text_index *x)
{
    return x->parts[0].n + x->parts[1].n - x->parts[0].dead - x->parts[1].dead;
}

size_t text_garbage(const text_index *x)
{
    return x->parts[0].dead + x->parts[1].n;
}

mt_status text_wake_base(text_index *x)
{
    text_part *p = &x->parts[0];
    size_t words = (p->n + 63) / 64;
    p->live = malloc((words + 1) * sizeof *p->live);
    if (!p->live)
        return MT_NO_MEMORY;
    memset(p->live, 0xFF, words * sizeof *p->live);
    if (p->n % 64)
        p->live[words - 1] = (1ull << p->n % 64) - 1;
    for (size_t i = 0; i < p->n; i++)
        x->words += p->lengths[i];
    return MT_OK;
}

/* --- terms --- */

static uint32_t hash_name(const char *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 16777619u;
    return h ^ h >> 15;
}

bool text_term_is_sane(const text_index *x, const base_term *t)
{
    return t->name_at <= x->names_len && t->name_len <= x->names_len - t->name_at && t->df > 0 && t->df <= x->parts[0].n &&
           t->first_block <= x->n_blocks && (t->df + BLOCK - 1) / BLOCK <= x->n_blocks - t->first_block && t->data_at <= x->data_len;
}

const base_term *text_find_base(const text_index *x, const char *name, size_t len)
{
    size_t low = 0, high = x->n_terms;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const base_term *t = &x->terms[middle];
        if (!text_term_is_sane(x, t))
            return NULL;
        int d = memcmp(x->names + t->name_at, name, t->name_len < len ? t->name_len : len);
        d = d ? d : (t->name_len > len) - (t->name_len < len);
        if (d == 0)
            return t;
        if (d < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool text_read_block(const text_index *x, const base_term *t, size_t i, block_rows *out)
{
    const block_head *h = &x->blocks[t->first_block + i];
    if (h->last >= x->parts[0].n || h->at > x->data_len - t->data_at)
        return false;
    size_t at = t->data_at + h->at;
    return block_unpack(h, i ? (int64_t)h[-1].last : -1, x->data + at, x->data_len - at, out);
}

static uint32_t *tail_slot(const text_index *x, const char *name, size_t len)
{
    for (size_t i = hash_name(name, len) & x->tail_mask;; i = (i + 1) & x->tail_mask) {
        const tail_term *t = x->tail_slots[i] ? &x->tail[x->tail_slots[i] - 1] : NULL;
        if (!t || (t->name_len == len && memcmp(t->name, name, len) == 0))
            return &x->tail_slots[i];
    }
}

const tail_term *text_find_tail(const text_index *x, const char *name, size_t len)
{
    uint32_t slot = x->tail_slots ? *tail_slot(x, name, len) : 0;
    return slot ? &x->tail[slot - 1] : NULL;
}

static bool reserve_tail_terms(text_index *x, size_t extra)
{
    size_t need = x->n_tail + extra, size = x->tail_slots ? x->tail_mask + 1 : 256;
    if (need > x->tail_cap) {
        size_t cap = need + need / 2;
        tail_term *tail = realloc(x->tail, cap * sizeof *tail);
        if (!tail)
            return false;
        x->tail = tail;
        x->tail_cap = cap;
    }
    if (x->tail_slots && need * 2 <= size)
        return true;
    while (size < need * 2 + 2)
        size *= 2;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return false;
    free(x->tail_slots);
    x->tail_slots = slots;
    x->tail_mask = size - 1;
    for (size_t i = 0; i < x->n_tail; i++)
        *tail_slot(x, x->tail[i].name, x->tail[i].name_len) = (uint32_t)i + 1;
    return true;
}

/* The tail's term of this name with room for one more posting, made when it is new; NULL without memory. */
static tail_term *get_tail_term(text_index *x, const char *name, size_t len)
{
    uint32_t *slot = tail_slot(x, name, len);
    if (!*slot) {
        char *copy = malloc(len + 1);
        if (!copy)
            return NULL;
        memcpy(copy, name, len);
        x->tail[x->n_tail] = (tail_term){.name = copy, .name_len = (uint32_t)len, .min_length = UINT32_MAX};
        *slot = (uint32_t)++x->n_tail;
    }
    tail_term *t = &x->tail[*slot - 1];
    if (t->n == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 2;
        posting *p = realloc(t->postings, cap * sizeof *p);
        if (!p)
            return NULL;
        t->postings = p;
        t->cap = cap;
    }
    return t;
}

/* --- id → row --- */

static size_t hash_id(const text_id *id)
{
    uint64_t a, b;
    memcpy(&a, id->b, 8);
    memcpy(&b, id->b + 8, 8);
    a = (a ^ b * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
    return (size_t)(a ^ a >> 31);
}

static const text_id *id_of(const text_index *x, uint32_t row)
{
    return row < x->parts[0].n ? &x->parts[0].ids[row] : &x->parts[1].ids[row - x->parts[0].n];
}

static bool row_is_live(const text_index *x, uint32_t row)
{
    return row < x->parts[0].n ? is_live(&x->parts[0], row) : is_live(&x->parts[1], row - x->parts[0].n);
}

/* The slot of the id, or the free one where it would go. */
static uint32_t *find_slot(const text_index *x, const text_id *id)
{
    for (size_t i = hash_id(id) & x->mask;; i = (i + 1) & x->mask)
        if (x->slots[i] == 0 || memcmp(id_of(x, x->slots[i] - 1), id, sizeof *id) == 0)
            return &x->slots[i];
}

static bool reserve_slots(text_index *x, size_t extra)
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
        if (*slot == 0 || row_is_live(x, row))
            *slot = row + 1;
    }
    return true;
}

static int by_row(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

bool text_rows_of(text_index *x, const text_id *ids, size_t n, uint32_t *rows[PARTS], size_t counts[PARTS])
{
    pthread_mutex_lock(&x->slots_lock);
    bool ok = reserve_slots(x, 0);
    pthread_mutex_unlock(&x->slots_lock);
    for (int i = 0; i < PARTS; i++) {
        counts[i] = 0;
        rows[i] = malloc((n + 1) * sizeof **rows);
        ok &= rows[i] != NULL;
    }
    for (size_t i = 0; ok && i < n; i++) {
        uint32_t slot = *find_slot(x, &ids[i]);
        if (!slot || !row_is_live(x, slot - 1))
            continue;
        int part = slot - 1 >= x->parts[0].n;
        rows[part][counts[part]++] = slot - 1 - (part ? (uint32_t)x->parts[0].n : 0);
    }
    for (int i = 0; ok && i < PARTS; i++) {
        qsort(rows[i], counts[i], sizeof **rows, by_row);
        size_t kept = 0; /* an id may have been named twice */
        for (size_t k = 0; k < counts[i]; k++)
            if (!kept || rows[i][k] != rows[i][kept - 1])
                rows[i][kept++] = rows[i][k];
        counts[i] = kept;
    }
    return ok;
}

/* --- changes --- */

static void bury(text_index *x, const text_id *id)
{
    uint32_t slot = *find_slot(x, id);
    if (!slot || !row_is_live(x, slot - 1))
        return;
    text_part *p = &x->parts[slot - 1 >= x->parts[0].n];
    size_t row = slot - 1 - (p == &x->parts[1] ? x->parts[0].n : 0);
    p->live[row / 64] &= ~(1ull << row % 64);
    p->dead++;
    x->words -= p->lengths[row];
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

static bool reserve_rows(text_index *x, size_t adds)
{
    text_part *p = &x->parts[1];
    size_t need = p->n + adds, cap = p->cap ? p->cap : 64, words = p->cap / 64;
    if (need <= p->cap)
        return true;
    while (cap < need)
        cap += cap / 2;
    cap = (cap + 63) & ~(size_t)63;
    if (!grow(&p->ids, cap, sizeof *p->ids) || !grow(&p->lengths, cap, sizeof *p->lengths) || !grow(&p->live, cap / 64, sizeof *p->live))
        return false;
    memset(p->live + words, 0, (cap / 64 - words) * sizeof *p->live);
    p->cap = cap;
    return true;
}

static mt_status prepare(text_index *x, const text_change *c, char *reason)
{
    if (c->version <= x->meta.version) {
        snprintf(reason, TEXT_REASON, "The text index is at version %llu already.", (unsigned long long)x->meta.version);
        return MT_CONFLICT;
    }
    if (c->adds > ROWS_MAX || x->parts[0].n + x->parts[1].n + c->adds > ROWS_MAX) {
        snprintf(reason, TEXT_REASON, "The text index would have more than %u passages.", ROWS_MAX);
        return MT_TOO_LARGE;
    }
    size_t terms = 0;
    for (size_t i = 0; i < c->adds; i++)
        terms += c->terms[i].n;
    if (reserve_rows(x, c->adds) && reserve_slots(x, c->adds) && reserve_tail_terms(x, terms))
        return MT_OK;
    snprintf(reason, TEXT_REASON, "Out of memory.");
    return MT_NO_MEMORY;
}

/* Adds the postings of a passage that takes the tail's next row, which does not count yet. */
static bool add_postings(text_index *x, size_t row, const text_terms *t)
{
    for (size_t i = 0; i < t->n; i++) {
        tail_term *term = get_tail_term(x, t->names + t->items[i].at, t->items[i].len);
        if (!term)
            return false;
        term->postings[term->n++] = (posting){(uint32_t)row, t->items[i].count};
        term->max_count = t->items[i].count > term->max_count ? t->items[i].count : term->max_count;
        term->min_length = t->length < term->min_length ? t->length : term->min_length;
    }
    return true;
}

/* Takes back what was added for rows that never came to count. */
static void drop_postings(text_index *x, size_t from_row)
{
    for (size_t i = 0; i < x->n_tail; i++)
        while (x->tail[i].n && x->tail[i].postings[x->tail[i].n - 1].row >= from_row)
            x->tail[i].n--;
}

mt_status text_apply(text_index *x, const text_change *c, char reason[TEXT_REASON])
{
    text_part *p = &x->parts[1];
    MT_TRY(prepare(x, c, reason));
    for (size_t i = 0; i < c->adds; i++)
        if (!add_postings(x, p->n + i, &c->terms[i])) {
            drop_postings(x, p->n);
            snprintf(reason, TEXT_REASON, "Out of memory.");
            return MT_NO_MEMORY;
        }
    for (size_t i = 0; i < c->removes; i++)
        bury(x, &c->remove[i]);
    for (size_t i = 0; i < c->adds; i++) {
        bury(x, &c->add[i]);
        size_t row = p->n++;
        ((text_id *)(uintptr_t)p->ids)[row] = c->add[i];
        ((uint32_t *)(uintptr_t)p->lengths)[row] = c->terms[i].length;
        p->live[row / 64] |= 1ull << row % 64;
        x->words += c->terms[i].length;
        *find_slot(x, &p->ids[row]) = (uint32_t)(x->parts[0].n + row) + 1;
    }
    x->meta.version = c->version;
    return MT_OK;
}
