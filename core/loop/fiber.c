/*
 * Fibers over Boost.Context's two assembly functions. Every switch goes between the loop thread's
 * own stack and one fiber; fibers never switch to each other, so the depth is one and the order is
 * that of the ready queue.
 */
#include "loop/internal.h"
#include "loop/sanitize.h"

typedef struct transfer {
    void *context;
    void *data;
} transfer;

extern transfer jump_fcontext(void *to, void *data);
extern void *make_fcontext(void *top, size_t size, void (*fn)(transfer));

_Thread_local uint32_t mti_tag_self;

void mti_tag_publish(mti_loop *l, uint32_t tag)
{
    mti_tag_self = tag;
    __atomic_store_n(l->board, tag, __ATOMIC_RELAXED);
}

static void check_thread(const mti_loop *l)
{
    bool elsewhere = l->running && !pthread_equal(l->thread, pthread_self());
    if (elsewhere || (mti_loop_self && mti_loop_self != l))
        mti_loop_die("a fiber is touched from another loop's thread");
}

/* From the fiber back to the loop's own stack; returns when it is switched to again. */
static void switch_out(mti_fiber *f, bool ending)
{
    mti_fibers *fs = &f->loop->fibers;
    char *here = __builtin_frame_address(0);
    if (here < f->low)
        f->low = here;
    mti_asan_leave(ending ? NULL : &f->asan_fake, fs->asan_bottom, fs->asan_size);
    mti_tsan_switch(fs->tsan);
    transfer t = jump_fcontext(f->context, NULL);
    mti_asan_enter(f->asan_fake, &fs->asan_bottom, &fs->asan_size);
    f->context = t.context;
}

static void fiber_main(transfer t)
{
    mti_fiber *f = t.data;
    mti_fibers *fs = &f->loop->fibers;
    mti_asan_enter(NULL, &fs->asan_bottom, &fs->asan_size);
    f->context = t.context;
    f->fn(f->arg);
    f->state = MTI_FIBER_ENDED;
    switch_out(f, true);
    __builtin_unreachable();
}

static void fiber_end(mti_loop *l, mti_fiber *f)
{
    mti_tsan_destroy(f->tsan);
    l->fibers.live--;
    mti_stack_give(l, f);
}

/* From the loop's own stack into the fiber, until it suspends or ends. */
static void fiber_run(mti_loop *l, mti_fiber *f)
{
    void *fake = NULL;
    mti_loop *outer = mti_loop_self;
    mti_loop_self = l;
    l->fibers.current = f;
    f->state = MTI_FIBER_RUNNING;
    f->woken_by_cancel = false;
    mti_tag_publish(l, f->tag);
    l->fibers.tsan = mti_tsan_self();
    mti_asan_leave(&fake, mti_stack_bottom(f), mti_stack_size(f));
    mti_tsan_switch(f->tsan);
    transfer t = jump_fcontext(f->context, f);
    mti_asan_enter(fake, NULL, NULL);
    f->context = t.context;
    l->fibers.current = NULL;
    mti_tag_publish(l, 0);
    mti_loop_self = outer;
    if (f->state == MTI_FIBER_ENDED)
        fiber_end(l, f);
}

static void ready_push(mti_loop *l, mti_fiber *f)
{
    f->next = NULL;
    f->state = MTI_FIBER_READY;
    *l->fibers.ready_tail = f;
    l->fibers.ready_tail = &f->next;
}

void mti_fibers_run(mti_loop *l)
{
    mti_fiber *f = l->fibers.ready;
    l->fibers.ready = NULL;
    l->fibers.ready_tail = &l->fibers.ready;
    while (f) {
        mti_fiber *next = f->next;
        fiber_run(l, f);
        f = next;
    }
}

static void fiber_init(mti_fiber *f, mti_loop *l, void (*fn)(void *arg), void *arg)
{
    f->loop = l;
    f->fn = fn;
    f->arg = arg;
    f->data = NULL;
    f->status = MT_OK;
    f->tag = 0;
    f->shields = 0;
    f->cancelled = false;
    f->asan_fake = NULL;
    f->tsan = mti_tsan_create();
    f->context = make_fcontext(f, mti_stack_size(f), fiber_main);
}

mt_status mti_fiber_spawn(mti_loop *l, void (*fn)(void *arg), void *arg)
{
    check_thread(l);
    if (l->fibers.live >= l->fibers.limit)
        return MT_LIMITED;
    mti_fiber *f = mti_stack_take(l);
    if (!f)
        return MT_LIMITED;
    l->fibers.live++;
    fiber_init(f, l, fn, arg);
    if (l->fibers.current)
        ready_push(l, f);
    else
        fiber_run(l, f);
    return MT_OK;
}

void mti_fiber_set_limit(mti_loop *l, unsigned live)
{
    l->fibers.limit = live;
}

unsigned mti_fiber_live(const mti_loop *l)
{
    return l->fibers.live;
}

mti_fiber *mti_fiber_current(void)
{
    return mti_loop_self ? mti_loop_self->fibers.current : NULL;
}

mti_loop *mti_fiber_loop(const mti_fiber *f)
{
    return f->loop;
}

static mti_fiber *current_or_die(void)
{
    mti_fiber *f = mti_fiber_current();
    if (!f)
        mti_loop_die("a suspending function is called outside a fiber");
    return f;
}

mt_status mti_fiber_suspend(void)
{
    mti_fiber *f = current_or_die();
    if (f->cancelled && !f->shields)
        return MT_CANCELLED;
    f->state = MTI_FIBER_SUSPENDED;
    switch_out(f, false);
    return f->status;
}

void mti_fiber_resume(mti_fiber *f, mt_status status)
{
    check_thread(f->loop);
    /* A cancel came first and the fiber has not run yet, so its waker could not know. */
    if (f->state == MTI_FIBER_READY && f->woken_by_cancel)
        return;
    if (f->state != MTI_FIBER_SUSPENDED)
        mti_loop_die("a fiber that does not wait is resumed");
    f->status = status;
    ready_push(f->loop, f);
}

void mti_fiber_cancel(mti_fiber *f)
{
    f->cancelled = true;
    if (f->state != MTI_FIBER_SUSPENDED || f->shields)
        return;
    mti_fiber_resume(f, MT_CANCELLED);
    f->woken_by_cancel = true;
}

bool mti_fiber_cancelled(const mti_fiber *f)
{
    return f->cancelled;
}

void mti_fiber_shield(bool on)
{
    mti_fiber *f = current_or_die();
    if (!on && !f->shields)
        mti_loop_die("a shield is lowered that was not raised");
    f->shields += on ? 1u : -1u;
}

void mti_fiber_set_tag(uint32_t tag)
{
    mti_fiber *f = mti_fiber_current();
    uint32_t *start = f ? NULL : mti_watchdog_board(0); /* before the loops run the first thread's word is loop 0's */
    mti_tag_self = tag;
    if (f) {
        f->tag = tag;
        mti_tag_publish(f->loop, tag);
    } else if (start && !mti_loop_self) {
        __atomic_store_n(start, tag, __ATOMIC_RELAXED);
    }
}

uint32_t mti_fiber_tag(void)
{
    mti_fiber *f = mti_fiber_current();
    return f ? f->tag : mti_tag_self;
}

void mti_fiber_set_data(void *p)
{
    current_or_die()->data = p;
}

void *mti_fiber_data(void)
{
    mti_fiber *f = mti_fiber_current();
    return f ? f->data : NULL;
}
