/* Records: made, found, their state told and logged, freed. */
#include "plugin/feed.h"
#include "plugin/instances.h"
#include "plugin/manager.h"
#include "plugin/record.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

void mti_record_state(mti_plugin_record *r, mti_plugin_state s, const char *reason)
{
    int before = atomic_exchange(&r->state, s);
    pthread_mutex_lock(&r->host->plugins->lock);
    bool same = before == (int)s && !strcmp(r->reason, reason ? reason : "");
    if (before != (int)s)
        atomic_store(&r->host->plugins->dirty, true);
    snprintf(r->reason, sizeof r->reason, "%s", reason ? reason : "");
    pthread_mutex_unlock(&r->host->plugins->lock);
    if (same)
        return;
    mti_log(s == MTI_PLUGIN_FAILED ? MTI_LOG_ERROR : MTI_LOG_INFO, "plugin.state", "plugin=%s state=%s reason=%s", r->slug, mti_record_state_name(s), reason ? reason : "");
    mti_feed_tell_plugin(r->host, r->slug, r->manifest ? r->manifest->version : NULL, mti_record_state_name(s), reason);
}

mti_plugin_record *mti_record_create(mti_plugins *p, const char *slug)
{
    if (p->n == MTI_MAX_PLUGINS)
        return NULL;
    mti_plugin_record *r = aligned_alloc(64, (sizeof *r + 63) & ~(size_t)63);
    memset(r, 0, sizeof *r);
    r->host = p->host;
    r->slug = strdup(slug);
    r->slot = (uint16_t)p->n;
    p->records[r->slot] = r;
    mti_instances_init(r);
    memcpy(r->seats, atomic_load(&r->instances)->items[0].seats, sizeof r->seats);
    if (p->host->names)
        snprintf(p->host->names[r->slot].slug, sizeof p->host->names->slug, "%s", slug);
    atomic_store(&p->n, r->slot + 1u);       /* from here on other threads see it */
    return r;
}

void mti_record_take(mti_plugin_record *r, mti_manifest *m)
{
    r->manifest = m;
    if (r->host->names)
        snprintf(r->host->names[r->slot].version, sizeof r->host->names->version, "%s", m->version);
    mti_record_hold(r);
    if (!m->db)
        return;
    snprintf(r->role_name, sizeof r->role_name, "mt_p_%s", r->slug);
    r->role.name = r->role_name;
}

void mti_record_destroy(mti_plugin_record *r)
{
    mti_fiber_set_tag(r->slot);
    if (r->created && r->entry->unload)
        r->entry->unload(r->self);
    mti_worker_destroy(r->worker);
    mti_fiber_set_tag(0);
    for (unsigned i = 0; i < r->n_policies; i++)
        mti_policy_release(r->policies[i]);
    if (r->outline != r->contract)
        mti_contract_destroy(r->outline);
    mti_contract_destroy(r->contract);
    free((void *)atomic_load(&r->held));
    json_decref(atomic_load(&r->config));
    json_decref(atomic_load(&r->shown));
    mti_instances_dispose(r);
    mti_manifest_destroy(r->manifest);
    free((char *)r->slug);
    free(r);
}

mti_plugin_record *mti_manager_find(const mti_plugins *p, mt_slice slug)
{
    for (unsigned i = 1; i < p->n; i++)
        if (atomic_load(&p->records[i]->current) && mt_slice_eq(slug, mt_str(p->records[i]->slug)))
            return p->records[i];
    return NULL;
}
