/* queue/1 over mt.job_*: what is fair, retried and dead is decided there; here is only its shape.
 */
#include <mortise/entry.h>
#include <sys/random.h>

typedef struct queue {
    char worker[40]; /* names this host process in the job table */
} queue;

static mt_status create(void **self)
{
    uint64_t random[2];
    queue *q = calloc(1, sizeof *q);
    *self = q;
    if (!q || getrandom(random, sizeof random, 0) != sizeof random)
        return MT_NO_MEMORY;
    snprintf(q->worker, sizeof q->worker, "%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    return MT_OK;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static void unload(void *self)
{
    free(self);
}

static mt_slice number(mt_call *c, int64_t n)
{
    return mt_printf(c, "%lld", (long long)n);
}

static int64_t seconds_up(int64_t ms)
{
    return ms <= 0 ? 0 : (ms + 999) / 1000;
}

static mt_status on_put(void *self, mt_call *c, mt_slice name, mt_slice payload,
                        mt_slice unique_key, int64_t delay_ms)
{
    mt_handle row;
    const mt_field args[] = {
        {MT_SLICE("id"), mt_new_id(c)},
        {MT_SLICE("queue"), name},
        {MT_SLICE("workspace_id"), mt_workspace_id(c)},
        {MT_SLICE("payload"), payload},
        {MT_SLICE("unique_key"), unique_key},
        {MT_SLICE("delay_seconds"), number(c, seconds_up(delay_ms))},
    };
    return mt_db_one(c, MT_SLICE("put"), args, sizeof args / sizeof *args, &row);
}

static mt_status on_take(void *self, mt_call *c, mt_slice name, uint32_t max, int64_t lease_ms,
                         mt_handle *jobs)
{
    queue *q = self;
    const mt_field args[] = {
        {MT_SLICE("queue"), name},
        {MT_SLICE("most"), number(c, max)},
        {MT_SLICE("lease_seconds"), number(c, seconds_up(lease_ms))},
        {MT_SLICE("worker"), mt_str(q->worker)},
    };
    return mt_db_query(c, MT_SLICE("take"), args, sizeof args / sizeof *args, jobs);
}

static mt_status on_job(void *self, mt_call *c, mt_handle jobs, uint32_t index, mt_slice *id,
                        mt_slice *org_id, mt_slice *workspace_id, mt_slice *payload)
{
    if (index >= mt_db_rows(c, jobs))
        return MT_DONE;
    *id = mt_db_value(c, jobs, index, MT_SLICE("id"));
    *org_id = mt_db_value(c, jobs, index, MT_SLICE("org_id"));
    *workspace_id = mt_db_value(c, jobs, index, MT_SLICE("workspace_id"));
    *payload = mt_db_value(c, jobs, index, MT_SLICE("payload"));
    return MT_OK;
}

/* Runs a query that answers whether this host still holds the job. */
static mt_status settle(mt_call *c, const char *query, const mt_field *args, size_t n,
                        mt_status lost)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, mt_str(query), args, n, &row));
    return mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("held")), MT_SLICE("t")) ? MT_OK : lost;
}

/* The job is the call's: the host binds :job_id. The table keeps the lease only; how far the job
 * is, its owner tells in its own rows. */
static mt_status on_progress(void *self, mt_call *c, int64_t done, int64_t total)
{
    queue *q = self;
    const mt_field args[] = {{MT_SLICE("worker"), mt_str(q->worker)}};
    return settle(c, "extend", args, 1, MT_CANCELLED);
}

static mt_status on_done(void *self, mt_call *c, mt_slice id)
{
    queue *q = self;
    const mt_field args[] = {{MT_SLICE("id"), id}, {MT_SLICE("worker"), mt_str(q->worker)}};
    return settle(c, "done", args, 2, MT_CONFLICT);
}

static mt_status on_fail(void *self, mt_call *c, mt_slice id, mt_slice reason, bool retry)
{
    queue *q = self;
    const mt_field args[] = {
        {MT_SLICE("id"), id},
        {MT_SLICE("worker"), mt_str(q->worker)},
        {MT_SLICE("reason"), reason.p ? reason : MT_SLICE("")},
        {MT_SLICE("final"), retry ? MT_SLICE("false") : MT_SLICE("true")},
    };
    return settle(c, "fail", args, 4, MT_CONFLICT);
}

static mt_handle depth;

static mt_status activate(void *self, mt_call *c)
{
    return mt_metrics_family(c, MT_SLICE("gauge"), MT_SLICE("jobs"),
                             MT_SLICE("Jobs by queue and state (ready, running, dead)."),
                             MT_SLICE("queue,state"), &depth);
}

static mt_outcome on_collect(void *self, mt_call *c, const void *in, mt_patch *out)
{
    mt_handle rows;
    if (mt_db_query(c, MT_SLICE("depth"), NULL, 0, &rows) != MT_OK)
        return MT_ERROR;
    mt_metrics_zero(depth);
    for (uint32_t i = 0; i < mt_db_rows(c, rows); i++) {
        const mt_slice labels[] = {mt_db_value(c, rows, i, MT_SLICE("queue")),
                                   mt_db_value(c, rows, i, MT_SLICE("state"))};
        mt_metrics_set(depth, labels, 2,
                       mt_number(mt_db_value(c, rows, i, MT_SLICE("jobs")), 0));
    }
    return MT_CONTINUE;
}

static const mt_hook_entry hooks[] = {{"on_collect", on_collect}};
static const mt_queue_1_provider provider = {.size = sizeof provider,
                                             .version = 1,
                                             .put = on_put,
                                             .progress = on_progress,
                                             .take = on_take,
                                             .job = on_job,
                                             .done = on_done,
                                             .fail = on_fail};
static const mt_service_entry services[] = {{"queue/1", &provider}};

MT_EXPORT const mt_plugin queue_pg_plugin = {.abi = MT_ABI,
                                             .size = sizeof(mt_plugin),
                                             .slug = "queue_pg",
                                             .version = "0.1.0",
                                             .create = create,
                                             .load = load,
                                             .activate = activate,
                                             .unload = unload,
                                             .services = services,
                                             .n_services = 1,
                                             .hooks = hooks,
                                             .n_hooks = 1};
