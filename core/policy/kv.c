#include "policy/kv.h"

#include "base/map.h"

#include <stdlib.h>

#define SCOPE_KEYS  1000
#define SCOPE_BYTES (256u << 10)
#define STORE_BYTES (64u << 20)
#define KEY_MAX     128
#define SWEEP       4

struct kv_entry;

typedef struct kv_scope {
    mti_kv_scope id;
    size_t keys, bytes;
    struct kv_entry *first;      /* every entry of the scope */
    int64_t next_expiry_us;      /* none of them expires earlier */
} kv_scope;

/* In one ring in order of age; every set looks at the oldest few and frees those that have expired.
 */
typedef struct kv_entry {
    struct kv_entry *newer, *older;
    struct kv_entry *next, **back;   /* in the scope's list */
    kv_scope *scope;
    int64_t expires_us;
    double number;
    bool is_text;
    uint16_t key_len;
    uint32_t text_len;
    char bytes[];                /* scope id and key as in the map, then the text */
} kv_entry;

struct mti_kv {
    mti_map *entries, *scopes;
    kv_entry *newest, *oldest;
    size_t bytes;
};

typedef struct kv_key {
    char bytes[sizeof(mti_kv_scope) + KEY_MAX];
    size_t len;
} kv_key;

static bool key_make(kv_key *k, mti_kv_scope scope, mt_slice key)
{
    if (key.len > KEY_MAX)
        return false;
    memcpy(k->bytes, &scope, sizeof scope);
    if (key.len)
        memcpy(k->bytes + sizeof scope, key.p, key.len);
    k->len = sizeof scope + key.len;
    return true;
}

static mt_slice key_slice(const kv_key *k)
{
    return (mt_slice){k->bytes, k->len};
}

static size_t entry_size(const kv_entry *e)
{
    return sizeof *e + e->key_len + e->text_len + 64; /* and its place in the map, about */
}

static void ring_remove(mti_kv *kv, kv_entry *e)
{
    *(e->newer ? &e->newer->older : &kv->newest) = e->older;
    *(e->older ? &e->older->newer : &kv->oldest) = e->newer;
}

static void ring_push(mti_kv *kv, kv_entry *e)
{
    e->newer = NULL;
    e->older = kv->newest;
    *(kv->newest ? &kv->newest->newer : &kv->oldest) = e;
    kv->newest = e;
}

static mt_slice scope_key(const kv_scope *s)
{
    return (mt_slice){(const char *)&s->id, sizeof s->id};
}

static void scope_account(mti_kv *kv, kv_scope *s, const kv_entry *e, int sign)
{
    s->keys += (size_t)sign;
    s->bytes += (size_t)sign * entry_size(e);
    kv->bytes += (size_t)sign * entry_size(e);
}

static void scope_drop_empty(mti_kv *kv, kv_scope *s)
{
    if (s->keys)
        return;
    mti_map_remove(kv->scopes, scope_key(s));
    free(s);
}

static void entry_unlink(mti_kv *kv, kv_entry *e)
{
    scope_account(kv, e->scope, e, -1);
    *e->back = e->next;
    if (e->next)
        e->next->back = e->back;
    mti_map_remove(kv->entries, (mt_slice){e->bytes, e->key_len});
    ring_remove(kv, e);
    free(e);
}

static void entry_free(mti_kv *kv, kv_entry *e)
{
    kv_scope *s = e->scope;
    entry_unlink(kv, e);
    scope_drop_empty(kv, s);
}

static void sweep(mti_kv *kv, int64_t now_us)
{
    for (int i = 0; i < SWEEP && kv->oldest; i++) {
        kv_entry *e = kv->oldest;
        if (e->expires_us <= now_us) {
            entry_free(kv, e);
        } else {
            ring_remove(kv, e);
            ring_push(kv, e);
        }
    }
}

/* Frees what has expired in one scope, when anything has; for a scope at its quota. */
static void sweep_scope(mti_kv *kv, kv_scope *s, int64_t now_us)
{
    if (now_us < s->next_expiry_us)
        return;
    s->next_expiry_us = INT64_MAX;
    for (kv_entry *e = s->first, *next; e; e = next) {
        next = e->next;
        if (e->expires_us <= now_us)
            entry_unlink(kv, e);
        else if (e->expires_us < s->next_expiry_us)
            s->next_expiry_us = e->expires_us;
    }
}

static kv_entry *find(mti_kv *kv, const kv_key *k, int64_t now_us)
{
    kv_entry *e = mti_map_get(kv->entries, key_slice(k));
    if (e && e->expires_us <= now_us) {
        entry_free(kv, e);
        return NULL;
    }
    return e;
}

