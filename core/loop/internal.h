/* What the files of loop/ share with each other; nobody else includes this. */
#ifndef MTI_LOOP_INTERNAL_H
#define MTI_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "loop/fiber.h"

#define MTI_LOOP_SLOTS 16

/* Writes the message to stderr and aborts: a rule of this module was broken by its caller. */
_Noreturn void mti_loop_die(const char *what);

/* --- timers: a heap over nodes of the loop's free list or on a fiber's stack --- */

struct mti_timer {
    mti_loop *loop;
    void (*fn)(void *arg);
    void *arg;
    mti_timer *next; /* free list */
    size_t pos;      /* place in the heap, from 1; 0: not armed */
    bool pooled;     /* came from mti_timer_start */
};

typedef struct mti_timer_entry {
    int64_t due_us;
    uint64_t order; /* equal due times fire in starting order */
    mti_timer *timer;
} mti_timer_entry;

typedef struct mti_timers {
    mti_timer_entry *heap; /* heap[0] is unused */
    size_t len, cap;
    uint64_t order;
    mti_timer *free;
    void **slabs; /* memory behind the free list */
    size_t slab_count;
} mti_timers;

/* Arms a timer in the caller's memory, which must stay until it fired or was disarmed. */
void mti_timer_arm(mti_loop *l, mti_timer *t, int64_t delay_ms, void (*fn)(void *), void *arg);
void mti_timer_disarm(mti_timer *t);           /* nothing when not armed */
void mti_timers_run(mti_loop *l);              /* fires what is due at the turn's time */
int64_t mti_timers_next_us(const mti_loop *l); /* INT64_MAX: none */
void mti_timers_dispose(mti_loop *l);

/* --- watches: the nested epoll --- */

struct epoll_event;

typedef struct mti_watches {
    int epoll_fd;
    struct epoll_event *batch; /* being dispatched; a stopped watch is struck from it */
    int batch_len;
    mti_watch *all;
} mti_watches;

void mti_watches_init(mti_loop *l);
void mti_watches_dispatch(mti_loop *l);
void mti_watches_dispose(mti_loop *l);

/* --- messages --- */

typedef struct mti_message {
    void (*fn)(void *arg);
    void *arg;
} mti_message;

typedef struct mti_mailbox {
    pthread_mutex_t lock;  /* guards everything here */
    mti_message *in, *out; /* posters fill in; the loop swaps the two and runs out */
    size_t in_len, in_cap, out_cap;
    atomic_bool waiting; /* something is in in */
    atomic_bool asleep;  /* the loop may be in its wait: write to wake_fd */
    int wake_fd;
} mti_mailbox;

/* --- fibers --- */

typedef enum mti_fiber_state {
    MTI_FIBER_READY,
    MTI_FIBER_RUNNING,
    MTI_FIBER_SUSPENDED,
    MTI_FIBER_ENDED,
} mti_fiber_state;

/* Lives at the top of its own stack. */
struct mti_fiber {
    mti_fiber *next; /* ready queue or pool */
    mti_loop *loop;
    void *context; /* where it goes on */
    void (*fn)(void *arg);
    void *arg;
    void *data;
    mti_fiber_state state;
    mt_status status; /* what suspend will answer */
    uint32_t tag;
    unsigned shields;
    bool cancelled;
    bool woken_by_cancel; /* ready because of a cancel and not run since */
    unsigned uses;        /* of this stack, for trimming */
    char *map;            /* the mapping: guard, then stack, then this struct */
    char *low;            /* the deepest place seen at a suspension */
    void *asan_fake;
    void *tsan;
    unsigned valgrind_id;
};

/* Takes a stack from the pool or maps one; NULL when the system has none left. */
mti_fiber *mti_stack_take(mti_loop *l);
void mti_stack_give(mti_loop *l, mti_fiber *f);
void mti_stacks_dispose(mti_loop *l);
void *mti_stack_bottom(const mti_fiber *f); /* lowest usable address */
size_t mti_stack_size(const mti_fiber *f);  /* usable bytes below the struct */
/* Async-signal-safe: does the address lie in the guard below this fiber's stack? */
bool mti_stack_overflowed(const mti_fiber *f, const void *address);

typedef struct mti_fibers {
    mti_fiber *current;
    mti_fiber *ready, **ready_tail;
    mti_fiber *pool;
    unsigned pooled, live, limit;
    void *asan_bottom; /* the loop thread's own stack, learnt at the first switch back */
    size_t asan_size;
    void *tsan;
} mti_fibers;

/* Runs what is ready now; what these make ready waits for the next call. */
void mti_fibers_run(mti_loop *l);

/* --- the loop --- */

struct mti_loop {
    mti_fibers fibers;
    int64_t now_us;
    int64_t awake_until_us; /* mti_loop_expect */
    mti_timers timers;
    mti_watches watches;
    void *h2o;
    void *wake_socket, *watch_socket; /* h2o sockets; exist on the loop's thread only */
    void *slots[MTI_LOOP_SLOTS];
    unsigned index;
    atomic_bool stop;
    mti_mailbox mail;
    /* For the watchdog. */
    uint32_t own_tag;
    uint32_t *board; /* where the running tag is published */
    atomic_uint_fast64_t turns;
    bool running;     /* guarded by mail.lock */
    pthread_t thread; /* valid while running */
};

extern _Thread_local mti_loop *mti_loop_self;
extern _Thread_local uint32_t mti_tag_self;

/* Publishes the tag of what runs now on this thread. */
void mti_tag_publish(mti_loop *l, uint32_t tag);
uint32_t *mti_watchdog_board(unsigned index); /* NULL: none was set */
struct mt_call;
void mti_watchdog_note_crash(uint32_t tag, const struct mt_call *c); /* async-signal-safe; c may be NULL */
mti_fiber *mti_offload_fiber(void); /* whose piece this thread runs; NULL: none. Async-signal-safe */
const char *mti_watchdog_name(uint32_t tag);  /* for reports; async-signal-safe */

/* An alternate signal stack for the calling thread, so that the crash handler has room after an
 * overflow. */
typedef struct mti_altstack {
    void *map;
} mti_altstack;
void mti_altstack_install(mti_altstack *a);
void mti_altstack_remove(mti_altstack *a);

#endif
