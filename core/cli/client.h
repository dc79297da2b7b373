/* HTTP to the host over its admin socket, where the caller is the operator and needs no key.
 * Blocking; one thread. */
#ifndef MTI_CLI_CLIENT_H
#define MTI_CLI_CLIENT_H

#include "cli/internal.h"

typedef struct mti_reply {
    int status;
    mti_buf body;
    json_t *json; /* the body's tree, NULL when it is no JSON */
    char etag[40]; /* with its quotes; "" when there is none */
} mti_reply;

/*
 * Sends body (NULL: none; borrowed) and waits at most 5 minutes. MT_OK for an answer 2xx; else e
 * says it in one sentence, taken from problem+json where there is one, and the status is kept in r.
 * MT_UNAVAILABLE server_not_running when nobody listens. r is initialized in every case; dispose
 * it.
 */
mt_status mti_client_call(const mti_cli *cli, const char *method, const char *path,
                          const json_t *body, mti_reply *r, mti_error *e);
/* As mti_client_call, on the condition that the thing still has this etag ("" or NULL: in any case): else the status is 412. Asks again for a minute while the host
 * is being replaced by a fresh one. */
mt_status mti_client_call_if(const mti_cli *cli, const char *method, const char *path, const json_t *body, const char *etag, mti_reply *r, mti_error *e);
/* As mti_client_call, and asks for a trace: trace_id is "" when the server keeps none. */
mt_status mti_client_traced(const mti_cli *cli, const char *method, const char *path, const json_t *body, char trace_id[33], mti_reply *r,
                            mti_error *e);
/* POSTs one file as the multipart field "file". */
/* The same with a second field "config" (NULL: none). */
mt_status mti_client_upload_with(const mti_cli *cli, const char *path, const char *file_name,
                                 const char *type, mt_slice data, const char *config, mti_reply *r,
                                 mti_error *e);
mt_status mti_client_upload(const mti_cli *cli, const char *path, const char *file_name,
                            const char *type, mt_slice data, mti_reply *r, mti_error *e);
/* POSTs body and gives each server-sent event to on_event while they come; r gets nothing but the status, or the problem. MT_INVALID for an event
 * "error", whose detail is in e. */
mt_status mti_client_stream(const mti_cli *cli, const char *path, const json_t *body, void (*on_event)(void *arg, const char *name, const json_t *data),
                            void *arg, mti_reply *r, mti_error *e);
void mti_reply_dispose(mti_reply *r);

#endif
