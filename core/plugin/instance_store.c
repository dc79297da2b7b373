/* The operator's instances: looked at, made, changed, taken away. The change itself runs on loop 0, like every change of what serves. */
#include "plugin/across.h"
#include "plugin/instances.h"
#include "plugin/layers.h"
#include "plugin/manager.h"
#include "plugin/setting_rows.h"
#include "secrets/secrets.h"

#include <stdio.h>

enum { MOST = 32 };                          /* of one plugin */

static const char text[] =
    "-- name: instance_put :exec\n"
    "INSERT INTO mt.plugin_setting (org_id, slug, instance, config, scope, priority)\n"
    "VALUES ('00000000-0000-0000-0000-000000000000', :slug, :instance, :config::jsonb, :scope::jsonb, :priority::integer)\n"
    "ON CONFLICT (org_id, slug, instance, workspace_id) DO UPDATE SET config = excluded.config, scope = excluded.scope, priority = excluded.priority, changed_at = now();\n"
    "-- name: instance_delete :exec\n"
    "DELETE FROM mt.plugin_setting WHERE slug = :slug AND instance = :instance AND (instance <> '' OR org_id = '00000000-0000-0000-0000-000000000000');\n";

typedef struct change {
    mti_plugins *p;
    mt_slice slug;
    const char *instance;                    /* "" is the default one */
    const json_t *body;                      /* NULL: take it away */
    json_t *config;                          /* a copy of what is given */
    json_t **preview;                        /* only look what it would come to; NULL: do it */
} change;

static mt_status find(mt_call *c, const mti_plugins *p, mt_slice slug, mti_plugin_record **out)
{
    *out = mti_manager_find(p, slug);
    return *out && (*out)->manifest ? MT_OK : mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
}

/* The form that is stored, checked. A secret that is shown for itself is the one that there is. */
static mt_status seal(mt_call *c, const mti_plugin_record *r, const change *x)
{
    char name[MTI_LAYER_NAME];
    json_t *merged = NULL, *plain = NULL;
    const json_t *schema = r->manifest->config_schema;
    mti_secret_place place = {r->slug, name};
    mti_layer_name(name, (mti_uuid){{0}}, (mti_uuid){{0}}, x->instance);
    MT_TRY(mti_secrets_take(schema, x->config, mti_instance_stored(r, x->instance), &c->error));
    MT_TRY(mti_secrets_seal(c->host->secrets, place, schema, x->config, NULL, &c->error));
    MT_TRY(mti_setting_text(c, x->config, &(mt_slice){0}));
    MT_TRY(mti_config_open(c, r->slug, name, x->config, &plain));
    mt_status s = mti_layers_merge(r->manifest, (const json_t *const[MTI_LAYERS]){plain}, &merged, &c->error);
    if (s == MT_OK)
        s = mti_settings_refuse_instance(c, r->manifest, x->instance, plain);
    json_decref(plain);
    json_decref(merged);
    return s;
}

static mt_status check(mt_call *c, const mti_plugin_record *r, const change *x)
{
    char pointer[sizeof c->error.pointer];
    bool known = mti_instance_find(r, mt_str(x->instance)) != NULL;
    if (!x->body)
        return known ? MT_OK : mti_fail(&c->error, MT_NOT_FOUND, "instance_unknown", "Plugin %s has no instance of this name.", r->slug);
    if (!*x->instance && r->manifest->essential)
        return mti_fail(&c->error, MT_CONFLICT, "plugin_essential", "Plugin %s is essential: it is for every call.", r->slug);
    if (!known && atomic_load(&r->instances)->n >= MOST)
        return mti_fail(&c->error, MT_CONFLICT, "instances_full", "A plugin has at most %d instances: take one away first.", MOST);
    if (!mti_instances_room(r, x->instance))
        return mti_fail(&c->error, MT_CONFLICT, "instances_full", "This process has no place for another instance: mortise reload frees those of deleted ones.");
    mt_status s = MT_OK;
    if (*x->instance)
        s = seal(c, r, x);
    else if (json_object_size(x->config))
        s = mti_fail(&c->error, MT_INVALID, "config_elsewhere", "The default instance is configured at /v1/plugins/%s/config.", r->slug);
    snprintf(pointer, sizeof pointer, "/config%.*s", (int)sizeof pointer - 8, c->error.pointer);
    if (s == MT_INVALID)
        memcpy(c->error.pointer, pointer, sizeof pointer);
    return s;
}

static mt_status write(mt_call *c, const mti_plugin_record *r, const change *x)
{
    mti_query *queries;
    mti_result *result;
    size_t n;
    mt_slice config, scope, priority = {0};
    const json_t *number = json_object_get(x->body, "priority");
    MT_TRY(mti_setting_text(c, x->config, &config));
    MT_TRY(mti_setting_text(c, json_object_get(x->body, "scope"), &scope));
    if (json_is_integer(number))
        MT_TRY(mti_setting_text(c, number, &priority));
    MT_TRY(mti_query_parse(&c->arena, "core/plugin/instance_store.c", mt_str(text), &queries, &n, &c->error));
    mti_param params[] = {{.value = mt_str(r->slug)}, {.value = mt_str(x->instance)}, {.value = config}, {.value = scope}, {.value = priority}};
    return mti_db_run(c, &(mti_db_role){0}, &queries[x->body ? 0 : 1], params, &result);
}

