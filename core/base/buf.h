/* A growing byte buffer that is born with a maximum; going over it is its own error. Single-threaded. */
#ifndef MTI_BASE_BUF_H
#define MTI_BASE_BUF_H

#include <mortise/types.h>

typedef struct mti_buf {
    char *p;             /* NUL-terminated once something was added */
    size_t len, cap, max;
    mt_status status;    /* sticky: MT_OK, MT_TOO_LARGE or MT_NO_MEMORY; adds after a failure do nothing */
} mti_buf;

void mti_buf_init(mti_buf *b, size_t max);
void mti_buf_dispose(mti_buf *b);
void mti_buf_clear(mti_buf *b);                     /* keeps the memory, forgets the failure */
mt_status mti_buf_reserve(mti_buf *b, size_t extra);

static inline mt_status mti_buf_add(mti_buf *b, const void *p, size_t n)
{
    if (b->status != MT_OK || n >= b->cap - b->len)
        MT_TRY(mti_buf_reserve(b, n));
    if (n)
        memcpy(b->p + b->len, p, n);
    b->len += n;
    b->p[b->len] = 0;
    return MT_OK;
}

static inline mt_status mti_buf_addc(mti_buf *b, char c) { return mti_buf_add(b, &c, 1); }
static inline mt_status mti_buf_adds(mti_buf *b, const char *s) { return mti_buf_add(b, s, strlen(s)); }


mt_status mti_buf_addf(mti_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline mt_slice mti_buf_slice(const mti_buf *b) { return (mt_slice){b->p, b->len}; }
/* Adds s as a JSON string with its quotes; invalid UTF-8 bytes become U+FFFD. */
mt_status mti_buf_add_json(mti_buf *b, mt_slice s);

/* Reads a whole file, at most max bytes: MT_NOT_FOUND, MT_TOO_LARGE, MT_INTERNAL (errno kept). b is initialized by this call. */
mt_status mti_buf_read_file(mti_buf *b, const char *path, size_t max);

#endif
