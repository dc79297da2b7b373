/* Organizations, workspaces, agents, API keys. Most of it is queries.sql; here is the entry table
 * and what must be ready before the first request. */
#include "tenancy.h"

#include <mortise/entry.h>

static mt_status create(void **self)
{
    tenancy *t = calloc(1, sizeof *t);
    *self = t;
    if (!t)
        return MT_NO_MEMORY;
    t->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    return t->sha256 ? MT_OK : MT_INTERNAL;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static mt_status activate(void *self, mt_call *c)
{
    tenancy *t = self;
    MT_TRY(plans_load(&t->plans, c));
    return tenancy_provision(t, c);
}

static void unload(void *self)
{
    tenancy *t = self;
    if (t)
        EVP_MD_free(t->sha256);
    free(t);
}

static const mt_handler_entry handlers[] = {
    {"on_organization_create", tenancy_on_organization_create},
    {"on_organization_list", tenancy_on_organization_list},
    {"on_organization_update", tenancy_on_organization_update},
    {"on_organization_delete", tenancy_on_organization_delete},
    {"on_workspace_delete", tenancy_on_workspace_delete},
    {"on_key_create", tenancy_on_key_create},
};

static const mt_hook_entry hooks[] = {{"on_authenticate", tenancy_on_authenticate},
                                      {"on_done", tenancy_on_done}};

MT_EXPORT const mt_plugin tenancy_plugin = {.abi = MT_ABI,
                                            .size = sizeof(mt_plugin),
                                            .slug = "tenancy",
                                            .version = "0.1.0",
                                            .create = create,
                                            .load = load,
                                            .activate = activate,
                                            .unload = unload,
                                            .handlers = handlers,
                                            .n_handlers = sizeof handlers / sizeof *handlers,
                                            .hooks = hooks,
                                            .n_hooks = sizeof hooks / sizeof *hooks};
