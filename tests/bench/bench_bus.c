/* Dispatch of a hook and a policy: one JSON line a figure, {name, value, unit}. The best of several
 * rounds. */
#include <mortise/hooks.h>

#include <stdio.h>
#include <stdlib.h>

#include "bus/bus.h"
#include "policy/policy.h"

#define ROUNDS 15

static const char policy_text[] =
    "-- hook: limit.check\n"
    "local class = ctx.rate_class\n"
    "local op = ctx.operation\n"
    "local cost = ctx.cost\n"
    "local limit = ctx.rate_per_minute\n"
    "if limit == 0 then\n"
    "  limit = 600\n"
    "end\n"
    "if op:sub(1, 5) == 'chat.' then\n"
    "  cost = cost * 10\n"
    "elseif op:find('search', 1, true) then\n"
    "  cost = cost * 3\n"
    "end\n"
    "if class == 'heavy' and cost < 5 then\n"
    "  cost = 5\n"
    "end\n"
    "local used = kv.incr('used', cost, 60)\n"
    "if used > 1e15 then\n"
    "  decide.deny(429, 'rate_limit', 'Slow down a little.')\n"
    "end\n";

static mt_outcome on_nothing(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return MT_CONTINUE;
}

typedef struct bench {
    mti_loop *loop;
    mti_bus *bus;
    mti_policies *engine;
    mt_call call;
} bench;

/* The least nanoseconds an emit of limit.check takes. */
static double emit_ns(bench *b, int times)
{
    mt_limit_check in = {.size = sizeof in,
                         .operation = MT_SLICE("notes.list"),
                         .rate_class = MT_SLICE("light"),
                         .cost = 1,
                         .rate_per_minute = 600};
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t from = mti_thread_cpu_ns();
        for (int i = 0; i < times; i++)
            if (mti_bus_emit(b->bus, &b->call, MTI_HOOK_LIMIT_CHECK, &in) != MT_CONTINUE)
                abort();
        double ns = (double)(mti_thread_cpu_ns() - from) / times;
        best = ns < best ? ns : best;
    }
    return best;
}

static void stand(bench *b, mt_hook_fn run, void *self)
{
    mti_bus_remove_owner(b->bus, 1);
    if (run)
        mti_bus_add(b->bus, &(mti_bus_handler){.owner = 1,
                                               .seats = {1, 2},
                                               .hook = MTI_HOOK_LIMIT_CHECK,
                                               .run = run,
                                               .self = self,
                                               .label = "bench"});
    mti_bus_publish(b->bus);
    mti_loop_step(b->loop, 0);
}

static mti_policy *compile(bench *b, const char *text)
{
    mti_policy *p;
    mti_error e;
    if (mti_policy_compile(b->engine, "bench", mt_str(text), &p, &e) != MT_OK) {
        fprintf(stderr, "%s\n", e.detail);
        abort();
    }
    return p;
}

int main(void)
{
    bench b = {.loop = mti_loop_create(0)};
    b.bus = mti_bus_create(&b.loop, 1);
    b.engine = mti_policies_create(NULL, &b.loop, 1);
    mti_call_init(&b.call, b.loop);
    mti_policy *empty = compile(&b, "-- hook: limit.check\n"), *full = compile(&b, policy_text);
    printf("{\"name\":\"hook.nobody\",\"value\":%.1f,\"unit\":\"ns\"}\n", emit_ns(&b, 1000000));
    stand(&b, on_nothing, NULL);
    printf("{\"name\":\"hook.native\",\"value\":%.1f,\"unit\":\"ns\"}\n", emit_ns(&b, 1000000));
    uint64_t skip[MTI_BUS_SEAT_WORDS] = {1 << 3};        /* the organization has another plugin off */
    b.call.skip = skip;
    printf("{\"name\":\"hook.settings\",\"value\":%.1f,\"unit\":\"ns\"}\n", emit_ns(&b, 1000000));
    b.call.skip = NULL;
    stand(&b, mti_policy_run, empty);
    printf("{\"name\":\"policy.empty\",\"value\":%.2f,\"unit\":\"us\"}\n",
           emit_ns(&b, 20000) / 1000);
    stand(&b, mti_policy_run, full);
    printf("{\"name\":\"policy.20_lines\",\"value\":%.2f,\"unit\":\"us\"}\n",
           emit_ns(&b, 20000) / 1000);
    stand(&b, NULL, NULL);
    mti_policy_release(empty);
    mti_policy_release(full);
    mti_call_dispose(&b.call);
    mti_bus_destroy(b.bus);
    mti_policies_destroy(b.engine);
    mti_loop_destroy(b.loop);
}
