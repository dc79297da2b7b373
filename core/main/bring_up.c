/* From the first turn of the loops to a host that serves: the database comes, migrations run, plugins are brought up, loops listen. */
#include "housekeeping.h"
#include "process.h"

#include "base/log.h"
#include "db/migrate.h"
#include "http/client.h"
#include "plugin/across.h"
#include "plugin/feed.h"
#include "plugin/identity.h"
#include "plugin/manager.h"
#include "plugin/org_policies.h"
#include "plugin/settings.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* The control fiber: everything that changes plugins starts here, on loop 0. */
static void settle(void *arg)
{
    process *p = arg;
    mt_call c;
    char sql[4200];
    mti_platform_call(&c, &p->host, p->host.loops[0], "host.settle");
    if (mti_db_up(p->host.db) && !p->host.migrated) {
        snprintf(sql, sizeof sql, "%s/sql", p->host.root);
        mt_status s = mti_migrate_core(&c, sql);
        atomic_store(&p->host.migrated, s == MT_OK);
        if (s != MT_OK)
            mti_log(MTI_LOG_ERROR, "migrate.failed", "code=%s detail=%s", c.error.code, c.error.detail);
    }
    if (!p->stopping && (!mti_db_up(p->host.db) || p->host.migrated))
        mti_plugins_settle(p->host.plugins, &c);
    mti_call_dispose(&c);
}

static void settle_again(void *arg);
static void listen_on_loop(void *arg);

static void settle_until_done(void *arg)
{
    process *p = arg;
    char why[400];
    p->settling++;
    settle(p);
    p->settling--;
    const bool done = p->host.migrated && mti_plugins_readiness(p->host.plugins, why, sizeof why) != MTI_NOT_READY;
    if (done && p->setup->overlap && !p->began) {   /* all is up that another host still serves */
        p->began = true;
        for (unsigned i = 0; i < p->host.n_loops; i++)
            mti_loop_post(p->host.loops[i], listen_on_loop, p);
    }
    if (!p->stopping && !p->again && !done && mti_db_up(p->host.db))   /* when it comes up it says so */
        p->again = mti_timer_start(p->host.loops[0], 1000, settle_again, p);
}

static void settle_again(void *arg)
{
    process *p = arg;
    p->again = NULL;
    if (!p->stopping && mti_fiber_spawn(p->host.loops[0], settle_until_done, p) != MT_OK)
        p->again = mti_timer_start(p->host.loops[0], 1000, settle_again, p);
}

static void settle_on_loop(void *arg)
{
    process *p = arg;
    if (p->again)
        mti_timer_cancel(p->again);
    settle_again(p);
}

/* The database is mostly up within milliseconds and then settles all at once, the essential plugins first: only if it stays away do the
 * plugins that can work without it start alone. */
void mti_process_settle_soon(void *arg)
{
    process *p = arg;
    if (!p->again && !p->host.migrated)
        p->again = mti_timer_start(p->host.loops[0], 300, settle_again, p);
}

void mti_process_on_database(void *arg, bool up)
{
    process *p = arg;
    mti_log(up ? MTI_LOG_INFO : MTI_LOG_ERROR, up ? "database.up" : "database.down", "url=%s", "set");
    if (up)
        mti_loop_post(p->host.loops[0], settle_on_loop, p);
}

void mti_process_say(const process *p, const char *byte)
{
    if (write(p->setup->ready_fd, byte, 1) != 1)
        mti_log(MTI_LOG_WARN, "host.ready_unheard", "errno=%d", errno);
}

static void listen_on_loop(void *arg)
{
    process *p = arg;
    mti_loop *l = mti_loop_current();
    mti_http_listen(p->http, l, p->setup->listen_fd);
    if (!mti_loop_index(l))
        mti_http_listen(p->http, l, p->setup->admin_fd);
    if (atomic_fetch_add(&p->listening, 1) + 1 == p->host.n_loops && p->setup->overlap)
        mti_process_say(p, "1");
}

void mti_process_attach_loop(void *arg)
{
    process *p = arg;
    mti_loop *l = mti_loop_current();
    mti_fiber_set_limit(l, (unsigned)mti_config_int(p->host.config, "http.max_fibers"));
    mti_db_attach(p->host.db, l);
    mti_identities_attach(p->host.identities, l);
    mti_feed_attach(p->host.feed, l);
    mti_settings_start(&p->host, l);
    mti_org_policies_start(&p->host, l);
    unsigned outbound = (unsigned)mti_config_int(p->host.config, "outbound.connections");
    mti_http_client_create(l, &(mti_http_client_options){.max_connections = outbound, .max_host_connections = outbound, .max_exchanges = 2 * outbound});
    if (!p->setup->overlap)
        listen_on_loop(p);
    if (mti_loop_index(l))
        return;
    mti_housekeeping_start(&p->host);
    p->stop_watch = mti_watch_start(l, p->setup->stop_fd, MTI_READ, mti_process_on_stop, p);   /* only now: what it ends has begun */
}
