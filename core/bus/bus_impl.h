/* What the files of bus/ share; nobody else includes this. */
#ifndef MTI_BUS_IMPL_H
#define MTI_BUS_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "bus/bus.h"
#include "bus/patch.h"
#include "base/ticks.h"

/* What a handler did on one loop; written by that loop only, read by anyone: hence relaxed atomics.
 */
typedef struct mti_bus_stats {
    _Alignas(64) uint64_t calls;
    uint64_t denied, errors, ticks, slow;
    unsigned overruns;           /* in a row */
} mti_bus_stats;

/* A registered handler; lives while a snapshot or the pending set holds it. */
typedef struct mti_bus_entry {
    mt_hook_fn run;
    void *self;
    uint16_t owner, seats[2];
    const struct mti_instance *instance;
    mti_bus_scope *scope;
    atomic_bool bypassed;
    const char *label;           /* interned in the bus */
    mti_bus_stats *stats;        /* one a loop, and one for callers without a loop */
    int hook, priority;
    void (*release)(void *self);
    unsigned order;
    atomic_uint refs;
    struct mti_bus *bus;
    struct mti_bus_entry *before, *after;   /* among all that live, under the bus's stats_lock */
} mti_bus_entry;

/* What the entries of one owner did that are gone. */
typedef struct mti_bus_gone {
    uint64_t calls, denied, errors, ticks, slow;
} mti_bus_gone;

/* The handlers of a hook in order. */
typedef struct mti_bus_chain {
    mti_bus_entry **items;
    unsigned count;
} mti_bus_chain;

struct mti_bus_own {
    mti_uuid org_id;
    mti_bus_stats *stats;            /* one an entry: one loop has them */
    unsigned from[MTI_HOOK_COUNT + 1];   /* where a hook's entries begin; the next one's is their end */
    mti_bus_entry entries[];         /* in order of hook and place */
};

/* The merged walk over a hook's handlers and the organization's own. */
typedef struct mti_bus_cursor {
    const mti_bus_chain *common;
    mti_bus_entry *own, *own_end;    /* equal: none left */
    unsigned i;                      /* in common */
} mti_bus_cursor;

/* Suspended emits of one loop that still walk a snapshot. */
typedef struct mti_bus_walkers {
    _Alignas(64) unsigned active;
    bool waiting;                /* the loop's turn has passed; the last walker says so */
} mti_bus_walkers;

typedef struct mti_bus_snapshot {
    mti_bus *bus;
    struct mti_bus_snapshot *next;   /* in the retired list */
    mti_bus_walkers *walkers;        /* one a loop, and one for callers without a loop */
    atomic_uint passed;              /* loops that are through with it */
    mti_bus_entry **entries;
    unsigned entry_count;
    mti_bus_chain hooks[MTI_HOOK_COUNT];
} mti_bus_snapshot;

struct mti_bus {
    _Atomic(mti_bus_snapshot *) current;
    bool (*_Atomic held)(const mt_call *c, uint16_t owner);
    mti_ticks_base ticks;
    mti_loop **loops;
    unsigned n_loops;
    mti_bus_entry **pending;         /* publisher's thread */
    unsigned pending_count, pending_cap, order;
    pthread_mutex_t stats_lock;      /* guards living and gone */
    mti_bus_entry *living;
    mti_bus_gone *gone;              /* by owner */
    uint16_t n_gone;
    mti_map *labels;                 /* kept to the end: traces borrow them */
    pthread_mutex_t lock;            /* guards retired */
    mti_bus_snapshot *retired;
};

/* The emit that runs now; handlers reach it through c->hook. */
typedef struct mti_bus_frame {
    struct mti_bus_frame *up;
    const mti_bus *bus;
    const mti_hook_info *info;
    const mti_patch_rules *rules;
    uint64_t started;            /* ticks when the current handler began */
    int64_t cpu_ns, turn_us;     /* at that moment; cpu_ns only for a handler that overran before */
    unsigned depth;
    bool denied;                 /* mti_bus_deny was called */
    bool refused;                /* its patches could not be applied; c->error says why */
    bool own;                    /* the handler is the organization's own */
} mti_bus_frame;

/* own.c: by hook, priority, order. */
int mti_bus_compare_place(const mti_bus_entry *a, const mti_bus_entry *b);
void mti_bus_cursor_init(mti_bus_cursor *at, const mti_bus_chain *common, int hook,
                         const mt_call *c);

/* The next handler, or NULL; own tells whose it is. */
static inline mti_bus_entry *mti_bus_cursor_next(mti_bus_cursor *at, bool *own)
{
    mti_bus_entry *theirs = at->i < at->common->count ? at->common->items[at->i] : NULL;
    *own = at->own < at->own_end && (!theirs || at->own->priority < theirs->priority);
    if (*own)
        return at->own++;
    at->i++;
    return theirs;
}

/* A loop is through with a retired snapshot; frees it when it was the last. */
void mti_bus_snapshot_pass(mti_bus_snapshot *s);

static inline unsigned mti_bus_lane(const mti_bus *b, const mt_call *c)
{
    unsigned i = c->loop ? mti_loop_index(c->loop) : b->n_loops;
    return i < b->n_loops ? i : b->n_loops;
}

#endif
