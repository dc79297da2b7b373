/* Values between Lua and JSON. */
#include "policy/policy_impl.h"

#include <math.h>

#include "json/json.h"

#define DEPTH_MAX  16
#define ITEMS_MAX  10000

typedef struct encoder {
    lua_State *L;
    mti_buf *out;
    const char *why;
    unsigned items;
} encoder;

static bool refuse(encoder *e, const char *why)
{
    e->why = why;
    return false;
}

static bool encode(encoder *e, int index, int depth);

/* The number of items when every key is 1 … n; -1 for any other table. */
static lua_Integer sequence_length(lua_State *L, int index)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, index), seen = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 || lua_tointeger(L, -1) > n) {
            lua_pop(L, 1);
            return -1;
        }
        if (++seen > ITEMS_MAX) {    /* too many, whatever they are */
            lua_pop(L, 1);
            return n;
        }
    }
    return seen == n ? n : -1;
}

static bool encode_sequence(encoder *e, int index, lua_Integer n, int depth)
{
    mti_buf_addc(e->out, '[');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            mti_buf_addc(e->out, ',');
        lua_rawgeti(e->L, index, i);
        bool ok = encode(e, lua_gettop(e->L), depth + 1);
        lua_pop(e->L, 1);
        if (!ok)
            return false;
    }
    mti_buf_addc(e->out, ']');
    return true;
}

static bool encode_members(encoder *e, int index, int depth)
{
    bool first = true;
    mti_buf_addc(e->out, '{');
    lua_pushnil(e->L);
    while (lua_next(e->L, index)) {
        if (lua_type(e->L, -2) != LUA_TSTRING) {
            lua_pop(e->L, 2);
            return refuse(e, "a table's keys must be 1 … n or texts");
        }
        mt_slice key;
        key.p = lua_tolstring(e->L, -2, &key.len);
        if (!first)
            mti_buf_addc(e->out, ',');
        first = false;
        mti_buf_add_json(e->out, key);
        mti_buf_addc(e->out, ':');
        if (!encode(e, lua_gettop(e->L), depth + 1)) {
            lua_pop(e->L, 2);
            return false;
        }
        lua_pop(e->L, 1);
    }
    mti_buf_addc(e->out, '}');
    return true;
}

static bool encode_number(encoder *e, int index)
{
    if (lua_isinteger(e->L, index)) {
        mti_buf_addf(e->out, "%lld", (long long)lua_tointeger(e->L, index));
        return true;
    }
    double v = lua_tonumber(e->L, index);
    if (!isfinite(v))
        return refuse(e, "not a finite number");
    mti_buf_addf(e->out, "%.17g", v);
    return true;
}

static bool encode_text(encoder *e, int index)
{
    mt_slice s;
    s.p = lua_tolstring(e->L, index, &s.len);
    mti_buf_add_json(e->out, s);
    return true;
}

/* index is absolute. Nothing here allocates in Lua, so nothing raises. */
static bool encode(encoder *e, int index, int depth)
{
    if (depth > DEPTH_MAX || !lua_checkstack(e->L, 8))
        return refuse(e, "nested too deeply");
    if (++e->items > ITEMS_MAX || e->out->status != MT_OK)
        return refuse(e, "too large");
    if (mti_policy_is_late(e->L))
        return refuse(e, "it took too long");
    switch (lua_type(e->L, index)) {
    case LUA_TNIL:
        return mti_buf_adds(e->out, "null") == MT_OK;
    case LUA_TBOOLEAN:
        return mti_buf_adds(e->out, lua_toboolean(e->L, index) ? "true" : "false") == MT_OK;
    case LUA_TNUMBER:
        return encode_number(e, index);
    case LUA_TSTRING:
        return encode_text(e, index);
    case LUA_TTABLE: {
        lua_Integer n = sequence_length(e->L, index);
        return n >= 0 ? encode_sequence(e, index, n, depth) : encode_members(e, index, depth);
    }
    default:
        return refuse(e, "not a text, number, boolean or table");
    }
}

bool mti_policy_write_json(lua_State *L, int index, mti_buf *out, unsigned *items,
                           const char **why)
{
    encoder e = {.L = L, .out = out};
    bool ok = encode(&e, lua_absindex(L, index), 0) && out->status == MT_OK;
    *why = e.why ? e.why : "too large";
    *items = e.items;
    return ok;
}

/* --- the other way --- */

static void push(lua_State *L, const json_t *v)
{
    luaL_checkstack(L, 4, NULL);
    mti_policy_charge(L, 1);
    switch (json_typeof(v)) {
    case JSON_OBJECT: {
        const char *key;
        size_t len;
        json_t *item;
        lua_newtable(L);
        json_object_keylen_foreach((json_t *)v, key, len, item)
        {
            lua_pushlstring(L, key, len);
            push(L, item);
            lua_rawset(L, -3);
        }
        break;
    }
    case JSON_ARRAY:
        lua_newtable(L);
        for (size_t i = 0; i < json_array_size(v); i++) {
            push(L, json_array_get(v, i));
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(v));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(v));
        break;
    default:
        lua_pushnil(L);
    }
}

static void on_release(void *v)
{
    json_decref(v);
}

void mti_policy_push_json(lua_State *L, mt_slice json)
{
    mti_policy_charge_bytes(L, json.len * 4);
    mti_arena *arena = &mti_policy_running(L)->c->arena;
    json_t *v;
    if (!json.len) {
        lua_pushnil(L);
        return;
    }
    if (mti_json_parse(json, 0, &v, NULL) != MT_OK)
        luaL_error(L, "the field is not JSON");
    /* push may leave by an error; then the call's end releases the tree. */
    mti_arena_defer(arena, on_release, v);
    push(L, v);
    mti_arena_undefer(arena, on_release, v);
    json_decref(v);
}
