/* The string library: ours, so that no call does unbounded work. */
#include "policy/match.h"
#include "policy/policy_impl.h"

#include <ctype.h>

#define FORMAT_MAX 99

/* --- plain functions --- */

/* A position as scripts give it (negative: from the end) into 1 … len + 1. */
static size_t position(lua_Integer at, size_t len)
{
    if (at > 0)
        return (lua_Unsigned)at > len ? len + 1 : (size_t)at;
    if (at == 0 || at < -(lua_Integer)len)
        return 1;
    return len + (size_t)(at + 1);
}

static size_t end_position(lua_Integer at, size_t len)
{
    if (at >= 0)
        return (lua_Unsigned)at > len ? len : (size_t)at;
    return at < -(lua_Integer)len ? 0 : len + (size_t)(at + 1);
}

static const char *checked(lua_State *L, size_t *len)
{
    const char *s = luaL_checklstring(L, 1, len);
    mti_policy_charge_bytes(L, *len);
    return s;
}

static int string_len(lua_State *L)
{
    size_t len;
    luaL_checklstring(L, 1, &len);
    lua_pushinteger(L, (lua_Integer)len);
    return 1;
}

static int string_sub(lua_State *L)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    size_t from = position(luaL_checkinteger(L, 2), len),
           to = end_position(luaL_optinteger(L, 3, -1), len);
    size_t n = from <= to ? to - from + 1 : 0;
    mti_policy_charge_bytes(L, n);
    lua_pushlstring(L, s + from - 1, n);
    return 1;
}

static int map_bytes(lua_State *L, int (*change)(int))
{
    size_t len;
    const char *s = checked(L, &len);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, len);
    for (size_t i = 0; i < len; i++)
        out[i] = (char)change((unsigned char)s[i]);
    luaL_pushresultsize(&b, len);
    return 1;
}

static int string_lower(lua_State *L)
{
    return map_bytes(L, tolower);
}

static int string_upper(lua_State *L)
{
    return map_bytes(L, toupper);
}

static int string_reverse(lua_State *L)
{
    size_t len;
    const char *s = checked(L, &len);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, len);
    for (size_t i = 0; i < len; i++)
        out[i] = s[len - 1 - i];
    luaL_pushresultsize(&b, len);
    return 1;
}

static int string_rep(lua_State *L)
{
    size_t len, gap_len;
    const char *s = luaL_checklstring(L, 1, &len), *gap = luaL_optlstring(L, 3, "", &gap_len);
    lua_Integer n = luaL_checkinteger(L, 2);
    if (n <= 0)
        return lua_pushliteral(L, ""), 1;
    if ((lua_Unsigned)n > MTI_POLICY_STRING || len + gap_len > MTI_POLICY_STRING / (size_t)n)
        return luaL_error(L, "the resulting text is too large");
    size_t total = len * (size_t)n + gap_len * (size_t)(n - 1);
    mti_policy_charge_bytes(L, total + (size_t)n * 8);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, total);
    for (; n > 0; n--) {
        memcpy(out, s, len);
        out += len;
        if (n > 1 && gap_len) {
            memcpy(out, gap, gap_len);
            out += gap_len;
        }
    }
    luaL_pushresultsize(&b, total);
    return 1;
}

static int string_byte(lua_State *L)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    lua_Integer at = luaL_optinteger(L, 2, 1);
    size_t from = position(at, len), to = end_position(luaL_optinteger(L, 3, at), len);
    if (from > to)
        return 0;
    if (to - from >= 250)
        return luaL_error(L, "the slice is too long");
    luaL_checkstack(L, (int)(to - from + 1), NULL);
    for (size_t i = from; i <= to; i++)
        lua_pushinteger(L, (unsigned char)s[i - 1]);
    return (int)(to - from + 1);
}

