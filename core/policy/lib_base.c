/* Basic functions, math and table: what of Lua's own libraries a policy sees, with ours in place of
 * the unbounded ones. */
#include "policy/policy_impl.h"

#include <lualib.h>

#define SORT_MAX   10000
#define UNPACK_MAX 250

/* Copies named functions from the library table on top to the table below it, and pops the library.
 */
static void pick(lua_State *L, const char *const *names)
{
    for (; *names; names++) {
        lua_getfield(L, -1, *names);
        lua_setfield(L, -3, *names);
    }
    lua_pop(L, 1);
}

/* --- base --- */

static bool has_own_text(lua_State *L, int index)
{
    int type = lua_type(L, index);
    if (type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING)
        return true;
    if (luaL_getmetafield(L, index, "__tostring") == LUA_TNIL)
        return false;
    lua_pop(L, 1);
    return true;
}

const char *mti_policy_text(lua_State *L, int index, size_t *len)
{
    if (has_own_text(L, index))
        return luaL_tolstring(L, index, len);
    lua_pushstring(L, luaL_typename(L, index)); /* an address would tell about the process */
    return lua_tolstring(L, -1, len);
}

static int base_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    mti_policy_text(L, 1, NULL);
    return 1;
}

static int base_pcall(lua_State *L)
{
    mti_policy_frame *r = mti_policy_running(L);
    luaL_checkany(L, 1);
    unsigned depth = r->depth;
    mti_policy_enter_callback(L);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    r->depth = depth;
    if (status == LUA_ERRMEM && !r->limit)
        r->limit = LIMIT_MEMORY;
    if (r->limit || r->decided)
        mti_policy_leave(L);
    r->line = 0;
    lua_pushboolean(L, status == LUA_OK);
    lua_insert(L, 1);
    return lua_gettop(L);
}

static int base_setmetatable(lua_State *L)
{
    static const char *const refused[] = {"__gc", "__mode", "__close"};
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    lua_settop(L, 2);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "this metatable is locked");
    for (size_t i = 0; lua_istable(L, 2) && i < sizeof refused / sizeof *refused; i++) {
        lua_pushstring(L, refused[i]);
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "%s is not allowed here", refused[i]);
        lua_pop(L, 1);
    }
    lua_setmetatable(L, 1);
    return 1;
}

static int base_getmetatable(lua_State *L)
{
    luaL_checkany(L, 1);
    if (lua_type(L, 1) != LUA_TTABLE || !lua_getmetatable(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    luaL_getmetafield(L, 1, "__metatable");
    return 1;
}

void mti_policy_open_base(lua_State *L)
{
    static const char *const names[] = {"assert", "error",    "ipairs", "next",
                                        "pairs",  "rawequal", "rawget", "rawlen",
                                        "select", "tonumber", "type",   NULL};
    static const luaL_Reg own[] = {{"tostring", base_tostring},
                                   {"pcall", base_pcall},
                                   {"setmetatable", base_setmetatable},
                                   {"getmetatable", base_getmetatable},
                                   {NULL, NULL}};
    luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
    pick(L, names);
    luaL_setfuncs(L, own, 0);
}

/* --- math: everything that is a function of its arguments --- */

void mti_policy_open_math(lua_State *L)
{
    static const char *const names[] = {"abs", "ceil", "exp", "floor", "fmod", "huge", "log", "max",
                                        "maxinteger", "min", "mininteger", "modf", "pi", "sqrt",
                                        "tointeger", "type", "ult", NULL};
    lua_newtable(L);
    luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 0);
    pick(L, names);
}

/* --- table: raw, and paid for by length --- */

static lua_Integer table_length(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    return (lua_Integer)lua_rawlen(L, 1);
}

static void refuse_locked(lua_State *L)
{
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        luaL_error(L, "this table is read-only");
}

static int table_insert(lua_State *L)
{
    lua_Integer n = table_length(L), at = n + 1;
    refuse_locked(L);
    if (lua_gettop(L) == 3) {
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, at >= 1 && at <= n + 1, 2, "position out of bounds");
    } else if (lua_gettop(L) != 2) {
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    mti_policy_charge(L, (size_t)(n - at + 2) / 2);
    for (lua_Integer i = n; i >= at; i--) {
        lua_rawgeti(L, 1, i);
        lua_rawseti(L, 1, i + 1);
    }
    lua_rawseti(L, 1, at);
    return 0;
}

static int table_remove(lua_State *L)
{
    lua_Integer n = table_length(L), at = luaL_optinteger(L, 2, n);
    refuse_locked(L);
    if (n == 0)
        return 0;
    luaL_argcheck(L, at >= 1 && at <= n, 2, "position out of bounds");
    mti_policy_charge(L, (size_t)(n - at + 2) / 2);
    lua_rawgeti(L, 1, at);
    for (lua_Integer i = at; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        lua_rawseti(L, 1, i);
    }
    lua_pushnil(L);
    lua_rawseti(L, 1, n);
    return 1;
}

static int table_concat(lua_State *L)
{
    lua_Integer n = table_length(L);
    size_t gap_len;
    const char *gap = luaL_optlstring(L, 2, "", &gap_len);
    lua_Integer from = luaL_optinteger(L, 3, 1), to = luaL_optinteger(L, 4, n);
    luaL_argcheck(L, from >= 1 && to <= n, 3, "range out of bounds");
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer i = from; i <= to; i++) {
        int type = lua_rawgeti(L, 1, i);
        if (type != LUA_TSTRING && type != LUA_TNUMBER)
            return luaL_error(L, "a %s value cannot be joined to a text", lua_typename(L, type));
        mti_policy_charge_bytes(L, lua_rawlen(L, -1) + gap_len);
        luaL_addvalue(&b);
        if (i < to)
            luaL_addlstring(&b, gap, gap_len);
    }
    luaL_pushresult(&b);
    return 1;
}

