/* Plugins that the operator wants in a process of their own: instead of its shared object a record has a worker (core/worker). */
#include "plugin/record.h"

#include "base/log.h"

#include <stdio.h>

bool mti_isolated(const mti_host *h, const char *slug)
{
    const char *list = h->config ? mti_config_str(h->config, "plugins.isolated") : "";
    size_t n = strlen(slug);
    for (const char *at = list; at && *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
        if (strcspn(at, ",") == n && !strncmp(at, slug, n))
            return true;
    return false;
}

static void find_obstacle(const mti_plugin_record *r, char *why, size_t size)
{
    const mti_manifest *m = r->manifest;
    const char *interfaces[64], *hooks[64];
    mti_worker_needs needs = {.provides = m->provides, .n_provides = m->n_provides, .interfaces = interfaces, .hooks = hooks};
    for (size_t i = 0; i < m->n_requires && needs.n_interfaces < 64; i++)
        interfaces[needs.n_interfaces++] = m->requires_[i];
    for (size_t i = 0; i < m->n_services && needs.n_interfaces < 64; i++)
        interfaces[needs.n_interfaces++] = m->services[i];
    for (size_t i = 0; i < m->n_hooks && needs.n_hooks < 64; i++)
        hooks[needs.n_hooks++] = m->hooks[i].name;
    if (m->essential)
        snprintf(why, size, "it is essential");
    else if (m->in_process)
        snprintf(why, size, "%s", m->in_process);
    else
        mti_worker_obstacle(&needs, why, size);
}

static int log_level(void)
{
    int level = MTI_LOG_DEBUG;
    while (level < MTI_LOG_ERROR && !mti_log_enabled((mti_log_level)level))
        level++;
    return level;
}

mt_status mti_record_open_worker(mti_plugin_record *r, const char *object, mti_error *e)
{
    char why[256];
    mti_host *h = r->host;
    find_obstacle(r, why, sizeof why);
    if (why[0])
        return mti_fail(e, MT_UNSUPPORTED, "not_isolable", "plugin %s cannot run in a worker: %s. Take it from plugins.isolated when you trust its code", r->slug, why);
    mti_worker_options o = {.host = h, .slot = r->slot, .slug = r->slug, .version = r->manifest->version, .dir = r->manifest->dir, .file = object,
                            .symbol = r->manifest->symbol, .loops = h->loops, .n_loops = h->n_loops, .offload = h->offload, .interface = mti_record_interface,
                            .log = mti_record_log, .ctx = r, .memory = (size_t)mti_config_int(h->config, "worker.memory"),
                            .hang_ms = mti_config_int(h->config, "worker.hang_timeout"), .log_level = log_level()};
    MT_TRY(mti_worker_create(&o, &r->worker, &r->entry, e));
    r->self = r->worker;
    return MT_OK;
}

void mti_isolate_stop(mti_plugins *p)
{
    for (unsigned i = 1; i < p->n; i++)
        if (p->records[i]->worker)
            mti_worker_stop(p->records[i]->worker);
}
