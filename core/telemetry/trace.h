/*
 * What happened inside one request: spans of stages, hooks, handlers, queries, services and
 * patches. A call that is recorded collects them in its arena; when it ends the trace is kept in a
 * ring of its loop for GET /v1/traces. A call that is not recorded has no trace (c->trace is
 * NULL), and everything below costs it a test of that pointer. Loop's thread only.
 */
#ifndef MTI_TELEMETRY_TRACE_H
#define MTI_TELEMETRY_TRACE_H

#include "base/buf.h"
#include "base/ticks.h"
#include "loop/call.h"

typedef struct mti_trace mti_trace;

typedef struct mti_trace_options {
    unsigned every;   /* one call in so many is recorded; 1: each, 0: only those that ask for it */
    int64_t slow_us;  /* a call that took at least this long is kept with the failed ones */
    bool values;      /* patches are recorded with their values, not only the sizes */
} mti_trace_options;

/* Before the loops run; the default is {1, 1 s, false}. */
void mti_trace_setup(const mti_trace_options *o);
bool mti_trace_values(void);

typedef enum mti_trace_kind {
    MTI_TRACE_STAGE, MTI_TRACE_HOOK, MTI_TRACE_HANDLER, MTI_TRACE_DB, MTI_TRACE_SERVICE, MTI_TRACE_OFFLOAD,
    MTI_TRACE_HTTP, MTI_TRACE_KINDS,
} mti_trace_kind;

/* Sets c->trace_id and c->span_id, and c->trace when the call is drawn or asked is true. A
 * traceparent that is malformed, or empty, is ignored (W3C Trace Context). */
void mti_trace_begin(mt_call *c, mt_slice traceparent, bool asked);
/* Whether the call asked for its trace, and has not been allowed yet; then allow, when it may: else
 * it is kept only when it was drawn. */
bool mti_trace_wants(const mt_call *c);
void mti_trace_allow(mt_call *c);
/* It asked and may: its trace will be kept. */
bool mti_trace_allowed(const mt_call *c);
/* mti_ticks() for a recorded call; 0 for another. */
static inline uint64_t mti_trace_now(const mt_call *c)
{
    return c->trace ? mti_ticks() : 0;
}
/* Records an interval of ticks. name, owner and outcome are borrowed as long as the loop lives
 * (constants, slugs, texts of contracts); only a hook's owner is borrowed for the call's life.
 * detail is copied (1 KiB of it); for a hook it is a JSON array of patches. owner, outcome and
 * detail may be NULL. What repeats the span before is counted in it. At most 128 a call; the others
 * are counted. */
void mti_trace_span(mt_call *c, mti_trace_kind kind, const char *name, const char *owner,
                    uint64_t from, uint64_t to, const char *outcome, const char *detail);
/* "app;dur=1.2, db;dur=0.4" into out (NUL-terminated); without parts: the first only. */
void mti_trace_server_timing(const mt_call *c, bool parts, char *out, size_t size);
/* Its flag says whether the call's trace is kept. */
void mti_traceparent(const mt_call *c, char out[56]);
/* Ends the trace and keeps it. Of a call that was not recorded an outline is kept when it failed
 * (500 and up) or was slow. */
void mti_trace_end(mt_call *c, int http_status);

/* --- reading what is kept --- */

/* Who looks: traces of this organization and workspace only. nil: of any. */
typedef struct mti_trace_viewer {
    mti_uuid org_id, workspace_id;
} mti_trace_viewer;

typedef struct mti_trace_outline {
    mti_uuid request_id;
    uint8_t trace_id[16];
    int64_t wall_us, took_us;
    int status;
    bool recorded;               /* it has spans */
    char operation[64], code[64];
} mti_trace_outline;

typedef struct mti_trace_filter {
    mti_trace_viewer viewer;
    mti_uuid before;             /* only requests with a lesser id */
    int min_status;
    const char *operation;       /* NULL: any */
} mti_trace_filter;

/* Merges this loop's traces into out[0 … n), newest first, which has room for cap; answers how many
 * there are then. */
unsigned mti_trace_list(mti_loop *l, const mti_trace_filter *f, mti_trace_outline *out, unsigned n, unsigned cap);

/* By the id of a trace or of a request; *newest is the request found so far (nil: none). A newer
 * one in this loop replaces it, and json. Whether there is one now. */
bool mti_trace_find(mti_loop *l, const uint8_t id[16], const mti_trace_viewer *v, mti_uuid *newest, mti_buf *json);

/* Frees the loop's rings; when the loop ends. */
void mti_trace_dispose(mti_loop *l);

#endif
