/* Which interfaces a plugin gets, and who serves a service call. */
#include "plugin/manager.h"
#include "plugin/record.h"

#include <string.h>

static bool lists(const char *const *list, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], id))
            return true;
    return false;
}

/* A permission not granted is an interface not given. */
static bool granted(const mti_plugin_record *r, const mti_interface_info *info)
{
    const mti_manifest *m = r->manifest;
    if (!info->permission)
        return true;
    if (!strcmp(info->permission, "db"))
        return m->db;
    if (!strcmp(info->permission, "http"))
        return json_object_get(json_object_get(m->json, "permissions"), "http") != NULL;
    return lists(m->requires_, m->n_requires, info->id) || lists(m->services, m->n_services, info->id);
}

const void *mti_record_interface(void *record, mt_slice id)
{
    const mti_plugin_record *r = record;
    for (unsigned i = 0; i < mti_interface_count; i++) {
        const mti_interface_info *info = &mti_interface_catalogue[i];
        if (!mt_slice_eq(id, mt_str(info->id)))
            continue;
        if (!granted(r, info))
            return NULL;
        return info->service >= 0 ? info->proxy : r->host->plugins->host_tables[i];
    }
    return NULL;
}

void mti_plugins_provide(mti_plugins *p, const char *interface, const void *table)
{
    for (unsigned i = 0; i < mti_interface_count; i++)
        if (!strcmp(mti_interface_catalogue[i].id, interface))
            p->host_tables[i] = table;
}

const mti_provider *mti_provider_for(mt_call *c, int service)
{
    return atomic_load_explicit(&c->host->plugins->chosen[service], memory_order_acquire);
}

bool mti_service_ready(const mti_plugins *p, int service)
{
    return atomic_load_explicit(&p->chosen[service], memory_order_acquire) != NULL;
}
