#include "worker/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/ident.h"

/* A wake-up of a core that sleeps takes some 20 µs on machines seen; the answer to a short call a few. */
enum { SOON_US = 50, LUCK = 8, TRY_EVERY = 32 };
enum { READ_ONCE = 64 << 10, KEEP_CAP = 256 << 10, BACKLOG = 1 << 20 };

static void on_ready(void *arg, unsigned ready);

/* The events that are wanted now. */
static void watch_again(mti_channel *ch)
{
    if (ch->watch)
        mti_watch_set(ch->watch, (ch->broken || ch->paused ? 0 : MTI_READ) | (!ch->broken && ch->out.len > ch->sent ? MTI_WRITE : 0));
}

void mti_channel_open(mti_channel *ch, mti_loop *l, int fd)
{
    ch->fd = fd;
    ch->loop = l;
    ch->broken = ch->paused = false;
    ch->in_len = ch->sent = 0;
    ch->luck = LUCK;
    mti_buf_init(&ch->out, 4u * MTI_FRAME_MAX);
    ch->watch = mti_watch_start(l, fd, MTI_READ, on_ready, ch);
    ch->broken = !ch->watch;
}

void mti_channel_close(mti_channel *ch)
{
    if (ch->watch)
        mti_watch_stop(ch->watch);
    if (ch->fd >= 0)
        close(ch->fd);
    free(ch->in);
    mti_buf_dispose(&ch->out);
    ch->watch = NULL;
    ch->fd = -1;
    ch->in = NULL;
    ch->in_len = ch->in_cap = 0;
    ch->broken = true;
    mti_wake_all(&ch->room);
}

void mti_channel_pause(mti_channel *ch, bool on)
{
    ch->paused = on;
    watch_again(ch);
}

/* --- out --- */

