#include "plugin/doctor.h"
#include "plugin/hold.h"
#include "plugin/manager.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { BACKLOG = 1000, BACKLOG_S = 300 };

typedef enum verdict { OK, WARNING, ERROR } verdict;

static void __attribute__((format(printf, 5, 6))) tell(mti_writer *w, const char *check, verdict v, const char *advice, const char *format, ...)
{
    static const char *const names[] = {"ok", "warning", "error"};
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    mti_writer_object(w);
    mti_writer_key_string(w, "check", mt_str(check));
    mti_writer_key_string(w, "status", mt_str(names[v]));
    mti_writer_key_string(w, "detail", mt_str(detail));
    mti_writer_key_string(w, "advice", v != OK && advice ? mt_str(advice) : (mt_slice){0});
    mti_writer_object_end(w);
}

static void copy_reason(const mti_doctor *d, char *out, size_t size)
{
    pthread_mutex_lock(&d->p->lock);
    snprintf(out, size, "%s", d->r->reason);
    pthread_mutex_unlock(&d->p->lock);
}

static void check_manifest(const mti_doctor *d, mti_writer *w)
{
    char why[384];
    const mti_manifest *m = d->r->manifest;
    copy_reason(d, why, sizeof why);
    if (!m)
        tell(w, "manifest", ERROR, "Correct plugin.json (its schema is manifests/schemas/plugin.json) and start the server again.", "%s", why);
    else
        tell(w, "manifest", OK, NULL, "plugin.json of version %s is right.", m->version);
}

static void check_file(const mti_doctor *d, mti_writer *w)
{
    const mti_manifest *m = d->r->manifest;
    if (!m->file) {
        tell(w, "code", OK, NULL, "It has no code of its own.");
        return;
    }
    const char *slash = strrchr(m->file, '/'), *name = slash ? slash + 1 : m->file;
    if (access(m->file, R_OK) != 0)
        tell(w, "code", d->r->entry ? WARNING : ERROR, "Build it, or install it again: the next start will not find it.", "%s is not there.", m->file);
    else if (d->r->entry)
        tell(w, "code", OK, NULL, "%s is loaded: ABI %d, version %s.", name, MT_ABI, m->version);
    else
        tell(w, "code", OK, NULL, "%s is there, and not loaded.", name);
}

static void check_state(const mti_doctor *d, mti_writer *w)
{
    char why[384];
    int state = mti_record_effective(d->r);
    bool wanted = atomic_load(&d->r->wanted);
    copy_reason(d, why, sizeof why);
    if (state == MTI_PLUGIN_ACTIVE)
        tell(w, "state", OK, NULL, "It is active.");
    else if (state == MTI_PLUGIN_FAILED)
        tell(w, "state", ERROR, "Remove the cause, then switch it on again: mortise plugin enable SLUG.", "It failed: %s", why);
    else if (state == MTI_PLUGIN_QUARANTINED)
        tell(w, "state", ERROR, "Install another version, or let it try again: mortise plugin release SLUG.", "It is in quarantine: %s.", why);
    else if (mti_record_rests(d->r))
        tell(w, "state", WARNING, "Start the server without --safe-mode.", "The server runs in safe mode.");
    else if (!wanted)
        tell(w, "state", OK, NULL, "It is switched off.");
    else
        tell(w, "state", ERROR, "It starts by itself when what it waits for is there.", "It is %s: %s", mti_record_state_name(state),
             why[0] ? why : "the database is down");
}

static void check_needs(const mti_doctor *d, mti_writer *w)
{
    char why[384];
    mti_resolve_obstacle(d->p, d->r, why, sizeof why);
    bool wanted = atomic_load(&d->r->wanted);
    if (why[0])
        tell(w, "dependencies", wanted ? ERROR : WARNING, "Install or switch on what it needs: mortise plugin list shows what there is.", "It %s.", why);
    else
        tell(w, "dependencies", OK, NULL, "All that it needs is active.");
}

/* As the files are now, which may be newer than what serves. */
static void check_contract(const mti_doctor *d, mti_writer *w)
{
    mti_contract *k = NULL;
    mti_error e = {0};
    mt_status s = mti_contract_load(d->r->slug, d->r->manifest->dir, &k, &e);
    if (s != MT_OK) {
        tell(w, "contract", ERROR, "Correct api.json or queries.sql.", "%s", e.detail);
        return;
    }
    bool there = d->r->migrated && mti_db_up(d->p->host->db);
    if (there && k->n_queries) {
        s = mti_contract_check(d->c, &d->r->role, k);
        e = d->c->error;
        memset(&d->c->error, 0, sizeof d->c->error);
    }
    if (s != MT_OK)
        tell(w, "contract", ERROR, "Bring api.json, queries.sql and the tables together: a migration adds what is missing.", "%s", e.detail);
    else if (k->n_queries && !there)
        tell(w, "contract", OK, NULL, "%u operations and %zu queries; not held against the database, where it has no tables yet.", k->n_operations, k->n_queries);
    else
        tell(w, "contract", OK, NULL, "%u operations and %zu queries agree with each other%s.", k->n_operations, k->n_queries,
             k->n_queries ? " and with the database" : "");
    mti_contract_destroy(k);
}

