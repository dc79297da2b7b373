/* Which interfaces a plugin gets, and who serves a service call. */
#include "plugin/api.h"
#include "plugin/checks.h"
#include "plugin/hold.h"
#include "plugin/manager.h"
#include "plugin/settings.h"

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
        const void *table = info->service >= 0 ? info->proxy : r->host->plugins->host_tables[i];
        return r->host->plugins->checked ? mti_checks_table(i, table) : table;
    }
    return NULL;
}

void mti_plugins_provide(mti_plugins *p, const char *interface, const void *table)
{
    for (unsigned i = 0; i < mti_interface_count; i++)
        if (!strcmp(mti_interface_catalogue[i].id, interface))
            p->host_tables[i] = table;
}

/*
 * The version that a call met first serves it to its end: a handle that a provider gave means nothing to the version that replaces it. So each call
 * keeps what was chosen for it, counted in the version as a service.
 */
typedef struct mti_pin {
    struct mti_pin *next;
    const mti_provider *provider;
    mti_plugin_record *record;
    int service;
    unsigned loop;
} mti_pin;

static void unpin(void *arg)
{
    mti_pin *pin = arg;
    atomic_fetch_sub_explicit(&pin->record->inflight[pin->loop].services, 1, memory_order_acq_rel);
}

/* False when the version is closed: another is chosen by then. */
static bool pin(mt_call *c, int service, const mti_provider *provider)
{
    mti_plugin_record *r = c->host->plugins->records[provider->slot];
    mti_pin *pin = mti_arena_alloc(&c->arena, sizeof *pin);
    *pin = (mti_pin){c->pins, provider, r, service, mti_loop_index(c->loop)};
    atomic_fetch_add(&r->inflight[pin->loop].services, 1);
    if (atomic_load(&r->closed)) {
        unpin(pin);
        return false;
    }
    mti_arena_defer(&c->arena, unpin, pin);
    c->pins = pin;
    return true;
}

/* "SLUG", or "SLUG:INSTANCE". */
static bool is_named(const mti_pin *x, mt_slice name)
{
    mt_slice slug = mt_str(x->record->slug), instance = mt_str(x->provider->instance ? x->provider->instance->name : "");
    if (!instance.len)
        return mt_slice_eq(name, slug);
    return name.len == slug.len + 1 + instance.len && !memcmp(name.p, slug.p, slug.len) && name.p[slug.len] == ':' &&
           !memcmp(name.p + slug.len + 1, instance.p, instance.len);
}

/* What serves the call already; not one that was switched off meanwhile. name.p NULL: any. */
static const mti_provider *pinned(const mt_call *c, int service, mt_slice name)
{
    for (const mti_pin *x = c->pins; x; x = x->next) {
        int state = atomic_load_explicit(&x->record->state, memory_order_relaxed);
        if (x->service == service && (state == MTI_PLUGIN_ACTIVE || state == MTI_PLUGIN_RETIRED) && (!name.p || is_named(x, name)))
            return x->provider;
    }
    return NULL;
}

static bool is_off(const mt_call *c, const mti_provider *provider)
{
    const mti_plugin_record *r = c->host->plugins->records[provider->slot];
    return c->settings && mti_settings_off(c, provider->instance ? provider->instance->seats : r->seats);
}

/* A provider in quarantine for the call's organization, or switched off for it, is none. */
static bool serves(const mt_call *c, const mti_provider *provider)
{
    return !provider || (!is_off(c, provider) && !mti_record_held_for(c->host->plugins->records[provider->slot], c));
}

/* The host's choice; where the call's organization has that one switched off, the first other one. */
static const mti_provider *choice(const mt_call *c, int service)
{
    const mti_plugins *p = c->host->plugins;
    const mti_provider *chosen = atomic_load_explicit(&p->chosen[service], memory_order_acquire), *other;
    for (unsigned i = 1; chosen && is_off(c, chosen) && i < p->n; i++)
        if ((other = mti_record_provider(p->records[i], service, mt_str(p->records[i]->slug))) && !is_off(c, other))
            chosen = other;
    return chosen;
}

const mti_provider *mti_provider_for(mt_call *c, int service)
{
    const mti_provider *provider = pinned(c, service, (mt_slice){0});
    while (!provider && (provider = choice(c, service)) && !pin(c, service, provider))
        provider = NULL;
    return serves(c, provider) ? provider : NULL;
}

const mti_provider *mti_provider_named(mt_call *c, int service, mt_slice name)
{
    const mti_plugins *p = c->host->plugins;
    const mti_provider *provider = pinned(c, service, name.p ? name : MT_SLICE(""));
    for (unsigned i = 1; !provider && i < p->n; i++)
        if ((provider = mti_record_provider(p->records[i], service, name)) && !pin(c, service, provider))
            provider = NULL;
    return serves(c, provider) ? provider : NULL;
}

static bool nth(mt_call *c, const mti_plugins *p, int service, bool trusted, uint32_t *index, mt_slice *slug)
{
    for (unsigned i = 1; i < p->n; i++) {
        const mti_plugin_record *r = p->records[i];
        if (r->trusted != trusted || !mti_record_provider(r, service, mt_str(r->slug)) || !serves(c, &r->providers[service]) || (*index)--)
            continue;
        *slug = mt_str(r->slug);
        return true;
    }
    return false;
}

/* Those that came with the program are the first: what is installed takes nobody's place by the next start of the host. */
static mt_status service_provider(mt_call *c, mt_slice interface, uint32_t index, mt_slice *slug)
{
    const mti_plugins *p = c->host->plugins;
    int service = -1;
    for (unsigned i = 0; i < mti_interface_count; i++)
        if (mt_slice_eq(interface, mt_str(mti_interface_catalogue[i].id)))
            service = mti_interface_catalogue[i].service;
    return service >= 0 && (nth(c, p, service, true, &index, slug) || nth(c, p, service, false, &index, slug)) ? MT_OK : MT_DONE;
}

const mt_service_1 mti_api_service = {.size = sizeof mti_api_service, .version = 1, .provider = service_provider};

bool mti_service_ready(const mti_plugins *p, int service)
{
    return atomic_load_explicit(&p->chosen[service], memory_order_acquire) != NULL;
}

bool mti_service_wanted(const mti_plugins *p, int service)
{
    if (mti_service_ready(p, service))
        return true;
    const char *id = NULL;
    for (unsigned i = 0; i < mti_interface_count && !id; i++)
        id = mti_interface_catalogue[i].service == service ? mti_interface_catalogue[i].id : NULL;
    for (unsigned i = 1; i < p->n; i++) {
        const mti_manifest *m = p->records[i]->manifest;
        if (m && atomic_load(&p->records[i]->wanted) && lists(m->provides, m->n_provides, id))
            return true;
    }
    return false;
}