static int table_unpack(lua_State *L)
{
    lua_Integer n = table_length(L);
    lua_Integer from = luaL_optinteger(L, 2, 1), to = luaL_optinteger(L, 3, n);
    if (from > to)
        return 0;
    if (from < 1 || to - from >= UNPACK_MAX)
        return luaL_error(L, "too many results to unpack");
    luaL_checkstack(L, (int)(to - from + 1), NULL);
    for (lua_Integer i = from; i <= to; i++)
        lua_rawgeti(L, 1, i);
    return (int)(to - from + 1);
}

/* Whether the value at index a belongs before the one at b. */
static bool sort_before(lua_State *L, int a, int b)
{
    a = lua_absindex(L, a);
    b = lua_absindex(L, b);
    if (lua_isnoneornil(L, 2)) {
        size_t la = lua_rawlen(L, a), lb = lua_rawlen(L, b);
        bool texts = lua_type(L, a) == LUA_TSTRING && lua_type(L, b) == LUA_TSTRING;
        mti_policy_charge_bytes(L, texts ? (la < lb ? la : lb) : 0);
        return lua_compare(L, a, b, LUA_OPLT);
    }
    mti_policy_charge(L, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool before = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return before;
}

/* Lets the value at the root of a heap of n sink: a heap sort needs no more compares for a bad
 * comparator. */
static void sort_sink(lua_State *L, lua_Integer root, lua_Integer n)
{
    for (lua_Integer child; (child = 2 * root) <= n; root = child) {
        lua_rawgeti(L, 1, child);
        if (child < n) {
            lua_rawgeti(L, 1, child + 1);
            bool right = sort_before(L, -2, -1);
            lua_remove(L, right ? -2 : -1);
            child += right;
        }
        lua_rawgeti(L, 1, root);
        if (!sort_before(L, -1, -2)) {
            lua_pop(L, 2);
            return;
        }
        lua_rawseti(L, 1, child);
        lua_rawseti(L, 1, root);
    }
}

static int table_sort(lua_State *L)
{
    lua_Integer n = table_length(L);
    refuse_locked(L);
    lua_settop(L, 2);
    luaL_argcheck(L, n <= SORT_MAX, 1, "too many items to sort");
    mti_policy_frame *r = mti_policy_running(L);
    unsigned depth = r->depth;
    mti_policy_enter_callback(L);
    for (lua_Integer i = n / 2; i >= 1; i--)
        sort_sink(L, i, n);
    for (lua_Integer last = n; last > 1; last--) {
        lua_rawgeti(L, 1, 1);
        lua_rawgeti(L, 1, last);
        lua_rawseti(L, 1, 1);
        lua_rawseti(L, 1, last);
        sort_sink(L, 1, last - 1);
    }
    r->depth = depth;
    return 0;
}

void mti_policy_open_table(lua_State *L)
{
    static const luaL_Reg functions[] = {{"insert", table_insert}, {"remove", table_remove},
                                         {"concat", table_concat}, {"unpack", table_unpack},
                                         {"sort", table_sort}, {NULL, NULL}};
    luaL_newlib(L, functions);
}
