/* What the files of http/ share: with h1.c, h2.c and tls.c the only place that knows h2o. */
#ifndef MTI_HTTP_INTERNAL_H
#define MTI_HTTP_INTERNAL_H

#include <h2o.h>
#include <h2o/http1.h>

#include "base/buf.h"
#include "http/server.h"

enum { HTTP_MAX_LOOPS = 64, HTTP_BLOCK = 2048, HTTP_BLOCKS_KEPT = 1024, HTTP_OVERFLOW = 256 };

typedef struct http_loop http_loop;
typedef struct http_tls http_tls;
typedef struct http_h2_conn http_h2_conn;

/* An accepted connection; outlives its socket while a request still refers to it. */
typedef struct http_conn {
    http_loop *hl;
    unsigned refs;
    bool open, refused, local, tls, proxy; /* proxy: a trusted one, which names its client */
    char peer[INET6_ADDRSTRLEN];
    h2o_socket_t *sock;       /* during the handshake only: later h1's or h2's */
    SSL_CTX *context;         /* its own reference; h2o keeps the bare pointer until the handshake is over */
    mti_timer *handshake;     /* the time that it may take; NULL: over */
    struct http_conn *prev, *next; /* among those in their handshake */
} http_conn;

/* How an exchange travels: a connection of HTTP/1.1, or a stream of HTTP/2. All are called only while r->side is not NULL, on the
 * loop's thread. What they are given is copied. */
typedef struct http_transport {
    void (*add_header)(mti_http_request *r, mt_slice name, mt_slice value);
    void (*answer)(mti_http_request *r, int status, mt_slice content_type, mt_slice body);
    void (*begin)(mti_http_request *r, int status, mt_slice content_type); /* a streamed answer's head, at once */
    /* A piece of a streamed answer, which stays where it is until http_request_sent. */
    void (*send)(mti_http_request *r, mt_slice data, bool last);
    void (*read_body)(mti_http_request *r, size_t limit); /* http_request_body_ended tells the end, maybe inside */
    void (*abort)(mti_http_request *r);                   /* an answer that cannot be completed */
} http_transport;

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
    http_conn *handshakes;    /* connections that are not one of HTTP yet */
    http_h2_conn *h2_conns;
    void *blocks; /* free request blocks, linked through their first word */
    unsigned blocks_kept;
    mti_http_stats stats;
    unsigned live; /* request objects, also those that only wait for h2o or for their entry */
    bool draining;
    mti_timer *grace, *idle, *finish; /* of a drain */
    void (*done)(void *arg);
    void *done_arg;
};

struct mti_http_server {
    mti_http_options options;
    http_tls *tls; /* NULL: plain text */
    h2o_globalconf_t conf;
    http_loop *loops[HTTP_MAX_LOOPS];
};

typedef enum http_state { HTTP_NEW, HTTP_ANSWERED, HTTP_STREAMING, HTTP_ENDED } http_state;

struct mti_http_request {
    http_loop *hl;
    http_conn *conn;
    const http_transport *transport;
    void *side;       /* the transport's: h2o's request, or a stream of HTTP/2; NULL once it is gone */
    mti_fiber *fiber; /* NULL once the entry has returned */
    http_state state;
    mt_status gone; /* why the client's side ended early: MT_CANCELLED, MT_TIMEOUT; else MT_OK */
    mt_slice method, path, query;
    char client[INET6_ADDRSTRLEN]; /* as a trusted proxy named it; "" otherwise */
    mt_field *fields;
    size_t field_count;
    bool heap; /* the block is malloc's, not of the loop's pool */

    bool has_body, body_begun, body_done;
    mt_status body_status;
    size_t content_length;
    mt_slice body;
    h2o_buffer_t *input; /* holds the body once it was read */
    mti_waitlist wait;   /* the fiber, in body or stream_write */

    h2o_generator_t generator; /* HTTP/1.1's */
    mti_buf flying, pending; /* being written by h2o; next to be written */
    bool in_flight, discard;
};

/* server.c */
void http_loop_settle(
    http_loop *hl); /* after something ended: finishes a drain when nothing is left */
void http_conn_release(http_conn *c);
http_conn *http_conn_open(http_loop *hl, h2o_socket_t *sock);

/* request.c */
typedef h2o_http1_head_t http_head; /* of either protocol */
/* NULL: overloaded. */
mti_http_request *http_request_create(http_loop *hl, http_conn *c, const http_transport *t, void *side, const http_head *head);
/* Runs the entry in a fiber, at once until it suspends: whatever the transport links to r it has linked before. False: there is no fiber
 * left, r is gone. */
bool http_request_run(mti_http_request *r);
/* The transport's side is gone: MT_OK after a complete answer, MT_TIMEOUT, MT_CANCELLED. r may be freed inside. */
void http_request_ended(mti_http_request *r, mt_status why);
/* The body is whole in r->body, or (MT_TOO_LARGE, MT_TIMEOUT, MT_INVALID) will not come. */
void http_request_body_ended(mti_http_request *r, mt_status s);

/* respond.c */
void http_request_sent(mti_http_request *r);       /* the piece given to send was taken */
void http_request_end_answer(mti_http_request *r); /* the entry has returned */
const char *http_reason(int status);
static inline bool http_is_bodiless(int status)
{
    return status == 204 || status == 304;
}
/* The problem of the layer itself as JSON; size is enough with 192. */
mt_slice http_problem(char *out, size_t size, int status, const char *code);

/* h1.c */
void http_h1_accept(http_conn *c, h2o_socket_t *sock);
void http_h1_on_head(h2o_req_t *req, const h2o_http1_head_t *head); /* the callback of h2o's host mode */
void http_h1_abort_all(http_loop *hl);

/* h2.c */
void http_h2_accept(http_conn *c, h2o_socket_t *sock);
void http_h2_drain(http_loop *hl); /* says that no further streams are taken; connections end with their last one */
void http_h2_abort_all(http_loop *hl);

/* tls.c */
mt_status http_tls_create(const mti_http_options *o, http_tls **out, mti_error *e);
void http_tls_destroy(http_tls *t);
SSL_CTX *http_tls_context(http_tls *t); /* the caller's reference; any thread */
mt_status http_tls_reload(http_tls *t, mti_error *e);
bool http_tls_is_h2(h2o_socket_t *sock); /* what the handshake agreed on */

/* proxies.c: the address of the client behind trusted proxies, from Forwarded or X-Forwarded-For. */
bool http_proxies_trust(const mti_http_options *o, const struct sockaddr *sa);
void http_proxies_client(const mti_http_options *o, const mt_field *fields, size_t n, char out[INET6_ADDRSTRLEN]);

#endif
