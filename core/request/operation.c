/* Stage 6: the operation itself: named queries, or a plugin's handler. */
#include "request/request.h"

#include "base/ticks.h"
#include "db/json_rows.h"
#include "plugin/manager.h"
#include "plugin/meter.h"
#include "request/cursor.h"
#include "telemetry/trace.h"

#include <stdio.h>

static mt_status missing(mt_call *c)
{
    return mti_fail(&c->error, MT_NOT_FOUND, "not_found", "There is nothing of this id here.");
}

/* W/"7", "7" and 7 all name version 7; * is any. */
static mt_status read_if_match(mti_request *r)
{
    mt_slice h = mti_http_header(r->http, "if-match");
    mt_call *c = &r->call;
    if (!h.p && r->match.op->if_match == MTI_IF_MATCH_REQUIRED) {
        mti_fail(&c->error, MT_PRECONDITION, "if_match_required", "Send If-Match with the ETag that you read.");
        c->error.http = 428;
        return MT_PRECONDITION;
    }
    if (!h.p || r->match.op->if_match == MTI_IF_MATCH_NO || mt_slice_eq(h, MT_SLICE("*")))
        return MT_OK;
    if (h.len > 2 && h.p[0] == 'W' && h.p[1] == '/')
        h = (mt_slice){h.p + 2, h.len - 2};
    if (h.len >= 2 && h.p[0] == '"' && h.p[h.len - 1] == '"')
        h = (mt_slice){h.p + 1, h.len - 2};
    for (size_t i = 0; i < h.len; i++)
        if (h.p[i] < '0' || h.p[i] > '9')
            return mti_fail(&c->error, MT_PRECONDITION, "etag_unknown", "If-Match holds no ETag of this resource.");
    r->values.if_match = h;
    return h.len && h.len < 19 ? MT_OK : mti_fail(&c->error, MT_PRECONDITION, "etag_unknown", "If-Match holds no ETag of this resource.");
}

static mt_status read_page(mti_request *r)
{
    const json_t *limit = json_object_get(r->values.query, "limit"), *cursor = json_object_get(r->values.query, "cursor");
    r->values.limit = json_is_integer(limit) ? json_integer_value(limit) : 50;
    if (!r->match.op->list)
        return MT_OK;
    return mti_cursor_open(r, json_is_string(cursor) ? (mt_slice){json_string_value(cursor), json_string_length(cursor)} : (mt_slice){0}, &r->values.cursor);
}

static bool not_modified(mti_request *r)
{
    mt_slice h = mti_http_header(r->http, "if-none-match");
    char quoted[40];
    if (!h.p || !r->etag)
        return false;
    snprintf(quoted, sizeof quoted, "\"%s\"", r->etag);
    return memmem(h.p, h.len, quoted, strlen(quoted)) != NULL || mt_slice_eq(h, MT_SLICE("*"));
}

static mt_status write_one(mti_request *r, const mti_result *rows, mti_buf *b)
{
    mt_slice etag = {0};
    MT_TRY(mti_rows_write_object(b, rows, 0, &etag));
    if (etag.p)
        r->etag = mti_arena_strndup(&r->call.arena, etag.p, etag.len);
    return MT_OK;
}

/* One row more than the limit was asked for: its presence means another page. */
static mt_status write_page(mti_request *r, const mti_query *q, const mti_result *rows, mti_buf *b)
{
    unsigned n = mti_result_rows(rows), shown = n > r->values.limit ? (unsigned)r->values.limit : n;
    mti_buf_adds(b, "{\"items\":[");
    for (unsigned i = 0; i < shown; i++) {
        if (i)
            mti_buf_addc(b, ',');
        MT_TRY(mti_rows_write_object(b, rows, i, NULL));
    }
    mti_buf_adds(b, "],\"next_cursor\":");
    int column = q->cursor ? mti_result_column(rows, q->cursor) : -1;
    if (n > shown && shown && column >= 0)
        mti_buf_add_json(b, mti_cursor_seal(r, mti_result_get(rows, shown - 1, (unsigned)column)));
    else
        mti_buf_adds(b, "null");
    mti_buf_addc(b, '}');
    return b->status;
}

