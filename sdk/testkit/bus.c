/* hook/1: emitted hooks and a filter's patches, by the host's own catalogue. */
#include "kit.h"

#include <stdlib.h>

const mti_hook_info *kit_hook_info(mt_slice name)
{
    for (unsigned i = 0; i < mti_hook_count; i++)
        if (mt_slice_eq(name, mt_str(mti_hook_catalogue[i].name)))
            return &mti_hook_catalogue[i];
    return NULL;
}

mt_hook_fn kit_hook_handler(const mt_testkit *kit, const char *name)
{
    for (uint32_t i = 0; i < kit->plugin->n_hooks; i++)
        if (!strcmp(kit->plugin->hooks[i].name, name))
            return kit->plugin->hooks[i].run;
    return NULL;
}

static void *member(void *payload, const mti_hook_field *f)
{
    return (char *)payload + f->offset;
}

static json_t *field_json(void *payload, const mti_hook_field *f)
{
    void *at = member(payload, f);
    json_t *v;
    switch (f->type) {
    case MTI_F_JSON:
        v = kit_parse(*(mt_slice *)at);
        return v ? v : json_null();
    case MTI_F_SLICE: return kit_string(*(mt_slice *)at);
    case MTI_F_I32: return json_integer(*(int32_t *)at);
    case MTI_F_U32: return json_integer(*(uint32_t *)at);
    case MTI_F_I64: return json_integer(*(int64_t *)at);
    case MTI_F_F64: return json_real(*(double *)at);
    case MTI_F_BOOL: return json_boolean(*(bool *)at);
    }
    return json_null();
}

/* --- patches --- */

static const mti_hook_field *patchable(const mti_hook_info *h, mt_slice pointer, mt_slice *below)
{
    if (!h->filter || pointer.len < 2 || pointer.p[0] != '/')
        return NULL;
    const char *slash = memchr(pointer.p + 1, '/', pointer.len - 1);
    size_t end = slash ? (size_t)(slash - pointer.p) : pointer.len;
    *below = (mt_slice){pointer.p + end, pointer.len - end};
    for (unsigned i = 0; i < h->n_fields; i++) {
        const mti_hook_field *f = &h->fields[i];
        if (f->patchable && mt_slice_eq((mt_slice){pointer.p + 1, end - 1}, mt_str(f->name)))
            return below->len && f->type != MTI_F_JSON ? NULL : f;
    }
    return NULL;
}

static bool holds(const mti_hook_field *f, const json_t *v)
{
    switch (f->type) {
    case MTI_F_JSON: return true;
    case MTI_F_SLICE: return json_is_string(v) || json_is_null(v);
    case MTI_F_F64: return json_is_number(v);
    case MTI_F_BOOL: return json_is_boolean(v);
    default: return json_is_integer(v);
    }
}

static mt_status add_patch(mt_patch *p, mt_slice pointer, json_t *take)
{
    mt_slice below;
    const mti_hook_field *f = patchable(p->hook, pointer, &below);
    if (!take || !f || !holds(f, take) || json_array_size(p->ops) >= 256) {
        json_decref(take);
        return MT_INVALID;
    }
    kit_see(p->c, MT_SEEN_PATCH, pointer, kit_dump(p->c, take));
    json_array_append_new(p->ops, json_pack("[o,o]", kit_string(pointer), take));
    return MT_OK;
}

static bool apply_one(mt_call *c, const mti_hook_info *h, json_t *op, void *payload)
{
    mt_slice pointer = mt_str(json_string_value(json_array_get(op, 0))), below;
    json_t *v = json_array_get(op, 1), *root;
    const mti_hook_field *f = patchable(h, pointer, &below);
    void *at = member(payload, f);
    switch (f->type) {
    case MTI_F_SLICE: *(mt_slice *)at = kit_copy_slice(c, kit_text(c, v)); return true;
    case MTI_F_I32: *(int32_t *)at = (int32_t)json_integer_value(v); return true;
    case MTI_F_U32: *(uint32_t *)at = (uint32_t)json_integer_value(v); return true;
    case MTI_F_I64: *(int64_t *)at = json_integer_value(v); return true;
    case MTI_F_F64: *(double *)at = json_number_value(v); return true;
    case MTI_F_BOOL: *(bool *)at = json_is_true(v); return true;
    case MTI_F_JSON: break;
    }
    root = field_json(payload, f);
    bool fits = kit_set_at(&root, below, json_incref(v));
    if (fits)
        *(mt_slice *)at = kit_dump(c, root);
    json_decref(root);
    return fits;
}

