/* What went wrong, for people and for programs: travels beside mt_status. A value; copy freely. */
#ifndef MTI_BASE_ERROR_H
#define MTI_BASE_ERROR_H

#include <mortise/types.h>

typedef struct mti_error {
    mt_status status;
    int http;              /* HTTP status; 0 derives it from status */
    char code[64];         /* stable, snake_case: "agent_slug_taken" */
    char detail[384];      /* one sentence for people that says what to do; no secret, no database text */
    char pointer[160];     /* JSON pointer into the input, or "" */
    char owner[64];        /* plugin slug or core module that raised it, or "" */
} mti_error;

/* Fills e (which may be NULL) and answers status, so that `return mti_fail(e, MT_INVALID, "code", "…")` reads well. */
mt_status mti_fail(mti_error *e, mt_status status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The HTTP status of an error: e->http, or the usual one for e->status. */
int mti_error_http(const mti_error *e);
/* The other way: what an answer of this HTTP status amounts to. */
mt_status mti_error_status(int http);
const char *mti_status_name(mt_status s);   /* "not_found" */

#endif
