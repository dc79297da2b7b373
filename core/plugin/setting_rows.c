#include "plugin/setting_rows.h"

#define ROW "json_build_object('slug', slug, 'instance', instance, 'organization_id', org_id, 'workspace_id', nullif(workspace_id, '00000000-0000-0000-0000-000000000000'),\n" \
            "'allowed', allowed, 'enabled', enabled, 'config', config, 'scope', scope, 'changed_at', to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))"
#define KEY "org_id = :org_id::uuid AND slug = :slug AND instance = :instance AND workspace_id = :workspace_id::uuid"

enum { ROWS, LOCK = MTI_SETTING_TIDY + 1 };   /* between them enum mti_setting_query */

static const char text[] =
    "-- name: setting_rows :one\n"
    "SELECT coalesce(json_agg(" ROW " ORDER BY slug, instance, workspace_id), '[]') AS rows FROM mt.plugin_setting\n"
    "WHERE org_id = :org_id::uuid AND (slug = :slug OR :slug::text = '');\n"
    "-- name: setting_put :exec\n"
    "INSERT INTO mt.plugin_setting (org_id, slug, instance, workspace_id, enabled, config, scope)\n"
    "SELECT :org_id::uuid, :slug, :instance, :workspace_id::uuid, :enabled::boolean, :config::jsonb, :scope::jsonb\n"
    "WHERE (SELECT count(*) < 1000 AND coalesce(sum(octet_length(config::text)), 0) + octet_length(:config::jsonb::text) <= 1048576\n"
    "         FROM mt.plugin_setting WHERE org_id = :org_id::uuid AND NOT (" KEY "))\n"
    "ON CONFLICT (org_id, slug, instance, workspace_id) DO UPDATE SET enabled = excluded.enabled, config = excluded.config, scope = excluded.scope, changed_at = now();\n"
    "-- name: setting_delete :exec\n"
    "DELETE FROM mt.plugin_setting WHERE " KEY " AND allowed;\n"
    "-- name: setting_keep_allowed :exec\n"
    "UPDATE mt.plugin_setting SET enabled = true, config = '{}', scope = '{}', changed_at = now() WHERE " KEY " AND NOT allowed;\n"
    "-- name: setting_allow :exec\n"
    "INSERT INTO mt.plugin_setting (org_id, slug, allowed) VALUES (:org_id::uuid, :slug, :allowed::boolean)\n"
    "ON CONFLICT (org_id, slug, instance, workspace_id) DO UPDATE SET allowed = excluded.allowed, changed_at = now();\n"
    "-- name: setting_tidy :exec\n"
    "DELETE FROM mt.plugin_setting WHERE org_id = :org_id::uuid AND slug = :slug AND allowed AND enabled AND config = '{}' AND scope = '{}';\n"
    "-- name: setting_lock :one write\n"
    "SELECT pg_advisory_xact_lock(hashtextextended('mt.plugin_setting ' || :org_id::text, 0));\n";

/* ---- rows ---- */

static mt_slice id_text(mt_call *c, mti_uuid id)
{
    char *out = mti_arena_alloc(&c->arena, 37);
    mti_uuid_format(id, out);
    return mt_str(out);
}

/* Parameters by name: each query has some of these. */
static mt_slice value_of(mt_call *c, const mti_setting_values *v, const char *name)
{
    if (!strcmp(name, "org_id"))
        return id_text(c, c->who.org_id);
    if (!strcmp(name, "workspace_id"))
        return id_text(c, v->at.workspace_id);
    if (!strcmp(name, "slug"))
        return v->at.slug.p ? v->at.slug : MT_SLICE("");
    if (!strcmp(name, "instance"))
        return v->at.instance.p ? v->at.instance : MT_SLICE("");
    return !strcmp(name, "config") ? v->config : !strcmp(name, "scope") ? v->scope : v->enabled;
}

static mt_status run(mt_call *c, int index, const mti_setting_values *v, mti_result **out)
{
    mti_query *queries;
    mti_param params[8];
    size_t n;
    MT_TRY(mti_query_parse(&c->arena, "core/plugin/setting_rows.c", mt_str(text), &queries, &n, &c->error));
    const mti_query *q = &queries[index];
    for (unsigned i = 0; i < q->n_params; i++)
        params[i] = (mti_param){.value = value_of(c, v, q->params[i])};
    return mti_db_run(c, &(mti_db_role){0}, q, params, out);
}

mt_status mti_setting_run(mt_call *c, enum mti_setting_query which, const mti_setting_values *v, mti_result **out)
{
    return run(c, which, v, out);
}

mt_status mti_setting_lock(mt_call *c)
{
    mti_result *r;
    return run(c, LOCK, &(mti_setting_values){0}, &r);
}

mt_status mti_setting_text(mt_call *c, const json_t *v, mt_slice *out)
{
    mti_buf b;
    mti_buf_init(&b, MTI_SETTINGS_BYTES);
    mt_status s = v ? mti_json_dump(v, &b) : MT_OK;
    *out = v && s == MT_OK ? mti_arena_slice(&c->arena, mti_buf_slice(&b)) : MT_SLICE("{}");
    mti_buf_dispose(&b);
    return s == MT_OK ? s : mti_fail(&c->error, MT_CONFLICT, "settings_full", "A configuration has at most %d KiB as it is stored, where secrets are a third longer: take something out of it.",
                                     MTI_SETTINGS_BYTES >> 10);
}

void mti_setting_free(void *json)
{
    json_decref(json);
}

/* The organization's rows of a plugin (slug.len 0: of all); kept by the call. */
mt_status mti_setting_rows(mt_call *c, mt_slice slug, json_t **rows)
{
    mti_result *r;
    MT_TRY(run(c, ROWS, &(mti_setting_values){.at.slug = slug}, &r));
    mt_status s = mti_json_parse(mti_result_get(r, 0, 0), 0, rows, &c->error);
    mti_result_free(r);
    if (s == MT_OK)
        mti_arena_defer(&c->arena, mti_setting_free, *rows);
    return s;
}

static bool is_at(const json_t *row, mt_slice slug, mt_slice instance, mti_uuid workspace_id)
{
    mti_uuid id = {{0}};
    mti_uuid_parse(mti_json_get_string(row, "workspace_id", MT_SLICE("")), &id);
    return mti_uuid_eq(id, workspace_id) && mt_slice_eq(mti_json_get_string(row, "instance", MT_SLICE("")), instance) &&
           mt_slice_eq(mti_json_get_string(row, "slug", MT_SLICE("")), slug);
}

json_t *mti_setting_row(const json_t *rows, mt_slice slug, mt_slice instance, mti_uuid workspace_id)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)rows, i, row)
        if (is_at(row, slug, instance, workspace_id))
            return row;
    return NULL;
}

bool mti_setting_allows(const json_t *rows, mt_slice slug)
{
    return mti_json_get_bool(mti_setting_row(rows, slug, MT_SLICE(""), (mti_uuid){{0}}), "allowed", true);
}

bool mti_setting_on(const json_t *rows, mt_slice slug)
{
    const json_t *row = mti_setting_row(rows, slug, MT_SLICE(""), (mti_uuid){{0}});
    return mti_json_get_bool(row, "allowed", true) && mti_json_get_bool(row, "enabled", true);
}
