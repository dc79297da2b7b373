#include "plugin/settings.h"

#include "base/log.h"
#include "base/map.h"
#include "loop/org_cache.h"
#include "plugin/across.h"
#include "plugin/layers.h"
#include "plugin/manager.h"

#include <pthread.h>
#include <stdlib.h>

enum { TTL_US = 60 * 1000000, ORGANIZATIONS = 1000, BYTES = 64 << 20 };

/* A configuration of an organization or a workspace; sorted by seat and workspace. */
typedef struct layer {
    uint16_t seat;
    mti_uuid workspace_id;
    json_t *config;
} layer;

typedef struct limit {
    uint16_t seat;
    mti_bus_scope *scope;
} limit;

struct mti_settings {
    mti_uuid org_id;
    unsigned refs;               /* of one loop's thread */
    unsigned epoch;              /* of the plugins that it was made for */
    size_t size;
    bool any_off;
    uint64_t off[MTI_BUS_SEAT_WORDS];
    layer *layers;
    limit *limits;
    unsigned n_layers, n_limits;
    mti_map *merged;             /* (the operator's document, workspace) → what it comes to */
    pthread_mutex_t lock;        /* of merged: a call's work on the pool may ask while the loop goes on */
};

typedef struct loop_settings {
    mti_host *host;
    mti_org_cache *cache;
    mti_arena arena;
    mti_query *query;
} loop_settings;

static const char text[] =
    "-- name: settings_of_organization :many\n"
    "SELECT slug, instance, workspace_id, allowed AND enabled AS is_on, nullif(config, '{}') AS config, nullif(scope, '{}') AS scope\n"
    "FROM mt.plugin_setting WHERE org_id = :org_id::uuid;\n";

static loop_settings *here(const mt_call *c)
{
    return mti_loop_get(c->loop, c->host->settings_slot);
}

/* ---- one organization's ---- */

static void release(void *settings)
{
    mti_settings *s = settings;
    size_t at = 0;
    mt_slice key;
    void *doc;
    if (--s->refs)
        return;
    for (unsigned i = 0; i < s->n_layers; i++)
        json_decref(s->layers[i].config);
    for (unsigned i = 0; i < s->n_limits; i++)
        mti_bus_scope_destroy(s->limits[i].scope);
    while (mti_map_next(s->merged, &at, &key, &doc))
        json_decref(doc);
    mti_map_destroy(s->merged);
    pthread_mutex_destroy(&s->lock);
    free(s->layers);
    free(s->limits);
    free(s);
}

static size_t size_of(const void *settings)
{
    return ((const mti_settings *)settings)->size;
}

static const mti_org_cache_kind kind = {.release = release, .size = size_of, .max = ORGANIZATIONS, .max_bytes = BYTES};

static int compare(const void *a, const void *b)
{
    const layer *x = a, *y = b;
    return x->seat != y->seat ? x->seat - y->seat : memcmp(x->workspace_id.b, y->workspace_id.b, sizeof x->workspace_id);
}

static void set_off(mti_settings *s, uint16_t seat)
{
    s->off[seat >> 6] |= 1ull << (seat & 63);
    s->any_off = true;
}

/* A text is a tree of some four times its bytes, and what is merged from it at most as much again and the operator's. */
static mt_status add_layer(mt_call *c, mti_settings *s, const mti_plugin_record *r, const mti_instance *i, mti_uuid workspace_id, mt_slice config)
{
    char name[MTI_LAYER_NAME];
    json_t *stored = NULL;
    layer l = {.seat = i->seats[1], .workspace_id = workspace_id};
    if (!config.p)
        return MT_OK;
    mti_layer_name(name, s->org_id, workspace_id, i->name);
    mt_status status = mti_json_parse(config, 0, &stored, &c->error);
    if (status == MT_OK)
        status = mti_config_open(c, r->slug, name, stored, &l.config);
    json_decref(stored);
    if (status != MT_OK) {                   /* who asks is anybody of the organization: the reason names files and keys */
        mti_log(MTI_LOG_ERROR, "plugin.setting_unreadable", "plugin=%s layer=%s reason=%s", r->slug, name, c->error.detail);
        memset(&c->error, 0, sizeof c->error);
        return mti_fail(&c->error, MT_UNAVAILABLE, "settings_unreadable", "What this organization has set of plugin %s cannot be read: the operator finds the reason in the server's log.", r->slug);
    }
    s->layers[s->n_layers++] = l;
    s->size += 4096 + 8 * config.len;
    return MT_OK;
}

