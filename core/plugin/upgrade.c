/*
 * Another version in the place of the one that serves. Everything that can fail happens first, beside the serving version: loading, configuration,
 * migrations (under which its queries must go on working), the contract, routes, the new version's activate. Then one publication switches routes,
 * hooks and services, and the old version drains.
 */
#include "plugin/hold.h"
#include "plugin/instances.h"
#include "plugin/manager.h"
#include "plugin/publish.h"
#include "plugin/record.h"
#include "plugin/setting_store.h"
#include "plugin/versions.h"

#include "base/log.h"
#include "package/package.h"

#include <stdio.h>

typedef struct upgrade {
    mti_plugins *p;
    mt_call *c;
    mti_plugin_record *old;                  /* current; NULL: the plugin is new */
    mti_plugin_record *r;                    /* what takes its place */
    bool reused;                             /* r served before */
    bool back;                               /* a rollback */
    bool moved;                              /* the same version elsewhere: in a process of its own, or in the host */
    bool started;                            /* r's activate was called here */
    const char *reason;                      /* what is shown beside the new state, or NULL */
    const json_t *given;
    bool replace;                            /* given is all of it */
    json_t *config;                          /* what is stored then */
} upgrade;

/* All problems in one sentence; the first gives the code. */
static mt_status refuse(mt_call *c, const json_t *problems)
{
    char text[sizeof c->error.detail] = "";
    size_t i;
    json_t *x;
    json_array_foreach((json_t *)problems, i, x) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%s", i ? " " : "", json_string_value(json_object_get(x, "detail")));
    }
    return mti_fail(&c->error, MT_CONFLICT, json_string_value(json_object_get(json_array_get(problems, 0), "code")), "%s", text);
}

mt_status mti_manager_refuse(mti_plugins *p, mt_call *c, const mti_manifest *m, const mti_plugin_record *old)
{
    json_t *problems = mti_resolve_change(p, m, old);
    mt_status s = json_array_size(problems) ? refuse(c, problems) : MT_OK;
    json_decref(problems);
    return s;
}

/* One of these files that served in this process already: its code is mapped and its instance there. */
static mti_plugin_record *find_retired(const mti_plugins *p, const char *slug, const char *digest)
{
    for (unsigned i = 1; i < p->n; i++) {
        mti_plugin_record *r = p->records[i];
        if (!strcmp(r->slug, slug) && !strcmp(r->digest, digest) && atomic_load(&r->state) == MTI_PLUGIN_RETIRED &&
            !(r->worker && atomic_load(&r->closed)) && (r->worker != NULL) == mti_isolated(p->host, r->manifest))
            return r;
    }
    return NULL;
}

static mt_status read_config(upgrade *x)
{
    bool enabled;
    if (x->back)
        MT_TRY(mti_store_previous(x->c, x->r->slug, &x->config));
    if (x->config)
        return MT_OK;
    mt_status s = mti_store_read(x->c, x->r->slug, &enabled, &x->config);
    return s == MT_NOT_FOUND ? MT_OK : s;
}

/* The kept configuration with what is given laid over it, valid for the new version. A rollback does not fail for it. */
static mt_status merge_config(upgrade *x)
{
    char why[320];
    json_t *none = json_object(), *before, *merged;
    MT_TRY(read_config(x));
    before = x->config ? x->config : none;
    mt_status s = mti_config_seal(x->c, x->r->manifest, "", x->given ? x->given : none, before, !x->replace, &merged);
    if (s == MT_INVALID && x->back) {
        mti_log(MTI_LOG_WARN, "plugin.config_dropped", "plugin=%s reason=%.100s: %.180s", x->r->slug, x->c->error.pointer, x->c->error.detail);
        memset(&x->c->error, 0, sizeof x->c->error);
        merged = json_object();
        s = MT_OK;
    }
    json_decref(x->config);
    json_decref(none);
    x->config = s == MT_OK ? merged : NULL;
    if (s != MT_INVALID)
        return s;
    snprintf(why, sizeof why, "%.100s: %.180s", x->c->error.pointer, x->c->error.detail);
    return mti_fail(&x->c->error, MT_INVALID, "config_invalid", "The configuration does not fit version %s (%s): give what it needs with --config, or change it first.",
                    x->r->manifest->version, why);
}

