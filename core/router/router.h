/*
 * From method and path to an operation: an immutable tree of path segments. Base paths /v1, /api, /api/v1 and /api/v1/enterprise are one table of
 * aliases. Built on the manager's loop, read by all.
 */
#ifndef MTI_ROUTER_ROUTER_H
#define MTI_ROUTER_ROUTER_H

#include "contract/contract.h"

typedef struct mti_router mti_router;

typedef struct mti_match {
    const mti_operation *op;                 /* NULL: not found */
    mt_slice params[MTI_MAX_PARAMS];         /* raw segments, still percent-encoded */
    const char *allow;                       /* when the path exists for other methods: "GET, POST"; owned by the router */
} mti_match;

/* Operations must outlive the router. MT_CONFLICT when two share method and path shape. */
mt_status mti_router_create(const mti_operation *const *ops, unsigned n, mti_router **out, mti_error *e);
void mti_router_destroy(mti_router *r);
/* path: as sent, without the query. A literal segment wins over a parameter. HEAD falls back to GET. */
mti_match mti_router_find(const mti_router *r, mt_slice method, mt_slice path);
/* Takes the base path off; false when the path is under none. "/health" and "/metrics" are also reached without one. */
bool mti_router_strip(mt_slice path, mt_slice *rest);
/* Percent-decodes into out (room for s.len + 1); false for a broken escape, NUL or invalid UTF-8. */
bool mti_percent_decode(mt_slice s, char *out, mt_slice *decoded);

#endif
