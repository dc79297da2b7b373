/* One call of a policy: the only protected entry into Lua, its limits, and what its end means. */
#include "policy/policy_impl.h"

#include "base/log.h"

#define HOOK_PERIOD   32    /* instructions between looks at the limits */
#define SLOW_PERIOD   4     /* once they turn out to be long ones: a chain of __index, a number of 256 KiB */
#define CALLBACKS_MAX 16
#define IDLE_EXCESS   (64u << 10)

/* --- limits --- */

static void on_count(lua_State *L, lua_Debug *ar);

_Noreturn void mti_policy_leave(lua_State *L)
{
    /* Every later instruction fails too: neither pcall nor a closing variable can go on. */
    lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
    lua_pushlightuserdata(L, mti_policy_running_at(L));
    lua_error(L);
    __builtin_unreachable();
}

int mti_policy_line(lua_State *L)
{
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++)
        if (lua_getinfo(L, "l", &ar) && ar.currentline > 0)
            return ar.currentline;
    return 0;
}

static void reach_limit(lua_State *L, mti_policy_frame *r, mti_policy_limit limit)
{
    if (!r->limit) {
        r->limit = limit;
        r->line = mti_policy_line(L);
    }
    mti_policy_leave(L);
}

/* Looks at the CPU clock, which costs more than a policy, only after half the limit has passed on
 * the wall. */
static bool cpu_is_used_up(mti_policy_frame *r)
{
    uint64_t span = mti_ticks() - r->started;
    int64_t half_us = r->engine->limits.cpu_us / 2;
    if (span < (uint64_t)half_us * 1000)
        return false;
    if (mti_ticks_us(&r->engine->ticks, span) < half_us)
        return false;
    int64_t now = mti_thread_cpu_ns();
    if (!r->cpu_from_ns)
        r->cpu_from_ns = now;
    return now - r->cpu_from_ns > half_us * 900; /* ending takes time too: a tenth of the half */
}

/* A 64th of the time between two looks is much: so that what is overrun stays within a few of a hundred. */
static void look_oftener(lua_State *L, mti_policy_frame *r)
{
    uint64_t now = mti_ticks();
    if (now - r->looked > (uint64_t)r->engine->limits.cpu_us * 1000 / 64 && r->period != SLOW_PERIOD) {
        r->period = SLOW_PERIOD;
        lua_sethook(L, on_count, LUA_MASKCOUNT, SLOW_PERIOD);
    }
    r->looked = now;
}

static void count(lua_State *L, size_t steps)
{
    mti_policy_frame *r = mti_policy_running(L);
    if (r->limit || r->decided)
        mti_policy_leave(L);
    if ((int64_t)steps > r->engine->limits.instructions - r->steps)
        reach_limit(L, r, LIMIT_INSTRUCTIONS);
    r->steps += (int64_t)steps;
    look_oftener(L, r);
    if (cpu_is_used_up(r))
        reach_limit(L, r, LIMIT_CPU);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    count(L, mti_policy_running(L)->period);
}

bool mti_policy_is_late(lua_State *L)
{
    return cpu_is_used_up(mti_policy_running(L));
}

void mti_policy_charge(lua_State *L, size_t steps)
{
    count(L, steps);
}

void mti_policy_charge_memory(lua_State *L, size_t bytes)
{
    mti_policy_frame *r = mti_policy_running(L);
    r->outside += bytes;
    if (r->outside + r->state->heap.used > r->state->heap.limit)
        reach_limit(L, r, LIMIT_MEMORY);
}

void mti_policy_enter_callback(lua_State *L)
{
    mti_policy_frame *r = mti_policy_running(L);
    if (r->depth >= CALLBACKS_MAX)
        luaL_error(L, "callbacks are nested too deeply");
    r->depth++;
}

/* --- the protected call --- */

static int enter(lua_State *L)
{
    mti_policy_frame *r = lua_touserdata(L, 1);
    lua_settop(L, 0);
    mti_policy_state_push(L, r->state, r->policy);
    r->looked = mti_ticks();
    r->period = HOOK_PERIOD;
    lua_sethook(L, on_count, LUA_MASKCOUNT, HOOK_PERIOD);
    lua_call(L, 0, 0);
    return 0;
}

/* Notes where an error happened while its frames are still there. */
static int on_error(lua_State *L)
{
    mti_policy_frame *r = mti_policy_running(L);
    if (!r->line)
        r->line = mti_policy_line(L);
    return 1;
}

static void note_error(lua_State *L, mti_policy_frame *r, int status)
{
    r->outcome = MT_ERROR;
    if (r->limit || r->decided)
        return;
    if (status == LUA_ERRMEM)
        r->limit = LIMIT_MEMORY;
    else if (lua_type(L, -1) == LUA_TSTRING)
        snprintf(r->message, sizeof r->message, "%s", lua_tostring(L, -1));
    else
        snprintf(r->message, sizeof r->message, "an error object (a %s value)",
                 luaL_typename(L, -1));
}

/* Leaves the state idle: no hook, no environment of this call, no great heap. A state that met a
 * limit is thrown away. */
