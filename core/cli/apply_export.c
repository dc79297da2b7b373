/* The present state as a file that mortise apply takes. */
#include "cli/apply.h"

#include <stdio.h>

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

/* What the operator has set of it; empty for the default one mostly. */
static json_t *instance_of(const json_t *item)
{
    json_t *out = json_object();
    json_object_set(out, "config", json_object_get(item, "given"));
    if (json_object_size(json_object_get(item, "scope")))
        json_object_set(out, "scope", json_object_get(item, "scope"));
    if (json_is_integer(json_object_get(item, "priority")))
        json_object_set(out, "priority", json_object_get(item, "priority"));
    return out;
}

static mt_status export_instances(mti_apply *a, const char *slug, json_t *plugin, mti_error *e)
{
    char path[128];
    size_t i;
    json_t *one, *all, *instances = json_object();
    snprintf(path, sizeof path, "/v1/plugins/%s/instances", slug);
    mt_status s = mti_apply_get(a, path, &all, NULL, e);
    if (s == MT_OK) {
        json_array_foreach(json_object_get(all, "items"), i, one)
        {
            json_t *instance = instance_of(one);
            if (json_object_size(instance))
                json_object_set(instances, text_of(one, "instance"), instance);
            json_decref(instance);
        }
        if (json_object_size(instances))
            json_object_set(plugin, "instances", instances);
        json_decref(all);
    }
    json_decref(instances);
    return s;
}

static mt_status export_plugins(mti_apply *a, json_t *to, mti_error *e)
{
    char path[128];
    size_t i;
    json_t *one, *all, *config;
    MT_TRY(mti_apply_get(a, "/v1/plugins", &all, NULL, e));
    mt_status s = MT_OK;
    json_array_foreach(json_object_get(all, "items"), i, one)
    {
        snprintf(path, sizeof path, "/v1/plugins/%s/config", text_of(one, "slug"));
        if (s != MT_OK || !json_object_get(one, "version") || (s = mti_apply_get(a, path, &config, NULL, e)) != MT_OK)
            continue;
        json_t *plugin = json_object();
        if (mti_json_get_bool(one, "installed", false))
            json_object_set(plugin, "version", json_object_get(one, "version"));
        if (json_object_get(one, "config_schema"))
            json_object_set(plugin, "config", config);
        json_object_set(plugin, "enabled", json_object_get(one, "enabled"));
        json_object_set_new(to, text_of(one, "slug"), plugin);
        json_decref(config);
        s = export_instances(a, text_of(one, "slug"), plugin, e);
    }
    json_decref(all);
    return s;
}

static mt_status export_text(mti_apply *a, const char *base, const json_t *policy, const char *number, const char *role, json_t *to, mti_error *e)
{
    char path[200];
    json_t *version;
    int64_t n = mti_json_get_int(policy, number, 0);
    if (!n) {
        json_object_set_new(to, role, json_null());
        return MT_OK;
    }
    snprintf(path, sizeof path, "%s/%.36s/versions/%lld", base, text_of(policy, "id"), (long long)n);
    MT_TRY(mti_apply_get(a, path, &version, NULL, e));
    json_object_set_new(to, role, json_pack("{s:O}", "source", json_object_get(version, "source")));
    json_decref(version);
    return MT_OK;
}

/* One that neither decides nor is tried is no more than its versions, and those stay where they are. */
static mt_status export_policies(mti_apply *a, const char *id, json_t *to, mti_error *e)
{
    char base[96];
    size_t i;
    json_t *one, *items;
    mt_status s = MT_OK;
    snprintf(base, sizeof base, "/v1/organizations/%s/policies", id);
    MT_TRY(mti_apply_list(a, base, &items, e));
    json_array_foreach(items, i, one)
    {
        if (s != MT_OK || (!mti_json_get_int(one, "enabled_version", 0) && !mti_json_get_int(one, "shadow_version", 0)))
            continue;
        json_t *policy = json_object();
        s = export_text(a, base, one, "enabled_version", "enabled", policy, e);
        if (s == MT_OK)
            s = export_text(a, base, one, "shadow_version", "shadow", policy, e);
        json_object_set(policy, "record", json_object_get(one, "record"));
        json_object_set_new(to, text_of(one, "name"), policy);
    }
    json_decref(items);
    return s;
}

