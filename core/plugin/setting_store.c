#include "plugin/setting_rows.h"
#include "plugin/layers.h"
#include "plugin/publish.h"
#include "plugin/settings.h"
#include "secrets/secrets.h"

#include <stdio.h>

/* ---- what there is ---- */

/* Whom the call may see: the operator every plugin, an organization those that serve and that it may have. */
static bool concerns(const mt_call *c, const mti_plugin_record *r, const json_t *rows)
{
    return atomic_load(&r->current) && r->manifest && (c->who.platform || (atomic_load(&r->state) == MTI_PLUGIN_ACTIVE && mti_setting_allows(rows, mt_str(r->slug))));
}

typedef struct subject {
    mti_plugin_record *r;
    const mti_instance *instance;
    json_t *rows;                            /* of the organization */
} subject;

static mt_status look_up(mt_call *c, const mti_setting_at *at, subject *s)
{
    s->r = mti_manager_find(c->host->plugins, at->slug);
    MT_TRY(mti_setting_rows(c, at->slug, &s->rows));
    if (!s->r || !concerns(c, s->r, s->rows))
        return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
    s->instance = mti_instance_find(s->r, at->instance.p ? at->instance : MT_SLICE(""));
    if (!s->instance)
        return mti_fail(&c->error, MT_NOT_FOUND, "instance_unknown", "Plugin %s has no instance of this name.", s->r->slug);
    return MT_OK;
}

static json_t *id_json(mti_uuid id)
{
    char out[37];
    mti_uuid_format(id, out);
    return mti_uuid_is_nil(id) ? json_null() : json_string(out);
}

mt_status mti_setting_get(mt_call *c, const mti_setting_at *at, json_t **out)
{
    subject s;
    MT_TRY(look_up(c, at, &s));
    mt_slice instance = mt_str(s.instance->name);
    json_t *row = mti_setting_row(s.rows, at->slug, instance, at->workspace_id);
    *out = row ? mti_config_show(s.r->manifest, row, "config")
               : json_pack("{s:s,s:s,s:o,s:o,s:b,s:b,s:{},s:{},s:n}", "slug", s.r->slug, "instance", s.instance->name, "organization_id", id_json(c->who.org_id),
                           "workspace_id", id_json(at->workspace_id), "allowed", 1, "enabled", 1, "config", "scope", "changed_at");
    return MT_OK;
}

/* ---- may it ---- */

static bool is_guard(int hook)
{
    return hook >= 0 && mti_hook_catalogue[hook].fail_closed && !mti_hook_catalogue[hook].platform;
}

/* With a handler or with a policy. */
static bool guards(const mti_plugin_record *r)
{
    for (size_t i = 0; i < r->manifest->n_hooks; i++)
        if (is_guard(mti_hook_find(mt_str(r->manifest->hooks[i].name))))
            return true;
    for (unsigned i = 0; i < r->n_policies; i++)
        if (is_guard(mti_policy_hook(r->policies[i])))
            return true;
    return false;
}

/* What is only the operator's to take from an organization, or to limit. */
static mt_status may_limit(mt_call *c, const mti_plugin_record *r)
{
    if (c->who.platform)
        return MT_OK;
    if (r->manifest->mandatory)
        return mti_fail(&c->error, MT_CONFLICT, "plugin_mandatory", "Plugin %s keeps the operator's books: only the operator can take it from an organization, or limit what it sees.", r->slug);
    return !guards(r) ? MT_OK
           : mti_fail(&c->error, MT_CONFLICT, "plugin_guards", "Plugin %s guards requests: only the operator can take it from an organization, or limit what it sees.", r->slug);
}

/* Services that the host itself asks: limits, jobs and policies are not an organization's to be rid of. */
static bool serves_host(const mti_manifest *m)
{
    static const char *const own[] = {"limiter/1", "queue/1", "policy_store/1"};
    for (size_t i = 0; i < m->n_provides; i++)
        for (size_t k = 0; k < sizeof own / sizeof *own; k++)
            if (!strcmp(m->provides[i], own[k]))
                return true;
    return false;
}

