/* What a policy can see and do: ctx, decide, patch, kv, log, metric, now. */
#include "policy/policy_impl.h"

#include <math.h>

#include "base/log.h"
#include "base/utf8.h"
#include "bus/bus.h"
#include "telemetry/metrics.h"

#define JSON_MAX (256u << 10)
#define LOGS_MAX 16
#define TREE_ITEM 256u               /* bytes of a value in a JSON tree, at most about */
#define TTL_MAX  86400.0

static mt_slice text_arg(lua_State *L, int index)
{
    mt_slice s;
    s.p = luaL_checklstring(L, index, &s.len);
    return s;
}

static void push_text(lua_State *L, mt_slice s)
{
    mti_policy_charge_bytes(L, s.len);
    if (s.p)
        lua_pushlstring(L, s.p, s.len);
    else
        lua_pushnil(L);
}

/* --- ctx: reads the payload when asked; nothing is built before --- */

static const mti_hook_field *field_find(const mti_hook_info *h, mt_slice name)
{
    for (unsigned i = 0; i < h->n_fields; i++)
        if (mt_slice_eq(name, mt_str(h->fields[i].name)))
            return &h->fields[i];
    return NULL;
}

/* A decoded JSON field is kept for the call in ctx's user value, by name. Index 1 is ctx, 2 the
 * name. */
static void push_json_field(lua_State *L, mti_policy_frame *r, mt_slice json)
{
    if (!r->cached) {
        lua_newtable(L);
        lua_setiuservalue(L, 1, 1);
        r->cached = true;
    }
    lua_getiuservalue(L, 1, 1);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL)
        return;
    lua_pop(L, 1);
    mti_policy_push_json(L, json);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
}

static void push_field(lua_State *L, mti_policy_frame *r, const mti_hook_field *f)
{
    const void *at = (const char *)r->in + f->offset;
    switch (f->type) {
    case MTI_F_SLICE:
        push_text(L, *(const mt_slice *)at);
        break;
    case MTI_F_JSON:
        push_json_field(L, r, *(const mt_slice *)at);
        break;
    case MTI_F_I32:
        lua_pushinteger(L, *(const int32_t *)at);
        break;
    case MTI_F_U32:
        lua_pushinteger(L, *(const uint32_t *)at);
        break;
    case MTI_F_I64:
        lua_pushinteger(L, *(const int64_t *)at);
        break;
    case MTI_F_F64:
        lua_pushnumber(L, *(const double *)at);
        break;
    case MTI_F_BOOL:
        lua_pushboolean(L, *(const bool *)at);
        break;
    }
}

static void push_uuid(lua_State *L, mti_uuid id)
{
    char text[37];
    mti_uuid_format(id, text);
    lua_pushstring(L, mti_uuid_is_nil(id) ? NULL : text);
}

/* Names that every ctx has. */
static bool push_common(lua_State *L, const mt_call *c, mt_slice name)
{
    if (mt_slice_eq(name, MT_SLICE("org_id")))
        push_uuid(L, c->who.org_id);
    else if (mt_slice_eq(name, MT_SLICE("workspace_id")))
        push_uuid(L, c->workspace_id);
    else if (mt_slice_eq(name, MT_SLICE("subject_id")))
        push_uuid(L, c->who.subject_id);
    else if (mt_slice_eq(name, MT_SLICE("operation")))
        lua_pushstring(L, c->operation);
    else
        return false;
    return true;
}

static int ctx_index(lua_State *L)
{
    mti_policy_frame *r = mti_policy_running(L);
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    mt_slice name = text_arg(L, 2);
    const mti_hook_field *f = field_find(r->hook, name);
    if (f)
        push_field(L, r, f);
    else if (!push_common(L, r->c, name))
        return luaL_error(L, "ctx has no field %s here", name.p);
    return 1;
}

static int ctx_newindex(lua_State *L)
{
    return luaL_error(L, "ctx is read-only: use patch()");
}

/* --- decide --- */

_Noreturn static void decide(lua_State *L, mt_outcome outcome)
{
    mti_policy_frame *r = mti_policy_running(L);
    r->outcome = outcome;
    r->line = mti_policy_line(L);
    r->decided = true;
    mti_policy_leave(L);
}

static int decide_continue(lua_State *L)
{
    decide(L, MT_CONTINUE);
}

static int decide_stop(lua_State *L)
{
    decide(L, MT_STOP);
}

static int decide_deny(lua_State *L)
{
    mti_policy_frame *r = mti_policy_running(L);
    lua_Integer status = luaL_optinteger(L, 1, 403);
    mt_slice code = mt_str(luaL_optstring(L, 2, "denied")),
             detail = mt_str(luaL_optstring(L, 3, "Refused by policy."));
    luaL_argcheck(L, status >= 400 && status <= 599, 1, "an HTTP status from 400 to 599");
    if (!r->hook->filter)
        return luaL_error(L, "%s cannot be denied: it tells what has happened", r->hook->name);
    decide(L, mti_bus_deny(r->c, (int)status, code, detail));
}

