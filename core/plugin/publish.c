#include "plugin/publish.h"
#include "plugin/instances.h"
#include "plugin/manager.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* A snapshot that was replaced: freed when every loop has passed a turn since. */
typedef struct garbage {
    _Atomic(unsigned) loops_left;
    mti_router *router;
    char *openapi, *page;
} garbage;

static void release(garbage *g)
{
    mti_router_destroy(g->router);
    free(g->openapi);
    free(g->page);
    free(g);
}

static void on_turn(void *arg)
{
    garbage *g = arg;
    if (atomic_fetch_sub(&g->loops_left, 1) == 1)
        release(g);
}

static void retire(mti_host *h, mti_router *router, char *openapi, char *page)
{
    garbage *g = calloc(1, sizeof *g);
    if (!g)
        return;
    *g = (garbage){.loops_left = h->n_loops, .router = router, .openapi = openapi, .page = page};
    if (!h->n_loops) {
        release(g);
        return;
    }
    for (unsigned i = 0; i < h->n_loops; i++)
        mti_loop_post(h->loops[i], on_turn, g);
}

/* Waiting plugins keep their routes, so that clients get a 503 with the reason and not a 404. */
static bool routed(const mti_plugin_record *r)
{
    int s = atomic_load(&r->state);
    return r->contract && atomic_load(&r->current) && (s == MTI_PLUGIN_ACTIVE || s == MTI_PLUGIN_WAITING || s == MTI_PLUGIN_QUARANTINED || (s == MTI_PLUGIN_LOADED && atomic_load(&r->wanted)));
}

static unsigned collect(const mti_plugins *p, mti_contract **list)
{
    unsigned n = 0;
    list[n++] = p->builtin;
    for (unsigned i = 1; i < p->n; i++)
        if (routed(p->records[i]))
            list[n++] = p->records[i]->contract;
    return n;
}

static mt_status build_router(mti_contract *const *list, unsigned n, mti_router **out, mti_error *e)
{
    unsigned count = 0, total = 0;
    for (unsigned i = 0; i < n; i++)
        total += list[i]->n_operations;
    const mti_operation **ops = calloc(total + 1, sizeof *ops);
    if (!ops)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while building the router");
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < list[i]->n_operations; k++)
            ops[count++] = &list[i]->operations[k];
    mt_status s = mti_router_create(ops, count, out, e);
    free(ops);
    return s;
}

static char *take_text(mti_buf *b)
{
    char *text = b->status == MT_OK && b->p ? strdup(b->p) : NULL;
    mti_buf_dispose(b);
    return text;
}

static mt_status build_documents(const mti_plugins *p, mti_contract *const *list, unsigned n, char **openapi, char **page, mti_error *e)
{
    json_t *doc;
    mti_buf text, html;
    MT_TRY(mti_openapi(list, n, p->host->version, &doc, e));
    mti_buf_init(&text, 16 << 20);
    mti_buf_init(&html, 16 << 20);
    mti_json_dump(doc, &text);
    mti_openapi_page(doc, &html);
    json_decref(doc);
    *openapi = take_text(&text);
    *page = take_text(&html);
    return *openapi && *page ? MT_OK : mti_fail(e, MT_NO_MEMORY, "no_memory", "the OpenAPI document does not fit in 16 MiB");
}

/* A plugin whose routes or schema names collide fails; the others are published without it. */
static mt_status build(mti_plugins *p, mti_router **router, char **openapi, char **page, mti_error *e)
{
    mti_contract *list[MTI_MAX_PLUGINS];
    for (unsigned n = 1; n <= p->n; n++) {
        unsigned count = collect(p, list);
        mt_status s = build_router(list, count, router, e);
        if (s == MT_OK) {
            s = build_documents(p, list, count, openapi, page, e);
            if (s != MT_OK)
                mti_router_destroy(*router);
        }
        if (s != MT_CONFLICT)
            return s;
        /* find the first contract that collides with those before it */
        mti_plugin_record *guilty = NULL;
        for (unsigned i = 2; i <= count && !guilty; i++) {
            mti_router *try;
            char *a = NULL, *b = NULL;
            mti_error inner = {0};
            mt_status t = build_router(list, i, &try, &inner);
            if (t == MT_OK) {
                mti_router_destroy(try);
                t = build_documents(p, list, i, &a, &b, &inner);
                free(a);
                free(b);
            }
            for (unsigned k = 1; t != MT_OK && k < p->n; k++)
                if (p->records[k]->contract == list[i - 1])
                    guilty = p->records[k];
        }
        if (!guilty)
            return s;
        mti_record_state(guilty, MTI_PLUGIN_FAILED, e->detail);
    }
    return MT_INTERNAL;
}

/* The routes and documents as they would be. */
mt_status mti_publish_check(const mti_plugins *p, const mti_plugin_record *without, const mti_plugin_record *with, mti_error *e)
{
    mti_contract *list[MTI_MAX_PLUGINS];
    mti_router *router;
    char *openapi = NULL, *page = NULL;
    unsigned n = 0, all = collect(p, list);
    for (unsigned i = 0; i < all; i++)
        if (!without || list[i] != without->contract)
            list[n++] = list[i];
    list[n++] = with->contract;
    MT_TRY(build_router(list, n, &router, e));
    mti_router_destroy(router);
    mt_status s = build_documents(p, list, n, &openapi, &page, e);
    free(openapi);
    free(page);
    return s;
}

