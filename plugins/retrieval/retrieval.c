/* The operations, the service for other plugins, and the hook that keeps the indexes fresh. */
#include "retrieval.h"

#include <mortise/entry.h>

static mt_status on_search(void *self, mt_call *c)
{
    search s = {.c = c, .query = mt_param(c, MT_SLICE("query"))};
    mt_slice results, json;
    MT_TRY(search_run(&s, mt_body(c), &results));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "mode", s.o.mode);
    mt_write_text(&w, "fusion", s.o.fusion);
    if (s.o.rerank.len)
        mt_write_bool(&w, "reranked", !s.rerank_note);
    if (s.rerank_note)
        mt_write_text(&w, "rerank_note", mt_str(s.rerank_note));
    mt_write_raw(&w, "results", results);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

static mt_status service_search(void *self, mt_call *c, mt_slice query, mt_slice options, mt_slice *results)
{
    search s = {.c = c, .query = query};
    return search_run(&s, options, results);
}

/* Answers what holds when a search says nothing: settings (a JSON object or the null slice) over the defaults. */
static mt_status answer_settings(mt_call *c, mt_slice settings)
{
    search_options o;
    mt_handle doc;
    mt_slice json;
    options_default(&o);
    if (settings.len) {
        MT_TRY(mt_json_parse(c, settings, &doc));
        options_read(c, doc, &o);
    }
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    options_write(&w, &o);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

static mt_status on_index_get(void *self, mt_call *c)
{
    mt_slice json;
    MT_TRY(retrieval_describe(c, &json));
    return mt_respond(c, 200, json);
}

static mt_status on_settings_get(void *self, mt_call *c)
{
    mt_handle rows;
    MT_TRY(mt_db_query(c, MT_SLICE("settings_get"), NULL, 0, &rows));
    return answer_settings(c, mt_db_rows(c, rows) ? mt_db_value(c, rows, 0, MT_SLICE("settings")) : (mt_slice){0});
}

static mt_status on_settings_put(void *self, mt_call *c)
{
    MT_TRY(mt_db_exec(c, MT_SLICE("settings_put"), NULL, 0, NULL));
    return answer_settings(c, mt_body(c));
}

static mt_outcome on_indexed(void *self, mt_call *c, const void *in, mt_patch *out)
{
    retrieval_state state;
    mt_status s = retrieval_sync(c, &state);
    return s == MT_OK || s == MT_NOT_FOUND ? MT_CONTINUE : MT_ERROR;
}

static mt_status activate(void *self, mt_call *c)
{
    return search_declare_metrics(c);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_retrieval_1_provider service = {.size = sizeof service, .version = 1, .search = service_search};
static const mt_handler_entry handlers[] = {{"on_search", on_search}, {"on_settings_get", on_settings_get}, {"on_settings_put", on_settings_put},
                                            {"on_index_get", on_index_get}};
static const mt_hook_entry hooks[] = {{"on_indexed", on_indexed}};
static const mt_service_entry services[] = {{"retrieval/1", &service}};

MT_EXPORT const mt_plugin retrieval_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "retrieval", .version = "0.1.0", .load = load, .activate = activate,
    .handlers = handlers, .n_handlers = 4, .hooks = hooks, .n_hooks = 1, .services = services, .n_services = 1};
