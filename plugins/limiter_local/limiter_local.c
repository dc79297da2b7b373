/* limiter/1 from a table in memory: each host process counts for itself. */
#include "buckets.h"

#include <mortise/entry.h>
#include <time.h>

enum { TABLE_BITS = 17 }; /* 131,072 keys, 2 MiB */

static mt_status create(void **self)
{
    *self = buckets_create(TABLE_BITS);
    return *self ? MT_OK : MT_NO_MEMORY;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static void unload(void *self)
{
    buckets_destroy(self);
}

static mt_status on_take(void *self, mt_call *c, mt_slice key, uint32_t cost,
                         uint32_t rate_per_minute, uint32_t burst, uint32_t *remaining,
                         int64_t *retry_after_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    bucket_answer a = buckets_take(self, key, cost, rate_per_minute, burst,
                                   now.tv_sec * 1000000000 + now.tv_nsec);
    *remaining = a.remaining;
    *retry_after_ms = a.retry_after_ms;
    return a.taken ? MT_OK : MT_LIMITED;
}

static const mt_limiter_1_provider limiter = {
    .size = sizeof limiter, .version = 1, .take = on_take};
static const mt_service_entry services[] = {{"limiter/1", &limiter}};

MT_EXPORT const mt_plugin limiter_local_plugin = {.abi = MT_ABI,
                                                  .size = sizeof(mt_plugin),
                                                  .slug = "limiter_local",
                                                  .version = "0.1.0",
                                                  .create = create,
                                                  .load = load,
                                                  .unload = unload,
                                                  .services = services,
                                                  .n_services = 1};
