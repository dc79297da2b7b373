/* An organization's policies on the bus; shadows beside them. */
#include "policy/org.h"
#include "policy/policy_impl.h"

#include <stdlib.h>

#define CTX_MAX (16u << 10)          /* a larger payload is not kept */

typedef struct org_policy {
    mti_org_policies *set;
    mti_uuid id;
    char name[64];
    mti_policy *enabled, *shadow;    /* either may be NULL */
    int version, shadow_version;
    bool record;
} org_policy;

struct mti_org_policies {
    mti_uuid org_id;
    mti_policy_note_fn note;
    void *arg;
    mti_bus_own *own;
    unsigned refs;
    size_t size;
    uint8_t hash[32];
    unsigned n;
    org_policy items[];
};

/* --- one run --- */

static bool differs(const mti_policy_verdict *a, const mt_patch *pa, const mti_policy_verdict *b,
                    const mt_patch *pb)
{
    if (a->outcome != b->outcome)
        return true;
    if (a->outcome >= MT_DENY)
        return mti_error_http(&a->error) != mti_error_http(&b->error) ||
               strcmp(a->error.code, b->error.code) != 0;
    mti_buf ta, tb;
    mti_buf_init(&ta, 4 << 20);
    mti_buf_init(&tb, 4 << 20);
    mti_patch_write(pa, &ta);
    mti_patch_write(pb, &tb);
    bool same = mt_slice_eq(mti_buf_slice(&ta), mti_buf_slice(&tb));
    mti_buf_dispose(&ta);
    mti_buf_dispose(&tb);
    return !same;
}

static void write_ctx(const mti_hook_info *hook, const mt_call *c, const void *in, mti_buf *out)
{
    mti_buf ctx;
    mti_buf_init(&ctx, CTX_MAX);
    mti_policy_payload_write(hook, c, in, &ctx);
    if (ctx.status == MT_OK)
        mti_buf_add(out, ctx.p, ctx.len);
    else
        mti_buf_adds(out, "null");
    mti_buf_dispose(&ctx);
}

typedef struct decision {
    mti_policy_verdict verdict;
    mt_patch patch;
} decision;

static void write_decision(mti_buf *out, const char *key, bool made, const decision *d)
{
    mti_buf text;
    mti_buf_init(&text, CTX_MAX);
    mti_policy_verdict_write(&d->verdict, &d->patch, &text);
    mti_buf_addf(out, ",\"%s\":", key);
    if (made && text.status == MT_OK)
        mti_buf_add(out, text.p, text.len);
    else
        mti_buf_adds(out, "null");
    mti_buf_dispose(&text);
}

static void write_note(const org_policy *p, const mt_call *c, const mti_hook_info *hook,
                       const void *in, const decision *made, const decision *shadow, bool differ,
                       mti_buf *out)
{
    char own[37], id[37], request[37];
    mti_uuid_format(mti_uuid_v7(), own);
    mti_uuid_format(p->id, id);
    mti_uuid_format(c->request_id, request);
    mti_buf_addf(out, "{\"id\":\"%s\",\"policy_id\":\"%s\",\"version\":%d,\"shadow_version\":%d,\"hook\":\"%s\","
                      "\"request_id\":\"%s\",\"differs\":%s,\"operation\":",
                 own, id, p->version, p->shadow ? p->shadow_version : 0, hook->name, request, differ ? "true" : "false");
    mti_buf_add_json(out, mt_str(c->operation));
    mti_buf_adds(out, ",\"ctx\":");
    write_ctx(hook, c, in, out);
    write_decision(out, "decision", true, made);
    write_decision(out, "shadow", p->shadow != NULL, shadow);
    mti_buf_addc(out, '}');
}

