/* A version that was just switched to has a budget of failures for a while: beyond it the version before comes back by itself. */
#include "plugin/across.h"
#include "plugin/manager.h"
#include "plugin/record.h"

#include "base/log.h"

#include <stdio.h>

enum { LOOK_MS = 250, FEWEST_FAILURES = 10 };

typedef struct tally { uint32_t answers, failures; } tally;

static tally count(const mti_plugin_record *r)
{
    tally t = {0};
    for (unsigned i = 0; i < r->host->n_loops; i++) {
        t.answers += atomic_load_explicit(&r->inflight[i].answers, memory_order_relaxed);
        t.failures += atomic_load_explicit(&r->inflight[i].failures, memory_order_relaxed);
    }
    return t;
}

static bool serves(const mti_plugin_record *r)
{
    return atomic_load(&r->current) && atomic_load(&r->state) == MTI_PLUGIN_ACTIVE;
}

static void go_back(mti_plugin_record *r, tally t, int64_t percent)
{
    mti_plugins *p = r->host->plugins;
    char reason[200];
    mt_call c;
    snprintf(reason, sizeof reason, "%s was rolled back: %u of its %u answers failed, the budget is %lld %%", r->manifest->version, t.failures, t.answers, (long long)percent);
    mti_log(MTI_LOG_ERROR, "plugin.over_budget", "plugin=%s version=%s failures=%u answers=%u", r->slug, r->manifest->version, t.failures, t.answers);
    mti_platform_call(&c, r->host, r->host->loops[0], "plugin.rollback");
    if (serves(r) && mti_manager_rollback(p, &c, mt_str(r->slug), reason) != MT_OK)
        mti_log(MTI_LOG_ERROR, "plugin.rollback_failed", "plugin=%s code=%s reason=%s", r->slug, c.error.code, c.error.detail);
    mti_call_dispose(&c);
}

static void watch(void *arg)
{
    mti_plugin_record *r = arg;
    mti_plugins *p = r->host->plugins;
    const mti_config *config = r->host->config;
    int64_t percent = mti_config_int(config, "plugins.upgrade_error_budget"), end = mti_mono_us() + 1000 * mti_config_int(config, "plugins.upgrade_watch");
    tally before = count(r);
    while (mti_mono_us() < end && serves(r) && !p->ending) {
        tally now = count(r);
        tally since = {now.answers - before.answers, now.failures - before.failures};
        if (since.failures >= FEWEST_FAILURES && (int64_t)since.failures * 100 > percent * since.answers) {
            go_back(r, since, percent);
            break;
        }
        mti_wait(&p->retiring, LOOK_MS);
    }
    p->n_retiring--;
}

void mti_budget_watch(mti_plugin_record *r)
{
    mti_plugins *p = r->host->plugins;
    p->n_retiring++;
    if (mti_fiber_spawn(r->host->loops[0], watch, r) != MT_OK)
        p->n_retiring--;
}
