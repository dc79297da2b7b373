/*
 * Asking the other end: what the generated functions of asks.gen.c are made of. In a worker `mti_ask_host` asks the host for one of its functions;
 * in the host `mti_ask_worker` asks a worker for a function of a service that its plugin provides. Call's fiber; suspends. Or
 * a pool thread for which that fiber waits.
 */
#ifndef MTI_WORKER_ASK_H
#define MTI_WORKER_ASK_H

#include <mortise/interfaces.h>

#include "loop/call.h"
#include "worker/methods.gen.h"
#include "worker/wire.h"

/* How long the memory of an answer lives. UNTIL_NEXT: until the same is asked again of the same handle. */
typedef enum mti_keep { MTI_KEEP_NOTHING, MTI_KEEP_CALL, MTI_KEEP_UNTIL_NEXT } mti_keep;

/* What a call keeps until the next of its kind. */
typedef struct mti_kept {
    struct mti_kept *next;
    uint32_t method;
    mt_handle of;
    char *answer;
} mti_kept;

typedef struct mti_ask mti_ask;

struct mti_ask {
    /* Sends the method with what `out` holds and waits. The answer's payload (malloc) begins with its status; MT_UNAVAILABLE, MT_CANCELLED or
     * MT_TIMEOUT when none came. By whoever holds the calls of this end, which also says where they keep what they keep. */
    mt_status (*ask)(mti_ask *a, char **answer, size_t *len);
    mti_kept **kept;
    mt_call *c;
    void *worker;            /* whom the host asks; NULL in a worker */
    uint32_t method;
    mti_buf out;
    mti_unpack in;           /* behind the status */
    char *answer;            /* freed by mti_ask_end */
};

/* Neither fails: what cannot be asked answers so when it is sent. */
void mti_ask_host(mti_ask *a, mt_call *c, uint32_t method);
void mti_ask_worker(mti_ask *a, void *worker, mt_call *c, uint32_t method);
mt_status mti_ask_send(mti_ask *a, mti_keep keep, mt_handle of);
void mti_ask_end(mti_ask *a);
void mti_kept_free(mti_kept *list);      /* the answers; the nodes are the arena's */

/* Writes an answer through the caller's pointer (which may be NULL): any when it went well, else one that says something. */
static inline void mti_give_bool(mti_unpack *in, bool *to, mt_status s)
{
    bool v = mti_take_bool(in);
    if (to && (s == MT_OK || v))
        *to = v;
}
static inline void mti_give_i32(mti_unpack *in, int32_t *to, mt_status s)
{
    int32_t v = mti_take_i32(in);
    if (to && (s == MT_OK || v))
        *to = v;
}
static inline void mti_give_u32(mti_unpack *in, uint32_t *to, mt_status s)
{
    uint32_t v = mti_take_u32(in);
    if (to && (s == MT_OK || v))
        *to = v;
}
static inline void mti_give_u64(mti_unpack *in, uint64_t *to, mt_status s)
{
    uint64_t v = mti_take_u64(in);
    if (to && (s == MT_OK || v))
        *to = v;
}
static inline void mti_give_i64(mti_unpack *in, int64_t *to, mt_status s)
{
    int64_t v = mti_take_i64(in);
    if (to && (s == MT_OK || v))
        *to = v;
}
static inline void mti_give_f64(mti_unpack *in, double *to, mt_status s)
{
    double v = mti_take_f64(in);
    if (to && (s == MT_OK || v != 0))
        *to = v;
}
static inline void mti_give_handle(mti_unpack *in, mt_handle *to, mt_status s)
{
    mt_handle v = mti_take_handle(in);
    if (to && (s == MT_OK || v))
        *to = v;
}
static inline void mti_give_slice(mti_unpack *in, mt_slice *to, mt_status s)
{
    mt_slice v = mti_take_slice(in);
    if (to && (s == MT_OK || v.p))
        *to = v;
}
static inline void mti_give_f32s(mti_unpack *in, const float **to, size_t *n_to, mt_status s)
{
    size_t n;
    const float *v = mti_take_f32s(in, &n);
    if (s == MT_OK) {
        *to = v;
        *n_to = n;
    }
}

/* An interface that can be asked for: the table that a plugin in a worker gets; and, of a service that a plugin may provide from a worker, the table
 * that the host registers for it (self is the mti_worker). */
typedef struct mti_asked {
    const char *id;
    const void *host;        /* mt_…: asks the host */
    const void *provider;    /* mt_…_provider: asks the worker; NULL when it cannot be provided from one */
} mti_asked;

extern const mti_asked mti_asked_interfaces[];
extern const unsigned mti_asked_count;

#endif