static void flush(mti_channel *ch)
{
    while (!ch->broken && ch->out.len > ch->sent) {
        ssize_t n = write(ch->fd, ch->out.p + ch->sent, ch->out.len - ch->sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;           /* full; or gone, which reading tells */
        ch->sent += (size_t)n;
    }
    if (ch->sent == ch->out.len) {
        if (ch->out.cap > KEEP_CAP) {
            mti_buf_dispose(&ch->out);
            mti_buf_init(&ch->out, 4u * MTI_FRAME_MAX);
        }
        mti_buf_clear(&ch->out);
        ch->sent = 0;
    }
    if (ch->out.len - ch->sent <= BACKLOG)
        mti_wake_all(&ch->room);
}

/* What the socket takes at once needs no copy. */
static size_t write_now(mti_channel *ch, const mti_frame *f, const char *payload)
{
    struct iovec v[2] = {{(void *)f, sizeof *f}, {(void *)payload, f->len}};
    ssize_t n;
    do
        n = ch->out.len == ch->sent ? writev(ch->fd, v, f->len ? 2 : 1) : 0;
    while (n < 0 && errno == EINTR);
    return n > 0 ? (size_t)n : 0;
}

mt_status mti_channel_send(mti_channel *ch, const mti_frame *f, const char *payload)
{
    while (mti_fiber_current() && !ch->broken && ch->out.len - ch->sent > BACKLOG) {
        mti_fiber_shield(true);
        mti_wait(&ch->room, -1);
        mti_fiber_shield(false);
    }
    if (ch->broken)
        return MT_UNAVAILABLE;
    size_t done = write_now(ch, f, payload);
    if (done == sizeof *f + f->len)
        return MT_OK;
    if (done < sizeof *f)
        mti_buf_add(&ch->out, (const char *)f + done, sizeof *f - done);
    size_t from = done > sizeof *f ? done - sizeof *f : 0;
    mti_buf_add(&ch->out, payload + from, f->len - from);
    if (ch->out.status != MT_OK)
        shutdown(ch->fd, SHUT_RDWR);     /* a frame in pieces: nothing that follows would be understood */
    watch_again(ch);
    return ch->out.status == MT_OK ? MT_OK : MT_UNAVAILABLE;
}

/* --- in --- */

/* Whole frames, in order. false: one that is not allowed. */
static bool take_frames(mti_channel *ch)
{
    size_t at = 0;
    mti_frame f;
    while (!ch->broken && ch->in_len - at >= sizeof f) {
        memcpy(&f, ch->in + at, sizeof f);
        if (f.len > MTI_FRAME_MAX)
            return false;
        if (ch->in_len - at < sizeof f + f.len)
            break;
        if (!ch->on_frame(ch->ctx, &f, ch->in + at + sizeof f))
            return false;
        at += sizeof f + f.len;
    }
    memmove(ch->in, ch->in + at, ch->in_len - at);
    ch->in_len -= at;
    if (!ch->in_len && ch->in_cap > KEEP_CAP) {
        free(ch->in);
        ch->in = NULL;
        ch->in_cap = 0;
    }
    return true;
}

static bool make_room(mti_channel *ch)
{
    if (ch->in_cap - ch->in_len >= READ_ONCE / 2)
        return true;
    size_t cap = ch->in_cap ? ch->in_cap * 2 : READ_ONCE;
    char *more = realloc(ch->in, cap);
    if (!more)
        return false;
    ch->in = more;
    ch->in_cap = cap;
    return true;
}

void mti_channel_expect(mti_channel *ch)
{
    ch->asked_us = mti_mono_us();
    if (ch->luck || ++ch->asks % TRY_EVERY == 0)
        mti_loop_expect(ch->loop, SOON_US);
}

static void note_luck(mti_channel *ch)
{
    if (!ch->asked_us)
        return;
    bool soon = mti_mono_us() - ch->asked_us <= SOON_US;
    ch->luck = soon ? LUCK : ch->luck ? ch->luck - 1 : 0;
    ch->asked_us = 0;
}

static bool read_some(mti_channel *ch)
{
    if (!make_room(ch))
        return false;
    ssize_t n = read(ch->fd, ch->in + ch->in_len, ch->in_cap - ch->in_len);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    ch->in_len += (size_t)n;
    note_luck(ch);
    return n > 0 && take_frames(ch);
}

static void on_ready(void *arg, unsigned ready)
{
    mti_channel *ch = arg;
    if (ready & MTI_WRITE)
        flush(ch);
    if ((ready & MTI_READ) && !read_some(ch) && !ch->broken) {
        ch->broken = true;
        mti_wake_all(&ch->room);
        watch_again(ch);
        ch->on_end(ch->ctx);
        return;
    }
    watch_again(ch);
}

/* --- without a loop --- */

static mt_status wait_for(int fd, short events, int64_t until_us)
{
    int64_t left = until_us - mti_mono_us();
    struct pollfd p = {.fd = fd, .events = events};
    int n = left > 0 ? poll(&p, 1, (int)(left / 1000) + 1) : 0;
    return n > 0 || (n < 0 && errno == EINTR) ? MT_OK : MT_TIMEOUT;
}

static mt_status move(int fd, char *p, size_t n, bool out, int64_t until_us)
{
    while (n) {
        ssize_t done = out ? write(fd, p, n) : read(fd, p, n);
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        } else if (done == 0 || (errno != EAGAIN && errno != EINTR)) {
            return MT_UNAVAILABLE;
        } else {
            MT_TRY(wait_for(fd, out ? POLLOUT : POLLIN, until_us));
        }
    }
    return MT_OK;
}

mt_status mti_frame_write(int fd, const mti_frame *f, const char *payload, int64_t until_us)
{
    MT_TRY(move(fd, (char *)f, sizeof *f, true, until_us));
    return move(fd, (char *)payload, f->len, true, until_us);
}

mt_status mti_frame_read(int fd, mti_frame *f, mti_buf *payload, int64_t until_us)
{
    MT_TRY(move(fd, (char *)f, sizeof *f, false, until_us));
    if (f->len > payload->max)
        return MT_TOO_LARGE;
    MT_TRY(mti_buf_reserve(payload, f->len + 1));
    MT_TRY(move(fd, payload->p, f->len, false, until_us));
    payload->len = f->len;
    payload->p[f->len] = 0;
    return MT_OK;
}
