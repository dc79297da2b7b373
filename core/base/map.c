#include "base/map.h"

#include "base/ident.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct slot {
    uint64_t hash;
    char *key; /* NULL: free */
    size_t len;
    void *val;
} slot;

struct mti_map {
    slot *slots;
    size_t count, mask; /* mask + 1 slots, a power of two; at most three quarters in use */
};

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void hash_seed(void)
{
    mti_random(hash_key, sizeof hash_key);
}

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0], v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2], v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

/* SipHash with one compression and three finalization rounds (Aumasson and Bernstein, 2012). */
static uint64_t siphash13(const uint64_t key[2], const void *p, size_t n)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    const unsigned char *s = p;
    uint64_t word;
    for (size_t left = n; left >= 8; left -= 8, s += 8) {
        memcpy(&word, s, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)n << 56;
    for (size_t i = 0; i < (n & 7); i++)
        word |= (uint64_t)s[i] << (8 * i);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t mti_hash(const void *p, size_t n)
{
    pthread_once(&hash_once, hash_seed);
    return siphash13(hash_key, p, n);
}

static void *must(void *p)
{
    if (!p) {
        fputs("map: out of memory\n", stderr);
        abort();
    }
    return p;
}

/* The slot that holds key, or the free one where it belongs. */
static slot *map_find(const mti_map *m, mt_slice key, uint64_t hash)
{
    for (size_t i = hash & m->mask;; i = (i + 1) & m->mask) {
        slot *s = &m->slots[i];
        if (!s->key ||
            (s->hash == hash && s->len == key.len && (!key.len || !memcmp(s->key, key.p, key.len))))
            return s;
    }
}

static void map_grow(mti_map *m)
{
    slot *old = m->slots;
    size_t old_size = m->mask + 1;
    m->mask = old_size * 2 - 1;
    m->slots = must(calloc(m->mask + 1, sizeof *m->slots));
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].key)
            *map_find(m, (mt_slice){old[i].key, old[i].len}, old[i].hash) = old[i];
    }
    free(old);
}

mti_map *mti_map_create(void)
{
    mti_map *m = must(calloc(1, sizeof *m));
    m->mask = 7;
    m->slots = must(calloc(m->mask + 1, sizeof *m->slots));
    return m;
}

void mti_map_destroy(mti_map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i <= m->mask; i++)
        free(m->slots[i].key);
    free(m->slots);
    free(m);
}

void *mti_map_get(const mti_map *m, mt_slice key)
{
    return map_find(m, key, mti_hash(key.p, key.len))->val;
}

void *mti_map_put(mti_map *m, mt_slice key, void *val)
{
    if ((m->count + 1) * 4 > (m->mask + 1) * 3)
        map_grow(m);
    uint64_t hash = mti_hash(key.p, key.len);
    slot *s = map_find(m, key, hash);
    void *before = s->val;
    if (!s->key) {
        *s = (slot){.hash = hash, .key = must(malloc(key.len + 1)), .len = key.len};
        if (key.len)
            memcpy(s->key, key.p, key.len);
        s->key[key.len] = 0;
        m->count++;
    }
    s->val = val;
    return before;
}

void *mti_map_remove(mti_map *m, mt_slice key)
{
    slot *s = map_find(m, key, mti_hash(key.p, key.len));
    void *val = s->val;
    if (!s->key)
        return NULL;
    free(s->key);
    m->count--;
    /* Those behind move up, so that no probe is cut short; a mark for "was used" would fill the
     * table over time. */
    size_t hole = (size_t)(s - m->slots);
    for (size_t i = (hole + 1) & m->mask; m->slots[i].key; i = (i + 1) & m->mask) {
        size_t home = m->slots[i].hash & m->mask;
        if (((i - home) & m->mask) >= ((i - hole) & m->mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (slot){0};
    return val;
}

size_t mti_map_count(const mti_map *m)
{
    return m->count;
}

bool mti_map_next(const mti_map *m, size_t *pos, mt_slice *key, void **val)
{
    while (*pos <= m->mask) {
        const slot *s = &m->slots[(*pos)++];
        if (!s->key)
            continue;
        *key = (mt_slice){s->key, s->len};
        *val = s->val;
        return true;
    }
    return false;
}
