/*
 * Queue consumers: for each queue of an active plugin one fiber that leases jobs through queue/1 and starts a fiber a job. They run on one loop each,
 * spread over the loops. A job's call acts for the job's organization; it is counted as inside the plugin.
 */
#include "plugin/across.h"
#include "plugin/manager.h"
#include "plugin/meter.h"
#include "plugin/org_policies.h"
#include "plugin/settings.h"

#include "base/log.h"
#include "base/ticks.h"

#include <stdio.h>
#include <stdlib.h>

enum { IDLE_MS = 100, DOWN_MS = 500 };

struct mti_consumer {
    struct mti_consumer *next;
    mti_plugin_record *r;
    const mti_manifest_queue *queue;
    mti_loop *loop;
    mt_handler_fn run;
    _Atomic(bool) stop, ended;   /* both are set on its loop */
    bool finish;                 /* its jobs may come to their end */
    unsigned running;            /* jobs now; the loop's own */
    struct job *jobs;            /* those with a fiber; the loop's own */
};
typedef struct mti_consumer consumer;

typedef struct job {
    consumer *k;
    struct job *next;
    mti_fiber *fiber;
    char id[40], org_id[40], workspace_id[40];
    mti_buf payload;
} job;

static void copy_id(char out[40], mt_slice s)
{
    snprintf(out, 40, "%.*s", (int)(s.len < 40 ? s.len : 39), s.p ? s.p : "");
}

/* Also when the job was cancelled: then it is given back, and another takes it soon. */
static void settle_job(mt_call *c, const job *j, mt_status s)
{
    char reason[512];
    mti_fiber_shield(true);
    snprintf(reason, sizeof reason, "%s: %s", c->error.code[0] ? c->error.code : mti_status_name(s), c->error.detail);
    mti_db_abandon(c);
    if (s == MT_OK)
        s = mti_proxy_queue.done(c, mt_str(j->id));
    else
        mti_proxy_queue.fail(c, mt_str(j->id), mt_str(reason), s != MT_INVALID && s != MT_NOT_FOUND && s != MT_TOO_LARGE);
    if (s != MT_OK)
        mti_log(MTI_LOG_WARN, "job.failed", "queue=%s job=%s reason=%s", j->k->queue->name, j->id, reason);
    mti_fiber_shield(false);
}

static void leave(job *j)
{
    job **at = &j->k->jobs;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    j->k->running--;
}

static void run_job(void *arg)
{
    job *j = arg;
    mti_plugin_record *r = j->k->r;
    mt_call c;
    mti_uuid workspace;
    j->fiber = mti_fiber_current();
    j->next = j->k->jobs;
    j->k->jobs = j;
    mti_platform_call(&c, r->host, j->k->loop, j->k->queue->name);
    c.who.platform = false;                  /* it is the organization's work, and may not choose another */
    mti_uuid_parse(mt_str(j->org_id), &c.who.org_id);
    if (mti_uuid_parse(mt_str(j->workspace_id), &workspace))
        c.workspace_id = c.who.workspace_id = workspace;
    c.job_payload = mti_buf_slice(&j->payload);
    c.job_id = mt_str(j->id);
    c.operation_number = mti_operation_number(c.operation);
    mt_status s = mti_settings_attach(&c);   /* a job of a plugin that is off for its organization comes to its end all the same */
    if (s == MT_OK)
        s = mti_org_policies_attach(&c);
    bool ready = s == MT_OK, held = false;
    if (ready)
        s = MT_UNAVAILABLE;                  /* switched off just now: the job is given back, not dead */
    if (ready)
        held = mti_plugin_hold(r->host->plugins, mti_loop_index(c.loop), r->slot);
    if (held && mti_plugin_enter(r->host->plugins, &c, r->slot) == MT_OK) {
        c.plugin = r->slot;
        mti_fiber_set_tag(r->slot);
        uint64_t begun = mti_ticks();
        s = j->k->run(r->self, &c);
        mti_meter_count(&c, r->slot, MTI_METER_JOB, s != MT_OK, mti_ticks() - begun);
        c.plugin = 0;
        mti_fiber_set_tag(0);
    }
    if (held)
        mti_plugin_release(r->host->plugins, mti_loop_index(c.loop), r->slot);
    settle_job(&c, j, s);
    mti_call_dispose(&c);
    leave(j);
    mti_buf_dispose(&j->payload);
    free(j);
}

