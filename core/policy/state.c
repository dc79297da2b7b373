/* Lua states: memory, the sandbox's globals, and which state runs a policy. */
#include "policy/policy_impl.h"

#include <stdlib.h>

#define BASE_HEAP     (256u << 10)  /* enough for the libraries */
#define OWN_FUNCTIONS 128           /* an organization's, replaced ones included */

/* --- memory --- */

static void *on_alloc(void *ud, void *p, size_t old, size_t size)
{
    mti_policy_heap *h = ud;
    if (!p)
        old = 0; /* Lua passes a type there */
    if (size == 0) {
        h->used -= old;
        free(p);
        return NULL;
    }
    /* while a block grows there are two of it */
    if (size > old && (size > MTI_POLICY_STRING + 64 || h->used + size > h->limit))
        return NULL;
    void *q = realloc(p, size);
    if (q)
        h->used += size - old;
    return q;
}

static int on_panic(lua_State *L)
{
    abort(); /* something entered Lua outside run.c's protected call */
}

lua_State *mti_policy_lua_new(mti_policy_heap *heap)
{
    lua_State *L = lua_newstate(on_alloc, heap);
    if (L) {
        lua_atpanic(L, on_panic);
        *mti_policy_running_at(L) = NULL;
    }
    return L;
}

/* --- the sandbox --- */

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "this table is read-only");
}

/* Gives the table on top a locked metatable with the table below it as __index. Pops nothing. */
static void lock(lua_State *L, int index_at)
{
    index_at = lua_absindex(L, index_at);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, index_at);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
}

void mti_policy_protect(lua_State *L)
{
    lua_newtable(L);
    lock(L, -2);
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

static void set_library(lua_State *L, const char *name, void (*open)(lua_State *))
{
    open(L);
    mti_policy_protect(L);
    lua_setfield(L, -2, name);
}

static void lock_strings(lua_State *L)
{
    lua_pushliteral(L, "");
    mti_policy_open_string(L);
    lock(L, -1);
    lua_remove(L, -2);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

/* Names that a script did not set itself come from one shared table, through the metatable of its
 * environment. */
static int sandbox_open(lua_State *L)
{
    mti_policy_state *s = lua_touserdata(L, 1);
    lua_newtable(L);
    mti_policy_open_base(L);
    set_library(L, "string", mti_policy_open_string);
    set_library(L, "table", mti_policy_open_table);
    set_library(L, "math", mti_policy_open_math);
    mti_policy_open_api(L);
    lock(L, -1);
    s->globals = luaL_ref(L, LUA_REGISTRYINDEX);
    lock_strings(L);
    lua_newtable(L);
    s->functions = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, 0);
    lua_gc(L, LUA_GCCOLLECT);
    return 0;
}

/* --- functions --- */

static const char *read_code(lua_State *L, void *ud, size_t *n)
{
    mt_slice *rest = ud;
    const char *p = rest->p;
    *n = rest->len;
    *rest = (mt_slice){NULL, 0};
    return p;
}

static void function_load(lua_State *L, mti_policy_state *s, const mti_policy *policy)
{
    mt_slice code = {policy->code, policy->code_len};
    if (lua_load(L, read_code, &code, policy->name, "b") != LUA_OK)
        lua_error(L);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, policy->id);
    s->loaded++;
    lua_gc(L, LUA_GCCOLLECT);
    s->baseline = s->heap.used;
    s->heap.limit = s->baseline + policy->engine->limits.memory;
}

void mti_policy_state_push(lua_State *L, mti_policy_state *s, const mti_policy *policy)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->functions);
    if (lua_rawgeti(L, -1, policy->id) != LUA_TFUNCTION) {
        lua_pop(L, 1);
        function_load(L, s, policy);
    }
    lua_remove(L, -2);
    lua_newtable(L); /* this call's globals */
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->globals);
    lua_setmetatable(L, -2);
    lua_setupvalue(L, -2, 1);
}

void mti_policy_state_clear(mti_policy_state *s, const mti_policy *policy)
{
    lua_rawgeti(s->L, LUA_REGISTRYINDEX, s->functions);
    if (lua_rawgeti(s->L, -1, policy->id) == LUA_TFUNCTION) {
        lua_pushnil(s->L);
        lua_setupvalue(s->L, -2, 1);
    }
    lua_settop(s->L, 0);
}

/* --- states --- */

static void state_destroy(mti_policy_state *s)
{
    if (!s)
        return;
    if (s->L)
        lua_close(s->L);
    free(s);
}

