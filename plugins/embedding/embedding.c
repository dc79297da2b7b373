/* embedder/1 over the engines: a model's name finds its engine. Engines come and go, so one that fails is looked up again before it is blamed. */
#include "embedding.h"

#include <mortise/entry.h>

static mt_slice named(const embedding *s, mt_slice model)
{
    return model.len ? model : mt_str(s->default_model);
}

/* What an engine answers that was switched off, or has lost the model. */
static bool gone(mt_status s)
{
    return s == MT_UNAVAILABLE || s == MT_NOT_FOUND;
}

static void copy_info(mt_embedder_info *to, const mt_embedder_engine_info *from)
{
    *to = (mt_embedder_info){.size = sizeof *to, .model = from->model, .dimensions = from->dimensions, .max_tokens = from->max_tokens, .provider = from->provider};
}

mt_status embedding_describe(void *self, mt_call *c, mt_slice model, mt_embedder_info *out)
{
    embedding *s = self;
    mt_embedder_engine_info info = {.size = sizeof info};
    mt_slice engine;
    model = named(s, model);
    MT_TRY(routes_find(&s->routes, c, model, &engine));
    mt_status status = mt_embedder_engine_describe(c, engine, model, &info);
    if (gone(status) && routes_moved(&s->routes, c, model, &engine))
        status = mt_embedder_engine_describe(c, engine, model, &info);
    if (status == MT_OK)
        copy_info(out, &info);
    return status;
}

mt_status embedding_models(void *self, mt_call *c, uint32_t index, mt_embedder_info *out)
{
    embedding *s = self;
    mt_embedder_engine_info info = {.size = sizeof info};
    mt_slice engine, of;
    for (uint32_t i = 0; mt_service_provider(c, MT_SLICE("embedder_engine/1"), i, &engine) == MT_OK; i++)
        for (uint32_t k = 0; mt_embedder_engine_models(c, engine, k, &info) == MT_OK; k++) {
            if (routes_find(&s->routes, c, info.model, &of) != MT_OK || !mt_slice_eq(of, engine))
                continue;                       /* another engine has this name, and gets what is asked of it */
            if (!index--) {
                copy_info(out, &info);
                return MT_OK;
            }
        }
    return MT_DONE;
}

/* An engine may be a process of its own: what it answers is looked at before anybody reads so many floats. */
mt_status embedding_check(mt_call *c, size_t texts, uint32_t dimensions, size_t floats)
{
    if (floats == texts * dimensions)
        return MT_OK;
    return mt_problem(c, 503, MT_SLICE("engine_broken"), MT_SLICE("The engine of this model did not answer one vector a text."), MT_SLICE(""));
}

mt_status embedding_embed(void *self, mt_call *c, mt_slice model, const mt_slice *texts, size_t n, const float **out, size_t *n_out)
{
    embedding *s = self;
    mt_slice engine;
    model = named(s, model);
    MT_TRY(routes_find(&s->routes, c, model, &engine));
    mt_status status = mt_embedder_engine_embed(c, engine, model, texts, n, out, n_out);
    if (gone(status) && routes_moved(&s->routes, c, model, &engine))
        status = mt_embedder_engine_embed(c, engine, model, texts, n, out, n_out);
    return status;
}

uint32_t embedding_count_tokens(void *self, mt_call *c, mt_slice model, mt_slice text)
{
    embedding *s = self;
    mt_slice engine;
    model = named(s, model);
    if (routes_find(&s->routes, c, model, &engine) != MT_OK)
        return 0;
    uint32_t n = mt_embedder_engine_count_tokens(c, engine, model, text);
    if (!n && text.len && routes_moved(&s->routes, c, model, &engine))
        n = mt_embedder_engine_count_tokens(c, engine, model, text);
    return n;
}

/* A default that no engine has keeps the plugin, and all that stands on it, waiting with the reason. */
static mt_status activate(void *self, mt_call *c)
{
    embedding *s = self;
    mt_slice model = mt_config(c, MT_SLICE("/default_model")), engine;
    snprintf(s->default_model, sizeof s->default_model, "%.*s", (int)model.len, model.p);
    if (routes_find(&s->routes, c, mt_str(s->default_model), &engine) == MT_OK)
        return MT_OK;
    return mt_problem(c, 503, MT_SLICE("default_model_missing"),
                      mt_printf(c, "No engine has the default model \"%s\": mortise model pull fetches models, default_model of this plugin names another.", s->default_model),
                      MT_SLICE(""));
}

static mt_status create(void **out)
{
    embedding *s = calloc(1, sizeof *s);
    if (!s)
        return MT_NO_MEMORY;
    routes_init(&s->routes);
    *out = s;
    return MT_OK;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static void unload(void *self)
{
    embedding *s = self;
    routes_dispose(&s->routes);
    free(s);
}

static const mt_embedder_1_provider service = {.size = sizeof service, .version = 1, .describe = embedding_describe, .models = embedding_models,
                                               .embed = embedding_embed, .count_tokens = embedding_count_tokens};
static const mt_service_entry services[] = {{"embedder/1", &service}};
static const mt_handler_entry handlers[] = {{"on_embed", embedding_on_embed}, {"on_models", embedding_on_models}};

MT_EXPORT const mt_plugin embedding_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "embedding", .version = "0.1.0", .create = create, .load = load, .activate = activate,
    .unload = unload, .handlers = handlers, .n_handlers = 2, .services = services, .n_services = 1};
