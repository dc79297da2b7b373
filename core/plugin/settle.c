/* Brings every wished-for plugin as far as it gets, one change at a time. */
#include "plugin/across.h"
#include "plugin/hold.h"
#include "plugin/instances.h"
#include "plugin/manager.h"
#include "plugin/publish.h"
#include "plugin/record.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* One attempt; true when the plugin became active. */
static bool advance(mti_plugins *p, mti_plugin_record *r, mt_call *c)
{
    char why[384];
    int state = atomic_load(&r->state);
    if (p->ending || !r->manifest || state == MTI_PLUGIN_ACTIVE || state == MTI_PLUGIN_FAILED)
        return false;
    if (!mti_record_may_run(r))
        return false;
    if (!r->loaded)
        mti_record_load_or_fail(r);
    if (!r->loaded)
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
    r->tried = atomic_load(&r->state) != MTI_PLUGIN_ACTIVE;
    if (r->tried)
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

/* Those that are brought up side by side, each in a fiber: one that waits for a model or for the database holds up nobody who does not need it. */
typedef struct crew {
    mti_plugins *p;
    unsigned at_work;
    bool progress;
    mti_waitlist change;
} crew;

typedef struct one {
    crew *crew;
    mti_plugin_record *r;
} one;

static void advance_one(void *arg)
{
    one *x = arg;
    crew *w = x->crew;
    mt_call c;
    mti_platform_call(&c, w->p->host, w->p->host->loops[0], "host.settle");
    w->progress |= advance(w->p, x->r, &c);
    mti_call_dispose(&c);
    x->r->starting = false;
    free(x);
    w->at_work--;
    mti_wake_all(&w->change);
}

static void advance_aside(crew *w, mti_plugin_record *r, mt_call *c)
{
    one *x = malloc(sizeof *x);
    if (x)
        *x = (one){w, r};
    w->at_work++;
    r->starting = true;
    if (x && mti_fiber_spawn(c->loop, advance_one, x) == MT_OK)
        return;
    free(x);
    w->at_work--;
    w->progress |= advance(w->p, r, c);
    r->starting = false;
}

/* With each that is up, those that waited for it are tried again; not those whose own activate failed. */
static void advance_all(mti_plugins *p, mt_call *c, bool essential)
{
    crew w = {.p = p};
    for (unsigned i = 1; i < p->n; i++)
        p->records[i]->tried = false;
    mti_fiber_shield(true);      /* the crew is on this stack */
    do {
        w.progress = false;
        for (unsigned i = 1; i < p->n; i++) {
            mti_plugin_record *r = p->records[i];
            if (atomic_load(&r->current) && (r->manifest && r->manifest->essential) == essential && atomic_load(&r->wanted) && !r->starting && !r->tried)
                advance_aside(&w, r, c);
        }
        while (w.at_work && !w.progress)
            mti_wait(&w.change, -1);
    } while (w.at_work || w.progress);
    mti_fiber_shield(false);
}

/* One that was switched off before this process began was loaded before the database could say so. */
static void rest(mti_plugin_record *r)
{
    int state = atomic_load(&r->state);
    if (!atomic_load(&r->wanted) && (state == MTI_PLUGIN_LOADED || state == MTI_PLUGIN_WAITING || state == MTI_PLUGIN_QUARANTINED))
        mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
}

static void read_instances(mti_plugins *p, mt_call *c)
{
    if (mti_instances_read(p, c, NULL) == MT_OK)
        return;
    mti_log(MTI_LOG_WARN, "plugin.instances_unread", "reason=%s", c->error.detail);
    memset(&c->error, 0, sizeof c->error);
}

void mti_settle(mti_plugins *p, mt_call *c)
{
    for (unsigned i = 1; i < p->n; i++)
        if (p->records[i]->manifest && atomic_load(&p->records[i]->current)) {
            mti_record_read_wish(p->records[i], c);
            rest(p->records[i]);
        }
    if (mti_database_usable(p->host))
        read_instances(p, c);
    mti_fiber_spawn(c->loop, publish_meanwhile, p);
    advance_all(p, c, true);     /* nobody is known without them */
    advance_all(p, c, false);
    publish_changes(p);
}

void mti_plugins_settle(mti_plugins *p, mt_call *c)
{
    if (mti_turn_take(p) != MT_OK)
        return;
    mti_settle(p, c);
    mti_turn_end(p);
    mti_reseal_start(p);
}

/* Another host may have another version: what does not fit the one that serves here is not taken. */
static void reread_config(mti_plugin_record *r, mt_call *c)
{
    bool enabled;
    json_t *stored = NULL, *config = NULL;
    mt_status s = mti_store_read(c, r->slug, &enabled, &stored);
    if (s == MT_NOT_FOUND && (stored = json_object()))
        s = MT_OK;
    if (s == MT_OK)
        s = mti_config_open(c, r->slug, "", stored, &config);
    if (s == MT_OK)
        s = mti_config_check(r->manifest, config, c);
    if (s == MT_OK)
        s = mti_record_set_config(r, stored, c);
    json_decref(config);
    if (s != MT_OK)
        mti_log(MTI_LOG_WARN, "plugin.config_unread", "plugin=%s reason=%s", r->slug, c->error.detail);
    memset(&c->error, 0, sizeof c->error);
    json_decref(stored);
}

void mti_plugins_reread(mti_plugins *p, mt_call *c, const char *slug)
{
    if (mti_turn_take(p) != MT_OK)
        return;
    bool usable = !p->ending && mti_database_usable(p->host);
    for (unsigned i = 1; usable && i < p->n; i++) {
        mti_plugin_record *r = p->records[i];
        if (r->manifest && atomic_load(&r->current) && !atomic_load(&r->locked) && (!slug || !strcmp(slug, r->slug)))
            reread_config(r, c);
    }
    if (usable)
        read_instances(p, c);
    if (usable)
        publish_changes(p);
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
