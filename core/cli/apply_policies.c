/* Organizations' policies: what the file says of them against what the host says. */
#include "cli/apply.h"
#include "cli/policy_org.h"

#include <stdio.h>

enum { ENABLED, SHADOW, ROLES };
static const char *const roles[ROLES] = {"enabled", "shadow"}, *const numbers[ROLES] = {"enabled_version", "shadow_version"};

typedef struct plan {
    mti_apply *a;
    const char *org, *name;      /* org as the file names it */
    char base[96];               /* /v1/organizations/ID/policies */
    char pointer[256];           /* of the policy in the file */
    const json_t *wanted;
    json_t *present;             /* NULL: it is not there */
    char etag[40];
    json_t *texts[ROLES];        /* sources; NULL: not said, or none */
    int64_t found[ROLES];        /* the version that has the text; 0: none has */
} plan;

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static mt_status read_text(plan *p, int role, mti_error *e)
{
    char path[PATH_MAX], pointer[300];
    mti_buf text;
    const json_t *said = json_object_get(p->wanted, roles[role]);
    snprintf(pointer, sizeof pointer, "%s/%s", p->pointer, roles[role]);
    if (json_is_object(said))
        p->texts[role] = json_incref(json_object_get(said, "source"));
    if (!json_is_string(said))
        return MT_OK;
    mti_apply_path(p->a, json_string_value(said), path);
    mt_status s = mti_buf_read_file(&text, path, 65536);
    if (s == MT_OK)
        p->texts[role] = json_stringn(text.p ? text.p : "", text.len);
    mti_buf_dispose(&text);
    return p->texts[role] ? MT_OK : mti_apply_refuse(p->a, pointer, e, "%.200s cannot be read, is larger than 64 KiB or no UTF-8 text.", path);
}

/* It compiles there, or the mistake is told before anything changes. */
static mt_status try_text(plan *p, int role, mti_error *e)
{
    char path[128], pointer[300], why[400];
    mti_reply r;
    if (!p->texts[role])
        return MT_OK;
    snprintf(path, sizeof path, "%s/try", p->base);
    json_t *body = json_pack("{s:s,s:O,s:[]}", "name", p->name, "source", p->texts[role], "cases");
    mt_status s = mti_client_call_if(p->a->cli, "POST", path, body, NULL, &r, e);
    json_decref(body);
    snprintf(pointer, sizeof pointer, "%s/%s", p->pointer, roles[role]);
    snprintf(why, sizeof why, "%.380s", e->detail);
    if (s != MT_OK && r.status == 422)
        s = mti_apply_refuse(p->a, pointer, e, "%s", why);
    mti_reply_dispose(&r);
    return s;
}

static mt_status has_text(plan *p, int64_t number, const json_t *text, bool *out, mti_error *e)
{
    char path[256];
    json_t *version;
    *out = false;
    if (!number)
        return MT_OK;
    snprintf(path, sizeof path, "%s/%.36s/versions/%lld", p->base, text_of(p->present, "id"), (long long)number);
    MT_TRY(mti_apply_get(p->a, path, &version, NULL, e));
    *out = json_equal(json_object_get(version, "source"), text);
    json_decref(version);
    return MT_OK;
}

/* The version that runs in this role comes first: what is right stays. */
static mt_status find_version(plan *p, int role, mti_error *e)
{
    const int64_t tried[] = {mti_json_get_int(p->present, numbers[role], 0), mti_json_get_int(p->present, numbers[!role], 0), mti_json_get_int(p->present, "latest_version", 0)};
    for (int i = 0; p->texts[role] && i < 3; i++) {
        bool same;
        MT_TRY(has_text(p, tried[i], p->texts[role], &same, e));
        if (same) {
            p->found[role] = tried[i];
            return MT_OK;
        }
    }
    return MT_OK;
}

/* ---- doing ---- */

