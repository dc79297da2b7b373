/* The plugin of test_loader.c; a definition SAMPLE_… chooses what is wrong with it. */
#include <mortise/interfaces.h>

#include <stdlib.h>

#if defined(SAMPLE_WRONG_ABI)
enum { ABI = MT_ABI + 1 };
#else
enum { ABI = MT_ABI };
#endif
#if defined(SAMPLE_SHORT_ENTRY)
enum { SIZE = MT_PLUGIN_LEAST - 1 };
#elif defined(SAMPLE_EARLIER_SDK)
enum { SIZE = MT_PLUGIN_LEAST };
#else
enum { SIZE = sizeof(mt_plugin) };
#endif
#if defined(SAMPLE_OTHER_SLUG)
#define SLUG "other"
#else
#define SLUG "sample"
#endif
#if defined(SAMPLE_OTHER_VERSION)
#define VERSION "1.0.1"
#else
#define VERSION "1.0.0"
#endif

/* What the test looks at: how often each step of the life cycle ran, and what the host gave. */
MT_EXPORT int sample_created, sample_loaded, sample_unloaded;
MT_EXPORT const void *sample_given[2];

static mt_status create(void **self)
{
    sample_created++;
    *self = &sample_created;
#if defined(SAMPLE_CREATE_FAILS)
    return MT_NO_MEMORY;
#else
    return MT_OK;
#endif
}

static mt_status load(void *self, const mt_host *host)
{
    sample_loaded++;
    sample_given[0] = host->get(host->ctx, MT_SLICE("cache/1"));
    sample_given[1] = host->get(host->ctx, MT_SLICE("db/1"));
#if defined(SAMPLE_LOAD_FAILS_ONCE)
    return sample_loaded == 1 ? MT_UNAVAILABLE : MT_OK;
#else
    return MT_OK;
#endif
}

static void unload(void *self)
{
    sample_unloaded++;
}

static mt_status on_call(void *self, mt_call *c)
{
    return MT_OK;
}

static mt_outcome on_hook(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return MT_CONTINUE;
}

#if defined(SAMPLE_SHORT_TABLE)
static const mt_limiter_1 limiter = {.size = sizeof(uint32_t)};
#else
static const mt_limiter_1 limiter = {.size = sizeof limiter, .version = 1};
#endif
static const mt_handler_entry handlers[] = {{"on_call", on_call}};
static const mt_hook_entry hooks[] = {{"on_hook", on_hook}};
static const mt_service_entry services[] = {{"limiter/1", &limiter}};

MT_EXPORT const mt_plugin sample_plugin = {.abi = ABI,
                                           .size = SIZE,
                                           .slug = SLUG,
                                           .version = VERSION,
                                           .create = create,
                                           .load = load,
                                           .unload = unload,
                                           .handlers = handlers,
                                           .n_handlers = 1,
                                           .hooks = hooks,
                                           .n_hooks = 1,
                                           .services = services,
                                           .n_services = 1};
