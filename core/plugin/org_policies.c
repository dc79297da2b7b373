#include "plugin/org_policies.h"

#include "base/log.h"
#include "loop/org_cache.h"
#include "plugin/across.h"
#include "plugin/manager.h"
#include "plugin/policy_notes.h"
#include "plugin/proxies.gen.h"
#include "policy/org.h"

enum { TTL_US = 60 * 1000000 };

typedef struct loop_policies {
    mti_org_cache *cache;
    mti_policy_notes *notes;
} loop_policies;

static loop_policies *here(const mt_call *c)
{
    return mti_loop_get(c->loop, c->host->org_policies_slot);
}

/* --- changes --- */

/* "policies.policy ORG", from the trigger of the store's table; NULL after a reconnect. */
static void on_notify(void *arg, const char *payload)
{
    loop_policies *p = arg;
    mti_uuid org = {{0}};
    if (payload && (strncmp(payload, "policies.", 9) || !strchr(payload, ' ') || !mti_uuid_parse(mt_str(strchr(payload, ' ') + 1), &org)))
        return;
    mti_org_cache_expire(p->cache, org);
}

static mt_status expire_there(void *arg, mt_call *there)
{
    mti_org_cache_expire(here(there)->cache, *(const mti_uuid *)arg);
    return MT_OK;
}

mt_status mti_org_policies_changed(mt_call *c)
{
    mti_uuid org = c->who.org_id;
    for (unsigned i = 0; i < c->host->n_loops; i++)
        MT_TRY(mti_across_run(c, c->host->loops[i], expire_there, &org));
    return MT_OK;
}

/* --- loading --- */

typedef struct compilation {
    mti_host *host;
    mti_uuid org_id;
    mt_slice text;
    mti_policy_notes *notes;
    mti_org_policies *made;
    mti_error error;
    mt_status status;
} compilation;

static void compile(void *arg)
{
    compilation *x = arg;
    json_t *list = NULL;
    x->status = mti_json_parse(x->text, 0, &list, &x->error);
    if (x->status == MT_OK)
        x->status = mti_org_policies_compile(x->host->policies, x->org_id, list, mti_policy_notes_add, x->notes, &x->made, &x->error);
    json_decref(list);
}

/* As the host itself, whoever calls. */
static mt_status ask(mt_call *c, mt_slice *text)
{
    uint16_t plugin = c->plugin;
    c->plugin = 0;
    mt_status s = mti_proxy_policy_store.list(c, text);
    c->plugin = plugin;
    return s;
}

static mt_status load(mt_call *c, mti_org_entry *e)
{
    compilation x = {.host = c->host, .org_id = c->who.org_id, .notes = here(c)->notes};
    uint8_t hash[32];
    MT_TRY(ask(c, &x.text));
    mti_sha256(x.text.p, x.text.len, hash);
    bool none = mt_slice_eq(x.text, MT_SLICE("[]"));
    if (!none && e->value && !memcmp(mti_org_policies_hash(e->value), hash, sizeof hash))
        return MT_OK;
    if (!none)
        MT_TRY(mti_offload_run(c->host->offload, 0, compile, &x));
    if (!none && x.status != MT_OK) {
        c->error = x.error;
        return x.status;
    }
    if (x.made)
        memcpy(mti_org_policies_hash(x.made), hash, sizeof hash);
    mti_org_entry_set(e, x.made);
    return MT_OK;
}

mt_status mti_org_policies_attach(mt_call *c)
{
    c->own = NULL;
    if (mti_uuid_is_nil(c->who.org_id) || !mti_service_wanted(c->host->plugins, MTI_SVC_POLICY_STORE))
        return MT_OK;
    mti_org_entry *e = mti_org_cache_hold(here(c)->cache, c->who.org_id);
    mt_status s = mti_org_entry_refresh(c, e, TTL_US, load);
    mti_org_policies *held = s == MT_OK ? mti_org_policies_ref(e->value) : NULL;
    mti_org_entry_release(e);
    if (held) {
        mti_arena_defer(&c->arena, mti_org_policies_release, held);
        c->own = mti_org_policies_own(held);
    }
    return s;
}

/* --- life --- */

void mti_org_policies_start(mti_host *h, mti_loop *l)
{
    loop_policies *p = calloc(1, sizeof *p);
    p->cache = mti_org_cache_create(&mti_org_policies_kind);
    p->notes = mti_policy_notes_create(h, l);
    mti_loop_set(l, h->org_policies_slot, p);
    mti_db_listen(h->db, l, "mt_cache", on_notify, p);
}

void mti_org_policies_stop(mti_host *h, mti_loop *l)
{
    loop_policies *p = mti_loop_get(l, h->org_policies_slot);
    mti_loop_set(l, h->org_policies_slot, NULL);
    mti_org_cache_destroy(p->cache);
    mti_policy_notes_destroy(p->notes);
    free(p);
}
