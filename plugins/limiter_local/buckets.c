#include "buckets.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

enum { LOCKS = 64, WAYS = 8 };

typedef struct slot {
    uint64_t key;    /* of the 128-bit hash, the half that does not choose the row; 0: free */
    int64_t full_ns; /* when the bucket is full again */
} slot;

struct buckets {
    pthread_mutex_t locks[LOCKS];
    uint64_t seed[2];
    uint64_t mask; /* of rows */
    slot slots[];
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Seeded, so that nobody outside can choose keys that collide. */
static uint64_t hash(uint64_t seed, mt_slice key)
{
    uint64_t h = seed ^ key.len;
    for (size_t i = 0; i < key.len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, key.p + i, key.len - i < 8 ? key.len - i : 8);
        h = mix(h ^ word, seed | 1) + 0x9e3779b97f4a7c15u;
    }
    return mix(h, 0xd6e8feb86659fd93u);
}

buckets *buckets_create(unsigned bits)
{
    size_t n = (size_t)1 << bits;
    buckets *b = calloc(1, sizeof *b + n * sizeof *b->slots);
    if (!b)
        return NULL;
    if (getrandom(b->seed, sizeof b->seed, 0) != sizeof b->seed) {
        free(b);
        return NULL;
    }
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&b->locks[i], NULL);
    b->mask = n / WAYS - 1;
    return b;
}

void buckets_destroy(buckets *b)
{
    if (!b)
        return;
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&b->locks[i]);
    free(b);
}

/* The key's slot; a new key takes the one that is free or nearest to full: forgetting a full bucket
 * changes nothing. */
static slot *find(slot *row, uint64_t key)
{
    slot *best = row;
    for (int i = 0; i < WAYS; i++) {
        if (row[i].key == key)
            return &row[i];
        if (row[i].full_ns < best->full_ns)
            best = &row[i];
    }
    *best = (slot){.key = key};
    return best;
}

static bucket_answer take(slot *s, uint32_t cost, uint32_t rate, uint32_t burst, int64_t now_ns)
{
    int64_t token_ns = 60000000000 / rate, most = INT64_MAX / 4 / token_ns;
    burst = burst < most ? burst : (uint32_t)most;
    cost = cost <= burst ? cost : burst + 1;
    int64_t room_ns = token_ns * burst;
    int64_t from = s->full_ns > now_ns ? s->full_ns : now_ns;
    /* a lower burst than last time must not lock the key out for longer than it takes to fill */
    if (from - now_ns > room_ns)
        from = now_ns + room_ns;
    int64_t until = from + token_ns * cost, over = until - now_ns - room_ns;
    if (over > 0)
        return (bucket_answer){.remaining = (uint32_t)((room_ns - (from - now_ns)) / token_ns),
                               .retry_after_ms = (over + 999999) / 1000000};
    s->full_ns = until;
    return (bucket_answer){.taken = true,
                           .remaining = (uint32_t)((room_ns - (until - now_ns)) / token_ns)};
}

bucket_answer buckets_take(buckets *b, mt_slice key, uint32_t cost, uint32_t rate, uint32_t burst,
                           int64_t now_ns)
{
    if (!rate || !burst)
        return (bucket_answer){.retry_after_ms = 60000};
    uint64_t place = hash(b->seed[0], key) & b->mask, name = hash(b->seed[1], key) | 1;
    pthread_mutex_t *lock = &b->locks[place % LOCKS];
    pthread_mutex_lock(lock);
    bucket_answer a = take(find(&b->slots[place * WAYS], name), cost, rate, burst, now_ns);
    pthread_mutex_unlock(lock);
    return a;
}
