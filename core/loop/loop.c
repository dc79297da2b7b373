/*
 * The turn: wait in h2o's epoll, then timers, messages and ready fibers. h2o owns the outer epoll
 * because its sockets can live nowhere else; other descriptors hang off a nested one (watch.c).
 */
#include "loop/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <h2o/socket.h>
#include <h2o/timeout.h>

#include "base/ident.h"

/* Fibers that keep waking each other may go on for this many rounds before descriptors are looked
 * at again. */
#define MAX_ROUNDS   16
#define MAX_WAIT_MS  60000
#define MAILBOX_KEEP 8192

_Thread_local mti_loop *mti_loop_self;

void mti_loop_die(const char *what)
{
    fprintf(stderr, "level=error event=loop.misuse what=\"%s\"\n", what);
    abort();
}

mti_loop *mti_loop_create(unsigned index)
{
    mti_loop *l = calloc(1, sizeof(*l));
    if (!l)
        mti_loop_die("out of memory");
    l->index = index;
    l->board = &l->own_tag;
    l->fibers.ready_tail = &l->fibers.ready;
    l->fibers.limit = 16384;
    l->now_us = mti_mono_us();
    pthread_mutex_init(&l->mail.lock, NULL);
    l->mail.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->mail.wake_fd < 0)
        mti_loop_die("no descriptor for a loop");
    l->h2o = h2o_evloop_create();
    mti_watches_init(l);
    return l;
}

static void on_wake(h2o_socket_t *sock, const char *err)
{
    mti_loop *l = sock->data;
    uint64_t n;
    while (read(l->mail.wake_fd, &n, sizeof(n)) < 0 && errno == EINTR)
        ;
}

static void on_watches(h2o_socket_t *sock, const char *err)
{
    mti_watches_dispatch(sock->data);
}

static h2o_socket_t *wrap(mti_loop *l, int fd, h2o_socket_cb cb)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        mti_loop_die("no descriptor for a loop");
    h2o_socket_t *sock = h2o_evloop_socket_create(l->h2o, copy, H2O_SOCKET_FLAG_DONT_READ);
    sock->data = l;
    h2o_socket_read_start(sock, cb);
    return sock;
}

/* h2o sockets point into thread-local memory of the thread that made them: they are made late and
 * closed early. */
static void open_sockets(mti_loop *l)
{
    if (l->wake_socket)
        return;
    l->wake_socket = wrap(l, l->mail.wake_fd, on_wake);
    l->watch_socket = wrap(l, l->watches.epoll_fd, on_watches);
}

static void close_sockets(mti_loop *l)
{
    if (!l->wake_socket)
        return;
    h2o_socket_close(l->wake_socket);
    h2o_socket_close(l->watch_socket);
    l->wake_socket = l->watch_socket = NULL;
}

void mti_loop_destroy(mti_loop *l)
{
    if (!l)
        return;
    if (l->fibers.live > 0)
        mti_loop_die("a loop is destroyed while fibers live");
    close_sockets(l);
    mti_timers_dispose(l);
    mti_watches_dispose(l);
    mti_stacks_dispose(l);
    h2o_evloop_destroy(
        l->h2o); /* h2o 2.2 keeps its epoll descriptor open: one a loop, once a process */
    /* A poster may still be inside its critical section; it leaves nothing behind after it. */
    pthread_mutex_lock(&l->mail.lock);
    pthread_mutex_unlock(&l->mail.lock);
    pthread_mutex_destroy(&l->mail.lock);
    close(l->mail.wake_fd);
    free(l->mail.in);
    free(l->mail.out);
    if (mti_loop_self == l)
        mti_loop_self = NULL;
    free(l);
}

