#include "routes.h"

#include <mortise/json.h>

void routes_init(routes *r)
{
    r->n = 0;
    pthread_rwlock_init(&r->lock, NULL);
}

void routes_dispose(routes *r)
{
    pthread_rwlock_destroy(&r->lock);
}

static route *find(routes *r, mt_slice model)
{
    for (unsigned i = 0; i < r->n; i++)
        if (mt_slice_eq(model, mt_str(r->items[i].model)))
            return &r->items[i];
    return NULL;
}

static bool known(routes *r, mt_slice model, mt_slice *engine)
{
    pthread_rwlock_rdlock(&r->lock);
    const route *at = find(r, model);
    if (at)
        *engine = at->engine;
    pthread_rwlock_unlock(&r->lock);
    return at != NULL;
}

/* Only names that an engine has answered to come here, so the table fills up by new models alone; then it begins anew. */
static void keep(routes *r, mt_slice model, mt_slice engine)
{
    if (model.len > MODEL_NAME_MAX)
        return;
    pthread_rwlock_wrlock(&r->lock);
    route *at = find(r, model);
    if (!at) {
        if (r->n == ROUTES_MAX)
            r->n = 0;
        at = &r->items[r->n++];
        memcpy(at->model, model.p, model.len);
        at->model[model.len] = 0;
    }
    at->engine = engine;
    pthread_rwlock_unlock(&r->lock);
}

/* One that cannot be asked now may be the one that has it: then that is what is told. */
static mt_status ask_engines(routes *r, mt_call *c, mt_slice model, mt_slice *engine)
{
    mt_embedder_engine_info info = {.size = sizeof info};
    mt_slice code = {0}, detail = {0};
    for (uint32_t i = 0; mt_service_provider(c, MT_SLICE("embedder_engine/1"), i, engine) == MT_OK; i++) {
        mt_status s = mt_embedder_engine_describe(c, *engine, model, &info);
        if (s == MT_OK) {
            keep(r, model, *engine);
            return MT_OK;
        }
        if (s == MT_UNAVAILABLE) {
            mt_slice why = mt_problem_code(c), more = mt_problem_detail(c);
            code = mt_printf(c, "%.*s", (int)why.len, why.p);
            detail = mt_printf(c, "%.*s", (int)more.len, more.p);
        }
    }
    if (code.len)
        return mt_problem(c, 503, code, detail, MT_SLICE(""));
    return mt_problem(c, 404, MT_SLICE("model_not_found"),
                      mt_printf(c, "There is no embedding model \"%.*s\" here; GET /v1/embedding-models lists those that are.",
                                (int)(model.len < MODEL_NAME_MAX ? model.len : MODEL_NAME_MAX), model.p),
                      MT_SLICE("/model"));
}

mt_status routes_find(routes *r, mt_call *c, mt_slice model, mt_slice *engine)
{
    return known(r, model, engine) ? MT_OK : ask_engines(r, c, model, engine);
}

bool routes_moved(routes *r, mt_call *c, mt_slice model, mt_slice *engine)
{
    mt_embedder_engine_info info = {.size = sizeof info};
    mt_slice before = *engine, now;
    if (mt_embedder_engine_describe(c, before, model, &info) == MT_OK)
        return false;                           /* it is there and has the model: its own problem is the one to tell */
    if (ask_engines(r, c, model, &now) != MT_OK || mt_slice_eq(before, now))
        return false;
    *engine = now;
    return true;
}
