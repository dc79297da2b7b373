/* Vectors as int8 rows, and the exact search over them by cosine. A row of dim numbers is scale × (code + fine / 254): the codes alone find
   candidates, codes and fine bytes together (an error of about 3e-6) decide. Whole numbers only: every processor gives the same scores.
   Plain memory, no state. */
#ifndef INDEX_LOCAL_SCAN_H
#define INDEX_LOCAL_SCAN_H

#include <mortise/types.h>

#define SCAN_MAX_DIM 4096
#define SCAN_MAX_K 10000
#define SCAN_PARTS 2

/* Rows that lie one behind the other. Bit r % 64 of live[r / 64] says whether row r counts. */
typedef struct scan_rows {
    size_t n;
    const int8_t *codes;   /* n × scan_stride(dim), by scan_quantize */
    const int8_t *fine;    /* the same */
    const float *scales;   /* n */
    const uint64_t *live;  /* (n + 63) / 64 words; bits from n on must be 0 */
    const uint64_t *allow; /* the same, a filter of the caller; NULL: all */
} scan_rows;

typedef struct scan_hit {
    uint32_t part, row;    /* which scan_rows, and the row in it */
    float score;           /* cosine, −1 to 1 */
} scan_hit;

/* The dot products of a query's bytes with n rows, wherever they lie. All kernels give the same numbers. */
typedef void (*scan_kernel)(const int8_t *query, const int8_t *const *rows, size_t stride, size_t n, int32_t *out);

/* Kernel i of this build: its name and function, NULL as function when this processor cannot run it; false past the last. The last
   one that runs is the best. */
bool scan_kernel_at(size_t i, const char **name, scan_kernel *kernel);
scan_kernel scan_best_kernel(void);

/* Bytes of a row of codes: dim rounded up to 64. */
static inline size_t scan_stride(size_t dim)
{
    return (dim + 63) & ~(size_t)63;
}

/* Writes v as a unit vector: its codes and fine bytes (padding included) and scale; false when v is zero or not finite. */
bool scan_quantize(const float *v, size_t dim, int8_t *codes, int8_t *fine, float *scale);

/* One search: begin, any number of scans and offers, end. Not shared between threads; what it reads may be. */
typedef struct scan_search scan_search;

/* Begins a search for the k best rows of parts[SCAN_PARTS] (borrowed until the end) to query[dim]. MT_INVALID (a query of zeros or not
   finite, k or dim out of range), MT_NO_MEMORY. */
mt_status scan_begin(scan_search **out, const scan_rows *parts, size_t dim, const float *query, size_t k);
/* The query's codes and scale, as a row has them. */
const int8_t *scan_query_codes(const scan_search *s, float *scale);
/* Every row of a part from `first` on that is live and allowed. stop (may be NULL) is asked with user about every 65,536 rows. MT_CANCELLED. */
mt_status scan_part(scan_search *s, uint32_t part, size_t first, bool (*stop)(void *), void *user);
/* One candidate that something else found, with its score by codes; taken when live and allowed. Answers whether it was. */
bool scan_offer(scan_search *s, uint32_t part, uint32_t row, float score);
/* The same, the score worked out here. */
bool scan_offer_row(scan_search *s, uint32_t part, uint32_t row);
/* Forgets what was found so far. */
void scan_restart(scan_search *s);
/* Writes the k best, best first, equal scores in the order of part and row; answers their number. */
size_t scan_finish(scan_search *s, scan_hit *out);
void scan_end(scan_search *s); /* NULL is fine */

#endif