static int string_char(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, (size_t)n);
    for (int i = 1; i <= n; i++) {
        lua_Unsigned c = (lua_Unsigned)luaL_checkinteger(L, i);
        luaL_argcheck(L, c <= 255, i, "value out of range");
        out[i - 1] = (char)c;
    }
    luaL_pushresultsize(&b, (size_t)n);
    return 1;
}

/* --- format --- */

/* Reads flags, width and precision behind '%' into spec ("%-08.3"); answers where the letter is. */
static const char *spec_read(lua_State *L, const char *p, char spec[16])
{
    const char *from = p;
    p += strspn(p, "-+ #0");
    for (int i = 0; i < 2 && isdigit((unsigned char)*p); i++)
        p++;
    if (*p == '.')
        for (int i = 0; (i == 0 || isdigit((unsigned char)*p)) && i < 3; i++)
            p++;
    if (isdigit((unsigned char)*p) || p - from > 10)
        luaL_error(L, "invalid conversion in 'format'");
    spec[0] = '%';
    memcpy(spec + 1, from, (size_t)(p - from));
    spec[1 + (p - from)] = 0;
    return p;
}

static void add_number(lua_State *L, luaL_Buffer *b, char *spec, char letter, int arg)
{
    char *out = luaL_prepbuffsize(b, 512);
    size_t len = strlen(spec);
    if (strchr("di", letter) || strchr("xXo", letter)) {
        memcpy(spec + len, "ll", 2);
        spec[len + 2] = letter;
        spec[len + 3] = 0;
        luaL_addsize(b, (size_t)snprintf(out, 512, spec, (long long)luaL_checkinteger(L, arg)));
    } else {
        spec[len] = letter;
        spec[len + 1] = 0;
        luaL_addsize(b, (size_t)snprintf(out, 512, spec, luaL_checknumber(L, arg)));
    }
}

static void add_text(lua_State *L, luaL_Buffer *b, char *spec, int arg)
{
    size_t len;
    const char *s = mti_policy_text(L, arg, &len);
    mti_policy_charge_bytes(L, len);
    if (spec[1] == 0) {
        luaL_addvalue(b);
        return;
    }
    luaL_argcheck(L, memchr(s, 0, len) == NULL, arg, "the text contains a zero byte");
    strcat(spec, "s");
    /* Width and precision have two digits; without a precision only short texts are padded. */
    if (!strchr(spec, '.') && len > FORMAT_MAX) {
        luaL_addvalue(b);
        return;
    }
    char out[FORMAT_MAX + 29];
    int n = snprintf(out, sizeof out, spec, s);
    lua_pop(L, 1);
    luaL_addlstring(b, out, (size_t)n);
}

static int string_format(lua_State *L)
{
    size_t len;
    const char *p = checked(L, &len), *end = p + len;
    mti_policy_frame *r = mti_policy_running(L);
    unsigned depth = r->depth;
    mti_policy_enter_callback(L);
    int given = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int arg = 1; p < end; p++) {
        if (*p != '%') {
            luaL_addchar(&b, *p);
            continue;
        }
        char spec[20];
        p = spec_read(L, p + 1, spec);
        if (*p == '%') {
            luaL_addchar(&b, '%');
        } else if (++arg > given) {
            return luaL_argerror(L, arg, "no value");
        } else if (*p == 's') {
            add_text(L, &b, spec, arg);
        } else if (*p && strchr("dixXofeEgGc", *p)) {
            if (*p == 'c')
                luaL_addchar(&b, (char)luaL_checkinteger(L, arg));
            else
                add_number(L, &b, spec, *p, arg);
        } else {
            return luaL_error(L, "invalid conversion in 'format'");
        }
    }
    r->depth = depth;
    luaL_pushresult(&b);
    return 1;
}

/* --- patterns --- */

static void match_init(lua_State *L, mti_match *m, mt_slice text, mt_slice pattern)
{
    m->L = L;
    m->text = text.p;
    m->text_end = text.p + text.len;
    m->pattern_end = pattern.p + pattern.len;
    m->steps = 0;
}

