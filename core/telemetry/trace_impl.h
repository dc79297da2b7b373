/* What trace.c and trace_ring.c share. */
#ifndef MTI_TELEMETRY_TRACE_IMPL_H
#define MTI_TELEMETRY_TRACE_IMPL_H

#include "telemetry/trace.h"

enum { MTI_TRACE_SPANS = 128, MTI_TRACE_DETAIL = 1024 };

/* One cache line. Times are ticks. */
typedef struct mti_span {
    const char *name, *owner, *outcome, *detail;
    uint64_t from, to;
    uint64_t busy;               /* less than the interval when it happened several times */
    uint32_t count;              /* how often in a row */
    uint32_t kind;               /* mti_trace_kind */
} mti_span;

struct mti_trace {
    uint64_t began;              /* ticks */
    uint8_t parent[8];           /* zero: none */
    bool drawn, asked, allowed;  /* kept when drawn or allowed */
    uint16_t n, cap, dropped;
    mti_span *spans;             /* in the call's arena */
};

/* A span of ticks in microseconds. */
int64_t mti_trace_us(uint64_t ticks);

/* Keeps the call, which took so long, in its loop's rings; t NULL: only its outline. */
void mti_trace_keep(const mt_call *c, const mti_trace *t, int http_status, int64_t took_us, bool slow);

#endif