static void add_limit(mti_settings *s, uint16_t seat, mt_slice scope)
{
    json_t *json = NULL;
    limit l = {.seat = seat};
    if (!scope.p || mti_json_parse(scope, 0, &json, NULL) != MT_OK)
        return;
    l.scope = mti_bus_scope_create(json);
    json_decref(json);
    if (l.scope)
        s->limits[s->n_limits++] = l;
}

/* A row of what is not installed here, or of an instance that is gone, counts for nothing. One whose secret cannot be read fails the whole: the
 * organization is not served with the operator's secret in place of its own. */
static mt_status add_row(mt_call *c, mti_settings *s, const mti_result *rows, unsigned at)
{
    mti_uuid workspace_id;
    const mti_plugin_record *r = mti_manager_find(c->host->plugins, mti_result_get(rows, at, 0));
    const mti_instance *i = r && r->manifest ? mti_instance_find(r, mti_result_get(rows, at, 1)) : NULL;
    if (!i || !mti_uuid_parse(mti_result_get(rows, at, 2), &workspace_id))
        return MT_OK;
    MT_TRY(add_layer(c, s, r, i, workspace_id, mti_result_get(rows, at, 4)));
    if (!mti_uuid_is_nil(workspace_id))
        return MT_OK;
    if (mti_result_get(rows, at, 3).p[0] == 'f' && !r->manifest->essential)
        set_off(s, i->seats[*i->name != 0]);
    if (!r->manifest->essential)
        add_limit(s, i->seats[1], mti_result_get(rows, at, 5));
    return MT_OK;
}

static mt_status make(mt_call *c, mti_uuid org_id, const mti_result *rows, mti_settings **out)
{
    unsigned n = mti_result_rows(rows);
    mt_status status = MT_OK;
    mti_settings *s = calloc(1, sizeof *s);
    if (!s || !(s->layers = calloc(n, sizeof *s->layers)) || !(s->limits = calloc(n, sizeof *s->limits)))
        abort();
    s->org_id = org_id;
    s->refs = 1;
    s->epoch = atomic_load(&c->host->plugins->epoch);       /* before anything is looked up */
    s->size = sizeof *s + n * (sizeof *s->layers + sizeof *s->limits);
    s->merged = mti_map_create();
    pthread_mutex_init(&s->lock, NULL);
    for (unsigned i = 0; i < n && status == MT_OK; i++)
        status = add_row(c, s, rows, i);
    qsort(s->layers, s->n_layers, sizeof *s->layers, compare);
    if (status == MT_OK)
        *out = s;
    else
        release(s);
    return status;
}

static mt_status load(mt_call *c, mti_org_entry *e)
{
    char id[37];
    mti_result *rows;
    mti_settings *s = NULL;
    mti_uuid_format(e->org_id, id);
    MT_TRY(mti_db_run(c, &(mti_db_role){0}, here(c)->query, &(mti_param){.value = mt_str(id)}, &rows));
    mt_status status = mti_result_rows(rows) ? make(c, e->org_id, rows, &s) : MT_OK;
    mti_result_free(rows);
    if (status == MT_OK)
        mti_org_entry_set(e, s);
    return status;
}

/* ---- calls ---- */

void mti_settings_detach(mt_call *c)
{
    c->settings = NULL;
    c->skip = NULL;
}

