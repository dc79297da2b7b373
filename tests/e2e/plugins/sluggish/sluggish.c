/* Slow in the database (queries.sql), on the pool, and in waiting. */
#include <mortise/entry.h>

#include <time.h>

static void burn(void *arg)
{
    struct timespec from, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < 100);
}

static mt_status on_compute(void *self, mt_call *c)
{
    MT_TRY(mt_offload_run(c, burn, NULL));
    return mt_respond(c, 204, (mt_slice){0});
}

static mt_status on_sleep(void *self, mt_call *c)
{
    MT_TRY(mt_sleep(c, 1000));
    return mt_respond(c, 204, (mt_slice){0});
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_compute", on_compute}, {"on_sleep", on_sleep}};

MT_EXPORT const mt_plugin sluggish_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "sluggish", .version = "0.1.0", .load = load, .handlers = handlers, .n_handlers = 2};
