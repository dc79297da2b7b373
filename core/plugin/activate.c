/* One record switched on or off: its wish and configuration, its database, its own functions. */
#include "plugin/hold.h"
#include "plugin/manager.h"
#include "plugin/publish.h"
#include "plugin/record.h"

#include "base/log.h"
#include "db/migrate.h"

#include <stdio.h>

/* Trouble that may be over by the next attempt. */
static bool passes(mt_status s)
{
    return s == MT_UNAVAILABLE || s == MT_TIMEOUT || s == MT_CANCELLED || s == MT_LIMITED;
}

void mti_record_load_or_fail(mti_plugin_record *r)
{
    mti_error e = {0};
    mt_status s = mti_record_load(r, &e);
    const bool again = passes(s) && !r->entry;   /* it has no process yet */
    if (again)
        mti_record_outline(r);
    mti_record_state(r, s == MT_OK ? MTI_PLUGIN_LOADED : again ? MTI_PLUGIN_WAITING : MTI_PLUGIN_FAILED, s == MT_OK ? NULL : e.detail);
}

/* Readers may hold the old one: it stays until the process ends (configurations are small and change rarely). */
static void replace(_Atomic(json_t *) *in, json_t *config)
{
    const json_t *old = atomic_load(in);
    if (old && json_equal(old, config))
        json_decref(config);
    else
        atomic_store(in, config);
}

/* A secret that cannot be read: what runs goes on with what it has, the rest waits. */
static void lock(mti_plugin_record *r, const json_t *stored, mt_call *c)
{
    if (!atomic_load(&r->locked))
        mti_log(MTI_LOG_ERROR, "plugin.secret_unreadable", "plugin=%s reason=%s", r->slug, c->error.detail);
    if (!atomic_load(&r->config)) {
        snprintf(r->lock, sizeof r->lock, "%s", c->error.detail);
        replace(&r->shown, mti_config_shown(r->manifest, stored));
        atomic_store(&r->locked, true);
    }
    memset(&c->error, 0, sizeof c->error);
}

void mti_record_read_wish(mti_plugin_record *r, mt_call *c)
{
    bool enabled;
    json_t *stored = NULL;
    mt_status s = mti_database_usable(r->host) ? mti_store_read(c, r->slug, &enabled, &stored) : MT_NOT_FOUND;
    if (s == MT_OK)
        atomic_store(&r->wanted, enabled);
    else if (atomic_load(&r->config) || atomic_load(&r->locked))
        return;
    if (!stored)
        stored = json_object();
    if (mti_record_set_config(r, stored, c) != MT_OK)
        lock(r, stored, c);
    json_decref(stored);
}

mt_status mti_record_set_config(mti_plugin_record *r, const json_t *stored, mt_call *c)
{
    json_t *config, *shown = mti_config_shown(r->manifest, stored);
    mt_status s = mti_config_open(c, r->slug, "", stored, &config);
    if (s != MT_OK) {
        json_decref(shown);
        return s;
    }
    mti_config_defaults(r->manifest, config);
    mti_config_defaults(r->manifest, shown);
    replace(&r->config, config);
    replace(&r->shown, shown);
    atomic_store(&r->locked, false);
    return MT_OK;
}

mt_status mti_record_prepare(mti_plugin_record *r, const mti_plugin_record *previous, mt_call *c)
{
    char dir[4096];
    if (!r->manifest->db)
        return MT_OK;
    snprintf(dir, sizeof dir, "%s/sql", r->manifest->dir);
    if (!r->migrated) {
        bool both = previous && previous->manifest->db;
        mti_plugin_schema schema = {.slug = r->slug, .dir = dir, .references = r->manifest->references, .n_references = r->manifest->n_references,
                                    .previous = both ? previous->contract->queries : NULL, .n_previous = both ? previous->contract->n_queries : 0};
        MT_TRY(mti_migrate_plugin(c, &schema));
        r->migrated = true;
    }
    return r->contract->descriptions ? MT_OK : mti_contract_check(c, &r->role, r->contract);
}

mt_status mti_record_start(mti_plugin_record *r, mt_call *c)
{
    mti_identity who = c->who;
    atomic_store(&r->ended_us, 0);
    if (!r->entry || !r->entry->activate)
        return MT_OK;
    c->plugin = r->slot;
    mti_fiber_set_tag(r->slot);
    mt_status s = r->entry->activate(r->self, c);
    mti_db_abandon(c);
    c->who = who;
    c->plugin = 0;
    mti_fiber_set_tag(0);
    return s;
}

void mti_record_activate(mti_plugin_record *r, mt_call *c)
{
    mt_status s = mti_record_prepare(r, NULL, c);
    if (s == MT_OK)
        s = mti_record_start(r, c);
    if (s == MT_OK) {
        r->turn = ++r->host->plugins->activations;
        mti_record_state(r, MTI_PLUGIN_ACTIVE, NULL);
        return;
    }
    const char *why = c->error.detail[0] ? c->error.detail : mti_status_name(s);
    mti_record_state(r, passes(s) ? MTI_PLUGIN_WAITING : MTI_PLUGIN_FAILED, why);
    memset(&c->error, 0, sizeof c->error);
}

void mti_record_end(mti_plugin_record *r, mt_call *c)
{
    if (r->entry && r->entry->deactivate) {
        c->plugin = r->slot;
        mti_fiber_set_tag(r->slot);
        r->entry->deactivate(r->self, c);
        c->plugin = 0;
        mti_fiber_set_tag(0);
    }
    atomic_store(&r->ended_us, mti_mono_us());
}

int mti_record_inside(const mti_plugin_record *r, bool services)
{
    int inside = 0;
    for (unsigned i = 0; i < r->host->n_loops; i++)
        inside += atomic_load(&r->inflight[i].n) + (services ? atomic_load(&r->inflight[i].services) : 0);
    return inside;
}

/* Waits until no operation or job of r runs, at most ten seconds. */
static void drain(mti_plugin_record *r)
{
    for (int round = 0; round < 1000; round++)
        if (!mti_record_inside(r, false) || mti_sleep(10) != MT_OK)
            return;
    mti_log(MTI_LOG_WARN, "plugin.drain_timeout", "plugin=%s", r->slug);
}

void mti_record_deactivate(mti_plugins *p, mti_plugin_record *r, mt_call *c, const char *reason)
{
    mti_error e = {0};
    mti_record_state(r, MTI_PLUGIN_INACTIVE, reason);
    mti_publish_services(p);
    mti_publish(p, &e);
    mti_consumers_stop(r, false);
    drain(r);
    mti_record_end(r, c);
}
