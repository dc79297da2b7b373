/* The operator's wishes and configurations: rows of mt.plugin, read and written as the host itself. Secrets in them are sealed (core/secrets). */
#include "plugin/record.h"

#include "base/log.h"
#include "secrets/secrets.h"

#include <stdio.h>

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
    "-- name: plugin_configs :many\n"
    "SELECT slug, config::text, previous_config::text FROM mt.plugin WHERE slug > :after ORDER BY slug LIMIT 1;\n"
    "-- name: plugin_reseal :exec\n"
    "UPDATE mt.plugin SET config = :config::jsonb, previous_config = :previous::jsonb\n"
    "WHERE slug = :slug AND config = :config_was::jsonb AND previous_config IS NOT DISTINCT FROM :previous_was::jsonb;\n";

static mt_status run(mt_call *c, unsigned index, const mti_param *params, mti_result **out)
{
    mti_query *queries;
    size_t n;
    MT_TRY(mti_query_parse(&c->arena, "core/plugin/store.c", mt_str(text), &queries, &n, &c->error));
    return mti_db_run(c, &(mti_db_role){0}, &queries[index], params, out);
}

mt_status mti_store_read(mt_call *c, const char *slug, bool *enabled, json_t **config)
{
    mti_result *r;
    MT_TRY(run(c, 0, &(mti_param){.value = mt_str(slug)}, &r));
    if (!mti_result_rows(r))
        return MT_NOT_FOUND;
    *enabled = mti_result_get(r, 0, 0).p[0] == 't';
    if (!mti_result_null(r, 0, 1))
        MT_TRY(mti_json_parse(mti_result_get(r, 0, 1), 0, config, &c->error));
    mti_result_free(r);
    return MT_OK;
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
    mti_buf text;
    mti_buf_init(&text, 1 << 20);
    mt_status s = mti_json_dump(config, &text);
    if (s == MT_OK)
        s = run(c, index, (mti_param[]){first, second, {.value = mti_buf_slice(&text)}}, &r);
    mti_buf_dispose(&text);
    return s;
}

mt_status mti_store_switch(mt_call *c, const char *slug, const char *version, const json_t *config)
{
    return run_with_config(c, 4, (mti_param){.value = mt_str(slug)}, (mti_param){.value = mt_str(version)}, config);
}

mt_status mti_store_configure(mt_call *c, const char *slug, bool enabled, const json_t *config)
{
    return run_with_config(c, 2, (mti_param){.value = mt_str(slug)}, (mti_param){.value = enabled ? MT_SLICE("true") : MT_SLICE("false")}, config);
}

/* ---- at a start: what is stored plainly, or under an older key, is sealed ---- */

/* The sealed text of a column, in out; as it was when nothing is to be done (the null slice stays). */
static mt_status seal_column(mt_call *c, const char *slug, mt_slice was, mti_buf *out, bool *changed)
{
    const mti_plugin_record *r = mti_manager_find(c->host->plugins, mt_str(slug));
    json_t *document = NULL;
    bool new = false;
    if (!was.p)
        return MT_OK;
    mt_status s = mti_json_parse(was, 0, &document, &c->error);
    if (s == MT_OK)
        s = mti_secrets_seal(c->host->secrets, (mti_secret_place){slug, ""}, r && r->manifest ? r->manifest->config_schema : NULL, document, &new, &c->error);
    if (s == MT_OK)
        s = mti_json_dump(document, out);
    json_decref(document);
    *changed |= new;
    return s;
}

/* Unless somebody changed the row meanwhile: then that one's host has sealed it. */
static mt_status reseal(mt_call *c, const char *slug, mt_slice config_was, mt_slice previous_was, bool *changed)
{
    mti_result *r;
    mti_buf config, previous;
    mti_buf_init(&config, 1 << 20);
    mti_buf_init(&previous, 1 << 20);
    mt_status s = seal_column(c, slug, config_was, &config, changed);
    if (s == MT_OK)
        s = seal_column(c, slug, previous_was, &previous, changed);
    if (s == MT_OK && *changed)
        s = run(c, 7, (mti_param[]){{.value = mti_buf_slice(&config)}, {.value = mti_buf_slice(&previous)}, {.value = mt_str(slug)},
                                    {.value = config_was}, {.value = previous_was}}, &r);
    mti_buf_dispose(&config);
    mti_buf_dispose(&previous);
    return s;
}

mt_status mti_store_seal_all(mt_call *c)
{
    char slug[64] = "";
    for (;;) {
        mti_result *r;
        bool changed = false;
        MT_TRY(run(c, 6, &(mti_param){.value = mt_str(slug)}, &r));
        if (!mti_result_rows(r)) {
            mti_result_free(r);
            return MT_OK;
        }
        mt_slice name = mti_result_get(r, 0, 0), previous = mti_result_null(r, 0, 2) ? (mt_slice){0} : mti_result_get(r, 0, 2);
        snprintf(slug, sizeof slug, "%.*s", (int)name.len, name.p);
        mt_status s = reseal(c, slug, mti_result_get(r, 0, 1), previous, &changed);
        mti_result_free(r);
        if (s != MT_OK)
            mti_log(MTI_LOG_ERROR, "secrets.not_sealed", "plugin=%s reason=%s", slug, c->error.detail);
        else if (changed)
            mti_log(MTI_LOG_INFO, "secrets.sealed", "plugin=%s", slug);
        memset(&c->error, 0, sizeof c->error);
    }
}
