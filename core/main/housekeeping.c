#include "housekeeping.h"

#include "base/log.h"
#include "plugin/across.h"

enum { EVERY_MS = 10 * 60 * 1000 };

static mti_waitlist end;

static void keep(mti_host *h)
{
    mt_call c;
    mti_query *q;
    size_t n;
    mti_result *r;
    mti_platform_call(&c, h, h->loops[0], "host.housekeep");
    mt_status s = mti_query_parse(&c.arena, "core/main/housekeeping.c", MT_SLICE("-- name: housekeep :one write\nSELECT mt.housekeep();\n"), &q, &n, &c.error);
    if (s == MT_OK && mti_db_up(h->db))
        s = mti_db_run(&c, &(mti_db_role){0}, q, NULL, &r);
    if (s != MT_OK && s != MT_CANCELLED)
        mti_log(MTI_LOG_WARN, "housekeeping.failed", "code=%s", c.error.code);
    mti_call_dispose(&c);
}

static void run(void *arg)
{
    mti_host *h = arg;
    while (mti_wait(&end, EVERY_MS) == MT_TIMEOUT && !atomic_load(&h->stopping))
        keep(h);
}

void mti_housekeeping_start(mti_host *h)
{
    mti_fiber_spawn(h->loops[0], run, h);
}

void mti_housekeeping_stop(void)
{
    mti_wake_all(&end);
}