/* Members that say nothing are left out. */
static json_t *setting_of(const json_t *row)
{
    static const char *const words[] = {"allowed", "enabled"}, *const objects[] = {"config", "scope"};
    json_t *out = json_object();
    for (int i = 0; i < 2; i++)
        if (!mti_json_get_bool(row, words[i], true) && !json_string_value(json_object_get(row, "workspace_id")))
            json_object_set_new(out, words[i], json_false());
    for (int i = 0; i < 2; i++)
        if (json_object_size(json_object_get(row, objects[i])))
            json_object_set(out, objects[i], json_object_get(row, objects[i]));
    return out;
}

/* The object of that name in o, made when it is not there. */
static json_t *in(json_t *o, const char *name)
{
    if (!json_object_get(o, name))
        json_object_set_new(o, name, json_object());
    return json_object_get(o, name);
}

static mt_status export_settings(mti_apply *a, const char *id, json_t *to, mti_error *e)
{
    char path[128];
    size_t i, k;
    json_t *plugin, *row, *all;
    snprintf(path, sizeof path, "/v1/organizations/%s/plugins", id);
    MT_TRY(mti_apply_get(a, path, &all, NULL, e));
    json_array_foreach(json_object_get(all, "items"), i, plugin)
        json_array_foreach(json_object_get(plugin, "settings"), k, row)
        {
            const char *workspace = json_string_value(json_object_get(row, "workspace_id"));
            json_t *setting = setting_of(row);
            if (*text_of(row, "instance"))
                fprintf(stderr, "mortise: what %s %s has of instance %s:%s is left out: a file has no place for it\n", workspace ? "workspace" : "organization",
                        workspace ? workspace : id, text_of(plugin, "slug"), text_of(row, "instance"));
            else if (json_object_size(setting))
                json_object_set(in(workspace ? in(in(to, "workspaces"), workspace) : to, "plugins"), text_of(plugin, "slug"), setting);
            json_decref(setting);
        }
    json_decref(all);
    return MT_OK;
}

static mt_status export_organization(mti_apply *a, const json_t *all, const char *name, json_t *to, mti_error *e)
{
    char id[40];
    if (!mti_apply_find(all, name, id))
        return mti_fail(e, MT_NOT_FOUND, "organization_unknown", "There is no organization %.100s.", name);
    json_t *policies = json_object(), *made = json_pack("{s:o}", "policies", policies);
    json_object_set_new(to, name, made);
    MT_TRY(export_policies(a, id, policies, e));
    return export_settings(a, id, made, e);
}

int mti_apply_export(mti_cli *cli)
{
    mti_apply a = {.cli = cli};
    mti_error e = {0};
    json_t *plugins = json_object(), *organizations = json_object(), *all = NULL, *names = json_array(), *name;
    size_t i;
    for (const char *org; (org = mti_cli_value(cli, "--org"));)
        json_array_append_new(names, json_string(org));
    int status = mti_cli_args(cli, 0, 0) ? 0 : 2;
    mt_status s = status ? MT_INVALID : export_plugins(&a, plugins, &e);
    if (s == MT_OK && json_array_size(names))
        s = mti_apply_list(&a, "/v1/organizations", &all, &e);
    json_array_foreach(names, i, name)
        if (s == MT_OK)
            s = export_organization(&a, all, json_string_value(name), organizations, &e);
    json_t *out = json_pack("{s:o}", "plugins", plugins);
    if (json_object_size(organizations))
        json_object_set(out, "organizations", organizations);
    if (s == MT_OK) {
        json_dumpf(out, stdout, JSON_INDENT(2));
        puts("");
    } else if (!status) {
        status = mti_cli_fail(&e);
    }
    json_decref(out);
    json_decref(organizations);
    json_decref(names);
    json_decref(all);
    return status;
}