/* The answer of the first query. Its id becomes the Location of what was created. */
static mt_status answer_rows(mti_request *r, const mti_query *q, const mti_result *rows)
{
    const mti_operation *op = r->match.op;
    mti_buf b;
    if (q->kind == MTI_QUERY_EXEC || !op->returns)
        return mti_answer_json(r, op->status, (mt_slice){0});
    mti_buf_init(&b, 64 << 20);
    mt_status s = op->list ? write_page(r, q, rows, &b) : write_one(r, rows, &b);
    int id = op->status == 201 ? mti_result_column(rows, "id") : -1;
    if (s == MT_OK && id >= 0) {
        mt_slice path = mti_http_path(r->http), text = mti_result_get(rows, 0, (unsigned)id);
        mti_http_header_add(r->http, MT_SLICE("location"), mt_str(mti_arena_printf(&r->call.arena, "%.*s/%.*s", (int)path.len, path.p, (int)text.len, text.p)));
    }
    if (s == MT_OK)
        s = not_modified(r) && !strcmp(op->method, "GET") ? mti_answer_json(r, 304, (mt_slice){0}) : mti_answer_json(r, op->status, mti_buf_slice(&b));
    else
        mti_fail(&r->call.error, s, "answer_too_large", "The answer does not fit.");
    mti_buf_dispose(&b);
    return s;
}

static mt_status run_query(mti_request *r, unsigned i, mti_result **out)
{
    mt_call *c = &r->call;
    const mti_query *q = r->match.op->queries[i];
    MT_TRY(mti_query_run(c, r->match.op->contract, mti_plugin_role(r->host->plugins, r->match.op->plugin), q, NULL, 0, out));
    if (q->kind == MTI_QUERY_ONE && !mti_result_rows(*out))
        return missing(c);
    if (q->kind == MTI_QUERY_EXEC && i == 0 && !mti_result_affected(*out))
        return missing(c);
    return MT_OK;
}

/* Several queries, or a write that must be remembered with its key, are one transaction; the first query gives the answer. */
static mt_status run_transaction(mti_request *r, mti_result **first)
{
    const mti_operation *op = r->match.op;
    mti_result *rows;
    for (unsigned i = 0; i < op->n_queries; i++)
        MT_TRY(run_query(r, i, i ? &rows : first));
    return MT_OK;
}

static mt_status run_queries(mti_request *r)
{
    const mti_operation *op = r->match.op;
    mt_call *c = &r->call;
    mti_result *first = NULL;
    bool own = op->n_queries > 1 && !r->idempotent;
    if (own)
        MT_TRY(mti_db_begin(c, mti_plugin_role(r->host->plugins, op->plugin)));
    mt_status s = run_transaction(r, &first);
    if (s == MT_OK && own)
        s = mti_query_commit(c);
    else if (own)
        mti_db_rollback(c);
    MT_TRY(s);
    return answer_rows(r, op->queries[0], first);
}

static mt_status run_handler(mti_request *r)
{
    const mti_operation *op = r->match.op;
    mt_call *c = &r->call;
    uint64_t from = mti_trace_now(c);
    c->plugin = op->plugin;
    mti_fiber_set_tag(op->plugin);
    mt_status s = op->run(mti_plugin_self(r->host->plugins, op->plugin), c);
    mti_db_abandon(c);
    c->plugin = 0;
    mti_fiber_set_tag(0);
    if (c->trace)
        mti_trace_span(c, MTI_TRACE_HANDLER, op->handler, mti_plugin_slug(r->host->plugins, op->plugin), from, mti_ticks(), mti_status_name(s), NULL);
    if (s == MT_OK && !mti_http_answered(r->http) && !mti_http_gone(r->http))
        return mti_answer_json(r, 204, (mt_slice){0});
    return s;
}

static mt_status run(mti_request *r)
{
    const mti_operation *op = r->match.op;
    MT_TRY(read_if_match(r));
    MT_TRY(read_page(r));
    mt_status s = mti_idempotency_begin(r);
    if (s != MT_OK)
        return s;
    s = op->handler ? run_handler(r) : run_queries(r);
    if (s == MT_OK && r->idempotent) {
        r->secret = true;                /* an answer of raw bytes is not kept either */
        return mti_idempotency_keep(r, r->status, (mt_slice){0});
    }
    if (s != MT_OK)
        mti_idempotency_abandon(r);
    return s;
}

mt_status mti_stage_operation(mti_request *r)
{
    uint16_t slot = r->match.op->plugin;
    MT_TRY(mti_plugin_enter(r->host->plugins, &r->call, slot));
    uint64_t begun = mti_ticks();
    mt_status s = run(r);
    mti_meter_count(&r->call, slot, MTI_METER_OPERATION, s != MT_OK && mti_error_http(&r->call.error) >= 500, mti_ticks() - begun);
    return s;
}
