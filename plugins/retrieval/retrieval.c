/* The search operation, the service for other plugins, and the hook that keeps the index fresh. */
#include "retrieval.h"

#include <mortise/entry.h>

#include <stdlib.h>

static mt_status on_search(void *self, mt_call *c)
{
    mt_slice results, json;
    MT_TRY(retrieval_search(self, c, mt_param(c, MT_SLICE("query")), mt_body(c), &results));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "mode", mt_param(c, MT_SLICE("mode")));
    mt_write_raw(&w, "results", results);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

static mt_outcome on_indexed(void *self, mt_call *c, const void *in, mt_patch *out)
{
    retrieval_model *models;
    uint32_t n;
    mt_status s = retrieval_sync(c, &models, &n);
    return s == MT_OK || s == MT_NOT_FOUND ? MT_CONTINUE : MT_ERROR;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_retrieval_1_provider service = {.size = sizeof service, .version = 1, .search = retrieval_search};
static const mt_handler_entry handlers[] = {{"on_search", on_search}};
static const mt_hook_entry hooks[] = {{"on_indexed", on_indexed}};
static const mt_service_entry services[] = {{"retrieval/1", &service}};

MT_EXPORT const mt_plugin retrieval_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "retrieval", .version = "0.1.0", .load = load,
    .handlers = handlers, .n_handlers = 1, .hooks = hooks, .n_hooks = 1, .services = services, .n_services = 1};
