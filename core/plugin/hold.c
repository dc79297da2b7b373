/*
 * What must not run here: versions in quarantine (core/quarantine), for everybody or for single organizations, and in safe mode all that is not
 * essential. A version in quarantine for everybody is not even loaded; its paths answer 503.
 */
#include "plugin/hold.h"
#include "plugin/manager.h"
#include "plugin/publish.h"
#include "plugin/versions.h"

#include "base/log.h"
#include "quarantine/quarantine.h"

#include <stdio.h>
#include <stdlib.h>

struct mti_held {
    _Atomic(unsigned) n;         /* 0 when released */
    mti_uuid orgs[];
};

static const char *data_dir(const mti_plugins *p)
{
    return mti_config_str(p->host->config, "data.dir");
}

void mti_holds_read(mti_plugins *p)
{
    mti_error why = {0};
    p->quarantine = mti_quarantine_read(data_dir(p), &why);
    if (why.detail[0])
        mti_log(MTI_LOG_ERROR, "quarantine.unreadable", "detail=%s", why.detail);
    p->safe_mode = mti_config_bool(p->host->config, "plugins.safe_mode");
    if (p->safe_mode)
        mti_log(MTI_LOG_WARN, "host.safe_mode", "reason=%s", "only essential plugins are loaded; start without --safe-mode for the others");
}

static bool is_of(const json_t *entry, const mti_manifest *m)
{
    return mt_slice_eq(mti_json_get_string(entry, "plugin", MT_SLICE("")), mt_str(m->slug)) &&
           mt_slice_eq(mti_json_get_string(entry, "version", MT_SLICE("")), mt_str(m->version));
}

static const json_t *entry_for_all(const mti_plugins *p, const mti_manifest *m)
{
    return mti_quarantine_find(p->quarantine, m->slug, m->version, NULL);
}

static bool held_for(const mt_call *c, uint16_t slot)
{
    const mti_plugins *p = c->host ? c->host->plugins : NULL;
    return p && mti_record_held_for(p->records[slot], c);
}

void mti_record_hold(mti_plugin_record *r)
{
    const mti_plugins *p = r->host->plugins;
    size_t i, size = json_array_size(json_object_get(p->quarantine, "quarantined"));
    json_t *entry;
    if (!size || r->manifest->essential)
        return;
    mti_held *held = calloc(1, sizeof *held + size * sizeof *held->orgs);
    if (!held)
        abort();
    json_array_foreach(json_object_get(p->quarantine, "quarantined"), i, entry)
        if (is_of(entry, r->manifest) && mti_uuid_parse(mti_json_get_string(entry, "organization_id", MT_SLICE("")), &held->orgs[held->n]))
            held->n++;
    atomic_store(&r->held, held);
    if (held->n)
        mti_bus_set_held(r->host->bus, held_for);
}

bool mti_record_held_for(const mti_plugin_record *r, const mt_call *c)
{
    const mti_held *held = r ? atomic_load_explicit(&r->held, memory_order_acquire) : NULL;
    unsigned n = held ? atomic_load_explicit(&held->n, memory_order_relaxed) : 0;
    for (unsigned i = 0; i < n; i++)
        if (mti_uuid_eq(held->orgs[i], c->who.org_id))
            return true;
    return false;
}

mt_status mti_record_refuse_held(const mti_plugin_record *r, mt_call *c)
{
    if (!mti_record_held_for(r, c))
        return MT_OK;
    mti_fail(&c->error, MT_UNAVAILABLE, "plugin_quarantined", "Plugin %s failed too often on requests of this organization and does not serve it; the operator can release it.", r->slug);
    return MT_UNAVAILABLE;
}

mt_status mti_hold_refuse(const mti_plugins *p, const mti_manifest *m, mti_error *e)
{
    const json_t *entry = m->essential ? NULL : entry_for_all(p, m);
    if (!entry)
        return MT_OK;
    return mti_fail(e, MT_CONFLICT, "plugin_quarantined", "Plugin %s %s is in quarantine: %s. Install another version, or release it: mortise plugin release %s", m->slug, m->version,
                    mti_json_get_string(entry, "reason", MT_SLICE("")).p, m->slug);
}

void mti_record_outline(mti_plugin_record *r)
{
    mti_error e = {0};
    if (r->contract || mti_contract_load(r->slug, r->manifest->dir, &r->contract, &e) != MT_OK)
        return;
    for (unsigned i = 0; i < r->contract->n_operations; i++)
        r->contract->operations[i].plugin = r->slot;
    r->outline = r->contract;
}

