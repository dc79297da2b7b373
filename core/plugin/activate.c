/* One record switched on or off: its wish and configuration, its database, its own functions. */
#include "plugin/manager.h"
#include "plugin/publish.h"
#include "plugin/record.h"

#include "base/log.h"
#include "db/migrate.h"

#include <stdio.h>

void mti_record_load_or_fail(mti_plugin_record *r)
{
    mti_error e = {0};
    if (mti_record_load(r, &e) == MT_OK)
        mti_record_state(r, MTI_PLUGIN_LOADED, NULL);
    else
        mti_record_state(r, MTI_PLUGIN_FAILED, e.detail);
}

void mti_record_read_wish(mti_plugin_record *r, mt_call *c)
{
    bool enabled;
    json_t *given = NULL;
    mt_status s = mti_database_usable(r->host) ? mti_store_read(c, r->slug, &enabled, &given) : MT_NOT_FOUND;
    if (s == MT_OK)
        atomic_store(&r->wanted, enabled);
    else if (atomic_load(&r->config))
        return;
    json_t *config = given ? given : json_object();
    if (r->manifest->config_schema) {
        mti_schema *schema;
        if (mti_schema_compile(r->manifest->config_schema, NULL, NULL, 0, &schema, &c->error) == MT_OK) {
            mti_schema_apply_defaults(schema, config);
            mti_schema_destroy(schema);
        }
    }
    const json_t *old = atomic_load(&r->config);
    if (old && json_equal(old, config)) {
        json_decref(config);
        return;
    }
    /* readers may hold the old one: it stays until the process ends (configurations are small and change rarely) */
    atomic_store(&r->config, config);
}

static mt_status prepare_database(mti_plugin_record *r, mt_call *c)
{
    char dir[4096];
    if (!r->manifest->db)
        return MT_OK;
    snprintf(dir, sizeof dir, "%s/sql", r->manifest->dir);
    if (!r->migrated) {
        mti_plugin_schema schema = {.slug = r->slug, .dir = dir, .references = r->manifest->references, .n_references = r->manifest->n_references};
        MT_TRY(mti_migrate_plugin(c, &schema));
        r->migrated = true;
    }
    return r->contract->descriptions ? MT_OK : mti_contract_check(c, &r->role, r->contract);
}

/* Trouble that may be over by the next attempt. */
static bool passes(mt_status s)
{
    return s == MT_UNAVAILABLE || s == MT_TIMEOUT || s == MT_CANCELLED || s == MT_LIMITED;
}

void mti_record_activate(mti_plugin_record *r, mt_call *c)
{
    mti_identity who = c->who;
    mt_status s = prepare_database(r, c);
    if (s == MT_OK && r->entry && r->entry->activate) {
        c->plugin = r->slot;
        mti_fiber_set_tag(r->slot);
        s = r->entry->activate(r->self, c);
        mti_db_abandon(c);
        c->who = who;
        c->plugin = 0;
        mti_fiber_set_tag(0);
    }
    if (s == MT_OK) {
        r->turn = ++r->host->plugins->activations;
        mti_record_state(r, MTI_PLUGIN_ACTIVE, NULL);
        return;
    }
    const char *why = c->error.detail[0] ? c->error.detail : mti_status_name(s);
    mti_record_state(r, passes(s) ? MTI_PLUGIN_WAITING : MTI_PLUGIN_FAILED, why);
    memset(&c->error, 0, sizeof c->error);
}

/* Waits until no operation or job of r runs, at most ten seconds. */
static void drain(mti_plugin_record *r)
{
    for (int round = 0; round < 1000; round++) {
        int inside = 0;
        for (unsigned i = 0; i < r->host->n_loops; i++)
            inside += atomic_load(&r->inflight[i].n);
        if (!inside || mti_sleep(10) != MT_OK)
            return;
    }
    mti_log(MTI_LOG_WARN, "plugin.drain_timeout", "plugin=%s", r->slug);
}

void mti_record_deactivate(mti_plugins *p, mti_plugin_record *r, mt_call *c, const char *reason)
{
    mti_error e = {0};
    mti_record_state(r, MTI_PLUGIN_INACTIVE, reason);
    mti_publish_services(p);
    mti_publish(p, &e);
    mti_consumers_stop(r);
    drain(r);
    if (r->entry && r->entry->deactivate) {
        c->plugin = r->slot;
        r->entry->deactivate(r->self, c);
        c->plugin = 0;
    }
}
