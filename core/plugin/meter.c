#include "plugin/meter.h"
#include "plugin/manager.h"
#include "plugin/record.h"

#include "base/ticks.h"
#include "telemetry/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Written by one loop, read by anyone: relaxed atomics. */
typedef struct lane {
    _Alignas(64) uint64_t calls[MTI_METER_COUNTED];
    uint64_t failed[MTI_METER_COUNTED], ticks[MTI_METER_COUNTED], bytes_in, bytes_out;
} lane;

struct mti_meters {
    mti_ticks_base base;
    unsigned n_loops;
    lane lanes[];                /* by loop, then slot */
};

mti_meters *mti_meters_create(unsigned n_loops)
{
    size_t size = (sizeof(mti_meters) + n_loops * MTI_MAX_PLUGINS * sizeof(lane) + 63) & ~(size_t)63;
    mti_meters *m = aligned_alloc(64, size);
    if (!m)
        return NULL;
    memset(m, 0, size);
    m->base = mti_ticks_start();
    m->n_loops = n_loops;
    return m;
}

void mti_meters_destroy(mti_meters *m)
{
    free(m);
}

static lane *lane_of(const mt_call *c, uint16_t slot)
{
    mti_meters *m = c->host ? c->host->meters : NULL;
    unsigned loop = c->loop ? mti_loop_index(c->loop) : UINT32_MAX;
    return m && slot < MTI_MAX_PLUGINS && loop < m->n_loops ? &m->lanes[loop * MTI_MAX_PLUGINS + slot] : NULL;
}