static void tell(const org_policy *p, mt_call *c, const void *in, const decision *made,
                 const decision *shadow)
{
    const mti_policy *any = p->enabled ? p->enabled : p->shadow;
    mti_policy_note n = {.org_id = p->set->org_id, .policy_id = p->id, .version = p->version,
                         .shadow_version = p->shadow ? p->shadow_version : 0};
    mti_buf json;
    n.differs = p->shadow && differs(&made->verdict, &made->patch, &shadow->verdict, &shadow->patch);
    mti_buf_init(&json, 4 * CTX_MAX);
    if (p->record || n.differs)
        write_note(p, c, &mti_hook_catalogue[any->hook], in, made, shadow, n.differs, &json);
    n.json = json.status == MT_OK ? mti_buf_slice(&json) : (mt_slice){0};
    p->set->note(p->set->arg, c, &n);
    mti_buf_dispose(&json);
}

static mt_outcome run_noted(org_policy *p, mt_call *c, const void *in, mt_patch *out)
{
    decision made = {0}, shadow = {0};
    const mti_policy *any = p->enabled ? p->enabled : p->shadow;
    mti_patch_init(&made.patch, c, &mti_hook_catalogue[any->hook]);
    shadow.patch = made.patch;
    if (p->shadow)
        mti_policy_try(p->shadow, MTI_POLICY_SHADOW, c, in, &shadow.patch, &shadow.verdict);
    if (p->enabled) {
        mti_policy_try(p->enabled, MTI_POLICY_LIVE, c, in, out, &made.verdict);
        made.patch = *out;
    }
    tell(p, c, in, &made, &shadow);
    return made.verdict.outcome;
}

static mt_outcome on_hook(void *self, mt_call *c, const void *in, mt_patch *out)
{
    org_policy *p = self;
    if (!p->shadow && !p->record)
        return mti_policy_run(p->enabled, c, in, out);
    return run_noted(p, c, in, out);
}

mti_policy *mti_policy_of(const mti_bus_seen *seen)
{
    if (seen->run == mti_policy_run)
        return seen->self;
    return seen->run == on_hook ? ((const org_policy *)seen->self)->enabled : NULL;
}

/* --- making --- */

static mt_status check_place(const mti_policy *p, mti_error *e)
{
    const mti_hook_info *hook = &mti_hook_catalogue[p->hook];
    if (hook->platform)
        return mti_fail(e, MT_INVALID, "policy_hook",
                        "%s runs before the organization is known: stand on auth.authorize or "
                        "limit.check instead.", hook->name);
    if (p->priority > MTI_ORG_PRIORITY)
        return mti_fail(e, MT_INVALID, "policy_priority",
                        "The priority must be at most %d: those above are the platform's.",
                        MTI_ORG_PRIORITY);
    return MT_OK;
}

mt_status mti_org_policy_check(mti_policies *p, const char *name, mt_slice source, const char **hook,
                               int *priority, mti_error *e)
{
    mti_policy *made;
    MT_TRY(mti_policy_compile(p, name, source, &made, e));
    mt_status st = check_place(made, e);
    if (hook)
        *hook = mti_hook_catalogue[made->hook].name;
    if (priority)
        *priority = made->priority;
    mti_policy_release(made);
    return st;
}

/* *out stays NULL when there is no such version. */
static mt_status compile_one(mti_policies *p, const org_policy *o, const json_t *one,
                             mti_policy **out, int *version, mti_error *e)
{
    *version = (int)mti_json_get_int(one, "version", 0);
    if (!json_is_object(one))
        return MT_OK;
    mt_status st = mti_policy_compile(p, o->name, mti_json_get_string(one, "source", MT_SLICE("")),
                                      out, e);
    if (st == MT_OK)
        st = check_place(*out, e);
    if (st == MT_OK) {
        mti_policy_set_org(*out, o->set->org_id);
        o->set->size += sizeof **out + (*out)->code_len;
        return MT_OK;
    }
    mti_policy_release(*out);
    *out = NULL;
    return st;
}

