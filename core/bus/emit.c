/* Dispatch: the way of one emit through a chain of handlers. */
#include "bus/bus_impl.h"

#include "base/log.h"
#include "telemetry/trace.h"

#define OVERRUNS_MAX 3
#define DEPTH_MAX 8
#define PATCHES_KEPT 1000 /* bytes of what a trace tells of a handler's patches */

static const char *const OUTCOMES[] = {"continue", "stop", "deny", "error"};

static void add(uint64_t *at, uint64_t n)
{
    __atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/* Failures are logged at 1, 2, 4, 8 …, so that a broken handler does not flood the log. */
static bool worth_logging(uint64_t count)
{
    return (count & (count - 1)) == 0;
}

/* --- which handlers --- */

static bool is_on(const mti_bus_entry *e, const mti_hook_info *info, const mt_call *c)
{
    if (atomic_load_explicit(&e->bypassed, memory_order_relaxed))
        return false;
    if (c->skip && !info->platform && (mti_bus_skips(c->skip, e->seats[0]) || mti_bus_skips(c->skip, e->seats[1])))
        return false;
    return !e->scope || mti_bus_scope_fits(e->scope, c);
}

bool mti_bus_has(const mti_bus *b, int hook, const mt_call *c)
{
    const mti_bus_snapshot *s = atomic_load_explicit(&b->current, memory_order_acquire);
    mti_bus_cursor at;
    bool own;
    mti_bus_cursor_init(&at, &s->hooks[hook], hook, c);
    for (mti_bus_entry *e; (e = mti_bus_cursor_next(&at, &own));)
        if (is_on(e, &mti_hook_catalogue[hook], c))
            return true;
    return false;
}

void mti_bus_each(const mti_bus *b, const mt_call *c, int hook,
                  void (*fn)(void *arg, const mti_bus_seen *seen), void *arg)
{
    const mti_bus_snapshot *s = atomic_load_explicit(&b->current, memory_order_acquire);
    mti_bus_cursor at;
    bool own;
    mti_bus_cursor_init(&at, &s->hooks[hook], hook, c);
    for (mti_bus_entry *e; (e = mti_bus_cursor_next(&at, &own));)
        if (is_on(e, &mti_hook_catalogue[hook], c))
            fn(arg, &(mti_bus_seen){e->label, e->priority, e->owner, own, e->run, e->self});
}

/* --- time --- */

static void on_three_overruns(mti_bus_entry *e, const mti_bus_frame *f, mti_bus_stats *st,
                              int64_t us)
{
    st->overruns = 0;
    add(&st->slow, 1);
    if (!f->info->fail_closed) {
        atomic_store_explicit(&e->bypassed, true, memory_order_relaxed);
        mti_log(MTI_LOG_WARN, "hook.bypassed", "hook=%s handler=%s us=%lld budget_us=%u",
                f->info->name, e->label, (long long)us, f->info->budget_us);
    } else if (worth_logging(st->slow)) {
        mti_log(MTI_LOG_WARN, "hook.slow", "hook=%s handler=%s us=%lld budget_us=%u", f->info->name,
                e->label, (long long)us, f->info->budget_us);
    }
}

/* Called when the wall clock may say over budget. Being preempted or suspended is not the handler's
 * fault. */
static void check_overrun(mti_bus_entry *e, const mt_call *c, const mti_bus_frame *f,
                          mti_bus_stats *st, uint64_t spent)
{
    int64_t us = mti_ticks_us(&f->bus->ticks, spent);
    bool suspended = f->info->suspends && c->loop && mti_loop_now_us(c->loop) != f->turn_us;
    if (us > f->info->budget_us && !suspended && st->overruns)
        us = (mti_thread_cpu_ns() - f->cpu_ns) / 1000;
    if (us <= f->info->budget_us)
        st->overruns = 0;
    else if (!suspended && ++st->overruns >= OVERRUNS_MAX)
        on_three_overruns(e, f, st, us);
}

bool mti_bus_should_stop(const mt_call *c)
{
    const mti_bus_frame *f = c->hook;
    return f && mti_ticks_us(&f->bus->ticks, mti_ticks() - f->started) > f->info->budget_us;
}

/* --- outcomes --- */

mt_outcome mti_bus_deny(mt_call *c, int status, mt_slice code, mt_slice detail)
{
    if (status < 400 || status > 599)
        status = 403;
    mti_fail(&c->error,
             status == 429   ? MT_LIMITED
             : status == 401 ? MT_UNAUTHENTICATED
                             : MT_DENIED,
             NULL, "%.*s", (int)(detail.len < 4096 ? detail.len : 4096), detail.p ? detail.p : "");
    c->error.http = status;
    if (code.len) {
        size_t n = code.len < sizeof c->error.code ? code.len : sizeof c->error.code - 1;
        memcpy(c->error.code, code.p, n);
        c->error.code[n] = 0;
    }
    if (c->hook)
        c->hook->denied = true;
    return MT_DENY;
}

static void trace_handler(mt_call *c, const mti_bus_frame *f, const mti_bus_entry *e, uint64_t from,
                          const mt_patch *p, mt_outcome outcome)
{
    /* an organization's own policy may be gone before the call ends */
    const char *owner = f->own ? mti_arena_strndup(&c->arena, e->label, strlen(e->label)) : e->label;
    if (!p->first) {
        mti_trace_span(c, MTI_TRACE_HOOK, f->info->name, owner, from, f->started, OUTCOMES[outcome], NULL);
        return;
    }
    mti_buf detail;
    mti_buf_init(&detail, 4096);
    mti_patch_trace(p, f->refused ? &c->error : NULL, mti_trace_values(), PATCHES_KEPT, &detail);
    mti_trace_span(c, MTI_TRACE_HOOK, f->info->name, owner, from, f->started, OUTCOMES[outcome], detail.p);
    mti_buf_dispose(&detail);
}

/* What a handler's answer means: its patches are applied, its failure explained. The answer is one
 * of OUTCOMES. */
static mt_outcome settle(mt_call *c, mti_bus_frame *f, mti_bus_entry *e, mti_bus_stats *st,
                         mt_patch *p, void *payload, mt_outcome outcome)
{
    if (outcome == MT_DENY && f->info->filter) {
        add(&st->denied, 1);
        if (!f->denied)
            mti_bus_deny(c, 403, MT_SLICE("denied"),
                         MT_SLICE("Refused by a policy of this installation."));
    } else if (outcome == MT_CONTINUE || outcome == MT_STOP) {
        f->refused = mti_patch_apply(p, payload, &c->error) != MT_OK;
        if (f->refused) {
            c->error.status = MT_INTERNAL;   /* the handler's mistake, not the client's */
            c->error.http = 0;
            outcome = MT_ERROR;
        }
    } else {
        outcome = MT_ERROR;
    }
    if (outcome != MT_ERROR)
        return outcome;
    add(&st->errors, 1);
    if (!c->error.code[0])
        mti_fail(&c->error, MT_INTERNAL, "hook_failed", "A handler of %s failed.", f->info->name);
    if (worth_logging(st->errors))
        mti_log(MTI_LOG_WARN, "hook.failed", "hook=%s handler=%s count=%llu code=%s detail=%s",
                f->info->name, e->label, (unsigned long long)st->errors, c->error.code,
                c->error.detail);
    return MT_ERROR;
}

/* --- the walk --- */

static mt_outcome run_one(mti_bus_frame *f, mt_call *c, mti_bus_entry *e, mti_bus_stats *st,
                          void *payload)
{
    mt_patch p;
    mti_patch_init(&p, c, f->info);
    p.rules = f->rules;
    if (st->overruns)
        f->cpu_ns = mti_thread_cpu_ns();
    if (f->info->suspends && c->loop)
        f->turn_us = mti_loop_now_us(c->loop);
    c->plugin = e->owner;
    c->instance = e->instance;
    mti_fiber_set_tag(e->owner);
    f->denied = f->refused = false;
    uint64_t started = f->started;
    mt_outcome outcome = e->run(e->self, c, payload, &p);
    f->started = mti_ticks();
    uint64_t spent = f->started - started;
    add(&st->calls, 1);
    add(&st->ticks, spent);
    if (spent > f->info->budget_us * 1000ull)
        check_overrun(e, c, f, st, spent);
    else
        st->overruns = 0;
    if (outcome != MT_CONTINUE || p.first)
        outcome = settle(c, f, e, st, &p, payload, outcome);
    if (c->trace)
        trace_handler(c, f, e, started, &p, outcome);
    return outcome;
}

/* Its owner brought the host down on requests of this organization. */
static bool is_held(const mti_bus *b, const mti_bus_entry *e, const mt_call *c)
{
    bool (*held)(const mt_call *, uint16_t) = atomic_load_explicit(&b->held, memory_order_relaxed);
    return held && e->owner && held(c, e->owner);
}

static mt_outcome refuse_held(mt_call *c, const mti_hook_info *info, const mti_bus_entry *e)
{
    mti_fail(&c->error, MT_UNAVAILABLE, "plugin_quarantined",
             "%s guards %s and is in quarantine for this organization; the operator can release it.",
             e->label, info->name);
    return MT_ERROR;
}

static mt_outcome walk(mti_bus_frame *f, mt_call *c, mti_bus_cursor *at, unsigned lane,
                       void *payload)
{
    const mti_hook_info *info = f->info;
    bool own, clean = !c->error.code[0];
    for (mti_bus_entry *e; (e = mti_bus_cursor_next(at, &own));) {
        if (!is_on(e, info, c))
            continue;
        if (is_held(f->bus, e, c)) {
            if (info->fail_closed && !c->above)     /* else nobody could release it */
                return refuse_held(c, info, e);
            continue;
        }
        f->own = own;
        mt_outcome outcome = run_one(f, c, e, &e->stats[own ? 0 : lane], payload);
        if (own && outcome == MT_STOP) {
            at->own = at->own_end;
            continue;
        }
        if (outcome != MT_CONTINUE && !info->always && (outcome != MT_ERROR || info->fail_closed))
            return outcome;
        if (clean && c->error.code[0])
            memset(&c->error, 0, sizeof c->error);   /* passed over: nobody after it failed for this reason */
    }
    return MT_CONTINUE;
}

/* Suspending handlers keep the snapshot over turns of the loop; the others are done before the next
 * turn. */
static mt_outcome walk_held(mti_bus_frame *f, mt_call *c, mti_bus_snapshot *s,
                            mti_bus_cursor *at, unsigned lane, void *payload)
{
    mti_bus_walkers *w = &s->walkers[lane];
    w->active++;
    mt_outcome outcome = walk(f, c, at, lane, payload);
    if (--w->active == 0 && w->waiting)
        mti_bus_snapshot_pass(s);
    return outcome;
}

static mt_outcome refuse(mt_call *c, const mti_hook_info *info, const char *why)
{
    mti_fail(&c->error, MT_INTERNAL, "hook_failed", "%s %s.", info->name, why);
    return info->fail_closed ? MT_ERROR : MT_CONTINUE;
}

mt_outcome mti_bus_emit_under(mti_bus *b, mt_call *c, int hook, void *payload, const mti_patch_rules *rules)
{
    mti_bus_snapshot *s = atomic_load_explicit(&b->current, memory_order_acquire);
    mti_bus_cursor at;
    mti_bus_cursor_init(&at, &s->hooks[hook], hook, c);
    if (!at.common->count && at.own == at.own_end)
        return MT_CONTINUE;
    const mti_hook_info *info = &mti_hook_catalogue[hook];
    if (*(const uint32_t *)payload != info->size)
        return refuse(c, info, "was emitted with a payload of another size");
    mti_bus_frame f = {
        .up = c->hook, .bus = b, .info = info, .rules = rules, .depth = c->hook ? c->hook->depth + 1 : 0};
    if (f.depth > DEPTH_MAX)
        return refuse(c, info, "is nested too deeply in other hooks");
    uint16_t caller = c->plugin;
    const struct mti_instance *instance = c->instance;
    unsigned lane = mti_bus_lane(b, c);
    c->hook = &f;
    f.started = mti_ticks();
    mt_outcome outcome = info->suspends ? walk_held(&f, c, s, &at, lane, payload)
                                        : walk(&f, c, &at, lane, payload);
    c->hook = f.up;
    c->plugin = caller;
    c->instance = instance;
    mti_fiber_set_tag(caller);
    return outcome;
}

mt_outcome mti_bus_emit(mti_bus *b, mt_call *c, int hook, void *payload)
{
    return mti_bus_emit_under(b, c, hook, payload, NULL);
}
