/*
 * What crosses between the host and a worker: frames, and values packed in them. Both ends are the same program, so numbers have the machine's
 * own form; but neither end trusts a length. Writing goes to a mti_buf. Any thread, one at a time.
 */
#ifndef MTI_WORKER_WIRE_H
#define MTI_WORKER_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "bus/catalogue.h"
#include "bus/patch.h"

enum {
    MTI_FRAME_MAX = 80 << 20,            /* above the largest upload and what a call may hold */
    MTI_WORKER_CALLS = 1024,             /* at a time on a lane; the low bits of a call's id are its place */
};

/* What a frame is. */
enum {
    MTI_FRAME_START = 1, /* host: which plugin, what it was granted */
    MTI_FRAME_HELLO,     /* worker: the plugin runs; its entry table by names */
    MTI_FRAME_REFUSED,   /* worker: why it does not */
    MTI_FRAME_CALL,      /* host: a call into the plugin begins */
    MTI_FRAME_CANCEL,    /* host: it is to end early */
    MTI_FRAME_END,       /* host: what the call was for is over; its memory goes */
    MTI_FRAME_ASK,       /* worker: a function of the host, for a call */
    MTI_FRAME_ANSWER,    /* host: what it answered */
    MTI_FRAME_DONE,      /* worker: the call ended, with what */
    MTI_FRAME_LOG,       /* worker */
    MTI_FRAME_COUNT,     /* worker: metrics/1; the method is MTI_COUNT_… */
    MTI_FRAME_PING,      /* host */
    MTI_FRAME_PONG,      /* worker; the method is how often its plugin was activated */
};

/* What a call enters: the high byte of CALL's method; below it the index in the entry table, or the service's method. */
enum { MTI_ENTER_HANDLER = 1, MTI_ENTER_HOOK, MTI_ENTER_SERVICE, MTI_ENTER_ACTIVATE, MTI_ENTER_DEACTIVATE, MTI_ENTER_HAND_OVER, MTI_ENTER_TAKE_OVER };

/* What is counted, of which family, for which labels. */
enum { MTI_COUNT_ADD, MTI_COUNT_SET, MTI_COUNT_ZERO, MTI_COUNT_OBSERVE };
/* Questions that are no function of a packed interface. */
enum { MTI_ASK_COLUMN = 0xFFFD, MTI_ASK_FAMILY = 0xFFFE, MTI_ASK_EMIT = 0xFFFF };

typedef struct mti_frame {
    uint32_t len;        /* of the payload */
    uint16_t kind;
    uint16_t reserved;
    uint32_t method;
    uint32_t call;       /* names a call on this channel, never the same one again soon; 0: none */
} mti_frame;

/* Names the file of the program that runs: both ends have to be the same one. */
enum { MTI_PROGRAM_NAME = 96 };
void mti_program_name(char out[MTI_PROGRAM_NAME]);

/* --- writing --- */

static inline void mti_put(mti_buf *b, const void *p, size_t n)
{
    mti_buf_add(b, p, n);
}

static inline void mti_put_bool(mti_buf *b, bool v) { mti_buf_addc(b, v); }
static inline void mti_put_i32(mti_buf *b, int32_t v) { mti_put(b, &v, sizeof v); }
static inline void mti_put_u32(mti_buf *b, uint32_t v) { mti_put(b, &v, sizeof v); }
static inline void mti_put_i64(mti_buf *b, int64_t v) { mti_put(b, &v, sizeof v); }
static inline void mti_put_u64(mti_buf *b, uint64_t v) { mti_put(b, &v, sizeof v); }
static inline void mti_put_f64(mti_buf *b, double v) { mti_put(b, &v, sizeof v); }
static inline void mti_put_handle(mti_buf *b, mt_handle v) { mti_put(b, &v, sizeof v); }
void mti_put_slice(mti_buf *b, mt_slice s);              /* the null slice stays one */
void mti_put_slices(mti_buf *b, const mt_slice *s, size_t n);
void mti_put_fields(mti_buf *b, const mt_field *f, size_t n);
void mti_put_f32s(mti_buf *b, const float *f, size_t n);
void mti_put_error(mti_buf *b, const mti_error *e);
void mti_put_payload(mti_buf *b, const mti_hook_info *hook, const void *payload);
void mti_put_patch(mti_buf *b, const mt_patch *p);

/* --- reading: what does not fit makes the reader bad, and everything read from then on zero --- */

typedef struct mti_unpack {
    const char *p, *end;
    mti_arena *arena;        /* for arrays; texts point into the frame */
    bool bad;
} mti_unpack;

bool mti_take(mti_unpack *in, void *out, size_t n);      /* zeroes out when it is bad */
bool mti_take_bool(mti_unpack *in);
static inline int32_t mti_take_i32(mti_unpack *in) { int32_t v; mti_take(in, &v, sizeof v); return v; }
static inline uint32_t mti_take_u32(mti_unpack *in) { uint32_t v; mti_take(in, &v, sizeof v); return v; }
static inline int64_t mti_take_i64(mti_unpack *in) { int64_t v; mti_take(in, &v, sizeof v); return v; }
static inline uint64_t mti_take_u64(mti_unpack *in) { uint64_t v; mti_take(in, &v, sizeof v); return v; }
static inline double mti_take_f64(mti_unpack *in) { double v; mti_take(in, &v, sizeof v); return v; }
static inline mt_handle mti_take_handle(mti_unpack *in) { return mti_take_u64(in); }
mt_slice mti_take_slice(mti_unpack *in);
const mt_slice *mti_take_slices(mti_unpack *in, size_t *n);
const mt_field *mti_take_fields(mti_unpack *in, size_t *n);
const float *mti_take_f32s(mti_unpack *in, size_t *n);
mt_status mti_take_status(mti_unpack *in);               /* MT_INTERNAL for a number that is none */
void mti_take_error(mti_unpack *in, mti_error *e);
/* Fills the hook's struct of hook->size bytes, its size member too; texts point into the frame. */
void mti_take_payload(mti_unpack *in, const mti_hook_info *hook, void *payload);
/* Replays the changes onto p as its handler would make them. MT_INVALID when one is not allowed, or the frame is bad. */
mt_status mti_take_patch(mti_unpack *in, mt_patch *p);
/* Whole and nothing left over. */
static inline bool mti_unpacked(const mti_unpack *in) { return !in->bad && in->p == in->end; }

#endif
