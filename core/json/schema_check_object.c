#include "json/schema_run.h"

MTI_CHECK(mti_check_member_count)
{
    size_t n = json_object_size(v);
    if (!json_is_object(v))
        return true;
    if (c->op == MTI_OP_MIN_PROPERTIES)
        return n >= c->limit ||
               mti_run_fail(x, at, "minProperties", "must have at least %zu propert%s", c->limit,
                            c->limit == 1 ? "y" : "ies");
    return n <= c->limit || mti_run_fail(x, at, "maxProperties", "must have at most %zu propert%s",
                                         c->limit, c->limit == 1 ? "y" : "ies");
}

static bool require_names(mti_run *x, const json_t *names, const json_t *v, const mti_path *at,
                          const char *keyword)
{
    bool ok = true;
    for (size_t i = 0; i < json_array_size(names); i++) {
        mt_slice name = mti_json_text(json_array_get(names, i));
        if (json_object_getn(v, name.p, name.len))
            continue;
        mti_path inner = {at, name.p, name.len};
        ok = mti_run_fail(x, &inner, keyword, "is required");
        if (mti_run_settled(x))
            break;
    }
    return ok;
}

MTI_CHECK(mti_check_required)
{
    return !json_is_object(v) || require_names(x, c->value, v, at, "required");
}

MTI_CHECK(mti_check_dependent_required)
{
    const char *key;
    size_t len;
    json_t *names;
    bool ok = true;
    json_object_keylen_foreach((json_t *)c->value, key, len, names)
    {
        if (json_object_getn(v, key, len))
            ok &= require_names(x, names, v, at, "dependentRequired");
    }
    return ok;
}

/* One member against properties, patternProperties and additionalProperties. */
static bool check_member(mti_run *x, const mti_object_check *o, const json_t *item,
                         const mti_path *at, bool *known)
{
    const mti_prop *p = mti_prop_find(x->s, o->props, o->prop_count, at->key, at->len);
    bool ok = !p || mti_run_child(x, p->node, item, at);
    *known = p != NULL;
    for (uint32_t i = 0; i < o->pattern_count && (ok || !mti_run_settled(x)); i++) {
        if (!mti_run_matches(x, o->patterns + i, (mt_slice){at->key, at->len}))
            continue;
        *known = true;
        ok &= mti_run_child(x, x->s->patterns[o->patterns + i].node, item, at);
    }
    if (*known || o->additional == MTI_NO_NODE || x->broken != MT_OK)
        return ok && x->broken == MT_OK;
    *known = true;
    if (x->s->nodes[o->additional].never)
        return mti_run_fail(x, at, "additionalProperties", "is not a known property");
    return mti_run_child(x, o->additional, item, at);
}

MTI_CHECK(mti_check_object)
{
    const mti_object_check *o = &x->s->objects[c->at];
    if (!json_is_object(v))
        return true;
    if (ev && c->count)
        ev->lists_properties = true;
    const char *key;
    size_t len, i = 0;
    json_t *item;
    bool ok = true;
    json_object_keylen_foreach((json_t *)v, key, len, item)
    {
        mti_path inner = {at, key, len};
        bool known;
        if (!check_member(x, o, item, &inner, &known)) {
            ok = false;
            if (mti_run_settled(x))
                break;
        }
        if (known)
            mti_seen_mark(ev, i);
        i++;
    }
    return ok;
}

MTI_CHECK(mti_check_property_names)
{
    const char *key;
    size_t len;
    json_t *item;
    bool ok = true;
    json_object_keylen_foreach((json_t *)v, key, len, item)
    {
        json_t *name = json_stringn_nocheck(key, len);
        if (!name)
            return mti_run_break(x, MT_NO_MEMORY);
        mti_path inner = {at, key, len};
        x->quiet++;
        bool good = mti_run_child(x, c->at, name, &inner);
        x->quiet--;
        json_decref(name);
        if (!good)
            ok = mti_run_fail(x, &inner, "propertyNames", "is not an allowed name for a property");
        if (!ok && mti_run_settled(x))
            break;
    }
    return ok;
}

MTI_CHECK(mti_check_dependent_schemas)
{
    bool ok = true;
    for (uint32_t i = 0; i < c->count && (ok || !mti_run_settled(x)); i++) {
        const mti_prop *p = &x->s->props[c->at + i];
        if (json_object_getn(v, p->key, p->len))
            ok &= mti_run_schema(x, p->node, v, at, ev);
    }
    return ok;
}

bool mti_check_unevaluated_properties(mti_run *x, const mti_check *c, const json_t *v,
                                      const mti_path *at, mti_seen *ev)
{
    const char *key;
    size_t len, i = 0;
    json_t *item;
    bool ok = true, never = x->s->nodes[c->at].never;
    json_object_keylen_foreach((json_t *)v, key, len, item)
    {
        size_t index = i++;
        if (mti_seen_has(ev, index))
            continue;
        mti_path inner = {at, key, len};
        mti_seen_mark(ev, index);
        if (never)
            ok = mti_run_fail(x, &inner, "unevaluatedProperties", "is not a known property");
        else
            ok &= mti_run_child(x, c->at, item, &inner);
        if (!ok && mti_run_settled(x))
            break;
    }
    return ok;
}
