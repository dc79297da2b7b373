/* A call: memory, handles, what was seen. */
#include "kit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct kit_block {
    struct kit_block *next;
    _Alignas(16) char bytes[];
};

void kit_wrong(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("testkit: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

mt_call *kit_call_create(mt_testkit *kit, kit_kind kind)
{
    mt_call *c = calloc(1, sizeof *c);
    if (!c)
        kit_wrong("out of memory");
    c->kit = kit;
    c->kind = kind;
    c->plugin = 1;
    c->cancel_in = -1;
    c->params = json_object();
    c->headers = json_object();
    if (kind != KIT_PLATFORM) {
        c->org_id = "00000000-0000-0000-0000-000000000001";
        c->workspace_id = "00000000-0000-0000-0000-000000000002";
        c->subject_id = "00000000-0000-0000-0000-000000000009";
        c->permissions = "*";
    }
    return c;
}

void kit_call_destroy(mt_call *c)
{
    if (!c)
        return;
    while (c->n_defers) {
        kit_defer d = c->defers[--c->n_defers];
        d.work(d.arg);
    }
    kit_thread_end(c);
    for (struct kit_block *b = c->memory, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    for (unsigned i = 0; i < c->n_objects; i++)
        json_decref(c->objects[i]);
    json_decref(c->params);
    json_decref(c->headers);
    json_decref(c->body);
    json_decref(c->answer_json);
    free(c);
}

void *kit_alloc(mt_call *c, size_t bytes)
{
    if (bytes > KIT_MEMORY - c->allocated)
        return NULL;
    struct kit_block *b = calloc(1, sizeof *b + bytes);
    if (!b)
        return NULL;
    b->next = c->memory;
    c->memory = b;
    c->allocated += bytes;
    return b->bytes;
}

char *kit_copy(mt_call *c, mt_slice s)
{
    char *p = kit_alloc(c, s.len + 1);
    if (!p)
        kit_wrong("the call is over its memory");
    if (s.len)
        memcpy(p, s.p, s.len);
    return p;
}

mt_slice kit_copy_slice(mt_call *c, mt_slice s)
{
    return s.p ? (mt_slice){kit_copy(c, s), s.len} : s;
}

char *kit_printf(mt_call *c, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0)
        kit_wrong("out of memory");
    char *out = kit_copy(c, (mt_slice){text, (size_t)n});
    free(text);
    return out;
}

void kit_see(mt_call *c, mt_seen_kind kind, mt_slice name, mt_slice text)
{
    if (c->n_seen == KIT_SEEN)
        kit_wrong("more than %d things happened in one call", KIT_SEEN);
    c->seen[c->n_seen++] = (mt_seen){kind, kit_copy(c, name), kit_copy(c, text)};
}

mt_status kit_suspend(mt_call *c)
{
    if (c->cancel_in > 0 && --c->cancel_in > 0)
        return MT_OK;
    return c->cancel_in == 0 ? mti_fail(&c->error, MT_CANCELLED, "cancelled", "The client left.") : MT_OK;
}

mt_handle kit_handle(mt_call *c, json_t *take)
{
    if (c->n_objects == KIT_HANDLES)
        kit_wrong("more than %d documents and results in one call", KIT_HANDLES);
    c->objects[c->n_objects++] = take;
    return c->n_objects;
}

json_t *kit_object(mt_call *c, mt_handle h)
{
    return h && h <= c->n_objects ? c->objects[h - 1] : NULL;
}

static const struct { int http; mt_status status; } statuses[] = {
    {400, MT_INVALID}, {422, MT_INVALID}, {401, MT_UNAUTHENTICATED}, {403, MT_DENIED}, {404, MT_NOT_FOUND}, {409, MT_CONFLICT},
    {412, MT_PRECONDITION}, {428, MT_PRECONDITION}, {413, MT_TOO_LARGE}, {415, MT_UNSUPPORTED}, {501, MT_UNSUPPORTED},
    {429, MT_LIMITED}, {503, MT_UNAVAILABLE}, {504, MT_TIMEOUT}, {499, MT_CANCELLED}};

mt_status kit_status_of(int http)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].http == http)
            return statuses[i].status;
    return MT_INTERNAL;
}

mt_status mti_fail(mti_error *e, mt_status status, const char *code, const char *fmt, ...)
{
    mti_error made = {.status = status};
    va_list args;
    snprintf(made.code, sizeof made.code, "%s", code);
    va_start(args, fmt);
    vsnprintf(made.detail, sizeof made.detail, fmt, args);
    va_end(args);
    if (e)
        *e = made;
    return status;
}

int mti_error_http(const mti_error *e)
{
    if (e->http)
        return e->http;
    if (e->status == MT_INVALID)
        return 422;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == e->status)
            return statuses[i].http;
    return e->status == MT_NO_MEMORY ? 503 : 500;
}
