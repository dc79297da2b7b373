#include "plugin/instances.h"
#include "plugin/layers.h"

#include "base/log.h"
#include "secrets/secrets.h"

#include <stdio.h>
#include <stdlib.h>

static const char text[] =
    "-- name: instances :many\n"
    "SELECT slug, json_agg(json_build_object('instance', instance, 'config', config, 'scope', scope, 'priority', priority) ORDER BY instance) AS rows\n"
    "FROM mt.plugin_setting WHERE org_id = '00000000-0000-0000-0000-000000000000' GROUP BY slug;\n";

/* Two seats of every slot are kept for plugins and their default instances, so those never lack one; the others are for names of instances, which keep
 * theirs until the process ends, for calls may carry its bit. */
enum { KEPT = 2 * MTI_MAX_PLUGINS };

static const char NO_ROOM[] = "this process has no place for another instance: mortise reload frees those of deleted ones";

static void name_seat(char out[160], const mti_plugin_record *r, const char *instance)
{
    snprintf(out, 160, "%s:%s", r->slug, instance);
}

bool mti_instances_room(const mti_plugin_record *r, const char *instance)
{
    char name[160];
    mti_names *seats = &r->host->plugins->seats;
    name_seat(name, r, instance);
    return !*instance || mti_names_count(seats) < MTI_BUS_SEATS - KEPT || mti_names_find(seats, name) >= 0;
}

static uint16_t seat_of(const mti_plugin_record *r, const char *name)
{
    int seat = mti_names_id(&r->host->plugins->seats, name);
    if (seat <= 0)
        abort();                             /* there was room; 0 would be everybody's */
    return (uint16_t)seat;
}

static void bind(const mti_plugin_record *r, mti_instance *i)
{
    for (int s = 0; s < MTI_SVC_COUNT; s++) {
        i->providers[s] = r->providers[s];
        i->providers[s].instance = *i->name ? i : NULL;
    }
}

static void fill(const mti_plugin_record *r, mti_instance *i, const char *name, const json_t *row)
{
    const json_t *priority = json_object_get(row, "priority"), *scope = json_object_get(row, "scope");
    char seat[160];
    name_seat(seat, r, name);
    i->name = strdup(name);
    i->seats[0] = seat_of(r, r->slug);
    i->seats[1] = seat_of(r, seat);
    i->has_priority = json_is_integer(priority);
    i->priority = (int)json_integer_value(priority);
    i->scope = json_object_size(scope) ? json_incref((json_t *)scope) : NULL;
    bind(r, i);
}

static bool configure(const mti_plugin_record *r, mti_instance *i, const json_t *stored)
{
    char name[MTI_LAYER_NAME];
    mti_error e = {0};
    mti_layer_name(name, (mti_uuid){{0}}, (mti_uuid){{0}}, i->name);
    i->stored = stored;
    i->given = json_deep_copy(stored);
    if (mti_secrets_open(r->host->secrets, (mti_secret_place){r->slug, name}, i->given, &e) == MT_OK &&
        mti_layers_merge(r->manifest, (const json_t *const[MTI_LAYERS]){i->given}, &i->config, &e) == MT_OK)
        return true;
    mti_log(MTI_LOG_WARN, "plugin.instance_ignored", "plugin=%s instance=%s pointer=%s reason=%s", r->slug, i->name, e.pointer, e.detail);
    return false;
}

static void clear(mti_instance *i)
{
    free((char *)i->name);
    json_decref(i->given);
    json_decref(i->config);
    json_decref(i->scope);
    memset(i, 0, sizeof *i);
}