/* Leases as many jobs as there is room for; answers how many were started, or -1 when the queue cannot be reached. */
static int take_jobs(consumer *k)
{
    mt_call c;
    mt_handle jobs;
    mt_slice id, org, workspace, payload;
    int n = 0;
    mti_platform_call(&c, k->r->host, k->loop, "queue.take");
    mt_status s = mti_proxy_queue.take(&c, mt_str(k->queue->name), k->queue->concurrency - k->running, k->queue->lease_ms, &jobs);
    while (s == MT_OK && mti_proxy_queue.job(&c, jobs, (uint32_t)n, &id, &org, &workspace, &payload) == MT_OK) {
        job *j = calloc(1, sizeof *j);
        if (!j)
            break;               /* the lease runs out and the job is taken again */
        j->k = k;
        copy_id(j->id, id);
        copy_id(j->org_id, org);
        copy_id(j->workspace_id, workspace);
        mti_buf_init(&j->payload, 16 << 20);
        mti_buf_add(&j->payload, payload.p, payload.len);
        k->running++;
        n++;
        if (mti_fiber_spawn(k->loop, run_job, j) != MT_OK) {
            k->running--;
            mti_buf_dispose(&j->payload);
            free(j);
            break;
        }
    }
    mti_call_dispose(&c);
    return s == MT_OK ? n : -1;
}

static void consume(void *arg)
{
    consumer *k = arg;
    while (!atomic_load(&k->stop)) {
        int n = k->running < k->queue->concurrency ? take_jobs(k) : 0;
        if (n <= 0 && mti_sleep(n < 0 ? DOWN_MS : IDLE_MS) != MT_OK)
            break;
    }
    while (k->running && mti_sleep(IDLE_MS) == MT_OK)
        ;
    atomic_store(&k->ended, true);
}

static void start_on_loop(void *arg)
{
    consumer *k = arg;
    if (mti_fiber_spawn(k->loop, consume, k) != MT_OK)
        atomic_store(&k->ended, true);
}

static bool exists(const mti_plugins *p, const mti_plugin_record *r)
{
    for (const consumer *k = p->consumers; k; k = k->next)
        if (k->r == r && !atomic_load(&k->stop))
            return true;
    return false;
}

void mti_consumers_start(mti_plugin_record *r)
{
    mti_plugins *p = r->host->plugins;
    if (p->quiet || exists(p, r))
        return;
    for (size_t i = 0; i < r->manifest->n_queues; i++) {
        consumer *k = calloc(1, sizeof *k);
        k->r = r;
        k->queue = &r->manifest->queues[i];
        k->loop = r->host->loops[(r->slot + i) % r->host->n_loops];
        for (uint32_t n = 0; n < r->entry->n_handlers; n++)
            if (!strcmp(r->entry->handlers[n].name, k->queue->handler))
                k->run = r->entry->handlers[n].run;
        k->next = p->consumers;
        p->consumers = k;
        mti_loop_post(k->loop, start_on_loop, k);
    }
}

static void stop_on_loop(void *arg)
{
    consumer *k = arg;
    for (job *j = k->finish ? NULL : k->jobs; j; j = j->next)
        mti_fiber_cancel(j->fiber);
    atomic_store(&k->stop, true);
}

/* Out of the manager's list, so that others may change it while these end. */
static consumer *take_all(mti_plugin_record *r)
{
    consumer *taken = NULL, **at = &r->host->plugins->consumers;
    while (*at) {
        consumer *k = *at;
        if (k->r != r) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        k->next = taken;
        taken = k;
    }
    return taken;
}

void mti_consumers_stop(mti_plugin_record *r, bool finish)
{
    consumer *taken = take_all(r);
    for (consumer *k = taken; k; k = k->next) {
        k->finish = finish;
        mti_loop_post(k->loop, stop_on_loop, k);
    }
    for (consumer *k = taken, *next; k; k = next) {
        bool over;
        next = k->next;
        while (!(over = atomic_load(&k->stop) && atomic_load(&k->ended)) && mti_sleep(IDLE_MS / 10) == MT_OK)
            if (k->finish && r->host->plugins->ending) {
                k->finish = false;           /* the host stops: nothing is waited for any longer */
                mti_loop_post(k->loop, stop_on_loop, k);
            }
        if (over)
            free(k);
    }
}
