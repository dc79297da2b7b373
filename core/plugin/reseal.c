/* Once a start, beside everything else: secrets that are stored plainly, or under an older key, are sealed with the first. Both are read as they stand until then. */
#include "plugin/across.h"
#include "plugin/layers.h"
#include "plugin/record.h"

#include "base/log.h"
#include "secrets/secrets.h"

#include <stdio.h>

/* A row that somebody changes meanwhile is left to that one, whose host has sealed it. */
static const char text[] =
    "-- name: configs :many\n"
    "SELECT slug, config::text, previous_config::text FROM mt.plugin;\n"
    "-- name: config_sealed :exec\n"
    "UPDATE mt.plugin SET config = :config::jsonb, previous_config = :previous::jsonb\n"
    "WHERE slug = :slug AND config = :config_was::jsonb AND previous_config IS NOT DISTINCT FROM :previous_was::jsonb;\n"
    "-- name: settings :many\n"
    "SELECT slug, org_id, instance, workspace_id, config::text FROM mt.plugin_setting\n"
    "WHERE config <> '{}' AND (slug, org_id, instance, workspace_id) > (:slug, :org_id::uuid, :instance, :workspace_id::uuid)\n"
    "ORDER BY slug, org_id, instance, workspace_id LIMIT 100;\n"
    "-- name: setting_sealed :exec\n"
    "UPDATE mt.plugin_setting SET config = :config::jsonb\n"
    "WHERE slug = :slug AND org_id = :org_id::uuid AND instance = :instance AND workspace_id = :workspace_id::uuid AND config = :was::jsonb;\n";

enum { CONFIGS, CONFIG_SEALED, SETTINGS, SETTING_SEALED };

typedef struct pass {
    mt_call *c;
    mti_query *queries;
    unsigned n;                  /* rows that were sealed */
} pass;

static mt_status ask(const pass *x, int query, const mti_param *params, mti_result **out)
{
    return mti_db_run(x->c, &(mti_db_role){0}, &x->queries[query], params, out);
}

static void failed(const pass *x, const char *slug)
{
    mti_log(MTI_LOG_ERROR, "secrets.not_sealed", "plugin=%s reason=%s", slug, x->c->error.detail);
    memset(&x->c->error, 0, sizeof x->c->error);
}

/* Appends what the column shall hold; false when that is what it holds. */
static bool seal(const pass *x, const char *slug, const char *layer, mt_slice was, mti_buf *out)
{
    const mti_plugin_record *r = mti_manager_find(x->c->host->plugins, mt_str(slug));
    const json_t *schema = r && r->manifest ? r->manifest->config_schema : NULL;
    json_t *document = NULL;
    bool changed = false;
    if (!was.p || (!mti_secrets_any(schema) && !memmem(was.p, was.len, "\"$secret\"", 9))) {
        mti_buf_add(out, was.p, was.len);
        return false;
    }
    mt_status s = mti_json_parse(was, 0, &document, &x->c->error);
    if (s == MT_OK)
        s = mti_secrets_seal(x->c->host->secrets, (mti_secret_place){slug, layer}, schema, document, &changed, &x->c->error);
    if (s == MT_OK && changed)
        s = mti_json_dump(document, out);
    else
        mti_buf_add(out, was.p, was.len);
    if (s != MT_OK)
        failed(x, slug);
    json_decref(document);
    return s == MT_OK && changed;
}

static void seal_config(pass *x, const mti_result *rows, unsigned i)
{
    char slug[64];
    mti_buf config, previous;
    mti_result *done;
    mt_slice name = mti_result_get(rows, i, 0), was = mti_result_get(rows, i, 1), before = mti_result_null(rows, i, 2) ? (mt_slice){0} : mti_result_get(rows, i, 2);
    snprintf(slug, sizeof slug, "%.*s", (int)name.len, name.p);
    mti_buf_init(&config, 4 << 20);
    mti_buf_init(&previous, 4 << 20);
    bool changed = seal(x, slug, "", was, &config), changed_before = seal(x, slug, "", before, &previous);
    const mti_param params[] = {{.value = mti_buf_slice(&config)}, {.value = before.p ? mti_buf_slice(&previous) : before}, {.value = name}, {.value = was}, {.value = before}};
    if (changed || changed_before) {
        if (ask(x, CONFIG_SEALED, params, &done) == MT_OK)
            mti_log(MTI_LOG_INFO, "secrets.sealed", "plugin=%s", slug);
        else
            failed(x, slug);
    }
    mti_buf_dispose(&config);
    mti_buf_dispose(&previous);
}