/* --- patch(pointer, value) --- */

/* It is read as a tree of values, which must fit in what is left of the memory. Does not raise:
 * *bytes is what did not fit, or 0. */
static mt_status patch_json(lua_State *L, mti_policy_frame *r, mt_slice pointer, const char **why,
                            size_t *bytes)
{
    mti_buf json;
    unsigned items;
    mt_status st = MT_INVALID;
    mti_buf_init(&json, JSON_MAX);
    *bytes = 0;
    if (mti_policy_write_json(L, 2, &json, &items, why)) {
        size_t need = json.len * 2 + items * TREE_ITEM;
        *why = "that field may not be set so";
        if (r->outside + r->state->heap.used + need > r->state->heap.limit)
            *bytes = need;
        else
            st = mti_patch_set(r->out, pointer, mti_buf_slice(&json));
    }
    mti_buf_dispose(&json);
    return st;
}

static int api_patch(lua_State *L)
{
    mti_policy_frame *r = mti_policy_running(L);
    mt_slice pointer = text_arg(L, 1);
    const char *why = "that field may not be set so";
    size_t bytes;
    mt_status st;
    luaL_checkany(L, 2);
    mti_policy_charge(L, 50);
    if (lua_type(L, 2) == LUA_TSTRING) {
        mti_policy_charge_bytes(L, text_arg(L, 2).len * 4);
        mti_policy_charge_memory(L, pointer.len + text_arg(L, 2).len);
        st = mti_patch_set_text(r->out, pointer, text_arg(L, 2));
    } else {
        st = patch_json(L, r, pointer, &why, &bytes);
        mti_policy_charge_memory(L, bytes);
    }
    if (st != MT_OK)
        return luaL_error(L, "patch %s: %s", pointer.p, why);
    r->out->last->line = mti_policy_line(L);
    mti_policy_charge_memory(L, sizeof(mti_patch_op) + pointer.len + r->out->last->value.len);
    return 0;
}

/* An organization's, not the platform's: it may not fill the operator's log nor use up its series. */
static bool is_own(const mti_policy_frame *r)
{
    return !mti_uuid_is_nil(r->policy->org_id);
}

/* --- kv --- */

static mti_kv_scope kv_scope(const mti_policy_frame *r)
{
    return (mti_kv_scope){.own = r->mode == MTI_POLICY_SHADOW ? 2 : is_own(r), .org_id = r->c->who.org_id};
}

static int64_t ttl_arg(lua_State *L, int index)
{
    double ttl = luaL_optnumber(L, index, 60);
    luaL_argcheck(L, ttl > 0 && ttl <= TTL_MAX, index, "seconds, at most a day");
    return (int64_t)(ttl * 1e6);
}

/* Answers true, or nil and the reason. */
static int kv_answer(lua_State *L, mt_status st)
{
    if (st == MT_OK)
        return lua_pushboolean(L, true), 1;
    lua_pushnil(L);
    lua_pushstring(L, mti_status_name(st));
    return 2;
}

/* room: for a text. */
static mt_status find(mti_policy_frame *r, mt_slice key, mti_kv_value *v, char *room)
{
    pthread_mutex_lock(&r->engine->kv_lock);
    mt_status st = mti_kv_get(r->engine->kv, kv_scope(r), key, mti_mono_us(), v);
    if (st == MT_OK && v->text.p) {
        memcpy(room, v->text.p, v->text.len);
        v->text.p = room;
    }
    pthread_mutex_unlock(&r->engine->kv_lock);
    return st;
}

static int kv_get(lua_State *L)
{
    mti_kv_value v;
    char room[MTI_KV_TEXT];
    mti_policy_charge(L, 10);
    if (find(mti_policy_running(L), text_arg(L, 1), &v, room) != MT_OK)
        lua_pushnil(L);
    else if (v.text.p)
        push_text(L, v.text);
    else
        lua_pushnumber(L, v.number);
    return 1;
}

static int kv_set(lua_State *L)
{
    mti_policy_frame *r = mti_policy_running(L);
    mt_slice key = text_arg(L, 1);
    int64_t ttl = ttl_arg(L, 3);
    mti_kv_value v = {0};
    mt_status st = MT_OK;
    mti_policy_charge(L, 50);
    if (lua_type(L, 2) == LUA_TNUMBER)
        v.number = lua_tonumber(L, 2);
    else if (lua_isnil(L, 2))
        ttl = 0;
    else
        v.text = text_arg(L, 2);
    if (r->mode != MTI_POLICY_DRY) {
        pthread_mutex_lock(&r->engine->kv_lock);
        st = mti_kv_set(r->engine->kv, kv_scope(r), key, v, ttl, mti_mono_us());
        pthread_mutex_unlock(&r->engine->kv_lock);
    }
    return kv_answer(L, st);
}

