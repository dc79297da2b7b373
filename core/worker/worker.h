/*
 * A plugin in a process of its own: the very same shared object, in a child that can do nothing but compute and ask the host (README.md). The host
 * sees an entry table like any other, whose functions are calls into the worker; the worker restarts what died.
 */
#ifndef MTI_WORKER_WORKER_H
#define MTI_WORKER_WORKER_H

#include <mortise/interfaces.h>

#include "loop/call.h"
#include "loop/offload.h"

typedef struct mti_worker mti_worker;

/* A folder or file that the plugin's process may use beside its own folder and the system's libraries. */
typedef struct mti_worker_path {
    const char *path;
    bool writes;
} mti_worker_path;

typedef struct mti_worker_options {
    struct mti_host *host;               /* of the calls that the worker itself makes */
    uint16_t slot;
    const char *slug, *version, *dir, *file, *symbol;
    mti_loop *const *loops;
    unsigned n_loops;
    mti_offload *offload;
    /* The interface that the plugin was granted, as the host serves it; NULL: not granted. Any loop. */
    const void *(*interface)(void *ctx, mt_slice id);
    void (*log)(void *ctx, int level, mt_slice event, const mt_field *fields, size_t n);
    void *ctx;
    size_t memory;                       /* bytes of address space; 0: no limit */
    const mti_worker_path *paths;
    size_t n_paths;
    /* An engine: the process is the supervisor's, which is asked at broker for the one of this key; it may start threads and serves several hosts. */
    const char *key;                     /* NULL: a process of this host's own */
    int broker;
    unsigned threads;                    /* of its pool */
    uint64_t (*configuration)(void *ctx);/* names the plugin's configuration: an engine that is active with it is not activated again */
    int64_t hang_ms;                     /* it is killed when it has not answered for so long; its deactivate() may take as long */
    int64_t activate_ms;                 /* activate(), hand_over() and take_over() may take so long */
    int log_level;
} mti_worker_options;

/*
 * Starts the process and waits until the plugin's load() has returned. *entry is the table to use, *self its instance; both live as long as the worker.
 * Strings of the options are copied. Main thread before the loops run, or a fiber of loop 0. MT_UNSUPPORTED when this system cannot confine it,
 * else what the loader's checks say.
 */
mt_status mti_worker_create(const mti_worker_options *o, mti_worker **out, const mt_plugin **entry, mti_error *e);
/* Ends the process for good, whatever it does; calls in it fail. Fiber of loop 0, or the main thread before the loops run, which does not wait for it. */
void mti_worker_stop(mti_worker *w);
void mti_worker_destroy(mti_worker *w);  /* stopped, or the loops never ran */

typedef struct mti_worker_state {
    const char *state;                   /* "starting", "running", "restarting", "stopped" */
    int pid;                             /* 0: none now */
    unsigned restarts;
    unsigned activations;                /* of the plugin in this process, by all hosts: about a second old */
    bool engine;
} mti_worker_state;

mti_worker_state mti_worker_look(const mti_worker *w);      /* any thread */

/* Why a plugin cannot run in a worker, as a sentence in why; "" when it can. Any thread. */
typedef struct mti_worker_needs {
    const char *const *provides, *const *interfaces, *const *hooks;
    size_t n_provides, n_interfaces, n_hooks;
} mti_worker_needs;
void mti_worker_obstacle(const mti_worker_needs *needs, char *why, size_t size);

/* Interfaces that need no host, whose implementations lie above this folder. */
typedef struct mti_worker_tables {
    const mt_json_1 *json;
    const mt_thread_1 *thread;
} mti_worker_tables;

/* The child: `mortise worker SLUG CHANNELS PARENT`, with its channels from descriptor 3 on; or `mortise worker SLUG engine PARENT`, whose channels
 * come over descriptor 3. */
int mti_worker_main(int argc, char **argv, const mti_worker_tables *tables);

#endif
