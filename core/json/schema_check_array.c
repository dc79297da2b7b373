#include "json/schema_run.h"

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

MTI_CHECK(mti_check_item_count)
{
    size_t n = json_array_size(v);
    if (!json_is_array(v))
        return true;
    if (c->op == MTI_OP_MIN_ITEMS)
        return n >= c->limit || mti_run_fail(x, at, "minItems", "must have at least %zu item%s",
                                             c->limit, plural(c->limit));
    return n <= c->limit || mti_run_fail(x, at, "maxItems", "must have at most %zu item%s",
                                         c->limit, plural(c->limit));
}

MTI_CHECK(mti_check_array)
{
    const mti_array_check *a = &x->s->arrays[c->at];
    bool ok = true;
    for (size_t i = 0; i < json_array_size(v); i++) {
        uint32_t node = i < a->prefix_count ? x->s->kids[a->prefix + i] : a->items;
        if (node == MTI_NO_NODE)
            break;
        mti_seen_mark(ev, i);
        mti_path inner = {at, NULL, i};
        if (!mti_run_child(x, node, json_array_get(v, i), &inner)) {
            ok = false;
            if (mti_run_settled(x))
                break;
        }
    }
    return ok;
}

MTI_CHECK(mti_check_contains)
{
    if (!json_is_array(v))
        return true;
    size_t found = 0;
    x->quiet++;
    for (size_t i = 0; i < json_array_size(v); i++) {
        mti_path inner = {at, NULL, i};
        if (!mti_run_child(x, c->at, json_array_get(v, i), &inner))
            continue;
        found++;
        mti_seen_mark(ev, i);
    }
    x->quiet--;
    if (x->broken != MT_OK)
        return false;
    if (found < c->limit)
        return mti_run_fail(x, at, "contains",
                            "must contain at least %zu item%s of the kind asked for", c->limit,
                            plural(c->limit));
    return found <= c->count || c->count == UINT32_MAX ||
           mti_run_fail(x, at, "maxContains",
                        "must contain at most %u item%s of the kind asked for", c->count,
                        plural(c->count));
}

MTI_CHECK(mti_check_unique)
{
    bool unique = true;
    if (c->limit && json_is_array(v) && mti_value_unique(v, &unique) != MT_OK)
        return mti_run_break(x, MT_NO_MEMORY);
    return unique || mti_run_fail(x, at, "uniqueItems", "must not have the same item twice");
}

MTI_CHECK(mti_check_unevaluated_items)
{
    bool ok = true;
    for (size_t i = 0; i < json_array_size(v) && (ok || !mti_run_settled(x)); i++) {
        if (mti_seen_has(ev, i))
            continue;
        mti_path inner = {at, NULL, i};
        mti_seen_mark(ev, i);
        if (x->s->nodes[c->at].never)
            ok = mti_run_fail(x, &inner, "unevaluatedItems", "is an item too many");
        else
            ok &= mti_run_child(x, c->at, json_array_get(v, i), &inner);
    }
    return ok;
}
