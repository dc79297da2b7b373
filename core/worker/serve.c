#include "worker/serve.h"

#include <stdlib.h>

#include "base/map.h"

enum { GRANTS_MAX = 65536 };

static uint64_t kind_of(const mti_serving *s)
{
    return s->interface | (s->provider.len ? mti_hash(s->provider.p, s->provider.len) << 8 : 0);
}

mt_handle mti_serve_handle(mti_serving *s)
{
    mt_handle h = mti_take_handle(&s->in);
    if (!s->grants)
        return h;
    s->number = h <= s->grants->n ? (uint32_t)h : 0;
    const mti_granted *g = s->number ? &s->grants->list[s->number - 1] : NULL;
    s->unknown = !g || !g->value || g->kind != kind_of(s);
    return s->unknown ? 0 : g->value;
}

mt_handle mti_serve_grant(mti_serving *s, mt_handle h)
{
    mti_grants *g = s->grants;
    if (!g || !h)
        return h;
    if (g->n == g->cap && g->cap < GRANTS_MAX) {
        uint32_t cap = g->cap ? g->cap * 2 : 16;
        mti_granted *more = realloc(g->list, cap * sizeof *more);
        if (more) {
            g->list = more;
            g->cap = cap;
        }
    }
    if (g->n == g->cap)
        return 0;            /* what it names lives on in the call, unreachable */
    g->list[g->n] = (mti_granted){.value = h, .kind = kind_of(s)};
    return ++g->n;
}

void mti_serve_forget(mti_serving *s)
{
    if (s->grants && s->number)
        s->grants->list[s->number - 1].value = 0;
}

void mti_grants_dispose(mti_grants *g)
{
    free(g->list);
    *g = (mti_grants){0};
}

void mti_serve_answer(mti_serving *s, mt_status answer)
{
    mti_put_u32(&s->out, answer);
    if (answer == MT_OK || answer == MT_DONE)
        return;
    mti_put_bool(&s->out, s->c->error.code[0] != 0);
    if (s->c->error.code[0])
        mti_put_error(&s->out, &s->c->error);
}

bool mti_serve_ready(mti_serving *s, bool offered)
{
    s->broken = !mti_unpacked(&s->in);
    if (s->broken || (offered && !s->unknown))
        return !s->broken;
    mti_fail(&s->c->error, offered ? MT_NOT_FOUND : MT_UNSUPPORTED, offered ? "handle_unknown" : "not_offered",
             offered ? "The handle names nothing in this call." : "This is not offered here.");
    mti_serve_answer(s, s->c->error.status);
    return false;
}

void mti_serve(mti_serving *s, uint32_t method)
{
    s->interface = method >> 6;
    const mti_served *i = s->interface < mti_served_count ? &mti_served_interfaces[s->interface] : NULL;
    const mti_serve_fn *list = !i ? NULL : s->provides ? i->provider : i->host;
    if (!list || (method & 63) >= i->n) {
        s->broken = true;
        return;
    }
    mti_serve_fn fn = list[method & 63];
    if (fn && s->table) {
        fn(s);
        return;
    }
    mti_fail(&s->c->error, MT_DENIED, "not_granted", "The plugin was not granted %s, or not this of it in a worker.", i->id);
    mti_serve_answer(s, MT_DENIED);
}
