/* What a worker may send, by the first byte: questions one after the other (odd), a hook's answer (a multiple of four), or a stream of frames in
 * pieces, as the socket gives them. Tables of the host that look at everything they are given stand behind it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/bus.h"
#include "worker/serve.h"

#include "../../core/worker/channel.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sum;

static void look(mt_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        sum += (unsigned char)s.p[i];
}

static void look_all(const mt_field *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        look(f[i].name);
        look(f[i].value);
    }
}

static mt_status query(mt_call *c, mt_slice name, const mt_field *args, size_t n, mt_handle *out)
{
    look(name);
    look_all(args, n);
    *out = 1 + name.len;
    return n & 1 ? MT_CONFLICT : MT_OK;
}

static mt_status drop(mt_call *c, mt_handle h)
{
    if (!h)
        abort();             /* a handle that names nothing came through */
    return MT_OK;
}

static mt_status row_json(mt_call *c, mt_handle h, uint32_t row, mt_slice *out)
{
    *out = MT_SLICE("{}");
    return drop(c, h);
}

static mt_status fetch(mt_call *c, const mt_http_exchange *in, const mt_field *headers, size_t n, int32_t *status, mt_slice *body)
{
    look(in->method);
    look(in->url);
    look(in->body);
    look_all(headers, n);
    *status = 200;
    *body = in->body;
    return MT_OK;
}

static mt_status add(mt_call *c, mt_slice workspace, mt_slice model, const mt_slice *ids, size_t n, const float *vectors, size_t n_vectors, int64_t from, int64_t to)
{
    look(workspace);
    for (size_t i = 0; i < n; i++)
        look(ids[i]);
    for (size_t i = 0; i < n_vectors; i++)
        sum += vectors[i] > 0;
    return MT_DONE;
}

static const mt_db_1 db = {.size = sizeof db, .version = 1, .query = query, .one = query, .json = row_json, .free = drop};
static const mt_http_1 http = {.size = sizeof http, .version = 1, .fetch = fetch};
static const mt_vector_index_1 vectors = {.size = sizeof vectors, .version = 1, .add = add};

static const void *table_of(uint32_t interface)
{
    static const struct { const char *id; const void *table; } tables[] = {{"db/1", &db}, {"http/1", &http}, {"vector_index/1", &vectors}};
    for (size_t i = 0; interface < mti_served_count && i < sizeof tables / sizeof *tables; i++)
        if (!strcmp(mti_served_interfaces[interface].id, tables[i].id))
            return tables[i].table;
    return NULL;
}

/* A question; false: it is no call of that function. */
static bool serve_one(mt_call *c, mti_grants *grants, uint32_t method, const char *p, size_t len)
{
    mti_arena scratch;
    mti_arena_init(&scratch, 1 << 20);
    mti_serving s = {.in = {.p = p, .end = p + len, .arena = &scratch}, .c = c, .table = table_of(method >> 6), .grants = grants};
    mti_buf_init(&s.out, 1 << 20);
    mti_serve(&s, method);
    if (!s.broken && s.out.len < 4)
        abort();             /* every question that is understood is answered */
    mti_buf_dispose(&s.out);
    mti_arena_dispose(&scratch);
    return !s.broken;
}

/* Questions one after the other in one call, so that handles of the first may come back; each is parted by its length. */
static void serve_all(mt_call *c, const char *p, size_t size)
{
    mti_grants grants = {0};
    while (size >= 6) {
        uint32_t method;
        uint16_t len;
        memcpy(&method, p, 4);
        memcpy(&len, p + 4, 2);
        p += 6;
        size -= 6;
        if (len > size)
            len = (uint16_t)size;
        serve_one(c, &grants, method, p, len);
        p += len;
        size -= len;
    }
    mti_grants_dispose(&grants);
}

static void hook_answer(mt_call *c, unsigned hook, const char *p, size_t size)
{
    char payload[512] __attribute__((aligned(16)));
    const mti_hook_info *info = &mti_hook_catalogue[hook % mti_hook_count];
    mti_unpack in = {.p = p, .end = p + size, .arena = &c->arena};
    mt_patch patch;
    mti_error e = {0};
    mti_take_error(&in, &e);
    mti_take_payload(&in, info, payload);
    mti_patch_init(&patch, c, info);
    if (mti_take_patch(&in, &patch) == MT_OK)
        mti_patch_apply(&patch, payload, &e);
}

/* A worker's stream, cut anywhere. */
typedef struct stream {
    mt_call *c;
    mti_grants grants;
} stream;

static bool on_frame(void *ctx, const mti_frame *f, const char *payload)
{
    stream *s = ctx;
    look((mt_slice){payload, f->len});
    if (f->kind == MTI_FRAME_ASK)
        return serve_one(s->c, &s->grants, f->method, payload, f->len);
    if (f->kind == MTI_FRAME_DONE)
        hook_answer(s->c, f->method, payload, f->len);
    return f->kind >= MTI_FRAME_START && f->kind <= MTI_FRAME_PONG;
}

static bool is_whole(const mti_channel *ch)
{
    mti_frame f;
    if (ch->in_len < sizeof f)
        return false;
    memcpy(&f, ch->in, sizeof f);
    return ch->in_len - sizeof f >= f.len;
}

static void frames(mt_call *c, size_t piece, const char *p, size_t size)
{
    stream s = {.c = c};
    mti_channel ch = {.fd = -1, .on_frame = on_frame, .ctx = &s};
    bool good = true;
    while (good && size) {
        size_t n = piece < size ? piece : size;
        good = make_room(&ch);
        memcpy(ch.in + ch.in_len, p, n);
        ch.in_len += n;
        good = take_frames(&ch);
        if (good && is_whole(&ch))
            abort();         /* it was left lying */
        p += n;
        size -= n;
    }
    free(ch.in);
    mti_grants_dispose(&s.grants);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mt_call c = {0};
    const char *rest = (const char *)data + 2;
    if (size < 2)
        return 0;
    mti_arena_init(&c.arena, 0);
    if (data[0] & 1)
        serve_all(&c, rest - 1, size - 1);
    else if (data[0] & 2)
        frames(&c, 1u + data[1], rest, size - 2);
    else
        hook_answer(&c, data[1], rest, size - 2);
    mti_arena_dispose(&c.arena);
    return 0;
}