/* Bytes only, and only where both versions want it. */
static mt_status hand_state(upgrade *x)
{
    const mti_plugin_record *old = x->old;
    mt_slice state = {0};
    if (!old || atomic_load(&old->state) != MTI_PLUGIN_ACTIVE || !old->entry || !x->r->entry || !MT_PLUGIN_HAS(old->entry, hand_over) || !MT_PLUGIN_HAS(x->r->entry, take_over))
        return MT_OK;
    x->c->plugin = old->slot;
    mti_fiber_set_tag(old->slot);
    mt_status s = old->entry->hand_over(old->self, x->c, &state);
    x->c->plugin = x->r->slot;
    mti_fiber_set_tag(x->r->slot);
    if (s == MT_OK)
        s = x->r->entry->take_over(x->r->self, x->c, mt_str(old->manifest->version), state);
    mti_db_abandon(x->c);
    x->c->plugin = 0;
    mti_fiber_set_tag(0);
    return s;
}

/* Settings of organizations that this version would not accept. */
static mt_status refuse_unfit(upgrade *x)
{
    json_t *config;
    MT_TRY(mti_config_open(x->c, x->r->slug, "", x->config, &config));
    mt_status s = mti_settings_refuse(x->c, x->r->manifest, config);
    json_decref(config);
    return s;
}

static mt_status prepare(upgrade *x)
{
    mti_plugin_record *r = x->r;
    if (!r->loaded)
        MT_TRY(mti_record_load(r, &x->c->error));
    MT_TRY(merge_config(x));
    if (!x->back)                            /* back is back: what does not fit there is left out, which the log tells */
        MT_TRY(refuse_unfit(x));
    MT_TRY(mti_record_set_config(r, x->config, x->c));
    MT_TRY(mti_instances_read(x->p, x->c, r));
    MT_TRY(mti_record_prepare(r, x->old && atomic_load(&x->old->state) == MTI_PLUGIN_ACTIVE ? x->old : NULL, x->c));
    MT_TRY(mti_publish_check(x->p, x->old, r, &x->c->error));
    if (!x->reused || atomic_load(&r->closed)) {   /* else it was not left by all yet, so it is still activated */
        MT_TRY(mti_record_start(r, x->c));
        x->started = true;
    }
    return hand_state(x);
}

bool mti_record_is_installed(const mti_plugin_record *r)
{
    const char *home = r->host->plugin_home;
    size_t n = strlen(home);
    return r->manifest && !strncmp(r->manifest->dir, home, n) && !strncmp(r->manifest->dir + n, "/store/", 7);
}

/* What a start of the host loads, and where a rollback leads: a version that lies in a folder of the operator's or of the program needs no link. */
static mt_status keep_links(upgrade *x)
{
    const char *home = x->p->host->plugin_home;
    bool stored = mti_record_is_installed(x->r), before = x->old && mti_record_is_installed(x->old);
    if (stored || before)
        MT_TRY(mti_version_link(home, x->r->slug, "current", stored ? x->r->manifest->dir : NULL, &x->c->error));
    if (stored || before)
        MT_TRY(mti_version_link(home, x->r->slug, "previous", before ? x->old->manifest->dir : NULL, &x->c->error));
    return MT_OK;
}

