/* cache/1 from this process's memory. A key stands behind its organization's id, so no organization
 * meets another's. */
#include "lru.h"

#include <mortise/entry.h>
#include <time.h>

enum { MAX_VALUE = 1 << 20, DEFAULT_MIB = 64 };

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static mt_status create(void **self)
{
    *self = lru_create((size_t)DEFAULT_MIB << 20);
    return *self ? MT_OK : MT_NO_MEMORY;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static mt_status activate(void *self, mt_call *c)
{
    mt_slice mib = mt_config(c, MT_SLICE("/max_mib"));
    if (mib.p)
        lru_set_max(self, (size_t)mt_int(mib, 0) << 20);
    return MT_OK;
}

static void unload(void *self)
{
    lru_destroy(self);
}

static void *alloc(void *arg, size_t n)
{
    return mt_alloc(arg, n);
}

/* Apart for each organization and plugin; a key may hold any bytes. */
static mt_slice full_key(mt_call *c, mt_slice key)
{
    mt_slice org = mt_org_id(c), plugin = mt_caller(c);
    mt_slice prefix = mt_printf(c, "%.*s %.*s ", (int)org.len, org.p ? org.p : "", (int)plugin.len, plugin.p);
    char *p = mt_alloc(c, prefix.len + key.len + 1);
    if (!p || !prefix.p)
        return (mt_slice){0};
    memcpy(p, prefix.p, prefix.len);
    if (key.len)
        memcpy(p + prefix.len, key.p, key.len);
    return (mt_slice){p, prefix.len + key.len};
}

static mt_status on_get(void *self, mt_call *c, mt_slice key, mt_slice *value)
{
    mt_slice full = full_key(c, key);
    return full.p ? lru_get(self, full, now_ms(), alloc, c, value) : MT_NO_MEMORY;
}

static mt_status on_put(void *self, mt_call *c, mt_slice key, mt_slice value, int64_t ttl_ms)
{
    mt_slice full = full_key(c, key);
    if (!full.p)
        return MT_NO_MEMORY;
    if (value.len > MAX_VALUE)
        return MT_TOO_LARGE;
    int64_t now = now_ms();
    return lru_put(self, full, value, ttl_ms < INT64_MAX - now ? now + ttl_ms : INT64_MAX);
}

static mt_status on_remove(void *self, mt_call *c, mt_slice key)
{
    mt_slice full = full_key(c, key);
    if (full.p)
        lru_remove(self, full);
    return full.p ? MT_OK : MT_NO_MEMORY;
}

static const mt_cache_1_provider cache = {
    .size = sizeof cache, .version = 1, .get = on_get, .put = on_put, .remove = on_remove};
static const mt_service_entry services[] = {{"cache/1", &cache}};

MT_EXPORT const mt_plugin cache_local_plugin = {.abi = MT_ABI,
                                                .size = sizeof(mt_plugin),
                                                .slug = "cache_local",
                                                .version = "0.1.0",
                                                .create = create,
                                                .load = load,
                                                .activate = activate,
                                                .unload = unload,
                                                .services = services,
                                                .n_services = 1};
