/* The hosts that a worker serves: one, or of an engine those that come. */
#include <stdlib.h>
#include <unistd.h>

#include "worker/engine.h"
#include "worker/process.h"
#include "worker/serve.h"

mti_link *mti_link_create(const int *fds, unsigned n)
{
    mti_link *l = calloc(1, sizeof *l);
    mti_lane *lanes = calloc(n, sizeof *lanes);
    if (!l || !lanes)
        abort();
    l->lanes = lanes;
    l->n_lanes = n;
    for (unsigned i = 0; i < n; i++) {
        lanes[i].link = l;
        lanes[i].ch.fd = fds[i];
    }
    l->next = mti_this.links;
    mti_this.links = l;
    return l;
}

static void link_free(mti_link *l)
{
    mti_link **at = &mti_this.links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    free(l->lanes);
    free(l);
}

void mti_link_leave_run(mti_link *l)
{
    if (!--l->n_runs && l->lost)
        link_free(l);
}

/* What it asked for ends; the plugin stays as it is for the next host. */
static void lose(mti_link *l)
{
    if (l->lost)
        return;
    l->lost = true;
    l->active = false;
    l->n_runs++;             /* it stays until all of this is done */
    for (unsigned i = 0; i < l->n_lanes; i++) {
        for (unsigned k = 0; k < MTI_WORKER_CALLS; k++)
            if (l->lanes[i].runs[k])
                mti_run_lose(l->lanes[i].runs[k]);
        mti_channel_close(&l->lanes[i].ch);
    }
    mti_link_leave_run(l);
}

void mti_links_lose_others(const mti_link *but)
{
    for (mti_link *l = mti_this.links, *next; l; l = next) {
        next = l->next;
        if (l != but && l->active)
            lose(l);
    }
}

static void on_end(void *ctx)
{
    if (!mti_this.engine)
        _exit(0);            /* what the plugin holds is memory, and goes with it */
    lose(((mti_lane *)ctx)->link);
}

void mti_link_open(mti_link *l)
{
    for (unsigned i = 0; i < l->n_lanes; i++) {
        mti_lane *lane = &l->lanes[i];
        int fd = lane->ch.fd;
        lane->ch = (mti_channel){.on_frame = mti_run_frame, .on_end = on_end, .ctx = lane};
        mti_channel_open(&lane->ch, mti_this.loop, fd);
    }
}

/* The same key, so the same plugin, files and sandbox: nothing of it is read again. */
bool mti_link_start(mti_lane *lane)
{
    mti_buf b;
    mti_frame f;
    if (!mti_this.engine || lane->link->started)
        return false;
    lane->link->started = true;
    mti_process_greet(&b, &f, NULL);
    bool ok = mti_channel_send(&lane->ch, &f, b.p) == MT_OK;
    mti_buf_dispose(&b);
    return ok;
}

static void on_control(void *arg, unsigned ready)
{
    mti_engine_message m;
    int fds[MTI_ENGINE_FDS];
    unsigned n;
    bool ended;
    if (mti_engine_receive(MTI_WORKER_CONTROL, &m, fds, &n, &ended) && n)
        mti_link_open(mti_link_create(fds, n));
    else if (ended)
        _exit(0);            /* the supervisor is gone */
}

void mti_links_accept(void)
{
    if (!mti_watch_start(mti_this.loop, MTI_WORKER_CONTROL, MTI_READ, on_control, NULL))
        abort();
}
