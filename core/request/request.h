/*
 * One HTTP request on its way through the stages, in order: head (route) → authenticate → authorize → limit → body → operation → answer → done.
 * Each stage is a file; each answers MT_OK to go on, anything else with the problem in call.error. Everything runs in the request's fiber.
 */
#ifndef MTI_REQUEST_REQUEST_H
#define MTI_REQUEST_REQUEST_H

#include "http/server.h"
#include "plugin/host.h"
#include "plugin/values.h"
#include "request/multipart.h"

/* An id and its text, written once for all phases that tell it. */
typedef struct mti_id_text {
    mti_uuid id;
    char text[37];                           /* "" before */
} mti_id_text;

typedef struct mti_request {
    mt_call call;
    mti_host *host;
    mti_http_request *http;
    mti_match match;
    struct mti_values values;
    mti_id_text org, workspace, subject;     /* mti_request_id's */
    mt_slice path;                           /* below the base path */
    mt_slice body_text;                      /* as read; {NULL,0} before */
    int status;                              /* of the answer; 0 before */
    size_t bytes_out;
    bool streaming, idempotent, timed_out;
    bool secret;                             /* the answer is marked cache-control: no-store */
    bool retry_told;             /* a Retry-After was set: the first one counts */
    mti_uuid idempotency_org;                /* whose row holds the key */
    mti_timer *deadline;                     /* NULL: none, or it has passed */
    const char *etag;                        /* of the answer, unquoted; NULL: none */
    mti_multipart multipart;                 /* last: its parts, 4 KiB, are not cleared for each request */
} mti_request;

/* The entry function for core/http; ctx is the mti_host. */
void mti_request_entry(mti_http_request *http, void *ctx);

/* The text of the id, kept in t; the slice holds until it is asked for another. */
static inline mt_slice mti_request_id(mti_id_text *t, mti_uuid id)
{
    if (!t->text[0] || !mti_uuid_eq(t->id, id)) {
        t->id = id;
        mti_uuid_format(id, t->text);
    }
    return (mt_slice){t->text, 36};
}


/* The stages. */
mt_status mti_stage_head(mti_request *r);
mt_status mti_stage_authenticate(mti_request *r);
mt_status mti_stage_authorize(mti_request *r);
mt_status mti_stage_limit(mti_request *r);
mt_status mti_stage_body(mti_request *r);
mt_status mti_stage_operation(mti_request *r);
void mti_stage_done(mti_request *r);

/* The identity's own scope must hold the organization or workspace of this id; the platform chooses it. The call then acts in it.
 * MT_NOT_FOUND for an unknown and a foreign one alike. May suspend. */
mt_status mti_scope_enter(mt_call *c, mti_uuid id, const char *kind);
/* The host's own operations and those that mend policies are out of the reach of policies and of guards that cannot run: nobody can lock everybody out. */
bool mti_stands_above(const mti_operation *op);
/* Gives the call what its organization has of its own, settings and policies, once that is known. May suspend. MT_NOT_FOUND when the organization has
 * the operation's plugin switched off; MT_UNAVAILABLE. */
mt_status mti_stage_organization(mti_request *r);

/* Answers with JSON or other bytes; adds the standard headers. MT_CONFLICT when already answered. */
mt_status mti_answer_json(mti_request *r, int status, mt_slice json);
mt_status mti_answer_raw(mti_request *r, int status, mt_slice type, mt_slice body);
/* Answers with call.error as problem+json (or as an error event inside a stream). */
void mti_answer_problem(mti_request *r);
void mti_answer_headers(mti_request *r, int status);

/* cors.c: the headers that let a listed origin's page read the answer; answers a preflight (true) of such a page. */
void mti_cors_headers(mti_request *r);
bool mti_cors_preflight(mti_request *r);

/* idempotency.c: a POST with an Idempotency-Key. begin: MT_OK to run it, MT_DONE when a kept answer was replayed. */
mt_status mti_idempotency_begin(mti_request *r);
mt_status mti_idempotency_keep(mti_request *r, int status, mt_slice body);
void mti_idempotency_abandon(mti_request *r);

/* events.c, traces.c */
mt_status mti_on_events(void *self, mt_call *c);
mt_status mti_on_traces(void *self, mt_call *c);
mt_status mti_on_trace(void *self, mt_call *c);

/* settings.c: what organizations have of plugins otherwise than everybody. The first two answer what a plugin is to somebody of an organization. */
mt_status mti_plugins_of_tenant(mt_call *c);
mt_status mti_plugin_of_tenant(mt_call *c, mt_slice slug);
mt_handler_fn mti_settings_handler(const char *name);

/* builtin.c: the handlers of manifests/core/api.json, bound into the contract. */
mt_status mti_builtin_bind(mti_contract *k, mti_error *e);

#endif
