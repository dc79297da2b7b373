#include "plugin/layers.h"
#include "secrets/secrets.h"

#include <stdio.h>

static const char *const names[] = {"operator", "organization", "workspace"};

/* What a schema says; -1: nothing. */
static int level_of(const json_t *schema)
{
    const char *name = json_string_value(json_object_get(schema, "x-level"));
    for (int i = 0; name && i < MTI_LAYERS; i++)
        if (!strcmp(name, names[i]))
            return i;
    return -1;
}

static mti_level level_below(const json_t *schema, mti_level outer)
{
    int own = level_of(schema);
    return own < 0 ? outer : (mti_level)own;
}

static const json_t *properties_of(const json_t *schema)
{
    return json_object_get(schema, "properties");
}

/* ---- the schema's own ---- */

/* How many "x-level" there are, wherever. */
static size_t count_all(const json_t *v)
{
    size_t i, n = 0;
    const char *key;
    json_t *inner;
    json_object_foreach((json_t *)v, key, inner)
        n += (strcmp(key, "x-level") == 0) + count_all(inner);
    json_array_foreach((json_t *)v, i, inner)
        n += count_all(inner);
    return n;
}

/* Those that are obeyed. */
static size_t count_obeyed(const json_t *schema)
{
    size_t n = 0;
    const char *key;
    json_t *inner;
    json_object_foreach((json_t *)properties_of(schema), key, inner)
        n += (level_of(inner) >= 0) + count_obeyed(inner);
    return n;
}

mt_status mti_layer_schema_check(const json_t *schema, mti_error *e)
{
    if (count_all(schema) == count_obeyed(schema))
        return MT_OK;
    return mti_fail(e, MT_INVALID, "level_invalid", "x-level is operator, organization or workspace, and stands at a property: nowhere but below \"properties\" is it obeyed.");
}

/* ---- one layer ---- */

void mti_layer_name(char out[MTI_LAYER_NAME], mti_uuid org_id, mti_uuid workspace_id, const char *instance)
{
    char org[37], workspace[37];
    mti_uuid_format(org_id, org);
    mti_uuid_format(workspace_id, workspace);
    snprintf(out, MTI_LAYER_NAME, "%s/%s/%s", org, workspace, instance);
}

json_t *mti_layer_merge(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;
    if (!json_is_object(patch)) {
        json_decref(target);
        return json_deep_copy(patch);
    }
    if (!json_is_object(target)) {
        json_decref(target);
        target = json_object();
    }
    json_object_foreach((json_t *)patch, key, value)
        if (json_is_null(value))
            json_object_del(target, key);
        else
            json_object_set_new(target, key, mti_layer_merge(json_incref(json_object_get(target, key)), value));
    return target;
}

/* What is set as a whole, or taken away, is set with everything below. */
static bool admits_whole(const json_t *schema, mti_level outer, mti_level level)
{
    const char *key;
    json_t *inner;
    mti_level own = level_below(schema, outer);
    if (own < level)
        return false;
    json_object_foreach((json_t *)properties_of(schema), key, inner)
        if (!admits_whole(inner, own, level))
            return false;
    return true;
}

/* Whether it leaves anything where nothing is. */
static bool sets_something(const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)patch, key, value)
        if (json_is_object(value) ? sets_something(value) : !json_is_null(value))
            return true;
    return false;
}

/* Whether its members are what is set, and not the object. */
static bool is_inside(const json_t *schema, const json_t *below, const json_t *value)
{
    return json_is_object(value) && properties_of(schema) && (below ? json_is_object(below) : sets_something(value));
}

static mt_status not_allowed(const char *name, mti_level level, mti_error *e)
{
    mti_fail(e, MT_INVALID, "setting_not_allowed", "%.60s is not for %s to set: see the x-level of the plugin's config_schema.", name,
             level == MTI_LEVEL_WORKSPACE ? "a workspace" : "an organization");
    return MT_INVALID;
}

static mt_status check(const json_t *schema, mti_level outer, const json_t *below, const json_t *layer, mti_level level, mti_buf *at, mti_error *e)
{
    const char *key;
    json_t *value;
    mt_status s = MT_OK;
    json_object_foreach((json_t *)layer, key, value) {
        const json_t *inner = json_object_get(properties_of(schema), key), *there = json_object_get(below, key);
        size_t length = at->len;
        mti_json_pointer_add(at, mt_str(key));
        bool inside = is_inside(inner, there, value);
        if (inside)
            s = check(inner, level_below(inner, outer), there, value, level, at, e);
        else if (inner ? !admits_whole(inner, outer, level) : outer < level)
            s = not_allowed(key, level, e);
        if (s != MT_OK && !inside)
            snprintf(e->pointer, sizeof e->pointer, "%.*s", (int)at->len, at->p);
        if (s != MT_OK)
            return s;
        at->len = length;
    }
    return s;
}

