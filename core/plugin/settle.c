/* Brings every wished-for plugin as far as it gets, one change at a time. */
#include "plugin/hold.h"
#include "plugin/instances.h"
#include "plugin/manager.h"
#include "plugin/publish.h"
#include "plugin/record.h"

#include "base/log.h"

#include <stdio.h>

/* One attempt; true when the plugin became active. */
static bool advance(mti_plugins *p, mti_plugin_record *r, mt_call *c)
{
    char why[384];
    int state = atomic_load(&r->state);
    if (!r->manifest || state == MTI_PLUGIN_ACTIVE || state == MTI_PLUGIN_FAILED)
        return false;
    if (!mti_record_may_run(r))
        return false;
    if (!r->loaded)
        mti_record_load_or_fail(r);
    if (atomic_load(&r->state) == MTI_PLUGIN_FAILED)
        return false;
    if (atomic_load(&r->locked))
        snprintf(why, sizeof why, "%s", r->lock);
    else
        mti_resolve_obstacle(p, r, why, sizeof why);
    if (why[0]) {
        mti_record_state(r, MTI_PLUGIN_WAITING, why);
        return false;
    }
    mti_record_activate(r, c);
    if (atomic_load(&r->state) != MTI_PLUGIN_ACTIVE)
        return false;
    mti_publish_services(p);
    return true;
}

enum { PUBLISH_MS = 30 };

mt_status mti_turn_take(mti_plugins *p)
{
    while (p->busy)
        MT_TRY(mti_wait(&p->turn, -1));
    p->busy = true;
    return MT_OK;
}

mt_status mti_turn_ask(mti_plugins *p, mt_call *c)
{
    MT_TRY(mti_turn_take(p));
    if (!p->frozen)
        return MT_OK;
    mti_turn_end(p);
    return mti_fail(&c->error, MT_UNAVAILABLE, "host_reloading", "The host is being replaced by a fresh one: try again in a few seconds.");
}

void mti_plugins_freeze(mti_plugins *p, bool frozen)
{
    p->frozen = frozen;
}

void mti_plugins_quiet(mti_plugins *p)
{
    p->frozen = p->quiet = true;
    for (unsigned i = 1; i < p->n; i++)
        mti_consumers_stop(p->records[i], true);
}

void mti_turn_end(mti_plugins *p)
{
    p->busy = false;
    mti_wake_one(&p->turn);
}

static void publish_changes(mti_plugins *p)
{
    mti_error e = {0};
    if (atomic_exchange(&p->dirty, false) && mti_publish(p, &e) != MT_OK)
        mti_log(MTI_LOG_ERROR, "plugin.publish_failed", "reason=%s", e.detail);
    for (unsigned i = 1; i < p->n; i++)
        if (atomic_load(&p->records[i]->state) == MTI_PLUGIN_ACTIVE)
            mti_consumers_start(p->records[i]);
}

/* What is up serves while others still start: a plugin that takes its time (a model, a migration) holds up nobody. */
static void publish_meanwhile(void *arg)
{
    mti_plugins *p = arg;
    while (mti_sleep(PUBLISH_MS) == MT_OK && p->busy)
        publish_changes(p);
}

/* The essential ones come first: nobody is known without them. */
static bool advance_all(mti_plugins *p, mt_call *c)
{
    bool progress = false;
    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 1; i < p->n; i++) {
            mti_plugin_record *r = p->records[i];
            bool essential = r->manifest && r->manifest->essential;
            if (atomic_load(&r->current) && essential == !pass && atomic_load(&r->wanted))
                progress |= advance(p, r, c);
        }
    return progress;
}

/* One that was switched off before this process began was loaded before the database could say so. */
static void rest(mti_plugin_record *r)
{
    int state = atomic_load(&r->state);
    if (!atomic_load(&r->wanted) && (state == MTI_PLUGIN_LOADED || state == MTI_PLUGIN_WAITING || state == MTI_PLUGIN_QUARANTINED))
        mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
}

void mti_settle(mti_plugins *p, mt_call *c)
{
    for (unsigned i = 1; i < p->n; i++)
        if (p->records[i]->manifest && atomic_load(&p->records[i]->current)) {
            mti_record_read_wish(p->records[i], c);
            rest(p->records[i]);
        }
    if (mti_database_usable(p->host) && mti_instances_read(p, c, NULL) != MT_OK)
        mti_log(MTI_LOG_WARN, "plugin.instances_unread", "reason=%s", c->error.detail);
    mti_fiber_spawn(c->loop, publish_meanwhile, p);
    while (advance_all(p, c))
        ;
    publish_changes(p);
}

void mti_plugins_settle(mti_plugins *p, mt_call *c)
{
    if (mti_turn_take(p) != MT_OK)
        return;
    if (!p->sealed && mti_database_usable(p->host))
        p->sealed = mti_store_seal_all(c) == MT_OK;
    mti_settle(p, c);
    mti_turn_end(p);
}

/* The active plugin that was activated last; NULL: none is active. */
static mti_plugin_record *find_last(const mti_plugins *p)
{
    mti_plugin_record *last = NULL;
    for (unsigned i = 1; i < p->n; i++)
        if (atomic_load(&p->records[i]->state) == MTI_PLUGIN_ACTIVE && (!last || p->records[i]->turn > last->turn))
            last = p->records[i];
    return last;
}

void mti_plugins_stop(mti_plugins *p, mt_call *c)
{
    mti_plugin_record *r;
    mti_retire_end_all(p, c);
    if (mti_turn_take(p) != MT_OK)
        return;
    while ((r = find_last(p)))
        mti_record_deactivate(p, r, c, "the host stops");
    mti_isolate_stop(p);
    mti_turn_end(p);
}
