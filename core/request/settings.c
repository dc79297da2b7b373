/* The host's operations on what organizations and workspaces have of plugins otherwise than everybody, and on the operator's instances. */
#include "request/request.h"

#include "plugin/manager.h"
#include "plugin/setting_store.h"

static mt_status answer(mt_call *c, json_t *doc)
{
    mti_buf b;
    mti_buf_init(&b, 16 << 20);
    mt_status s = mti_json_dump(doc, &b);
    json_decref(doc);
    if (s == MT_OK)
        s = mti_answer_json(c->request, 200, mti_buf_slice(&b));
    mti_buf_dispose(&b);
    return s;
}

static mt_slice query_text(const mt_call *c, const char *name)
{
    return mti_json_text(json_object_get(c->values->query, name));
}

/* The path ends with the plugin's slug. */
static mti_setting_at at_path(const mt_call *c)
{
    return (mti_setting_at){.slug = c->values->params[1], .instance = query_text(c, "instance"), .workspace_id = c->workspace_id};
}

/* A key of one workspace does not speak for the organization. */
static mt_status speaks_for(mt_call *c, const mti_setting_at *at)
{
    if (mti_uuid_is_nil(c->who.workspace_id) || !mti_uuid_is_nil(at->workspace_id))
        return MT_OK;
    return mti_fail(&c->error, MT_DENIED, "workspace_key", "This key is of one workspace: what holds for the organization needs one of the organization.");
}

static mt_status on_setting(void *self, mt_call *c)
{
    json_t *doc;
    mti_setting_at at = at_path(c);
    MT_TRY(speaks_for(c, &at));
    MT_TRY(mti_setting_get(c, &at, &doc));
    return answer(c, doc);
}

static mt_status on_setting_put(void *self, mt_call *c)
{
    mti_setting_at at = at_path(c);
    json_t *doc;
    MT_TRY(speaks_for(c, &at));
    if (mti_json_get_bool(c->values->query, "dry_run", false)) {
        MT_TRY(mti_setting_preview(c, &at, c->values->body, &doc));
        return answer(c, doc);
    }
    MT_TRY(mti_setting_put(c, &at, c->values->body));
    return on_setting(self, c);
}

static mt_status on_setting_delete(void *self, mt_call *c)
{
    mti_setting_at at = at_path(c);
    MT_TRY(speaks_for(c, &at));
    MT_TRY(mti_setting_delete(c, &at));
    return mti_answer_json(c->request, 204, (mt_slice){0});
}

static mt_status on_setting_allow(void *self, mt_call *c)
{
    MT_TRY(mti_setting_allow(c, c->values->params[1], mti_json_get_bool(c->values->body, "allowed", true)));
    return on_setting(self, c);
}

static mt_status on_settings(void *self, mt_call *c)
{
    json_t *doc;
    MT_TRY(speaks_for(c, &(mti_setting_at){0}));
    MT_TRY(mti_setting_list(c, &doc));
    return answer(c, doc);
}

/* Both may be given; then the workspace must be the organization's. */
static mt_status enter_scopes(mt_call *c, bool *organization)
{
    mti_uuid org, workspace;
    bool one = mti_uuid_parse(query_text(c, "organization_id"), &org), other = mti_uuid_parse(query_text(c, "workspace_id"), &workspace);
    if (one)
        MT_TRY(mti_scope_enter(c, org, "organization"));
    if (other)
        MT_TRY(mti_scope_enter(c, workspace, "workspace"));
    if (one && !mti_uuid_eq(org, c->who.org_id))
        return mti_fail(&c->error, MT_NOT_FOUND, "not_found", "There is nothing of this id here.");
    *organization = one || other || !c->who.platform;
    return MT_OK;
}

static mt_status on_effective_config(void *self, mt_call *c)
{
    json_t *doc;
    bool organization = false;
    MT_TRY(enter_scopes(c, &organization));
    mti_setting_at at = {.slug = c->values->params[0], .instance = query_text(c, "instance"),
                         .workspace_id = mti_uuid_is_nil(c->workspace_id) ? c->who.workspace_id : c->workspace_id};
    MT_TRY(mti_setting_effective(c, &at, organization, c->who.platform, &doc));
    return answer(c, doc);
}

static mt_status on_instances(void *self, mt_call *c)
{
    json_t *doc;
    MT_TRY(mti_plugins_instances(c->host->plugins, c, c->values->params[0], &doc));
    return answer(c, doc);
}

static mt_status on_instance_put(void *self, mt_call *c)
{
    json_t *doc;
    if (mti_json_get_bool(c->values->query, "dry_run", false)) {
        MT_TRY(mti_plugins_preview_instance(c->host->plugins, c, c->values->params[0], c->values->params[1], c->values->body, &doc));
        return answer(c, doc);
    }
    MT_TRY(mti_plugins_put_instance(c->host->plugins, c, c->values->params[0], c->values->params[1], c->values->body));
    return on_instances(self, c);
}

static mt_status on_instance_delete(void *self, mt_call *c)
{
    MT_TRY(mti_plugins_delete_instance(c->host->plugins, c, c->values->params[0], c->values->params[1]));
    return mti_answer_json(c->request, 204, (mt_slice){0});
}

/* ---- plugins, as somebody of an organization sees them ---- */

static void outline(json_t *plugin)
{
    json_object_set_new(plugin, "state", json_string(json_is_true(json_object_get(plugin, "enabled")) ? "active" : "inactive"));
    json_object_del(plugin, "allowed");
    json_object_del(plugin, "settings");
}

mt_status mti_plugins_of_tenant(mt_call *c)
{
    size_t i;
    json_t *doc, *plugin;
    MT_TRY(mti_setting_list(c, &doc));
    json_array_foreach(json_object_get(doc, "items"), i, plugin)
        outline(plugin);
    return answer(c, doc);
}

mt_status mti_plugin_of_tenant(mt_call *c, mt_slice slug)
{
    size_t i;
    json_t *doc, *plugin, *found = NULL;
    MT_TRY(mti_setting_list(c, &doc));
    json_array_foreach(json_object_get(doc, "items"), i, plugin)
        if (mt_slice_eq(mti_json_get_string(plugin, "slug", MT_SLICE("")), slug))
            found = json_incref(plugin);
    json_decref(doc);
    if (!found)
        return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
    outline(found);
    return answer(c, found);
}

mt_handler_fn mti_settings_handler(const char *name)
{
    static const mt_handler_entry handlers[] = {
        {"on_setting", on_setting}, {"on_setting_put", on_setting_put}, {"on_setting_delete", on_setting_delete}, {"on_setting_allow", on_setting_allow},
        {"on_settings", on_settings}, {"on_effective_config", on_effective_config},
        {"on_instances", on_instances}, {"on_instance_put", on_instance_put}, {"on_instance_delete", on_instance_delete}};
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (!strcmp(handlers[i].name, name))
            return handlers[i].run;
    return NULL;
}