/* All or nothing, as in the host. */
static bool apply(mt_patch *p, void *payload)
{
    size_t i;
    json_t *op;
    char before[512];
    memcpy(before, payload, p->hook->size);
    json_array_foreach(p->ops, i, op)
        if (!apply_one(p->c, p->hook, op, payload)) {
            memcpy(payload, before, p->hook->size);
            return false;
        }
    return true;
}

mt_outcome kit_run_hook(mt_call *c, const mti_hook_info *hook, mt_hook_fn run, void *payload)
{
    mt_patch p = {.c = c, .hook = hook, .ops = json_array()};
    if (*(uint32_t *)payload != hook->size)
        kit_wrong("the payload of %s has size %u, not %u", hook->name, *(uint32_t *)payload, hook->size);
    mt_outcome o = run(c->kit->self, c, payload, hook->filter ? &p : NULL);
    if ((o == MT_CONTINUE || o == MT_STOP) && !apply(&p, payload)) {
        mti_fail(&c->error, MT_INVALID, "patch_failed", "A patch of %s does not fit its payload.", hook->name);
        o = MT_ERROR;
    }
    json_decref(p.ops);
    return o;
}

/* --- emitting --- */

static mt_outcome run_own(mt_call *c, const mti_hook_info *h, void *payload)
{
    size_t i;
    json_t *entry;
    for (int priority = 0; priority <= 1000; priority++)
        json_array_foreach(json_object_get(c->kit->manifest, "hooks"), i, entry) {
            const json_t *at = json_object_get(entry, "priority");
            if ((at ? json_integer_value(at) : 100) != priority || strcmp(json_string_value(json_object_get(entry, "name")), h->name))
                continue;
            mt_outcome o = kit_run_hook(c, h, kit_hook_handler(c->kit, json_string_value(json_object_get(entry, "handler"))), payload);
            if (o == MT_STOP || o == MT_DENY || (o == MT_ERROR && h->fail_closed))
                return h->filter ? o : MT_CONTINUE;
        }
    return MT_CONTINUE;
}

static mt_outcome emit(mt_call *c, mt_slice name, void *payload)
{
    const mti_hook_info *h = kit_hook_info(name);
    if (!h || *(const uint32_t *)payload != h->size) {
        mti_fail(&c->error, MT_INTERNAL, "hook_unknown", "Hook %.*s is not in the catalogue, or its payload has another size.", (int)name.len, name.p);
        return MT_ERROR;
    }
    json_t *seen = json_object();
    for (unsigned i = 0; i < h->n_fields; i++)
        json_object_set_new(seen, h->fields[i].name, field_json(payload, &h->fields[i]));
    kit_see(c, MT_SEEN_EMIT, name, kit_dump(c, seen));
    json_decref(seen);
    for (kit_emit *e = c->kit->emits; e; e = e->next)
        if (!strcmp(e->hook, h->name))
            return e->run(e->arg, c, payload);
    return run_own(c, h, payload);
}

static mt_status set(mt_call *c, mt_patch *out, mt_slice pointer, mt_slice json)
{
    return out ? add_patch(out, pointer, kit_parse(json)) : MT_INVALID;
}

static mt_status set_text(mt_call *c, mt_patch *out, mt_slice pointer, mt_slice text)
{
    return out ? add_patch(out, pointer, json_stringn(text.p ? text.p : "", text.len)) : MT_INVALID;
}

static mt_outcome deny(mt_call *c, int32_t status, mt_slice code, mt_slice detail)
{
    kit_request.problem(c, status, code, detail, (mt_slice){0});
    return MT_DENY;
}

static bool should_stop(mt_call *c)
{
    return c->cancel_in == 0;
}

const mt_hook_1 kit_hook = {.size = sizeof kit_hook, .version = 1, .emit = emit, .set = set, .set_text = set_text, .deny = deny,
                            .should_stop = should_stop};
