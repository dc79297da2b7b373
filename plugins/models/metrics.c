/* Calls, tokens, time and breakers for operators. */
#include "models.h"

#include <time.h>

static mt_handle calls, tokens, seconds, failures, breakers;

mt_status models_metrics_declare(mt_call *c)
{
    static const struct { const char *kind, *name, *help, *labels; mt_handle *out; } all[] = {
        {"counter", "calls", "Generations by model, provider and outcome (ok, failed, cancelled).", "model,provider,outcome", &calls},
        {"counter", "tokens", "Tokens by model and kind (input, cached, output).", "model,kind", &tokens},
        {"histogram", "call_seconds", "Time of whole answers.", "provider", &seconds},
        {"counter", "upstream_failures", "Attempts at a target that failed, by how; another may have answered instead.", "provider,reason", &failures},
        {"gauge", "breaker_open", "Targets by provider whose breaker lets nothing through (or one probe), or that asked for a pause.", "provider,state", &breakers}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        MT_TRY(mt_metrics_family(c, mt_str(all[i].kind), mt_str(all[i].name), mt_str(all[i].help), mt_str(all[i].labels), all[i].out));
    return MT_OK;
}

void models_metrics_count(const ledger_row *row, bool registered, int64_t duration_us)
{
    mt_slice model = registered ? MT_SLICE("registered") : mt_str(row->model), provider = mt_str(row->provider);
    const struct { const char *kind; int64_t n; } kinds[] = {{"input", row->input_tokens}, {"cached", row->cached_tokens}, {"output", row->output_tokens}};
    const mt_slice labels[] = {model, provider, mt_str(row->errors ? "failed" : row->cancelled ? "cancelled" : "ok")};
    mt_metrics_add(calls, labels, 3, 1);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].n)
            mt_metrics_add(tokens, (const mt_slice[]){model, mt_str(kinds[i].kind)}, 2, (double)kinds[i].n);
    if (!row->errors && !row->cancelled)
        mt_metrics_observe(seconds, &provider, 1, (double)duration_us / 1e6);
}

void models_metrics_attempt(mt_slice engine, mt_status s)
{
    const char *reason = s == MT_TIMEOUT ? "timeout" : s == MT_LIMITED ? "limited" : s == MT_INVALID ? "refused" : s == MT_DENIED ? "denied" : "unavailable";
    if (s != MT_CANCELLED)
        mt_metrics_add(failures, (const mt_slice[]){engine, mt_str(reason)}, 2, 1);
}

/* Every provider's states are set, those that no target is in to nought. */
mt_outcome models_on_collect(void *self, mt_call *c, const void *in, mt_patch *out)
{
    static const char *const states[] = {"open", "half_open", "resting"};
    struct timespec t;
    health *h, *other;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t now = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    for (uint32_t i = 0; (h = health_at(i)); i++)
        for (size_t k = 0; k < sizeof states / sizeof *states; k++) {
            unsigned n = 0;
            for (uint32_t j = 0; (other = health_at(j)); j++)
                n += !strcmp(other->engine, h->engine) && !strcmp(health_state_name(other, now), states[k]);
            mt_metrics_set(breakers, (const mt_slice[]){mt_str(h->engine), mt_str(states[k])}, 2, n);
        }
    return MT_CONTINUE;
}
