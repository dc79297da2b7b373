/* Exact nearest neighbours by cosine: a scan over int8 rows finds candidates, their fp32 rows decide. Plain memory, no state. */
#ifndef INDEX_EXACT_SCAN_H
#define INDEX_EXACT_SCAN_H

#include <mortise/types.h>

/* Rows that lie one behind the other. Bit r % 64 of live[r / 64] says whether row r counts. */
typedef struct scan_rows {
    size_t n;
    const int8_t *codes;   /* n × scan_stride(dim), quantized by scan_quantize */
    const float *scales;   /* n */
    const float *full;     /* n × dim, unit vectors */
    const uint64_t *live;  /* (n + 63) / 64 words; bits from n on must be 0 */
    const uint64_t *allow; /* the same, a filter of the caller; NULL: all */
} scan_rows;

typedef struct scan_hit {
    uint32_t part, row;    /* which scan_rows, and the row in it */
    float score;           /* cosine, −1 to 1 */
} scan_hit;

#define SCAN_MAX_DIM 4096
#define SCAN_MAX_K 10000

/* Bytes of a row of codes: dim rounded up to 64. */
static inline size_t scan_stride(size_t dim)
{
    return (dim + 63) & ~(size_t)63;
}

/* Writes v as unit vector to full[dim] and its codes (padding included) and scale; false when v is zero or not finite. */
bool scan_quantize(const float *v, size_t dim, float *full, int8_t *codes, float *scale);

/* Finds the k best rows of all parts for the query (any length but zero): writes at most k hits, best first, equal scores in the
   order of part and row, and their number to *found. stop (may be NULL) is asked with user about every 65,536 rows. Reads only: any
   number of threads. MT_INVALID (a query of zeros or not finite, k or dim out of range), MT_CANCELLED, MT_NO_MEMORY. */
mt_status scan_search(const scan_rows *parts, size_t n_parts, size_t dim, const float *query, size_t k, scan_hit *out, size_t *found,
                      bool (*stop)(void *), void *user);

/* The int8 dot products of a query with n rows. All kernels give the same numbers. */
typedef void (*scan_kernel)(const int8_t *query, const int8_t *rows, size_t stride, size_t n, int32_t *out);

/* Kernel i of this build: its name and function, NULL as function when this processor cannot run it; false past the last. The last
   one that runs is the one scan_search uses. */
bool scan_kernel_at(size_t i, const char **name, scan_kernel *kernel);

#endif
