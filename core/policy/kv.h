/*
 * What policies remember: texts and numbers with a time to live, in memory, one store a host, apart
 * for each scope: an organization's own policies, those it only tries, or the platform's for one
 * organization. Bounded: 1,000 keys and 256 KiB a scope, 64 MiB a store. One thread at a time.
 */
#ifndef MTI_POLICY_KV_H
#define MTI_POLICY_KV_H

#include "base/ident.h"

#define MTI_KV_TEXT 4096             /* the longest text */

typedef struct mti_kv mti_kv;

typedef struct mti_kv_scope {
    uint8_t own;                 /* 0: the platform's; 1: the organization's own; 2: its shadows' */
    mti_uuid org_id;
} mti_kv_scope;

typedef struct mti_kv_value {
    mt_slice text;               /* p NULL: number counts */
    double number;
} mti_kv_value;

mti_kv *mti_kv_create(void);
void mti_kv_destroy(mti_kv *kv);

/* MT_OK or MT_NOT_FOUND. A text is borrowed until the next set. now_us is monotonic. */
mt_status mti_kv_get(mti_kv *kv, mti_kv_scope scope, mt_slice key, int64_t now_us,
                     mti_kv_value *out);
/* Copies. ttl_us ≤ 0 removes the key. MT_LIMITED over the scope's or the store's quota,
 * MT_TOO_LARGE for keys over 128 bytes or texts over 4 KiB. */
mt_status mti_kv_set(mti_kv *kv, mti_kv_scope scope, mt_slice key, mti_kv_value value,
                     int64_t ttl_us, int64_t now_us);
/* Adds to a number (a missing one or a text is 0) and answers the sum. The time to live counts from
 * the key's creation. */
mt_status mti_kv_incr(mti_kv *kv, mti_kv_scope scope, mt_slice key, double by, int64_t ttl_us,
                      int64_t now_us, double *sum);
size_t mti_kv_count(const mti_kv *kv);

#endif