static void check_config(const mti_doctor *d, mti_writer *w)
{
    mti_error e = {0};
    const json_t *config = atomic_load(&d->r->config);
    if (!d->r->manifest->config_check || !config)
        return;
    mt_status s = mti_schema_validate(d->r->manifest->config_check, config, &(mti_schema_options){.closed = true, .formats = true}, &e);
    if (s == MT_OK)
        tell(w, "config", OK, NULL, "Its configuration is right.");
    else
        tell(w, "config", ERROR, "Correct it: PUT /v1/plugins/SLUG/config.", "%s%s%s", e.pointer, e.pointer[0] ? ": " : "", e.detail);
}

static void check_queues(const mti_doctor *d, mti_writer *w)
{
    for (unsigned i = 0; i < d->n_queues; i++) {
        const mti_backlog *q = &d->queues[i];
        char name[96];
        snprintf(name, sizeof name, "queue %s", q->queue);
        if (q->dead)
            tell(w, name, WARNING, "See the log for job.failed: each line has the job's id and the reason. Dead jobs are forgotten after a week.",
                 "%lld jobs are dead: they failed as often as they may.", (long long)q->dead);
        else if (q->ready > BACKLOG || q->oldest_s > BACKLOG_S)
            tell(w, name, WARNING, "Give the queue more concurrency in plugin.json, or look why its jobs take long: mortise_plugin_seconds_total{kind=\"job\"}.",
                 "%lld jobs wait, the oldest for %lld s.", (long long)q->ready, (long long)q->oldest_s);
        else
            tell(w, name, OK, NULL, "%lld jobs wait, %lld run.", (long long)q->ready, (long long)q->running);
    }
}

static void check_hooks(const mti_doctor *d, mti_writer *w)
{
    for (unsigned i = 0; i < d->n_hooks; i++) {
        const mti_bus_handler_stats *h = &d->hooks[i];
        char name[96];
        snprintf(name, sizeof name, "hook %s", h->hook);
        if (h->bypassed)
            tell(w, name, ERROR, "Make it quicker or move its work to the offload pool; switching the plugin off and on brings the handler back.",
                 "%s took longer than its %u µs three times in a row and is bypassed.", h->label, h->budget_us);
        else if (h->slow)
            tell(w, name, WARNING, "Make it quicker or move its work to the offload pool.", "%s took longer than its %u µs three times in a row, %llu times so far.",
                 h->label, h->budget_us, (unsigned long long)h->slow);
        else if (h->errors)
            tell(w, name, WARNING, "See the log for hook.failed.", "%s failed %llu of %llu times.", h->label, (unsigned long long)h->errors, (unsigned long long)h->calls);
        else
            tell(w, name, OK, NULL, "%s was called %llu times.", h->label, (unsigned long long)h->calls);
    }
}

static void check_errors(const mti_doctor *d, mti_writer *w)
{
    static const int kinds[] = {MTI_METER_OPERATION, MTI_METER_SERVICE, MTI_METER_JOB};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        uint64_t calls = d->sum->calls[kinds[i]], failed = d->sum->failed[kinds[i]];
        if (failed * 100 > calls)
            tell(w, "errors", WARNING, "mortise trace --failed shows the latest; the log has their causes.", "%llu of %llu calls of its %ss failed by its own or the host's fault.",
                 (unsigned long long)failed, (unsigned long long)calls, mti_meter_kind_name(kinds[i]));
    }
}

static void check_crashes(const mti_doctor *d, mti_writer *w)
{
    if (d->crashes && d->r->worker)
        tell(w, "crashes", ERROR, "See the log for engine.died and host.died.", "The host or its own process died %llu times in its code since the server was started.",
             (unsigned long long)d->crashes);
    else if (d->crashes)
        tell(w, "crashes", ERROR, "See the log for host.died and the backtrace before it.", "The host died %llu times in its code since the server was started.",
             (unsigned long long)d->crashes);
    else
        tell(w, "crashes", OK, NULL, "The host never died in its code since the server was started.");
}

static void check_worker(const mti_doctor *d, mti_writer *w)
{
    mti_worker_state s = d->r->worker ? mti_worker_look(d->r->worker) : (mti_worker_state){0};
    if (!s.state)
        return;
    if (strcmp(s.state, "running"))
        tell(w, "worker", ERROR, "See the log for worker.ended, engine.died and worker.not_restarted; it is tried again about once a second.", "Its process is %s.", s.state);
    else if (s.restarts)
        tell(w, "worker", WARNING, "See the log for worker.ended and engine.died.", "Its process runs, but was started again %u times since this host began.", s.restarts);
    else
        tell(w, "worker", OK, NULL, "Its process, %d, runs%s.", s.pid, s.engine ? " and outlives the host" : "");
}

static void check_quarantine(const mti_doctor *d, mti_writer *w)
{
    unsigned n = mti_record_held_count(d->r);
    if (n)
        tell(w, "quarantine", ERROR, "See the log for host.died and what plugin info tells; mortise plugin release SLUG lets it try again.",
             "It does not serve %u organization%s, for its code brought the host down on their requests.", n, n > 1 ? "s" : "");
}

void mti_doctor_write(const mti_doctor *d, mti_writer *w)
{
    mti_writer_array(w);
    check_manifest(d, w);
    if (d->r->manifest) {
        check_file(d, w);
        check_state(d, w);
        check_needs(d, w);
        check_contract(d, w);
        check_config(d, w);
        check_queues(d, w);
        check_hooks(d, w);
        check_errors(d, w);
        check_crashes(d, w);
        check_worker(d, w);
        check_quarantine(d, w);
    }
    mti_writer_array_end(w);
}
