/* Services: the generated proxies call these small providers, the plugin's own, or what the test gave. */
#include "kit.h"

#include <stdio.h>

const mti_provider *mti_provider_for(mt_call *c, int service)
{
    const mti_provider *p = &c->kit->providers[service];
    return p->table ? p : NULL;
}

/* A test gives one provider of a service: it answers to every slug. */
const mti_provider *mti_provider_named(mt_call *c, int service, mt_slice slug)
{
    return mti_provider_for(c, service);
}

static mt_status provider(mt_call *c, mt_slice interface, uint32_t index, mt_slice *slug)
{
    for (unsigned i = 0; i < mti_interface_count; i++) {
        const mti_interface_info *info = &mti_interface_catalogue[i];
        if (!index && info->service >= 0 && mt_slice_eq(interface, mt_str(info->id)) && mti_provider_for(c, info->service)) {
            *slug = MT_SLICE("fake");
            return MT_OK;
        }
    }
    return MT_DONE;
}

const mt_service_1 kit_service = {.size = sizeof kit_service, .version = 1, .provider = provider};

/* --- cache/1 and blob/1: texts in the kit's store, by organization --- */

static char *store_key(mt_call *c, const char *kind, mt_slice key)
{
    return kit_printf(c, "%s %s %.*s", kind, c->org_id ? c->org_id : "", (int)key.len, key.p ? key.p : "");
}

/* Bytes are kept as hexadecimal digits: JSON holds texts only. */
static void store_put(mt_call *c, const char *key, mt_slice bytes)
{
    char *hex = kit_alloc(c, bytes.len * 2 + 1);
    if (!hex)
        kit_wrong("the call is over its memory");
    for (size_t i = 0; i < bytes.len; i++)
        snprintf(hex + i * 2, 3, "%02x", (unsigned char)bytes.p[i]);
    json_object_set_new(c->kit->store, key, json_string(hex));
}

static mt_status store_get(mt_call *c, const char *key, mt_slice *out)
{
    const json_t *v = json_object_get(c->kit->store, key);
    if (!v)
        return mti_fail(&c->error, MT_NOT_FOUND, "not_found", "There is nothing of this key.");
    size_t n = json_string_length(v) / 2;
    char *p = kit_alloc(c, n + 1);
    if (!p)
        return MT_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        sscanf(json_string_value(v) + i * 2, "%2x", &byte);
        p[i] = (char)byte;
    }
    *out = (mt_slice){p, n};
    return MT_OK;
}

static mt_status cache_get(void *self, mt_call *c, mt_slice key, mt_slice *value)
{
    MT_TRY(kit_suspend(c));
    return store_get(c, store_key(c, "cache", key), value);
}

static mt_status cache_put(void *self, mt_call *c, mt_slice key, mt_slice value, int64_t ttl_ms)
{
    MT_TRY(kit_suspend(c));
    if (value.len > 1 << 20)
        return MT_TOO_LARGE;
    store_put(c, store_key(c, "cache", key), value);
    return MT_OK;
}

static mt_status cache_remove(void *self, mt_call *c, mt_slice key)
{
    MT_TRY(kit_suspend(c));
    json_object_del(c->kit->store, store_key(c, "cache", key));
    return MT_OK;
}

/* 64 digits that stand for a content's hash: the same for the same bytes. Not SHA-256. */
static mt_slice content_name(mt_call *c, mt_slice data)
{
    char *name = kit_alloc(c, 65);
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < data.len; i++)
        h = (h ^ (unsigned char)data.p[i]) * 1099511628211u;
    for (int i = 0; i < 4; i++, h = (h ^ 0x5bd1e995) * 1099511628211u)
        snprintf(name + i * 16, 17, "%016llx", (unsigned long long)h);
    return (mt_slice){name, 64};
}

static mt_status blob_put(void *self, mt_call *c, mt_slice data, mt_slice *sha256)
{
    MT_TRY(kit_suspend(c));
    *sha256 = content_name(c, data);
    store_put(c, store_key(c, "blob", *sha256), data);
    return MT_OK;
}

static mt_status blob_get(void *self, mt_call *c, mt_slice sha256, mt_slice *data)
{
    MT_TRY(kit_suspend(c));
    return store_get(c, store_key(c, "blob", sha256), data);
}

static mt_status blob_remove(void *self, mt_call *c, mt_slice sha256)
{
    MT_TRY(kit_suspend(c));
    json_object_del(c->kit->store, store_key(c, "blob", sha256));
    return MT_OK;
}

/* --- queue/1 and limiter/1 --- */

static mt_status queue_put(void *self, mt_call *c, mt_slice queue, mt_slice payload, mt_slice unique_key, int64_t delay_ms)
{
    json_t *v = kit_parse(payload);
    json_decref(v);
    if (!v)
        return mti_fail(&c->error, MT_INVALID, "payload_invalid", "A job's payload is JSON.");
    MT_TRY(kit_suspend(c));
    kit_see(c, MT_SEEN_JOB, queue, payload);
    return MT_OK;
}

static mt_status queue_progress(void *self, mt_call *c, int64_t done, int64_t total)
{
    return kit_suspend(c);
}

static mt_status limiter_take(void *self, mt_call *c, mt_slice key, uint32_t cost, uint32_t rate, uint32_t burst, uint32_t *remaining,
                              int64_t *retry_after_ms)
{
    *remaining = burst;
    *retry_after_ms = 0;
    return MT_OK;
}

const void *kit_fake_service(int service)
{
    static const mt_cache_1_provider cache = {.size = sizeof cache, .version = 1, .get = cache_get, .put = cache_put, .remove = cache_remove};
    static const mt_blob_1_provider blob = {.size = sizeof blob, .version = 1, .put = blob_put, .get = blob_get, .remove = blob_remove};
    static const mt_queue_1_provider queue = {.size = sizeof queue, .version = 1, .put = queue_put, .progress = queue_progress};
    static const mt_limiter_1_provider limiter = {.size = sizeof limiter, .version = 1, .take = limiter_take};
    switch (service) {
    case MTI_SVC_CACHE: return &cache;
    case MTI_SVC_BLOB: return &blob;
    case MTI_SVC_QUEUE: return &queue;
    case MTI_SVC_LIMITER: return &limiter;
    default: return NULL;
    }
}

uint64_t mti_service_begin(const mt_call *c)
{
    return 0;
}

void mti_service_end(mt_call *c, const char *what, uint64_t begun, mt_status s)
{
}