/* Other plugins that the organization has and that cannot do without r. */
static void find_needing(mt_call *c, const mti_plugin_record *r, const json_t *rows, char *names, size_t size)
{
    mti_plugins *p = c->host->plugins;
    names[0] = 0;
    for (unsigned i = 1; i < p->n; i++)
        if (mti_resolve_needs(p, p->records[i], r) && mti_setting_on(rows, mt_str(p->records[i]->slug)))
            snprintf(names + strlen(names), size - strlen(names), "%s%s", names[0] ? ", " : "", p->records[i]->slug);
}

/* Off, by the operator or by the organization. */
static mt_status may_switch_off(mt_call *c, const mti_plugin_record *r)
{
    char names[256];
    json_t *rows;
    MT_TRY(mti_setting_rows(c, (mt_slice){0}, &rows));
    if (r->manifest->essential)
        return mti_fail(&c->error, MT_CONFLICT, "plugin_essential", "Plugin %s is essential and stays on.", r->slug);
    MT_TRY(may_limit(c, r));
    if (!c->who.platform && serves_host(r->manifest))
        return mti_fail(&c->error, MT_CONFLICT, "plugin_serves_host", "The host itself stands on plugin %s: only the operator can take it from an organization.", r->slug);
    find_needing(c, r, rows, names, sizeof names);
    return names[0] ? mti_fail(&c->error, MT_CONFLICT, "plugin_needed", "Plugin %s is needed by %s: switch them off first.", r->slug, names) : MT_OK;
}

static mt_status may_switch_on(mt_call *c, const mti_plugin_record *r)
{
    json_t *rows;
    MT_TRY(mti_setting_rows(c, (mt_slice){0}, &rows));
    for (size_t i = 0; i < r->manifest->n_dependencies; i++)
        if (!mti_setting_on(rows, mt_str(r->manifest->dependencies[i].slug)))
            return mti_fail(&c->error, MT_CONFLICT, "plugin_needs", "Plugin %s needs %s: switch that on first.", r->slug, r->manifest->dependencies[i].slug);
    return MT_OK;
}

/* What plugins read of a layer that is stored; *out is kept by the call, NULL when there is none. */
static mt_status open_layer(mt_call *c, const mti_plugin_record *r, mti_uuid org_id, mti_uuid workspace_id, const char *instance, const json_t *stored, json_t **out)
{
    char name[MTI_LAYER_NAME];
    *out = NULL;
    if (!json_object_size(stored))
        return MT_OK;
    mti_layer_name(name, org_id, workspace_id, instance);
    MT_TRY(mti_config_open(c, r->slug, name, stored, out));
    mti_arena_defer(&c->arena, mti_setting_free, *out);
    return MT_OK;
}

static const json_t *stored_of(const subject *s, mti_uuid workspace_id)
{
    return json_object_get(mti_setting_row(s->rows, mt_str(s->r->slug), mt_str(s->instance->name), workspace_id), "config");
}

static mt_status layer_of(mt_call *c, const subject *s, mti_uuid workspace_id, json_t **out)
{
    return open_layer(c, s->r, c->who.org_id, workspace_id, s->instance->name, stored_of(s, workspace_id), out);
}

/* The form that is stored of what is given; kept by the call. */
static mt_status seal(mt_call *c, const mti_setting_at *at, const subject *s, const json_t *given, json_t **sealed)
{
    char name[MTI_LAYER_NAME];
    const json_t *stored = stored_of(s, at->workspace_id), *schema = s->r->manifest->config_schema;
    *sealed = given ? json_deep_copy(given) : json_object();
    mti_arena_defer(&c->arena, mti_setting_free, *sealed);
    mti_layer_name(name, c->who.org_id, at->workspace_id, s->instance->name);
    MT_TRY(mti_secrets_take(schema, *sealed, stored, &c->error));
    return mti_secrets_seal(c->host->secrets, (mti_secret_place){s->r->slug, name}, schema, *sealed, NULL, &c->error);
}