static mt_status call(mti_apply *a, const char *method, const char *path, json_t *body, const char *etag, json_t **out, mti_error *e)
{
    mti_reply r;
    mt_status s = mti_client_call_if(a->cli, method, path, body, etag, &r, e);
    if (s == MT_OK && out)
        *out = json_incref(r.json);
    json_decref(body);
    mti_reply_dispose(&r);
    return s;
}

/* body: {name, id or null, texts: {enabled, shadow}, patch}. Makes the policy, uploads the texts that no version has, then lets them run. */
static mt_status run(mti_apply *a, const mti_apply_step *s, mti_error *e)
{
    char path[PATH_MAX + 64], id[40];
    json_t *made, *patch = json_deep_copy(json_object_get(s->body, "patch"));
    const json_t *texts = json_object_get(s->body, "texts");
    mt_status status = MT_OK;
    const char *etag = s->etag;
    snprintf(id, sizeof id, "%.36s", text_of(s->body, "id"));
    for (int role = 0; role < ROLES && status == MT_OK; role++) {
        const json_t *text = json_object_get(texts, roles[role]);
        if (!text)
            continue;
        snprintf(path, sizeof path, *id ? "%s/%s/versions" : "%s", s->path, id);
        json_t *body = *id ? json_pack("{s:O}", "source", text) : json_pack("{s:O,s:O}", "name", json_object_get(s->body, "name"), "source", text);
        status = call(a, "POST", path, body, NULL, &made, e);
        if (status != MT_OK)
            break;
        json_object_set_new(patch, numbers[role], json_integer(*id ? mti_json_get_int(made, "number", 1) : 1));
        if (!*id)
            snprintf(id, sizeof id, "%.36s", text_of(made, "id"));
        json_decref(made);
        etag = NULL;                         /* our own upload may have changed it */
    }
    snprintf(path, sizeof path, "%s/%s", s->path, id);
    if (status == MT_OK && json_object_size(patch))
        return call(a, "PATCH", path, patch, etag, NULL, e);
    json_decref(patch);
    return status;
}

/* ---- planning ---- */

static mti_apply_step *add(plan *p, const char *action)
{
    char name[128];
    snprintf(name, sizeof name, "%.60s/%.60s", p->org, p->name);
    return mti_apply_add(p->a, action, "policy", name);
}

static void plan_role(plan *p, int role, mti_apply_step *s, json_t *texts, json_t *patch)
{
    char pointer[16], label[200];
    const json_t *said = json_object_get(p->wanted, roles[role]), *now = json_object_get(p->present, numbers[role]);
    int64_t number = json_integer_value(now);
    if (!said || (p->texts[role] ? p->found[role] == number && number : !number))
        return;
    snprintf(pointer, sizeof pointer, "/%s", roles[role]);
    if (p->texts[role] && !p->found[role])
        snprintf(label, sizeof label, "a new version (%.150s)", json_is_string(said) ? json_string_value(said) : "inline");
    else if (p->texts[role])
        snprintf(label, sizeof label, "version %lld", (long long)p->found[role]);
    char before[40];
    snprintf(before, sizeof before, "version %lld", (long long)number);
    json_t *was = number ? json_string(before) : NULL, *then = p->texts[role] ? json_string(label) : NULL;
    json_array_append_new(s->changes, mti_apply_change(!was ? "+" : !then ? "-" : "~", pointer, was, then));
    json_decref(was);
    json_decref(then);
    if (p->texts[role] && !p->found[role])
        json_object_set(texts, roles[role], p->texts[role]);
    else
        json_object_set_new(patch, numbers[role], p->texts[role] ? json_integer(p->found[role]) : json_null());
}