/* The default one first, whether there is a row of it or not. Takes rows. */
static struct mti_instances *make(const mti_plugin_record *r, json_t *rows)
{
    size_t at;
    json_t *row;
    struct mti_instances *all = calloc(1, sizeof *all + (json_array_size(rows) + 1) * sizeof all->items[0]);
    if (!all)
        abort();
    all->rows = rows;
    const json_t *first = json_array_get(rows, 0);
    bool own = first && !mti_json_get_string(first, "instance", MT_SLICE("")).len;
    fill(r, &all->items[all->n++], "", own ? first : NULL);
    json_array_foreach(rows, at, row) {
        mti_instance *i = &all->items[all->n];
        const char *name = mti_json_get_string(row, "instance", MT_SLICE("")).p;
        if (!at && own)
            continue;
        if (!mti_instances_room(r, name)) {
            mti_log(MTI_LOG_WARN, "plugin.instance_ignored", "plugin=%s instance=%s reason=%s", r->slug, name, NO_ROOM);
            continue;
        }
        fill(r, i, name, row);
        if (configure(r, i, json_object_get(row, "config")))
            all->n++;
        else
            clear(i);
    }
    return all;
}

/* Takes rows. */
static void set(mti_plugin_record *r, json_t *rows)
{
    struct mti_instances *old = atomic_load(&r->instances);
    if (old && json_equal(old->rows, rows)) {
        json_decref(rows);
        return;
    }
    struct mti_instances *all = make(r, rows);
    all->older = old;
    atomic_store(&r->instances, all);
    atomic_store(&r->host->plugins->dirty, true);
}

void mti_instances_init(mti_plugin_record *r)
{
    set(r, json_array());
}

void mti_instances_bind(mti_plugin_record *r)
{
    struct mti_instances *all = atomic_load(&r->instances);
    for (unsigned i = 0; all && i < all->n; i++)
        bind(r, &all->items[i]);
}

void mti_instances_dispose(mti_plugin_record *r)
{
    for (struct mti_instances *all = atomic_load(&r->instances), *older; all; all = older) {
        older = all->older;
        for (unsigned i = 0; all && i < all->n; i++)
            clear(&all->items[i]);
        json_decref(all->rows);
        free(all);
    }
}

static json_t *rows_of(const mti_result *result, const char *slug)
{
    json_t *rows = NULL;
    for (unsigned i = 0; i < mti_result_rows(result) && !rows; i++)
        if (mt_slice_eq(mti_result_get(result, i, 0), mt_str(slug)))
            mti_json_parse(mti_result_get(result, i, 1), 0, &rows, NULL);
    return rows ? rows : json_array();
}

mt_status mti_instances_read(mti_plugins *p, mt_call *c, mti_plugin_record *also)
{
    mti_query *q;
    mti_result *result;
    size_t n;
    MT_TRY(mti_query_parse(&c->arena, "core/plugin/instances.c", mt_str(text), &q, &n, &c->error));
    MT_TRY(mti_db_run(c, &(mti_db_role){0}, q, NULL, &result));
    for (unsigned i = 1; i < p->n; i++) {
        mti_plugin_record *r = p->records[i];
        if (r->manifest && (r == also || atomic_load(&r->current)))
            set(r, rows_of(result, r->slug));
    }
    mti_result_free(result);
    return MT_OK;
}

const json_t *mti_instance_stored(const mti_plugin_record *r, const char *name)
{
    size_t i;
    json_t *row;
    json_array_foreach(atomic_load(&r->instances)->rows, i, row)
        if (mt_slice_eq(mti_json_get_string(row, "instance", MT_SLICE("")), mt_str(name)))
            return json_object_get(row, "config");
    return NULL;
}

const mti_instance *mti_instance_find(const mti_plugin_record *r, mt_slice name)
{
    const struct mti_instances *all = atomic_load(&r->instances);
    for (unsigned i = 0; all && i < all->n; i++)
        if (mt_slice_eq(name, mt_str(all->items[i].name)))
            return &all->items[i];
    return NULL;
}

const mti_provider *mti_record_provider(const mti_plugin_record *r, int service, mt_slice name)
{
    const char *colon = name.p ? memchr(name.p, ':', name.len) : NULL;
    mt_slice slug = {name.p, colon ? (size_t)(colon - name.p) : name.len};
    if (!mt_slice_eq(slug, mt_str(r->slug)) || atomic_load(&r->state) != MTI_PLUGIN_ACTIVE || !r->providers[service].table)
        return NULL;
    if (!colon)
        return &r->providers[service];
    const mti_instance *i = mti_instance_find(r, (mt_slice){colon + 1, name.len - slug.len - 1});
    return i && *i->name ? &i->providers[service] : NULL;
}