/* What people may see of an instance whose layer is stored like this. A new reference. */
static json_t *shown(const mti_plugin_record *r, const char *instance, const json_t *stored)
{
    if (*instance)
        return mti_layers_shown(r->manifest, (const json_t *const[MTI_LAYERS]){stored});
    json_t *own = atomic_load(&r->shown);
    return own ? json_incref(own) : json_object();      /* it was never read: the database has been down since the start */
}

/* As it is described, and which of its secrets would be others. What is stored may be unreadable: then every one is. */
static mt_status look(mt_call *c, const mti_plugin_record *r, const change *x)
{
    char name[MTI_LAYER_NAME];
    json_t *plain = NULL, *before = NULL, *pointers = json_array();
    const json_t *stored = mti_instance_stored(r, x->instance), *scope = json_object_get(x->body, "scope"), *priority = json_object_get(x->body, "priority");
    mti_layer_name(name, (mti_uuid){{0}}, (mti_uuid){{0}}, x->instance);
    mt_status s = mti_config_open(c, r->slug, name, x->config, &plain);
    if (stored && mti_config_open(c, r->slug, name, stored, &before) != MT_OK)
        memset(&c->error, 0, sizeof c->error);
    if (s == MT_OK)
        s = mti_secrets_compare(r->manifest->config_schema, plain, before, pointers);
    if (s == MT_OK)
        *x->preview = json_pack("{s:[{s:s,s:o,s:o,s:o,s:O}]}", "items", "instance", *x->instance ? x->instance : MTI_INSTANCE_DEFAULT, "config",
                                shown(r, x->instance, x->config), "scope", scope ? json_incref((json_t *)scope) : json_object(),
                                "priority", priority ? json_incref((json_t *)priority) : json_null(), "secrets_changed", pointers);
    json_decref(plain);
    json_decref(before);
    json_decref(pointers);
    return s;
}

static mt_status change_there(void *arg, mt_call *there)
{
    change *x = arg;
    mti_plugin_record *r;
    MT_TRY(find(there, x->p, x->slug, &r));
    MT_TRY(check(there, r, x));
    if (x->preview)
        return look(there, r, x);
    MT_TRY(write(there, r, x));
    mti_settle(x->p, there);
    return MT_OK;
}

/* A change has its turn before it looks: what it keeps of what is stored is still there when it is written. */
static mt_status change_in_turn(void *arg, mt_call *there)
{
    change *x = arg;
    MT_TRY(mti_turn_ask(x->p, there));
    mt_status s = change_there(arg, there);
    mti_turn_end(x->p);
    return s;
}

static mt_status ask(mti_plugins *p, mt_call *c, mt_slice slug, mt_slice instance, const json_t *body, json_t **preview)
{
    char name[64];
    bool by_default = mt_slice_eq(instance, MT_SLICE(MTI_INSTANCE_DEFAULT));
    snprintf(name, sizeof name, "%.*s", by_default ? 0 : (int)instance.len, instance.p);
    const json_t *config = json_object_get(body, "config");
    change x = {p, slug, name, body, config ? json_deep_copy(config) : json_object(), preview};
    mt_status s = mti_across_run(c, p->host->loops[0], preview ? change_there : change_in_turn, &x);
    json_decref(x.config);
    return s;
}

mt_status mti_plugins_put_instance(mti_plugins *p, mt_call *c, mt_slice slug, mt_slice instance, const json_t *body)
{
    return ask(p, c, slug, instance, body, NULL);
}

mt_status mti_plugins_preview_instance(mti_plugins *p, mt_call *c, mt_slice slug, mt_slice instance, const json_t *body, json_t **out)
{
    return ask(p, c, slug, instance, body, out);
}

mt_status mti_plugins_delete_instance(mti_plugins *p, mt_call *c, mt_slice slug, mt_slice instance)
{
    return ask(p, c, slug, instance, NULL, NULL);
}

static json_t *describe(const mti_plugin_record *r, const mti_instance *i)
{
    json_t *out = json_pack("{s:s,s:o,s:o,s:o}", "instance", *i->name ? i->name : MTI_INSTANCE_DEFAULT, "config", shown(r, i->name, i->stored), "scope",
                            i->scope ? json_incref(i->scope) : json_object(), "priority", i->has_priority ? json_integer(i->priority) : json_null());
    if (i->stored)
        json_object_set_new(out, "given", mti_config_shown(r->manifest, i->stored));
    return out;
}

mt_status mti_plugins_instances(mti_plugins *p, mt_call *c, mt_slice slug, json_t **out)
{
    mti_plugin_record *r;
    json_t *items = json_array();
    mt_status s = find(c, p, slug, &r);
    const struct mti_instances *all = s == MT_OK ? atomic_load(&r->instances) : NULL;
    for (unsigned i = 0; all && i < all->n; i++)
        json_array_append_new(items, describe(r, &all->items[i]));
    *out = json_pack("{s:o}", "items", items);
    if (s != MT_OK)
        json_decref(*out);
    return s;
}
