/*
 * Serving what the other end asks: what the generated functions of serves.gen.c are made of. In the host `serve` calls a function of the host for a
 * worker: it believes nothing (frames are checked, handles are numbers of the call's own table). In a worker `run` calls the plugin's provider.
 */
#ifndef MTI_WORKER_SERVE_H
#define MTI_WORKER_SERVE_H

#include <mortise/interfaces.h>

#include "loop/call.h"
#include "worker/wire.h"

/* The host's objects that a worker's call may name, by number. A number is never used again in the call. */
typedef struct mti_granted {
    mt_handle value;         /* 0: gone */
    uint64_t kind;           /* interface, and which provider: a handle goes back to where it came from */
} mti_granted;

typedef struct mti_grants {
    mti_granted *list;       /* malloc */
    uint32_t n, cap;
} mti_grants;

typedef struct mti_serving {
    mti_unpack in;
    mti_buf out;
    mt_call *c;
    const void *table;       /* NULL: not given */
    bool provides;           /* in a worker: its plugin's provider, whose instance is self */
    void *self;
    mti_grants *grants;      /* NULL in a worker: its own handles are as they are */
    uint32_t interface;
    mt_slice provider;
    uint32_t number;         /* of the handle that was taken last */
    bool unknown;            /* it names nothing */
    bool broken;             /* the frame is no call of this function */
} mti_serving;

typedef void (*mti_serve_fn)(mti_serving *s);

typedef struct mti_served {
    const char *id;
    const mti_serve_fn *host, *provider;     /* by method; NULL ones are refused */
    uint32_t provider_size;                  /* of a provider's whole table */
    unsigned n;
} mti_served;

extern const mti_served mti_served_interfaces[];
extern const unsigned mti_served_count;

/* Finds and runs the method: afterwards out holds the answer, unless broken. */
void mti_serve(mti_serving *s, uint32_t method);
void mti_grants_dispose(mti_grants *g);

/* For the generated functions. ready: everything was read; else the answer is written already. */
bool mti_serve_ready(mti_serving *s, bool offered);
void mti_serve_answer(mti_serving *s, mt_status answer);
mt_handle mti_serve_handle(mti_serving *s);
mt_handle mti_serve_grant(mti_serving *s, mt_handle h);
void mti_serve_forget(mti_serving *s);

#endif
