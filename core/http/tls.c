/* TLS: the certificate in use, taken by each connection as it begins, so that a renewed one needs no restart. */
#include "http/internal.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"

typedef struct file_id {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec modified;
} file_id;

struct http_tls {
    char *certificate, *key;
    bool h2;
    pthread_mutex_t lock; /* context, seen */
    SSL_CTX *context;
    file_id seen[2]; /* the files that context was made of, or that were refused last */
};

static const char *reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;

    return text ? text : "unknown reason";
}

/* HTTP/2 where it is on and the client knows it, else HTTP/1.1; a client that offers neither is refused (RFC 7301, 3.2). */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    const http_tls *t = arg;
    const unsigned char *ours = t->h2 ? both : both + 3;
    const unsigned n = t->h2 ? sizeof both - 1 : sizeof both - 4;

    return SSL_select_next_proto((unsigned char **)out, out_len, ours, n, in, in_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static mt_status read_files(const http_tls *t, SSL_CTX *c, mti_error *e)
{
    if (SSL_CTX_use_certificate_chain_file(c, t->certificate) != 1)
        return mti_fail(e, MT_INVALID, "tls_certificate",
                        "http.tls_certificate: %.200s is no readable PEM certificate chain (%s).",
                        t->certificate, reason());
    if (SSL_CTX_use_PrivateKey_file(c, t->key, SSL_FILETYPE_PEM) != 1)
        return mti_fail(e, MT_INVALID, "tls_key",
                        "http.tls_key: %.200s is no readable PEM key of this certificate (%s).",
                        t->key, reason());
    if (SSL_CTX_check_private_key(c) != 1)
        return mti_fail(e, MT_INVALID, "tls_key", "http.tls_key: %.200s belongs to another certificate.", t->key);
    return MT_OK;
}

static mt_status make_context(http_tls *t, SSL_CTX **out, mti_error *e)
{
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());

    if (!c)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory at start");
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    /* forward secrecy and authenticated encryption in TLS 1.2 too; HTTP/2 requires it (RFC 9113, 9.2.2) */
    SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, t);
    SSL_CTX_set_session_id_context(c, (const unsigned char *)"mortise", 7);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF); /* tickets carry what a resumed session needs */
    mt_status s = read_files(t, c, e);
    if (s != MT_OK) {
        SSL_CTX_free(c);
        return s;
    }
    *out = c;
    return MT_OK;
}

static void identify(const http_tls *t, file_id out[2])
{
    const char *paths[2] = {t->certificate, t->key};
    struct stat st;

    memset(out, 0, 2 * sizeof *out);
    for (int i = 0; i < 2; i++)
        if (stat(paths[i], &st) == 0)
            out[i] = (file_id){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

mt_status http_tls_create(const mti_http_options *o, http_tls **out, mti_error *e)
{
    http_tls *t = h2o_mem_alloc(sizeof *t);

    memset(t, 0, sizeof *t);
    t->certificate = strdup(o->tls_certificate);
    t->key = strdup(o->tls_key && *o->tls_key ? o->tls_key : o->tls_certificate);
    t->h2 = o->http2;
    pthread_mutex_init(&t->lock, NULL);
    identify(t, t->seen);
    mt_status s = make_context(t, &t->context, e);
    if (s != MT_OK) {
        http_tls_destroy(t);
        return s;
    }
    *out = t;
    return MT_OK;
}

void http_tls_destroy(http_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->context);
    pthread_mutex_destroy(&t->lock);
    free(t->certificate);
    free(t->key);
    free(t);
}

SSL_CTX *http_tls_context(http_tls *t)
{
    SSL_CTX *c;

    pthread_mutex_lock(&t->lock);
    c = t->context;
    SSL_CTX_up_ref(c);
    pthread_mutex_unlock(&t->lock);
    return c;
}

mt_status http_tls_reload(http_tls *t, mti_error *e)
{
    SSL_CTX *next, *old = NULL;
    file_id now[2];

    identify(t, now);
    if (memcmp(now, t->seen, sizeof now) == 0)
        return MT_OK;
    mt_status s = make_context(t, &next, e);
    pthread_mutex_lock(&t->lock);
    memcpy(t->seen, now, sizeof now);
    if (s == MT_OK) {
        old = t->context;
        t->context = next;
    }
    pthread_mutex_unlock(&t->lock);
    SSL_CTX_free(old);
    if (s == MT_OK)
        mti_log(MTI_LOG_INFO, "tls.certificate_replaced", "file=%s", t->certificate);
    return s;
}

bool http_tls_is_h2(h2o_socket_t *sock)
{
    h2o_iovec_t p = h2o_socket_ssl_get_selected_protocol(sock);

    return p.len == 2 && memcmp(p.base, "h2", 2) == 0;
}
