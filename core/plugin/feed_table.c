/* The table: rows of mt.change as events. */
#include "plugin/feed_impl.h"

#include "db/json_rows.h"

#include <stdio.h>
#include <stdlib.h>

#define EVENT \
    "SELECT c.tx::text AS _tx, c.id::text AS _id, CASE c.op WHEN 'I' THEN 'created' WHEN 'U' THEN 'updated' ELSE 'deleted' END AS type, " \
    "c.\"table\" AS resource, r.v ->> 'id' AS resource_id, c.org_id AS organization_id, " \
    "CASE c.\"table\" WHEN 'tenancy.workspace' THEN r.v ->> 'id' ELSE nullif(r.v ->> 'workspace_id', '00000000-0000-0000-0000-000000000000') END AS workspace_id, " \
    "c.actor AS actor_id, c.operation, c.request_id, c.at FROM mt.change c, LATERAL (SELECT coalesce(c.after, c.before) AS v) r "

static const char text[] =
    "-- name: feed_watch :one write\n"
    "INSERT INTO mt.watcher (host, until) VALUES (:host::uuid, now() + :seconds::integer * interval '1 second') "
    "ON CONFLICT (host) DO UPDATE SET until = excluded.until RETURNING until;\n"
    "-- name: feed_floor :one\n"
    "SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS floor, "
    "EXISTS (SELECT FROM mt.change WHERE tx >= pg_snapshot_xmin(pg_current_snapshot())) AS held;\n"
    "-- name: feed_all :many\n" EVENT "WHERE (c.tx, c.id) > (:tx::xid8, :id::bigint) AND c.tx < :floor::xid8 ORDER BY c.tx, c.id LIMIT :limit::integer;\n"
    "-- name: feed_past :many\n" EVENT
    "WHERE c.org_id = :org::uuid AND (c.tx, c.id) > (:tx::xid8, :id::bigint) AND c.tx < :floor::xid8 ORDER BY c.tx, c.id LIMIT :limit::integer;\n";

mt_status mti_feed_prepare(mti_feed *f, mti_error *e)
{
    size_t n;
    mti_arena_init(&f->arena, 0);
    return mti_query_parse(&f->arena, "core/plugin/feed_table.c", mt_str(text), &f->queries, &n, e);
}

mt_status mti_feed_query(mti_feed *f, mt_call *c, int query, const mti_param *params, mti_result **out)
{
    return mti_db_run(c, &(mti_db_role){0}, &f->queries[query], params, out);
}

static uint64_t number(mt_slice s)
{
    return s.p ? strtoull(s.p, NULL, 10) : 0;
}

mt_status mti_feed_floor(mti_feed *f, mt_call *c, uint64_t *floor, bool *held)
{
    mti_result *r;
    MT_TRY(mti_feed_query(f, c, MTI_FEED_FLOOR, NULL, &r));
    *floor = number(mti_result_get(r, 0, 0));
    *held = mti_result_get(r, 0, 1).p[0] == 't';
    mti_result_free(r);
    return MT_OK;
}

mti_event *mti_event_create(const mti_buf *json)
{
    mti_event *e = calloc(1, sizeof *e + json->len + 1);
    if (!e)
        abort();
    atomic_store(&e->refs, 1);
    e->len = json->len;
    if (json->len)
        memcpy(e->json, json->p, json->len);
    return e;
}

void mti_event_release(mti_event *e)
{
    if (atomic_fetch_sub(&e->refs, 1) == 1)
        free(e);
}

static mt_slice column(const mti_result *r, unsigned row, const char *name)
{
    return mti_result_get(r, row, (unsigned)mti_result_column(r, name));
}

static mti_event *event_of_row(const mti_result *r, unsigned row)
{
    mti_buf json;
    mti_buf_init(&json, 1 << 16);
    mti_rows_write_object(&json, r, row, NULL);
    mti_event *e = mti_event_create(&json);
    mti_buf_dispose(&json);
    e->key = (mti_feed_key){number(column(r, row, "_tx")), number(column(r, row, "_id"))};
    mti_uuid_parse(column(r, row, "organization_id"), &e->org_id);
    mti_uuid_parse(column(r, row, "workspace_id"), &e->workspace_id);
    mt_slice resource = column(r, row, "resource");
    snprintf(e->resource, sizeof e->resource, "%.*s", (int)resource.len, resource.p);
    return e;
}

mt_status mti_feed_rows(mti_feed *f, mt_call *c, mti_feed_key after, uint64_t floor, const mti_uuid *org, mti_event **out, unsigned *n)
{
    char tx[24], id[24], until[24], limit[12], org_text[37] = "";
    mti_param params[5];
    mti_result *r;
    unsigned i = 0;
    snprintf(tx, sizeof tx, "%llu", (unsigned long long)after.tx);
    snprintf(id, sizeof id, "%llu", (unsigned long long)after.id);
    snprintf(until, sizeof until, "%llu", (unsigned long long)floor);
    snprintf(limit, sizeof limit, "%d", MTI_FEED_BATCH);
    if (org) {
        mti_uuid_format(*org, org_text);
        params[i++] = (mti_param){.value = mt_str(org_text)};
    }
    for (size_t k = 0; k < 4; k++)
        params[i++] = (mti_param){.value = mt_str((const char *[]){tx, id, until, limit}[k])};
    MT_TRY(mti_feed_query(f, c, org ? MTI_FEED_PAST : MTI_FEED_ALL, params, &r));
    *n = mti_result_rows(r);
    for (unsigned row = 0; row < *n; row++)
        out[row] = event_of_row(r, row);
    mti_result_free(r);
    return MT_OK;
}
