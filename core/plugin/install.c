/* Packages from any loop: file work on the pool, the change itself on loop 0. */
#include "plugin/across.h"
#include "plugin/manager.h"
#include "plugin/publish.h"
#include "plugin/record.h"
#include "plugin/setting_store.h"
#include "plugin/versions.h"

#include "package/package.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct install {
    mti_plugins *p;
    mt_slice file;
    const json_t *config;
    bool replace;
    mti_version v;
    mti_error error;
    mt_status status;
    json_t *plan;
} install;

static void on_pool_add(void *arg)
{
    install *x = arg;
    x->status = mti_version_add(x->p->host->plugin_home, x->p->schema, x->file, NULL, &x->v, &x->error);
}

static mt_status upgrade_there(void *arg, mt_call *there)
{
    install *x = arg;
    return mti_manager_upgrade(x->p, there, &x->v, x->config, x->replace);
}

mt_status mti_plugins_install(mti_plugins *p, mt_call *c, mt_slice file, const json_t *config, bool replace, char slug[64])
{
    install x = {.p = p, .file = file, .config = config, .replace = replace};
    mti_fiber_shield(true);                  /* whoever asked may leave: what was begun is brought to its end */
    mt_status s = mti_offload_run(p->host->offload, 0, on_pool_add, &x);
    if (s == MT_OK && x.status != MT_OK) {
        c->error = x.error;
        s = x.status;
    }
    if (s == MT_OK) {
        snprintf(slug, 64, "%s", x.v.manifest->slug);
        s = mti_across_run(c, p->host->loops[0], upgrade_there, &x);
    }
    mti_manifest_destroy(x.v.manifest);
    mti_fiber_shield(false);
    return s;
}

/* ---- what it would do ---- */

static void add_error(json_t *problems, const mti_error *e)
{
    json_t *one = json_pack("{s:s,s:s}", "code", e->code, "detail", e->detail);
    if (e->pointer[0])
        json_object_set_new(one, "pointer", json_string(e->pointer));
    json_array_append_new(problems, one);
}

/* The file itself: its code loaded in a process of its own, its contract read. */
static void on_pool_look(void *arg)
{
    install *x = arg;
    mti_error e = {0};
    mti_contract *contract;
    x->status = mti_version_look(x->p->host->plugin_home, x->p->schema, x->file, &x->v, &x->error);
    if (x->status != MT_OK)
        return;
    json_t *problems = json_object_get(x->plan, "problems");
    if (x->v.manifest->file && !mti_isolated(x->p->host, x->v.manifest) && mti_scan(x->p->host, x->v.dir, x->v.manifest->file, &e) != MT_OK)
        add_error(problems, &e);
    if (mti_contract_load(x->v.manifest->slug, x->v.dir, &contract, &e) == MT_OK) {
        json_t *ids = json_array();
        for (unsigned i = 0; i < contract->n_operations; i++)
            json_array_append_new(ids, json_string(contract->operations[i].id));
        json_object_set_new(x->plan, "operations", ids);
        mti_contract_destroy(contract);
    } else if (!x->v.manifest->file) {
        add_error(problems, &e);             /* else the scan has said it */
    }
}

static bool has_file(const char *dir, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/sql/%s", dir, name);
    return access(path, F_OK) == 0;
}

