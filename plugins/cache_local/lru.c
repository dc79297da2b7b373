#include "lru.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

enum { SHARDS = 16, FIRST_CHAINS = 64 };

typedef struct entry {
    struct entry *chain;
    struct entry *newer, *older;
    uint64_t hash;
    int64_t until_ms;
    size_t key_len, value_len;
    char bytes[]; /* key, then value */
} entry;

typedef struct shard {
    pthread_mutex_t lock;
    entry **chains;
    size_t n_chains, n, bytes;
    entry *newest, *oldest;
} shard;

struct lru {
    _Atomic(size_t) max_shard_bytes;
    uint64_t seed;
    shard shards[SHARDS];
};

static uint64_t hash(const lru *l, mt_slice key)
{
    uint64_t h = l->seed ^ key.len;
    for (size_t i = 0; i < key.len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, key.p + i, key.len - i < 8 ? key.len - i : 8);
        unsigned __int128 product = (unsigned __int128)(h ^ word) * (l->seed | 1);
        h = ((uint64_t)product ^ (uint64_t)(product >> 64)) + 0x9e3779b97f4a7c15u;
    }
    return h ^ h >> 29;
}

lru *lru_create(size_t max_bytes)
{
    lru *l = calloc(1, sizeof *l);
    bool ok = l && getrandom(&l->seed, sizeof l->seed, 0) == sizeof l->seed;
    for (int i = 0; l && i < SHARDS; i++) {
        shard *s = &l->shards[i];
        pthread_mutex_init(&s->lock, NULL);
        s->n_chains = FIRST_CHAINS;
        s->chains = calloc(FIRST_CHAINS, sizeof *s->chains);
        ok = ok && s->chains;
    }
    if (!ok) {
        lru_destroy(l);
        return NULL;
    }
    lru_set_max(l, max_bytes);
    return l;
}

void lru_destroy(lru *l)
{
    for (int i = 0; l && i < SHARDS; i++) {
        shard *s = &l->shards[i];
        while (s->newest) {
            entry *e = s->newest;
            s->newest = e->older;
            free(e);
        }
        free(s->chains);
        pthread_mutex_destroy(&s->lock);
    }
    free(l);
}

void lru_set_max(lru *l, size_t max_bytes)
{
    atomic_store(&l->max_shard_bytes, max_bytes / SHARDS);
}

static size_t size_of(const entry *e)
{
    return sizeof *e + e->key_len + e->value_len;
}

static void unlink_use(shard *s, entry *e)
{
    *(e->newer ? &e->newer->older : &s->newest) = e->older;
    *(e->older ? &e->older->newer : &s->oldest) = e->newer;
}

static void link_newest(shard *s, entry *e)
{
    e->newer = NULL;
    e->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = e;
    s->newest = e;
}

static entry **find(shard *s, uint64_t h, mt_slice key)
{
    entry **at = &s->chains[h / SHARDS % s->n_chains];
    while (*at && ((*at)->hash != h || !mt_slice_eq((mt_slice){(*at)->bytes, (*at)->key_len}, key)))
        at = &(*at)->chain;
    return at;
}

static void drop(shard *s, entry **at)
{
    entry *e = *at;
    *at = e->chain;
    unlink_use(s, e);
    s->n--;
    s->bytes -= size_of(e);
    free(e);
}

static void drop_oldest(shard *s)
{
    drop(s, find(s, s->oldest->hash, (mt_slice){s->oldest->bytes, s->oldest->key_len}));
}

/* Keeps chains short; without memory they just grow longer. */
static void grow(shard *s)
{
    if (s->n < s->n_chains)
        return;
    size_t n = s->n_chains * 2;
    entry **chains = calloc(n, sizeof *chains);
    if (!chains)
        return;
    for (entry *e = s->newest; e; e = e->older) {
        entry **at = &chains[e->hash / SHARDS % n];
        e->chain = *at;
        *at = e;
    }
    free(s->chains);
    s->chains = chains;
    s->n_chains = n;
}

mt_status lru_get(lru *l, mt_slice key, int64_t now_ms, void *(*alloc)(void *arg, size_t n),
                  void *arg, mt_slice *value)
{
    uint64_t h = hash(l, key);
    shard *s = &l->shards[h % SHARDS];
    mt_status status = MT_NOT_FOUND;
    pthread_mutex_lock(&s->lock);
    entry **at = find(s, h, key), *e = *at;
    if (e && e->until_ms <= now_ms) {
        drop(s, at);
    } else if (e) {
        char *copy = alloc(arg, e->value_len + 1);
        status = copy ? MT_OK : MT_NO_MEMORY;
        if (copy) {
            memcpy(copy, e->bytes + e->key_len, e->value_len);
            *value = (mt_slice){copy, e->value_len};
            unlink_use(s, e);
            link_newest(s, e);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

mt_status lru_put(lru *l, mt_slice key, mt_slice value, int64_t until_ms)
{
    size_t max = atomic_load(&l->max_shard_bytes), size = sizeof(entry) + key.len + value.len;
    if (size > max)
        return MT_TOO_LARGE;
    entry *e = malloc(size);
    if (!e)
        return MT_NO_MEMORY;
    *e = (entry){
        .hash = hash(l, key), .until_ms = until_ms, .key_len = key.len, .value_len = value.len};
    memcpy(e->bytes, key.p, key.len);
    memcpy(e->bytes + key.len, value.p ? value.p : "", value.len);
    shard *s = &l->shards[e->hash % SHARDS];
    pthread_mutex_lock(&s->lock);
    entry **at = find(s, e->hash, key);
    if (*at)
        drop(s, at);
    while (s->oldest && s->bytes + size > max)
        drop_oldest(s);
    grow(s);
    at = &s->chains[e->hash / SHARDS % s->n_chains];
    e->chain = *at;
    *at = e;
    link_newest(s, e);
    s->n++;
    s->bytes += size;
    pthread_mutex_unlock(&s->lock);
    return MT_OK;
}

void lru_remove(lru *l, mt_slice key)
{
    uint64_t h = hash(l, key);
    shard *s = &l->shards[h % SHARDS];
    pthread_mutex_lock(&s->lock);
    entry **at = find(s, h, key);
    if (*at)
        drop(s, at);
    pthread_mutex_unlock(&s->lock);
}

lru_stats lru_get_stats(lru *l)
{
    lru_stats sum = {0};
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&l->shards[i].lock);
        sum.entries += l->shards[i].n;
        sum.bytes += l->shards[i].bytes;
        pthread_mutex_unlock(&l->shards[i].lock);
    }
    return sum;
}
