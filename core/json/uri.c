#include "json/uri.h"

/* Lengths of the leading parts of a URI: "http:" and "//host". */
typedef struct parts {
    size_t scheme, authority;
} parts;

static bool is_alpha(char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static size_t scheme_len(mt_slice u)
{
    if (u.len == 0 || !is_alpha(u.p[0]))
        return 0;
    for (size_t i = 1; i < u.len; i++) {
        char c = u.p[i];
        if (c == ':')
            return i + 1;
        if (!is_alpha(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.')
            return 0;
    }
    return 0;
}

static parts split(mt_slice u)
{
    parts p = {.scheme = scheme_len(u)};
    size_t i = p.scheme;
    if (u.len - i >= 2 && u.p[i] == '/' && u.p[i + 1] == '/') {
        i += 2;
        while (i < u.len && u.p[i] != '/' && u.p[i] != '?')
            i++;
        p.authority = i - p.scheme;
    }
    return p;
}

mt_slice mti_uri_split(mt_slice ref, mt_slice *fragment)
{
    const char *hash = ref.len ? memchr(ref.p, '#', ref.len) : NULL;
    *fragment = (mt_slice){0};
    if (!hash)
        return ref;
    size_t at = (size_t)(hash - ref.p);
    *fragment = (mt_slice){hash + 1, ref.len - at - 1};
    return (mt_slice){ref.p, at};
}

/* Removes "." and ".." from the path that starts at p, in place; answers its new length. */
static size_t remove_dots(char *p, size_t n)
{
    size_t in = 0, out = 0;
    while (in < n) {
        size_t end = in + (p[in] == '/');
        while (end < n && p[end] != '/')
            end++;
        const char *name = p + in + (p[in] == '/');
        size_t len = (size_t)(p + end - name);
        bool last = end == n;
        if (len == 2 && name[0] == '.' && name[1] == '.') {
            while (out > 0 && p[--out] != '/')
                ;
            if (last)
                p[out++] = '/';
        } else if (len == 1 && name[0] == '.') {
            if (last)
                p[out++] = '/';
        } else {
            memmove(p + out, p + in, end - in);
            out += end - in;
        }
        in = end;
    }
    return out;
}

static mt_slice join(mti_arena *a, mt_slice head, mt_slice tail)
{
    char *s = mti_arena_alloc(a, head.len + tail.len + 2);
    memcpy(s, head.p ? head.p : "", head.len);
    memcpy(s + head.len, tail.p ? tail.p : "", tail.len);
    return (mt_slice){s, head.len + tail.len};
}

mt_slice mti_uri_resolve(mti_arena *a, mt_slice base, mt_slice ref)
{
    if (ref.len == 0)
        return base;
    if (scheme_len(ref))
        return ref;
    parts b = split(base);
    if (ref.len >= 2 && ref.p[0] == '/' && ref.p[1] == '/')
        return join(a, (mt_slice){base.p, b.scheme}, ref);
    size_t prefix = b.scheme + b.authority, keep = prefix;
    const char *query = base.len ? memchr(base.p, '?', base.len) : NULL;
    size_t path_end = query ? (size_t)(query - base.p) : base.len;
    if (ref.p[0] == '?') {
        keep = path_end;
    } else if (ref.p[0] != '/') {
        for (size_t i = prefix; i < path_end; i++) {
            if (base.p[i] == '/')
                keep = i + 1;
        }
    }
    mt_slice joined = join(a, (mt_slice){base.p, keep}, ref);
    const char *q = memchr(joined.p, '?', joined.len);
    size_t end = q ? (size_t)(q - joined.p) : joined.len;
    if (end < prefix)
        return joined;
    char *s = (char *)joined.p;
    size_t path = remove_dots(s + prefix, end - prefix);
    memmove(s + prefix + path, s + end, joined.len - end);
    return (mt_slice){s, prefix + path + joined.len - end};
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mti_uri_decode(mti_arena *a, mt_slice s, mt_slice *out)
{
    char *to = mti_arena_alloc(a, s.len + 1);
    *out = (mt_slice){to, 0};
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex_value(s.p[i + 1]) : -1;
            int low = i + 2 < s.len ? hex_value(s.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        to[out->len++] = c;
    }
    return true;
}
