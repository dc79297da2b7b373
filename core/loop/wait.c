/* Sleeping and waiting lists. Nodes and timers live on the waiting fiber's stack. */
#include "loop/internal.h"

typedef struct waiter {
    struct waiter *next, *prev;
    mti_waitlist *list; /* NULL: no longer in it */
    mti_fiber *fiber;
} waiter;

static void on_sleep_over(void *arg)
{
    mti_fiber_resume(arg, MT_OK);
}

mt_status mti_sleep(int64_t ms)
{
    mti_fiber *f = mti_fiber_current();
    if (!f)
        mti_loop_die("a suspending function is called outside a fiber");
    mti_timer t = {0};
    mti_timer_arm(f->loop, &t, ms, on_sleep_over, f);
    mt_status st = mti_fiber_suspend();
    mti_timer_disarm(&t);
    return st;
}

static void waiter_link(mti_waitlist *w, waiter *n)
{
    n->list = w;
    n->next = NULL;
    n->prev = w->tail;
    if (n->prev)
        n->prev->next = n;
    else
        w->head = n;
    w->tail = n;
}

static void waiter_unlink(waiter *n)
{
    mti_waitlist *w = n->list;
    if (!w)
        return;
    if (n->prev)
        n->prev->next = n->next;
    else
        w->head = n->next;
    if (n->next)
        n->next->prev = n->prev;
    else
        w->tail = n->prev;
    n->list = NULL;
}

static void on_wait_over(void *arg)
{
    waiter *n = arg;
    if (!n->list)
        return; /* woken, and only waits for its turn to run */
    waiter_unlink(n);
    mti_fiber_resume(n->fiber, MT_TIMEOUT);
}

mt_status mti_wait(mti_waitlist *w, int64_t timeout_ms)
{
    mti_fiber *f = mti_fiber_current();
    if (!f)
        mti_loop_die("a suspending function is called outside a fiber");
    waiter n = {.fiber = f};
    mti_timer t = {0};
    waiter_link(w, &n);
    if (timeout_ms >= 0)
        mti_timer_arm(f->loop, &t, timeout_ms, on_wait_over, &n);
    mt_status st = mti_fiber_suspend();
    mti_timer_disarm(&t);
    waiter_unlink(&n);
    return st;
}

bool mti_wake_one(mti_waitlist *w)
{
    waiter *n;
    while ((n = w->head) != NULL) {
        waiter_unlink(n);
        if (n->fiber->state != MTI_FIBER_SUSPENDED)
            continue; /* cancelled meanwhile: the wake belongs to the next one */
        mti_fiber_resume(n->fiber, MT_OK);
        return true;
    }
    return false;
}

void mti_wake_all(mti_waitlist *w)
{
    while (mti_wake_one(w))
        ;
}
