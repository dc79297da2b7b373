/* Each operation goes through another interface of the host; answers are the same inside it and from a worker. */
#include <mortise/entry.h>
#include <mortise/hooks.h>

#include <stdatomic.h>
#include <stdlib.h>

static atomic_long left;
static mt_handle sums;

static mt_status answer(mt_call *c, mt_slice id, mt_slice text, double n)
{
    mt_slice json;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    if (id.p)
        mt_write_text(&w, "id", id);
    mt_write_text(&w, "text", text);
    mt_write_double(&w, "n", n);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

/* --- db/1 --- */

static mt_status create(mt_call *c, mt_slice text, mt_handle *row)
{
    mt_field args[] = {{MT_SLICE("text"), text}, {MT_SLICE("new_id"), mt_new_id(c)}};
    return mt_db_one(c, MT_SLICE("note_create"), args, 2, row);
}

static mt_status on_create(void *self, mt_call *c)
{
    mt_handle row;
    MT_TRY(create(c, mt_body_text(c, MT_SLICE("/text")), &row));
    return answer(c, mt_db_value(c, row, 0, MT_SLICE("id")), mt_db_value(c, row, 0, MT_SLICE("text")), mt_db_rows(c, row));
}

static mt_status on_read(void *self, mt_call *c)
{
    mt_handle row;
    mt_slice json;
    MT_TRY(mt_db_one(c, MT_SLICE("note_read"), NULL, 0, &row));
    MT_TRY(mt_db_json(c, row, 0, &json));
    mt_db_free(c, row);
    return mt_respond(c, 200, json);
}

static mt_status on_list(void *self, mt_call *c)
{
    mt_handle rows;
    mt_slice joined = MT_SLICE("");
    mt_field page[] = {{MT_SLICE("cursor"), MT_SLICE("ffffffff-ffff-ffff-ffff-ffffffffffff")}, {MT_SLICE("limit"), MT_SLICE("100")}};
    MT_TRY(mt_db_query(c, MT_SLICE("notes"), page, 2, &rows));
    uint32_t n = mt_db_rows(c, rows);
    for (uint32_t i = 0; i < n; i++) {
        mt_slice text = mt_db_value(c, rows, i, MT_SLICE("text"));
        joined = mt_printf(c, "%.*s%s%.*s", (int)joined.len, joined.p, i ? "," : "", (int)text.len, text.p);
    }
    return answer(c, (mt_slice){0}, joined, n);
}

/* The second may be taken: then the first is not there either. */
static mt_status on_pair(void *self, mt_call *c)
{
    mt_handle row;
    MT_TRY(mt_db_begin(c));
    MT_TRY(create(c, mt_body_text(c, MT_SLICE("/first")), &row));
    mt_status s = create(c, mt_body_text(c, MT_SLICE("/second")), &row);
    if (s != MT_OK) {
        mt_db_rollback(c);
        return s;
    }
    MT_TRY(mt_db_commit(c));
    return answer(c, (mt_slice){0}, MT_SLICE("both"), 2);
}

/* --- request/1, service/1 --- */

static mt_status on_who(void *self, mt_call *c)
{
    mt_slice json, provider = {0};
    mt_status s = mt_service_provider(c, MT_SLICE("blob/1"), 0, &provider);
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "org", mt_org_id(c));
    mt_write_text(&w, "workspace", mt_workspace_id(c));
    mt_write_text(&w, "subject", mt_subject_id(c));
    mt_write_text(&w, "word", mt_param(c, MT_SLICE("word")));
    mt_write_text(&w, "nothing", mt_param(c, MT_SLICE("nothing")));
    mt_write_text(&w, "header", mt_header(c, MT_SLICE("x-errand")));
    mt_write_text(&w, "mark", mt_config(c, MT_SLICE("/mark")));
    mt_write_text(&w, "secret", mt_setting(c, MT_SLICE("database.url")));
    mt_write_text(&w, "caller", mt_caller(c));
    mt_write_text(&w, "blobs", provider);
    mt_write_bool(&w, "found", s == MT_OK);
    mt_write_bool(&w, "may", mt_allowed(c, MT_SLICE("errand.read")));
    mt_write_bool(&w, "may_not", mt_allowed(c, MT_SLICE("no.such_permission")));
    mt_write_bool(&w, "cancelled", mt_cancelled(c));
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    MT_TRY(mt_respond_header(c, MT_SLICE("x-errand-told"), MT_SLICE("yes")));
    return mt_respond(c, 200, json);
}

static mt_status on_upload(void *self, mt_call *c)
{
    mt_slice field, name, type, data, told = MT_SLICE("");
    uint32_t n = mt_files(c);
    for (uint32_t i = 0; mt_file(c, i, &field, &name, &type, &data) == MT_OK; i++) {
        unsigned sum = 0;
        for (size_t k = 0; k < data.len; k++)
            sum = sum * 31 + (unsigned char)data.p[k];
        told = mt_printf(c, "%.*s%.*s:%zu:%u;", (int)told.len, told.p, (int)name.len, name.p, data.len, sum);
    }
    return answer(c, (mt_slice){0}, told, n);
}

