/* What the files of policy/ share; nobody else includes this. The only folder that knows Lua. */
#ifndef MTI_POLICY_IMPL_H
#define MTI_POLICY_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/map.h"
#include "bus/patch.h"
#include "base/ticks.h"
#include "json/json.h"
#include "policy/kv.h"
#include "policy/payload.h"
#include "policy/policy.h"

#define MTI_POLICY_STATES 1000          /* organizations' states a loop */
#define MTI_POLICY_BYTES  (64u << 20)   /* all of them together, a loop */
#define MTI_POLICY_STRING (256u << 10)  /* the largest single block, so the longest text */

struct mti_policy {
    mti_policies *engine;
    char name[64];
    int hook, priority;
    mti_uuid org_id;
    int64_t id;                  /* never reused; names the function in a state */
    atomic_ullong failures;
    size_t code_len;
    char code[];                 /* bytecode that our own compiler wrote */
};

/* What a state may allocate. */
typedef struct mti_policy_heap {
    size_t used, limit;
} mti_policy_heap;

/* A Lua state with the sandbox in it; idle between calls. */
typedef struct mti_policy_state {
    lua_State *L;
    mti_policy_heap heap;
    size_t baseline;             /* bytes of libraries and code */
    unsigned loaded;             /* functions kept in it */
    int functions,
        globals; /* registry references: functions by id; the metatable of environments */
    mti_uuid org_id;
    size_t counted;              /* of heap.used, in the lane's bytes */
    struct mti_policy_state *newer, *older;
} mti_policy_state;

/* What belongs to one loop. */
typedef struct mti_policy_lane {
    mti_policy_state *platform;
    mti_map *states;             /* by org_id */
    mti_policy_state *newest, *oldest;
    size_t bytes;                /* of the organizations' states, as they were last idle */
} mti_policy_lane;

struct mti_policies {
    mti_policy_limits limits;
    mti_ticks_base ticks;
    unsigned n_loops;
    int64_t now_us;              /* what now() tells to cases and records; 0: the time */
    atomic_uint live;            /* the platform's policies not yet released */
    pthread_mutex_t kv_lock;     /* held for a look-up, never while Lua may raise */
    mti_kv *kv;                  /* one for all loops: what policies count must not depend on them */
    mti_policy_lane lanes[];     /* one a loop, and one for callers without a loop */
};

typedef enum mti_policy_limit {
    LIMIT_NONE,
    LIMIT_INSTRUCTIONS,
    LIMIT_CPU,
    LIMIT_MEMORY
} mti_policy_limit;

/* One call of a policy; functions of the sandbox reach it through mti_policy_running. */
typedef struct mti_policy_frame {
    mti_policies *engine;
    mti_policy *policy;
    mti_policy_mode mode;
    mti_policy_lane *lane;
    mti_policy_state *state;
    mt_call *c;
    const mti_hook_info *hook;
    const void *in;
    mt_patch *out;
    int64_t steps;
    uint64_t started, looked;    /* ticks */
    unsigned period;             /* instructions between looks */
    int64_t cpu_from_ns;         /* taken once the wall clock gives reason; 0 before */
    mti_policy_limit limit;      /* once set, every step fails */
    bool decided;                /* decide.* was called: the script is being left */
    bool cached;                 /* ctx holds decoded JSON fields of this call */
    mt_outcome outcome;
    int line;                    /* of the decision, or of the failure */
    size_t outside;              /* bytes of patches: the call's memory, counted as the state's */
    unsigned depth;              /* callbacks from library functions into the script */
    unsigned logs;
    char message[192];           /* of an error */
} mti_policy_frame;

static inline mti_policy_frame **mti_policy_running_at(lua_State *L)
{
    return lua_getextraspace(L);
}

static inline mti_policy_frame *mti_policy_running(lua_State *L)
{
    return *mti_policy_running_at(L);
}

/* --- run.c: every one of these may leave by a Lua error --- */

/* Counts work that no instruction shows. */
void mti_policy_charge(lua_State *L, size_t steps);
static inline void mti_policy_charge_bytes(lua_State *L, size_t bytes)
{
    mti_policy_charge(L, bytes / 16 + 1);
}
/* Fails when callbacks nest too deeply for a fiber's stack; the caller puts depth back afterwards.
 */
void mti_policy_enter_callback(lua_State *L);
/* Whether the time is up; for work that may not raise. */
bool mti_policy_is_late(lua_State *L);
/* Counts memory that is kept for the policy outside of its state. */
void mti_policy_charge_memory(lua_State *L, size_t bytes);
/* Leaves the script, past every pcall. limit or decided is set. */
_Noreturn void mti_policy_leave(lua_State *L);
int mti_policy_line(lua_State *L);

/* --- state.c --- */

/* The state that runs the policy, created when needed; NULL without memory. */
mti_policy_state *mti_policy_state_get(mti_policies *p, mti_policy_lane *lane,
                                       const mti_policy *policy);
/* Throws the state away; the next call gets a fresh one. */
void mti_policy_state_drop(mti_policy_lane *lane, mti_policy_state *s);
/* Leaves the policy's function on the stack, loading it first when needed. Raises. */
void mti_policy_state_push(lua_State *L, mti_policy_state *s, const mti_policy *policy);
/* Forgets the globals of the policy's last call. Allocates nothing. */
void mti_policy_state_clear(mti_policy_state *s, const mti_policy *policy);
/* Counts what the idle state holds now, and lets the oldest go while there is too much. */
void mti_policy_state_account(mti_policy_lane *lane, mti_policy_state *s);
void mti_policy_lane_dispose(mti_policy_lane *lane);
lua_State *mti_policy_lua_new(mti_policy_heap *heap);

/* --- the sandbox's functions: each leaves one table of functions on the stack --- */

void mti_policy_open_base(lua_State *L);     /* adds to the table on top instead */
void mti_policy_open_string(lua_State *L);
void mti_policy_open_table(lua_State *L);
void mti_policy_open_math(lua_State *L);
void mti_policy_open_api(lua_State *L);      /* adds to the table on top instead */
/* Forgets the decoded fields of the last call. Allocates nothing. */
void mti_policy_clear_ctx(lua_State *L);
/* Replaces the table on top by a read-only view of it. */
void mti_policy_protect(lua_State *L);

/* As tostring, without addresses; leaves the text on the stack. */
const char *mti_policy_text(lua_State *L, int index, size_t *len);

/* --- value.c --- */

/* Adds a Lua value as JSON; false (why says it) for what JSON cannot say. items: how many values it
 * has. Never raises. */
bool mti_policy_write_json(lua_State *L, int index, mti_buf *out, unsigned *items,
                           const char **why);
/* Pushes a JSON text as a Lua value. Raises for a malformed text. */
void mti_policy_push_json(lua_State *L, mt_slice json);


#endif