static mt_status check_config(mt_call *c, const mti_setting_at *at, const subject *s, const json_t *sealed)
{
    json_t *merged = NULL, *own, *org = NULL;
    bool workspace = !mti_uuid_is_nil(at->workspace_id);
    MT_TRY(open_layer(c, s->r, c->who.org_id, at->workspace_id, s->instance->name, sealed, &own));
    if (!own)
        return MT_OK;
    if (workspace)
        MT_TRY(layer_of(c, s, (mti_uuid){{0}}, &org));
    const json_t *base = s->instance->config ? s->instance->config : atomic_load(&s->r->config);
    const json_t *layers[MTI_LAYERS] = {base, workspace ? org : own, workspace ? own : NULL};
    mt_status status = mti_layers_merge(s->r->manifest, layers, &merged, &c->error);
    json_decref(merged);
    return status;
}

/* Pointers are into the body. */
static mt_status take_config(mt_call *c, const mti_setting_at *at, const subject *s, const json_t *given, json_t **sealed)
{
    char pointer[sizeof c->error.pointer];
    mt_status status = seal(c, at, s, given, sealed);
    if (status == MT_OK)
        status = check_config(c, at, s, *sealed);
    snprintf(pointer, sizeof pointer, "/config%.*s", (int)sizeof pointer - 8, c->error.pointer);
    if (status == MT_INVALID)
        memcpy(c->error.pointer, pointer, sizeof pointer);
    return status;
}

static mt_status check_put(mt_call *c, const mti_setting_at *at, const subject *s, const json_t *body)
{
    bool on = mti_json_get_bool(body, "enabled", true), whole = !*s->instance->name && mti_uuid_is_nil(at->workspace_id);
    bool scoped = json_object_size(json_object_get(body, "scope"));
    if ((!on || scoped) && s->r->manifest->essential)
        return mti_fail(&c->error, MT_CONFLICT, "plugin_essential", "Plugin %s is essential and stays on, for every call.", s->r->slug);
    if (!on || scoped)
        MT_TRY(may_limit(c, s->r));
    if (whole && !on)
        MT_TRY(may_switch_off(c, s->r));
    else if (whole && !mti_setting_on(s->rows, at->slug))
        MT_TRY(may_switch_on(c, s->r));
    return MT_OK;
}

/* ---- changes ---- */

typedef mt_status (*change_fn)(mt_call *c, mti_setting_values *v, const json_t *body);

static mt_status change_locked(mt_call *c, change_fn change, mti_setting_values *v, const json_t *body)
{
    mti_result *r;
    MT_TRY(mti_setting_lock(c));
    MT_TRY(change(c, v, body));
    return mti_setting_run(c, MTI_SETTING_TIDY, v, &r);
}

/* What is checked and what stays of it (secrets, bounds) is what is there when it is written. */
static mt_status make_change(mt_call *c, change_fn change, mti_setting_values v, const json_t *body)
{
    MT_TRY(mti_db_begin(c, &(mti_db_role){0}));
    mt_status s = change_locked(c, change, &v, body);
    if (s == MT_OK)
        s = mti_db_commit(c);
    else
        mti_db_rollback(c);
    if (s == MT_OK)
        mti_settings_changed(c, c->who.org_id);
    return s;
}

static mt_status put(mt_call *c, mti_setting_values *v, const json_t *body)
{
    subject s;
    mti_result *r;
    json_t *config;
    MT_TRY(look_up(c, &v->at, &s));
    MT_TRY(check_put(c, &v->at, &s, body));
    MT_TRY(take_config(c, &v->at, &s, json_object_get(body, "config"), &config));
    MT_TRY(mti_setting_text(c, config, &v->config));
    MT_TRY(mti_setting_text(c, json_object_get(body, "scope"), &v->scope));
    MT_TRY(mti_setting_run(c, MTI_SETTING_PUT, v, &r));
    return mti_result_affected(r) ? MT_OK
           : mti_fail(&c->error, MT_CONFLICT, "settings_full", "An organization has at most %d settings of %d KiB together: take some away first.", MTI_SETTINGS_MAX, MTI_SETTINGS_BYTES >> 10);
}

