/* embedder_engine/1 over models elsewhere. */
#include "remote.h"
#include "tokens.h"

#include <mortise/entry.h>
#include <stdatomic.h>

typedef struct self {
    _Atomic(const remote_config *) config;   /* never NULL while active */
} self;

static const remote_config *config_of(void *arg)
{
    return atomic_load(&((self *)arg)->config);
}

static mt_status not_here(mt_call *c, mt_slice name)
{
    return mt_problem(c, 404, MT_SLICE("model_not_found"), mt_printf(c, "No endpoint is configured for a model \"%.*s\".", (int)(name.len < 100 ? name.len : 100), name.p ? name.p : ""),
                      MT_SLICE("/model"));
}

static void describe(const remote_model *m, mt_embedder_engine_info *out)
{
    *out = (mt_embedder_engine_info){.size = sizeof *out, .model = mt_str(m->name), .dimensions = m->dimensions, .max_tokens = m->max_tokens,
                                     .provider = MT_SLICE("embedder_openai")};
}

static mt_status service_describe(void *arg, mt_call *c, mt_slice name, mt_embedder_engine_info *out)
{
    const remote_model *m = remote_find(config_of(arg), name);
    if (!m)
        return not_here(c, name);
    describe(m, out);
    return MT_OK;
}

static mt_status service_models(void *arg, mt_call *c, uint32_t index, mt_embedder_engine_info *out)
{
    const remote_config *config = config_of(arg);
    if (index >= config->n_models)
        return MT_DONE;
    describe(&config->models[index], out);
    return MT_OK;
}

static mt_status service_embed(void *arg, mt_call *c, mt_slice name, const mt_slice *texts, size_t n, const float **out, size_t *n_out)
{
    const remote_config *config = config_of(arg);
    const remote_model *m = remote_find(config, name);
    if (!m)
        return not_here(c, name);
    float *vectors = mt_alloc(c, (n * m->dimensions + 1) * sizeof *vectors);
    if (!vectors)
        return mt_problem(c, 413, MT_SLICE("texts_too_many"), MT_SLICE("So many vectors do not fit into the memory of one call: send fewer texts at once."), MT_SLICE(""));
    for (size_t at = 0; at < n; at += m->batch)
        MT_TRY(remote_embed(c, config, m, texts + at, n - at < m->batch ? n - at : m->batch, vectors + at * m->dimensions));
    *out = vectors;
    *n_out = n * m->dimensions;
    return MT_OK;
}

static uint32_t service_count_tokens(void *arg, mt_call *c, mt_slice name, mt_slice text)
{
    return tokens_estimate(text, UINT32_MAX - 4, NULL);
}

/* Asks nobody: an upstream that is down may not keep the host from starting. */
static mt_status activate(void *arg, mt_call *c)
{
    self *s = arg;
    remote_config *config = remote_config_read(c);
    if (!config)
        return MT_CONFLICT;
    config->older = (remote_config *)(uintptr_t)atomic_load(&s->config);
    atomic_store(&s->config, config);
    return MT_OK;
}

static mt_status create(void **out)
{
    *out = calloc(1, sizeof(self));
    return *out ? MT_OK : MT_NO_MEMORY;
}

static mt_status load(void *arg, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static void unload(void *arg)
{
    self *s = arg;
    remote_config *config = (remote_config *)(uintptr_t)atomic_load(&s->config);
    while (config) {
        remote_config *older = config->older;
        free(config);
        config = older;
    }
    free(s);
}

static const mt_embedder_engine_1_provider service = {.size = sizeof service, .version = 1, .describe = service_describe, .models = service_models,
                                                      .embed = service_embed, .count_tokens = service_count_tokens};
static const mt_service_entry services[] = {{"embedder_engine/1", &service}};

MT_EXPORT const mt_plugin embedder_openai_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "embedder_openai", .version = "0.1.0", .create = create, .load = load, .activate = activate,
    .unload = unload, .services = services, .n_services = 1};