/* The migrations that the version that is there does not have. */
static json_t *new_migrations(const char *dir, const mti_plugin_record *old)
{
    char path[PATH_MAX];
    struct dirent **list;
    json_t *names = json_array();
    snprintf(path, sizeof path, "%.*s/sql", PATH_MAX - 8, dir);
    int n = scandir(path, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.' && !(old && old->manifest && has_file(old->manifest->dir, list[i]->d_name)))
            json_array_append_new(names, json_string(list[i]->d_name));
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return names;
}

static const char *action_of(const mti_version *v, const mti_plugin_record *old)
{
    if (!old || !old->manifest)
        return "install";
    if (!strcmp(old->digest, v->digest))
        return "unchanged";
    int order = mti_semver_compare(v->manifest->version, old->manifest->version);
    return order > 0 ? "upgrade" : order < 0 ? "downgrade" : "replace";
}

/* Settings of organizations that the version would not accept. */
static void add_unfit(const install *x, mt_call *c, json_t *problems)
{
    bool enabled;
    json_t *stored = NULL, *config = NULL;
    const mti_manifest *m = x->v.manifest;
    if (!mti_database_usable(x->p->host))
        return;                              /* which is a problem of its own */
    mt_status s = mti_store_read(c, m->slug, &enabled, &stored);
    if (s == MT_OK)
        s = mti_config_open(c, m->slug, "", stored, &config);
    else if (s == MT_NOT_FOUND && (config = json_object()))
        s = MT_OK;
    if (s == MT_OK && x->replace && x->config)
        json_object_clear(config);
    json_object_update_recursive(config, (json_t *)x->config);
    if (s == MT_OK)
        s = mti_settings_refuse(c, m, config);
    if (s != MT_OK)
        add_error(problems, &c->error);
    json_decref(stored);
    json_decref(config);
}

static mt_status plan_there(void *arg, mt_call *there)
{
    static const char *const members[] = {"dependencies", "provides", "requires"};
    install *x = arg;
    const mti_manifest *m = x->v.manifest;
    mti_plugin_record *old = mti_manager_find(x->p, mt_str(m->slug));
    json_t *problems = json_object_get(x->plan, "problems"), *found = mti_resolve_change(x->p, m, old), *permissions = json_object_get(m->json, "permissions");
    json_array_extend(problems, found);
    json_decref(found);
    add_unfit(x, there, problems);
    json_object_set_new(x->plan, "slug", json_string(m->slug));
    json_object_set_new(x->plan, "version", json_string(m->version));
    json_object_set_new(x->plan, "digest", json_string(x->v.digest));
    json_object_set_new(x->plan, "action", json_string(action_of(&x->v, old)));
    json_object_set_new(x->plan, "from", old && old->manifest ? json_string(old->manifest->version) : json_null());
    json_object_set_new(x->plan, "migrations", m->db ? new_migrations(x->v.dir, old) : json_array());
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        json_object_set(x->plan, members[i], json_object_get(m->json, members[i]));
    json_object_set_new(x->plan, "permissions", permissions ? json_incref(permissions) : json_object());
    return MT_OK;
}

/* What the configuration would be; that it does not fit is one of the problems. */
static mt_status plan_config(install *x, mt_call *c)
{
    bool enabled;
    json_t *stored = NULL, *preview = NULL, *none = json_object();
    mt_status s = mti_database_usable(x->p->host) ? mti_store_read(c, x->v.manifest->slug, &enabled, &stored) : MT_NOT_FOUND;
    if (s == MT_OK || s == MT_NOT_FOUND)
        s = mti_config_preview(c, x->v.manifest, x->config ? x->config : none, stored, !x->config || !x->replace, &preview);
    if (s == MT_OK) {
        json_object_update(x->plan, preview);
    } else if (s == MT_INVALID || s == MT_UNAVAILABLE) {
        add_error(json_object_get(x->plan, "problems"), &c->error);
        memset(&c->error, 0, sizeof c->error);
        s = MT_OK;
    }
    json_decref(preview);
    json_decref(stored);
    json_decref(none);
    return s;
}

mt_status mti_plugins_check(mti_plugins *p, mt_call *c, mt_slice file, const json_t *config, bool replace, mti_buf *out)
{
    install x = {.p = p, .file = file, .config = config, .replace = replace, .plan = json_pack("{s:[],s:[]}", "problems", "operations")};
    mti_fiber_shield(true);
    mt_status s = mti_offload_run(p->host->offload, 0, on_pool_look, &x);
    if (s == MT_OK && x.status != MT_OK) {
        c->error = x.error;
        s = x.status;
    }
    if (s == MT_OK)
        s = mti_across_run(c, p->host->loops[0], plan_there, &x);
    if (s == MT_OK)
        s = plan_config(&x, c);
    if (s == MT_OK)
        s = mti_json_dump(x.plan, out);
    if (x.v.dir[0])
        mti_package_remove(x.v.dir, NULL);   /* some milliseconds at most: a few small files */
    mti_manifest_destroy(x.v.manifest);
    json_decref(x.plan);
    mti_fiber_shield(false);
    return s;
}

/* ---- back, and away ---- */

typedef struct on_slug {
    mti_plugins *p;
    mt_slice slug;
    bool purge;
} on_slug;

static mt_status rollback_there(void *arg, mt_call *there)
{
    on_slug *x = arg;
    return mti_manager_rollback(x->p, there, x->slug, NULL);
}

mt_status mti_plugins_rollback(mti_plugins *p, mt_call *c, mt_slice slug)
{
    return mti_across_run(c, p->host->loops[0], rollback_there, &(on_slug){p, slug, false});
}

static mt_status isolate_there(void *arg, mt_call *there)
{
    on_slug *x = arg;
    return mti_manager_move(x->p, there, x->slug, true);
}

static mt_status trust_there(void *arg, mt_call *there)
{
    on_slug *x = arg;
    return mti_manager_move(x->p, there, x->slug, false);
}

mt_status mti_plugins_isolate(mti_plugins *p, mt_call *c, mt_slice slug, bool on)
{
    return mti_across_run(c, p->host->loops[0], on ? isolate_there : trust_there, &(on_slug){p, slug, false});
}

static mt_status uninstall_there(void *arg, mt_call *there)
{
    on_slug *x = arg;
    return mti_manager_uninstall(x->p, there, x->slug, x->purge);
}

mt_status mti_plugins_uninstall(mti_plugins *p, mt_call *c, mt_slice slug, bool purge)
{
    return mti_across_run(c, p->host->loops[0], uninstall_there, &(on_slug){p, slug, purge});
}
