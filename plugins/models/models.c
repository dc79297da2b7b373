/* The entry table. */
#include "files.h"
#include "models.h"

#include <mortise/entry.h>

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static mt_status activate(void *self, mt_call *c)
{
    models_files_recover(c);
    return models_metrics_declare(c);
}

static void deactivate(void *self, mt_call *c)
{
    models_usage_flush_all(c);
}

static void unload(void *self)
{
    models_usage_dispose();
}

static const mt_handler_entry handlers[] = {{"on_usage", models_on_usage}, {"on_health", models_on_health}, {"on_upload", models_on_upload},
                                            {"on_activate", models_on_activate}, {"on_deactivate", models_on_deactivate}, {"on_delete", models_on_delete}};
static const mt_hook_entry hooks[] = {{"on_done", models_on_done}, {"on_organization_deleted", models_on_organization_deleted}, {"on_collect", models_on_collect}};
static const mt_service_entry services[] = {{"llm/1", &models_llm}};

MT_EXPORT const mt_plugin models_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "models", .version = "0.1.0", .load = load, .activate = activate, .deactivate = deactivate, .unload = unload,
    .handlers = handlers, .n_handlers = sizeof handlers / sizeof *handlers, .hooks = hooks, .n_hooks = sizeof hooks / sizeof *hooks, .services = services, .n_services = 1};
