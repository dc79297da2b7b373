/* The filter on code.analyze, and the operation that emits it. */
#include "scan.h"

#include <mortise/entry.h>
#include <mortise/hooks.h>

enum { MAX_FINDINGS = 200 };     /* a call's; a patch of the host holds at most 256 changes */

/* --- the filter --- */

typedef struct collector {
    mt_call *c;
    mt_patch *out;
    severity threshold;
    unsigned n;
    double cost;
    bool failed;
} collector;

static bool add_finding(collector *k, const finding *f)
{
    mt_slice json;
    mt_writer w = mt_write_begin(k->c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "rule", mt_str(f->rule));
    mt_write_text(&w, "severity", mt_str(severity_name(f->severity)));
    mt_write_int(&w, "line", f->line);
    mt_write_text(&w, "message", mt_str(f->message));
    mt_write_text(&w, "source", MT_SLICE("security_scanner"));
    mt_write_close(&w);
    return mt_write_end(&w, &json) == MT_OK && mt_hook_set(k->c, k->out, MT_SLICE("/findings/-"), json) == MT_OK;
}

static bool on_finding(void *arg, const finding *f)
{
    collector *k = arg;
    if (f->severity < k->threshold)
        return !mt_hook_should_stop(k->c);
    k->failed |= !add_finding(k, f);
    k->cost += severity_cost(f->severity);
    return !k->failed && ++k->n < MAX_FINDINGS && !mt_hook_should_stop(k->c);
}

static mt_outcome on_code_analyze(void *self, mt_call *c, const void *payload, mt_patch *out)
{
    const mt_code_analyze *in = payload;
    collector k = {.c = c, .out = out, .threshold = severity_parse(mt_config(c, MT_SLICE("/severity_threshold")), SEVERITY_MEDIUM)};
    scan_source(in->source, on_finding, &k);
    if (k.n < MAX_FINDINGS && mt_slice_eq(mt_config(c, MT_SLICE("/scan_dependencies")), MT_SLICE("true")))
        scan_dependencies(in->file_name, in->source, on_finding, &k);
    if (k.failed)
        return MT_ERROR;
    double score = in->score > k.cost ? in->score - k.cost : 0;
    if (k.n && mt_hook_set(c, out, MT_SLICE("/score"), mt_printf(c, "%.1f", score)) != MT_OK)
        return MT_ERROR;
    return MT_CONTINUE;
}

/* --- POST /code/analyze --- */

static mt_status on_analyze(void *self, mt_call *c)
{
    mt_slice json;
    mt_code_analyze in = {.size = sizeof in, .language = mt_body_text(c, MT_SLICE("/language")), .file_name = mt_body_text(c, MT_SLICE("/file_name")),
                          .source = mt_body_text(c, MT_SLICE("/source")), .findings = MT_SLICE("[]"), .score = 100};
    mt_outcome o = mt_hook_emit(c, MT_SLICE("code.analyze"), &in);
    if (o == MT_DENY)
        return MT_DENIED;
    if (o == MT_ERROR)
        return MT_INTERNAL;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_double(&w, "score", in.score);
    mt_write_raw(&w, "findings", in.findings);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_analyze", on_analyze}};
static const mt_hook_entry hooks[] = {{"on_code_analyze", on_code_analyze}};

MT_EXPORT const mt_plugin security_scanner_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "security_scanner", .version = "0.1.0", .load = load,
    .handlers = handlers, .n_handlers = 1, .hooks = hooks, .n_hooks = 1};
