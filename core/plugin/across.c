#include "plugin/across.h"
#include "plugin/host.h"

void mti_platform_call(mt_call *c, mti_host *h, mti_loop *l, const char *operation)
{
    mti_call_init(c, l);
    c->host = h;
    c->operation = operation;
    c->request_id = mti_uuid_v7();
    c->who.platform = true;
}

typedef struct crossing {
    mti_fiber *waiting;
    mti_loop *home, *there;
    mti_host *host;
    mt_status (*fn)(void *arg, mt_call *there);
    void *arg;
    mt_status status;
    mti_error error;
} crossing;

static void on_back(void *arg)
{
    crossing *x = arg;
    mti_fiber_resume(x->waiting, MT_OK);
}

static void in_fiber(void *arg)
{
    crossing *x = arg;
    mt_call c;
    mti_platform_call(&c, x->host, x->there, "host.control");
    x->status = x->fn(x->arg, &c);
    x->error = c.error;
    mti_call_dispose(&c);
    mti_loop_post(x->home, on_back, x);
}

static void on_there(void *arg)
{
    crossing *x = arg;
    if (mti_fiber_spawn(x->there, in_fiber, x) == MT_OK)
        return;
    x->status = mti_fail(&x->error, MT_LIMITED, "too_busy", "The host is at its limit of concurrent work: try again shortly.");
    mti_loop_post(x->home, on_back, x);
}

mt_status mti_across_run(mt_call *c, mti_loop *l, mt_status (*fn)(void *arg, mt_call *there), void *arg)
{
    crossing x = {.waiting = mti_fiber_current(), .home = c->loop, .there = l, .host = c->host, .fn = fn, .arg = arg};
    mti_fiber_shield(true);
    mti_loop_post(l, on_there, &x);
    mti_fiber_suspend();
    mti_fiber_shield(false);
    if (x.status != MT_OK)
        c->error = x.error;
    return x.status;
}
