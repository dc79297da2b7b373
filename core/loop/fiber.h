/*
 * Fibers: stackful coroutines that stay on the loop that spawned them. A fiber suspends only inside functions that say
 * so; everything else must not block. Stacks are 256 KiB of address space with a guard page, pooled a loop.
 */
#ifndef MTI_LOOP_FIBER_H
#define MTI_LOOP_FIBER_H

#include "loop/loop.h"

typedef struct mti_fiber mti_fiber;

/* Starts fn(arg) in a fresh fiber: it runs at once, until its first suspension, before spawn returns when called outside
 * a fiber; from inside a fiber it is queued for this turn. MT_LIMITED when the loop's cap of live fibers is reached. */
mt_status mti_fiber_spawn(mti_loop *l, void (*fn)(void *arg), void *arg);
void mti_fiber_set_limit(mti_loop *l, unsigned live);   /* default 16,384 a loop */
unsigned mti_fiber_live(const mti_loop *l);

mti_fiber *mti_fiber_current(void);                     /* NULL outside a fiber */
mti_loop *mti_fiber_loop(const mti_fiber *f);

/* Suspends the current fiber until mti_fiber_resume or mti_fiber_cancel; answers the status given there. A fiber that
 * was cancelled answers MT_CANCELLED at once, unless it is shielded. */
mt_status mti_fiber_suspend(void);
/* Wakes a suspended fiber (same loop's thread) with a status; it runs in this turn, not inside the call. Resuming a
 * fiber that is not suspended, or twice, aborts: whoever wakes owns the waiting.
 * One exception: when a cancel woke it first and it has not run yet, resume does nothing; the fiber sees MT_CANCELLED and
 * must itself look whether what it waited for came about. A cancel after a resume does not change the status. */
void mti_fiber_resume(mti_fiber *f, mt_status status);
/* Marks it cancelled and, when suspended in an interruptible wait, wakes it with MT_CANCELLED. Idempotent. */
void mti_fiber_cancel(mti_fiber *f);
bool mti_fiber_cancelled(const mti_fiber *f);
/* Between shield(true) and shield(false) a cancel is remembered but does not interrupt. Nests. Current fiber only. */
void mti_fiber_shield(bool on);

/* The word that names who is running: plugin slot, read by the watchdog and the crash handler; kept per fiber and
 * published in a thread-local (and, in the host, in memory shared with the supervisor) at every switch. */
void mti_fiber_set_tag(uint32_t tag);                   /* current fiber's; outside one the thread's, until it is set again */
uint32_t mti_fiber_tag(void);
/* The call's pointer kept per fiber (opaque here; see loop/call.h, which sets it): for whom it works, for the crash handler. */
void mti_fiber_set_data(void *p);
void *mti_fiber_data(void);

/* Suspends for ms milliseconds. MT_OK or MT_CANCELLED. */
mt_status mti_sleep(int64_t ms);

/* A waiting place that several fibers of one loop can queue in (FIFO). Zero-initialized is ready. */
typedef struct mti_waitlist { void *head, *tail; } mti_waitlist;
/* Suspends until woken: MT_OK, MT_CANCELLED, or MT_TIMEOUT after timeout_ms (< 0: never). */
mt_status mti_wait(mti_waitlist *w, int64_t timeout_ms);
bool mti_wake_one(mti_waitlist *w);                     /* false when nobody waits */
void mti_wake_all(mti_waitlist *w);

#endif
