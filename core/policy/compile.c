/* From text to a policy: header lines, syntax, bytecode. Nothing is executed. */
#include "policy/policy_impl.h"

#include <stdlib.h>

#define SOURCE_MAX   (64u << 10)
#define COMPILE_HEAP (8u << 20)

/* --- the header --- */

static mt_slice trim(mt_slice s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = (mt_slice){s.p + 1, s.len - 1};
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t' || s.p[s.len - 1] == '\r'))
        s.len--;
    return s;
}

static mt_slice take_line(mt_slice *text)
{
    const char *end = memchr(text->p, '\n', text->len);
    size_t n = end ? (size_t)(end - text->p) : text->len;
    mt_slice line = {text->p, n};
    size_t skip = end ? n + 1 : n;
    *text = (mt_slice){text->p + skip, text->len - skip};
    return trim(line);
}

/* The value of "-- key: value" when the line is that; the null slice otherwise. */
static mt_slice header_value(mt_slice line, mt_slice key)
{
    line = trim((mt_slice){line.p + 2, line.len - 2});
    if (line.len <= key.len || memcmp(line.p, key.p, key.len) != 0 || line.p[key.len] != ':')
        return (mt_slice){NULL, 0};
    return trim((mt_slice){line.p + key.len + 1, line.len - key.len - 1});
}

static mt_status priority_parse(mt_slice value, int *priority, mti_error *e)
{
    char text[16] = "", *end;
    if (value.len && value.len < sizeof text)
        memcpy(text, value.p, value.len);
    long n = strtol(text, &end, 10);
    if (!text[0] || *end || n < 0 || n > 10000)
        return mti_fail(e, MT_INVALID, "policy_priority",
                        "The priority must be a number from 0 to 10000.");
    *priority = (int)n;
    return MT_OK;
}

static mt_status header_parse(mt_slice source, int *hook, int *priority, mti_error *e)
{
    *hook = -1;
    *priority = 100;
    while (source.len) {
        mt_slice line = take_line(&source), value;
        if (line.len < 2 || line.p[0] != '-' || line.p[1] != '-') {
            if (line.len)
                break;
            continue;
        }
        if ((value = header_value(line, MT_SLICE("hook"))).p) {
            *hook = mti_hook_find(value);
            if (*hook < 0)
                return mti_fail(e, MT_INVALID, "policy_hook", "There is no hook %.*s.",
                                (int)(value.len < 64 ? value.len : 64), value.p);
        } else if ((value = header_value(line, MT_SLICE("priority"))).p) {
            MT_TRY(priority_parse(value, priority, e));
        }
    }
    if (*hook < 0)
        return mti_fail(e, MT_INVALID, "policy_hook",
                        "The first lines must name the hook: -- hook: NAME");
    return MT_OK;
}

/* --- the chunk --- */

typedef struct compile_job {
    const char *name;
    mt_slice source;
    mti_buf code;
} compile_job;

static int on_dump(lua_State *L, const void *p, size_t n, void *job)
{
    return mti_buf_add(&((compile_job *)job)->code, p, n) != MT_OK;
}

static int compile_protected(lua_State *L)
{
    compile_job *job = lua_touserdata(L, 1);
    char chunk_name[72];
    snprintf(chunk_name, sizeof chunk_name, "=%s", job->name);
    if (luaL_loadbufferx(L, job->source.p, job->source.len, chunk_name, "t") != LUA_OK)
        return lua_error(L);
    if (lua_dump(L, on_dump, job, 0) != 0)
        return luaL_error(L, "too large when compiled");
    return 0;
}

static mt_status chunk_compile(compile_job *job, mti_error *e)
{
    mti_policy_heap heap = {.limit = COMPILE_HEAP};
    lua_State *L = mti_policy_lua_new(&heap);
    if (!L)
        return mti_fail(e, MT_NO_MEMORY, NULL, "There is no memory to compile the policy.");
    lua_pushcfunction(L, compile_protected);
    lua_pushlightuserdata(L, job);
    mt_status st = MT_OK;
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        const char *why = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "out of memory";
        st = mti_fail(e, MT_INVALID, "policy_syntax", "%s", why);
    }
    lua_close(L);
    return st;
}

static mti_policy *policy_make(mti_policies *p, const compile_job *job)
{
    static atomic_llong next_id = 1;
    mti_policy *made = calloc(1, sizeof *made + job->code.len);
    if (!made)
        return NULL;
    made->engine = p;
    snprintf(made->name, sizeof made->name, "%s", job->name);
    made->id = atomic_fetch_add(&next_id, 1);
    made->code_len = job->code.len;
    memcpy(made->code, job->code.p, job->code.len);
    atomic_fetch_add(&p->live, 1);
    return made;
}

mt_status mti_policy_compile(mti_policies *p, const char *name, mt_slice source, mti_policy **out,
                             mti_error *e)
{
    *out = NULL;
    int hook, priority;
    if (source.len > SOURCE_MAX)
        return mti_fail(e, MT_TOO_LARGE, "policy_too_large", "A policy has at most %u bytes.",
                        SOURCE_MAX);
    MT_TRY(header_parse(source, &hook, &priority, e));
    compile_job job = {.name = name, .source = source};
    mti_buf_init(&job.code, 16 * SOURCE_MAX);
    mt_status st = chunk_compile(&job, e);
    if (st == MT_OK && !(*out = policy_make(p, &job)))
        st = mti_fail(e, MT_NO_MEMORY, NULL, "There is no memory for the policy.");
    mti_buf_dispose(&job.code);
    if (st == MT_OK) {
        (*out)->hook = hook;
        (*out)->priority = priority;
    }
    return st;
}

void mti_policy_release(mti_policy *p)
{
    if (!p)
        return;
    if (mti_uuid_is_nil(p->org_id))
        atomic_fetch_sub(&p->engine->live, 1);
    free(p);
}

void mti_policy_drop(void *policy)
{
    mti_policy_release(policy);
}

void mti_policy_set_org(mti_policy *p, mti_uuid org_id)
{
    if (mti_uuid_is_nil(p->org_id) && !mti_uuid_is_nil(org_id))
        atomic_fetch_sub(&p->engine->live, 1);
    p->org_id = org_id;
}

int mti_policy_hook(const mti_policy *p)
{
    return p->hook;
}

int mti_policy_priority(const mti_policy *p)
{
    return p->priority;
}
