#include "request/cursor.h"

#include "base/map.h"

#include <stdio.h>

static uint64_t digest_of(const mti_buf *b)
{
    uint8_t digest[32];
    uint64_t out;
    mti_sha256(b->p, b->len, digest);
    memcpy(&out, digest, sizeof out);
    return out;
}

/* With its length before it: "ab" and "c" are not "a" and "bc". */
static void add(mti_buf *b, mt_slice s)
{
    mti_buf_addf(b, "%zu:", s.len);
    mti_buf_add(b, s.p, s.len);
}

/* What a cursor belongs to: operation, organization, path parameters and filters, the filters in any order. The hash has no secret, so that tokens
 * survive a restart and work on every host; the organization inside keeps them apart. It guards against mistakes, not attackers: rows are under RLS. */
static uint64_t fingerprint(mti_request *r)
{
    const char *name;
    json_t *v;
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    add(&b, mt_str(r->call.operation));
    mti_buf_add(&b, r->call.who.org_id.b, 16);
    for (unsigned i = 0; i < r->match.op->n_params; i++)
        add(&b, r->values.params[i]);
    uint64_t sum = digest_of(&b);
    json_object_foreach(r->values.query, name, v) {
        if (!strcmp(name, "cursor") || !strcmp(name, "limit"))
            continue;
        mti_buf_clear(&b);
        add(&b, mt_str(name));
        add(&b, mti_value_text(&r->call, v));
        sum += digest_of(&b);
    }
    mti_buf_dispose(&b);
    return sum;
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
