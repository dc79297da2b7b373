/*
 * Event loops: one per core, each a thread that runs fibers, timers, descriptor watches and messages.
 * Loops share nothing mutable; they exchange messages (mti_loop_post). Unless a comment says otherwise a function is
 * called on the loop's own thread.
 */
#ifndef MTI_LOOP_LOOP_H
#define MTI_LOOP_LOOP_H

#include <mortise/types.h>

typedef struct mti_loop mti_loop;
typedef struct mti_timer mti_timer;
typedef struct mti_watch mti_watch;

/* Any thread. index is the loop's number (0 …), shown in logs and the index of per-loop state elsewhere. */
mti_loop *mti_loop_create(unsigned index);
void mti_loop_destroy(mti_loop *l);             /* after run has returned; live fibers are an error and abort */
/* Runs until stop; the calling thread becomes the loop's thread. */
void mti_loop_run(mti_loop *l);
void mti_loop_stop(mti_loop *l);                /* any thread */
/* One turn that waits at most max_ms; for tests that step a loop by hand. */
void mti_loop_step(mti_loop *l, int max_ms);

mti_loop *mti_loop_current(void);               /* the loop of this thread, or NULL */
unsigned mti_loop_index(const mti_loop *l);
int64_t mti_loop_now_us(const mti_loop *l);     /* monotonic, taken once a turn */
/* Something is expected within a few microseconds: for so long the loop looks again rather than sleep, because waking the core
 * takes longer than that. It gives the core to whoever wants it between two looks. */
void mti_loop_expect(mti_loop *l, int64_t us);
/* The h2o_loop_t behind the loop, as void* so that only loop/ and http/ know h2o. */
void *mti_loop_h2o(mti_loop *l);

/* Runs fn(arg) on l's thread, in posting order. Any thread. Never fails (allocation failure aborts). */
void mti_loop_post(mti_loop *l, void (*fn)(void *arg), void *arg);

/* Calls fn(arg) once after delay_ms. The timer is freed when it fired or was cancelled. */
mti_timer *mti_timer_start(mti_loop *l, int64_t delay_ms, void (*fn)(void *arg), void *arg);
void mti_timer_cancel(mti_timer *t);            /* only before it fired */

enum { MTI_READ = 1, MTI_WRITE = 2 };
/* Calls fn(arg, events) while fd is ready for one of events (level-triggered). The descriptor stays the caller's,
 * and has one watch at a time. NULL when it cannot be watched: closed, a regular file, watched already. */
mti_watch *mti_watch_start(mti_loop *l, int fd, unsigned events, void (*fn)(void *arg, unsigned ready), void *arg);
void mti_watch_set(mti_watch *w, unsigned events);      /* 0 pauses */
void mti_watch_stop(mti_watch *w);                      /* before the descriptor is closed; safe inside fn */

/* Per-loop slots for modules (database lanes, caches …): a module takes a slot number once and stores its pointer. */
unsigned mti_loop_slot(void);                           /* any thread; at most 16 */
void mti_loop_set(mti_loop *l, unsigned slot, void *p);
void *mti_loop_get(const mti_loop *l, unsigned slot);

#endif