static mt_status on_refuse(void *self, mt_call *c)
{
    mt_handle row;
    mt_field none[] = {{MT_SLICE("id"), MT_SLICE("00000000-0000-0000-0000-00000000dead")}};
    if (mt_db_one(c, MT_SLICE("note_read"), none, 1, &row) != MT_NOT_FOUND || !mt_slice_eq(mt_problem_code(c), MT_SLICE("not_found")))
        return MT_INTERNAL;
    return mt_problem(c, 422, MT_SLICE("errand_refused"), MT_SLICE("Not this one."), MT_SLICE("/text"));
}

static mt_status on_hold(void *self, mt_call *c)
{
    mt_status s = MT_OK;
    while (s == MT_OK)
        s = mt_sleep(c, 60000);
    atomic_fetch_add(&left, 1);
    return s;
}

static mt_status on_left(void *self, mt_call *c)
{
    return answer(c, (mt_slice){0}, MT_SLICE("left"), atomic_load(&left));
}

/* --- http/1 --- */

static mt_status on_fetch(void *self, mt_call *c)
{
    mt_http_exchange in = {.size = sizeof in, .method = MT_SLICE("GET"), .url = mt_body_text(c, MT_SLICE("/url")), .timeout_ms = 5000};
    mt_field headers[] = {{MT_SLICE("x-from"), MT_SLICE("errand")}};
    int32_t status;
    mt_slice body, part;
    mt_handle stream;
    size_t parts = 0;
    MT_TRY(mt_http_fetch(c, &in, headers, 1, &status, &body));
    MT_TRY(mt_http_open(c, &in, headers, 1, &status, &stream));
    mt_slice type = mt_http_header(c, stream, MT_SLICE("content-type"));
    mt_status s;
    while ((s = mt_http_next(c, stream, &part)) == MT_OK)
        parts += part.len;
    if (s != MT_DONE || parts != body.len)
        return mt_problem(c, 502, MT_SLICE("errand_parts"), MT_SLICE("The parts are not the whole."), (mt_slice){0});
    MT_TRY(mt_http_close(c, stream));
    return answer(c, type, (mt_slice){body.p, body.len < 100 ? body.len : 100}, (double)body.len);
}

/* --- services --- */

static mt_status on_keep(void *self, mt_call *c)
{
    mt_slice text = mt_body_text(c, MT_SLICE("/text")), name, back, cached;
    MT_TRY(mt_blob_put(c, text, &name));
    MT_TRY(mt_blob_get(c, name, &back));
    MT_TRY(mt_cache_put(c, MT_SLICE("errand"), name, 60000));
    MT_TRY(mt_cache_get(c, MT_SLICE("errand"), &cached));
    if (!mt_slice_eq(text, back) || !mt_slice_eq(cached, name))
        return mt_problem(c, 500, MT_SLICE("errand_lost"), MT_SLICE("What came back is not what was given."), (mt_slice){0});
    MT_TRY(mt_blob_remove(c, name));
    if (mt_cache_get(c, MT_SLICE("nothing"), &cached) != MT_NOT_FOUND)
        return MT_INTERNAL;
    return answer(c, name, MT_SLICE("kept"), (double)back.len);
}

static mt_status on_put(void *self, mt_call *c)
{
    MT_TRY(mt_queue_put(c, MT_SLICE("errand.note"), mt_body(c), (mt_slice){0}, 0));
    return answer(c, (mt_slice){0}, MT_SLICE("later"), 0);
}

static mt_status on_job(void *self, mt_call *c)
{
    mt_handle doc, row;
    MT_TRY(mt_json_parse(c, mt_body(c), &doc));
    MT_TRY(mt_queue_progress(c, 1, 2));
    return create(c, mt_json_text(c, doc, MT_SLICE("/text")), &row);
}

/* --- hook/1 --- */

static mt_status on_emit(void *self, mt_call *c)
{
    mt_code_analyze in = {.size = sizeof in, .language = MT_SLICE("c"), .file_name = MT_SLICE("a.c"), .source = mt_body_text(c, MT_SLICE("/text")),
                          .findings = MT_SLICE("[]"), .score = 100};
    mt_outcome o = mt_hook_emit(c, MT_SLICE("code.analyze"), &in);
    if (o == MT_DENY)
        return MT_DENIED;
    return answer(c, (mt_slice){0}, in.findings, in.score);
}