static void switch_over(upgrade *x)
{
    mti_plugin_record *r = x->r, *old = x->old;
    char why[128] = "";
    mti_error e = {0};
    bool served = old && atomic_load(&old->state) == MTI_PLUGIN_ACTIVE;
    r->turn = served ? old->turn : ++x->p->activations;
    atomic_store(&r->closed, false);
    atomic_store(&r->wanted, true);
    atomic_store(&r->current, true);
    mti_record_state(r, MTI_PLUGIN_ACTIVE, x->reason);
    if (old) {
        snprintf(why, sizeof why, "%.60s took its place", r->manifest->version);
        atomic_store(&old->current, false);
        atomic_store(&old->wanted, false);
        atomic_store(&old->closed, !served);
        mti_record_state(old, MTI_PLUGIN_RETIRED, why);
    }
    atomic_store(&x->p->dirty, false);
    mti_publish_services(x->p);
    if (mti_publish(x->p, &e) != MT_OK)      /* the routes were tried before: only memory can lack */
        mti_log(MTI_LOG_ERROR, "plugin.publish_failed", "reason=%s", e.detail);
    mti_consumers_start(r);
    if (served)
        mti_retire_begin(old);
    if (served && !x->back && !x->moved)
        mti_budget_watch(r);
    mti_log(MTI_LOG_INFO, "plugin.switched", "plugin=%s from=%s to=%s", r->slug, old && old->manifest ? old->manifest->version : "none", r->manifest->version);
}

static mt_status stage(upgrade *x, mti_version *v)
{
    x->r = find_retired(x->p, v->manifest->slug, v->digest);
    x->reused = x->r != NULL;
    if (x->reused)
        return MT_OK;
    x->r = mti_record_create(x->p, v->manifest->slug);
    if (!x->r)
        return mti_fail(&x->c->error, MT_LIMITED, "plugin_slots_full", "This process has no place for another version: mortise reload starts a fresh one.");
    x->r->trusted = v->trusted;
    mti_record_take(x->r, v->manifest);
    v->manifest = NULL;
    snprintf(x->r->digest, sizeof x->r->digest, "%s", v->digest);
    mti_record_state(x->r, MTI_PLUGIN_STAGED, NULL);
    return MT_OK;
}

/* What was staged stays in its slot with the reason: its code has run. */
static void drop(upgrade *x)
{
    char why[sizeof x->r->reason];
    mti_error e = x->c->error;
    snprintf(why, sizeof why, "%s", e.detail);
    if (mti_error_http(&e) == 500)           /* the version's own failure, not the host's: people are told of it */
        mti_fail(&e, MT_CONFLICT, e.code[0] ? e.code : "plugin_failed", "%s", why[0] ? why : "The version could not be started.");
    if (x->started)
        mti_record_end(x->r, x->c);
    if (!x->reused) {
        if (x->r->worker)
            mti_worker_stop(x->r->worker);
        mti_record_state(x->r, MTI_PLUGIN_FAILED, why);
    }
    mti_log(MTI_LOG_WARN, "plugin.upgrade_refused", "plugin=%s version=%s code=%s reason=%s", x->r->slug, x->r->manifest->version, e.code, why);
    x->c->error = e;
}

/* The files serve already: only the configuration may be new. */
static mt_status configure(upgrade *x)
{
    x->r = x->old;
    MT_TRY(merge_config(x));
    if (x->given)
        MT_TRY(mti_store_configure(x->c, x->r->slug, true, x->config));
    return mti_record_set_config(x->r, x->config, x->c);
}

static mt_status replace(upgrade *x, mti_version *v)
{
    MT_TRY(stage(x, v));
    mt_status s = prepare(x);
    if (s == MT_OK && !x->moved)
        s = mti_store_switch(x->c, x->r->slug, x->r->manifest->version, x->config);
    if (s == MT_OK && !x->moved)
        s = keep_links(x);
    if (s == MT_OK)
        switch_over(x);
    else
        drop(x);
    return s;
}

static mt_status run(upgrade *x, mti_version *v)
{
    x->old = mti_manager_find(x->p, mt_str(v->manifest->slug));
    if (!mti_database_usable(x->p->host))
        return mti_fail(&x->c->error, MT_UNAVAILABLE, "database_unavailable", "The database cannot be reached: plugins are changed when it is back.");
    MT_TRY(mti_manager_refuse(x->p, x->c, v->manifest, x->old));
    MT_TRY(mti_hold_refuse(x->p, v->manifest, &x->c->error));
    MT_TRY(mti_hold_refuse_safe(x->p, v->manifest, &x->c->error));
    bool same = !x->moved && x->old && !strcmp(x->old->digest, v->digest) && atomic_load(&x->old->state) == MTI_PLUGIN_ACTIVE;
    mt_status s = same ? configure(x) : replace(x, v);
    json_decref(x->config);
    mti_retire_check(x->p);
    if (s == MT_OK)
        mti_settle(x->p, x->c);              /* others may have waited for it */
    return s;
}

