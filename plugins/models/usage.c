/* Counting what was used, writing it in batches, showing it. */
#include "models.h"

#include <mortise/hooks.h>

#include <stdlib.h>
#include <time.h>

enum { FLUSH_US = 5000000 };

static ledger book = LEDGER_INIT;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void models_usage_add(const ledger_row *delta)
{
    if (delta->org[0] && !ledger_add(&book, delta))
        mt_log(3, "models.usage_lost", NULL, 0);
}

static mt_slice number(mt_call *c, int64_t n)
{
    return mt_printf(c, "%lld", (long long)n);
}

static mt_slice latency_text(mt_call *c, const int64_t latency[LEDGER_BUCKETS])
{
    mt_slice json;
    mt_writer w = mt_write_begin(c);
    mt_write_array(&w, NULL);
    for (unsigned i = 0; i < LEDGER_BUCKETS; i++)
        mt_write_int(&w, NULL, latency[i]);
    mt_write_close(&w);
    return mt_write_end(&w, &json) == MT_OK ? mt_printf(c, "{%.*s}", (int)json.len - 2, json.p + 1) : (mt_slice){0};
}

static mt_status write_row(mt_call *c, const ledger_row *r)
{
    const mt_field args[] = {{MT_SLICE("days"), number(c, r->day)}, {MT_SLICE("model"), mt_str(r->model)}, {MT_SLICE("provider"), mt_str(r->provider)},
                             {MT_SLICE("calls"), number(c, r->calls)}, {MT_SLICE("errors"), number(c, r->errors)}, {MT_SLICE("cancelled"), number(c, r->cancelled)},
                             {MT_SLICE("input_tokens"), number(c, r->input_tokens)}, {MT_SLICE("cached_tokens"), number(c, r->cached_tokens)},
                             {MT_SLICE("output_tokens"), number(c, r->output_tokens)}, {MT_SLICE("cost_microusd"), number(c, r->cost_microusd)},
                             {MT_SLICE("latency"), latency_text(c, r->latency)}};
    return mt_db_exec(c, MT_SLICE("usage_add"), args, sizeof args / sizeof *args, NULL);
}

/* What was surely not written is kept for the next time; what may have been written is not written again: nothing is charged twice. */
static void write_rows(mt_call *c, ledger_row *rows)
{
    for (ledger_row *r = rows; r; r = r->next) {
        mt_status s = write_row(c, r);
        bool again = s == MT_UNAVAILABLE && !mt_slice_eq(mt_problem_code(c), MT_SLICE("outcome_unknown"));
        if (s != MT_OK && !(again && ledger_add(&book, r)))
            mt_log(2, "models.usage_lost", &(mt_field){MT_SLICE("reason"), mt_problem_code(c)}, 1);
    }
    ledger_free(rows);
}

mt_outcome models_on_done(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_http_done *done = in;
    write_rows(c, ledger_take(&book, done->org_id, now_us(), FLUSH_US));
    return MT_CONTINUE;
}

/* At the end of the process, or when the plugin is switched off: a call of the platform. */
void models_usage_flush_all(mt_call *c)
{
    ledger_row *rows;
    while ((rows = ledger_take_any(&book))) {
        bool failed = mt_db_as_org(c, mt_str(rows->org), (mt_slice){0}) != MT_OK;
        for (ledger_row *r = rows; r; r = r->next)
            if (failed || write_row(c, r) != MT_OK)
                mt_log(3, "models.usage_lost", &(mt_field){MT_SLICE("model"), mt_str(r->model)}, 1);
        ledger_free(rows);
    }
}

void models_usage_dispose(void)
{
    ledger_dispose(&book);
}

/* --- showing --- */

static void read_latency(mt_call *c, mt_slice json, int64_t latency[LEDGER_BUCKETS])
{
    mt_handle doc;
    memset(latency, 0, LEDGER_BUCKETS * sizeof *latency);
    if (!json.p || mt_json_parse(c, json, &doc) != MT_OK)
        return;
    for (unsigned i = 0; i < LEDGER_BUCKETS; i++)
        latency[i] = (int64_t)mt_json_number(c, doc, mt_printf(c, "/%u", i), 0);
}

static void write_usage(mt_writer *w, mt_handle rows, uint32_t i)
{
    static const char *const texts[] = {"day", "model", "provider"}, *const counts[] = {"calls", "errors", "cancelled", "input_tokens", "cached_tokens", "output_tokens"};
    int64_t latency[LEDGER_BUCKETS];
    mt_call *c = w->c;
    mt_write_object(w, NULL);
    for (unsigned k = 0; k < sizeof texts / sizeof *texts; k++)
        mt_write_text(w, texts[k], mt_db_value(c, rows, i, mt_str(texts[k])));
    for (unsigned k = 0; k < sizeof counts / sizeof *counts; k++)
        mt_write_raw(w, counts[k], mt_db_value(c, rows, i, mt_str(counts[k])));
    mt_write_text(w, "cost_microusd", mt_db_value(c, rows, i, MT_SLICE("cost_microusd")));
    read_latency(c, mt_db_value(c, rows, i, MT_SLICE("latency")), latency);
    mt_write_double(w, "p50_ms", ledger_quantile_ms(latency, 0.5));
    mt_write_double(w, "p95_ms", ledger_quantile_ms(latency, 0.95));
    mt_write_close(w);
}

mt_status models_on_usage(void *self, mt_call *c)
{
    mt_handle rows;
    mt_slice json;
    write_rows(c, ledger_take(&book, mt_org_id(c), now_us(), 0));
    MT_TRY(mt_db_query(c, MT_SLICE("usage_list"), NULL, 0, &rows));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_array(&w, "items");
    for (uint32_t i = 0; i < mt_db_rows(c, rows); i++)
        write_usage(&w, rows, i);
    mt_write_close(&w);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

mt_status models_on_health(void *self, mt_call *c)
{
    mt_slice json;
    health *h;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_array(&w, "items");
    for (uint32_t i = 0; (h = health_at(i)); i++) {
        mt_write_object(&w, NULL);
        mt_write_text(&w, "provider", mt_str(h->engine));
        mt_write_text(&w, "model", mt_str(h->model));
        mt_write_text(&w, "base_url", h->place[0] ? mt_str(h->place) : (mt_slice){0});
        mt_write_text(&w, "state", mt_str(health_state_name(h, now_us())));
        mt_write_int(&w, "calls", h->calls);
        mt_write_int(&w, "errors", h->errors);
        mt_write_close(&w);
    }
    mt_write_close(&w);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}
