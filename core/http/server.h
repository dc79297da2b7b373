/*
 * The HTTP server behind straight-line calls: HTTP/1.1 by h2o's parser and writer, with TLS also
 * HTTP/2 by nghttp2. Every exchange runs its entry function in a fresh fiber as soon as the head has arrived and passed the strict checks,
 * before any of the body is read. Everything here belongs to one loop and is called on its thread;
 * only the options are shared, read-only.
 */
#ifndef MTI_HTTP_SERVER_H
#define MTI_HTTP_SERVER_H

#include "base/error.h"
#include "loop/fiber.h"

typedef struct mti_http_server mti_http_server;
typedef struct mti_http_request mti_http_request;

/* Runs in its own fiber. r and every slice it answered stay valid until the function returns, also
 * when the client has left. It must answer (respond or a stream); returning without is answered
 * 500. Work after the answer does not delay the client. When the client leaves before the answer is
 * complete the fiber is cancelled. */
typedef void (*mti_http_entry)(mti_http_request *r, void *ctx);

/* The addresses whose word about a client's address is taken. list: addresses and blocks, separated by blanks or commas.
 * MT_INVALID names the wrong one. Any thread; read-only once made. */
typedef struct mti_http_proxies mti_http_proxies;
mt_status mti_http_proxies_parse(const char *list, mti_http_proxies **out, mti_error *e);
void mti_http_proxies_destroy(mti_http_proxies *p);

/* 0 or NULL means the default in brackets. */
typedef struct mti_http_options {
    mti_http_entry entry;
    void *ctx;
    unsigned max_connections; /* a loop [20,000]: beyond them 503, far beyond them closed at once */
    unsigned max_requests; /* running entries a loop [16,000]: beyond them 503 with Retry-After */
    int64_t head_ms;       /* for a whole head, and for a fresh connection's first byte [10,000] */
    int64_t idle_ms;       /* between two requests [75,000] */
    int64_t progress_ms; /* each such interval a body, or a reader of ours, must move … [10,000] */
    size_t min_progress;  /* … this many bytes [2,048], or it ends with MT_TIMEOUT */
    size_t stream_buffer; /* what a stream holds for a slow reader before writes suspend [65,536] */
    const char *tls_certificate, *tls_key; /* PEM files; TCP then speaks TLS only. Key [in the certificate's file] */
    bool http2;                            /* offered to TLS clients [no] */
    const mti_http_proxies *proxies;       /* the caller's, outlives the server [none are trusted] */
} mti_http_options;

typedef struct mti_http_stats {
    uint64_t accepted, requests, refused; /* since the start; refused: 503 by the caps */
    unsigned connections, running;        /* now */
} mti_http_stats;

/* Any thread. The options are copied. MT_INVALID: certificate or key cannot be used. */
mt_status mti_http_server_create(const mti_http_options *o, mti_http_server **out, mti_error *e);
/* Takes the certificate anew when its files have changed: connections that begin later use it. A broken one is told once and the old
 * one stays. One thread at a time, beside running loops. */
mt_status mti_http_tls_reload(mti_http_server *s, mti_error *e);
/* After every loop that listened has been drained. */
void mti_http_server_destroy(mti_http_server *s);

/* Accepts on the listening socket fd, TCP or Unix, in this loop (on the loop's thread, or before it
 * runs). Several loops may listen on the same fd. The descriptor stays the caller's. MT_INTERNAL
 * when it cannot be duplicated. */
mt_status mti_http_listen(mti_http_server *s, mti_loop *l, int fd);
/* Stops accepting, lets running requests end (their connections close after the answer), closes
 * idle connections after idle_ms (a client may just be sending on one; who asks within that time is
 * answered and told to close), and after grace_ms resets what is left. Calls done(arg) (may be NULL)
 * in a later turn when nothing of the server is left in this loop. Once a loop. */
void mti_http_drain(mti_http_server *s, mti_loop *l, int64_t idle_ms, int64_t grace_ms,
                    void (*done)(void *arg), void *arg);
/* The grace of a drain that is under way ends in grace_ms. */
void mti_http_hurry(mti_http_server *s, mti_loop *l, int64_t grace_ms);
void mti_http_stats_get(const mti_http_server *s, const mti_loop *l, mti_http_stats *out);

/* The request. method and path as sent (path up to '?', never empty; query without '?', may be
 * empty). */
mt_slice mti_http_method(const mti_http_request *r);
mt_slice mti_http_path(const mti_http_request *r);
mt_slice mti_http_query(const mti_http_request *r);
/* The first field of that name (given in lower case); {NULL, 0} when absent. */
mt_slice mti_http_header(const mti_http_request *r, const char *name);
/* All fields in order, names in lower case; false behind the last. */
bool mti_http_header_at(const mti_http_request *r, size_t i, mt_field *out);
mt_slice
mti_http_peer(const mti_http_request *r); /* address without port, as a trusted proxy tells it; "local" for a Unix socket */
bool mti_http_is_secure(const mti_http_request *r); /* came in over TLS */
bool mti_http_is_local(const mti_http_request *r); /* came in over a Unix socket */
mti_loop *mti_http_loop(const mti_http_request *r);
bool mti_http_has_body(const mti_http_request *r);
size_t mti_http_content_length(const mti_http_request *r); /* SIZE_MAX: chunked, unknown */

/* Reads the whole body, suspending. A body announced as longer than limit is refused without
 * reading. Again: the same slice. MT_TOO_LARGE; MT_TIMEOUT (too slow); MT_INVALID (broken framing):
 * then only an answer can follow, and the connection closes after it. MT_CANCELLED: the client
 * left. */
mt_status mti_http_body(mti_http_request *r, size_t limit, mt_slice *out);

/* A header of the answer; both are copied. MT_INVALID: a name that is no token or says how
 * the message is framed (content-length, connection …), or a value with control characters. */
mt_status mti_http_header_add(mti_http_request *r, mt_slice name, mt_slice value);
/* Queues the whole answer; copies the body. A content type with p == NULL sends none. An answer
 * before the body was read closes the connection after it (lingering, so that the answer is not
 * lost). Never suspends. MT_CONFLICT: already answered; MT_CANCELLED: the client left. */
mt_status mti_http_respond(mti_http_request *r, int status, mt_slice content_type, mt_slice body);
bool mti_http_answered(const mti_http_request *r); /* an answer or a stream has begun */

/* A streamed answer: begin sends the head at once; write suspends while the client takes too
 * little; end completes. An entry that returns without end resets the connection, so that the
 * client sees that the answer is cut. MT_CANCELLED: the client left; MT_TIMEOUT: it stopped
 * reading; MT_CONFLICT: not streaming. */
mt_status mti_http_stream_begin(mti_http_request *r, int status, mt_slice content_type);
mt_status mti_http_stream_write(mti_http_request *r, mt_slice data);
mt_status mti_http_stream_end(mti_http_request *r);

/* The client left before the answer was complete. */
bool mti_http_gone(const mti_http_request *r);

#endif
