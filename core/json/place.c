#include "json/place.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

enum { FILE_MAX = 1 << 20 };

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* p at the opening quote. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && p + 1 < end)
            p++;
    return p < end ? p + 1 : end;
}

static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']' || *p == ',') {
            if (!depth)
                return p;
            depth -= *p != ',';
            p++;
        } else {
            p++;
            continue;
        }
        if (!depth)
            return p;
    }
    return end;
}

/* Whether the key whose opening quote is at p is the token; \u escapes are taken as they stand. */
static bool is_key(const char *p, const char *end, mt_slice token)
{
    size_t i = 0;
    for (p++; p < end && *p != '"'; p++) {
        char want;
        if (*p == '\\' && p + 1 < end && strchr("\"\\/", p[1]))
            p++;
        if (i == token.len)
            return false;
        want = token.p[i++];
        if (want == '~' && i < token.len)
            want = token.p[i++] == '0' ? '~' : '/';
        if (*p != want)
            return false;
    }
    return i == token.len;
}

/* From behind '{' to the value of the member, and its key; NULL: there is none. */
static const char *find_member(const char *p, const char *end, mt_slice token, const char **key)
{
    for (p = skip_space(p, end); p < end && *p == '"'; p = skip_space(p, end)) {
        *key = p;
        bool found = is_key(p, end, token);
        p = skip_space(skip_string(p, end), end);
        if (p == end || *p != ':')
            return NULL;
        p = skip_space(p + 1, end);
        if (found)
            return p;
        p = skip_space(skip_value(p, end), end);
        if (p == end || *p != ',')
            return NULL;
        p++;
    }
    return NULL;
}

/* From behind '[' to the item. */
static const char *find_item(const char *p, const char *end, mt_slice token)
{
    size_t index = 0;
    if (!token.len || token.len > 9)
        return NULL;
    for (size_t i = 0; i < token.len; i++) {
        if (token.p[i] < '0' || token.p[i] > '9')
            return NULL;
        index = index * 10 + (size_t)(token.p[i] - '0');
    }
    for (p = skip_space(p, end); p < end && *p != ']'; p = skip_space(p + 1, end)) {
        if (!index--)
            return p;
        p = skip_space(skip_value(p, end), end);
        if (p == end || *p != ',')
            return NULL;
    }
    return NULL;
}

static mti_place place_of(mt_slice text, const char *at)
{
    mti_place place = {1, 1};
    for (const char *p = text.p; p < at; p++)
        if (*p == '\n')
            place = (mti_place){place.line + 1, 1};
        else
            place.column += ((unsigned char)*p & 0xc0) != 0x80;
    return place;
}

mti_place mti_json_place(mt_slice text, mt_slice pointer)
{
    if (!text.len)
        return (mti_place){1, 1};
    const char *end = text.p + text.len, *p = skip_space(text.p, end), *at = p, *rest = pointer.p, *stop = rest + pointer.len;
    while (p && p < end && rest < stop && *rest == '/') {
        const char *slash = memchr(rest + 1, '/', (size_t)(stop - rest - 1)), *key = NULL;
        mt_slice token = {rest + 1, (size_t)((slash ? slash : stop) - rest - 1)};
        p = *p == '{' ? find_member(p + 1, end, token, &key) : *p == '[' ? find_item(p + 1, end, token) : NULL;
        if (p)
            at = key ? key : p;
        rest = slash ? slash : stop;
    }
    return place_of(text, at);
}

mt_status mti_json_refuse(const char *dir, const char *name, mt_slice pointer, mti_error *e, const char *code, const char *fmt, ...)
{
    char path[PATH_MAX], why[sizeof e->detail];
    mti_buf text;
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    snprintf(path, sizeof path, "%s/%s", dir ? dir : "", name);
    if (!dir || mti_buf_read_file(&text, path, FILE_MAX) != MT_OK)
        return mti_fail(e, MT_INVALID, code, "%s: %s", name, why);
    mti_place at = mti_json_place(mti_buf_slice(&text), pointer);
    mti_buf_dispose(&text);
    return mti_fail(e, MT_INVALID, code, "%s:%d:%d: %s", name, at.line, at.column, why);
}
