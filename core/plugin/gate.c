/* What the request layer asks of a plugin by its slot, and the count of who is inside. */
#include "plugin/hold.h"
#include "plugin/manager.h"
#include "plugin/settings.h"

const char *mti_record_state_name(int state)
{
    static const char *const names[] = {"discovered", "loaded", "active", "inactive", "waiting", "failed", "staged", "retired", "quarantined"};
    return names[state];
}

/* What the state amounts to now: an active plugin with tables waits while the database is down, and goes on by itself. */
int mti_record_effective(const mti_plugin_record *r)
{
    int state = atomic_load(&r->state);
    return state == MTI_PLUGIN_ACTIVE && r->manifest->db && !mti_db_up(r->host->db) ? MTI_PLUGIN_WAITING : state;
}

const char *mti_plugin_slug(const mti_plugins *p, uint16_t slot)
{
    return slot && slot < p->n ? p->records[slot]->slug : "host";
}

bool mti_plugin_off(const mti_plugins *p, const mt_call *c, uint16_t slot)
{
    return slot && c->settings && mti_settings_off(c, p->records[slot]->seats);
}

void *mti_plugin_self(const mti_plugins *p, uint16_t slot)
{
    return slot && slot < p->n ? p->records[slot]->self : p->host;
}

const mti_db_role *mti_plugin_role(const mti_plugins *p, uint16_t slot)
{
    static const mti_db_role none = {0};
    return slot && slot < p->n ? &p->records[slot]->role : &none;
}

bool mti_plugin_hold(mti_plugins *p, unsigned loop, uint16_t slot)
{
    mti_plugin_record *r = p->records[slot];
    if (!slot)
        return true;
    /* counted before it is looked at: who closes writes first and counts then */
    atomic_fetch_add(&r->inflight[loop].n, 1);
    if (!atomic_load(&r->closed))
        return true;
    atomic_fetch_sub(&r->inflight[loop].n, 1);
    return false;
}

void mti_plugin_release(mti_plugins *p, unsigned loop, uint16_t slot)
{
    if (slot)
        atomic_fetch_sub_explicit(&p->records[slot]->inflight[loop].n, 1, memory_order_acq_rel);
}

void mti_plugin_note(mti_plugins *p, unsigned loop, uint16_t slot, bool failed)
{
    if (!slot)
        return;
    mti_inflight *f = &p->records[slot]->inflight[loop];
    atomic_store_explicit(&f->answers, atomic_load_explicit(&f->answers, memory_order_relaxed) + 1, memory_order_relaxed);
    if (failed)
        atomic_fetch_add_explicit(&f->failures, 1, memory_order_relaxed);
}

mt_status mti_plugin_enter(mti_plugins *p, mt_call *c, uint16_t slot)
{
    if (!slot)
        return MT_OK;
    mti_plugin_record *r = p->records[slot];
    int state = atomic_load(&r->state);
    if (state == MTI_PLUGIN_ACTIVE || state == MTI_PLUGIN_RETIRED) {
        MT_TRY(mti_record_refuse_held(r, c));
        if (!r->manifest->db || mti_db_up(r->host->db))
            return MT_OK;
        return mti_fail(&c->error, MT_UNAVAILABLE, "database_unavailable", "The database cannot be reached: try again shortly.");
    }
    if (state == MTI_PLUGIN_INACTIVE)
        return mti_fail(&c->error, MT_NOT_FOUND, "not_found", "There is nothing at this path.");
    pthread_mutex_lock(&p->lock);
    mti_fail(&c->error, MT_UNAVAILABLE, state == MTI_PLUGIN_QUARANTINED ? "plugin_quarantined" : "plugin_waiting", "Plugin %s is %s: %s", r->slug, mti_record_state_name(state), r->reason);
    pthread_mutex_unlock(&p->lock);
    return MT_UNAVAILABLE;
}