static mt_slice slice_arg(lua_State *L, int index)
{
    mt_slice s;
    s.p = luaL_checklstring(L, index, &s.len);
    return s;
}

static void push_capture(mti_match *m, unsigned i)
{
    ptrdiff_t len = m->capture[i].len;
    if (len == MTI_MATCH_OPEN)
        luaL_error(m->L, "the pattern has a '(' without ')'");
    if (len == MTI_MATCH_POSITION) {
        lua_pushinteger(m->L, m->capture[i].at - m->text + 1);
        return;
    }
    mti_policy_charge_bytes(m->L, (size_t)len);
    lua_pushlstring(m->L, m->capture[i].at, (size_t)len);
}

/* The captures, or without any the whole match. */
static int push_captures(mti_match *m, const char *from, const char *to)
{
    if (m->captures == 0) {
        mti_policy_charge_bytes(m->L, (size_t)(to - from));
        lua_pushlstring(m->L, from, (size_t)(to - from));
        return 1;
    }
    luaL_checkstack(m->L, (int)m->captures, NULL);
    for (unsigned i = 0; i < m->captures; i++)
        push_capture(m, i);
    return (int)m->captures;
}

/* Whether the pattern is a plain text, so that memmem will do. */
static bool is_plain(mt_slice pattern)
{
    for (size_t i = 0; i < pattern.len; i++)
        if (memchr("^$*+?.([%-", pattern.p[i], 10))
            return false;
    return true;
}

static int find_plain(lua_State *L, mt_slice text, mt_slice what, size_t from)
{
    mti_policy_charge_bytes(L, text.len - (from - 1));
    const char *at = what.len ? memmem(text.p + from - 1, text.len - (from - 1), what.p, what.len)
                              : text.p + from - 1;
    if (!at)
        return lua_pushnil(L), 1;
    lua_pushinteger(L, at - text.p + 1);
    lua_pushinteger(L, at - text.p + (lua_Integer)what.len);
    return 2;
}

static int find_pattern(lua_State *L, mt_slice text, mt_slice pattern, size_t from, bool places)
{
    mti_match m;
    bool anchored = pattern.len && pattern.p[0] == '^';
    match_init(L, &m, text, pattern);
    for (const char *s = text.p + from - 1; s <= m.text_end; s++) {
        const char *e = mti_match_at(&m, s, pattern.p + anchored);
        if (e && places) {
            lua_pushinteger(L, s - text.p + 1);
            lua_pushinteger(L, e - text.p);
            return 2 + (m.captures ? push_captures(&m, s, e) : 0);
        }
        if (e)
            return push_captures(&m, s, e);
        if (anchored)
            break;
    }
    lua_pushnil(L);
    return 1;
}

static int string_find(lua_State *L)
{
    mt_slice text = slice_arg(L, 1), pattern = slice_arg(L, 2);
    size_t from = position(luaL_optinteger(L, 3, 1), text.len);
    if (luaL_optinteger(L, 3, 1) > (lua_Integer)text.len + 1)
        return lua_pushnil(L), 1;
    if (lua_toboolean(L, 4) || is_plain(pattern))
        return find_plain(L, text, pattern, from);
    return find_pattern(L, text, pattern, from, true);
}

static int string_match(lua_State *L)
{
    mt_slice text = slice_arg(L, 1), pattern = slice_arg(L, 2);
    size_t from = position(luaL_optinteger(L, 3, 1), text.len);
    return find_pattern(L, text, pattern, from, false);
}

/* Upvalues: text, pattern, where to go on, where the last match ended (an empty one may not begin
 * there). */
static int gmatch_next(lua_State *L)
{
    mt_slice text, pattern;
    text.p = lua_tolstring(L, lua_upvalueindex(1), &text.len);
    pattern.p = lua_tolstring(L, lua_upvalueindex(2), &pattern.len);
    const char *last = text.p + lua_tointeger(L, lua_upvalueindex(4));
    mti_match m;
    match_init(L, &m, text, pattern);
    for (const char *s = text.p + lua_tointeger(L, lua_upvalueindex(3)); s <= m.text_end; s++) {
        const char *e = mti_match_at(&m, s, pattern.p);
        if (!e || e == last)
            continue;
        lua_pushinteger(L, e - text.p);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(&m, s, e);
    }
    return 0;
}

