#include "request/cursor.h"

#include "base/map.h"

#include <stdio.h>

/* What a cursor belongs to: operation, organization, path parameters and filters. The hash is keyed by the operation's text only, so that tokens
 * survive a restart and work on every host; the organization inside keeps them apart. It guards against mistakes, not attackers: rows are under RLS. */
static uint64_t fingerprint(mti_request *r)
{
    uint8_t digest[32];
    const char *name;
    json_t *v;
    mti_buf b;
    mti_buf_init(&b, 1 << 16);
    mti_buf_adds(&b, r->call.operation);
    mti_buf_add(&b, r->call.who.org_id.b, 16);
    for (unsigned i = 0; i < r->match.op->n_params; i++)
        mti_buf_add(&b, r->values.params[i].p, r->values.params[i].len);
    json_object_foreach(r->values.query, name, v) {
        if (!strcmp(name, "cursor") || !strcmp(name, "limit"))
            continue;
        mt_slice text = mti_value_text(&r->call, v);
        mti_buf_adds(&b, name);
        mti_buf_add(&b, text.p, text.len);
    }
    mti_sha256(b.p, b.len, digest);
    mti_buf_dispose(&b);
    uint64_t out;
    memcpy(&out, digest, sizeof out);
    return out;
}

mt_slice mti_cursor_seal(mti_request *r, mt_slice last)
{
    uint64_t mark = fingerprint(r);
    uint8_t raw[8 + 128];
    if (last.len > 128)
        return (mt_slice){0};
    memcpy(raw, &mark, 8);
    memcpy(raw + 8, last.p, last.len);
    char *out = mti_arena_alloc(&r->call.arena, 4 * (sizeof raw + 2) / 3 + 1);
    size_t n = mti_base64url(raw, 8 + last.len, out);
    return (mt_slice){out, n};
}

mt_status mti_cursor_open(mti_request *r, mt_slice token, mt_slice *last)
{
    uint64_t mark;
    if (!token.p) {
        *last = MT_SLICE("ffffffff-ffff-ffff-ffff-ffffffffffff");
        return MT_OK;
    }
    uint8_t *raw = mti_arena_alloc(&r->call.arena, token.len + 4);
    long n = mti_base64url_decode(token, raw);
    if (n > 8) {
        memcpy(&mark, raw, 8);
        if (mark == fingerprint(r)) {
            *last = (mt_slice){(char *)raw + 8, (size_t)n - 8};
            return MT_OK;
        }
    }
    mti_fail(&r->call.error, MT_INVALID, "cursor_invalid", "This cursor belongs to another list: start again without one.");
    r->call.error.http = 400;
    return MT_INVALID;
}
