#include "blocks.h"

static uint8_t bits_of(uint32_t most)
{
    return most ? (uint8_t)(32 - __builtin_clz(most)) : 0;
}

static void put_bits(uint8_t *out, const uint32_t *v, uint32_t n, uint32_t bits)
{
    memset(out, 0, ((size_t)n * bits + 7) / 8);
    for (size_t i = 0, at = 0; i < n; i++, at += bits)
        for (uint32_t b = 0; b < bits; b++)
            if (v[i] >> b & 1)
                out[(at + b) / 8] |= (uint8_t)(1u << (at + b) % 8);
}

/* Reads up to 8 bytes past the last value. */
static void get_bits(const uint8_t *p, uint32_t n, uint32_t bits, uint32_t *out)
{
    uint64_t mask = (1ull << bits) - 1;
    for (size_t i = 0, at = 0; i < n; i++, at += bits) {
        uint64_t word;
        memcpy(&word, p + at / 8, sizeof word);
        out[i] = (uint32_t)(word >> at % 8 & mask);
    }
}

size_t block_pack(block_head *h, const block_rows *in, int64_t previous, uint8_t *out)
{
    uint32_t gaps[BLOCK], counts[BLOCK], gap = 0, count = 0;
    for (uint32_t i = 0; i < in->n; i++) {
        gaps[i] = (uint32_t)(in->rows[i] - previous - 1);
        counts[i] = in->counts[i] - 1;
        previous = in->rows[i];
        gap |= gaps[i];
        count |= counts[i];
    }
    h->n = (uint16_t)in->n;
    h->last = in->rows[in->n - 1];
    h->row_bits = bits_of(gap);
    h->count_bits = bits_of(count);
    put_bits(out, gaps, in->n, h->row_bits);
    put_bits(out + ((size_t)in->n * h->row_bits + 7) / 8, counts, in->n, h->count_bits);
    return block_size(h);
}

bool block_unpack(const block_head *h, int64_t previous, const uint8_t *data, size_t size, block_rows *out)
{
    if (h->n == 0 || h->n > BLOCK || h->row_bits > 32 || h->count_bits > 32 || block_size(h) > size)
        return false;
    get_bits(data, h->n, h->row_bits, out->rows);
    get_bits(data + ((size_t)h->n * h->row_bits + 7) / 8, h->n, h->count_bits, out->counts);
    int64_t row = previous;
    for (uint32_t i = 0; i < h->n; i++) {
        row += (int64_t)out->rows[i] + 1;
        out->rows[i] = (uint32_t)row;
        out->counts[i]++;
    }
    out->n = h->n;
    return row == h->last;
}