static mti_policy_state *state_create(const mti_policies *p, mti_uuid org_id)
{
    mti_policy_state *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->org_id = org_id;
    s->heap.limit = BASE_HEAP;
    s->L = mti_policy_lua_new(&s->heap);
    if (s->L) {
        lua_pushcfunction(s->L, sandbox_open);
        lua_pushlightuserdata(s->L, s);
        if (lua_pcall(s->L, 1, 0, 0) == LUA_OK) {
            s->baseline = s->heap.used;
            s->heap.limit = s->baseline + p->limits.memory;
            return s;
        }
    }
    state_destroy(s);
    return NULL;
}

static mt_slice state_key(const mti_policy_state *s)
{
    return (mt_slice){(const char *)s->org_id.b, sizeof s->org_id.b};
}

static void lru_remove(mti_policy_lane *lane, mti_policy_state *s)
{
    *(s->newer ? &s->newer->older : &lane->newest) = s->older;
    *(s->older ? &s->older->newer : &lane->oldest) = s->newer;
}

static void lru_push(mti_policy_lane *lane, mti_policy_state *s)
{
    s->newer = NULL;
    s->older = lane->newest;
    *(lane->newest ? &lane->newest->newer : &lane->oldest) = s;
    lane->newest = s;
}

void mti_policy_state_drop(mti_policy_lane *lane, mti_policy_state *s)
{
    if (s == lane->platform) {
        lane->platform = NULL;
    } else {
        mti_map_remove(lane->states, state_key(s));
        lru_remove(lane, s);
        lane->bytes -= s->counted;
    }
    state_destroy(s);
}

void mti_policy_state_account(mti_policy_lane *lane, mti_policy_state *s)
{
    if (s == lane->platform)
        return;
    lane->bytes += s->heap.used - s->counted;
    s->counted = s->heap.used;
    while (lane->bytes > MTI_POLICY_BYTES && lane->oldest != s)
        mti_policy_state_drop(lane, lane->oldest);
}

static mti_policy_state *state_add(const mti_policies *p, mti_policy_lane *lane, mti_uuid org_id)
{
    if (mti_uuid_is_nil(org_id))
        return lane->platform = state_create(p, org_id);
    if (mti_map_count(lane->states) >= MTI_POLICY_STATES)
        mti_policy_state_drop(lane, lane->oldest);
    mti_policy_state *s = state_create(p, org_id);
    if (s) {
        mti_map_put(lane->states, state_key(s), s);
        lru_push(lane, s);
    }
    return s;
}

mti_policy_state *mti_policy_state_get(mti_policies *p, mti_policy_lane *lane,
                                       const mti_policy *policy)
{
    bool platform = mti_uuid_is_nil(policy->org_id);
    mt_slice key = {(const char *)policy->org_id.b, sizeof policy->org_id.b};
    mti_policy_state *s = platform ? lane->platform : mti_map_get(lane->states, key);
    unsigned live = atomic_load_explicit(&p->live, memory_order_relaxed);
    /* Functions of released policies stay until most of a state is such. */
    if (s && s->loaded > (platform ? 2 * live + 16 : OWN_FUNCTIONS)) {
        mti_policy_state_drop(lane, s);
        s = NULL;
    }
    if (!s)
        return state_add(p, lane, policy->org_id);
    if (!platform && lane->newest != s) {
        lru_remove(lane, s);
        lru_push(lane, s);
    }
    return s;
}

void mti_policy_lane_dispose(mti_policy_lane *lane)
{
    state_destroy(lane->platform);
    while (lane->oldest)
        mti_policy_state_drop(lane, lane->oldest);
    mti_map_destroy(lane->states);
}

/* --- the engine --- */

mti_policies *mti_policies_create(const mti_policy_limits *l, mti_loop **loops, unsigned n_loops)
{
    mti_policies *p = calloc(1, sizeof *p + (n_loops + 1) * sizeof p->lanes[0]);
    if (!p)
        abort();
    p->limits = l ? *l : (mti_policy_limits){0};
    if (p->limits.instructions <= 0)
        p->limits.instructions = 100000;
    if (p->limits.memory == 0)
        p->limits.memory = 1 << 20;
    if (p->limits.cpu_us <= 0)
        p->limits.cpu_us = 5000;
    p->ticks = mti_ticks_start();
    p->n_loops = n_loops;
    p->kv = mti_kv_create();
    pthread_mutex_init(&p->kv_lock, NULL);
    for (unsigned i = 0; i <= n_loops; i++)
        p->lanes[i].states = mti_map_create();
    return p;
}

void mti_policies_destroy(mti_policies *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i <= p->n_loops; i++)
        mti_policy_lane_dispose(&p->lanes[i]);
    mti_kv_destroy(p->kv);
    pthread_mutex_destroy(&p->kv_lock);
    free(p);
}
