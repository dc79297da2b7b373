/* What h2.c, h2_exchange.c, h2_head.c and h2_guard.c share: a connection of HTTP/2 and its streams. Everything belongs to one loop. */
#ifndef MTI_HTTP_H2_H
#define MTI_HTTP_H2_H

#include "http/internal.h"

#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdio.h>

enum { H2_HEAD_BYTES = 32 << 10, H2_HEAD_FIELDS = 100, H2_ANSWER_FIELDS = 64 };

/* A head as its fields arrive; offsets into bytes, which may move. */
typedef struct http_h2_head {
    mti_buf bytes;
    struct {
        unsigned name, name_len, value, value_len;
    } fields[H2_HEAD_FIELDS], method, path, authority;
    unsigned n;
    size_t list_size; /* as RFC 9113, 6.5.2 counts it */
    bool too_large;
} http_h2_head;

typedef struct http_h2_stream {
    http_h2_conn *conn;
    struct http_h2_stream *prev, *next;
    int32_t id;
    mti_http_request *r; /* NULL: none was made, or it is gone */
    http_h2_head head;   /* until the request is made */
    h2o_mem_pool_t pool; /* of the answer */

    h2o_buffer_t *input; /* of the body, as far as it has come; NULL: nothing has, or the request took it */
    size_t unread, limit, mark; /* unread: came before anybody asked, not yet given back to the windows */
    bool reading, body_over, ended; /* ended: the client's side */
    size_t linger;                  /* of a body after the answer, what may still come; 0: none, or the answer is not out */
    bool lingered;                  /* for an interval */

    nghttp2_nv fields[H2_ANSWER_FIELDS];
    unsigned n_fields;
    mt_slice data;               /* what goes out next */
    size_t sent, sent_mark;
    bool answered, last, piece, taken; /* piece: data belongs to the request, which is told when it is taken */
    bool late;                   /* reset because it stood still */
} http_h2_stream;

/* A store of permissions that refills with time. */
typedef struct http_h2_budget {
    double left;
    uint64_t at;
} http_h2_budget;

struct http_h2_conn {
    http_conn *conn;
    h2o_socket_t *sock;
    nghttp2_session *session;
    http_h2_conn *prev, *next;
    http_h2_stream *streams;
    mti_buf out; /* being written */
    mti_timer *tick, *notice;
    int64_t tick_ms;
    uint64_t active, head_since, progress_at, acked; /* milliseconds of the loop; bytes that the peer has acknowledged */
    bool busy, writing, was_writing, dead; /* busy: inside nghttp2; dead: to be closed once outside */
    bool any, leaving;        /* a frame of a request came; the last GOAWAY is out */
    const char *calm;         /* the guard's reason to end it; NULL: none */
    size_t header_bytes;
    http_h2_budget resets, control;
};

/* h2.c */
void http_h2_flush(http_h2_conn *c); /* may close the connection */

/* h2_exchange.c */
extern const http_transport http_h2_transport;
void http_h2_answer_problem(http_h2_stream *s, int status, const char *code);
int http_h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *conn);
void http_h2_body_look(http_h2_stream *s); /* the reader gets it when it is whole, or too large */
void http_h2_body_late(http_h2_stream *s);
void http_h2_linger(http_h2_stream *s);    /* answered before its body ended */

/* h2_head.c */
void http_h2_head_add(http_h2_head *h, mt_slice name, mt_slice value);
/* 0 and the head filled (fields has room for two more than H2_HEAD_FIELDS), or the status to refuse with. Slices point into h. */
int http_h2_head_finish(http_h2_head *h, h2o_http1_field_t *fields, http_head *out);
void http_h2_head_dispose(http_h2_head *h);

/* h2_guard.c: false: the client's budget is spent, calm says for what. */
void http_h2_guard_init(http_h2_conn *c);
bool http_h2_guard_frame(http_h2_conn *c, const nghttp2_frame_hd *hd);
bool http_h2_guard_reset(http_h2_conn *c);
bool http_h2_guard_header(http_h2_conn *c, size_t bytes);
void http_h2_guard_sent(http_h2_conn *c, const nghttp2_frame_hd *hd);
/* Every progress_ms. Ends bodies and readers that stood still; false: the connection does as a whole. */
bool http_h2_progress(http_h2_conn *c, const mti_http_options *o);

#endif
