/* Names to targets: the configuration's routes, the engines' own models, the organization's registered ones. */
#include "models.h"

#include <stdlib.h>

/* A pointer into the configuration, on the stack: count_tokens comes from pool threads, which may not allocate. */
static mt_slice config(mt_call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static mt_slice config(mt_call *c, const char *fmt, ...)
{
    char pointer[96];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(pointer, sizeof pointer, fmt, args);
    va_end(args);
    return mt_config(c, (mt_slice){pointer, (size_t)n});
}

/* -1: the configuration has no route of this name. */
static int config_route(mt_call *c, mt_slice name)
{
    mt_slice found;
    for (int i = 0; (found = config(c, "/routes/%d/name", i)).p; i++)
        if (mt_slice_eq(found, name))
            return i;
    return -1;
}

/* What the engine says of a model of its own; false: it has none of this name (an upstream's models are not known here). */
static bool engine_model(mt_call *c, mt_slice engine, mt_slice model, mt_llm_engine_model *out)
{
    *out = (mt_llm_engine_model){.size = sizeof *out};
    for (uint32_t i = 0; mt_llm_engine_models(c, engine, i, out) == MT_OK; i++)
        if (!model.p || mt_slice_eq(out->model, model))
            return true;
    return false;
}

static void read_target(mt_call *c, int r, int t, models_target *out)
{
    mt_llm_engine_model m;
    out->engine = config(c, "/routes/%d/targets/%d/engine", r, t);
    out->model = config(c, "/routes/%d/targets/%d/model", r, t);
    out->options = config(c, "/routes/%d/targets/%d/options", r, t);
    out->weight = (uint32_t)mt_number(config(c, "/routes/%d/targets/%d/weight", r, t), 1);
    out->input_price = mt_number(config(c, "/routes/%d/targets/%d/price/input", r, t), 0);
    out->output_price = mt_number(config(c, "/routes/%d/targets/%d/price/output", r, t), 0);
    out->cached_price = mt_number(config(c, "/routes/%d/targets/%d/price/cached", r, t), out->input_price);
    if (engine_model(c, out->engine, out->model, &m)) {
        out->reads_passages = m.reads_passages;
        out->small = m.small;
        out->here = true;
    }
    out->health = health_of(out->engine, out->model, config(c, "/routes/%d/targets/%d/options/base_url", r, t));
}

static void set_defaults(mt_call *c, models_route *out, mt_slice name)
{
    *out = (models_route){.name = name};
    out->retries = (uint32_t)mt_number(config(c, "/retries"), 1);
    out->backoff_ms = (uint32_t)mt_number(config(c, "/backoff_ms"), 250);
    out->timeout_ms = (int64_t)mt_number(config(c, "/timeout_ms"), 30000);
    out->deadline_ms = (int64_t)mt_number(config(c, "/deadline_ms"), 60000);
    out->limits = (health_limits){.failures = (uint32_t)mt_number(config(c, "/breaker/failures"), 5),
                                  .error_percent = (uint32_t)mt_number(config(c, "/breaker/error_percent"), 50),
                                  .open_ms = (int64_t)mt_number(config(c, "/breaker/open_ms"), 10000)};
}

static void read_route(mt_call *c, int r, models_route *out)
{
    mt_slice name;
    out->retries = (uint32_t)mt_number(config(c, "/routes/%d/retries", r), out->retries);
    out->timeout_ms = (int64_t)mt_number(config(c, "/routes/%d/timeout_ms", r), (double)out->timeout_ms);
    out->deadline_ms = (int64_t)mt_number(config(c, "/routes/%d/deadline_ms", r), (double)out->deadline_ms);
    for (int t = 0; t < MODELS_TARGETS && config(c, "/routes/%d/targets/%d/engine", r, t).p; t++)
        read_target(c, r, t, &out->targets[out->n_targets++]);
    for (int f = 0; f < MODELS_FALLBACKS && (name = config(c, "/routes/%d/fallbacks/%d", r, f)).p; f++)
        out->fallbacks[out->n_fallbacks++] = name;
}

/* The model that answers when nobody named one: a local one before the quoting answerer, which needs no model. false: no engine has any. */
static bool find_default(mt_call *c, mt_slice *engine, mt_llm_engine_model *out)
{
    mt_slice slug;
    mt_llm_engine_model m;
    bool found = false;
    for (uint32_t i = 0; mt_service_provider(c, MT_SLICE("llm_engine/1"), i, &slug) == MT_OK; i++) {
        if (!engine_model(c, slug, (mt_slice){0}, &m))
            continue;
        if (!found || !m.reads_passages) {
            *engine = slug;
            *out = m;
            found = true;
        }
        if (!m.reads_passages)
            break;
    }
    return found;
}

static bool find_own(mt_call *c, mt_slice name, mt_slice *engine, mt_llm_engine_model *out)
{
    for (uint32_t i = 0; mt_service_provider(c, MT_SLICE("llm_engine/1"), i, engine) == MT_OK; i++)
        if (engine_model(c, *engine, name, out))
            return true;
    return false;
}

/* What an engine's own model refuses because too many wait is told at once: waiting again, or an answer of another kind, would hide it. */
static void add_own(models_route *r, mt_slice engine, const mt_llm_engine_model *m)
{
    r->own = true;
    r->targets[r->n_targets++] = (models_target){.engine = engine, .model = m->model, .weight = 1, .reads_passages = m->reads_passages, .small = m->small, .here = true,
                                                 .health = health_of(engine, m->model, (mt_slice){0})};
}

/* The platform's choice; a local model that fails is stood in for by the one that only quotes. */
static mt_status default_route(mt_call *c, models_route *out)
{
    mt_slice engine, own;
    mt_llm_engine_model m, quoting;
    if (!find_default(c, &engine, &m))
        return mt_problem(c, 503, MT_SLICE("no_model"), MT_SLICE("No language model is configured: see the routes of plugin models."), (mt_slice){0});
    set_defaults(c, out, m.model);
    add_own(out, engine, &m);
    if (!m.reads_passages && find_own(c, MT_SLICE("extractive"), &own, &quoting))
        out->fallbacks[out->n_fallbacks++] = MT_SLICE("extractive");
    return MT_OK;
}

/* A route of the configuration, or an engine's own model. */
static bool find_platform(mt_call *c, mt_slice name, models_route *out)
{
    mt_slice engine;
    mt_llm_engine_model m;
    int r = config_route(c, name);
    set_defaults(c, out, name);
    if (r >= 0)
        read_route(c, r, out);
    else if (find_own(c, name, &engine, &m))
        add_own(out, engine, &m);
    return out->n_targets > 0;
}

static mt_status find_registered(mt_call *c, mt_slice name, models_route *out)
{
    mt_slice alias;
    mt_status s = models_registry_find(c, name, &out->targets[0], &alias);
    if (s == MT_OK && alias.p) {
        s = find_platform(c, alias, out) ? MT_OK : MT_NOT_FOUND;
        out->name = name;
    } else if (s == MT_OK) {
        out->n_targets = 1;
        out->own = true;
    }
    out->registered = true;
    if (s != MT_NOT_FOUND)
        return s;
    return mt_problem(c, 404, MT_SLICE("model_unknown"), mt_printf(c, "There is no model of the name \"%.*s\" here: see /v1/models.", (int)(name.len < 200 ? name.len : 200), name.p),
                      MT_SLICE("/model"));
}

mt_status models_route_find(mt_call *c, mt_slice name, models_route *out)
{
    if (!name.len)
        name = mt_config(c, MT_SLICE("/default_model"));
    if (!name.len)
        return default_route(c, out);
    return find_platform(c, name, out) ? MT_OK : find_registered(c, name, out);
}

static void describe_route(mt_call *c, int r, mt_slice name, mt_llm_model *out)
{
    models_target t = {0};
    mt_llm_engine_model m;
    read_target(c, r, 0, &t);
    bool known = engine_model(c, t.engine, t.model, &m);
    mt_slice context = config(c, "/routes/%d/context_tokens", r);
    *out = (mt_llm_model){.size = sizeof *out, .model = name, .provider = t.engine, .reads_passages = t.reads_passages,
                          .context_tokens = (uint32_t)mt_number(context, known ? m.context_tokens : 128000), .tools = known ? m.tools : true, .json = known ? m.json : true,
                          .small = t.small};
}

static mt_llm_model described(mt_slice engine, const mt_llm_engine_model *m)
{
    return (mt_llm_model){.size = sizeof(mt_llm_model), .model = m->model, .provider = engine, .context_tokens = m->context_tokens, .reads_passages = m->reads_passages,
                          .tools = m->tools, .json = m->json, .small = m->small};
}

static bool describe_platform(mt_call *c, mt_slice name, mt_llm_model *out)
{
    mt_slice engine;
    mt_llm_engine_model m;
    int r = config_route(c, name);
    if (r >= 0)
        describe_route(c, r, name, out);
    else if (find_own(c, name, &engine, &m))
        *out = described(engine, &m);
    else
        return false;
    return true;
}

mt_status models_route_describe(mt_call *c, mt_slice name, mt_llm_model *out)
{
    mt_slice engine, alias;
    mt_llm_engine_model m;
    models_target t;
    if (!name.len)
        name = mt_config(c, MT_SLICE("/default_model"));
    if (!name.len && !find_default(c, &engine, &m))
        return mt_problem(c, 503, MT_SLICE("no_model"), MT_SLICE("No language model is configured: see the routes of plugin models."), (mt_slice){0});
    if (!name.len) {
        *out = described(engine, &m);
        return MT_OK;
    }
    if (describe_platform(c, name, out))
        return MT_OK;
    MT_TRY(models_registry_find(c, name, &t, &alias));
    if (!alias.p)
        *out = (mt_llm_model){.context_tokens = REGISTERED_CONTEXT, .provider = t.engine, .small = t.small};
    else if (!describe_platform(c, alias, out))
        return MT_NOT_FOUND;
    out->size = sizeof *out;
    out->model = name;
    return MT_OK;
}

mt_status models_route_list(mt_call *c, uint32_t index, mt_llm_model *out)
{
    mt_slice name, engine;
    mt_llm_engine_model m = {.size = sizeof m};
    for (int r = 0; (name = config(c, "/routes/%d/name", r)).p; r++)
        if (!index--) {
            describe_route(c, r, name, out);
            return MT_OK;
        }
    for (uint32_t i = 0; mt_service_provider(c, MT_SLICE("llm_engine/1"), i, &engine) == MT_OK; i++)
        for (uint32_t k = 0; mt_llm_engine_models(c, engine, k, &m) == MT_OK; k++) {
            if (config_route(c, m.model) >= 0 || index--)
                continue;
            *out = described(engine, &m);
            return MT_OK;
        }
    return models_registry_list(c, index, out);
}

bool models_route_engine(mt_call *c, mt_slice name, mt_slice *engine, mt_slice *model)
{
    mt_llm_engine_model m;
    if (!name.len)
        name = mt_config(c, MT_SLICE("/default_model"));
    int r = name.len ? config_route(c, name) : -1;
    if (r >= 0) {
        *engine = config(c, "/routes/%d/targets/0/engine", r);
        *model = config(c, "/routes/%d/targets/0/model", r);
        return true;
    }
    bool found = name.len ? find_own(c, name, engine, &m) : find_default(c, engine, &m);
    *model = found ? m.model : (mt_slice){0};
    return found;
}

int models_route_pick(const models_route *r, uint32_t tried, uint64_t dice, int64_t now_us)
{
    uint32_t usable = 0;
    uint64_t total = 0;
    for (unsigned i = 0; i < r->n_targets; i++)
        if (!(tried & 1u << i) && health_ready(r->targets[i].health, &r->limits, now_us)) {
            usable |= 1u << i;
            total += r->targets[i].weight;
        }
    if (!usable)
        return -1;
    if (!total)                                /* weight 0: only when the others are out */
        return __builtin_ctz(usable);
    uint64_t at = dice % total;
    for (unsigned i = 0; i < r->n_targets; i++) {
        if (!(usable & 1u << i))
            continue;
        if (at < r->targets[i].weight)
            return (int)i;
        at -= r->targets[i].weight;
    }
    return __builtin_ctz(usable);
}