static void seal_setting(pass *x, const mti_result *rows, unsigned i)
{
    char slug[64], layer[MTI_LAYER_NAME], instance[64];
    mti_uuid org_id, workspace_id;
    mti_buf config;
    mti_result *done;
    mt_slice name = mti_result_get(rows, i, 0), org = mti_result_get(rows, i, 1), of = mti_result_get(rows, i, 2), workspace = mti_result_get(rows, i, 3), was = mti_result_get(rows, i, 4);
    snprintf(slug, sizeof slug, "%.*s", (int)name.len, name.p);
    snprintf(instance, sizeof instance, "%.*s", (int)of.len, of.p);
    if (!mti_uuid_parse(org, &org_id) || !mti_uuid_parse(workspace, &workspace_id))
        return;
    mti_layer_name(layer, org_id, workspace_id, instance);
    mti_buf_init(&config, 4 << 20);
    const bool changed = seal(x, slug, layer, was, &config);
    const mti_param params[] = {{.value = mti_buf_slice(&config)}, {.value = name}, {.value = org}, {.value = of}, {.value = workspace}, {.value = was}};
    if (changed && ask(x, SETTING_SEALED, params, &done) == MT_OK)
        x->n++;
    else if (changed)
        failed(x, slug);
    mti_buf_dispose(&config);
}

static mt_status seal_configs(pass *x)
{
    mti_result *rows;
    MT_TRY(ask(x, CONFIGS, NULL, &rows));
    for (unsigned i = 0; i < mti_result_rows(rows); i++)
        seal_config(x, rows, i);
    mti_result_free(rows);
    return MT_OK;
}

static mt_status seal_settings(pass *x)
{
    static const char nil[] = "00000000-0000-0000-0000-000000000000";
    char after[4][64] = {"", "", "", ""};
    memcpy(after[1], nil, sizeof nil);
    memcpy(after[3], nil, sizeof nil);
    for (;;) {
        mti_result *rows;
        MT_TRY(ask(x, SETTINGS, (mti_param[]){{.value = mt_str(after[0])}, {.value = mt_str(after[1])}, {.value = mt_str(after[2])}, {.value = mt_str(after[3])}}, &rows));
        unsigned n = mti_result_rows(rows);
        for (unsigned i = 0; i < n; i++)
            seal_setting(x, rows, i);
        for (int k = 0; n && k < 4; k++) {
            mt_slice v = mti_result_get(rows, n - 1, (unsigned)k);
            snprintf(after[k], sizeof after[k], "%.*s", (int)v.len, v.p);
        }
        mti_result_free(rows);
        if (!n)
            return MT_OK;
    }
}

static void run(void *arg)
{
    mti_plugins *p = arg;
    mt_call c;
    size_t n;
    pass x = {.c = &c};
    mti_platform_call(&c, p->host, p->host->loops[0], "host.secrets");
    mt_status s = mti_query_parse(&c.arena, "core/plugin/reseal.c", mt_str(text), &x.queries, &n, &c.error);
    if (s == MT_OK)
        s = seal_configs(&x);
    if (s == MT_OK)
        s = seal_settings(&x);
    if (x.n)
        mti_log(MTI_LOG_INFO, "secrets.settings_sealed", "rows=%u", x.n);
    p->sealed = s == MT_OK;      /* else with the next settling: the database went */
    mti_call_dispose(&c);
}

void mti_reseal_start(mti_plugins *p)
{
    if (p->sealed || !mti_database_usable(p->host))
        return;
    p->sealed = true;
    if (mti_fiber_spawn(p->host->loops[0], run, p) != MT_OK)
        p->sealed = false;
}
