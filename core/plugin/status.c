#include "plugin/status.h"
#include "plugin/doctor.h"
#include "plugin/manager.h"

#include <stdlib.h>

enum { MAX_HOOKS = 128, MAX_QUEUES = 16 };

static const char text[] =
    "-- name: backlog :one slow\n"
    "SELECT count(*) FILTER (WHERE state = 'ready' AND run_at <= now()) AS ready, count(*) FILTER (WHERE state = 'running') AS running, "
    "count(*) FILTER (WHERE state = 'dead') AS dead, "
    "coalesce(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'ready' AND run_at <= now())), 0)::bigint AS oldest "
    "FROM mt.job WHERE queue = :queue AND state <> 'done';\n";

static int64_t number(const mti_result *r, unsigned column)
{
    return strtoll(mti_result_get(r, 0, column).p, NULL, 10);
}

/* What cannot be read is told as nothing: that the database is down is another check. */
static void read_backlog(mt_call *c, mti_backlog *q)
{
    mti_query *query;
    size_t n;
    mti_result *r;
    mt_status s = mti_query_parse(&c->arena, "core/plugin/status.c", mt_str(text), &query, &n, &c->error);
    if (s == MT_OK)
        s = mti_db_run(c, &(mti_db_role){0}, query, &(mti_param){.value = mt_str(q->queue)}, &r);
    memset(&c->error, 0, sizeof c->error);
    if (s != MT_OK)
        return;
    q->ready = number(r, 0);
    q->running = number(r, 1);
    q->dead = number(r, 2);
    q->oldest_s = number(r, 3);
    mti_result_free(r);
}

static void write_operations(const mti_contract *k, mti_writer *w)
{
    mti_writer_key(w, MT_SLICE("operations"));
    mti_writer_array(w);
    for (unsigned i = 0; k && i < k->n_operations; i++) {
        const mti_operation *op = &k->operations[i];
        mti_writer_object(w);
        mti_writer_key_string(w, "id", mt_str(op->id));
        mti_writer_key_string(w, "method", mt_str(op->method));
        mti_writer_key_string(w, "path", mt_str(op->path));
        mti_writer_key_string(w, "permission", op->permission ? mt_str(op->permission) : (mt_slice){0});
        mti_writer_object_end(w);
    }
    mti_writer_array_end(w);
}

static void write_handlers(const mti_doctor *d, mti_writer *w)
{
    mti_writer_key(w, MT_SLICE("handlers"));
    mti_writer_array(w);
    for (unsigned i = 0; i < d->n_hooks; i++) {
        const mti_bus_handler_stats *h = &d->hooks[i];
        mti_writer_object(w);
        mti_writer_key_string(w, "hook", mt_str(h->hook));
        mti_writer_key_string(w, "handler", mt_str(h->label));
        mti_writer_key_int(w, "priority", h->priority);
        mti_writer_key_int(w, "budget_us", h->budget_us);
        mti_writer_key_bool(w, "bypassed", h->bypassed);
        mti_writer_key_int(w, "calls", (int64_t)h->calls);
        mti_writer_key_int(w, "denied", (int64_t)h->denied);
        mti_writer_key_int(w, "errors", (int64_t)h->errors);
        mti_writer_key_int(w, "slow", (int64_t)h->slow);
        mti_writer_key_int(w, "total_us", h->us);
        mti_writer_object_end(w);
    }
    mti_writer_array_end(w);
}

static void write_queues(const mti_doctor *d, mti_writer *w)
{
    mti_writer_key(w, MT_SLICE("queues"));
    mti_writer_array(w);
    for (unsigned i = 0; i < d->n_queues; i++) {
        const mti_backlog *q = &d->queues[i];
        mti_writer_object(w);
        mti_writer_key_string(w, "name", mt_str(q->queue));
        mti_writer_key_int(w, "concurrency", d->r->manifest->queues[i].concurrency);
        mti_writer_key_int(w, "ready", q->ready);
        mti_writer_key_int(w, "running", q->running);
        mti_writer_key_int(w, "dead", q->dead);
        mti_writer_key_int(w, "oldest_seconds", q->oldest_s);
        mti_writer_object_end(w);
    }
    mti_writer_array_end(w);
}

