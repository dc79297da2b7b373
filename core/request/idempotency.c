/*
 * Idempotency-Key (CONTRACT.md rule 16). Operations of queries: the key's row is the first write of their transaction and holds the answer before
 * COMMIT. Handlers: the row says "running" under a lease and gets the answer when it is known. A repeat replays; another body is 422; running is 409.
 */
#include "request/request.h"

#include "plugin/manager.h"

#include <stdio.h>
#include <stdlib.h>

static const char text[] =
    "-- name: begin :one write\n"
    "SELECT state, status, body FROM mt.idempotency_begin(:key::text, :operation::text, :hash::bytea);\n"
    "-- name: keep :exec write\n"
    "SELECT mt.idempotency_keep(:key::text, :operation::text, :status::int, :body::text);\n"
    "-- name: abandon :exec write\n"
    "SELECT mt.idempotency_abandon(:key::text, :operation::text);\n";

enum { SECRET = 0 };             /* instead of the status: done, but the answer may not be kept */

static mti_query *queries;

/* Parsed once; the text is ours, so a failure is a bug and aborts. */
static __attribute__((constructor)) void parse(void)
{
    static mti_arena arena;
    size_t n;
    mti_error e = {0};
    mti_arena_init(&arena, 0);
    if (mti_query_parse(&arena, "core/request/idempotency.c", mt_str(text), &queries, &n, &e) != MT_OK) {
        fprintf(stderr, "%s\n", e.detail);
        abort();
    }
}

static mt_slice key_of(const mti_request *r)
{
    return mti_http_header(r->http, "idempotency-key");
}

/* The key's row belongs to the organization in which the request began; a platform operation may have chosen another since. */
static mt_status run(mti_request *r, unsigned index, const mti_param *params, mti_result **out)
{
    mti_uuid now = r->call.who.org_id;
    r->call.who.org_id = r->idempotency_org;
    mt_status s = mti_db_run(&r->call, &(mti_db_role){0}, &queries[index], params, out);
    r->call.who.org_id = now;
    return s;
}

/* After a handler: what it did has happened, so neither its deadline nor the client's leaving may keep its row from saying so. */
static mt_status run_surely(mti_request *r, unsigned index, const mti_param *params)
{
    mti_result *rows;
    int64_t deadline_us = r->call.deadline_us;
    r->call.deadline_us = 0;
    mti_fiber_shield(true);
    mt_status s = run(r, index, params, &rows);
    mti_fiber_shield(false);
    r->call.deadline_us = deadline_us;
    return s;
}

/* What must be the same in a repeat: who asks, for what, with which content. The boundary of a multipart body is not content. */
static void fingerprint(const mti_request *r, uint8_t hash[32])
{
    uint8_t digest[32];
    mti_buf b;
    mt_slice path = r->path, query = mti_http_query(r->http);
    mti_buf_init(&b, 1 << 20);
    mti_buf_add(&b, r->call.who.subject_id.b, sizeof r->call.who.subject_id.b);
    mti_buf_add(&b, path.p, path.len);
    mti_buf_addc(&b, '?');
    mti_buf_add(&b, query.p, query.len);
    for (unsigned i = 0; i < r->multipart.n; i++) {
        const mti_part *part = &r->multipart.parts[i];
        mti_sha256(part->data.p, part->data.len, digest);
        mti_buf_addf(&b, "\n%.*s/%.*s:", (int)part->field.len, part->field.p, (int)part->file_name.len, part->file_name.p ? part->file_name.p : "");
        mti_buf_add(&b, digest, sizeof digest);
    }
    if (!r->multipart.n) {
        mti_sha256(r->body_text.p, r->body_text.len, digest);
        mti_buf_add(&b, digest, sizeof digest);
    }
    mti_sha256(b.p, b.len, hash);
    mti_buf_dispose(&b);
}

