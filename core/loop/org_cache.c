#include "loop/org_cache.h"

#include "base/map.h"

#include <stdlib.h>

#define NONE_MAX 16384

typedef struct lru {
    mti_org_entry *newest, *oldest;
    size_t count;
} lru;

struct mti_org_cache {
    const mti_org_cache_kind *kind;
    mti_map *entries;            /* by org_id */
    lru lists[2];                /* without a value, and with one */
    size_t bytes;
};

static mt_slice key_of(const mti_uuid *id)
{
    return (mt_slice){(const char *)id->b, sizeof id->b};
}

static void lru_remove(lru *l, mti_org_entry *e)
{
    *(e->newer ? &e->newer->older : &l->newest) = e->older;
    *(e->older ? &e->older->newer : &l->oldest) = e->newer;
    l->count--;
}

static void lru_push(lru *l, mti_org_entry *e)
{
    e->newer = NULL;
    e->older = l->newest;
    *(l->newest ? &l->newest->newer : &l->oldest) = e;
    l->newest = e;
    l->count++;
}

void mti_org_entry_release(mti_org_entry *e)
{
    if (--e->refs)
        return;
    if (e->value)
        e->kind->release(e->value);
    free(e);
}

static lru *list_of(mti_org_entry *e)
{
    return &e->cache->lists[e->value != NULL];
}

static void drop(mti_org_entry *e)
{
    lru_remove(list_of(e), e);
    mti_map_remove(e->cache->entries, key_of(&e->org_id));
    e->cache->bytes -= e->size;
    e->cache = NULL;
    mti_org_entry_release(e);
}

static void make_room(mti_org_cache *k, const mti_org_entry *but)
{
    lru *some = &k->lists[1], *none = &k->lists[0];
    while ((some->count > k->kind->max || k->bytes > k->kind->max_bytes) && some->oldest != but)
        drop(some->oldest);
    while (none->count > NONE_MAX && none->oldest != but)
        drop(none->oldest);
}

static mti_org_entry *add(mti_org_cache *k, mti_uuid org_id)
{
    mti_org_entry *e = calloc(1, sizeof *e);
    if (!e)
        abort();
    *e = (mti_org_entry){.org_id = org_id, .cache = k, .kind = k->kind, .refs = 1};
    mti_map_put(k->entries, key_of(&org_id), e);
    lru_push(&k->lists[0], e);
    make_room(k, e);
    return e;
}

mti_org_entry *mti_org_cache_hold(mti_org_cache *k, mti_uuid org_id)
{
    mti_org_entry *e = mti_map_get(k->entries, key_of(&org_id));
    if (!e)
        e = add(k, org_id);
    lru *l = list_of(e);
    if (l->newest != e) {
        lru_remove(l, e);
        lru_push(l, e);
    }
    e->refs++;
    return e;
}

void mti_org_entry_set(mti_org_entry *e, void *take)
{
    mti_org_cache *k = e->cache;
    if (k)
        lru_remove(list_of(e), e);
    if (e->value)
        e->kind->release(e->value);
    e->value = take;
    if (!k)
        return;
    k->bytes -= e->size;
    e->size = take ? e->kind->size(take) : 0;
    k->bytes += e->size;
    lru_push(list_of(e), e);
    make_room(k, e);
}

static mt_status ask(mt_call *c, mti_org_entry *e, int64_t ttl_us, mt_status (*load)(mt_call *c, mti_org_entry *e))
{
    e->loading = true;
    e->stale = false;
    mt_status s = load(c, e);
    e->loading = false;
    if (s == MT_OK)              /* told of a change meanwhile: good for this call only */
        e->until_us = e->stale ? 0 : mti_mono_us() + ttl_us;
    mti_wake_all(&e->waiting);
    return s;
}

mt_status mti_org_entry_refresh(mt_call *c, mti_org_entry *e, int64_t ttl_us, mt_status (*load)(mt_call *c, mti_org_entry *e))
{
    while (e->until_us <= mti_mono_us()) {
        if (!e->loading)
            return ask(c, e, ttl_us, load);
        MT_TRY(mti_wait(&e->waiting, -1));
    }
    return MT_OK;
}

static void expire(mti_org_entry *e)
{
    e->until_us = 0;
    e->stale = true;
}

void mti_org_cache_expire(mti_org_cache *k, mti_uuid org_id)
{
    mti_org_entry *e = mti_map_get(k->entries, key_of(&org_id));
    if (e)
        expire(e);
    for (int i = 0; mti_uuid_is_nil(org_id) && i < 2; i++)
        for (e = k->lists[i].newest; e; e = e->older)
            expire(e);
}

size_t mti_org_cache_count(const mti_org_cache *k)
{
    return k->lists[1].count;
}

size_t mti_org_cache_bytes(const mti_org_cache *k)
{
    return k->bytes;
}

mti_org_cache *mti_org_cache_create(const mti_org_cache_kind *kind)
{
    mti_org_cache *k = calloc(1, sizeof *k);
    if (!k)
        abort();
    k->kind = kind;
    k->entries = mti_map_create();
    return k;
}

void mti_org_cache_destroy(mti_org_cache *k)
{
    if (!k)
        return;
    for (int i = 0; i < 2; i++)
        while (k->lists[i].oldest)
            drop(k->lists[i].oldest);
    mti_map_destroy(k->entries);
    free(k);
}
