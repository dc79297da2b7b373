/* Watches: descriptors that h2o does not know, in one nested epoll a loop whose own descriptor is a
 * h2o socket. */
#include "loop/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCH 64

struct mti_watch {
    mti_loop *loop;
    void (*fn)(void *arg, unsigned ready);
    void *arg;
    int fd;
    unsigned events;
    mti_watch *next, *prev;
};

void mti_watches_init(mti_loop *l)
{
    l->watches.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->watches.epoll_fd < 0)
        mti_loop_die("no descriptor for a loop");
}

static bool watch_control(mti_watch *w, int op)
{
    struct epoll_event ev = {.data.ptr = w};
    if (w->events & MTI_READ)
        ev.events |= EPOLLIN | EPOLLRDHUP;
    if (w->events & MTI_WRITE)
        ev.events |= EPOLLOUT;
    return epoll_ctl(w->loop->watches.epoll_fd, op, w->fd, &ev) == 0;
}

mti_watch *mti_watch_start(mti_loop *l, int fd, unsigned events,
                           void (*fn)(void *arg, unsigned ready), void *arg)
{
    mti_watch *w = calloc(1, sizeof(*w));
    if (!w)
        mti_loop_die("out of memory");
    *w = (mti_watch){.loop = l, .fn = fn, .arg = arg, .fd = fd, .events = events};
    if (events && !watch_control(w, EPOLL_CTL_ADD)) {
        free(w);
        return NULL;
    }
    w->next = l->watches.all;
    if (w->next)
        w->next->prev = w;
    l->watches.all = w;
    return w;
}

void mti_watch_set(mti_watch *w, unsigned events)
{
    if (events == w->events)
        return;
    /* Paused means gone from epoll: it reports errors and hang-ups even to those who ask for
     * nothing. */
    int op = !events ? EPOLL_CTL_DEL : w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    w->events = events;
    if (!watch_control(w, op) && op != EPOLL_CTL_DEL)
        mti_loop_die("a watched descriptor was closed");
}

void mti_watch_stop(mti_watch *w)
{
    mti_watches *ws = &w->loop->watches;
    if (w->events)
        watch_control(w, EPOLL_CTL_DEL);
    for (int i = 0; i < ws->batch_len; i++)
        if (ws->batch[i].data.ptr == w)
            ws->batch[i].data.ptr = NULL;
    if (w->next)
        w->next->prev = w->prev;
    if (w->prev)
        w->prev->next = w->next;
    else
        ws->all = w->next;
    free(w);
}

static unsigned ready_events(const mti_watch *w, uint32_t got)
{
    unsigned ready = 0;
    if (got & (EPOLLERR | EPOLLHUP))
        return w->events;
    if (got & (EPOLLIN | EPOLLRDHUP))
        ready |= MTI_READ;
    if (got & EPOLLOUT)
        ready |= MTI_WRITE;
    return ready & w->events;
}

void mti_watches_dispatch(mti_loop *l)
{
    struct epoll_event batch[BATCH];
    mti_watches *ws = &l->watches;
    int n = epoll_wait(ws->epoll_fd, batch, BATCH, 0);
    if (n <= 0)
        return;
    ws->batch = batch;
    ws->batch_len = n;
    for (int i = 0; i < n; i++) {
        mti_watch *w = batch[i].data.ptr;
        unsigned ready = w ? ready_events(w, batch[i].events) : 0;
        if (ready)
            w->fn(w->arg, ready);
    }
    ws->batch = NULL;
    ws->batch_len = 0;
}

void mti_watches_dispose(mti_loop *l)
{
    while (l->watches.all)
        mti_watch_stop(l->watches.all);
    close(l->watches.epoll_fd);
}
