/* What a plugin waits for, and what waits for it. */
#include "plugin/manager.h"
#include "plugin/publish.h"
#include "plugin/record.h"

#include <stdarg.h>
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

bool mti_resolve_needs(mti_plugins *p, const mti_plugin_record *d, const mti_plugin_record *r)
{
    if (atomic_load(&d->state) != MTI_PLUGIN_ACTIVE)
        return false;
    for (size_t n = 0; n < d->manifest->n_dependencies; n++)
        if (!strcmp(d->manifest->dependencies[n].slug, r->slug))
            return true;
    for (size_t n = 0; n < d->manifest->n_requires; n++)
        for (size_t m = 0; r->manifest && m < r->manifest->n_provides; m++)
            if (!strcmp(d->manifest->requires_[n], r->manifest->provides[m]) && mti_publish_only_provider(p, r, r->manifest->provides[m]))
                return true;
    return false;
}

/* The active plugins that cannot stay without r, as "a, b". */
void mti_resolve_dependents(mti_plugins *p, const mti_plugin_record *r, char *names, size_t size)
{
    names[0] = 0;
    for (unsigned i = 1; i < p->n; i++)
        if (mti_resolve_needs(p, p->records[i], r))
            snprintf(names + strlen(names), size - strlen(names), "%s%s", names[0] ? ", " : "", p->records[i]->slug);
}

/* ---- a change that somebody asks for: everything that is in its way, before anything happens ---- */

