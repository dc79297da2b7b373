/* The operator's wishes and configurations: rows of mt.plugin, read and written as the host itself. Secrets in them are sealed (core/secrets). */
#include "plugin/record.h"
#include "plugin/setting_rows.h"

static const char text[] =
    "-- name: plugin_read :one\n"
    "SELECT enabled, config FROM mt.plugin WHERE slug = :slug;\n"
    "-- name: plugin_enable :exec\n"
    "INSERT INTO mt.plugin (slug, enabled) VALUES (:slug, :enabled) ON CONFLICT (slug) DO UPDATE SET enabled = excluded.enabled;\n"
    "-- name: plugin_configure :exec\n"
    "INSERT INTO mt.plugin (slug, enabled, config) VALUES (:slug, :enabled, :config::jsonb) ON CONFLICT (slug) DO UPDATE SET config = excluded.config;\n"
    "-- name: plugin_previous :one\n"
    "SELECT previous_config FROM mt.plugin WHERE slug = :slug;\n"
    "-- name: plugin_switch :exec\n"
    "INSERT INTO mt.plugin (slug, version, config) VALUES (:slug, :version, :config::jsonb)\n"
    "ON CONFLICT (slug) DO UPDATE SET enabled = true, version = excluded.version, previous_config = plugin.config, config = excluded.config, changed_at = now();\n"
    "-- name: plugin_forget :exec\n"
    "WITH settings AS (DELETE FROM mt.plugin_setting s WHERE s.slug = :slug) DELETE FROM mt.plugin p WHERE p.slug = :slug;\n"
    "-- name: plugin_lock :one write\n"
    "SELECT enabled, config FROM mt.plugin WHERE slug = :slug FOR UPDATE;\n";

static mt_status run(mt_call *c, unsigned index, const mti_param *params, mti_result **out)
{
    mti_query *queries;
    size_t n;
    MT_TRY(mti_query_parse(&c->arena, "core/plugin/store.c", mt_str(text), &queries, &n, &c->error));
    return mti_db_run(c, &(mti_db_role){0}, &queries[index], params, out);
}

static mt_status read(mt_call *c, unsigned index, const char *slug, bool *enabled, json_t **config)
{
    mti_result *r;
    MT_TRY(run(c, index, &(mti_param){.value = mt_str(slug)}, &r));
    if (!mti_result_rows(r))
        return MT_NOT_FOUND;
    *enabled = mti_result_get(r, 0, 0).p[0] == 't';
    if (!mti_result_null(r, 0, 1))
        MT_TRY(mti_json_parse(mti_result_get(r, 0, 1), 0, config, &c->error));
    mti_result_free(r);
    return MT_OK;
}

mt_status mti_store_read(mt_call *c, const char *slug, bool *enabled, json_t **config)
{
    return read(c, 0, slug, enabled, config);
}

mt_status mti_store_lock(mt_call *c, const char *slug, json_t **config)
{
    bool enabled;
    return read(c, 6, slug, &enabled, config);
}

mt_status mti_store_enable(mt_call *c, const char *slug, bool enabled)
{
    mti_result *r;
    return run(c, 1, (mti_param[]){{.value = mt_str(slug)}, {.value = enabled ? MT_SLICE("true") : MT_SLICE("false")}}, &r);
}

mt_status mti_store_previous(mt_call *c, const char *slug, json_t **config)
{
    mti_result *r;
    MT_TRY(run(c, 3, &(mti_param){.value = mt_str(slug)}, &r));
    mt_status s = mti_result_rows(r) && !mti_result_null(r, 0, 0) ? mti_json_parse(mti_result_get(r, 0, 0), 0, config, &c->error) : MT_OK;
    mti_result_free(r);
    return s;
}

mt_status mti_store_forget(mt_call *c, const char *slug)
{
    mti_result *r;
    return run(c, 5, &(mti_param){.value = mt_str(slug)}, &r);
}

static mt_status run_with_config(mt_call *c, unsigned index, mti_param first, mti_param second, const json_t *config)
{
    mti_result *r;
    mt_slice text;
    MT_TRY(mti_setting_text(c, config, &text));
    return run(c, index, (mti_param[]){first, second, {.value = text}}, &r);
}

mt_status mti_store_switch(mt_call *c, const char *slug, const char *version, const json_t *config)
{
    return run_with_config(c, 4, (mti_param){.value = mt_str(slug)}, (mti_param){.value = mt_str(version)}, config);
}

mt_status mti_store_configure(mt_call *c, const char *slug, bool enabled, const json_t *config)
{
    return run_with_config(c, 2, (mti_param){.value = mt_str(slug)}, (mti_param){.value = enabled ? MT_SLICE("true") : MT_SLICE("false")}, config);
}
