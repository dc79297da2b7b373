/*
 * Outbound HTTP/1.1 for the host and, through http/1, for plugins: libcurl on the loop,
 * straight-line in a fiber. Only http and https; no proxy from the environment; no address that is
 * private, loopback, link-local or otherwise not public, checked on the resolved address of every
 * request, unless the request allows it.
 */
#ifndef MTI_HTTP_CLIENT_H
#define MTI_HTTP_CLIENT_H

#include "base/arena.h"
#include "base/error.h"
#include "loop/fiber.h"

typedef struct mti_http_client mti_http_client; /* one a loop: its connections and limits */
typedef struct mti_http_fetch mti_http_fetch;   /* one exchange, of the fiber that opened it */

/* 0 or NULL means the default in brackets. */
typedef struct mti_http_client_options {
    unsigned max_connections;      /* [64] more exchanges than connections queue … */
    unsigned max_host_connections; /* [16] */
    unsigned max_exchanges;        /* … up to this many [1,024]; then MT_LIMITED */
    const char *user_agent;        /* ["mortise"] copied */
    const char *ca_file;           /* [the system's] copied; for tests and private authorities */
} mti_http_client_options;

/* What to send. Everything is borrowed until the exchange is closed. 0 means the default in
 * brackets. */
typedef struct mti_http_outgoing {
    const char *method; /* ["GET"] */
    const char *url;
    const mt_field *headers;
    size_t header_count;
    mt_slice body;          /* p == NULL: none */
    int64_t connect_ms;     /* [5,000] */
    int64_t head_ms;        /* until the answer's head, all included [30,000] */
    int64_t idle_ms;        /* between two pieces of the body [60,000] */
    int64_t total_ms;       /* [no limit; fetch_whole: 120,000] */
    size_t max_body;        /* [8 MiB; SIZE_MAX: no limit] */
    unsigned max_redirects; /* [0: a 3xx is an answer]; each target passes the same address check */
    bool allow_private;
} mti_http_outgoing;

typedef struct mti_http_reply {
    int status;
    const mt_field *headers; /* names in lower case */
    size_t header_count;
    mt_slice body;
} mti_http_reply;

/* On the loop's thread, or before it runs; o may be NULL. One client a loop, found again by
 * mti_http_client_of. */
mti_http_client *mti_http_client_create(mti_loop *l, const mti_http_client_options *o);
/* Every exchange must be closed. On the loop's thread, or after it has run. */
void mti_http_client_destroy(mti_http_client *c);
mti_http_client *mti_http_client_of(const mti_loop *l); /* NULL when none was created */

/* Sends the request and suspends until the answer's head is there; any status is MT_OK. *out is the
 * caller's to close (also when the fiber was cancelled in next). Failures leave *out NULL and fill
 * e (may be NULL): MT_INVALID (url, method or header), MT_DENIED (address), MT_TIMEOUT,
 * MT_UNAVAILABLE (resolve, connect, TLS, protocol), MT_LIMITED, MT_CANCELLED. */
mt_status mti_http_fetch_open(mti_http_client *c, const mti_http_outgoing *o, mti_http_fetch **out,
                              mti_error *e);
int mti_http_fetch_status(const mti_http_fetch *f);
/* The last field of that name (given in lower case), valid until close; {NULL, 0} when absent. */
mt_slice mti_http_fetch_header(const mti_http_fetch *f, const char *name);
bool mti_http_fetch_header_at(const mti_http_fetch *f, size_t i, mt_field *out);
/* The next piece of the body, as it arrives; valid until the next call. The peer is slowed down
 * when nobody asks. MT_DONE: it is complete. MT_TOO_LARGE, MT_TIMEOUT, MT_UNAVAILABLE (cut),
 * MT_CANCELLED. */
mt_status mti_http_fetch_next(mti_http_fetch *f, mt_slice *piece, mti_error *e);
void mti_http_fetch_close(mti_http_fetch *f); /* NULL is fine; an unfinished exchange is aborted */

/* The whole exchange; the reply lies in the arena. */
mt_status mti_http_fetch_whole(mti_http_client *c, const mti_http_outgoing *o, mti_arena *arena,
                               mti_http_reply *out, mti_error *e);

/* Whether an address is on the public internet; mapped, translated and 6to4 IPv4 addresses are
 * judged as what they carry. */
struct sockaddr;
bool mti_http_address_is_public(const struct sockaddr *sa);

#endif
