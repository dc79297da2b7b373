#include "base/buf.h"

#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUF_FIRST ((size_t)256)

static mt_status buf_fail(mti_buf *b, mt_status status)
{
    b->status = status;
    return status;
}

void mti_buf_init(mti_buf *b, size_t max)
{
    *b = (mti_buf){.max = max < SIZE_MAX ? max : SIZE_MAX - 1};
}

void mti_buf_dispose(mti_buf *b)
{
    free(b->p);
    mti_buf_init(b, b->max);
}

void mti_buf_clear(mti_buf *b)
{
    b->len = 0;
    b->status = MT_OK;
    if (b->p)
        b->p[0] = 0;
}

mt_status mti_buf_reserve(mti_buf *b, size_t extra)
{
    if (b->status != MT_OK)
        return b->status;
    if (extra > b->max - b->len)
        return buf_fail(b, MT_TOO_LARGE);
    size_t need = b->len + extra + 1; /* the NUL */
    if (need <= b->cap)
        return MT_OK;
    size_t cap = b->cap ? b->cap : BUF_FIRST;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max + 1)
        cap = b->max + 1;
    char *p = realloc(b->p, cap);
    if (!p)
        return buf_fail(b, MT_NO_MEMORY);
    b->p = p;
    b->cap = cap;
    return MT_OK;
}

mt_status mti_buf_addf(mti_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    mt_status status = n < 0 ? buf_fail(b, MT_INTERNAL) : mti_buf_reserve(b, (size_t)n);
    if (status == MT_OK) {
        vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return status;
}

static void add_escape(mti_buf *b, unsigned char c)
{
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *f = short_forms; *f; f += 2) {
        if ((unsigned char)*f == c) {
            mti_buf_add(b, (char[]){'\\', f[1]}, 2);
            return;
        }
    }
    mti_buf_addf(b, "\\u%04x", c);
}

/* Bytes from the start of s that stand for themselves in a JSON string. */
static size_t plain_run(mt_slice s)
{
    static const bool plain[256] = {[0x20 ... 0x21] = true, [0x23 ... 0x5B] = true, [0x5D ... 0x7F] = true};
    size_t i = 0;
    while (i < s.len) {
        unsigned char c = (unsigned char)s.p[i];
        if (plain[c]) {
            i++;
            continue;
        }
        if (c < 0x80)
            break;
        size_t n = mti_utf8_len(s.p + i, s.len - i);

        if (n == 0)
            break;
        i += n;
    }
    return i;
}

mt_status mti_buf_add_json(mti_buf *b, mt_slice s)
{
    mti_buf_addc(b, '"');
    while (s.len && b->status == MT_OK) {
        size_t n = plain_run(s);
        if (n == 0) {
            n = 1;
            if ((unsigned char)s.p[0] < 0x80)
                add_escape(b, (unsigned char)s.p[0]);
            else
                mti_buf_adds(b, "\xEF\xBF\xBD");
        } else {
            mti_buf_add(b, s.p, n);
        }
        s.p += n;
        s.len -= n;
    }
    return mti_buf_addc(b, '"');
}

static mt_status read_all(mti_buf *b, int fd, size_t hint)
{
    MT_TRY(mti_buf_reserve(b, hint));
    for (;;) {
        if (b->len == b->max) {
            char one;
            ssize_t n = read(fd, &one, 1);
            return n == 0 ? MT_OK : buf_fail(b, n < 0 ? MT_INTERNAL : MT_TOO_LARGE);
        }
        size_t room = b->max - b->len < 65536 ? b->max - b->len : 65536;
        if (b->cap > b->len + 1)
            room = b->cap - b->len - 1;
        MT_TRY(mti_buf_reserve(b, room));
        ssize_t n = read(fd, b->p + b->len, room);
        if (n < 0 && errno != EINTR)
            return buf_fail(b, MT_INTERNAL);
        if (n >= 0)
            b->len += (size_t)n;
        b->p[b->len] = 0;
        if (n == 0)
            return MT_OK;
    }
}

mt_status mti_buf_read_file(mti_buf *b, const char *path, size_t max)
{
    mti_buf_init(b, max);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return buf_fail(b, errno == ENOENT || errno == ENOTDIR ? MT_NOT_FOUND : MT_INTERNAL);
    struct stat st;
    mt_status status = MT_INTERNAL;
    if (fstat(fd, &st) == 0)
        status = st.st_size > 0 && (uint64_t)st.st_size > b->max
                     ? MT_TOO_LARGE
                     : read_all(b, fd, st.st_size > 0 ? (size_t)st.st_size : 0);
    if (status != MT_OK)
        b->status = status;
    int kept = errno;
    close(fd);
    errno = kept;
    return status;
}
