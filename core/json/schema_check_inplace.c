#include "json/schema_run.h"

MTI_CHECK(mti_check_ref)
{
    return mti_run_schema(x, c->at, v, at, ev);
}

/* The outermost resource on the way here that has the dynamic anchor decides. */
MTI_CHECK(mti_check_dynamic_ref)
{
    mt_slice name = x->s->dynamics[c->count].name;
    uint32_t node = c->at;
    for (const mti_scope *sc = x->scope; sc; sc = sc->up) {
        for (uint32_t i = 0; i < x->s->dynamic_count; i++) {
            const mti_dynamic *d = &x->s->dynamics[i];
            if (d->resource == sc->resource && mt_slice_eq(d->name, name))
                node = d->node;
        }
    }
    return mti_run_schema(x, node, v, at, ev);
}

/* A schema that may fail without harm; what it saw counts only if it holds. */
static bool try_schema(mti_run *x, uint32_t node, const json_t *v, const mti_path *at, mti_seen *ev)
{
    mti_seen mine;
    if (ev && !mti_seen_init(x, &mine, v))
        return false;
    x->quiet++;
    bool ok = mti_run_schema(x, node, v, at, ev ? &mine : NULL) && x->broken == MT_OK;
    x->quiet--;
    if (ok && ev)
        mti_seen_merge(ev, &mine);
    if (ev)
        mti_seen_dispose(&mine);
    return ok;
}

MTI_CHECK(mti_check_all_of)
{
    bool ok = true;
    for (uint32_t i = 0; i < c->count && (ok || !mti_run_settled(x)); i++)
        ok &= mti_run_schema(x, x->s->kids[c->at + i], v, at, ev);
    return ok;
}

MTI_CHECK(mti_check_any_of)
{
    bool ok = false;
    for (uint32_t i = 0; i < c->count && (ev || !ok) && x->broken == MT_OK; i++)
        ok |= try_schema(x, x->s->kids[c->at + i], v, at, ev);
    return ok || mti_run_fail(x, at, "anyOf", "must fit at least one of %u alternatives", c->count);
}

MTI_CHECK(mti_check_one_of)
{
    uint32_t fitting = 0;
    for (uint32_t i = 0; i < c->count && fitting < 2 && x->broken == MT_OK; i++)
        fitting += try_schema(x, x->s->kids[c->at + i], v, at, ev);
    return fitting == 1 ||
           mti_run_fail(x, at, "oneOf", "must fit exactly one of %u alternatives, not %s", c->count,
                        fitting ? "several" : "none");
}

MTI_CHECK(mti_check_not)
{
    x->open++;
    bool fits = try_schema(x, c->at, v, at, NULL);
    x->open--;
    if (x->broken != MT_OK)
        return false;
    return !fits || mti_run_fail(x, at, "not", "is of a kind that is not allowed");
}

MTI_CHECK(mti_check_if)
{
    const uint32_t *kids = &x->s->kids[c->at];
    x->open++;
    bool fits = try_schema(x, kids[0], v, at, ev);
    x->open--;
    uint32_t then = kids[fits ? 1 : 2];
    if (x->broken != MT_OK)
        return false;
    return then == MTI_NO_NODE || mti_run_schema(x, then, v, at, ev);
}
