/*
 * What one loop keeps of organizations' policies: the 1,000 organizations used last, or fewer when
 * their code is larger than 64 MiB together, and of some 16,000 more that they have none.
 * Policies that a call holds stay until it lets go. Loop's thread only.
 */
#ifndef MTI_POLICY_ORG_CACHE_H
#define MTI_POLICY_ORG_CACHE_H

#include "policy/org.h"

typedef struct mti_org_cache mti_org_cache;

typedef struct mti_org_entry {
    mti_uuid org_id;
    mti_org_policies *policies;      /* NULL: it has none, or was not asked yet */
    int64_t until_us;                /* monotonic: when to ask again; 0: now */
    uint8_t hash[32];                /* of the list that policies were compiled from */
    bool loading;                    /* somebody asks */
    bool stale;                      /* a change was told while somebody asked */
    mti_waitlist waiting;            /* for the one that asks */

    unsigned refs;                   /* the cache's own included */
    size_t size;                     /* as counted in the cache */
    struct mti_org_cache *cache;     /* NULL: it was let go */
    struct mti_org_entry *newer, *older;
} mti_org_entry;

mti_org_cache *mti_org_cache_create(void);
/* Nobody may hold an entry any more; policies may still be held. */
void mti_org_cache_destroy(mti_org_cache *k);

/* The organization's entry, made when there is none; it becomes the newest. Release it. */
mti_org_entry *mti_org_cache_hold(mti_org_cache *k, mti_uuid org_id);
void mti_org_entry_release(mti_org_entry *e);
/* What it has from now on (taken); lets the oldest entries go while there is too much. */
void mti_org_entry_set(mti_org_entry *e, mti_org_policies *take);
/* A change was told: of one organization, or (nil) of any. */
void mti_org_cache_expire(mti_org_cache *k, mti_uuid org_id);
/* Entries with policies, and the bytes of their code. */
size_t mti_org_cache_count(const mti_org_cache *k);
size_t mti_org_cache_bytes(const mti_org_cache *k);

#endif