static mt_outcome on_analyze(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_code_analyze *a = in;
    if (mt_slice_eq(a->source, MT_SLICE("forbidden")))
        return mt_hook_deny(c, 422, MT_SLICE("errand_forbidden"), MT_SLICE("This text is not looked at."));
    if (mt_slice_eq(a->source, MT_SLICE("broken")))
        return MT_ERROR;
    if ((a->score != 100 && a->score != 87.5) || mt_hook_should_stop(c) || mt_hook_set(c, out, MT_SLICE("/source"), MT_SLICE("\"x\"")) != MT_INVALID)
        return MT_ERROR;
    mt_slice mark = mt_config(c, MT_SLICE("/mark"));
    mt_slice finding = mt_printf(c, "{\"rule\":\"%.*s\",\"severity\":\"low\",\"message\":\"looked\"}", (int)mark.len, mark.p);
    if (mt_hook_set(c, out, MT_SLICE("/findings/-"), finding) != MT_OK || mt_hook_set(c, out, MT_SLICE("/score"), MT_SLICE("87.5")) != MT_OK)
        return MT_ERROR;
    return MT_CONTINUE;
}

/* --- json/1, offload/1, defer/1 --- */

typedef struct sum {
    const double *numbers;
    int64_t n;
    double total;
} sum;

static void add_up(void *arg)
{
    sum *s = arg;
    for (int64_t i = 0; i < s->n; i++)
        s->total += s->numbers[i];
}

static mt_status on_sum(void *self, mt_call *c)
{
    mt_handle doc;
    MT_TRY(mt_json_parse(c, mt_body(c), &doc));
    sum s = {.n = mt_json_count(c, doc, MT_SLICE("/numbers"))};
    double *numbers = malloc((size_t)(s.n + 1) * sizeof *numbers);
    if (!numbers)
        return MT_NO_MEMORY;
    MT_TRY(mt_defer_add(c, free, numbers));
    for (int64_t i = 0; i < s.n; i++)
        numbers[i] = mt_json_number(c, doc, mt_printf(c, "/numbers/%lld", (long long)i), 0);
    s.numbers = numbers;
    MT_TRY(mt_offload_run(c, add_up, &s));
    MT_TRY(mt_json_free(c, doc));
    mt_log(1, "errand.summed", NULL, 0);
    mt_metrics_add(sums, (mt_slice[]){MT_SLICE("pool")}, 1, 2);
    return answer(c, (mt_slice){0}, MT_SLICE("sum"), s.total);
}

/* --- a service from a pool thread --- */

typedef struct counting {
    mt_call *c;
    mt_slice text;
    uint32_t tokens;
} counting;

static void count(void *arg)
{
    counting *k = arg;
    k->tokens = mt_llm_count_tokens(k->c, MT_SLICE("scripted"), k->text);
}

static mt_status on_count(void *self, mt_call *c)
{
    counting k = {.c = c, .text = mt_body_text(c, MT_SLICE("/text"))};
    MT_TRY(mt_offload_run(c, count, &k));
    return answer(c, (mt_slice){0}, MT_SLICE("tokens"), k.tokens);
}

/* --- stream/1 --- */

static mt_status on_stream(void *self, mt_call *c)
{
    mt_slice text = mt_param(c, MT_SLICE("count"));
    int64_t count = strtoll(mt_printf(c, "%.*s", (int)text.len, text.p).p, NULL, 10);
    MT_TRY(mt_stream_begin(c));
    for (int64_t i = 0; i < count; i++) {
        MT_TRY(mt_stream_event(c, MT_SLICE("tick"), mt_printf(c, "{\"n\":%lld}", (long long)i)));
        MT_TRY(mt_sleep(c, 1));
    }
    return mt_stream_end(c);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static mt_status activate(void *self, mt_call *c)
{
    MT_TRY(mt_metrics_family(c, MT_SLICE("counter"), MT_SLICE("sums_total"), MT_SLICE("Sums."), MT_SLICE("where"), &sums));
    if (mt_metrics_family(c, MT_SLICE("thing"), MT_SLICE("sums_total"), MT_SLICE(""), MT_SLICE(""), &(mt_handle){0}) != MT_INVALID)
        return MT_INTERNAL;
    return mt_config(c, MT_SLICE("/mark")).p ? MT_OK : MT_UNAVAILABLE;
}

static const mt_handler_entry handlers[] = {
    {"on_create", on_create}, {"on_read", on_read}, {"on_list", on_list}, {"on_pair", on_pair}, {"on_who", on_who}, {"on_upload", on_upload},
    {"on_refuse", on_refuse}, {"on_hold", on_hold}, {"on_left", on_left}, {"on_fetch", on_fetch}, {"on_keep", on_keep}, {"on_put", on_put},
    {"on_job", on_job}, {"on_emit", on_emit}, {"on_sum", on_sum}, {"on_count", on_count}, {"on_stream", on_stream}};
static const mt_hook_entry hooks[] = {{"on_analyze", on_analyze}};

MT_EXPORT const mt_plugin errand_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "errand", .version = "0.1.0", .load = load, .activate = activate,
    .handlers = handlers, .n_handlers = sizeof handlers / sizeof *handlers, .hooks = hooks, .n_hooks = 1};
