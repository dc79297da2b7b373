/* What organizations and workspaces have of plugins otherwise than everybody. */
#include "cli/apply.h"

#include <stdio.h>

typedef struct plan {
    mti_apply *a;
    const char *slug, *subject;  /* "acme/hello" */
    const char *base;            /* /v1/organizations/ID or /v1/workspaces/ID */
    char pointer[256];           /* of the setting in the file */
    const json_t *all, *wanted;  /* of the file: what it says of every plugin there, and of this one */
    json_t *present, *body;
} plan;

/* Off, in what a file says of a plugin. */
static bool goes(const json_t *wanted)
{
    return !mti_json_get_bool(wanted, "enabled", true) || !mti_json_get_bool(wanted, "allowed", true);
}

static json_t *needs_of(const mti_apply *a, const char *slug)
{
    json_t *needs = json_array();
    mti_apply_add_needs(needs, json_object_get(a->plugins, slug), a->plugins);
    return needs;
}

static bool needs(const mti_apply *a, const char *slug, const char *other)
{
    size_t i;
    json_t *one, *all = needs_of(a, slug);
    bool found = false;
    json_array_foreach(all, i, one)
        found |= !strcmp(json_string_value(one), other);
    json_decref(all);
    return found;
}

/* Whether the file also switches what the host finds in the way, by a step that comes before this one. */
static bool is_resolved(const plan *p, const char *code)
{
    const char *slug;
    json_t *plugin;
    const json_t *operators = json_object_get(p->a->wanted, "plugins");
    bool needed = !strcmp(code, "plugin_needed"), missing = !strcmp(code, "plugin_needs");
    json_object_foreach(p->a->plugins, slug, plugin)
    {
        const json_t *wanted = json_object_get(p->all, slug);
        if (needed && (goes(wanted) || goes(json_object_get(operators, slug))) && needs(p->a, slug, p->slug))
            return true;
        if (missing && wanted && !goes(wanted) && needs(p->a, p->slug, slug))
            return true;
    }
    return false;
}

static mti_apply_step *add(plan *p, const char *action, const char *method, const char *below)
{
    mti_apply_step *s = mti_apply_add(p->a, action, "setting", p->subject);
    s->run = mti_apply_send;
    s->method = method;
    snprintf(s->path, sizeof s->path, "%s/plugins/%s%s", p->base, p->slug, below);
    return s;
}

/* The present one with what is wanted in it; MTI_SECRET_SHOWN in what stays keeps the secrets. */
static mt_status make_body(plan *p, mti_error *e)
{
    static const char *const members[] = {"enabled", "config", "scope"};
    char pointer[300];
    const bool workspace = strncmp(p->base, "/v1/workspaces", 14) == 0;
    p->body = json_object();
    for (size_t i = 0; i < 3; i++) {
        const json_t *wanted = json_object_get(p->wanted, members[i]), *present = json_object_get(p->present, members[i]);
        json_t *value = NULL;
        if (workspace && strcmp(members[i], "config") != 0)
            continue;
        snprintf(pointer, sizeof pointer, "%.240s/%s", p->pointer, members[i]);
        if (wanted)
            MT_TRY(mti_apply_resolve(p->a, pointer, wanted, &value, e));
        else
            value = json_incref((json_t *)present);
        if (value)
            json_object_set_new(p->body, members[i], value);
    }
    return MT_OK;
}

static mt_status ask(const plan *p, const json_t *body, mti_reply *r, mti_error *e)
{
    char path[200];
    snprintf(path, sizeof path, "%s/plugins/%s?dry_run=true", p->base, p->slug);
    return mti_client_call_if(p->a->cli, "PUT", path, body, NULL, r, e);
}

/* What it comes to once the steps before it are done: all of it is checked but the switch. */
static mt_status ask_but_for_switch(const plan *p, mti_reply *r, mti_error *e)
{
    const json_t *enabled = json_object_get(p->body, "enabled");
    json_t *body = json_copy(p->body);
    json_object_set_new(body, "enabled", json_boolean(!json_is_true(enabled)));
    mti_reply_dispose(r);
    *e = (mti_error){0};
    mt_status s = ask(p, body, r, e);
    json_decref(body);
    if (s == MT_OK)
        json_object_set(r->json, "enabled", (json_t *)enabled);
    return s;
}

