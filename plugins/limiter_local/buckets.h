/* Token buckets in a table of fixed size. One number a bucket: the moment at which it will be full
 * again (GCRA: ITU-T I.371, annex A). */
#ifndef LIMITER_LOCAL_BUCKETS_H
#define LIMITER_LOCAL_BUCKETS_H

#include <mortise/types.h>

typedef struct buckets buckets;

typedef struct bucket_answer {
    bool taken;
    uint32_t remaining;
    int64_t retry_after_ms; /* 0 when taken */
} bucket_answer;

/* The table has 2^bits buckets (12 … 24), 16 bytes each. Heap; NULL without memory. */
buckets *buckets_create(unsigned bits);
void buckets_destroy(buckets *b);

/* Takes cost tokens of key's bucket, which holds burst and gains rate a minute. now_ns is
 * monotonic. Any thread; never blocks for long: one of 64 locks, eight buckets looked at. A full
 * table forgets the bucket that is nearest to full. Rate or burst 0 gives nothing. */
bucket_answer buckets_take(buckets *b, mt_slice key, uint32_t cost, uint32_t rate, uint32_t burst,
                           int64_t now_ns);

#endif
