/* Who asks, when a trusted proxy stands between: the last address in Forwarded (RFC 7239) or X-Forwarded-For that is not such a proxy itself. */
#include "http/internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <strings.h>

/* An address as 16 bytes (IPv4 mapped), and how many bits of it count. */
typedef struct block {
    uint8_t net[16];
    unsigned bits;
} block;

struct mti_http_proxies {
    size_t n;
    block blocks[];
};

static bool parse_address(const char *text, uint8_t out[16], bool *v4)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    *v4 = inet_pton(AF_INET, text, out + 12) == 1;
    if (!*v4)
        return inet_pton(AF_INET6, text, out) == 1;
    memcpy(out, mapped, sizeof mapped);
    return true;
}

static bool parse_block(const char *item, size_t len, block *out)
{
    char text[INET6_ADDRSTRLEN + 4], *slash, *end;
    bool v4;

    if (len >= sizeof text)
        return false;
    memcpy(text, item, len);
    text[len] = 0;
    if ((slash = strchr(text, '/')))
        *slash = 0;
    if (!parse_address(text, out->net, &v4))
        return false;
    out->bits = 128;
    if (!slash)
        return true;
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (slash[1] < '0' || slash[1] > '9' || *end || bits > (v4 ? 32 : 128))
        return false;
    out->bits = (unsigned)bits + (v4 ? 96 : 0);
    return true;
}

mt_status mti_http_proxies_parse(const char *list, mti_http_proxies **out, mti_error *e)
{
    mti_http_proxies *p = calloc(1, sizeof *p + (strlen(list) / 2 + 1) * sizeof *p->blocks);

    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ", ");
        if (len && !parse_block(at, len, &p->blocks[p->n++])) {
            free(p);
            return mti_fail(e, MT_INVALID, "trusted_proxies",
                            "http.trusted_proxies: \"%.*s\" is neither an address nor a block like 10.0.0.0/8.",
                            (int)(len < 60 ? len : 60), at);
        }
        at += len + (at[len] != 0);
    }
    *out = p;
    return MT_OK;
}

void mti_http_proxies_destroy(mti_http_proxies *p)
{
    free(p);
}

static bool in_block(const block *b, const uint8_t a[16])
{
    const unsigned whole = b->bits / 8, rest = b->bits % 8;

    return memcmp(a, b->net, whole) == 0 && (!rest || ((a[whole] ^ b->net[whole]) >> (8 - rest)) == 0);
}

static bool is_trusted(const mti_http_proxies *p, const uint8_t a[16])
{
    for (size_t i = 0; i < p->n; i++)
        if (in_block(&p->blocks[i], a))
            return true;
    return false;
}

bool http_proxies_trust(const mti_http_options *o, const struct sockaddr *sa)
{
    uint8_t a[16] = {[10] = 0xff, [11] = 0xff};

    if (!o->proxies)
        return false;
    if (sa->sa_family == AF_INET)
        memcpy(a + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    else if (sa->sa_family == AF_INET6)
        memcpy(a, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
    else
        return false;
    return is_trusted(o->proxies, a);
}

/* "for=" of a Forwarded element, or the element itself; without quotes, brackets and port. "" when it names no address. */
static void element_address(mt_slice e, bool forwarded, char out[INET6_ADDRSTRLEN])
{
    const char *p = e.p, *end = e.p + e.len;

    out[0] = 0;
    if (forwarded) {
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        while (p < end && strncasecmp(p, "for=", (size_t)(end - p) < 4 ? (size_t)(end - p) : 4) != 0) {
            while (p < end && *p++ != ';')
                ;
            while (p < end && (*p == ' ' || *p == '\t'))
                p++;
        }
        p = end - p < 4 ? end : p + 4;
    }
    while (p < end && (*p == ' ' || *p == '\t' || *p == '"' || *p == '['))
        p++;
    const char *from = p;
    const bool brackets = from > e.p && from[-1] == '[';
    unsigned colons = 0;
    while (p < end && !strchr("\"]; \t", *p))
        colons += *p++ == ':';
    if (!brackets && colons == 1)
        p = memchr(from, ':', (size_t)(p - from));
    if (p > from && (size_t)(p - from) < INET6_ADDRSTRLEN) {
        memcpy(out, from, (size_t)(p - from));
        out[p - from] = 0;
    }
}

/* Goes through a field's elements from its end. False: all so far were trusted proxies, ask the field before. */
static bool walk_back(const mti_http_proxies *p, mt_slice field, bool forwarded, char out[INET6_ADDRSTRLEN])
{
    size_t end = field.len;

    while (end) {
        size_t begin = end;
        char text[INET6_ADDRSTRLEN];
        uint8_t a[16];
        bool v4;
        while (begin && field.p[begin - 1] != ',')
            begin--;
        element_address((mt_slice){field.p + begin, end - begin}, forwarded, text);
        if (!parse_address(text, a, &v4))
            return true; /* "unknown", a hidden name, rubbish: what was found so far stands */
        memcpy(out, text, sizeof text);
        if (!is_trusted(p, a))
            return true;
        end = begin ? begin - 1 : 0;
    }
    return false;
}

void http_proxies_client(const mti_http_options *o, const mt_field *fields, size_t n, char out[INET6_ADDRSTRLEN])
{
    bool forwarded = false;

    for (size_t i = 0; i < n; i++)
        forwarded |= mt_slice_eq(fields[i].name, MT_SLICE("forwarded"));
    const mt_slice name = forwarded ? MT_SLICE("forwarded") : MT_SLICE("x-forwarded-for");
    out[0] = 0;
    for (size_t i = n; i-- > 0;)
        if (mt_slice_eq(fields[i].name, name) && walk_back(o->proxies, fields[i].value, forwarded, out))
            return;
}