mt_status mti_layer_check(const json_t *schema, const json_t *below, const json_t *layer, mti_level level, mti_error *e)
{
    mti_buf at;
    mti_buf_init(&at, 64 << 10);
    mt_status s = check(schema, MTI_LEVEL_OPERATOR, below, layer, level, &at, e);
    mti_buf_dispose(&at);
    return s;
}

/* ---- all of them ---- */

mt_status mti_layers_merge(const mti_manifest *m, const json_t *const layers[MTI_LAYERS], json_t **out, mti_error *e)
{
    json_t *merged = layers[0] ? json_deep_copy(layers[0]) : json_object();
    mt_status s = m->config_check ? mti_schema_apply_defaults(m->config_check, merged) : MT_OK;
    for (int i = 1; i < MTI_LAYERS && s == MT_OK; i++)
        if (layers[i]) {
            s = mti_layer_check(m->config_schema, merged, layers[i], (mti_level)i, e);
            merged = mti_layer_merge(merged, layers[i]);
        }
    if (s == MT_OK && m->config_check)
        s = mti_schema_apply_defaults(m->config_check, merged);
    if (s == MT_OK && m->config_check)
        s = mti_schema_validate(m->config_check, merged, &(mti_schema_options){.closed = true, .formats = true}, e);
    else if (s == MT_OK && json_object_size(merged))
        s = mti_fail(e, MT_INVALID, "config_not_taken", "Plugin %s takes no configuration.", m->slug);
    if (s == MT_OK)
        *out = merged;
    else
        json_decref(merged);
    return s;
}

json_t *mti_layers_shown(const mti_manifest *m, const json_t *const stored[MTI_LAYERS])
{
    json_t *merged = json_object();
    for (int i = 0; i < MTI_LAYERS; i++)
        if (stored[i]) {
            json_t *shown = json_deep_copy(stored[i]);
            mti_secrets_redact(m->config_schema, shown);         /* before it is laid over: a sealed value is an object */
            merged = mti_layer_merge(merged, shown);
            json_decref(shown);
        }
    if (m->config_check)
        mti_schema_apply_defaults(m->config_check, merged);
    return merged;
}

/* Walks down path in a layer: 1 the layer sets it, -1 it takes it away or replaces what it lies in, 0 it says nothing. */
static int says(const json_t *layer, const char *const *path, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!json_is_object(layer))
            return -1;
        layer = json_object_get(layer, path[i]);
        if (!layer)
            return 0;
    }
    return json_is_null(layer) ? -1 : 1;
}

static const char *origin(const json_t *const layers[MTI_LAYERS], const char *const *path, size_t n)
{
    for (int i = MTI_LAYERS - 1; i >= 0; i--) {
        int said = layers[i] ? says(layers[i], path, n) : 0;
        if (said)
            return said > 0 ? names[i] : "default";
    }
    return "default";
}

static void add_origins(const json_t *const layers[MTI_LAYERS], const json_t *v, const char **path, size_t n, mti_buf *at, json_t *out)
{
    const char *key;
    json_t *inner;
    if (!json_object_size(v) || n == MTI_JSON_DEPTH) {
        if (n)
            json_object_setn_new(out, at->p, at->len, json_string(origin(layers, path, n)));
        return;
    }
    json_object_foreach((json_t *)v, key, inner) {
        size_t length = at->len;
        path[n] = key;
        mti_json_pointer_add(at, mt_str(key));
        add_origins(layers, inner, path, n + 1, at, out);
        at->len = length;
    }
}

json_t *mti_layers_origins(const json_t *const layers[MTI_LAYERS], const json_t *merged)
{
    const char *path[MTI_JSON_DEPTH];
    json_t *out = json_object();
    mti_buf at;
    mti_buf_init(&at, 64 << 10);
    add_origins(layers, merged, path, 0, &at, out);
    mti_buf_dispose(&at);
    return out;
}

static json_t *visible(const json_t *schema, mti_level outer, const json_t *config)
{
    const char *key;
    json_t *value, *out = json_object();
    json_object_foreach((json_t *)config, key, value) {
        const json_t *inner = json_object_get(properties_of(schema), key);
        mti_level own = level_below(inner, outer);
        json_t *shown = json_is_object(value) && properties_of(inner) ? visible(inner, own, value) : own ? json_incref(value) : NULL;
        if (shown && (own || json_object_size(shown)))
            json_object_set_new(out, key, shown);
        else
            json_decref(shown);
    }
    return out;
}

json_t *mti_layer_visible(const json_t *schema, const json_t *config)
{
    return visible(schema, MTI_LEVEL_OPERATOR, config);
}