/* The handlers that the call does not meet: those that are off, and those whose scope it does not fit. */
static const uint64_t *skip_of(mt_call *c, const mti_settings *s)
{
    if (!s->n_limits)
        return s->any_off ? s->off : NULL;
    uint64_t *skip = mti_arena_alloc(&c->arena, sizeof s->off);
    memcpy(skip, s->off, sizeof s->off);
    for (unsigned i = 0; i < s->n_limits; i++)
        if (!mti_bus_scope_fits(s->limits[i].scope, c))
            skip[s->limits[i].seat >> 6] |= 1ull << (s->limits[i].seat & 63);
    return skip;
}

void mti_settings_fit(mt_call *c)
{
    c->skip = c->settings ? skip_of(c, c->settings) : NULL;
}

mt_status mti_settings_attach(mt_call *c)
{
    mti_settings_detach(c);
    if (mti_uuid_is_nil(c->who.org_id))
        return MT_OK;
    mti_org_entry *e = mti_org_cache_hold(here(c)->cache, c->who.org_id);
    mti_settings *kept = e->value;
    if (kept && kept->epoch != atomic_load_explicit(&c->host->plugins->epoch, memory_order_acquire))
        e->until_us = 0;                     /* other plugins, instances or operations since */
    mt_status status = mti_org_entry_refresh(c, e, TTL_US, load);
    mti_settings *s = status == MT_OK ? e->value : NULL;
    if (s)
        s->refs++;
    mti_org_entry_release(e);
    if (!s)
        return status;
    mti_arena_defer(&c->arena, release, s);
    c->settings = s;
    mti_settings_fit(c);
    return MT_OK;
}

bool mti_settings_off(const mt_call *c, const uint16_t seats[2])
{
    const mti_settings *s = c->settings;
    return s && s->any_off && (mti_bus_skips(s->off, seats[0]) || mti_bus_skips(s->off, seats[1]));
}

/* ---- configuration ---- */

static const layer *find(const mti_settings *s, uint16_t seat, mti_uuid workspace_id)
{
    return bsearch(&(layer){.seat = seat, .workspace_id = workspace_id}, s->layers, s->n_layers, sizeof *s->layers, compare);
}

/* A layer that does not fit any more (the database was changed by hand, or a rollback went back to another schema) counts for nothing. */
static json_t *merge(const mti_plugin_record *r, const mti_settings *s, const json_t *base, const layer *org, const layer *workspace)
{
    json_t *doc = NULL;
    mti_error e = {0};
    char id[37];
    const json_t *layers[MTI_LAYERS] = {base, org ? org->config : NULL, workspace ? workspace->config : NULL};
    if (mti_layers_merge(r->manifest, layers, &doc, &e) == MT_OK)
        return doc;
    mti_uuid_format(s->org_id, id);
    mti_log(MTI_LOG_WARN, "plugin.setting_ignored", "plugin=%s organization=%s level=%s pointer=%s reason=%s", r->slug, id, workspace ? "workspace" : "organization", e.pointer, e.detail);
    return workspace ? merge(r, s, base, org, NULL) : json_incref((json_t *)base);
}

typedef struct merged_key {
    const json_t *base;
    mti_uuid workspace_id;
} merged_key;

static const json_t *layered(mti_settings *s, const mti_plugin_record *r, uint16_t seat, const json_t *base, mti_uuid workspace_id)
{
    const layer *org = find(s, seat, (mti_uuid){{0}}), *workspace = mti_uuid_is_nil(workspace_id) ? NULL : find(s, seat, workspace_id);
    if (!org && !workspace)
        return base;
    merged_key at = {base, workspace ? workspace_id : (mti_uuid){{0}}};
    mt_slice key = {(const char *)&at, sizeof at};
    pthread_mutex_lock(&s->lock);
    json_t *doc = mti_map_get(s->merged, key);
    if (!doc)
        mti_map_put(s->merged, key, doc = merge(r, s, base, org, workspace));
    pthread_mutex_unlock(&s->lock);
    return doc;
}