/* What the sum would be, when nothing is to be remembered. */
static mt_status add_dry(mti_policy_frame *r, mt_slice key, double by, double *sum)
{
    mti_kv_value v = {0};
    char room[MTI_KV_TEXT];
    find(r, key, &v, room);
    *sum = (v.text.p ? 0 : v.number) + by;
    return MT_OK;
}

static mt_status add(mti_policy_frame *r, mt_slice key, double by, int64_t ttl, double *sum)
{
    pthread_mutex_lock(&r->engine->kv_lock);
    mt_status st = mti_kv_incr(r->engine->kv, kv_scope(r), key, by, ttl, mti_mono_us(), sum);
    pthread_mutex_unlock(&r->engine->kv_lock);
    return st;
}

static int kv_incr(lua_State *L)
{
    mti_policy_frame *r = mti_policy_running(L);
    mt_slice key = text_arg(L, 1);
    double by = luaL_optnumber(L, 2, 1), sum;
    int64_t ttl = ttl_arg(L, 3);
    mti_policy_charge(L, 20);
    mt_status st = r->mode == MTI_POLICY_DRY ? add_dry(r, key, by, &sum) : add(r, key, by, ttl, &sum);
    if (st != MT_OK)
        return kv_answer(L, st);
    lua_pushnumber(L, sum);
    return 1;
}

/* --- log, metric, now --- */

static int api_log(lua_State *L)
{
    mti_policy_frame *r = mti_policy_running(L);
    size_t len;
    luaL_checkany(L, 1);
    const char *text = mti_policy_text(L, 1, &len);
    mti_policy_charge(L, 100);
    if (r->logs++ >= LOGS_MAX || r->mode == MTI_POLICY_DRY)
        return 0;
    mt_field fields[] = {{MT_SLICE("policy"), mt_str(r->policy->name)},
                         {MT_SLICE("text"), {text, mti_utf8_cut((mt_slice){text, len}, 1024)}}};
    mti_log_fields(is_own(r) ? MTI_LOG_DEBUG : MTI_LOG_INFO, "policy.log", fields, 2);
    return 0;
}

static bool metric_name_is_good(mt_slice name)
{
    bool good = name.len > 0 && name.len <= 48;
    for (size_t i = 0; good && i < name.len; i++)
        good = (name.p[i] >= 'a' && name.p[i] <= 'z') || name.p[i] == '_' ||
               (name.p[i] >= '0' && name.p[i] <= '9');
    return good;
}

static int api_metric(lua_State *L)
{
    mti_policy_frame *r = mti_policy_running(L);
    mt_slice name = text_arg(L, 1);
    double v = luaL_optnumber(L, 2, 1);
    luaL_argcheck(L, metric_name_is_good(name), 1, "a name of a-z, 0-9 and _");
    luaL_argcheck(L, isfinite(v) && v >= 0, 2, "a number that is not negative");
    mti_policy_charge(L, 50);
    if (r->mode == MTI_POLICY_DRY)
        return 0;
    mti_family *f = is_own(r) ? mti_metric_family(MTI_COUNTER, "mortise_organization_policy_total",
                                                  "Counted by organizations' policies.", "name")
                              : mti_metric_family(MTI_COUNTER, "mortise_policy_total",
                                                  "Counted by policies.", "policy,name");
    mt_slice labels[] = {is_own(r) ? name : mt_str(r->policy->name), name};
    mti_metric_add(mti_metric_get(f, labels, is_own(r) ? 1 : 2), v);
    return 0;
}

static int api_now(lua_State *L)
{
    mti_policy_charge(L, 5);
    int64_t fixed = mti_policy_running(L)->engine->now_us;
    lua_pushnumber(L, (double)(fixed ? fixed : mti_now_us()) / 1e6);
    return 1;
}

/* --- opening --- */

static const char ctx_key;

void mti_policy_clear_ctx(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &ctx_key);
    lua_pushnil(L);
    lua_setiuservalue(L, -2, 1);
    lua_pop(L, 1);
}

static void open_ctx(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"__index", ctx_index}, {"__newindex", ctx_newindex}, {NULL, NULL}};
    lua_newuserdatauv(L, 0, 1);
    luaL_newlib(L, functions);
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &ctx_key);
    lua_setfield(L, -2, "ctx");
}

static void open_group(lua_State *L, const char *name, const luaL_Reg *functions)
{
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    mti_policy_protect(L);
    lua_setfield(L, -2, name);
}

void mti_policy_open_api(lua_State *L)
{
    static const luaL_Reg decides[] = {{"continue", decide_continue}, {"stop", decide_stop},
                                       {"deny", decide_deny}, {NULL, NULL}};
    static const luaL_Reg kvs[] = {
        {"get", kv_get}, {"set", kv_set}, {"incr", kv_incr}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"patch", api_patch},
                                         {"log", api_log},
                                         {"metric", api_metric},
                                         {"now", api_now},
                                         {NULL, NULL}};
    open_ctx(L);
    open_group(L, "decide", decides);
    open_group(L, "kv", kvs);
    luaL_setfuncs(L, functions, 0);
}