static void settle_state(mti_policy_frame *r)
{
    mti_policy_state *s = r->state;
    if (r->limit) {
        mti_policy_state_drop(r->lane, s);
        return;
    }
    lua_sethook(s->L, NULL, 0, 0);
    lua_settop(s->L, 0);
    mti_policy_state_clear(s, r->policy);
    if (r->cached)
        mti_policy_clear_ctx(s->L);
    *mti_policy_running_at(s->L) = NULL;
    if (s->heap.used > s->baseline + IDLE_EXCESS)
        lua_gc(s->L, LUA_GCCOLLECT);
    mti_policy_state_account(r->lane, s);
}

static void run_protected(mti_policy_frame *r)
{
    lua_State *L = r->state->L;
    *mti_policy_running_at(L) = r;
    lua_pushcfunction(L, on_error);
    lua_pushcfunction(L, enter);
    lua_pushlightuserdata(L, r);
    int status = lua_pcall(L, 1, 0, 1);
    if (status == LUA_OK && !r->limit)
        r->outcome = r->decided ? r->outcome : MT_CONTINUE;
    else if (!r->decided || r->limit)
        note_error(L, r, status);
    settle_state(r);
}

static void explain(mti_policy_frame *r)
{
    static const char *const limits[] = {"", "instructions", "CPU time", "memory"};
    char where[24] = "";
    if (r->line)
        snprintf(where, sizeof where, " in line %d", r->line);
    uint64_t n = atomic_fetch_add_explicit(&r->policy->failures, 1, memory_order_relaxed) + 1;
    if (r->limit) {
        snprintf(r->message, sizeof r->message, "over its limit of %s", limits[r->limit]);
        mti_fail(&r->c->error, MT_UNAVAILABLE, "policy_limit",
                 "The policy %s went over its limit of %s%s.", r->policy->name, limits[r->limit],
                 where);
    } else {
        mti_fail(&r->c->error, MT_INTERNAL, "policy_error", "The policy %s failed%s.",
                 r->policy->name, where);
    }
    if ((n & (n - 1)) == 0)
        mti_log(MTI_LOG_WARN, "policy.failed", "policy=%s line=%d count=%llu message=%s",
                r->policy->name, r->line, (unsigned long long)n, r->message);
}

static mt_outcome run(mti_policy *policy, mti_policy_mode mode, mt_call *c, const void *in,
                      mt_patch *out, mti_policy_frame *r)
{
    mti_policies *p = policy->engine;
    unsigned lane = c->loop ? mti_loop_index(c->loop) : p->n_loops;
    *r = (mti_policy_frame){.engine = p, .policy = policy, .mode = mode, .c = c, .in = in, .out = out,
                          .lane = &p->lanes[lane < p->n_loops ? lane : p->n_loops],
                          .hook = &mti_hook_catalogue[policy->hook]};
    r->state = mti_policy_state_get(p, r->lane, policy);
    if (!r->state) {
        mti_fail(&c->error, MT_NO_MEMORY, "policy_error", "There is no memory for the policy %s.",
                 policy->name);
        return r->outcome = MT_ERROR;
    }
    r->started = mti_ticks();
    run_protected(r);
    if (r->outcome == MT_ERROR)
        explain(r);
    return r->outcome;
}

mt_outcome mti_policy_run(void *policy, mt_call *c, const void *in, mt_patch *out)
{
    mti_policy_frame r;
    return run(policy, MTI_POLICY_LIVE, c, in, out, &r);
}

mt_outcome mti_policy_try(mti_policy *policy, mti_policy_mode mode, mt_call *c, const void *in,
                          mt_patch *out, mti_policy_verdict *v)
{
    mti_policy_frame r;
    mti_error before = c->error;
    struct mti_bus_frame *hook = c->hook;
    c->error = (mti_error){0};
    if (mode != MTI_POLICY_LIVE)
        c->hook = NULL;
    *v = (mti_policy_verdict){.outcome = run(policy, mode, c, in, out, &r), .error = c->error,
                              .line = r.line, .steps = r.steps};
    memcpy(v->message, r.message, sizeof v->message);
    c->hook = hook;
    if (mode != MTI_POLICY_LIVE || v->outcome < MT_DENY)
        c->error = before;
    return v->outcome;
}

void mti_policy_verdict_write(const mti_policy_verdict *v, const mt_patch *patches, mti_buf *out)
{
    static const char *const outcomes[] = {"continue", "stop", "deny", "error"};
    mti_buf_addf(out, "{\"outcome\":\"%s\",\"line\":%d,\"patches\":[", outcomes[v->outcome], v->line);
    for (const mti_patch_op *op = v->outcome < MT_DENY ? patches->first : NULL; op; op = op->next) {
        mti_buf_adds(out, op == patches->first ? "{" : ",{");
        mti_patch_op_write(op, out);
        mti_buf_addf(out, ",\"line\":%d}", op->line);
    }
    mti_buf_addc(out, ']');
    if (v->outcome >= MT_DENY) {
        mti_buf_addf(out, ",\"status\":%d,\"code\":", mti_error_http(&v->error));
        mti_buf_add_json(out, mt_str(v->error.code));
        mti_buf_adds(out, ",\"detail\":");
        mti_buf_add_json(out, mt_str(v->message[0] ? v->message : v->error.detail));
    }
    mti_buf_addc(out, '}');
}
