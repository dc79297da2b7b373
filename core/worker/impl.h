/* The host's side of a worker, shared by worker.c, spawn.c, visit.c, answer.c and entries.c. */
#ifndef MTI_WORKER_IMPL_H
#define MTI_WORKER_IMPL_H

#include <stdatomic.h>

#include "worker/ask.h"
#include "worker/channel.h"
#include "worker/serve.h"
#include "worker/worker.h"

enum { MTI_WORKER_VISITS = MTI_WORKER_CALLS, MTI_WORKER_LOOPS = 64, MTI_WORKER_FAMILIES = 1024 };

/* A call that is in the worker: of a handler or a hook until it is done, of a service as long as the call that asked for it. The call's fiber serves
 * what the worker asks meanwhile, so it runs as that call: its identity, its deadline, its transaction. */
typedef struct mti_visit {
    struct mti_worker_lane *lane;
    mt_call *c;
    uint32_t id;
    mti_waitlist answered;
    mti_frame head;          /* what the worker sent last */
    char *frame;             /* its payload, until it is dealt with; malloc */
    bool serving;            /* an ASK is being answered: the worker has nothing to say now */
    bool told;               /* that it is to end early, and why */
    mt_status why;
    bool lost;               /* the process died, or was taken for dead */
    bool busy;               /* of a session: a function runs */
    bool early;              /* of the plugin's life, not of a request */
    mti_grants grants;
    mti_kept *kept;
    struct mti_visit *next;  /* sessions of the lane */
} mti_visit;

/* What belongs to one loop; touched on its thread only. */
typedef struct mti_worker_lane {
    mti_worker *w;
    mti_loop *loop;
    mti_channel ch;
    bool open;
    mti_visit *visits[MTI_WORKER_VISITS];    /* by the low bits of the id */
    unsigned count;
    uint32_t generation;
    size_t held;             /* bytes of frames that are not dealt with */
    mti_visit *sessions;
    int64_t note_second;     /* lane 0: what was told without a question in this second */
    unsigned lines, counts, dropped;
    mti_timer *pause;
} mti_worker_lane;

struct mti_worker {
    mti_worker_options o;
    mti_arena arena;         /* options' strings, names of the entry */
    mt_plugin entry;
    mt_handler_entry *handlers;
    mt_hook_entry *hooks;
    mt_service_entry *services;
    mti_worker_lane lanes[MTI_WORKER_LOOPS];
    _Atomic(int) pid;
    _Atomic(int) state;
    _Atomic(unsigned) restarts;
    _Atomic(unsigned) activations;       /* as the process counts them */
    _Atomic(bool) ready;     /* calls may enter */
    _Atomic(bool) families[MTI_WORKER_FAMILIES];     /* of metrics/1 that it declared, by handle */
    /* the process that was started last; until its lanes are open */
    int fds[MTI_WORKER_LOOPS];
    bool own;                /* it was started for this worker, which an engine may not have been */
    mti_buf hello;
    /* loop 0's */
    mti_waitlist changed;
    bool kept, stop, ended, active;
    bool hung;               /* the process was killed for that */
    unsigned pings;          /* not answered yet */
    int64_t pong_us;
};

enum { MTI_WORKER_STARTING, MTI_WORKER_RUNNING, MTI_WORKER_RESTARTING, MTI_WORKER_STOPPED };

/* spawn.c: starts the process and reads what it says into w->hello. Blocks: pool thread, or the main thread before the loops run. */
mt_status mti_worker_spawn(mti_worker *w, mti_error *e);
int mti_worker_reap(mti_worker *w);          /* blocks shortly: it was killed. How it ended, as waitpid tells; of an engine nothing */
void mti_worker_leave(mti_worker *w);        /* this host needs it no longer: it ends, but an engine that another host uses */
void mti_worker_kill(mti_worker *w, const char *why);        /* any loop whose lane is open; loop 0 */

/* visit.c */
/* body may be NULL; *out (may be NULL): the bytes that come with MT_OK, of the call's memory. early: before the plugin is active. */
mt_status mti_visit_handler(void *self, mt_call *c, uint32_t method, const mti_buf *body, mt_slice *out, bool early);
mt_outcome mti_visit_hook(void *self, mt_call *c, unsigned index, const void *in, mt_patch *out);
bool mti_visit_frame(void *lane, const mti_frame *f, const char *payload);
void mti_visit_drop_frame(mti_visit *v);     /* it was dealt with */
/* answer.c: v->frame is an ASK; serves it and sends the answer. */
void mti_visit_answer(mti_visit *v);
void mti_visit_lose(mti_worker_lane *l);     /* all of the lane: the process is gone */

/* entries.c: the table of w->entry from what the worker said. */
mt_status mti_worker_read_entry(mti_worker *w, mti_error *e);
bool mti_worker_same_entry(const mti_worker *w);
/* The plugin's activate(), in the process that runs now: MT_INTERNAL activate_timeout when it does not end. */
mt_status mti_worker_activate(mti_worker *w, mt_call *c);

#endif
