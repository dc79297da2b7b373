/* The worker's own side: one process, one plugin, one loop; a channel for each loop of the host. Shared by process.c, runs.c and local.c. */
#ifndef MTI_WORKER_PROCESS_H
#define MTI_WORKER_PROCESS_H

#include <mortise/interfaces.h>

#include "loop/call.h"
#include "loop/offload.h"
#include "worker/ask.h"
#include "worker/channel.h"

enum { MTI_WORKER_CALLS = 256, MTI_WORKER_CHANNELS = 64 };

/* A call of the host inside the plugin: from CALL to DONE; a service's to END, over several CALLs. */
typedef struct mti_run {
    mt_call c;               /* first: the plugin holds its address */
    struct mti_lane *lane;
    uint32_t id, method;
    char *payload;           /* of the last CALL */
    size_t len;
    bool busy;               /* a fiber runs */
    bool ended;              /* END came meanwhile */
    const mti_hook_info *hook;
    int64_t hook_started_us;
    mti_waitlist answered;
    char *answer;            /* what the host answered, until its asker takes it */
    size_t answer_len;
    mti_kept *kept;
    struct mti_column *columns;          /* of results, as far as they were read; the arena's */
} mti_run;

typedef struct mti_lane {
    mti_channel ch;
    mti_run *runs[MTI_WORKER_CALLS];     /* by the low byte of the id */
} mti_lane;

typedef struct mti_process {
    const mt_plugin *entry;
    void *self;
    mt_host table;
    const mt_json_1 *json;
    const char *slug;
    int log_level;
    const mt_slice *granted;             /* interfaces */
    size_t n_granted;
    mti_loop *loop;
    mti_offload *offload;
    mti_lane lanes[MTI_WORKER_CHANNELS];
    unsigned n_lanes;
} mti_process;

extern mti_process mti_this;

/* A frame of the host; false: not allowed. */
bool mti_run_frame(void *lane, const mti_frame *f, const char *payload);
/* Tells the host something that is not answered; takes text. Any thread; what is too much to be taken soon is dropped. */
void mti_process_tell(uint16_t kind, uint32_t method, mti_buf *text);
/* Asks the host, as mti_ask's ask. */
mt_status mti_run_ask(mti_run *r, uint32_t method, const mti_buf *out, char **answer, size_t *len);

static inline mti_run *mti_run_of(mt_call *c)
{
    return (mti_run *)c;
}

#endif
