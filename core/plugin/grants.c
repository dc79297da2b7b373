#include "plugin/grants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct grant {
    mt_slice all, slug, kind, what;
} grant;

static mt_slice trimmed(const char *p, const char *end)
{
    while (p < end && *p == ' ')
        p++;
    while (p < end && end[-1] == ' ')
        end--;
    return (mt_slice){p, (size_t)(end - p)};
}

static mt_slice cut(mt_slice *rest)
{
    const char *colon = memchr(rest->p, ':', rest->len);
    mt_slice word = {rest->p, colon ? (size_t)(colon - rest->p) : rest->len};
    size_t used = word.len + (colon != NULL);
    *rest = (mt_slice){rest->p + used, rest->len - used};
    return word;
}

static bool next(const mti_config *c, const char **at, grant *g)
{
    if (!*at)
        *at = mti_config_str(c, "plugins.grants");
    if (!*at || !**at)
        return false;
    const char *end = *at + strcspn(*at, ",");
    g->all = g->what = trimmed(*at, end);
    g->slug = cut(&g->what);
    g->kind = cut(&g->what);
    *at = *end ? end + 1 : end;
    return true;
}

static bool is_path(const grant *g)
{
    return mt_slice_eq(g->kind, MT_SLICE("read")) || mt_slice_eq(g->kind, MT_SLICE("write"));
}

/* The name before the port, and the port; 0: any. false: the port is none. */
static bool split_port(mt_slice what, mt_slice *name, unsigned *port)
{
    char digits[8] = "", *end;
    const char *colon = memrchr(what.p, ':', what.len), *bracket = memchr(what.p, ']', what.len);
    *name = what;
    *port = 0;
    if (!colon || (bracket && colon < bracket))
        return what.len > 0;
    name->len = (size_t)(colon - what.p);
    snprintf(digits, sizeof digits, "%.*s", (int)(what.p + what.len - colon - 1), colon + 1);
    *port = (unsigned)strtoul(digits, &end, 10);
    return name->len && digits[0] >= '1' && digits[0] <= '9' && !*end && *port <= 65535;
}

static bool is_whole(const grant *g)
{
    mt_slice name;
    unsigned port;
    if (!g->slug.len || !g->what.len)
        return false;
    if (is_path(g))
        return g->what.p[0] == '/' && g->what.len < 4096;
    return mt_slice_eq(g->kind, MT_SLICE("host")) && split_port(g->what, &name, &port);
}

mt_status mti_grants_check(const mti_config *c, mti_error *e)
{
    const char *at = NULL;
    for (grant g; next(c, &at, &g);)
        if (!is_whole(&g))
            return mti_fail(e, MT_INVALID, "grant_invalid", "plugins.grants: \"%.*s\" is none of SLUG:read:/FOLDER, SLUG:write:/FOLDER and SLUG:host:NAME[:PORT]. A plugin in a process "
                            "of its own has no sockets: it reaches hosts through http/1.", (int)(g.all.len < 200 ? g.all.len : 200), g.all.p);
    return MT_OK;
}

bool mti_grants_path(const mti_config *c, const char *slug, const char **at, char path[4096], bool *writes)
{
    for (grant g; next(c, at, &g);)
        if (is_path(&g) && is_whole(&g) && mt_slice_eq(g.slug, mt_str(slug))) {
            *writes = g.kind.p[0] == 'w';
            snprintf(path, 4096, "%.*s", (int)g.what.len, g.what.p);
            return true;
        }
    return false;
}

bool mti_host_matches(mt_slice g, mt_slice host)
{
    if (mt_slice_eq(g, MT_SLICE("*")) || (g.len == host.len && !strncasecmp(g.p, host.p, g.len)))
        return true;
    return g.len > 2 && g.p[0] == '*' && g.p[1] == '.' && host.len > g.len - 1 && !strncasecmp(host.p + host.len - (g.len - 1), g.p + 1, g.len - 1);
}

bool mti_grants_host(const mti_config *c, const char *slug, mt_slice host, unsigned port)
{
    const char *at = NULL;
    mt_slice name;
    unsigned its;
    for (grant g; next(c, &at, &g);)
        if (mt_slice_eq(g.kind, MT_SLICE("host")) && mt_slice_eq(g.slug, mt_str(slug)) && split_port(g.what, &name, &its) && (!its || its == port) &&
            mti_host_matches(name, host))
            return true;
    return false;
}