mt_status mti_kv_get(mti_kv *kv, mti_kv_scope scope, mt_slice key, int64_t now_us,
                     mti_kv_value *out)
{
    kv_key k;
    kv_entry *e = key_make(&k, scope, key) ? find(kv, &k, now_us) : NULL;
    if (!e)
        return MT_NOT_FOUND;
    *out = (mti_kv_value){.number = e->number};
    if (e->is_text)
        out->text = (mt_slice){e->bytes + e->key_len, e->text_len};
    return MT_OK;
}

static kv_scope *scope_get(mti_kv *kv, mti_kv_scope id)
{
    kv_scope *s = mti_map_get(kv->scopes, (mt_slice){(const char *)&id, sizeof id});
    if (!s && (s = calloc(1, sizeof *s))) {
        s->id = id;
        s->next_expiry_us = INT64_MAX;
        mti_map_put(kv->scopes, scope_key(s), s);
    }
    return s;
}

static bool has_room(mti_kv *kv, kv_scope *s, size_t size, int64_t now_us)
{
    if (s->keys >= SCOPE_KEYS || s->bytes + size > SCOPE_BYTES)
        sweep_scope(kv, s, now_us);
    return s->keys < SCOPE_KEYS && s->bytes + size <= SCOPE_BYTES &&
           kv->bytes + size <= STORE_BYTES;
}

static kv_entry *entry_make(const kv_key *k, mti_kv_value value, int64_t expires_us)
{
    kv_entry *e = calloc(1, sizeof *e + k->len + value.text.len);
    if (!e)
        return NULL;
    e->expires_us = expires_us;
    e->number = value.number;
    e->is_text = value.text.p != NULL;
    e->key_len = (uint16_t)k->len;
    e->text_len = (uint32_t)value.text.len;
    memcpy(e->bytes, k->bytes, k->len);
    if (value.text.len)
        memcpy(e->bytes + k->len, value.text.p, value.text.len);
    return e;
}

static mt_status add(mti_kv *kv, mti_kv_scope scope, kv_entry *e, int64_t now_us)
{
    kv_scope *s = scope_get(kv, scope);
    if (!s)
        return MT_NO_MEMORY;
    if (!has_room(kv, s, entry_size(e), now_us)) {
        scope_drop_empty(kv, s);
        return MT_LIMITED;
    }
    e->scope = s;
    e->next = s->first;
    e->back = &s->first;
    if (s->first)
        s->first->back = &e->next;
    s->first = e;
    if (e->expires_us < s->next_expiry_us)
        s->next_expiry_us = e->expires_us;
    scope_account(kv, s, e, 1);
    mti_map_put(kv->entries, (mt_slice){e->bytes, e->key_len}, e);
    ring_push(kv, e);
    return MT_OK;
}

mt_status mti_kv_set(mti_kv *kv, mti_kv_scope scope, mt_slice key, mti_kv_value value,
                     int64_t ttl_us, int64_t now_us)
{
    kv_key k;
    if (!key_make(&k, scope, key) || value.text.len > MTI_KV_TEXT)
        return MT_TOO_LARGE;
    kv_entry *e = ttl_us > 0 ? entry_make(&k, value, now_us + ttl_us) : NULL;
    if (ttl_us > 0 && !e)
        return MT_NO_MEMORY;
    kv_entry *old = find(kv, &k, now_us);
    if (old)
        entry_free(kv, old);
    sweep(kv, now_us);
    if (!e)
        return MT_OK;
    mt_status st = add(kv, scope, e, now_us);
    if (st != MT_OK)
        free(e);
    return st;
}

mt_status mti_kv_incr(mti_kv *kv, mti_kv_scope scope, mt_slice key, double by, int64_t ttl_us,
                      int64_t now_us, double *sum)
{
    kv_key k;
    if (!key_make(&k, scope, key))
        return MT_TOO_LARGE;
    kv_entry *e = find(kv, &k, now_us);
    *sum = (e && !e->is_text ? e->number : 0) + by;
    if (!e || e->is_text)
        return mti_kv_set(kv, scope, key, (mti_kv_value){.number = *sum}, ttl_us, now_us);
    e->number = *sum;
    return MT_OK;
}

size_t mti_kv_count(const mti_kv *kv)
{
    return mti_map_count(kv->entries);
}

mti_kv *mti_kv_create(void)
{
    mti_kv *kv = calloc(1, sizeof *kv);
    if (!kv)
        abort();
    kv->entries = mti_map_create();
    kv->scopes = mti_map_create();
    return kv;
}

void mti_kv_destroy(mti_kv *kv)
{
    if (!kv)
        return;
    while (kv->oldest)
        entry_free(kv, kv->oldest);
    mti_map_destroy(kv->entries);
    mti_map_destroy(kv->scopes);
    free(kv);
}
