/* GET /v1/traces and /v1/traces/{trace_id}. Traces stay on the loop that served the request, so every loop is asked. */
#include "request/request.h"
#include "request/cursor.h"

#include "json/writer.h"
#include "plugin/across.h"
#include "telemetry/trace.h"

/* The platform sees all; a key of one workspace what happened there; others their organization's. */
static mti_trace_viewer viewer_of(const mt_call *c)
{
    return c->who.platform ? (mti_trace_viewer){0} : (mti_trace_viewer){.org_id = c->who.org_id, .workspace_id = c->who.workspace_id};
}

typedef struct search {
    uint8_t id[16];
    mti_trace_viewer viewer;
    mti_uuid newest;
    mti_buf out;
} search;

static mt_status search_there(void *arg, mt_call *there)
{
    search *x = arg;
    mti_trace_find(there->loop, x->id, &x->viewer, &x->newest, &x->out);
    return MT_OK;
}

/* 32 digits, or a UUID. */
static bool parse_id(mt_slice text, uint8_t id[16])
{
    char uuid[37];
    mti_uuid parsed;
    if (text.len == 32) {
        static const int groups[] = {8, 4, 4, 4, 12};
        char *at = uuid;
        for (size_t i = 0, k = 0; i < 5; k += (size_t)groups[i++]) {
            at = mempcpy(at, text.p + k, (size_t)groups[i]);
            *at++ = i < 4 ? '-' : 0;
        }
        text = (mt_slice){uuid, 36};
    }
    if (!mti_uuid_parse(text, &parsed))
        return false;
    memcpy(id, parsed.b, 16);
    return true;
}

mt_status mti_on_trace(void *self, mt_call *c)
{
    search x = {.viewer = viewer_of(c)};
    mt_status s = MT_OK;
    mti_buf_init(&x.out, 4 << 20);
    if (parse_id(c->values->params[0], x.id))
        for (unsigned i = 0; i < c->host->n_loops && s == MT_OK; i++)
            s = mti_across_run(c, c->host->loops[i], search_there, &x);
    if (s == MT_OK && mti_uuid_is_nil(x.newest))
        s = mti_fail(&c->error, MT_NOT_FOUND, "trace_unknown", "No trace of this id is kept: only the latest have one. GET /v1/traces lists them.");
    else if (s == MT_OK)
        s = x.out.status == MT_OK ? mti_answer_json(c->request, 200, mti_buf_slice(&x.out)) : x.out.status;
    mti_buf_dispose(&x.out);
    return s;
}

typedef struct listing {
    mti_trace_filter filter;
    mti_trace_outline *found;
    unsigned n, cap;
} listing;

static mt_status list_there(void *arg, mt_call *there)
{
    listing *x = arg;
    x->n = mti_trace_list(there->loop, &x->filter, x->found, x->n, x->cap);
    return MT_OK;
}

static void write_outline(mti_writer *w, const mti_trace_outline *o)
{
    char id[37], trace[33], at[28];
    mti_uuid_format(o->request_id, id);
    mti_hex(o->trace_id, 16, trace);
    mti_time_rfc3339(o->wall_us, at);
    mti_writer_object(w);
    mti_writer_key_string(w, "request_id", mt_str(id));
    mti_writer_key_string(w, "trace_id", mt_str(trace));
    mti_writer_key_string(w, "operation", o->operation[0] ? mt_str(o->operation) : (mt_slice){0});
    mti_writer_key_int(w, "status", o->status);
    mti_writer_key_string(w, "code", o->code[0] ? mt_str(o->code) : (mt_slice){0});
    mti_writer_key_string(w, "started_at", mt_str(at));
    mti_writer_key(w, MT_SLICE("duration_ms"));
    mti_writer_double(w, (double)o->took_us / 1000.0);
    mti_writer_key_bool(w, "recorded", o->recorded);
    mti_writer_object_end(w);
}

static mt_status answer_list(mt_call *c, const listing *x)
{
    mti_buf b;
    mti_writer w;
    char last[37];
    unsigned shown = x->n < x->cap ? x->n : x->cap - 1;
    mti_buf_init(&b, 1 << 20);
    mti_writer_init(&w, &b);
    mti_writer_object(&w);
    mti_writer_key(&w, MT_SLICE("items"));
    mti_writer_array(&w);
    for (unsigned i = 0; i < shown; i++)
        write_outline(&w, &x->found[i]);
    mti_writer_array_end(&w);
    mt_slice cursor = {0};
    if (shown < x->n) {
        mti_uuid_format(x->found[shown - 1].request_id, last);
        cursor = mti_cursor_seal(c->request, (mt_slice){last, 36});
    }
    mti_writer_key_string(&w, "next_cursor", cursor);
    mti_writer_object_end(&w);
    mt_status s = b.status == MT_OK ? mti_answer_json(c->request, 200, mti_buf_slice(&b)) : b.status;
    mti_buf_dispose(&b);
    return s;
}

/* One more than the page is looked for: it says that there is another page. */
mt_status mti_on_traces(void *self, mt_call *c)
{
    const json_t *operation = json_object_get(c->values->query, "operation");
    listing x = {.cap = (unsigned)c->values->limit + 1};
    x.filter = (mti_trace_filter){.viewer = viewer_of(c), .operation = json_string_value(operation),
                                  .min_status = json_is_true(json_object_get(c->values->query, "failed")) ? 400 : 0};
    x.found = mti_arena_try_alloc(&c->arena, x.cap * sizeof *x.found);
    if (!x.found)
        return MT_NO_MEMORY;
    if (!mti_uuid_parse(c->values->cursor, &x.filter.before))
        return mti_fail(&c->error, MT_INVALID, "cursor_invalid", "This cursor belongs to another list: start again without one.");
    for (unsigned i = 0; i < c->host->n_loops; i++)
        MT_TRY(mti_across_run(c, c->host->loops[i], list_there, &x));
    return answer_list(c, &x);
}