static mt_status preview(plan *p, json_t **out, mti_error *e)
{
    mti_reply r;
    mt_status s = ask(p, p->body, &r, e);
    if (s != MT_OK && is_resolved(p, e->code))
        s = ask_but_for_switch(p, &r, e);
    if (s == MT_OK)
        *out = json_incref(r.json);
    else
        s = mti_apply_refused(p->a, p->pointer, &r, s, e);
    mti_reply_dispose(&r);
    return s;
}

static mt_status plan_put(plan *p, mti_error *e)
{
    json_t *after = NULL;
    MT_TRY(make_body(p, e));
    bool unknown = mti_apply_sends_package(p->a, p->slug);         /* what its next version says of it is not known yet */
    if (!unknown)
        MT_TRY(preview(p, &after, e));
    mti_apply_step *s = add(p, "set", "PUT", "");
    s->body = json_incref(p->body);
    json_decref(s->changes);
    s->changes = unknown ? mti_apply_unknown() : mti_apply_diff_shown(p->present, after);
    json_decref(after);
    if (!json_array_size(s->changes))
        mti_apply_drop(p->a, s);
    return MT_OK;
}

/* The host keeps a row of what is forbidden, with nothing else in it. */
static void plan_absent(plan *p)
{
    json_t *after = json_pack("{s:b,s:{},s:{}}", "enabled", 1, "config", "scope"), *changes = mti_apply_diff_shown(p->present, after);
    json_decref(after);
    if (json_array_size(changes)) {
        mti_apply_step *s = add(p, "take away", "DELETE", "");
        json_decref(s->changes);
        s->changes = json_incref(changes);
    }
    json_decref(changes);
}

static mt_status plan_one(plan *p, mti_error *e)
{
    char path[200];
    const json_t *allowed = json_object_get(p->wanted, "allowed");
    snprintf(path, sizeof path, "%s/plugins/%s", p->base, p->slug);
    mt_status s = mti_apply_get(p->a, path, &p->present, NULL, e);
    if (s == MT_NOT_FOUND && mti_apply_sends_package(p->a, p->slug))
        s = MT_OK;
    else if (s == MT_NOT_FOUND)
        return mti_apply_refuse(p->a, p->pointer, e, "There is no plugin %.40s.", p->slug);
    MT_TRY(s);
    if (allowed && json_is_true(allowed) != mti_json_get_bool(p->present, "allowed", true)) {
        mti_apply_step *step = add(p, json_is_true(allowed) ? "allow" : "forbid", "PUT", "/allowed");
        step->body = json_pack("{s:O}", "allowed", allowed);
        json_array_append_new(step->changes, mti_apply_change("~", "/allowed", json_is_true(allowed) ? json_false() : json_true(), allowed));
    }
    if (mti_json_get_bool(p->wanted, "absent", false))
        plan_absent(p);
    else if (json_object_size(p->wanted) > (allowed != NULL))
        return plan_put(p, e);
    return MT_OK;
}

mt_status mti_apply_plan_settings(mti_apply *a, const char *name, const char *base, const char *pointer, const json_t *wanted, mti_error *e)
{
    const char *slug;
    json_t *one, *items = json_array();
    mt_status s = MT_OK;
    size_t n = json_object_size(wanted), order[n ? n : 1];
    json_object_foreach((json_t *)wanted, slug, one)
        json_array_append_new(items, json_pack("{s:s,s:b,s:o}", "slug", slug, "removed", goes(one), "needs", needs_of(a, slug)));
    mti_apply_order(items, order);
    for (size_t i = 0; i < n && s == MT_OK; i++) {
        char subject[128];
        slug = json_string_value(json_object_get(json_array_get(items, order[i]), "slug"));
        plan p = {.a = a, .slug = slug, .subject = subject, .base = base, .all = wanted, .wanted = json_object_get(wanted, slug)};
        snprintf(subject, sizeof subject, "%.80s/%.40s", name, slug);
        snprintf(p.pointer, sizeof p.pointer, "%.200s/%.40s", pointer, slug);
        s = plan_one(&p, e);
        json_decref(p.present);
        json_decref(p.body);
    }
    json_decref(items);
    return s;
}
