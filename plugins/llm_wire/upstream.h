/*
 * What the upstream engines share: one streamed exchange as a generation of llm_engine/1. A format says how a request is written
 * and what an event means; reading, time-outs, errors and the end of things are here.
 */
#ifndef LLM_WIRE_UPSTREAM_H
#define LLM_WIRE_UPSTREAM_H

#include "lines.h"

#include <mortise/json.h>

enum { UPSTREAM_TOOLS = 64, UPSTREAM_HEADERS = 6 };

typedef struct upstream upstream;

/* What a format fills. Texts live as long as the call. */
typedef struct upstream_request {
    mt_slice url, body;
    mt_field headers[UPSTREAM_HEADERS];
    size_t n_headers;
} upstream_request;

typedef struct upstream_format {
    const char *slug, *base_url, *content_type; /* the answer's type as it must begin */
    bool lines;                  /* a JSON document a line; else server-sent events */
    mt_status (*write)(mt_call *c, const mt_llm_engine_in *in, mt_handle options, mt_slice base, mt_slice key, upstream_request *out);
    /* One event. MT_DONE: it was the last; else a failure with its problem set. doc is freed after it, 0 when data is not JSON. */
    mt_status (*event)(upstream *u, mt_slice name, mt_slice data, mt_handle doc);
} upstream_format;

typedef struct upstream_tool {
    mt_slice id, name;
    wire_buf arguments;
} upstream_tool;

struct upstream {
    mt_call *c;
    const upstream_format *format;
    mt_handle http;
    wire_lines lines;
    wire_event event;
    wire_buf text;               /* of the piece that next hands out */
    upstream_tool tools[UPSTREAM_TOOLS];
    unsigned n_tools;
    mt_llm_engine_counts counts;
    size_t bytes_in, bytes_out;  /* for an estimate where the upstream counts nothing */
    int64_t timeout_ms;
    bool finished, counted;      /* it said why it ended; it told its counts */
    mt_status end;               /* what next answers once it has ended; MT_OK before */
};

/* --- for a format's event() --- */
mt_status upstream_text(upstream *u, mt_slice text);
/* The tool call of an index, begun when it is new; NULL past the limit. */
upstream_tool *upstream_tool_at(upstream *u, int64_t index);
mt_slice upstream_keep(upstream *u, mt_slice text);      /* a copy that lives as long as the call */
mt_status upstream_broken(upstream *u);                  /* the answer is not what the format says */
/* A failure that the upstream told: an HTTP status of its own, or one that fits its error's type. */
mt_status upstream_refused(upstream *u, int status, mt_slice message);

/* --- the provider's functions --- */
mt_status upstream_open(const upstream_format *f, mt_call *c, const mt_llm_engine_in *in, mt_handle *out);
mt_status upstream_next(void *self, mt_call *c, mt_handle handle, mt_slice *token);
mt_status upstream_tool_calls(void *self, mt_call *c, mt_handle handle, mt_slice *out);
mt_status upstream_usage(void *self, mt_call *c, mt_handle handle, mt_llm_engine_counts *out);
mt_status upstream_close(void *self, mt_call *c, mt_handle handle);
/* No models are known here: routes name them. */
mt_status upstream_models(void *self, mt_call *c, uint32_t index, mt_llm_engine_model *out);
uint32_t upstream_count_tokens(void *self, mt_call *c, mt_slice model, mt_slice text);

/* --- for writing requests --- */
mt_slice upstream_bearer(mt_call *c, mt_slice key);
void upstream_header(upstream_request *r, const char *name, mt_slice value);
/* How many milliseconds a Retry-After of seconds, or a reset of "6m0s" and the like, asks for; 0: it says nothing that can be read. */
int64_t upstream_wait_ms(mt_slice text);

#endif