static mt_hook_fn find_hook(const mti_plugin_record *r, const char *name)
{
    for (uint32_t i = 0; i < r->entry->n_hooks; i++)
        if (!strcmp(r->entry->hooks[i].name, name))
            return r->entry->hooks[i].run;
    return NULL;
}

/* The instance's part of each handler. */
static void add_handler(mti_plugins *p, const mti_plugin_record *r, const mti_instance *i, mti_bus_handler h, const char *name)
{
    char label[224];
    snprintf(label, sizeof label, "%s%s%s.%s", r->slug, *i->name ? ":" : "", i->name, name);
    h.owner = r->slot;
    memcpy(h.seats, i->seats, sizeof h.seats);
    h.instance = *i->name ? i : NULL;
    h.scope = mti_bus_scope_create(i->scope);
    h.label = label;
    if (i->has_priority)
        h.priority = i->priority;
    mti_bus_add(p->host->bus, &h);
}

/* Every hook handler stands once for each instance; policies read no configuration, so once. */
static void add_handlers(mti_plugins *p, const mti_plugin_record *r)
{
    char label[32];
    const struct mti_instances *all = atomic_load(&r->instances);
    for (unsigned k = 0; k < all->n; k++)
        for (size_t i = 0; i < r->manifest->n_hooks; i++) {
            const mti_manifest_hook *h = &r->manifest->hooks[i];
            add_handler(p, r, &all->items[k], (mti_bus_handler){.hook = mti_hook_find(mt_str(h->name)), .priority = h->priority, .run = find_hook(r, h->handler), .self = r->self}, h->handler);
        }
    for (unsigned i = 0; i < r->n_policies; i++) {
        snprintf(label, sizeof label, "policy%u", i + 1);
        add_handler(p, r, &all->items[0], (mti_bus_handler){.hook = mti_policy_hook(r->policies[i]), .priority = mti_policy_priority(r->policies[i]), .run = mti_policy_run,
                                                            .self = r->policies[i]}, label);
    }
}

static void publish_handlers(mti_plugins *p)
{
    if (!p->host->bus)
        return;
    for (unsigned i = 1; i < p->n; i++) {
        mti_bus_remove_owner(p->host->bus, p->records[i]->slot);
        if (atomic_load(&p->records[i]->state) == MTI_PLUGIN_ACTIVE)
            add_handlers(p, p->records[i]);
    }
    mti_bus_publish(p->host->bus);
}

/* Whom the option plugins.providers names for an interface ("llm=llm_extractive,llm_engine=llm_openai:eu"). */
static mt_slice preferred(const mti_plugins *p, const char *interface)
{
    const char *list = mti_config_str(p->host->config, "plugins.providers");
    size_t n = strcspn(interface, "/");
    for (const char *at = list; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (!strncmp(at, interface, n) && at[n] == '=')
            return (mt_slice){at + n + 1, strcspn(at + n + 1, ",")};
    return (mt_slice){0};
}

/* The one that is named, else the first active one. */
static const mti_provider *choose(const mti_plugins *p, const mti_interface_info *info)
{
    const mti_provider *first = NULL, *named;
    mt_slice wanted = preferred(p, info->id);
    for (unsigned i = 1; i < p->n; i++) {
        if (!(named = mti_record_provider(p->records[i], info->service, mt_str(p->records[i]->slug))))
            continue;
        first = first ? first : named;
        if (wanted.p && (named = mti_record_provider(p->records[i], info->service, wanted)))
            return named;
    }
    return first;
}

void mti_publish_services(mti_plugins *p)
{
    for (unsigned n = 0; n < mti_interface_count; n++) {
        const mti_interface_info *info = &mti_interface_catalogue[n];
        if (info->service >= 0)
            atomic_store(&p->chosen[info->service], choose(p, info));
    }
}

bool mti_publish_only_provider(const mti_plugins *p, const mti_plugin_record *r, const char *interface)
{
    for (unsigned i = 1; i < p->n; i++) {
        const mti_plugin_record *other = p->records[i];
        if (other == r || atomic_load(&other->state) != MTI_PLUGIN_ACTIVE)
            continue;
        for (size_t k = 0; k < other->manifest->n_provides; k++)
            if (!strcmp(other->manifest->provides[k], interface))
                return false;
    }
    return true;
}

mt_status mti_publish(mti_plugins *p, mti_error *e)
{
    mti_host *h = p->host;
    mti_router *router = NULL;
    char *openapi = NULL, *page = NULL;
    MT_TRY(build(p, &router, &openapi, &page, e));
    atomic_fetch_add(&p->epoch, 1);          /* before a call can meet what is new */
    mti_publish_services(p);                 /* one that collided serves no longer */
    publish_handlers(p);
    const mti_router *old = atomic_exchange(&h->router, router);
    const char *old_text = atomic_exchange(&h->openapi, openapi), *old_page = atomic_exchange(&h->openapi_page, page);
    if (old)
        retire(h, (mti_router *)old, (char *)old_text, (char *)old_page);
    return MT_OK;
}

void mti_publish_dispose(mti_plugins *p)
{
    mti_router_destroy((mti_router *)atomic_exchange(&p->host->router, NULL));
    free((char *)atomic_exchange(&p->host->openapi, NULL));
    free((char *)atomic_exchange(&p->host->openapi_page, NULL));
}