mt_status mti_manager_upgrade(mti_plugins *p, mt_call *c, mti_version *v, const json_t *config, bool replace)
{
    upgrade x = {.p = p, .c = c, .given = config, .replace = replace && config};
    MT_TRY(mti_turn_ask(p, c));
    mt_status s = run(&x, v);
    mti_turn_end(p);
    return s;
}

typedef struct way_back {
    const mti_plugins *p;
    const char *slug;
    mti_version v;
    mti_error error;
    mt_status status;
} way_back;

/* On the pool: the version that was installed before, else the one in a folder of the operator's or of the program. */
static void find_way_back(void *arg)
{
    way_back *x = arg;
    bool known = mti_version_link_read(x->p->host->plugin_home, x->slug, "previous", x->v.dir) == MT_OK || mti_discover_find(x->p, x->slug, x->v.dir, &x->v.trusted);
    x->status = known ? MT_OK : mti_fail(&x->error, MT_CONFLICT, "no_previous_version", "There is no version of %s before this one.", x->slug);
    if (x->status == MT_OK)
        x->status = mti_manifest_load(x->p->schema, x->v.dir, &x->v.manifest, &x->error);
    if (x->status == MT_OK)
        x->status = mti_package_digest(x->v.dir, x->v.digest, &x->error);
}

static mt_status roll_back(mti_plugins *p, mt_call *c, const mti_plugin_record *r, const char *reason)
{
    upgrade x = {.p = p, .c = c, .back = true, .reason = reason};
    way_back w = {.p = p, .slug = r->slug};
    MT_TRY(mti_offload_run(p->host->offload, 0, find_way_back, &w));
    if (w.status != MT_OK)
        c->error = w.error;
    else if (!strcmp(w.v.digest, r->digest))
        w.status = mti_fail(&c->error, MT_CONFLICT, "no_previous_version", "There is no version of %s before this one.", r->slug);
    else
        w.status = run(&x, &w.v);
    mti_manifest_destroy(w.v.manifest);
    return w.status;
}

mt_status mti_manager_rollback(mti_plugins *p, mt_call *c, mt_slice slug, const char *reason)
{
    const mti_plugin_record *r = mti_manager_find(p, slug);
    if (!r)
        return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
    MT_TRY(mti_turn_ask(p, c));
    mt_status s = roll_back(p, c, r, reason);
    mti_turn_end(p);
    return s;
}

/* ---- elsewhere ---- */

typedef struct move {
    way_back w;
    const mti_plugin_record *r;
    const char *place, *before;
} move;

/* On the pool: where it is to run is kept first, for loading asks. */
static void begin_move(void *arg)
{
    move *x = arg;
    x->before = mti_place_kept(x->r->host, x->w.slug);
    snprintf(x->w.v.dir, sizeof x->w.v.dir, "%s", x->r->manifest->dir);
    x->w.v.trusted = x->r->trusted;
    x->w.status = mti_manifest_load(x->w.p->schema, x->w.v.dir, &x->w.v.manifest, &x->w.error);
    if (x->w.status == MT_OK)
        x->w.status = mti_package_digest(x->w.v.dir, x->w.v.digest, &x->w.error);
    if (x->w.status == MT_OK)
        x->w.status = mti_place_keep(x->r->host, x->w.slug, x->place, &x->w.error);
}

static void undo_move(void *arg)
{
    move *x = arg;
    x->w.status = mti_place_keep(x->r->host, x->w.slug, x->before, &x->w.error);
}