mt_status mti_setting_put(mt_call *c, const mti_setting_at *at, const json_t *body)
{
    return make_change(c, put, (mti_setting_values){.at = *at, .enabled = mti_json_get_bool(body, "enabled", true) ? MT_SLICE("true") : MT_SLICE("false")}, body);
}

/* Which of its secrets are others than those of the layer that is stored. */
static mt_status compare_secrets(mt_call *c, const mti_setting_at *at, const subject *s, const json_t *sealed, json_t *pointers)
{
    json_t *before, *after;
    mti_error e = c->error;
    if (layer_of(c, s, at->workspace_id, &before) != MT_OK)
        before = NULL;                       /* unreadable: every one is another */
    c->error = e;
    MT_TRY(open_layer(c, s->r, c->who.org_id, at->workspace_id, s->instance->name, sealed, &after));
    return after ? mti_secrets_compare(s->r->manifest->config_schema, after, before, pointers) : MT_OK;
}

mt_status mti_setting_preview(mt_call *c, const mti_setting_at *at, const json_t *body, json_t **out)
{
    subject s;
    json_t *config, *pointers = json_array();
    mti_arena_defer(&c->arena, mti_setting_free, pointers);
    MT_TRY(look_up(c, at, &s));
    MT_TRY(check_put(c, at, &s, body));
    MT_TRY(take_config(c, at, &s, json_object_get(body, "config"), &config));
    MT_TRY(mti_setting_text(c, config, &(mt_slice){0}));
    MT_TRY(compare_secrets(c, at, &s, config, pointers));
    MT_TRY(mti_setting_get(c, at, out));
    json_object_set_new(*out, "enabled", json_boolean(mti_json_get_bool(body, "enabled", true)));
    json_object_set_new(*out, "config", mti_config_shown(s.r->manifest, config));
    const json_t *scope = json_object_get(body, "scope");
    json_object_set_new(*out, "scope", scope ? json_incref((json_t *)scope) : json_object());
    json_object_set(*out, "secrets_changed", pointers);
    return MT_OK;
}

static mt_status take_away(mt_call *c, mti_setting_values *v, const json_t *body)
{
    (void)body;
    subject s;
    mti_result *r;
    MT_TRY(look_up(c, &v->at, &s));
    if (!*s.instance->name && mti_uuid_is_nil(v->at.workspace_id) && !mti_setting_on(s.rows, v->at.slug))
        MT_TRY(may_switch_on(c, s.r));
    MT_TRY(mti_setting_run(c, MTI_SETTING_EMPTY, v, &r));
    return mti_setting_run(c, MTI_SETTING_DELETE, v, &r);
}

mt_status mti_setting_delete(mt_call *c, const mti_setting_at *at)
{
    return make_change(c, take_away, (mti_setting_values){.at = *at}, NULL);
}

static mt_status allow(mt_call *c, mti_setting_values *v, const json_t *allowed)
{
    subject s;
    mti_result *r;
    MT_TRY(look_up(c, &v->at, &s));
    MT_TRY(json_is_true(allowed) ? may_switch_on(c, s.r) : may_switch_off(c, s.r));
    return mti_setting_run(c, MTI_SETTING_ALLOW, v, &r);
}

mt_status mti_setting_allow(mt_call *c, mt_slice slug, bool allowed)
{
    mti_setting_values v = {.at.slug = slug, .enabled = allowed ? MT_SLICE("true") : MT_SLICE("false")};
    return make_change(c, allow, v, json_boolean(allowed));      /* true and false are nobody's to free */
}

/* ---- what people are told ---- */

static json_t *describe(const mti_plugin_record *r, const json_t *rows)
{
    static const char *const members[] = {"name", "version", "description", "category", "license", "homepage", "config_schema"};
    size_t i;
    json_t *row, *settings = json_array();
    json_t *out = json_pack("{s:s,s:b,s:b}", "slug", r->slug, "allowed", mti_setting_allows(rows, mt_str(r->slug)), "enabled", mti_setting_on(rows, mt_str(r->slug)));
    for (size_t k = 0; k < sizeof members / sizeof *members; k++)
        if (json_object_get(r->manifest->json, members[k]))
            json_object_set(out, members[k], json_object_get(r->manifest->json, members[k]));
    json_array_foreach((json_t *)rows, i, row)
        if (mt_slice_eq(mti_json_get_string(row, "slug", MT_SLICE("")), mt_str(r->slug)))
            json_array_append_new(settings, mti_config_show(r->manifest, row, "config"));
    json_object_set_new(out, "settings", settings);
    return out;
}