static mt_status replay(mti_request *r, const mti_result *rows)
{
    int status = atoi(mti_result_get(rows, 0, 1).p);
    if (status == SECRET)
        return mti_fail(&r->call.error, MT_CONFLICT, "idempotency_secret",
                        "The first request with this Idempotency-Key was carried out; its answer held a secret and is not kept.");
    mti_http_header_add(r->http, MT_SLICE("idempotent-replayed"), MT_SLICE("true"));
    mt_slice body = mti_result_get(rows, 0, 2);
    mt_slice type = body.len ? MT_SLICE("application/json") : (mt_slice){0};
    mt_status s = mti_answer_raw(r, status, type, body.len ? body : (mt_slice){0});
    return s == MT_OK ? MT_DONE : s;
}

static mt_status judge(mti_request *r, const mti_result *rows)
{
    mt_call *c = &r->call;
    mt_slice state = mti_result_get(rows, 0, 0);
    if (mt_slice_eq(state, MT_SLICE("new")))
        return MT_OK;
    if (mt_slice_eq(state, MT_SLICE("done")))
        return replay(r, rows);
    if (mt_slice_eq(state, MT_SLICE("running")))
        return mti_fail(&c->error, MT_CONFLICT, "idempotency_running", "A request with this Idempotency-Key is still running: repeat it later.");
    mti_fail(&c->error, MT_INVALID, "idempotency_mismatch", "This Idempotency-Key was used with another body: use a fresh key.");
    c->error.http = 422;
    return MT_INVALID;
}

mt_status mti_idempotency_begin(mti_request *r)
{
    const mti_operation *op = r->match.op;
    mt_slice key = key_of(r);
    mti_result *rows;
    uint8_t hash[32];
    if (!key.p || strcmp(op->method, "POST") || op->stream || !op->plugin)
        return MT_OK;
    if (!key.len || key.len > 255)
        return mti_fail(&r->call.error, MT_INVALID, "idempotency_key_invalid", "An Idempotency-Key has 1 to 255 characters.");
    fingerprint(r, hash);
    r->idempotency_org = r->call.who.org_id;
    if (!op->handler)
        MT_TRY(mti_db_begin(&r->call, &(mti_db_role){0}));
    mti_param params[] = {{key, false}, {mt_str(op->id), false}, {{(char *)hash, 32}, true}};
    mt_status s = run(r, 0, params, &rows);
    bool new = s == MT_OK && mt_slice_eq(mti_result_get(rows, 0, 0), MT_SLICE("new"));
    r->idempotent = new;
    if (s == MT_OK && !new && !op->handler)
        s = mti_query_commit(&r->call);     /* it wrote nothing, but holds the key's lock: let it go before a replay is sent */
    if (s != MT_OK && !op->handler)
        mti_db_rollback(&r->call);
    return s == MT_OK ? judge(r, rows) : s;
}

/* Called with the answer before it is sent; commits the transaction of queries. */
mt_status mti_idempotency_keep(mti_request *r, int status, mt_slice body)
{
    mti_result *rows;
    char number[12];
    if (!r->idempotent)
        return MT_OK;
    snprintf(number, sizeof number, "%d", r->secret ? SECRET : status);
    if (r->secret)
        body = (mt_slice){0};
    mti_param params[] = {{key_of(r), false}, {mt_str(r->match.op->id), false}, {mt_str(number), false}, {body.p ? body : MT_SLICE(""), false}};
    r->idempotent = false;
    if (r->match.op->handler)
        return run_surely(r, 1, params);
    mt_status s = run(r, 1, params, &rows);
    if (s == MT_OK)
        return mti_query_commit(&r->call);
    mti_db_rollback(&r->call);
    return s;
}

void mti_idempotency_abandon(mti_request *r)
{
    if (!r->idempotent)
        return;
    r->idempotent = false;
    if (!r->match.op->handler) {
        mti_db_rollback(&r->call);
        return;
    }
    mti_error kept = r->call.error;
    run_surely(r, 2, (mti_param[]){{key_of(r), false}, {mt_str(r->match.op->id), false}});
    r->call.error = kept;
}
