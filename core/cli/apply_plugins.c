/* Plugins: what the file says of them against what the host says. */
#include "cli/apply.h"
#include "cli/plugin_work.h"

#include <stdio.h>
#include <stdlib.h>

/* One that the file names, or that goes because it does not. */
typedef struct plan {
    mti_apply *a;
    const char *slug;
    const json_t *wanted;        /* of the file; NULL: pruned */
    const json_t *present;       /* of the host; NULL: it is not there */
    json_t *package;             /* what the host says of the package; NULL without one */
    json_t *config;              /* as it shall be; may hold secrets; NULL: not said */
    bool removed;                /* switched off or taken away */
} plan;

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static mt_status refuse(const plan *p, const char *member, mti_error *e, const char *text)
{
    char pointer[300];
    snprintf(pointer, sizeof pointer, "/plugins/%.64s%.220s", p->slug, member);
    return mti_apply_refuse(p->a, pointer, e, "%s", text);
}

/* ---- looking ---- */

static mt_status find_problem(const plan *p, mti_error *e)
{
    size_t i;
    json_t *one;
    char member[200];
    static const char *const by_others[] = {"dependency_missing", "dependency_version", "dependency_inactive", "interface_missing", "dependent"};
    json_array_foreach(json_object_get(p->package, "problems"), i, one)
    {
        bool waits = false;                  /* another step may be what it needs: if not, its own step says so */
        for (size_t k = 0; k < sizeof by_others / sizeof *by_others; k++)
            waits |= !strcmp(text_of(one, "code"), by_others[k]);
        if (waits && json_object_size(json_object_get(p->a->wanted, "plugins")) > 1)
            continue;
        bool config = json_object_get(one, "pointer") && p->config;
        snprintf(member, sizeof member, "/%s%s", config ? "config" : "package", config ? text_of(one, "pointer") : "");
        return refuse(p, member, e, text_of(one, "detail"));
    }
    return MT_OK;
}

static mt_status look_at_package(plan *p, mti_error *e)
{
    char path[PATH_MAX], why[400];
    mti_reply r;
    const char *package = text_of(p->wanted, "package"), *version = text_of(p->wanted, "version");
    mti_apply_path(p->a, package, path);
    mt_status s = mti_plugin_upload(p->a->cli, p->config ? "check?replace=true" : "check", path, p->config, &r, e);
    if (s == MT_OK)
        p->package = json_incref(r.json);
    mti_reply_dispose(&r);
    if (s != MT_OK) {
        snprintf(why, sizeof why, "%.380s", e->detail);
        return e->code[0] && !strcmp(e->code, "server_not_running") ? s : refuse(p, "/package", e, why);
    }
    if (strcmp(text_of(p->package, "slug"), p->slug) != 0) {
        snprintf(why, sizeof why, "%.200s is the plugin %.40s.", package, text_of(p->package, "slug"));
        return refuse(p, "/package", e, why);
    }
    if (*version && strcmp(version, text_of(p->package, "version")) != 0) {
        snprintf(why, sizeof why, "%.200s has version %.60s.", package, text_of(p->package, "version"));
        return refuse(p, "/version", e, why);
    }
    return find_problem(p, e);
}

static mt_status look_without_package(plan *p, mti_error *e)
{
    char why[300];
    const char *version = text_of(p->wanted, "version"), *present = text_of(p->present, "version");
    if (!p->present) {
        snprintf(why, sizeof why, "%.40s is not there: name its package.", p->slug);
        return refuse(p, "", e, why);
    }
    if (!*version || !strcmp(version, present))
        return MT_OK;
    snprintf(why, sizeof why, "%.40s has version %.60s, not %.60s: name the package of that one.", p->slug, present, version);
    return refuse(p, "/version", e, why);
}

static mt_status look(plan *p, mti_error *e)
{
    char pointer[64];
    const json_t *config = json_object_get(p->wanted, "config");
    snprintf(pointer, sizeof pointer, "/plugins/%s/config", p->slug);
    p->removed = !p->wanted || mti_json_get_bool(p->wanted, "absent", false) || !mti_json_get_bool(p->wanted, "enabled", true);
    if (!p->wanted || mti_json_get_bool(p->wanted, "absent", false))
        return MT_OK;
    if (config)
        MT_TRY(mti_apply_resolve(p->a, pointer, config, &p->config, e));
    return json_object_get(p->wanted, "package") ? look_at_package(p, e) : look_without_package(p, e);
}