mt_status mti_setting_list(mt_call *c, json_t **out)
{
    const mti_plugins *p = c->host->plugins;
    json_t *rows, *items = json_array();
    mt_status s = mti_setting_rows(c, (mt_slice){0}, &rows);
    for (unsigned i = 1; s == MT_OK && i < p->n; i++)
        if (concerns(c, p->records[i], rows))
            json_array_append_new(items, describe(p->records[i], rows));
    *out = json_pack("{s:o}", "items", items);
    if (s != MT_OK)
        json_decref(*out);
    return s;
}

/* The operator's layer without the defaults, as it is stored and opened; kept by the call. */
static mt_status given_by_operator(mt_call *c, const subject *s, const json_t **stored, const json_t **opened)
{
    bool enabled;
    json_t *row = NULL, *plain;
    *stored = s->instance->stored;
    *opened = s->instance->given;
    if (*opened)
        return MT_OK;
    mt_status status = mti_store_read(c, s->r->slug, &enabled, &row);
    if (status != MT_OK)
        return status == MT_NOT_FOUND ? MT_OK : status;
    *stored = row;
    mti_arena_defer(&c->arena, mti_setting_free, row);
    MT_TRY(mti_config_open(c, s->r->slug, "", row, &plain));
    *opened = plain;
    mti_arena_defer(&c->arena, mti_setting_free, plain);
    return MT_OK;
}

/* The layers that count: one that does not fit is left out, the highest first, and told. */
static void leave_out(const subject *s, const json_t *layers[MTI_LAYERS], json_t *ignored)
{
    static const char *const levels[] = {"operator", "organization", "workspace"};
    json_t *merged = NULL;
    mti_error e = {0};
    for (int i = MTI_LAYERS - 1; i >= 0 && mti_layers_merge(s->r->manifest, layers, &merged, &e) != MT_OK; i--)
        if (layers[i]) {
            json_array_append_new(ignored, json_pack("{s:s,s:s,s:s}", "level", levels[i], "pointer", e.pointer, "detail", e.detail));
            layers[i] = NULL;
        }
    json_decref(merged);
}

mt_status mti_setting_effective(mt_call *c, const mti_setting_at *at, bool organization, bool whole, json_t **out)
{
    subject s;
    json_t *org = NULL, *workspace = NULL, *ignored = json_array();
    const json_t *layers[MTI_LAYERS] = {NULL}, *stored[MTI_LAYERS] = {NULL};
    mti_arena_defer(&c->arena, mti_setting_free, ignored);
    MT_TRY(look_up(c, at, &s));
    MT_TRY(given_by_operator(c, &s, &stored[0], &layers[0]));
    if (organization)
        MT_TRY(layer_of(c, &s, (mti_uuid){{0}}, &org));
    if (organization && !mti_uuid_is_nil(at->workspace_id))
        MT_TRY(layer_of(c, &s, at->workspace_id, &workspace));
    layers[1] = org;
    layers[2] = workspace;
    stored[1] = stored_of(&s, (mti_uuid){{0}});
    stored[2] = stored_of(&s, at->workspace_id);
    leave_out(&s, layers, ignored);
    for (int i = 0; i < MTI_LAYERS; i++)
        stored[i] = layers[i] ? stored[i] : NULL;
    json_t *merged = mti_layers_shown(s.r->manifest, stored);
    json_t *shown = whole ? json_incref(merged) : mti_layer_visible(s.r->manifest->config_schema, merged);
    *out = json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:O}", "slug", s.r->slug, "instance", s.instance->name, "organization_id", organization ? id_json(c->who.org_id) : json_null(),
                     "workspace_id", id_json(at->workspace_id), "config", shown, "origins", mti_layers_origins(layers, shown), "ignored", ignored);
    json_decref(merged);
    return MT_OK;
}
