#include "json/schema_impl.h"

#include "base/ident.h"

#include <arpa/inet.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_alnum(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* n digits at s[at], as a number; -1 when there are others. */
static int digits(mt_slice s, size_t at, size_t n)
{
    int v = 0;
    if (at + n > s.len)
        return -1;
    for (size_t i = at; i < at + n; i++) {
        if (!is_digit(s.p[i]))
            return -1;
        v = v * 10 + (s.p[i] - '0');
    }
    return v;
}

static bool is_date(mt_slice s)
{
    static const char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (s.len != 10 || s.p[4] != '-' || s.p[7] != '-')
        return false;
    int year = digits(s, 0, 4), month = digits(s, 5, 2), day = digits(s, 8, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap);
}

/* RFC 3339: a leap second only where it is 23:59:60 in UTC. */
static bool is_time(mt_slice s)
{
    if (s.len < 9 || s.p[2] != ':' || s.p[5] != ':')
        return false;
    int hour = digits(s, 0, 2), minute = digits(s, 3, 2), second = digits(s, 6, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    size_t i = 8;
    if (s.p[i] == '.') {
        size_t first = ++i;
        while (i < s.len && is_digit(s.p[i]))
            i++;
        if (i == first)
            return false;
    }
    int offset = 0;
    if (i + 1 == s.len && (s.p[i] | 0x20) == 'z') {
        offset = 0;
    } else {
        if (s.len - i != 6 || (s.p[i] != '+' && s.p[i] != '-') || s.p[i + 3] != ':')
            return false;
        int h = digits(s, i + 1, 2), m = digits(s, i + 4, 2);
        if (h < 0 || h > 23 || m < 0 || m > 59)
            return false;
        offset = (h * 60 + m) * (s.p[i] == '-' ? -1 : 1);
    }
    return second < 60 || (hour * 60 + minute - offset + 2880) % 1440 == 1439;
}

static bool is_date_time(mt_slice s)
{
    return s.len > 11 && (s.p[10] | 0x20) == 't' && is_date((mt_slice){s.p, 10}) &&
           is_time((mt_slice){s.p + 11, s.len - 11});
}

static bool is_uuid(mt_slice s)
{
    mti_uuid id;
    return mti_uuid_parse(s, &id);
}

static bool is_inet(int family, mt_slice s)
{
    char text[64], out[16];
    if (s.len >= sizeof text)
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    return strlen(text) == s.len && inet_pton(family, text, out) == 1;
}

static bool is_ipv4(mt_slice s)
{
    return is_inet(AF_INET, s);
}
static bool is_ipv6(mt_slice s)
{
    return is_inet(AF_INET6, s);
}

static bool is_hostname(mt_slice s)
{
    if (s.len == 0 || s.len > 253)
        return false;
    size_t label = 0;
    for (size_t i = 0; i <= s.len; i++) {
        if (i == s.len || s.p[i] == '.') {
            if (label == 0 || label > 63 || s.p[i - 1] == '-' || s.p[i - label] == '-')
                return false;
            label = 0;
        } else if (!is_alnum(s.p[i]) && s.p[i] != '-') {
            return false;
        } else {
            label++;
        }
    }
    return true;
}

static bool is_atom(mt_slice s)
{
    if (s.len == 0 || s.p[0] == '.' || s.p[s.len - 1] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.p[i]) && !strchr("!#$%&'*+-/=?^_`{|}~.", s.p[i]))
            return false;
        if (s.p[i] == '.' && s.p[i - 1] == '.')
            return false;
    }
    return true;
}

/* Between the quotes of a quoted local part. */
static bool is_quoted(mt_slice s)
{
    if (s.len < 2 || s.p[0] != '"' || s.p[s.len - 1] != '"')
        return false;
    for (size_t i = 1; i < s.len - 1; i++) {
        if (s.p[i] == '\\' && ++i == s.len - 1)
            return false;
        if (s.p[i] < 0x20 || s.p[i] > 0x7E || (s.p[i] == '"' && s.p[i - 1] != '\\'))
            return false;
    }
    return true;
}

static bool is_email(mt_slice s)
{
    const char *at = s.len ? memrchr(s.p, '@', s.len) : NULL;
    if (!at)
        return false;
    mt_slice local = {s.p, (size_t)(at - s.p)};
    mt_slice host = {at + 1, s.len - local.len - 1};
    if (local.len > 64 || !(is_atom(local) || is_quoted(local)))
        return false;
    if (host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']') {
        mt_slice ip = {host.p + 1, host.len - 2};
        if (ip.len > 5 && memcmp(ip.p, "IPv6:", 5) == 0)
            return is_ipv6((mt_slice){ip.p + 5, ip.len - 5});
        return is_ipv4(ip);
    }
    return is_hostname(host);
}

/* The authority: [userinfo@]host[:port]. */
static bool is_authority(mt_slice s)
{
    const char *at = s.len ? memchr(s.p, '@', s.len) : NULL;
    if (at) {
        size_t skip = (size_t)(at - s.p) + 1;
        if (memchr(s.p, '[', skip) || memchr(s.p, ']', skip))
            return false;
        s = (mt_slice){s.p + skip, s.len - skip};
    }
    if (s.len && s.p[0] == '[') {
        const char *close = memchr(s.p, ']', s.len);
        if (!close || !is_ipv6((mt_slice){s.p + 1, (size_t)(close - s.p) - 1}))
            return false;
        size_t skip = (size_t)(close - s.p) + 1;
        s = (mt_slice){s.p + skip, s.len - skip};
        if (s.len && s.p[0] != ':')
            return false;
    }
    const char *colon = s.len ? memchr(s.p, ':', s.len) : NULL;
    for (const char *p = colon ? colon + 1 : s.p + s.len; p < s.p + s.len; p++) {
        if (!is_digit(*p))
            return false;
    }
    return !memchr(s.len ? s.p : "", '@', s.len) && !memchr(s.len ? s.p : "", '[', s.len);
}

