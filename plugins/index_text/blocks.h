/* Postings in blocks of 128: rows as differences, counts, both in as many bits as the block needs. Pure: any thread. */
#ifndef INDEX_TEXT_BLOCKS_H
#define INDEX_TEXT_BLOCKS_H

#include <mortise/types.h>

#define BLOCK 128
#define BLOCK_SLACK 8 /* readable bytes behind the last block of a file */

typedef struct block_head {
    uint32_t last;       /* row of the last posting */
    uint32_t at;         /* bytes behind the term's first block */
    uint32_t max_count;  /* no posting of the block has a higher count … */
    uint32_t min_length; /* … nor a row of fewer words */
    uint8_t row_bits, count_bits;
    uint16_t n;          /* postings, 1–128 */
} block_head;

typedef struct block_rows {
    uint32_t n;
    uint32_t rows[BLOCK], counts[BLOCK];
} block_rows;

/* Bytes that a block takes. */
static inline size_t block_size(const block_head *h)
{
    return ((size_t)h->n * h->row_bits + 7) / 8 + ((size_t)h->n * h->count_bits + 7) / 8;
}

/* Fills in bits, n and last, and writes the block to out (room for 1024 bytes); answers its size. previous: the last row before it, -1 at first.
   Rows ascend, counts are at least 1. */
size_t block_pack(block_head *h, const block_rows *in, int64_t previous, uint8_t *out);
/* Reads the block at data[0..size) (BLOCK_SLACK bytes behind it must be readable); false when it is not one: wrong sizes, rows that do not end at
   h->last. After true all rows lie in (previous, h->last] and ascend. */
bool block_unpack(const block_head *h, int64_t previous, const uint8_t *data, size_t size, block_rows *out);

#endif
