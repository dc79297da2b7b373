/* From the supervisor's word to loops that stop: connections drain, jobs and plugins end, what loops hold is taken down. */
#include "housekeeping.h"
#include "process.h"

#include "base/log.h"
#include "http/client.h"
#include "plugin/across.h"
#include "plugin/feed.h"
#include "plugin/identity.h"
#include "plugin/manager.h"
#include "plugin/org_policies.h"
#include "plugin/settings.h"
#include "telemetry/trace.h"

#include <errno.h>
#include <unistd.h>

enum { IDLE_MS = 1000, JOBS_MS = 50 };       /* after a reload: until connections without a request are closed; looks whether jobs have ended */

enum { EMPTY_MS = 5, EMPTY_LOOKS = 1000 };

/* Fibers that were asked to end may still be on their way out. */
static void end_when_empty(void *arg)
{
    process *p = arg;
    mti_loop *l = mti_loop_current();
    if (mti_fiber_live(l) && p->looks[mti_loop_index(l)]++ < EMPTY_LOOKS)
        mti_timer_start(l, EMPTY_MS, end_when_empty, p);
    else
        mti_loop_stop(l);
}

static void end_loop(void *arg)
{
    process *p = arg;
    mti_loop *l = mti_loop_current();
    mti_db_mute(p->host.db, l);              /* a notification may be on its way to what now goes */
    mti_http_client_destroy(mti_http_client_of(l));
    mti_feed_detach(p->host.feed, l);
    mti_org_policies_stop(&p->host, l);
    mti_settings_stop(&p->host, l);
    mti_identities_detach(p->host.identities, l);
    mti_db_detach(p->host.db, l);
    mti_trace_dispose(l);
    end_when_empty(p);
}

static void end_plugins(void *arg)
{
    process *p = arg;
    mt_call c;
    while (p->quieting && !p->hurried && mti_sleep(JOBS_MS) == MT_OK)
        ;
    mti_plugins_hasten(p->host.plugins);
    while (p->settling && mti_sleep(EMPTY_MS) == MT_OK)   /* it needs what is taken down below */
        ;
    mti_platform_call(&c, &p->host, p->host.loops[0], "host.stop");
    mti_plugins_stop(p->host.plugins, &c);
    mti_call_dispose(&c);
    for (unsigned i = 0; i < p->host.n_loops; i++)
        mti_loop_post(p->host.loops[i], end_loop, p);
}

static void loop_drained(void *arg)
{
    process *p = arg;
    if (!--p->draining)
        mti_fiber_spawn(p->host.loops[0], end_plugins, p);
}

static void on_drained(void *arg)
{
    mti_loop_post(((process *)arg)->host.loops[0], loop_drained, arg);
}

static void drain_loop(void *arg)
{
    process *p = arg;
    int64_t stop = mti_config_int(p->host.config, "supervisor.stop_timeout") * 8 / 10, drain = mti_config_int(p->host.config, "supervisor.drain_timeout") * 8 / 10;
    mti_http_drain(p->http, mti_loop_current(), p->handing_over ? IDLE_MS : 0, p->handing_over && drain > stop ? drain : stop, on_drained, p);
}

static void hurry_loop(void *arg)
{
    process *p = arg;
    mti_http_hurry(p->http, mti_loop_current(), mti_config_int(p->host.config, "supervisor.stop_timeout") * 8 / 10);
}

static void quiet(void *arg)
{
    process *p = arg;
    mti_plugins_quiet(p->host.plugins);
    p->quieting = false;
}

/* The supervisor's words: another host begins to start, it failed, it serves; the end of the pipe: stop. */
void mti_process_on_stop(void *arg, unsigned ready)
{
    process *p = arg;
    char word = 0;
    if (read(p->setup->stop_fd, &word, 1) < 0 && errno == EINTR)
        return;
    if (word == 'p' || word == 'c') {
        mti_plugins_freeze(p->host.plugins, word == 'p');
        return;
    }
    if (!word)
        mti_watch_stop(p->stop_watch);
    if (p->stopping) {
        p->hurried = true;
        for (unsigned i = 0; i < p->host.n_loops; i++)
            mti_loop_post(p->host.loops[i], hurry_loop, p);
        return;
    }
    p->handing_over = word == 'r';
    p->quieting = p->handing_over;           /* before the fiber runs, which may end at once */
    if (p->quieting && mti_fiber_spawn(p->host.loops[0], quiet, p) != MT_OK)
        p->quieting = false;
    p->stopping = true;
    atomic_store(&p->host.stopping, true);
    mti_timer_cancel(p->tls_look);
    mti_housekeeping_stop();
    mti_feed_stop(p->host.feed);
    mti_log(MTI_LOG_INFO, "host.stopping", "loops=%u", p->host.n_loops);
    p->draining = p->host.n_loops;
    for (unsigned i = 0; i < p->host.n_loops; i++)
        mti_loop_post(p->host.loops[i], drain_loop, p);
}