static void wake(mti_loop *l)
{
    const uint64_t one = 1;
    if (atomic_exchange(&l->mail.asleep, false))
        while (write(l->mail.wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
}

static void mailbox_grow(mti_mailbox *m)
{
    size_t cap = m->in_cap ? m->in_cap * 2 : 64;
    m->in = realloc(m->in, cap * sizeof(*m->in));
    if (!m->in)
        mti_loop_die("out of memory");
    m->in_cap = cap;
}

void mti_loop_post(mti_loop *l, void (*fn)(void *arg), void *arg)
{
    mti_mailbox *m = &l->mail;
    pthread_mutex_lock(&m->lock);
    if (m->in_len == m->in_cap)
        mailbox_grow(m);
    m->in[m->in_len++] = (mti_message){fn, arg};
    atomic_store(&m->waiting, true);
    wake(l);
    pthread_mutex_unlock(&m->lock);
}

static void run_messages(mti_loop *l)
{
    mti_mailbox *m = &l->mail;
    if (!atomic_load(&m->waiting))
        return;
    pthread_mutex_lock(&m->lock);
    mti_message *batch = m->in;
    size_t n = m->in_len, cap = m->in_cap;
    m->in = m->out;
    m->in_cap = m->out_cap;
    m->in_len = 0;
    atomic_store(&m->waiting, false);
    m->out = NULL;
    m->out_cap = 0;
    pthread_mutex_unlock(&m->lock);
    for (size_t i = 0; i < n; i++)
        batch[i].fn(batch[i].arg);
    if (cap > MAILBOX_KEEP) {
        free(batch);
        return;
    }
    m->out = batch;
    m->out_cap = cap;
}

static bool h2o_has_pending(const h2o_loop_t *h)
{
    return h->_pending_as_client || h->_pending_as_server;
}

static int wait_ms(mti_loop *l, int max_ms)
{
    if (l->fibers.ready || h2o_has_pending(l->h2o))
        return 0;
    int64_t next = mti_timers_next_us(l);
    if (next == INT64_MAX)
        return max_ms;
    int64_t left = next - mti_mono_us();
    if (left <= 0)
        return 0;
    left = (left + 999) / 1000;
    return left < max_ms ? (int)left : max_ms;
}

void mti_loop_expect(mti_loop *l, int64_t us)
{
    l->awake_until_us = mti_mono_us() + us;
}

static bool stays_awake(mti_loop *l)
{
    if (!l->awake_until_us)
        return false;
    if (l->now_us < l->awake_until_us)
        return true;
    l->awake_until_us = 0;
    return false;
}

static void turn(mti_loop *l, int max_ms)
{
    open_sockets(l);
    int wait = wait_ms(l, max_ms);
    if (wait && stays_awake(l)) {
        sched_yield();
        wait = 0;
    }
    /* Announce the wait before the last look at the mailbox, so that no poster can fall in between.
     */
    atomic_store(&l->mail.asleep, true);
    if (atomic_load(&l->mail.waiting) || atomic_load(&l->stop))
        wait = 0;
    h2o_evloop_run(l->h2o, wait);
    atomic_store(&l->mail.asleep, false);
    l->now_us = mti_mono_us();
    mti_timers_run(l);
    run_messages(l);
    for (int i = 0; i < MAX_ROUNDS && l->fibers.ready; i++) {
        mti_fibers_run(l);
        /* What fibers wrote is completed by h2o now rather than after one more look at the
         * descriptors. */
        h2o_timeout__do_post_callback(l->h2o);
    }
    atomic_fetch_add_explicit(&l->turns, 1, memory_order_relaxed);
}

static void set_running(mti_loop *l, bool running)
{
    pthread_mutex_lock(&l->mail.lock);
    l->thread = pthread_self();
    l->running = running;
    pthread_mutex_unlock(&l->mail.lock);
}

void mti_loop_run(mti_loop *l)
{
    mti_altstack alt;
    mti_loop *outer = mti_loop_self;
    mti_loop_self = l;
    mti_altstack_install(&alt);
    uint32_t *board = mti_watchdog_board(l->index);
    l->board = board ? board : &l->own_tag;
    set_running(l, true);
    while (!atomic_load(&l->stop))
        turn(l, MAX_WAIT_MS);
    atomic_store(&l->stop, false);
    set_running(l, false);
    close_sockets(l);
    mti_altstack_remove(&alt);
    mti_loop_self = outer;
}

void mti_loop_stop(mti_loop *l)
{
    pthread_mutex_lock(&l->mail.lock);
    atomic_store(&l->stop, true);
    wake(l);
    pthread_mutex_unlock(&l->mail.lock);
}

void mti_loop_step(mti_loop *l, int max_ms)
{
    mti_loop *outer = mti_loop_self;
    mti_loop_self = l;
    turn(l, max_ms < 0 || max_ms > MAX_WAIT_MS ? MAX_WAIT_MS : max_ms);
    mti_loop_self = outer;
}

mti_loop *mti_loop_current(void)
{
    return mti_loop_self;
}

unsigned mti_loop_index(const mti_loop *l)
{
    return l->index;
}

int64_t mti_loop_now_us(const mti_loop *l)
{
    return l->now_us;
}

void *mti_loop_h2o(mti_loop *l)
{
    return l->h2o;
}

unsigned mti_loop_slot(void)
{
    static atomic_uint next;
    unsigned slot = atomic_fetch_add(&next, 1);
    if (slot >= MTI_LOOP_SLOTS)
        mti_loop_die("more than 16 loop slots");
    return slot;
}

void mti_loop_set(mti_loop *l, unsigned slot, void *p)
{
    l->slots[slot] = p;
}

void *mti_loop_get(const mti_loop *l, unsigned slot)
{
    return l->slots[slot];
}