static void add(uint64_t *at, uint64_t n)
{
    __atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

void mti_meter_count(const mt_call *c, uint16_t slot, mti_meter_kind kind, bool failed, uint64_t ticks)
{
    lane *l = lane_of(c, slot);
    if (!l)
        return;
    add(&l->calls[kind], 1);
    add(&l->ticks[kind], ticks);
    if (failed)
        add(&l->failed[kind], 1);
}

void mti_meter_bytes(const mt_call *c, uint16_t slot, uint64_t in, uint64_t out)
{
    lane *l = lane_of(c, slot);
    if (!l)
        return;
    add(&l->bytes_in, in);
    add(&l->bytes_out, out);
}

bool mti_meter_failed(mt_status s)
{
    return s == MT_INTERNAL || s == MT_UNAVAILABLE || s == MT_TIMEOUT || s == MT_NO_MEMORY;
}

/* --- services (proxies.gen.c) --- */

uint64_t mti_service_begin(const mt_call *c)
{
    return mti_ticks();
}

void mti_service_end(mt_call *c, const char *what, uint64_t begun, mt_status s)
{
    uint64_t ended = mti_ticks();
    mti_meter_count(c, c->plugin, MTI_METER_SERVICE, mti_meter_failed(s), ended - begun);
    if (c->trace)
        mti_trace_span(c, MTI_TRACE_SERVICE, what, mti_plugin_slug(c->host->plugins, c->plugin), begun, ended, s == MT_OK ? NULL : mti_status_name(s), NULL);
}

/* --- reading --- */

static void sum_slot(const mti_host *h, uint16_t slot, mti_meter_sum *out)
{
    const mti_meters *m = h->meters;
    mti_bus_owner_stats hooks;
    for (unsigned i = 0; m && i < m->n_loops; i++) {
        const lane *l = &m->lanes[i * MTI_MAX_PLUGINS + slot];
        for (int k = 0; k < MTI_METER_COUNTED; k++) {
            out->calls[k] += get(&l->calls[k]);
            out->failed[k] += get(&l->failed[k]);
            out->seconds[k] += (double)mti_ticks_us(&m->base, get(&l->ticks[k])) / 1e6;
        }
        out->bytes_in += get(&l->bytes_in);
        out->bytes_out += get(&l->bytes_out);
    }
    mti_bus_owner_read(h->bus, slot, &hooks);
    out->calls[MTI_METER_HOOK] += hooks.calls;
    out->failed[MTI_METER_HOOK] += hooks.errors;
    out->seconds[MTI_METER_HOOK] += (double)hooks.us / 1e6;
    out->denied += hooks.denied;
    out->slow += hooks.slow;
}

void mti_meter_read(const mti_plugins *p, const char *slug, mti_meter_sum *out)
{
    memset(out, 0, sizeof *out);
    for (unsigned i = 1; i < p->n; i++)
        if (!strcmp(p->records[i]->slug, slug))
            sum_slot(p->host, (uint16_t)i, out);
}

uint64_t mti_meter_crashes(const mti_host *h, const char *slug)
{
    for (unsigned i = 0; h->crashes && i < MTI_CRASH_ROWS && h->crashes[i].slug[0]; i++)
        if (!strcmp(h->crashes[i].slug, slug))
            return atomic_load(&h->crashes[i].n);
    return 0;
}

const char *mti_meter_kind_name(int kind)
{
    static const char *const names[MTI_METER_KINDS] = {"operation", "service", "job", "hook"};
    return names[kind];
}

typedef struct row {
    const char *slug;
    bool active;
    mti_worker_state worker;     /* state NULL: it runs in the host */
    mti_meter_sum sum;
} row;

/* One row a slug, however many of its versions there are. */
static unsigned collect(const mti_plugins *p, row *rows)
{
    unsigned n = 0;
    for (unsigned i = 1; i < p->n; i++) {
        const mti_plugin_record *r = p->records[i];
        unsigned k = 0;
        while (k < n && strcmp(rows[k].slug, r->slug))
            k++;
        if (k == n)
            rows[n++] = (row){.slug = r->slug};
        rows[k].active |= atomic_load(&r->state) == MTI_PLUGIN_ACTIVE;
        if (r->worker && atomic_load(&r->current))
            rows[k].worker = mti_worker_look(r->worker);
        sum_slot(p->host, (uint16_t)i, &rows[k].sum);
    }
    return n;
}

static void head(mti_buf *out, const char *name, const char *type, const char *help)
{
    mti_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_counts(const row *rows, unsigned n, const char *name, const char *help, bool failed, mti_buf *out)
{
    head(out, name, "counter", help);
    for (unsigned i = 0; i < n; i++)
        for (int k = 0; k < MTI_METER_KINDS; k++)
            if (rows[i].sum.calls[k])
                mti_buf_addf(out, "%s{plugin=\"%s\",kind=\"%s\"} %llu\n", name, rows[i].slug, mti_meter_kind_name(k),
                             (unsigned long long)(failed ? rows[i].sum.failed[k] : rows[i].sum.calls[k]));
}

/* 0 when the process is gone. */
static unsigned long long resident_bytes(int pid)
{
    char path[64];
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *f = pid ? fopen(path, "re") : NULL;
    if (f) {
        if (fscanf(f, "%*s %llu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static void write_workers(const row *rows, unsigned n, mti_buf *out)
{
    head(out, "mortise_worker_restarts_total", "counter", "How often a plugin's process was started again, seen by this host.");
    for (unsigned i = 0; i < n; i++)
        if (rows[i].worker.state)
            mti_buf_addf(out, "mortise_worker_restarts_total{plugin=\"%s\"} %u\n", rows[i].slug, rows[i].worker.restarts);
    head(out, "mortise_worker_activations", "gauge", "How often the plugin was activated in the process that runs now, by all hosts.");
    for (unsigned i = 0; i < n; i++)
        if (rows[i].worker.state)
            mti_buf_addf(out, "mortise_worker_activations{plugin=\"%s\"} %u\n", rows[i].slug, rows[i].worker.activations);
    head(out, "mortise_worker_resident_bytes", "gauge", "Memory of a plugin's process.");
    for (unsigned i = 0; i < n; i++)
        if (rows[i].worker.state)
            mti_buf_addf(out, "mortise_worker_resident_bytes{plugin=\"%s\",isolation=\"%s\"} %llu\n", rows[i].slug,
                         rows[i].worker.engine ? "engine" : "process", resident_bytes(rows[i].worker.pid));
}

static void write_rows(const mti_host *h, const row *rows, unsigned n, mti_buf *out)
{
    write_counts(rows, n, "mortise_plugin_calls_total", "Calls of a plugin's operations, services, jobs and hook handlers.", false, out);
    write_counts(rows, n, "mortise_plugin_errors_total", "Calls that failed by the plugin's or the host's fault.", true, out);
    head(out, "mortise_plugin_seconds_total", "counter", "Time inside a plugin: from begin to end, waiting included; of hooks what they kept the loop busy.");
    for (unsigned i = 0; i < n; i++)
        for (int k = 0; k < MTI_METER_KINDS; k++)
            if (rows[i].sum.calls[k])
                mti_buf_addf(out, "mortise_plugin_seconds_total{plugin=\"%s\",kind=\"%s\"} %.6f\n", rows[i].slug, mti_meter_kind_name(k), rows[i].sum.seconds[k]);
    head(out, "mortise_plugin_bytes_total", "counter", "Bodies of the requests and answers of a plugin's operations.");
    for (unsigned i = 0; i < n; i++)
        if (rows[i].sum.calls[MTI_METER_OPERATION])
            mti_buf_addf(out, "mortise_plugin_bytes_total{plugin=\"%s\",direction=\"in\"} %llu\nmortise_plugin_bytes_total{plugin=\"%s\",direction=\"out\"} %llu\n",
                         rows[i].slug, (unsigned long long)rows[i].sum.bytes_in, rows[i].slug, (unsigned long long)rows[i].sum.bytes_out);
    head(out, "mortise_plugin_crashes_total", "counter", "Deaths of the host, or of an engine worker, in a plugin's code since the server was started.");
    for (unsigned i = 0; i < n; i++)
        mti_buf_addf(out, "mortise_plugin_crashes_total{plugin=\"%s\"} %llu\n", rows[i].slug, (unsigned long long)mti_meter_crashes(h, rows[i].slug));
    head(out, "mortise_plugin_active", "gauge", "Whether the plugin is active.");
    for (unsigned i = 0; i < n; i++)
        mti_buf_addf(out, "mortise_plugin_active{plugin=\"%s\"} %d\n", rows[i].slug, rows[i].active);
    write_workers(rows, n, out);
}

void mti_meters_write(const mti_plugins *p, mti_buf *out)
{
    row *rows = calloc(MTI_MAX_PLUGINS, sizeof *rows); /* there may be more of them in a moment */
    if (rows)
        write_rows(p->host, rows, collect(p, rows), out);
    free(rows);
}
