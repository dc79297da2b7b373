/* The operator's instances of plugins. */
#include "cli/apply.h"

#include <stdio.h>

typedef struct plan {
    mti_apply *a;
    const char *slug, *name;
    char pointer[256];           /* of the instance in the file */
    const json_t *wanted, *present;
    json_t *body;
} plan;

static mti_apply_step *add(plan *p, const char *action, const char *method)
{
    char subject[128];
    snprintf(subject, sizeof subject, "%.40s:%.48s", p->slug, p->name);
    mti_apply_step *s = mti_apply_add(p->a, action, "instance", subject);
    s->run = mti_apply_send;
    s->method = method;
    snprintf(s->path, sizeof s->path, "/v1/plugins/%s/instances/%s", p->slug, p->name);
    return s;
}

/* The present one with what is wanted in it, its configuration as it was given: defaults stay defaults. The default one has its configuration elsewhere. */
static mt_status make_body(plan *p, mti_error *e)
{
    static const char *const members[] = {"config", "scope", "priority"};
    char pointer[300];
    p->body = json_object();
    for (size_t i = strcmp(p->name, "default") == 0; i < 3; i++) {
        json_t *value = NULL;
        const json_t *wanted = json_object_get(p->wanted, members[i]);
        snprintf(pointer, sizeof pointer, "%.240s/%s", p->pointer, members[i]);
        if (wanted)
            MT_TRY(mti_apply_resolve(p->a, pointer, wanted, &value, e));
        else
            value = json_incref(json_object_get(p->present, i ? members[i] : "given"));
        if (value)
            json_object_set_new(p->body, members[i], value);
    }
    return MT_OK;
}

static mt_status preview(plan *p, json_t **out, mti_error *e)
{
    char path[200];
    mti_reply r;
    snprintf(path, sizeof path, "/v1/plugins/%s/instances/%s?dry_run=true", p->slug, p->name);
    mt_status s = mti_client_call_if(p->a->cli, "PUT", path, p->body, NULL, &r, e);
    if (s == MT_OK)
        *out = json_incref(json_array_get(json_object_get(r.json, "items"), 0));
    else
        s = mti_apply_refused(p->a, p->pointer, &r, s, e);
    mti_reply_dispose(&r);
    return s;
}

static mt_status plan_put(plan *p, mti_error *e)
{
    json_t *after = NULL;
    MT_TRY(make_body(p, e));
    bool unknown = mti_apply_sends_package(p->a, p->slug);
    if (!unknown)
        MT_TRY(preview(p, &after, e));
    mti_apply_step *s = add(p, p->present ? "set" : "create", "PUT");
    s->body = json_incref(p->body);
    json_decref(s->changes);
    s->changes = unknown ? mti_apply_unknown() : mti_apply_diff_shown(p->present, after);
    json_decref(after);
    if (!json_array_size(s->changes) && p->present)
        mti_apply_drop(p->a, s);
    return MT_OK;
}

static const json_t *find(const json_t *items, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)items, i, one)
        if (mt_slice_eq(mti_json_get_string(one, "instance", MT_SLICE("")), mt_str(name)))
            return one;
    return NULL;
}

static mt_status plan_one(plan *p, mti_error *e)
{
    if (!mti_json_get_bool(p->wanted, "absent", false))
        return plan_put(p, e);
    if (p->present) {
        mti_apply_step *s = add(p, "take away", "DELETE");
        json_array_append_new(s->changes, mti_apply_change("-", "/config", json_object_get(p->present, "config"), NULL));
    }
    return MT_OK;
}

mt_status mti_apply_plan_instances(mti_apply *a, mti_error *e)
{
    const char *slug, *name;
    json_t *plugin, *one;
    mt_status s = MT_OK;
    json_object_foreach(json_object_get(a->wanted, "plugins"), slug, plugin)
    {
        char path[128];
        json_t *present = NULL;
        if (s != MT_OK || !json_object_size(json_object_get(plugin, "instances")))
            continue;
        snprintf(path, sizeof path, "/v1/plugins/%s/instances", slug);
        if (json_object_get(a->plugins, slug))
            s = mti_apply_get(a, path, &present, NULL, e);
        json_object_foreach(json_object_get(plugin, "instances"), name, one)
            if (s == MT_OK) {
                plan p = {.a = a, .slug = slug, .name = name, .wanted = one, .present = find(json_object_get(present, "items"), name)};
                snprintf(p.pointer, sizeof p.pointer, "/plugins/%.64s/instances/%.64s", slug, name);
                s = plan_one(&p, e);
                json_decref(p.body);
            }
        json_decref(present);
    }
    return s;
}
