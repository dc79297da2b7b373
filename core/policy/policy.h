/*
 * Lua 5.4 policies: sandboxed chunks that stand on hooks. A policy file declares itself in its
 * first comment lines:
 *   -- hook: limit.check
 *   -- priority: 50
 * and its body runs once a call with ctx (the payload's fields, read-only, plus org_id,
 * workspace_id, subject_id, operation), answering through decide.deny(status, code, detail) |
 * decide.stop() | decide.continue() (each ends the policy), patch(pointer, value), kv.get/set/incr,
 * log, metric, now().
 */
#ifndef MTI_POLICY_POLICY_H
#define MTI_POLICY_POLICY_H

#include "bus/bus.h"

typedef struct mti_policies mti_policies;    /* the engine: per-loop states, kv store, limits */
typedef struct mti_policy mti_policy; /* one compiled chunk; immutable; any thread may hold it */

/* 0 takes the default. */
typedef struct mti_policy_limits {
    int64_t instructions; /* a call; default 100,000; library functions count by the bytes and items
                             that they touch */
    size_t memory;               /* bytes a state, beyond its libraries and code; default 1 MiB */
    int64_t cpu_us;              /* a call; default 5,000 */
} mti_policy_limits;

/* Any thread. l may be NULL; mti_loop_index of loops[i] is i. Destroy when the loops have stopped
 * and every policy is released. */
mti_policies *mti_policies_create(const mti_policy_limits *l, mti_loop **loops, unsigned n_loops);
void mti_policies_destroy(mti_policies *p);

/* Compiles, never executes: syntax, header lines, hook known, size ≤ 64 KiB, nesting bounded. Needs
 * a large stack: call it on a normal thread or through the offload pool, not in a fiber. The policy
 * is freed by release when no registration uses it. */
mt_status mti_policy_compile(mti_policies *p, const char *name, mt_slice source, mti_policy **out,
                             mti_error *e);
void mti_policy_release(mti_policy *p);
void mti_policy_drop(void *policy); /* mti_policy_release as the release of a bus handler */
/* Makes it an organization's own (nil: the platform's): run in that organization's state, apart
 * from all others. Before it is registered; bus handlers of it carry the same org_id. */
void mti_policy_set_org(mti_policy *p, mti_uuid org_id);
int mti_policy_hook(const mti_policy *p);
int mti_policy_priority(const mti_policy *p);

/* The bus handler of a policy: register { .run = mti_policy_run, .self = policy, .release =
 * mti_policy_drop }. Loop's thread, with or without a fiber; never suspends. MT_ERROR with c->error
 * policy_error or policy_limit (and the line) when the script fails. */
mt_outcome mti_policy_run(void *policy, mt_call *c, const void *in, mt_patch *out);

/* What a policy decided, and where. */
typedef struct mti_policy_verdict {
    mt_outcome outcome;
    mti_error error;             /* of MT_DENY and MT_ERROR */
    int line;                    /* of the decision or the failure; 0: it fell off its end */
    int64_t steps;
    char message[192];           /* of a script's own error, for its author */
} mti_policy_verdict;

typedef enum mti_policy_mode {
    MTI_POLICY_LIVE,
    MTI_POLICY_SHADOW,           /* what it remembers is apart from the live ones' */
    MTI_POLICY_DRY               /* it remembers, logs and counts nothing */
} mti_policy_mode;

/* As mti_policy_run, and tells. Shadow and dry leave c->error and the emit around it as they were:
 * the caller throws the patches away. */
mt_outcome mti_policy_try(mti_policy *policy, mti_policy_mode mode, mt_call *c, const void *in,
                          mt_patch *out, mti_policy_verdict *v);
/* {outcome, status, code, detail, line, patches: [{pointer, value, line}]} */
void mti_policy_verdict_write(const mti_policy_verdict *v, const mt_patch *patches, mti_buf *out);

/* The policy that a handler of the bus runs and heeds, or NULL. */
mti_policy *mti_policy_of(const mti_bus_seen *seen);

/* `mortise policy test`: runs a policy against cases of its own test file (JSON: [{name, ctx,
 * now, repeat, expect:{outcome, code, status, patches: [{pointer, value}]}}]; kv lives from case
 * to case; now is what now() tells, in seconds; repeat runs it that often and looks at the last). Answers a JSON report {policy, hook,
 * passed, failed, cases: […]}. MT_INVALID when the policy does not compile or the cases are not
 * such a list; a case that fails is no error here. Normal thread (it compiles). */
mt_status mti_policy_test(mti_policies *p, const char *name, mt_slice source, mt_slice cases,
                          mti_buf *report, mti_error *e);

/* `mortise policy replay`: runs a policy over what was recorded, oldest first (JSON: [{id, ctx,
 * decision}]), and answers a JSON report {policy, hook, replayed, same, different, skipped,
 * differences: [{id, before, after}]}, at most 100 of them. Records of other hooks, and those whose
 * ctx was too large to keep, are skipped. As mti_policy_test. */
mt_status mti_policy_replay(mti_policies *p, const char *name, mt_slice source, mt_slice records,
                            mti_buf *report, mti_error *e);

#endif
