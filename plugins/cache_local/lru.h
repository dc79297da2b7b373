/* A bounded map from bytes to bytes with times to live: 16 shards, each a lock, a hash table and a
 * list by last use. */
#ifndef CACHE_LOCAL_LRU_H
#define CACHE_LOCAL_LRU_H

#include <mortise/types.h>

typedef struct lru lru;

lru *lru_create(size_t max_bytes); /* NULL without memory */
void lru_destroy(lru *l);
void lru_set_max(lru *l, size_t max_bytes); /* takes effect with the next put */

/* Any thread, all of them. Bytes are copied in; a get copies into what alloc(arg, n) gives (called
 * under a shard's lock: no suspend). times are monotonic ms. */
mt_status lru_get(lru *l, mt_slice key, int64_t now_ms, void *(*alloc)(void *arg, size_t n),
                  void *arg, mt_slice *value); /* MT_NOT_FOUND, MT_NO_MEMORY */
mt_status lru_put(lru *l, mt_slice key, mt_slice value,
                  int64_t until_ms); /* MT_TOO_LARGE over a shard's share, MT_NO_MEMORY */
void lru_remove(lru *l, mt_slice key);

typedef struct lru_stats {
    size_t entries, bytes;
} lru_stats;
lru_stats lru_get_stats(lru *l);

#endif
