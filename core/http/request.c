/* The request object: born with the head, owns a copy of it, and lives until both its entry and its
 * transport are done with it. */
#include "http/internal.h"

#include <stdlib.h>

static void *block_alloc(http_loop *hl, size_t n, bool *heap)
{
    void *p;

    *heap = n > HTTP_BLOCK;
    if (*heap)
        return h2o_mem_alloc(n);
    if (!(p = hl->blocks))
        return h2o_mem_alloc(HTTP_BLOCK);
    hl->blocks = *(void **)p;
    hl->blocks_kept--;
    return p;
}

static void request_free(mti_http_request *r)
{
    http_loop *hl = r->hl;

    if (r->input)
        h2o_buffer_dispose(&r->input);
    mti_buf_dispose(&r->flying);
    mti_buf_dispose(&r->pending);
    http_conn_release(r->conn);
    hl->live--;
    if (r->heap || hl->blocks_kept == HTTP_BLOCKS_KEPT) {
        free(r);
    } else {
        *(void **)r = hl->blocks;
        hl->blocks = r;
        hl->blocks_kept++;
    }
    http_loop_settle(hl);
}

/* Absolute form (scheme and authority before the path) is cut to its path; the rest is split at
 * '?'. */
static void split_target(mti_http_request *r, mt_slice target)
{
    const char *p = target.p, *end = target.p + target.len, *q;

    if (*p != '/' && *p != '*') {
        p = memchr(p, ':', target.len) + 3;
        while (p != end && *p != '/' && *p != '?')
            p++;
    }
    q = memchr(p, '?', (size_t)(end - p));
    r->path = (mt_slice){p, (size_t)((q ? q : end) - p)};
    r->query = q ? (mt_slice){q + 1, (size_t)(end - q - 1)} : (mt_slice){end, 0};
    if (r->path.len == 0)
        r->path = MT_SLICE("/");
}

/* Copies the head behind the object and re-points all slices, so that they outlive h2o's buffers.
 */
static mti_http_request *copy_head(http_loop *hl, const http_head *head)
{
    const size_t fields = head->num_fields * sizeof(mt_field);
    mti_http_request *r;
    char *copy;
    bool heap;

    r = block_alloc(hl, sizeof *r + fields + head->bytes.len, &heap);
    memset(r, 0, sizeof *r);
    r->hl = hl;
    r->heap = heap;
    r->fields = (mt_field *)(r + 1);
    r->field_count = head->num_fields;
    copy = (char *)(r->fields + head->num_fields);
    memcpy(copy, head->bytes.base, head->bytes.len);
#define MOVED(v) ((mt_slice){copy + ((v).base - head->bytes.base), (v).len})
    for (size_t i = 0; i < head->num_fields; i++)
        r->fields[i] = (mt_field){MOVED(head->fields[i].name), MOVED(head->fields[i].value)};
    r->method = MOVED(head->method);
    split_target(r, MOVED(head->target));
#undef MOVED
    r->has_body = head->has_body;
    r->content_length = head->content_length;
    hl->live++;
    return r;
}

void http_request_ended(mti_http_request *r, mt_status why)
{
    r->side = NULL;
    r->in_flight = false;
    if (!r->fiber) {
        request_free(r);
        return;
    }
    if (why == MT_OK || r->state == HTTP_ANSWERED || r->state == HTTP_ENDED)
        return;
    r->gone = why;
    mti_wake_all(&r->wait);
    mti_fiber_cancel(r->fiber);
}

static void request_main(void *arg)
{
    mti_http_request *r = arg;
    http_loop *hl = r->hl;
    const mti_http_options *o = &hl->server->options;

    r->fiber = mti_fiber_current();
    o->entry(r, o->ctx);
    http_request_end_answer(r);
    r->fiber = NULL;
    hl->stats.running--;
    if (!r->side)
        request_free(r);
}

mti_http_request *http_request_create(http_loop *hl, http_conn *c, const http_transport *t,
                                      void *side, const http_head *head)
{
    const mti_http_options *o = &hl->server->options;
    mti_http_request *r;

    hl->stats.requests++;
    if (c->refused || hl->stats.running >= o->max_requests) {
        hl->stats.refused++;
        return NULL;
    }
    r = copy_head(hl, head);
    r->transport = t;
    r->side = side;
    r->conn = c;
    c->refs++;
    if (c->proxy)
        http_proxies_client(o, r->fields, r->field_count, r->client);
    return r;
}

bool http_request_run(mti_http_request *r)
{
    http_loop *hl = r->hl;

    hl->stats.running++;
    if (mti_fiber_spawn(hl->loop, request_main, r) == MT_OK)
        return true;
    hl->stats.running--;
    hl->stats.refused++;
    request_free(r);
    return false;
}

mt_slice mti_http_method(const mti_http_request *r)
{
    return r->method;
}
mt_slice mti_http_path(const mti_http_request *r)
{
    return r->path;
}
mt_slice mti_http_query(const mti_http_request *r)
{
    return r->query;
}
mt_slice mti_http_peer(const mti_http_request *r)
{
    return mt_str(r->client[0] ? r->client : r->conn->peer);
}
bool mti_http_is_secure(const mti_http_request *r)
{
    return r->conn->tls;
}
bool mti_http_is_local(const mti_http_request *r)
{
    return r->conn->local;
}
mti_loop *mti_http_loop(const mti_http_request *r)
{
    return r->hl->loop;
}
bool mti_http_has_body(const mti_http_request *r)
{
    return r->has_body;
}
size_t mti_http_content_length(const mti_http_request *r)
{
    return r->content_length;
}
bool mti_http_answered(const mti_http_request *r)
{
    return r->state != HTTP_NEW;
}
bool mti_http_gone(const mti_http_request *r)
{
    return r->gone != MT_OK;
}

mt_slice mti_http_header(const mti_http_request *r, const char *name)
{
    const mt_slice want = mt_str(name);

    for (size_t i = 0; i < r->field_count; i++)
        if (mt_slice_eq(r->fields[i].name, want))
            return r->fields[i].value;
    return (mt_slice){NULL, 0};
}

bool mti_http_header_at(const mti_http_request *r, size_t i, mt_field *out)
{
    if (i >= r->field_count)
        return false;
    *out = r->fields[i];
    return true;
}

void http_request_body_ended(mti_http_request *r, mt_status s)
{
    r->body_done = true;
    r->body_status = s;
    mti_wake_all(&r->wait);
}

mt_status mti_http_body(mti_http_request *r, size_t limit, mt_slice *out)
{
    *out = (mt_slice){NULL, 0};
    if (!r->has_body)
        return MT_OK;
    if (r->gone)
        return r->gone;
    if (!r->body_begun) {
        if (r->state != HTTP_NEW || !r->side)
            return MT_CONFLICT;
        if (r->content_length != SIZE_MAX && r->content_length > limit)
            return MT_TOO_LARGE;
        r->body_begun = true;
        r->transport->read_body(r, limit);
    }
    while (!r->body_done && !r->gone)
        MT_TRY(mti_wait(&r->wait, -1));
    if (!r->body_done)
        return r->gone;
    if (r->body_status == MT_OK && r->body.len > limit)
        return MT_TOO_LARGE;
    if (r->body_status == MT_OK)
        *out = r->body;
    return r->body_status;
}
