/* What trace.c and trace_ring.c share. */
#ifndef MTI_TELEMETRY_TRACE_IMPL_H
#define MTI_TELEMETRY_TRACE_IMPL_H

#include "telemetry/trace.h"

enum { MTI_TRACE_SPANS = 128, MTI_TRACE_DETAIL = 1024 };

typedef struct mti_span {
    const char *name, *owner, *outcome, *detail;
    int64_t from_us, to_us;
    int64_t busy_us;             /* less than the interval when it happened several times */
    uint32_t count;              /* how often in a row */
    mti_trace_kind kind;
} mti_span;

struct mti_trace {
    uint8_t parent[8];           /* zero: none */
    bool drawn, asked, allowed;  /* kept when drawn or allowed */
    uint16_t n, cap, dropped;
    mti_span *spans;             /* in the call's arena */
};

/* Keeps the call in its loop's rings; t NULL: only its outline. */
void mti_trace_keep(const mt_call *c, const mti_trace *t, int http_status, bool slow);

#endif
