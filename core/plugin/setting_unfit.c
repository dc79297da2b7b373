/* Which rows of mt.plugin_setting a version, or another configuration of the operator's, would not accept. */
#include "plugin/layers.h"
#include "plugin/setting_store.h"

#include <stdio.h>

enum { PAGE = 500 };

static const char text[] =
    "-- name: settings_of_plugin :many\n"
    "SELECT org_id, instance, workspace_id, config FROM mt.plugin_setting\n"
    "WHERE slug = :slug AND (org_id, instance, workspace_id) > (:org_id::uuid, :instance, :workspace_id::uuid)\n"
    "ORDER BY org_id, instance, workspace_id LIMIT 500;\n";

/* Rows come in the order of organization, instance, workspace, the nil ones first: the operator's instances before everybody's, and what a workspace
 * stands on before it. */
typedef struct walk {
    mt_call *c;
    const mti_manifest *m;
    const json_t *config;                    /* the operator's, of the default instance */
    json_t *instances;                       /* name → the operator's layer */
    const char *only;                        /* the instance that is looked at, whose layer is there from the start; NULL: all */
    json_t *org;                             /* the layer of the organization and instance that the walk is at */
    char org_id[37], instance[64], workspace_id[37];   /* the last row's */
    unsigned n;
    char *first;
    size_t size;
} walk;

#define NIL "00000000-0000-0000-0000-000000000000"

static void note(walk *w, const mti_error *e)
{
    char whose[160];
    bool ours = !strcmp(w->org_id, NIL), workspace = strcmp(w->workspace_id, NIL);
    if (w->n++)
        return;
    snprintf(whose, sizeof whose, "%s%s%s%s", ours ? "instance " : workspace ? "workspace " : "organization ", ours ? w->instance : workspace ? w->workspace_id : w->org_id,
             !ours && w->instance[0] ? ", instance " : "", ours ? "" : w->instance);
    snprintf(w->first, w->size, "%s: %.100s %.200s", whose, e->pointer, e->detail);
}

/* One whose secret cannot be read is not judged. */
static json_t *open_row(const walk *w, mt_slice text)
{
    char name[MTI_LAYER_NAME];
    json_t *stored = NULL, *config = NULL;
    mti_uuid org, workspace;
    mti_uuid_parse(mt_str(w->org_id), &org);
    mti_uuid_parse(mt_str(w->workspace_id), &workspace);
    mti_layer_name(name, org, workspace, w->instance);
    if (mti_json_parse(text, 0, &stored, NULL) == MT_OK && mti_config_open(w->c, w->m->slug, name, stored, &config) != MT_OK)
        memset(&w->c->error, 0, sizeof w->c->error);
    json_decref(stored);
    return config;
}

static void move_to(walk *w, const mti_result *rows, unsigned i)
{
    mt_slice org = mti_result_get(rows, i, 0), instance = mti_result_get(rows, i, 1);
    bool same = mt_slice_eq(org, mt_str(w->org_id)) && mt_slice_eq(instance, mt_str(w->instance));
    if (!same) {
        json_decref(w->org);
        w->org = NULL;
    }
    snprintf(w->org_id, sizeof w->org_id, "%s", org.p);
    snprintf(w->instance, sizeof w->instance, "%s", instance.p);
    snprintf(w->workspace_id, sizeof w->workspace_id, "%s", mti_result_get(rows, i, 2).p);
}

static void look(walk *w, const mti_result *rows, unsigned i)
{
    mti_error e = {0};
    json_t *config = NULL, *merged = NULL;
    move_to(w, rows, i);
    if (w->only && (strcmp(w->instance, w->only) || !strcmp(w->org_id, NIL)))
        return;
    config = open_row(w, mti_result_get(rows, i, 3));
    bool ours = !strcmp(w->org_id, NIL), workspace = strcmp(w->workspace_id, NIL);
    const json_t *base = w->instance[0] ? json_object_get(w->instances, w->instance) : w->config;
    const json_t *layers[MTI_LAYERS] = {ours ? config : base, workspace ? w->org : ours ? NULL : config, workspace ? config : NULL};
    bool fits = (ours && !w->instance[0]) || !json_object_size(config) || mti_layers_merge(w->m, layers, &merged, &e) == MT_OK;
    if (!fits)
        note(w, &e);
    json_decref(merged);
    if (ours)
        json_object_set(w->instances, w->instance, config);
    else if (!workspace && fits)             /* else what stands on it is judged without it */
        w->org = json_incref(config);
    json_decref(config);
}

static mt_status walk_all(mt_call *c, walk *w)
{
    mti_query *q;
    mti_result *rows;
    size_t n;
    unsigned count;
    MT_TRY(mti_query_parse(&c->arena, "core/plugin/setting_unfit.c", mt_str(text), &q, &n, &c->error));
    do {
        MT_TRY(mti_db_run(c, &(mti_db_role){0}, q, (mti_param[]){{.value = mt_str(w->m->slug)}, {.value = mt_str(w->org_id)}, {.value = mt_str(w->instance)},
                                                                {.value = mt_str(w->workspace_id)}}, &rows));
        count = mti_result_rows(rows);
        for (unsigned i = 0; i < count; i++)
            look(w, rows, i);
        mti_result_free(rows);
    } while (count == PAGE);
    return MT_OK;
}

static mt_status count(mt_call *c, const mti_manifest *m, const char *instance, const json_t *config, unsigned *n, char *first, size_t size)
{
    walk w = {.c = c, .m = m, .config = config, .instances = json_object(), .only = instance, .org_id = NIL, .workspace_id = NIL, .first = first, .size = size};
    first[0] = 0;
    if (instance)
        json_object_set(w.instances, instance, (json_t *)config);
    mt_status s = walk_all(c, &w);
    json_decref(w.instances);
    json_decref(w.org);
    *n = w.n;
    return s;
}

mt_status mti_settings_unfit(mt_call *c, const mti_manifest *m, const json_t *config, unsigned *n, char *first, size_t size)
{
    return count(c, m, NULL, config, n, first, size);
}

mt_status mti_settings_refuse(mt_call *c, const mti_manifest *m, const json_t *config)
{
    return mti_settings_refuse_instance(c, m, NULL, config);
}

mt_status mti_settings_refuse_instance(mt_call *c, const mti_manifest *m, const char *instance, const json_t *config)
{
    char first[320];
    unsigned n;
    MT_TRY(count(c, m, instance, config, &n, first, sizeof first));
    if (!n)
        return MT_OK;
    return mti_fail(&c->error, MT_CONFLICT, "settings_unfit", "%u setting%s of plugin %s would not fit, the first of %s Change or remove %s first.", n, n == 1 ? "" : "s", m->slug, first,
                    n == 1 ? "it" : "them");
}