const json_t *mti_settings_config(mt_call *c)
{
    const mti_plugin_record *r = c->plugin ? c->host->plugins->records[c->plugin] : NULL;
    if (!r)
        return NULL;
    /* of the plugin that runs, or left over from one that called it */
    const mti_instance *i = c->instance && c->instance->seats[0] == r->seats[0] ? c->instance : NULL;
    const json_t *base = i ? i->config : atomic_load(&r->config);
    if (!c->settings || !c->settings->n_layers || !base)
        return base;
    return layered(c->settings, r, i ? i->seats[1] : r->seats[1], base, mti_uuid_is_nil(c->workspace_id) ? c->who.workspace_id : c->workspace_id);
}

/* ---- changes ---- */

typedef struct news {
    mti_host *host;
    char *slug;                  /* NULL: of any plugin */
} news;

static void reread(void *arg)
{
    news *n = arg;
    mt_call c;
    mti_platform_call(&c, n->host, n->host->loops[0], "host.reread");
    mti_plugins_reread(n->host->plugins, &c, n->slug);
    mti_call_dispose(&c);
    free(n->slug);
    free(n);
}

/* When no fiber is free, later: nobody says it again. */
static void begin_reread(void *arg)
{
    enum { LATER_MS = 100 };
    news *n = arg;
    if (mti_fiber_spawn(n->host->loops[0], reread, n) != MT_OK)
        mti_timer_start(n->host->loops[0], LATER_MS, begin_reread, n);
}

/* The operator changed something, perhaps on another host. slug NULL: of whichever plugin. */
static void hear_operator(const loop_settings *k, const char *slug)
{
    news *n = malloc(sizeof *n);
    if (!n)
        return;
    *n = (news){k->host, slug ? strdup(slug) : NULL};
    begin_reread(n);
}

/* From triggers: "plugin SLUG" of mt.plugin; "mt.plugin_setting ORG", whose nil organization is the operator. NULL after a reconnect. */
static void on_notify(void *arg, const char *payload)
{
    static const char plugin[] = "plugin ", setting[] = "mt.plugin_setting ";
    loop_settings *k = arg;
    mti_uuid org = {{0}};
    const char *slug = payload && !strncmp(payload, plugin, sizeof plugin - 1) ? payload + sizeof plugin - 1 : NULL;
    if (payload && !slug && (strncmp(payload, setting, sizeof setting - 1) || !mti_uuid_parse(mt_str(payload + sizeof setting - 1), &org)))
        return;
    if (mti_uuid_is_nil(org) && mti_loop_current() == k->host->loops[0])
        hear_operator(k, slug);
    if (!payload || !mti_uuid_is_nil(org))
        mti_org_cache_expire(k->cache, org);
}

static mt_status expire_there(void *arg, mt_call *there)
{
    mti_org_cache_expire(here(there)->cache, *(const mti_uuid *)arg);
    return MT_OK;
}

/* It is stored: a loop that cannot be told now hears of it by the notification. */
void mti_settings_changed(mt_call *c, mti_uuid org_id)
{
    for (unsigned i = 0; i < c->host->n_loops; i++)
        mti_across_run(c, c->host->loops[i], expire_there, &org_id);
}

/* ---- life ---- */

void mti_settings_start(mti_host *h, mti_loop *l)
{
    size_t n;
    mti_error e;
    loop_settings *k = calloc(1, sizeof *k);
    if (!k)
        abort();
    k->host = h;
    mti_arena_init(&k->arena, 0);
    k->cache = mti_org_cache_create(&kind);
    if (mti_query_parse(&k->arena, "core/plugin/settings.c", mt_str(text), &k->query, &n, &e) != MT_OK)
        abort();
    mti_loop_set(l, h->settings_slot, k);
    mti_db_listen(h->db, l, "mt_cache", on_notify, k);
}

void mti_settings_stop(mti_host *h, mti_loop *l)
{
    loop_settings *k = mti_loop_get(l, h->settings_slot);
    mti_loop_set(l, h->settings_slot, NULL);
    mti_org_cache_destroy(k->cache);
    mti_arena_dispose(&k->arena);
    free(k);
}