static bool in_safe_profile(const mti_plugins *p, const char *slug)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(p->profile, "safe"), i, v)
        if (!strcmp(json_string_value(v), slug))
            return true;
    return false;
}

bool mti_plugins_safe_mode(const mti_plugins *p)
{
    return p->safe_mode;
}

static bool rests(const mti_plugins *p, const mti_manifest *m)
{
    return p->safe_mode && m && !m->essential && !in_safe_profile(p, m->slug);
}

bool mti_record_rests(const mti_plugin_record *r)
{
    return rests(r->host->plugins, r->manifest);
}

/* To install is to run it: it is tried, migrated and made active before it replaces what serves. */
mt_status mti_hold_refuse_safe(const mti_plugins *p, const mti_manifest *m, mti_error *e)
{
    if (!rests(p, m))
        return MT_OK;
    return mti_fail(e, MT_CONFLICT, "safe_mode", "In safe mode %s does not run, so no version of it is installed: disable it here if it keeps the server from working, start without --safe-mode, and "
                    "install then.", m->slug);
}

bool mti_record_may_run(mti_plugin_record *r)
{
    char reason[sizeof r->reason];
    const mti_plugins *p = r->host->plugins;
    const json_t *entry = r->loaded ? NULL : entry_for_all(p, r->manifest);
    if (entry && r->manifest->essential) {
        mti_log(MTI_LOG_ERROR, "plugin.quarantine_ignored", "plugin=%s version=%s reason=%s", r->slug, r->manifest->version, "it is essential, and no version before it is installed");
        return true;
    }
    if (entry) {
        snprintf(reason, sizeof reason, "%s", mti_json_get_string(entry, "reason", MT_SLICE("")).p);
        mti_record_outline(r);
        mti_record_state(r, MTI_PLUGIN_QUARANTINED, reason);
        return false;
    }
    if (mti_record_rests(r))
        mti_record_state(r, MTI_PLUGIN_INACTIVE, "the server runs in safe mode");
    return !mti_record_rests(r);
}

bool mti_hold_falls_back(const mti_plugins *p, const char *dir)
{
    mti_manifest *m;
    mti_error e = {0};
    if (!json_array_size(json_object_get(p->quarantine, "quarantined")) || mti_manifest_load(p->schema, dir, &m, &e) != MT_OK)
        return false;
    bool back = m->essential && entry_for_all(p, m);
    if (back)
        mti_log(MTI_LOG_ERROR, "plugin.fell_back", "plugin=%s version=%s reason=%s", m->slug, m->version, "it is in quarantine and essential: the version before it serves");
    mti_manifest_destroy(m);
    return back;
}

static void lift(mti_plugin_record *r)
{
    mti_held *held = atomic_load(&r->held);
    if (held)
        atomic_store(&held->n, 0);
    if (atomic_load(&r->state) == MTI_PLUGIN_QUARANTINED)
        mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
}

/* The file first: what is released must not come back with the next host. */
mt_status mti_manager_release(mti_plugins *p, mt_call *c, mti_plugin_record *r)
{
    MT_TRY(mti_turn_take(p));
    int lock = mti_quarantine_lock(data_dir(p), 0);
    json_t *q = mti_quarantine_read(data_dir(p), NULL);   /* another host's deaths may have come to it */
    size_t n = mti_quarantine_release(q, r->slug);
    mt_status s = mti_quarantine_write(data_dir(p), q, &c->error);
    mti_quarantine_unlock(lock);
    if (s == MT_OK) {
        json_decref(p->quarantine);
        p->quarantine = q;
        for (unsigned i = 1; i < p->n; i++)
            if (!strcmp(p->records[i]->slug, r->slug))
                lift(p->records[i]);
        mti_log(MTI_LOG_INFO, "plugin.released", "plugin=%s entries=%zu", r->slug, n);
        mti_settle(p, c);
    } else {
        json_decref(q);
    }
    mti_turn_end(p);
    return s;
}

void mti_record_describe_holds(const mti_plugin_record *r, mti_writer *w)
{
    char id[37];
    const mti_held *held = atomic_load(&r->held);
    unsigned n = held ? atomic_load(&held->n) : 0;
    mti_writer_key(w, MT_SLICE("quarantined_for"));
    mti_writer_array(w);
    for (unsigned i = 0; i < n; i++) {
        mti_uuid_format(held->orgs[i], id);
        mti_writer_string(w, mt_str(id));
    }
    mti_writer_array_end(w);
}

unsigned mti_record_held_count(const mti_plugin_record *r)
{
    const mti_held *held = atomic_load(&r->held);
    return held ? atomic_load(&held->n) : 0;
}