static mt_status plan_change(plan *p, mti_error *e)
{
    mti_apply_step *s = add(p, p->present ? "change" : "create");
    json_t *texts = json_object(), *patch = json_object();
    const json_t *record = json_object_get(p->wanted, "record");
    for (int role = 0; role < ROLES; role++)
        plan_role(p, role, s, texts, patch);
    if (record && json_is_true(record) != mti_json_get_bool(p->present, "record", false)) {
        json_array_append_new(s->changes, mti_apply_change("~", "/record", json_is_true(record) ? json_false() : json_true(), record));
        json_object_set(patch, "record", (json_t *)record);
    }
    s->run = run;
    snprintf(s->path, sizeof s->path, "%s", p->base);
    snprintf(s->etag, sizeof s->etag, "%s", p->etag);
    s->body = json_pack("{s:s,s:s,s:o,s:o}", "name", p->name, "id", text_of(p->present, "id"), "texts", texts, "patch", patch);
    if (!p->present && !json_object_size(texts) && json_array_size(s->changes))
        return mti_apply_refuse(p->a, p->pointer, e, "The policy %.50s is not there: name the text that shall be enabled or tried as a shadow.", p->name);
    if (!json_array_size(s->changes))
        mti_apply_drop(p->a, s);
    return MT_OK;
}

static void plan_removal(plan *p)
{
    mti_apply_step *s = add(p, "delete");
    s->run = mti_apply_send;
    s->method = "DELETE";
    snprintf(s->path, sizeof s->path, "%s/%.36s", p->base, text_of(p->present, "id"));
    json_array_append_new(s->changes, mti_apply_change("-", "", json_object_get(p->present, "name"), NULL));
}

static mt_status plan_one(plan *p, mti_error *e)
{
    char path[200];
    json_t *again = NULL;
    mt_status s = MT_OK;
    if (!p->wanted || mti_json_get_bool(p->wanted, "absent", false)) {
        if (p->present)
            plan_removal(p);
        return MT_OK;
    }
    if (p->present) {                        /* alone it comes with its etag */
        snprintf(path, sizeof path, "%s/%.36s", p->base, text_of(p->present, "id"));
        MT_TRY(mti_apply_get(p->a, path, &again, p->etag, e));
        p->present = again;
    }
    for (int role = 0; role < ROLES && s == MT_OK; role++) {
        s = read_text(p, role, e);
        if (s == MT_OK)
            s = find_version(p, role, e);
        if (s == MT_OK && !p->found[role])
            s = try_text(p, role, e);
    }
    if (s == MT_OK)
        s = plan_change(p, e);
    for (int role = 0; role < ROLES; role++)
        json_decref(p->texts[role]);
    json_decref(again);
    return s;
}

static json_t *find_named(const json_t *items, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)items, i, one)
        if (!strcmp(text_of(one, "name"), name))
            return one;
    return NULL;
}

static plan begin(mti_apply *a, const char *org, const char *id, const char *name, const json_t *wanted, const json_t *present)
{
    plan p = {.a = a, .org = org, .name = name, .wanted = wanted, .present = (json_t *)present};
    mti_buf pointer;
    snprintf(p.base, sizeof p.base, "/v1/organizations/%s/policies", id);
    mti_buf_init(&pointer, 4096);
    mti_buf_adds(&pointer, "/organizations");
    mti_json_pointer_add(&pointer, mt_str(org));
    mti_buf_adds(&pointer, "/policies");
    mti_json_pointer_add(&pointer, mt_str(name));
    snprintf(p.pointer, sizeof p.pointer, "%s", pointer.p);
    mti_buf_dispose(&pointer);
    return p;
}

mt_status mti_apply_plan_policies(mti_apply *a, const char *org, const char *id, const json_t *wanted, mti_error *e)
{
    char path[128];
    size_t i;
    const char *name;
    json_t *one, *items;
    mt_status s = MT_OK;
    snprintf(path, sizeof path, "/v1/organizations/%s/policies", id);
    MT_TRY(mti_apply_list(a, path, &items, e));
    json_object_foreach((json_t *)wanted, name, one)
        if (s == MT_OK) {
            plan p = begin(a, org, id, name, one, find_named(items, name));
            s = plan_one(&p, e);
        }
    json_array_foreach(items, i, one)
        if (s == MT_OK && a->prune && !json_object_get(wanted, text_of(one, "name"))) {
            plan p = begin(a, org, id, text_of(one, "name"), NULL, one);
            s = plan_one(&p, e);
        }
    json_decref(items);
    return s;
}
