/*
 * What a client of HTTP/2 may make us do for little: streams begun and reset at once, frames that carry nothing, fields that unpack to much.
 * Each connection has a budget that time refills; who spends it gets ENHANCE_YOUR_CALM and is let go. nghttp2 adds limits of its own on
 * acknowledgements that we owe, on CONTINUATION frames and on entries of SETTINGS.
 */
#include "http/h2.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum {
    RESETS_BURST = 200, RESETS_SECOND = 50,    /* a page that is left cancels what it asked for; a person cancels an answer now and then */
    CONTROL_BURST = 1000, CONTROL_SECOND = 100, /* each frame of data that we send allows two more */
    HEADER_BYTES = 4 * H2_HEAD_BYTES,          /* of one block, unpacked; up to a quarter of it the answer is 431 */
};

static uint64_t now_of(const http_h2_conn *c)
{
    return h2o_now(c->conn->hl->h2o.loop);
}

static bool spend(http_h2_conn *c, http_h2_budget *b, int burst, int per_second)
{
    const uint64_t now = now_of(c);

    b->left += (double)(now - b->at) * per_second / 1000;
    b->at = now;
    if (b->left > burst)
        b->left = burst;
    b->left -= 1;
    return b->left >= 0;
}

void http_h2_guard_init(http_h2_conn *c)
{
    c->resets = (http_h2_budget){RESETS_BURST, now_of(c)};
    c->control = (http_h2_budget){CONTROL_BURST, now_of(c)};
}

static bool calm(http_h2_conn *c, bool fine, const char *reason)
{
    if (!fine && !c->calm)
        c->calm = reason;
    return fine;
}

bool http_h2_guard_frame(http_h2_conn *c, const nghttp2_frame_hd *hd)
{
    const bool carries = hd->type == NGHTTP2_HEADERS || (hd->type == NGHTTP2_DATA && (hd->length || hd->flags & NGHTTP2_FLAG_END_STREAM));

    return carries || calm(c, spend(c, &c->control, CONTROL_BURST, CONTROL_SECOND), "frames_without_use");
}

bool http_h2_guard_reset(http_h2_conn *c)
{
    return calm(c, spend(c, &c->resets, RESETS_BURST, RESETS_SECOND), "resets");
}

bool http_h2_guard_header(http_h2_conn *c, size_t bytes)
{
    c->header_bytes += bytes + 32;
    return calm(c, c->header_bytes <= HEADER_BYTES, "header_bytes");
}

void http_h2_guard_sent(http_h2_conn *c, const nghttp2_frame_hd *hd)
{
    if (hd->type == NGHTTP2_DATA)
        c->control.left += 2; /* the client acknowledges it with WINDOW_UPDATE, for the stream and for the connection */
}

static uint64_t acked(h2o_socket_t *sock)
{
    struct tcp_info ti = {0};
    socklen_t len = sizeof ti;

    return getsockopt(h2o_socket_get_fd(sock), IPPROTO_TCP, TCP_INFO, &ti, &len) == 0 ? ti.tcpi_bytes_acked : 0;
}

/* A reader that gives no window to a stream although something waits for it. */
static bool stands_still(http_h2_conn *c, http_h2_stream *s, size_t min)
{
    const bool slow = s->data.len && s->sent - s->sent_mark < min &&
                      (nghttp2_session_get_stream_remote_window_size(c->session, s->id) <= 0 || nghttp2_session_get_remote_window_size(c->session) <= 0);

    s->sent_mark = s->sent;
    return slow;
}

bool http_h2_progress(http_h2_conn *c, const mti_http_options *o)
{
    const uint64_t before = c->acked;

    c->acked = acked(c->sock);
    if (c->was_writing && c->writing && c->acked - before < o->min_progress)
        return false;
    c->was_writing = c->writing;
    for (http_h2_stream *s = c->streams, *next; s; s = next) {
        next = s->next;
        const size_t size = s->input ? s->input->size : 0;
        if (s->reading && size - s->mark < o->min_progress)
            http_h2_body_late(s);
        s->mark = size;
        if (s->linger && s->lingered)
            nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
        s->lingered = s->linger != 0;
        if (stands_still(c, s, o->min_progress)) {
            s->late = true;
            nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
        }
    }
    return true;
}
