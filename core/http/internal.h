/* What the files of http/ share: the only place that includes h2o. */
#ifndef MTI_HTTP_INTERNAL_H
#define MTI_HTTP_INTERNAL_H

#include <h2o.h>
#include <h2o/http1.h>

#include "base/buf.h"
#include "http/server.h"

enum { HTTP_MAX_LOOPS = 64, HTTP_BLOCK = 2048, HTTP_BLOCKS_KEPT = 1024, HTTP_OVERFLOW = 256 };

typedef struct http_loop http_loop;

/* An accepted connection; outlives its socket while a request still refers to it. */
typedef struct http_conn {
    http_loop *hl;
    unsigned refs;
    bool open, refused, local;
    char peer[INET6_ADDRSTRLEN];
} http_conn;

typedef struct http_listener {
    http_loop *hl;
    h2o_socket_t *sock;
    mti_timer *pause;
    struct http_listener *next;
} http_listener;

/* What a server has in one loop. */
struct http_loop {
    h2o_context_t h2o; /* first: a request finds its loop through it */
    mti_http_server *server;
    mti_loop *loop;
    http_listener *listeners;
    void *blocks; /* free request blocks, linked through their first word */
    unsigned blocks_kept;
    mti_http_stats stats;
    unsigned live; /* request objects, also those that only wait for h2o or for their entry */
    bool draining;
    mti_timer *grace, *finish;
    void (*done)(void *arg);
    void *done_arg;
};

struct mti_http_server {
    mti_http_options options;
    h2o_globalconf_t conf;
    http_loop *loops[HTTP_MAX_LOOPS];
};

typedef enum http_state { HTTP_NEW, HTTP_ANSWERED, HTTP_STREAMING, HTTP_ENDED } http_state;

struct mti_http_request {
    http_loop *hl;
    http_conn *conn;
    h2o_req_t *req;   /* NULL once h2o disposed of it */
    mti_fiber *fiber; /* NULL once the entry has returned */
    http_state state;
    mt_status gone; /* why the client's side ended early: MT_CANCELLED, MT_TIMEOUT; else MT_OK */
    mt_slice method, path, query;
    mt_field *fields;
    size_t field_count;
    bool heap; /* the block is malloc's, not of the loop's pool */

    bool has_body, body_begun, body_done;
    mt_status body_status;
    size_t content_length;
    mt_slice body;
    h2o_buffer_t *input; /* holds the body once it was read */
    mti_waitlist wait;   /* the fiber, in body or stream_write */

    h2o_generator_t generator;
    mti_buf flying, pending; /* being written by h2o; next to be written */
    bool in_flight, discard;
};

/* server.c */
void http_loop_settle(
    http_loop *hl); /* after something ended: finishes a drain when nothing is left */
void http_conn_release(http_conn *c);
/* request.c: the callback of h2o's host mode. */
void http_on_head(h2o_req_t *req, const h2o_http1_head_t *head);
/* respond.c */
void http_answer_unasked(h2o_req_t *req, int status,
                         const char *code);        /* by the layer itself, before any entry */
void http_request_end_answer(mti_http_request *r); /* the entry has returned */

#endif