static mt_status add(mti_policies *p, mti_org_policies *o, const json_t *one, mti_error *e)
{
    org_policy *at = &o->items[o->n];
    mt_slice name = mti_json_get_string(one, "name", MT_SLICE("policy"));
    *at = (org_policy){.set = o, .record = mti_json_get_bool(one, "record", false)};
    snprintf(at->name, sizeof at->name, "%.*s", (int)name.len, name.p);
    mti_uuid_parse(mti_json_get_string(one, "id", MT_SLICE("")), &at->id);
    mti_error why = {0};
    mt_status st = compile_one(p, at, json_object_get(one, "enabled"), &at->enabled, &at->version, &why);
    if (st != MT_OK)
        return mti_fail(e, MT_UNAVAILABLE, "policy_broken",
                        "The policy %s of this organization does not compile here (%s): disable it "
                        "or enable another version.", at->name, why.detail);
    compile_one(p, at, json_object_get(one, "shadow"), &at->shadow, &at->shadow_version, &why);
    /* a shadow of another hook has nothing to be compared with there */
    if (at->enabled && at->shadow && at->enabled->hook != at->shadow->hook) {
        mti_policy_release(at->shadow);
        at->shadow = NULL;
    }
    o->n += at->enabled || at->shadow;
    return MT_OK;
}

static void make_handlers(mti_org_policies *o)
{
    mti_bus_handler handlers[MTI_ORG_POLICIES];
    for (unsigned i = 0; i < o->n; i++) {
        org_policy *p = &o->items[i];
        const mti_policy *any = p->enabled ? p->enabled : p->shadow;
        handlers[i] = (mti_bus_handler){.hook = any->hook, .priority = any->priority, .run = on_hook,
                                        .self = p, .label = p->name};
    }
    if (o->n)
        o->own = mti_bus_own_create(o->org_id, handlers, o->n);
}

mt_status mti_org_policies_compile(mti_policies *p, mti_uuid org_id, const json_t *list,
                                   mti_policy_note_fn note, void *arg, mti_org_policies **out,
                                   mti_error *e)
{
    size_t n = json_array_size(list), i;
    json_t *one;
    if (n > MTI_ORG_POLICIES)
        return mti_fail(e, MT_UNAVAILABLE, "policy_broken", "The organization has more than %d policies.",
                        MTI_ORG_POLICIES);
    mti_org_policies *o = calloc(1, sizeof *o + n * sizeof o->items[0]);
    if (!o)
        return mti_fail(e, MT_NO_MEMORY, NULL, "There is no memory for the organization's policies.");
    *o = (mti_org_policies){.org_id = org_id, .note = note, .arg = arg, .refs = 1,
                            .size = sizeof *o + n * sizeof o->items[0]};
    mt_status st = MT_OK;
    json_array_foreach((json_t *)list, i, one)
        if (st == MT_OK)
            st = add(p, o, one, e);
    if (st != MT_OK) {
        mti_org_policies_release(o);
        return st;
    }
    make_handlers(o);
    *out = o;
    return MT_OK;
}

struct mti_bus_own *mti_org_policies_own(const mti_org_policies *o)
{
    return o->own;
}

size_t mti_org_policies_size(const mti_org_policies *o)
{
    return o->size;
}

uint8_t *mti_org_policies_hash(mti_org_policies *o)
{
    return o->hash;
}

mti_org_policies *mti_org_policies_ref(mti_org_policies *o)
{
    if (o)
        o->refs++;
    return o;
}

void mti_org_policies_release(void *policies)
{
    mti_org_policies *o = policies;
    if (!o || --o->refs)
        return;
    mti_bus_own_destroy(o->own);
    for (unsigned i = 0; i < o->n; i++) {
        mti_policy_release(o->items[i].enabled);
        mti_policy_release(o->items[i].shadow);
    }
    free(o);
}

static size_t size_of(const void *policies)
{
    return mti_org_policies_size(policies);
}

const mti_org_cache_kind mti_org_policies_kind = {.release = mti_org_policies_release, .size = size_of, .max = MTI_POLICY_STATES, .max_bytes = MTI_POLICY_BYTES};
