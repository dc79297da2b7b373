/* The manager as a whole, and the changes that people ask for. */
#include "plugin/checks.h"
#include "plugin/hold.h"
#include "plugin/manager.h"
#include "plugin/publish.h"
#include "plugin/record.h"
#include "plugin/setting_store.h"

#include "json/writer.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *read_profile(const char *root)
{
    char path[4096];
    mti_buf text;
    json_t *profile = NULL;
    snprintf(path, sizeof path, "%s/manifests/profiles/default.json", root);
    if (mti_buf_read_file(&text, path, 1 << 20) == MT_OK)
        mti_json_parse(mti_buf_slice(&text), 0, &profile, NULL);
    mti_buf_dispose(&text);
    return profile;
}

mt_status mti_plugins_create(mti_host *h, mti_contract *builtin, mti_plugins **out, mti_error *e)
{
    mti_plugins *p = calloc(1, sizeof *p);
    if (!p)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory at start");
    mt_status s = mti_manifest_schema(h->root, &p->schema, e);
    if (s != MT_OK) {
        free(p);
        return s;
    }
    p->host = h;
    p->n = 1;
    p->builtin = builtin;
    p->profile = read_profile(h->root);
    p->seats = (mti_names){.list = p->seat_names, .max = MTI_BUS_SEATS, .lock = PTHREAD_MUTEX_INITIALIZER};
    mti_names_id(&p->seats, "host");
    mti_holds_read(p);
    p->checked = mti_checks_wanted(mti_config_str(h->config, "debug.checks"));
    if (p->checked)
        mti_checks_begin(p);
    pthread_mutex_init(&p->lock, NULL);
    h->plugins = p;
    *out = p;
    return mti_publish(p, e);
}

void mti_plugins_destroy(mti_plugins *p)
{
    for (unsigned i = p->n; i-- > 1;)
        mti_record_destroy(p->records[i]);
    mti_publish_dispose(p);
    mti_schema_destroy(p->schema);
    json_decref(p->profile);
    json_decref(p->quarantine);
    mti_names_dispose(&p->seats);
    free(p->dirs);
    free(p->built);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

mt_status mti_manager_enable(mti_plugins *p, mt_call *c, mti_plugin_record *r)
{
    if (!r->manifest)
        return mti_fail(&c->error, MT_CONFLICT, "plugin_broken", "plugin %s cannot be switched on: %s", r->slug, r->reason);
    MT_TRY(mti_turn_ask(p, c));
    mt_status s = mti_store_enable(c, r->slug, true);
    if (s == MT_OK) {
        if (atomic_load(&r->state) == MTI_PLUGIN_FAILED)
            mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
        mti_settle(p, c);
        if (atomic_load(&r->state) == MTI_PLUGIN_FAILED)
            s = mti_fail(&c->error, MT_CONFLICT, "plugin_failed", "%s", r->reason);
        else if (atomic_load(&r->state) == MTI_PLUGIN_QUARANTINED)
            s = mti_hold_refuse(p, r->manifest, &c->error);
    }
    mti_turn_end(p);
    return s;
}

mt_status mti_config_check(const mti_manifest *m, const json_t *config, mt_call *c)
{
    if (m && m->config_check)
        return mti_schema_validate(m->config_check, config, &(mti_schema_options){.closed = true, .formats = true}, &c->error);
    return json_object_size(config) ? mti_fail(&c->error, MT_INVALID, "config_not_taken", "Plugin %s takes no configuration.", m ? m->slug : "") : MT_OK;
}

static mt_status refuse_unfit(mt_call *c, const mti_manifest *m, const json_t *stored)
{
    json_t *config;
    MT_TRY(mti_config_open(c, m->slug, "", stored, &config));
    mt_status s = mti_settings_refuse(c, m, config);
    json_decref(config);
    return s;
}

/* In a transaction that has the row: what is stored is what the secrets that stay are taken from. */
static mt_status replace_config(mt_call *c, mti_plugin_record *r, const json_t *config, mt_slice if_match)
{
    char etag[21];
    json_t *before = NULL, *stored = NULL;
    mt_status s = mti_store_lock(c, r->slug, &before);
    mti_config_etag(before, etag);
    if (s == MT_OK || s == MT_NOT_FOUND)
        s = !if_match.p || mt_slice_eq(if_match, mt_str(etag)) ? MT_OK
            : mti_fail(&c->error, MT_PRECONDITION, "version_changed", "The configuration was changed by someone else meanwhile: read it again.");
    if (s == MT_OK)
        s = mti_config_seal(c, r->manifest, "", config, before, false, &stored);
    if (s == MT_OK && r->manifest)
        s = refuse_unfit(c, r->manifest, stored);
    if (s == MT_OK)
        s = mti_store_configure(c, r->slug, atomic_load(&r->wanted), stored);
    json_decref(before);
    json_decref(stored);
    return s;
}

static mt_status configure(mti_plugins *p, mt_call *c, mti_plugin_record *r, const json_t *config, mt_slice if_match)
{
    bool locked = atomic_load(&r->locked);
    MT_TRY(mti_db_begin(c, &(mti_db_role){0}));
    mt_status s = replace_config(c, r, config, if_match);
    if (s == MT_OK)
        s = mti_db_commit(c);
    else
        mti_db_rollback(c);
    if (s == MT_OK && r->manifest)
        mti_record_read_wish(r, c);
    if (s == MT_OK && locked)
        mti_settle(p, c);
    return s;
}

mt_status mti_manager_configure(mti_plugins *p, mt_call *c, mti_plugin_record *r, const json_t *config, mt_slice if_match)
{
    MT_TRY(mti_turn_ask(p, c));
    mt_status s = configure(p, c, r, config, if_match);
    mti_turn_end(p);
    return s;
}

mt_status mti_manager_disable(mti_plugins *p, mt_call *c, mti_plugin_record *r)
{
    char names[256];
    if (r->manifest && r->manifest->essential)
        return mti_fail(&c->error, MT_CONFLICT, "plugin_essential", "plugin %s is essential and stays on", r->slug);
    MT_TRY(mti_turn_ask(p, c));
    mt_status s = MT_OK;
    mti_resolve_dependents(p, r, names, sizeof names);
    if (names[0])
        s = mti_fail(&c->error, MT_CONFLICT, "plugin_needed", "plugin %s is needed by %s: switch them off first", r->slug, names);
    if (s == MT_OK)
        s = mti_store_enable(c, r->slug, false);
    if (s == MT_OK) {
        atomic_store(&r->wanted, false);
        if (atomic_load(&r->state) == MTI_PLUGIN_ACTIVE) {
            mti_record_deactivate(p, r, c, NULL);
        } else {
            mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
            s = mti_publish(p, &c->error);
        }
    }
    mti_turn_end(p);
    return s;
}