static int string_gmatch(lua_State *L)
{
    slice_arg(L, 1);
    slice_arg(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* --- gsub --- */

static void add_template(lua_State *L, luaL_Buffer *b, mti_match *m, const char *from,
                         const char *to)
{
    size_t len;
    const char *t = lua_tolstring(L, 3, &len);
    mti_policy_charge_bytes(L, len);
    for (const char *end = t + len; t < end; t++) {
        if (*t != '%') {
            luaL_addchar(b, *t);
            continue;
        }
        if (++t >= end || (*t != '%' && !isdigit((unsigned char)*t)))
            luaL_error(L, "invalid use of '%%' in the replacement");
        if (*t == '%') {
            luaL_addchar(b, '%');
        } else if (*t == '0' || (*t == '1' && m->captures == 0)) {
            mti_policy_charge_bytes(L, (size_t)(to - from));
            luaL_addlstring(b, from, (size_t)(to - from));
        } else {
            if ((unsigned)(*t - '1') >= m->captures)
                luaL_error(L, "the replacement names a capture that is not there");
            push_capture(m, (unsigned)(*t - '1'));
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(b);
        }
    }
}

/* The value that a table or function gives for the match; false and nil keep it. */
static void add_answer(lua_State *L, luaL_Buffer *b, mti_match *m, int type, const char *from,
                       const char *to)
{
    if (type == LUA_TTABLE) {
        if (m->captures)
            push_capture(m, 0);
        else
            lua_pushlstring(L, from, (size_t)(to - from));
        lua_gettable(L, 3);
    } else {
        lua_pushvalue(L, 3);
        int n = push_captures(m, from, to);
        lua_call(L, n, 1);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, from, (size_t)(to - from));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    luaL_addvalue(b);
}

static int string_gsub(lua_State *L)
{
    mt_slice text = slice_arg(L, 1), pattern = slice_arg(L, 2);
    int type = lua_type(L, 3);
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE ||
                            type == LUA_TFUNCTION, 3, "string/function/table");
    if (type == LUA_TNUMBER)
        lua_tolstring(L, 3, NULL);
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)text.len + 1), count = 0;
    bool anchored = pattern.len && pattern.p[0] == '^';
    mti_policy_frame *r = mti_policy_running(L);
    unsigned depth = r->depth;
    mti_policy_enter_callback(L);
    mti_match m;
    match_init(L, &m, text, pattern);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    const char *s = text.p, *last = NULL;
    while (count < most) {
        const char *e = mti_match_at(&m, s, pattern.p + anchored);
        if (e && e != last) {
            count++;
            if (type == LUA_TSTRING || type == LUA_TNUMBER)
                add_template(L, &b, &m, s, e);
            else
                add_answer(L, &b, &m, type, s, e);
            s = last = e;
        } else if (s < m.text_end) {
            luaL_addchar(&b, *s++);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    r->depth = depth;
    luaL_addlstring(&b, s, (size_t)(m.text_end - s));
    luaL_pushresult(&b);
    lua_pushinteger(L, count);
    return 2;
}

void mti_policy_open_string(lua_State *L)
{
    static const luaL_Reg functions[] = {{"len", string_len},         {"sub", string_sub},
                                         {"lower", string_lower},     {"upper", string_upper},
                                         {"reverse", string_reverse}, {"rep", string_rep},
                                         {"byte", string_byte},       {"char", string_char},
                                         {"format", string_format},   {"find", string_find},
                                         {"match", string_match},     {"gmatch", string_gmatch},
                                         {"gsub", string_gsub},       {NULL, NULL}};
    luaL_newlib(L, functions);
}
