/* A version that was replaced goes on for those who are inside: it is closed, and its deactivate called, when the last one has left. */
#include "plugin/across.h"
#include "plugin/manager.h"
#include "plugin/record.h"

#include "base/log.h"

#include <unistd.h>

enum { MOST_RETIRED = 64 };                  /* versions, and MiB of their objects */
enum { QUIET_MS = 1000 };                    /* without a change, until a fresh host is asked for */
enum { MANY_SLOTS = MTI_MAX_PLUGINS * 5 / 8 };    /* in use: then it is not waited for */
enum { LOOK_MS = 20, LOOK_SLOWLY_MS = 500, QUICK_LOOKS = 100 };

static bool is_retired(const mti_plugin_record *r)
{
    return atomic_load(&r->state) == MTI_PLUGIN_RETIRED && !atomic_load(&r->closed);
}

/* In a turn. Who wants in counts himself first and looks at closed then, so one of the two sees the other. */
static bool try_close(mti_plugin_record *r, mt_call *c)
{
    atomic_store(&r->closed, true);
    if (mti_record_inside(r, true)) {
        atomic_store(&r->closed, false);
        return false;
    }
    mti_record_end(r, c);
    if (r->worker)
        mti_worker_stop(r->worker);          /* its process goes; the version does not come back in this slot */
    mti_log(MTI_LOG_INFO, "plugin.retired", "plugin=%s version=%s", r->slug, r->manifest->version);
    return true;
}

static bool close_in_turn(mti_plugin_record *r)
{
    mti_plugins *p = r->host->plugins;
    mt_call c;
    if (mti_turn_take(p) != MT_OK)
        return true;
    mti_platform_call(&c, r->host, r->host->loops[0], "plugin.retire");
    bool over = !is_retired(r) || try_close(r, &c);
    mti_call_dispose(&c);
    mti_turn_end(p);
    return over;
}

static void wait_and_close(void *arg)
{
    mti_plugin_record *r = arg;
    mti_plugins *p = r->host->plugins;
    mti_consumers_stop(r, true);
    for (int looks = 0; is_retired(r) && !p->ending; looks++) {
        if (!mti_record_inside(r, true) && close_in_turn(r))
            break;
        mti_wait(&p->retiring, looks < QUICK_LOOKS ? LOOK_MS : LOOK_SLOWLY_MS);
    }
    p->n_retiring--;
}

void mti_retire_begin(mti_plugin_record *r)
{
    mti_plugins *p = r->host->plugins;
    p->n_retiring++;
    if (mti_fiber_spawn(r->host->loops[0], wait_and_close, r) != MT_OK)
        p->n_retiring--;                     /* no fiber is free: it stays open, which does no harm */
}

void mti_retire_end_all(mti_plugins *p, mt_call *c)
{
    p->ending = true;
    while (p->n_retiring) {
        mti_wake_all(&p->retiring);
        if (mti_sleep(LOOK_MS / 10) != MT_OK)
            break;
    }
    for (unsigned i = p->n; i-- > 1;)
        if (is_retired(p->records[i])) {
            atomic_store(&p->records[i]->closed, true);
            mti_record_end(p->records[i], c);
        }
}

/* A moment without changes comes when one upgrade has not been followed by another for a second, or after ten of those, or when slots become few. */
static void ask_for_reload(void *arg)
{
    mti_plugins *p = arg;
    unsigned n = 0;
    for (int i = 0; i < 10 && n != p->n && p->n < MANY_SLOTS && !p->ending; i++) {
        n = p->n;
        mti_wait(&p->retiring, QUIET_MS);
    }
    if (!p->ending && !p->frozen && write(p->host->reload_fd, "R", 1) != 1)
        mti_log(MTI_LOG_WARN, "plugin.reload_unasked", "retired=%u", n);
    p->n_retiring--;
}

void mti_retire_check(mti_plugins *p)
{
    unsigned n = 0;
    int64_t bytes = 0;
    for (unsigned i = 1; i < p->n; i++)
        if (!atomic_load(&p->records[i]->current)) {
            n++;
            bytes += p->records[i]->object_bytes;
        }
    if (p->asked || (n < MOST_RETIRED && bytes >> 20 < MOST_RETIRED))
        return;
    p->asked = true;
    mti_log(MTI_LOG_INFO, "plugin.reload_due", "retired=%u bytes=%lld", n, (long long)bytes);
    p->n_retiring++;
    if (mti_fiber_spawn(p->host->loops[0], ask_for_reload, p) != MT_OK) {
        p->n_retiring--;
        p->asked = false;
    }
}
