/*
 * What happened inside one request: spans of hooks, handlers, queries and patches. Kept in the
 * call's arena; when the call ends it may be kept in a per-loop ring (the last 256, and every
 * failed or slow one) for GET /v1/traces/{id}. Loop's thread only.
 */
#ifndef MTI_TELEMETRY_TRACE_H
#define MTI_TELEMETRY_TRACE_H

#include "base/buf.h"
#include "loop/call.h"

typedef struct mti_trace mti_trace;

/* Starts the call's trace; traceparent may be empty. Sets c->trace_id and c->span_id (a malformed
 * header is ignored, W3C Trace Context). */
void mti_trace_begin(mt_call *c, mt_slice traceparent);
/* Records an interval; kind and name are borrowed constants ("hook", "db", "handler"); outcome and
 * detail may be NULL (detail is copied). At most 128 a call. */
void mti_trace_span(mt_call *c, const char *kind, const char *name, const char *owner,
                    int64_t from_us, int64_t to_us, const char *outcome, const char *detail);
/* "app;dur=1.2, db;dur=0.4" into out (NUL-terminated). */
void mti_trace_server_timing(const mt_call *c, char *out, size_t size);
void mti_traceparent(const mt_call *c, char out[56]);
/* Ends the trace; keep: store it in the ring. */
void mti_trace_end(mt_call *c, bool keep, int http_status);
/* The kept trace of this loop as JSON, only when it belongs to org (nil: any); false when not here.
 */
bool mti_trace_find(mti_loop *l, const uint8_t id[16], mti_uuid org, mti_buf *json);

/* A kept trace of a request that took at least this long, or was answered 400 and up, goes to a
 * ring of its own. At start; default 1 s. */
void mti_trace_set_slow(int64_t us);
/* Frees the loop's rings; when the loop ends. */
void mti_trace_dispose(mti_loop *l);

#endif