/* ---- steps ---- */

static mt_status upload(mti_apply *a, const mti_apply_step *s, mti_error *e)
{
    mti_reply r;
    mt_status status = mti_plugin_upload(a->cli, s->body ? "install?replace=true" : "install", s->path, s->body, &r, e);
    mti_reply_dispose(&r);
    return status;
}

static mti_apply_step *add_request(plan *p, const char *action, const char *method, const char *below)
{
    mti_apply_step *s = mti_apply_add(p->a, action, "plugin", p->slug);
    s->run = mti_apply_send;
    s->method = method;
    snprintf(s->path, sizeof s->path, "/v1/plugins/%s%s", p->slug, below);
    return s;
}

/* What changes of the configuration, below /config. */
static mt_status add_config_changes(plan *p, mti_apply_step *s, const json_t *plan, mti_error *e)
{
    char path[128], pointer[400];
    size_t i;
    json_t *one, *before = NULL;
    snprintf(path, sizeof path, "/v1/plugins/%s/config", p->slug);
    if (p->present)
        MT_TRY(mti_apply_get(p->a, path, &before, NULL, e));
    json_t *none = json_object(), *changes = mti_apply_diff_config(before ? before : none, json_object_get(plan, "config"), json_object_get(plan, "secrets_changed"));
    json_array_foreach(changes, i, one)
    {
        snprintf(pointer, sizeof pointer, "/config%.380s", text_of(one, "pointer"));
        json_object_set_new(one, "pointer", json_string(pointer));
        json_array_append(s->changes, one);
    }
    json_decref(none);
    json_decref(changes);
    json_decref(before);
    return MT_OK;
}

static mt_status plan_install(plan *p, mti_error *e)
{
    const char *action = text_of(p->package, "action");
    bool same = !strcmp(text_of(p->present, "version"), text_of(p->package, "version"));
    mti_apply_step *s = mti_apply_add(p->a, !strcmp(action, "install") ? "install" : !strcmp(action, "upgrade") ? "upgrade" : !strcmp(action, "downgrade") ? "downgrade" : "replace",
                                      "plugin", p->slug);
    s->run = upload;
    mti_apply_path(p->a, text_of(p->wanted, "package"), s->path);
    s->body = json_incref(p->config);
    const char *member = same ? "digest" : "version";
    const json_t *before = json_object_get(p->present, member);
    char pointer[16];
    snprintf(pointer, sizeof pointer, "/%s", member);
    json_array_append_new(s->changes, mti_apply_change(before ? "~" : "+", pointer, before, json_object_get(p->package, member)));
    return p->config ? add_config_changes(p, s, p->package, e) : MT_OK;
}

/* What the host says of the configuration; a mistake in it has its line in the file. */
static mt_status check_config(const plan *p, json_t **out, mti_error *e)
{
    char path[128], member[200], why[400];
    mti_reply r;
    snprintf(path, sizeof path, "/v1/plugins/%s/config/check", p->slug);
    mt_status s = mti_client_call_if(p->a->cli, "POST", path, p->config, NULL, &r, e);
    if (s == MT_OK) {
        *out = json_incref(r.json);
    } else if (r.status == 422) {
        snprintf(member, sizeof member, "/config%.180s", text_of(r.json, "pointer"));
        snprintf(why, sizeof why, "%.380s", e->detail);
        s = refuse(p, member, e, why);
    }
    mti_reply_dispose(&r);
    return s;
}

static mt_status plan_config(plan *p, mti_error *e)
{
    json_t *after = NULL;
    MT_TRY(check_config(p, &after, e));
    mti_apply_step *s = add_request(p, "configure", "PUT", "/config");
    s->body = json_incref(p->config);
    snprintf(s->etag, sizeof s->etag, "\"%.30s\"", text_of(after, "etag"));
    mt_status status = add_config_changes(p, s, after, e);
    if (status == MT_OK && !json_array_size(s->changes))
        mti_apply_drop(p->a, s);
    json_decref(after);
    return status;
}

static void plan_switch(plan *p, bool on, bool is_on)
{
    if (on == is_on)
        return;
    mti_apply_step *s = on ? add_request(p, "enable", "POST", "/enable") : add_request(p, "disable", "POST", "/disable");
    json_array_append_new(s->changes, mti_apply_change("~", "/enabled", is_on ? json_true() : json_false(), on ? json_true() : json_false()));
}

