/*
 * What one loop keeps of organizations: values that are asked of a store when an organization's
 * first call in a while begins, and dropped when a change is told. Bounded by number and bytes,
 * the ones used last stay; of some 16,000 organizations more it is kept that they have none. A
 * value that a call holds stays until the call lets go. Loop's thread only.
 */
#ifndef MTI_LOOP_ORG_CACHE_H
#define MTI_LOOP_ORG_CACHE_H

#include "loop/call.h"

typedef struct mti_org_cache mti_org_cache;

typedef struct mti_org_cache_kind {
    void (*release)(void *value);    /* NULL is no value */
    size_t (*size)(const void *value);
    size_t max, max_bytes;           /* values kept, and the bytes of all */
} mti_org_cache_kind;

typedef struct mti_org_entry {
    mti_uuid org_id;
    void *value;                     /* NULL: it has none, or was not asked yet */
    int64_t until_us;                /* monotonic: when to ask again; 0: now */
    bool loading;                    /* somebody asks */
    bool stale;                      /* a change was told while somebody asked */
    mti_waitlist waiting;            /* for the one that asks */

    unsigned refs;                   /* the cache's own included */
    size_t size;                     /* as counted in the cache */
    struct mti_org_cache *cache;     /* NULL: it was let go */
    const mti_org_cache_kind *kind;
    struct mti_org_entry *newer, *older;
} mti_org_entry;

/* kind is static. */
mti_org_cache *mti_org_cache_create(const mti_org_cache_kind *kind);
/* Nobody may hold an entry any more; values may still be held. */
void mti_org_cache_destroy(mti_org_cache *k);

/* The organization's entry, made when there is none; it becomes the newest. Release it. */
mti_org_entry *mti_org_cache_hold(mti_org_cache *k, mti_uuid org_id);
void mti_org_entry_release(mti_org_entry *e);
/* What it has from now on (taken); lets the oldest entries go while there is too much. */
void mti_org_entry_set(mti_org_entry *e, void *take);
/* Loads what is not fresh: one fiber asks (load sets the value), the others of the organization
 * wait for it; when it fails, each tries itself. Good for ttl_us, or for this call only when a
 * change was told meanwhile. Suspends on a miss. */
mt_status mti_org_entry_refresh(mt_call *c, mti_org_entry *e, int64_t ttl_us,
                                mt_status (*load)(mt_call *c, mti_org_entry *e));
/* A change was told: of one organization, or (nil) of any. */
void mti_org_cache_expire(mti_org_cache *k, mti_uuid org_id);
/* Entries with a value, and their bytes. */
size_t mti_org_cache_count(const mti_org_cache *k);
size_t mti_org_cache_bytes(const mti_org_cache *k);

#endif