static void add_problem(json_t *problems, const char *code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void add_problem(json_t *problems, const char *code, const char *fmt, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(problems, json_pack("{s:s,s:s}", "code", code, "detail", text));
}

static const mti_manifest *manifest_of(const mti_plugins *p, const mti_manifest *m, const char *slug)
{
    const mti_plugin_record *r = !strcmp(slug, m->slug) ? NULL : mti_manager_find(p, mt_str(slug));
    return !strcmp(slug, m->slug) ? m : r ? r->manifest : NULL;
}

enum { DEEPEST = 32 };

/* Whether a chain of dependencies leads from at back to m; the chain as "a, b, a". */
static bool find_cycle(const mti_plugins *p, const mti_manifest *m, const mti_manifest *at, int depth, char *chain, size_t size)
{
    for (size_t i = 0; at && depth && i < at->n_dependencies; i++) {
        const char *slug = at->dependencies[i].slug;
        size_t n = strlen(chain);
        snprintf(chain + n, size - n, ", %s", slug);
        if (!strcmp(slug, m->slug) || find_cycle(p, m, manifest_of(p, m, slug), depth - 1, chain, size))
            return true;
        chain[n] = 0;
    }
    return false;
}

static void check_dependencies(const mti_plugins *p, const mti_manifest *m, json_t *problems)
{
    for (size_t i = 0; i < m->n_dependencies; i++) {
        const mti_manifest_dependency *d = &m->dependencies[i];
        const mti_plugin_record *on = mti_manager_find(p, mt_str(d->slug));
        if (!on || !on->manifest)
            add_problem(problems, "dependency_missing", "%s needs plugin %s %s, which is not installed: install it first.", m->slug, d->slug, d->range);
        else if (!mti_semver_match(on->manifest->version, d->range))
            add_problem(problems, "dependency_version", "%s needs plugin %s %s, installed is %s: install one that fits first.", m->slug, d->slug, d->range, on->manifest->version);
        else if (atomic_load(&on->state) != MTI_PLUGIN_ACTIVE)
            add_problem(problems, "dependency_inactive", "%s needs plugin %s, which is %s: switch it on first.", m->slug, d->slug, mti_record_state_name(atomic_load(&on->state)));
    }
}

static bool is_service(const char *id)
{
    for (unsigned n = 0; n < mti_interface_count; n++)
        if (!strcmp(mti_interface_catalogue[n].id, id) && mti_interface_catalogue[n].service >= 0)
            return true;
    return false;
}

static bool provides(const mti_manifest *m, const char *id)
{
    for (size_t i = 0; m && i < m->n_provides; i++)
        if (!strcmp(m->provides[i], id))
            return true;
    return false;
}

static void check_interfaces(mti_plugins *p, const mti_manifest *m, const mti_plugin_record *old, json_t *problems)
{
    for (size_t i = 0; i < m->n_requires; i++) {
        const char *id = m->requires_[i];
        bool there = false;
        for (unsigned n = 1; n < p->n && !there; n++)
            there = p->records[n] != old && atomic_load(&p->records[n]->state) == MTI_PLUGIN_ACTIVE && provides(p->records[n]->manifest, id);
        if (!is_service(id))
            add_problem(problems, "interface_unknown", "%s requires %s, which is no service of this host.", m->slug, id);
        else if (!there)
            add_problem(problems, "interface_missing", "%s requires a provider of %s, and no active plugin provides it: install or switch on one first.", m->slug, id);
    }
}

/* Those that stand on the version that serves, and cannot stand on m (NULL: on nothing). */
static void check_dependents(mti_plugins *p, const mti_manifest *m, const mti_plugin_record *old, json_t *problems)
{
    for (unsigned i = 1; i < p->n; i++) {
        const mti_plugin_record *d = p->records[i];
        if (d == old || atomic_load(&d->state) != MTI_PLUGIN_ACTIVE)
            continue;
        for (size_t n = 0; n < d->manifest->n_dependencies; n++)
            if (!strcmp(d->manifest->dependencies[n].slug, old->slug) && !(m && mti_semver_match(m->version, d->manifest->dependencies[n].range)))
                add_problem(problems, "dependent", "%s %s needs %s %s: %s.", d->slug, d->manifest->version, old->slug, d->manifest->dependencies[n].range,
                            m ? "upgrade it first" : "switch it off first");
        for (size_t n = 0; n < d->manifest->n_requires; n++) {
            const char *id = d->manifest->requires_[n];
            if (provides(old->manifest, id) && !provides(m, id) && mti_publish_only_provider(p, old, id))
                add_problem(problems, "dependent", "%s requires a provider of %s, and %s is the only one: %s.", d->slug, id, old->slug,
                            m ? "the new version must provide it too" : "switch on another first");
        }
    }
}

static bool is_reserved(const char *slug)
{
    return !strcmp(slug, "core") || !strcmp(slug, "host");
}

json_t *mti_resolve_change(mti_plugins *p, const mti_manifest *m, const mti_plugin_record *old)
{
    json_t *problems = json_array();
    char chain[256];
    if (m) {
        const char *min = json_string_value(json_object_get(m->json, "min_platform_version"));
        snprintf(chain, sizeof chain, "%s", m->slug);
        if (is_reserved(m->slug))
            add_problem(problems, "name_reserved", "%s is the host's own name.", m->slug);
        if (min && mti_semver_compare(p->host->version, min) < 0)
            add_problem(problems, "platform_too_old", "%s needs Mortise %s or later, this is %s.", m->slug, min, p->host->version);
        if (mti_json_get_int(m->json, "abi", 0) != MT_ABI)
            add_problem(problems, "abi_mismatch", "%s was made for another ABI than %d: it must be built again.", m->slug, MT_ABI);
        if (old && old->manifest && old->manifest->essential && !m->essential)
            add_problem(problems, "plugin_essential", "%s is essential, and this version would not be.", m->slug);
        if (find_cycle(p, m, m, DEEPEST, chain, sizeof chain))
            add_problem(problems, "dependency_cycle", "%s would depend on itself: %s.", m->slug, chain);
        else
            check_dependencies(p, m, problems);
        check_interfaces(p, m, old, problems);
        if ((m->db || m->n_dependencies) && !mti_database_usable(p->host))
            add_problem(problems, "database_unavailable", "The database is down.");
    }
    if (old && atomic_load(&old->state) == MTI_PLUGIN_ACTIVE)
        check_dependents(p, m, old, problems);
    return problems;
}
