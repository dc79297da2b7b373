/* What a plugin waits for, and what waits for it. */
#include "plugin/manager.h"
#include "plugin/publish.h"
#include "plugin/record.h"

#include <stdio.h>

/* It may come up while a turn is under way, before the core has migrated it. */
bool mti_database_usable(const mti_host *h)
{
    return mti_db_up(h->db) && atomic_load(&h->migrated);
}

/* What keeps r from starting now: "" when nothing does. */
void mti_resolve_obstacle(mti_plugins *p, const mti_plugin_record *r, char *why, size_t size)
{
    why[0] = 0;
    for (size_t i = 0; i < r->manifest->n_dependencies; i++) {
        const mti_manifest_dependency *d = &r->manifest->dependencies[i];
        const mti_plugin_record *on = mti_manager_find(p, mt_str(d->slug));
        if (!on || !on->manifest)
            snprintf(why, size, "needs plugin %s %s, which is not installed", d->slug, d->range);
        else if (!mti_semver_match(on->manifest->version, d->range))
            snprintf(why, size, "needs plugin %s %s, installed is %s", d->slug, d->range, on->manifest->version);
        else if (atomic_load(&on->state) != MTI_PLUGIN_ACTIVE)
            snprintf(why, size, "needs plugin %s, which is not active", d->slug);
        if (why[0])
            return;
    }
    for (size_t i = 0; i < r->manifest->n_requires; i++)
        for (unsigned n = 0; n < mti_interface_count; n++) {
            const mti_interface_info *info = &mti_interface_catalogue[n];
            if (strcmp(info->id, r->manifest->requires_[i]) || info->service < 0 || mti_service_ready(p, info->service))
                continue;
            snprintf(why, size, "needs a provider of %s, and none is active", info->id);
            return;
        }
    if ((r->manifest->db || r->manifest->n_dependencies) && !mti_database_usable(p->host))
        snprintf(why, size, "the database is down");
}

/* The active plugins that cannot stay without r, as "a, b". */
void mti_resolve_dependents(mti_plugins *p, const mti_plugin_record *r, char *names, size_t size)
{
    names[0] = 0;
    for (unsigned i = 1; i < p->n; i++) {
        const mti_plugin_record *d = p->records[i];
        bool needs = false;
        if (atomic_load(&d->state) != MTI_PLUGIN_ACTIVE)
            continue;
        for (size_t n = 0; n < d->manifest->n_dependencies; n++)
            needs |= !strcmp(d->manifest->dependencies[n].slug, r->slug);
        for (size_t n = 0; n < d->manifest->n_requires; n++)
            for (size_t m = 0; r->manifest && m < r->manifest->n_provides; m++)
                needs |= !strcmp(d->manifest->requires_[n], r->manifest->provides[m]) && mti_publish_only_provider(p, r, r->manifest->provides[m]);
        if (needs)
            snprintf(names + strlen(names), size - strlen(names), "%s%s", names[0] ? ", " : "", d->slug);
    }
}
