#include "plugin/manifest.h"
#include "plugin/layers.h"

#include "json/place.h"
#include "secrets/secrets.h"

#include <stdio.h>
#include <stdlib.h>

mt_status mti_manifest_schema(const char *root, mti_schema **out, mti_error *e)
{
    char path[4096];
    mti_buf text;
    json_t *json = NULL;
    snprintf(path, sizeof path, "%s/manifests/schemas/plugin.json", root);
    mt_status s = mti_buf_read_file(&text, path, 1 << 20);
    if (s != MT_OK)
        s = mti_fail(e, s, "installation_broken", "%s cannot be read: the installation is incomplete", path);
    else
        s = mti_json_parse(mti_buf_slice(&text), 0, &json, e);
    if (s == MT_OK)
        s = mti_schema_compile(json, NULL, NULL, 0, out, e);
    json_decref(json);
    mti_buf_dispose(&text);
    return s;
}

static const char *keep(mti_manifest *m, const json_t *v)
{
    return json_is_string(v) ? mti_arena_strndup(&m->arena, json_string_value(v), json_string_length(v)) : NULL;
}

static const char **keep_list(mti_manifest *m, const json_t *array, size_t *n)
{
    const char **list = mti_arena_alloc(&m->arena, (json_array_size(array) + 1) * sizeof *list);
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)array, i, v)
        list[i] = keep(m, v);
    *n = json_array_size(array);
    return list;
}

static void read_entry_point(mti_manifest *m, const json_t *v)
{
    const char *text = keep(m, v), *colon = text ? strchr(text, ':') : NULL;
    if (!colon)
        return;
    m->file = mti_arena_printf(&m->arena, "%s/%.*s", m->dir, (int)(colon - text), text);
    m->symbol = colon + 1;
}

static void read_dependencies(mti_manifest *m, json_t *o)
{
    const char *slug;
    json_t *range;
    m->dependencies = mti_arena_alloc(&m->arena, (json_object_size(o) + 1) * sizeof *m->dependencies);
    json_object_foreach(o, slug, range)
        m->dependencies[m->n_dependencies++] =
            (mti_manifest_dependency){mti_arena_strndup(&m->arena, slug, strlen(slug)), keep(m, range)};
}

static void read_hooks(mti_manifest *m, const json_t *list)
{
    size_t i;
    json_t *h;
    m->hooks = mti_arena_alloc(&m->arena, (json_array_size(list) + 1) * sizeof *m->hooks);
    json_array_foreach((json_t *)list, i, h)
        m->hooks[m->n_hooks++] = (mti_manifest_hook){keep(m, json_object_get(h, "name")), keep(m, json_object_get(h, "handler")),
                                                     (int)mti_json_get_int(h, "priority", 100)};
}

static void read_queues(mti_manifest *m, const json_t *list)
{
    size_t i;
    json_t *q;
    m->queues = mti_arena_alloc(&m->arena, (json_array_size(list) + 1) * sizeof *m->queues);
    json_array_foreach((json_t *)list, i, q)
        m->queues[m->n_queues++] = (mti_manifest_queue){keep(m, json_object_get(q, "name")), keep(m, json_object_get(q, "handler")),
                                                        (unsigned)mti_json_get_int(q, "concurrency", 2),
                                                        mti_json_get_int(q, "lease_ms", 30000)};
}

static void read_members(mti_manifest *m)
{
    const json_t *j = m->json, *permissions = json_object_get(j, "permissions"), *db = json_object_get(permissions, "db");
    m->slug = keep(m, json_object_get(j, "slug"));
    m->version = keep(m, json_object_get(j, "version"));
    m->category = keep(m, json_object_get(j, "category"));
    m->description = keep(m, json_object_get(j, "description"));
    m->in_process = keep(m, json_object_get(j, "in_process"));
    m->engine = mti_json_get_bool(j, "engine", false);
    m->mandatory = mti_json_get_bool(j, "mandatory", false);
    m->essential = mti_json_get_bool(j, "essential", false);
    m->db = db != NULL;
    m->config_schema = json_object_get(j, "config_schema");
    m->provides = keep_list(m, json_object_get(j, "provides"), &m->n_provides);
    m->requires_ = keep_list(m, json_object_get(j, "requires"), &m->n_requires);
    m->services = keep_list(m, json_object_get(permissions, "services"), &m->n_services);
    m->references = keep_list(m, json_object_get(db, "references"), &m->n_references);
    m->hosts = keep_list(m, json_object_get(json_object_get(permissions, "http"), "hosts"), &m->n_hosts);
    read_entry_point(m, json_object_get(j, "entry_point"));
    read_dependencies(m, json_object_get(j, "dependencies"));
    read_hooks(m, json_object_get(j, "hooks"));
    read_queues(m, json_object_get(j, "queues"));
}

static mt_status compile_config(mti_manifest *m, mti_error *e)
{
    char at[sizeof e->pointer + 16];
    mti_error inner = {0};
    if (!m->config_schema)
        return MT_OK;
    mt_status s = mti_layer_schema_check(m->config_schema, &inner);
    if (s == MT_OK)
        s = mti_schema_compile(m->config_schema, NULL, NULL, 0, &m->config_check, &inner);
    if (s == MT_OK)
        return MT_OK;
    snprintf(at, sizeof at, "/config_schema%s", inner.pointer);
    return mti_json_refuse(m->dir, "plugin.json", mt_str(at), e, "manifest_invalid", "%s: %s", at, inner.detail);
}

mt_status mti_manifest_load(const mti_schema *schema, const char *dir, mti_manifest **out, mti_error *e)
{
    char path[4096];
    mti_buf text;
    mti_manifest *m = NULL;
    json_t *json = NULL;
    mti_error inner = {0};
    snprintf(path, sizeof path, "%s/plugin.json", dir);
    mt_status s = mti_buf_read_file(&text, path, 1 << 20);
    if (s != MT_OK) {
        s = mti_fail(e, s, "manifest_unreadable", "%s cannot be read", path);
        goto out;
    }
    s = mti_json_parse_file("plugin.json", mti_buf_slice(&text), &json, &inner);
    if (s != MT_OK) {
        mti_fail(e, s, "manifest_invalid", "%s", inner.detail);
        goto out;
    }
    s = mti_schema_validate(schema, json, &(mti_schema_options){.closed = true, .formats = true}, &inner);
    if (s == MT_OK)
        s = mti_secrets_check(json_object_get(json, "config_schema"), &inner);
    if (s != MT_OK) {
        s = mti_json_refuse(dir, "plugin.json", mt_str(inner.pointer), e, "manifest_invalid", "%s", inner.detail);
        goto out;
    }
    m = calloc(1, sizeof *m);
    if (!m) {
        s = mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while reading %s", path);
        goto out;
    }
    mti_arena_init(&m->arena, 0);
    m->json = json_incref(json);
    m->dir = mti_arena_strndup(&m->arena, dir, strlen(dir));
    read_members(m);
    s = compile_config(m, e);
    if (s == MT_OK)
        *out = m;
    else
        mti_manifest_destroy(m);
out:
    json_decref(json);
    mti_buf_dispose(&text);
    return s;
}

void mti_manifest_destroy(mti_manifest *m)
{
    if (!m)
        return;
    mti_schema_destroy(m->config_check);
    json_decref(m->json);
    mti_arena_dispose(&m->arena);
    free(m);
}
