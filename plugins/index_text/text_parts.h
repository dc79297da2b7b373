/* The inside of a text_index, shared by text_index.c, text_file.c and bm25.c only. */
#ifndef INDEX_TEXT_TEXT_PARTS_H
#define INDEX_TEXT_TEXT_PARTS_H

#include <pthread.h>

#include "blocks.h"
#include "text_index.h"

#define PARTS 2 /* 0: the base, read-only; 1: the tail, growing */

typedef struct text_part {
    size_t n, cap, dead;     /* cap 0: memory of the mapping */
    const text_id *ids;
    const uint32_t *lengths; /* words of each passage */
    uint64_t *live;          /* always ours; bit r % 64 of live[r / 64] */
} text_part;

/* A term of the base, as it lies in the file; sorted by name. */
typedef struct base_term {
    uint64_t data_at;        /* of its first block */
    uint32_t name_at, name_len;
    uint32_t df, first_block; /* postings; (df + 127) / 128 blocks */
    uint32_t max_count, min_length;
} base_term;

typedef struct posting {
    uint32_t row, count;
} posting;

/* A term of the tail. */
typedef struct tail_term {
    char *name;
    uint32_t name_len, max_count, min_length;
    uint32_t n, cap;
    posting *postings;
} tail_term;

struct text_index {
    text_meta meta;
    text_part parts[PARTS];
    uint64_t words;          /* in all passages that count */

    const base_term *terms;
    size_t n_terms;
    const block_head *blocks;
    size_t n_blocks;
    const char *names;
    size_t names_len;
    const uint8_t *data;
    size_t data_len;

    tail_term *tail;
    size_t n_tail, tail_cap;
    uint32_t *tail_slots;    /* name → tail term: 0 free, else 1 + index */
    size_t tail_mask;

    void *map;               /* the file, or NULL */
    size_t map_len;
    uint64_t file_mark;      /* which file it is: another process may have put another one in its place */
    uint64_t file_end;       /* where the next log record goes; 0: never saved */
    uint64_t file_version;   /* what the file holds up to there */

    uint32_t *slots;         /* id → row: 0 free, else 1 + row, the tail's rows behind the base's; built when first needed */
    size_t mask;
    pthread_mutex_t slots_lock; /* searches with a filter may be the first to need it */
};

static inline bool is_live(const text_part *p, size_t row)
{
    return p->live[row / 64] >> row % 64 & 1;
}

/* What tells one file of an index from another: its inode, which may be used again, and its header's checksum. 0: it cannot be read. */
uint64_t text_mark(int fd);
/* The term in the base or NULL; its ranges lie within the index. */
const base_term *text_find_base(const text_index *x, const char *name, size_t len);
/* The term in the tail or NULL. */
const tail_term *text_find_tail(const text_index *x, const char *name, size_t len);
/* Whether the ranges that t names lie within the index. */
bool text_term_is_sane(const text_index *x, const base_term *t);
/* Decodes block i of t; false when it is damaged. */
bool text_read_block(const text_index *x, const base_term *t, size_t i, block_rows *out);
/* Fills rows[part] (malloc'ed, ascending) with those of the ids that count. False without memory. */
bool text_rows_of(text_index *x, const text_id *ids, size_t n, uint32_t *rows[PARTS], size_t counts[PARTS]);
/* Makes all of the base's passages count. MT_NO_MEMORY. */
mt_status text_wake_base(text_index *x);

#endif