static mt_status move_it(mti_plugins *p, mt_call *c, mti_plugin_record *r, bool isolated)
{
    upgrade x = {.p = p, .c = c, .moved = true};
    move m = {.w = {.p = p, .slug = r->slug}, .r = r, .place = isolated ? "process" : "host"};
    if (atomic_load(&r->state) != MTI_PLUGIN_ACTIVE || !r->entry)
        return mti_fail(&c->error, MT_CONFLICT, "plugin_not_active", "Plugin %s has no code, or is not active: switch it on first.", r->slug);
    MT_TRY(mti_offload_run(p->host->offload, 0, begin_move, &m));
    if (m.w.status != MT_OK) {
        c->error = m.w.error;
        mti_manifest_destroy(m.w.v.manifest);
        return m.w.status;
    }
    mt_status s = isolated == (r->worker != NULL) ? MT_OK : run(&x, &m.w.v);
    mti_manifest_destroy(m.w.v.manifest);
    if (s == MT_OK)
        return MT_OK;
    mti_error e = c->error;
    mti_fiber_shield(true);
    if (mti_offload_run(p->host->offload, 0, undo_move, &m) != MT_OK || m.w.status != MT_OK)
        mti_log(MTI_LOG_ERROR, "plugin.place_not_undone", "plugin=%s detail=%s", r->slug, m.w.error.detail);
    mti_fiber_shield(false);
    c->error = e;
    return strcmp(e.code, "not_isolable") ? s : mti_fail(&c->error, MT_CONFLICT, "not_isolable", "%s", e.detail);
}

mt_status mti_manager_move(mti_plugins *p, mt_call *c, mt_slice slug, bool isolated)
{
    mti_plugin_record *r = mti_manager_find(p, slug);
    if (!r)
        return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
    MT_TRY(mti_turn_ask(p, c));
    r = mti_manager_find(p, slug);           /* it may have changed meanwhile */
    mt_status s = move_it(p, c, r, isolated);
    mti_turn_end(p);
    return s;
}

/* ---- away ---- */

static mt_status drop_tables(mt_call *c, const char *slug)
{
    mti_result *r;
    mti_query *q;
    size_t n;
    MT_TRY(mti_query_parse(&c->arena, "core/plugin/upgrade.c", MT_SLICE("-- name: drop_plugin :exec write\nSELECT mt.drop_plugin(:slug);\n"), &q, &n, &c->error));
    return mti_db_run(c, &(mti_db_role){0}, q, &(mti_param){.value = mt_str(slug)}, &r);
}

static mt_status uninstall(mti_plugins *p, mt_call *c, mti_plugin_record *r, bool purge)
{
    char dir[PATH_MAX];
    bool trusted, active = atomic_load(&r->state) == MTI_PLUGIN_ACTIVE;
    if (!mti_record_is_installed(r))
        return mti_fail(&c->error, MT_CONFLICT, "plugin_not_installed", "%s lies in a folder of the program's or of the operator's and was never installed: switch it off instead.", r->slug);
    if (r->manifest->essential)
        return mti_fail(&c->error, MT_CONFLICT, "plugin_essential", "Plugin %s is essential and stays.", r->slug);
    if (mti_discover_find(p, r->slug, dir, &trusted))
        return mti_fail(&c->error, MT_CONFLICT, "plugin_of_program", "%s comes with a folder (%.200s): roll it back to that version instead.", r->slug, dir);
    MT_TRY(mti_manager_refuse(p, c, NULL, r));
    MT_TRY(mti_store_forget(c, r->slug));
    atomic_store(&r->wanted, false);
    if (active)
        mti_record_deactivate(p, r, c, NULL);
    atomic_store(&r->current, false);
    atomic_store(&r->closed, true);
    if (r->worker)
        mti_worker_stop(r->worker);
    mti_record_state(r, MTI_PLUGIN_RETIRED, "it was uninstalled");
    if (purge) {
        r->migrated = false;                 /* should the same files come back */
        MT_TRY(drop_tables(c, r->slug));
    }
    return mti_version_remove_all(p->host->plugin_home, r->slug, &c->error);
}

mt_status mti_manager_uninstall(mti_plugins *p, mt_call *c, mt_slice slug, bool purge)
{
    mti_plugin_record *r = mti_manager_find(p, slug);
    if (!r)
        return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
    MT_TRY(mti_turn_ask(p, c));
    mt_status s = uninstall(p, c, r, purge);
    mti_turn_end(p);
    return s;
}
