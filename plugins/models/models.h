/* Plugin models: who answers. What its files share. */
#ifndef MODELS_MODELS_H
#define MODELS_MODELS_H

#include "health.h"
#include "ledger.h"

#include <mortise/json.h>

enum {
    MODELS_TARGETS = 16,
    MODELS_FALLBACKS = 8,
    REGISTERED_CONTEXT = 4096,   /* tokens that a registered GGUF model is given */
};

/* One engine's model as a route names it. Texts live as long as the call. */
typedef struct models_target {
    mt_slice engine, model;
    mt_slice options;                         /* JSON object for the engine; the null slice: none */
    double input_price, output_price, cached_price; /* USD a million tokens */
    uint32_t weight;
    bool reads_passages, small, here;         /* here: the engine runs it, and is not an upstream's client */
    health *health;                           /* the process's; never freed */
} models_target;

/* A name that may be asked for, and what answers to it. */
typedef struct models_route {
    mt_slice name;
    models_target targets[MODELS_TARGETS];
    unsigned n_targets;
    mt_slice fallbacks[MODELS_FALLBACKS];     /* names of other models, tried in order */
    unsigned n_fallbacks;
    bool own;                                 /* the model of an engine here, not a route of the configuration */
    uint32_t retries, backoff_ms;
    int64_t timeout_ms, deadline_ms;
    health_limits limits;
    bool registered;                          /* an organization's own name */
} models_route;

/* What a workspace allows. */
typedef struct models_policy {
    mt_slice default_model, allowed;          /* allowed: JSON array of names; the null slice: all */
    uint32_t max_output_tokens;               /* 0: no limit */
    int64_t max_input_tokens;                 /* 0: no limit */
} models_policy;

/* routes.c. A model by name (the null slice: the platform's default); MT_NOT_FOUND with the problem set. Suspends for names of the registry. */
mt_status models_route_find(mt_call *c, mt_slice name, models_route *out);
/* The n-th model: routes, the engines' own, the organization's registered ones. MT_DONE past the last. May suspend. */
mt_status models_route_list(mt_call *c, uint32_t index, mt_llm_model *out);
/* What can the model that models_route_find finds. MT_NOT_FOUND, MT_UNAVAILABLE. Suspends for names of the registry. */
mt_status models_route_describe(mt_call *c, mt_slice name, mt_llm_model *out);
/* The target that a count of tokens asks; false: nobody has it. No suspend, any thread, allocates nothing. */
bool models_route_engine(mt_call *c, mt_slice name, mt_slice *engine, mt_slice *model);
/* Picks by weight among the targets that are not tried yet and that are not resting; -1: none. dice: a uniform random number. */
int models_route_pick(const models_route *r, uint32_t tried, uint64_t dice, int64_t now_us);

/* registry.c: an active model of this organization. alias: the platform's model that it stands for, or the null slice and *out. MT_NOT_FOUND without a problem. */
mt_status models_registry_find(mt_call *c, mt_slice name, models_target *out, mt_slice *alias);
mt_status models_registry_list(mt_call *c, uint32_t index, mt_llm_model *out);
mt_status models_on_upload(void *self, mt_call *c);
mt_status models_on_activate(void *self, mt_call *c);
mt_status models_on_deactivate(void *self, mt_call *c);
mt_status models_on_delete(void *self, mt_call *c);
mt_outcome models_on_organization_deleted(void *self, mt_call *c, const void *in, mt_patch *out);

/* settings.c */
mt_status models_policy_read(mt_call *c, models_policy *out);
/* Refuses what the workspace does not allow. */
mt_status models_policy_check(mt_call *c, const models_policy *p, mt_slice name);

/* prompt.c: the engine's messages and system text with the passages written in, for engines that do not read passages. */
mt_status models_prompt_render(mt_call *c, const mt_llm_in *in, bool small, mt_slice *system, mt_slice *messages);

/* usage.c */
void models_usage_add(const ledger_row *delta);
mt_outcome models_on_done(void *self, mt_call *c, const void *in, mt_patch *out);
void models_usage_flush_all(mt_call *c);
void models_usage_dispose(void);
mt_status models_on_usage(void *self, mt_call *c);
mt_status models_on_health(void *self, mt_call *c);

/* metrics.c: what operators see. Names of organizations' own models are not told. */
mt_status models_metrics_declare(mt_call *c);
void models_metrics_count(const ledger_row *row, bool registered, int64_t duration_us);
void models_metrics_attempt(mt_slice engine, mt_status s);
mt_outcome models_on_collect(void *self, mt_call *c, const void *in, mt_patch *out);

extern const mt_llm_1_provider models_llm; /* llm.c */

#endif