/* Characters and escapes; '[' and ']' only in the authority, '#' once. */
static bool has_uri_chars(mt_slice s)
{
    bool fragment = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (i + 2 >= s.len || !strchr("0123456789abcdefABCDEF", s.p[i + 1]) ||
                !strchr("0123456789abcdefABCDEF", s.p[i + 2]))
                return false;
        } else if (c == '#') {
            if (fragment)
                return false;
            fragment = true;
        } else if (!is_alnum(c) && !(c > 0 && strchr("-._~:/?[]@!$&'()*+,;=", c))) {
            return false;
        }
    }
    return true;
}

static bool is_uri_reference(mt_slice s)
{
    if (!has_uri_chars(s))
        return false;
    size_t i = 0;
    while (i < s.len && !strchr(":/?#", s.p[i]))
        i++;
    if (i < s.len &&
        s.p[i] == ':') { /* what is before a colon in the first segment must be a scheme */
        if (i == 0 || is_digit(s.p[0]) || !is_alnum(s.p[0]))
            return false;
        for (size_t k = 0; k < i; k++) {
            if (!is_alnum(s.p[k]) && !strchr("+-.", s.p[k]))
                return false;
        }
        i++;
    } else {
        i = 0;
    }
    if (s.len - i >= 2 && s.p[i] == '/' && s.p[i + 1] == '/') {
        size_t from = i + 2;
        for (i = from; i < s.len && !strchr("/?#", s.p[i]);)
            i++;
        if (!is_authority((mt_slice){s.p + from, i - from}))
            return false;
    }
    return !memchr(s.p + i, '[', s.len - i) && !memchr(s.p + i, ']', s.len - i);
}

static bool is_uri(mt_slice s)
{
    if (!is_uri_reference(s))
        return false;
    for (size_t i = 0; i < s.len && !strchr("/?#", s.p[i]); i++) {
        if (s.p[i] == ':')
            return true;
    }
    return false;
}

static bool is_json_pointer(mt_slice s)
{
    if (s.len && s.p[0] != '/')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '~' && (i + 1 == s.len || (s.p[i + 1] != '0' && s.p[i + 1] != '1')))
            return false;
    }
    return true;
}

/* "P3Y6M4DT12H30M5S" or "P4W": units in order, no gap between them (RFC 3339 appendix A). */
static bool is_duration_part(mt_slice s, const char *units)
{
    size_t i = 0;
    const char *unit = NULL;
    while (i < s.len) {
        size_t first = i;
        while (i < s.len && is_digit(s.p[i]))
            i++;
        if (i == first || i == s.len)
            return false;
        const char *u = strchr(units, s.p[i++]);
        if (!u || (unit && u != unit + 1))
            return false;
        unit = u;
    }
    return s.len > 0;
}

static bool is_duration(mt_slice s)
{
    if (s.len < 3 || s.p[0] != 'P')
        return false;
    mt_slice rest = {s.p + 1, s.len - 1};
    if (rest.p[rest.len - 1] == 'W')
        return is_duration_part(rest, "W");
    const char *t = memchr(rest.p, 'T', rest.len);
    mt_slice date = {rest.p, t ? (size_t)(t - rest.p) : rest.len};
    if (date.len && !is_duration_part(date, "YMD"))
        return false;
    return !t || is_duration_part((mt_slice){t + 1, rest.len - date.len - 1}, "HMS");
}

static bool is_regex(mt_slice s)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *c =
        pcre2_compile((PCRE2_SPTR)(s.len ? s.p : ""), s.len, PCRE2_UTF, &code, &at, NULL);
    pcre2_code_free(c);
    return c != NULL;
}

static const struct {
    mt_slice name;
    mti_format_fn check; /* NULL: an annotation */
} FORMATS[] = {
    {MT_SLICE_INIT("binary"), NULL},
    {MT_SLICE_INIT("byte"), NULL},
    {MT_SLICE_INIT("date"), is_date},
    {MT_SLICE_INIT("date-time"), is_date_time},
    {MT_SLICE_INIT("double"), NULL},
    {MT_SLICE_INIT("duration"), is_duration},
    {MT_SLICE_INIT("email"), is_email},
    {MT_SLICE_INIT("float"), NULL},
    {MT_SLICE_INIT("hostname"), is_hostname},
    {MT_SLICE_INIT("int32"), NULL},
    {MT_SLICE_INIT("int64"), NULL},
    {MT_SLICE_INIT("ipv4"), is_ipv4},
    {MT_SLICE_INIT("ipv6"), is_ipv6},
    {MT_SLICE_INIT("json-pointer"), is_json_pointer},
    {MT_SLICE_INIT("markdown"), NULL},
    {MT_SLICE_INIT("password"), NULL},
    {MT_SLICE_INIT("regex"), is_regex},
    {MT_SLICE_INIT("secret"), NULL},
    {MT_SLICE_INIT("time"), is_time},
    {MT_SLICE_INIT("uri"), is_uri},
    {MT_SLICE_INIT("uri-reference"), is_uri_reference},
    {MT_SLICE_INIT("uuid"), is_uuid},
};

bool mti_format_find(mt_slice name, mti_format_fn *check)
{
    *check = NULL;
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++) {
        if (mt_slice_eq(FORMATS[i].name, name)) {
            *check = FORMATS[i].check;
            return true;
        }
    }
    return false;
}

bool mti_schema_format_ok(mt_slice format, mt_slice text)
{
    mti_format_fn check;
    mti_format_find(format, &check);
    return !check || check(text);
}
