/* The host process: what it holds together while it runs. Private to this folder. */
#ifndef MTI_MAIN_PROCESS_H
#define MTI_MAIN_PROCESS_H

#include "serve.h"

#include "contract/contract.h"
#include "http/server.h"
#include "plugin/host.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct process {
    mti_host host;
    const mti_host_setup *setup;
    mti_http_server *http;
    mti_http_proxies *proxies;
    mti_timer *tls_look;         /* at the certificate's files. Loop 0 */
    mti_contract *builtin;
    pthread_t threads[MTI_MAX_LOOPS];
    mti_watch *stop_watch;
    mti_timer *again;            /* settles once more, while something is not up; NULL: none is due. Loop 0 */
    unsigned settling;           /* fibers that bring plugins up. Loop 0 */
    uint16_t looks[MTI_MAX_LOOPS];   /* for a loop to be empty; its own */
    unsigned draining;           /* loops whose connections are not gone yet */
    bool stopping;
    bool handing_over;           /* another host serves already: nothing is hurried */
    bool quieting, hurried;      /* jobs come to their end; or may not any longer (loop 0) */
    bool began;                  /* to listen, where another host served first */
    _Atomic(unsigned) listening; /* loops that listen */
} process;

/* bring_up.c. On each loop, as its first task; and what the database calls when it comes and goes. */
void mti_process_attach_loop(void *process);
void mti_process_on_database(void *process, bool up);
/* On loop 0: plugins start without the database if that stays away. */
void mti_process_settle_soon(void *process);
/* A byte to the supervisor. Any thread. */
void mti_process_say(const process *p, const char *byte);

/* wind_down.c. On loop 0, when the supervisor says something. */
void mti_process_on_stop(void *process, unsigned ready);

#endif
