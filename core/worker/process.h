/* The worker's own side: one process, one plugin, one loop; a channel for each loop of the host, of an engine for each loop of each host that joined
 * it. Shared by process.c, links.c, runs.c and local.c. */
#ifndef MTI_WORKER_PROCESS_H
#define MTI_WORKER_PROCESS_H

#include <mortise/interfaces.h>

#include "loop/call.h"
#include "loop/offload.h"
#include "worker/ask.h"
#include "worker/channel.h"
#include "worker/worker.h"

enum { MTI_WORKER_CHANNELS = 64, MTI_WORKER_CONTROL = 3 };

/* A call of the host inside the plugin: from CALL to DONE; a service's to END, over several CALLs. */
typedef struct mti_run {
    mt_call c;               /* first: the plugin holds its address */
    struct mti_lane *lane;
    uint32_t id, method;
    uint64_t owner;          /* fairness key of the pool: the organization */
    char *payload;           /* of the last CALL */
    size_t len;
    bool busy;               /* a fiber runs */
    bool ended;              /* END came meanwhile, or the host is gone */
    bool inside;             /* the plugin holds it: counted in its link */
    const mti_hook_info *hook;
    int64_t hook_started_us;
    mti_waitlist answered;
    char *answer;            /* what the host answered, until its asker takes it */
    size_t answer_len;
    mti_kept *kept;
    struct mti_column *columns;          /* of results, as far as they were read; the arena's */
} mti_run;

typedef struct mti_lane {
    struct mti_link *link;
    mti_channel ch;
    mti_run *runs[MTI_WORKER_CALLS];     /* by the low bits of the id */
} mti_lane;

/* A host. A worker has one and ends with it; an engine goes on, and what the host asked for is cancelled. */
typedef struct mti_link {
    mti_lane *lanes;
    unsigned n_lanes, n_runs, n_inside;
    bool started;            /* it has said what it wants */
    bool active;             /* the plugin is active for it */
    bool lost;               /* gone; freed with its last run */
    struct mti_link *next;
} mti_link;

typedef struct mti_process {
    const mt_plugin *entry;
    void *self;
    mt_host table;
    const mti_worker_tables *tables;
    const char *slug;
    int log_level;
    const mt_slice *granted;             /* interfaces */
    size_t n_granted;
    mti_loop *loop;
    mti_offload *offload;
    mti_link *links;                     /* the newest first: it hears what the plugin logs */
    bool engine;
    /* of an engine: activate runs once, for all hosts that have this configuration */
    bool active, activating;
    bool changing;           /* whoever wants in waits until the plugin is active with the next configuration */
    uint32_t activations;
    uint64_t configuration;
    mti_waitlist activated, left;
} mti_process;

extern mti_process mti_this;

/* links.c: the channels to a host, whose descriptors are taken; and an engine's to those that come. */
mti_link *mti_link_create(const int *fds, unsigned n);
void mti_link_open(mti_link *l);
void mti_links_lose_others(const mti_link *but);     /* their hosts join anew, and activate the plugin anew */
void mti_link_leave_run(mti_link *l);        /* one of its runs has been freed */
bool mti_link_start(mti_lane *l);    /* START, of a host that joins a running engine */
void mti_links_accept(void);
/* process.c: HELLO, or REFUSED with the reason, as frames. */
void mti_process_greet(mti_buf *b, mti_frame *f, const mti_error *refused);

/* A frame of the host; false: not allowed. */
bool mti_run_frame(void *lane, const mti_frame *f, const char *payload);
void mti_run_lose(mti_run *r);               /* its host is gone: it ends, at once or soon */
/* Tells the host something that is not answered; takes text. Any thread; what is too much to be taken soon is dropped. */
void mti_process_tell(uint16_t kind, uint32_t method, mti_buf *text);
/* Asks the host, as mti_ask's ask. */
mt_status mti_run_ask(mti_run *r, uint32_t method, const mti_buf *out, char **answer, size_t *len);

static inline mti_run *mti_run_of(mt_call *c)
{
    return (mti_run *)c;
}

#endif