static void plan_removal(plan *p)
{
    bool purge = mti_json_get_bool(p->wanted, "purge", false);
    if (!p->present)
        return;
    mti_apply_step *s = add_request(p, purge ? "uninstall with its tables" : "uninstall", "DELETE", purge ? "?purge=true" : "");
    json_array_append_new(s->changes, mti_apply_change("-", "/version", json_object_get(p->present, "version"), NULL));
}

static bool is_quarantined(const json_t *present)
{
    return !strcmp(text_of(present, "state"), "quarantined") || json_array_size(json_object_get(present, "quarantined_for"));
}

static mt_status plan_one(plan *p, mti_error *e)
{
    bool is_on = mti_json_get_bool(p->present, "enabled", false);
    if (!p->wanted || mti_json_get_bool(p->wanted, "absent", false)) {
        if (p->present && !mti_json_get_bool(p->present, "installed", false))
            return refuse(p, "/absent", e, "It comes with the program or lies in a folder of the operator's: say \"enabled\": false.");
        plan_removal(p);
        return MT_OK;
    }
    if (p->package && strcmp(text_of(p->package, "action"), "unchanged") != 0) {
        MT_TRY(plan_install(p, e));
        is_on = true;
    } else if (p->config) {
        MT_TRY(plan_config(p, e));
    }
    if (mti_json_get_bool(p->wanted, "release", false) && is_quarantined(p->present)) {
        mti_apply_step *s = add_request(p, "release", "POST", "/release");
        json_array_append_new(s->changes, mti_apply_change("-", "/quarantined", json_true(), NULL));
    }
    plan_switch(p, mti_json_get_bool(p->wanted, "enabled", is_on), is_on);
    return MT_OK;
}

/* ---- all of them ---- */

/* Before and after: both the version that is there and the one that comes need what they need. */
static json_t *needs_of(const plan *p, const json_t *then)
{
    json_t *needs = json_array();
    mti_apply_add_needs(needs, p->present, then);
    mti_apply_add_needs(needs, p->package, then);
    return needs;
}

static mt_status plan_all(plan *all, size_t n, mti_error *e)
{
    size_t order[n ? n : 1];
    mt_status s = MT_OK;
    json_t *items = json_array(), *then = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set(then, all[i].slug, (json_t *)(all[i].package ? all[i].package : all[i].present));
    for (size_t i = 0; i < n; i++)
        json_array_append_new(items, json_pack("{s:s,s:b,s:o}", "slug", all[i].slug, "removed", all[i].removed, "needs", needs_of(&all[i], then)));
    mti_apply_order(items, order);
    for (size_t i = 0; i < n && s == MT_OK; i++)
        s = plan_one(&all[order[i]], e);
    json_decref(items);
    json_decref(then);
    return s;
}

static mt_status read_present(mti_apply *a, mti_error *e)
{
    size_t i;
    json_t *one, *answer;
    MT_TRY(mti_apply_get(a, "/v1/plugins", &answer, NULL, e));
    json_decref(a->plugins);
    a->plugins = json_object();
    json_array_foreach(json_object_get(answer, "items"), i, one)
        json_object_set(a->plugins, text_of(one, "slug"), one);
    json_decref(answer);
    return MT_OK;
}

mt_status mti_apply_plan_plugins(mti_apply *a, mti_error *e)
{
    const char *slug;
    json_t *one, *wanted = json_object_get(a->wanted, "plugins");
    size_t n = 0;
    MT_TRY(read_present(a, e));
    plan *all = calloc(json_object_size(wanted) + json_object_size(a->plugins) + 1, sizeof *all);
    json_object_foreach(wanted, slug, one)
        all[n++] = (plan){.a = a, .slug = slug, .wanted = one, .present = json_object_get(a->plugins, slug)};
    json_object_foreach(a->plugins, slug, one)
        if (a->prune && mti_json_get_bool(one, "installed", false) && !json_object_get(wanted, slug))
            all[n++] = (plan){.a = a, .slug = slug, .present = one};
    mt_status s = MT_OK;
    for (size_t i = 0; i < n && s == MT_OK; i++)
        s = look(&all[i], e);
    if (s == MT_OK)
        s = plan_all(all, n, e);
    for (size_t i = 0; i < n; i++) {
        json_decref(all[i].package);
        json_decref(all[i].config);
    }
    free(all);
    return s;
}