static void write_counters(const mti_doctor *d, mti_writer *w)
{
    const mti_meter_sum *s = d->sum;
    mti_writer_key(w, MT_SLICE("counters"));
    mti_writer_object(w);
    for (int k = 0; k < MTI_METER_KINDS; k++) {
        mti_writer_key(w, mt_str(mti_meter_kind_name(k)));
        mti_writer_object(w);
        mti_writer_key_int(w, "calls", (int64_t)s->calls[k]);
        mti_writer_key_int(w, "errors", (int64_t)s->failed[k]);
        mti_writer_key(w, MT_SLICE("seconds"));
        mti_writer_double(w, s->seconds[k]);
        mti_writer_object_end(w);
    }
    mti_writer_key_int(w, "bytes_in", (int64_t)s->bytes_in);
    mti_writer_key_int(w, "bytes_out", (int64_t)s->bytes_out);
    mti_writer_key_int(w, "crashes", (int64_t)d->crashes);
    mti_writer_object_end(w);
}

/* "a, b" as an array. */
static void write_dependents(const mti_doctor *d, mti_writer *w)
{
    char names[1024];
    mti_resolve_dependents(d->p, d->r, names, sizeof names);
    mti_writer_key(w, MT_SLICE("dependents"));
    mti_writer_array(w);
    for (char *at = names, *one; (one = strsep(&at, ", "));)
        if (*one)
            mti_writer_string(w, mt_str(one));
    mti_writer_array_end(w);
}

static void write_config(const mti_doctor *d, mti_writer *w)
{
    mti_buf config;
    mti_buf_init(&config, 1 << 20);
    mti_writer_key(w, MT_SLICE("config"));
    if (mti_plugins_config(d->p, mt_str(d->r->slug), &config) == MT_OK)
        mti_writer_raw(w, mti_buf_slice(&config));
    else
        mti_writer_null(w);
    mti_buf_dispose(&config);
}

static void write_all(const mti_doctor *d, mti_writer *w)
{
    mti_writer_object(w);
    mti_record_describe(d->p, d->r, w);
    write_dependents(d, w);
    write_operations(d->r->contract, w);
    write_handlers(d, w);
    write_queues(d, w);
    write_counters(d, w);
    write_config(d, w);
    mti_writer_key(w, MT_SLICE("checks"));
    mti_doctor_write(d, w);
    mti_writer_object_end(w);
}

mt_status mti_plugin_status(mt_call *c, mt_slice slug, mti_buf *out)
{
    mti_plugins *p = c->host->plugins;
    mti_plugin_record *r = mti_manager_find(p, slug);
    mti_bus_handler_stats hooks[MAX_HOOKS];
    mti_backlog queues[MAX_QUEUES];
    mti_meter_sum sum;
    mti_writer w;
    if (!r)
        return MT_NOT_FOUND;
    mti_meter_read(p, r->slug, &sum);
    mti_doctor d = {.p = p, .r = r, .c = c, .sum = &sum, .hooks = hooks, .queues = queues, .crashes = mti_meter_crashes(c->host, r->slug)};
    d.n_hooks = mti_bus_handlers_read(c->host->bus, r->slot, hooks, MAX_HOOKS);
    for (size_t i = 0; r->manifest && i < r->manifest->n_queues && i < MAX_QUEUES; i++) {
        queues[d.n_queues] = (mti_backlog){.queue = r->manifest->queues[i].name};
        read_backlog(c, &queues[d.n_queues++]);
    }
    mti_writer_init(&w, out);
    write_all(&d, &w);
    return out->status;
}
