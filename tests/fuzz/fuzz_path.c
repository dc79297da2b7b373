/* A method, a blank, a path: the base is taken off, a route found, its parameters decoded. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "router/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPERATION(m, p, n)                                                                         \
    {                                                                                              \
        .id = m " " p, .method = m, .path = p, .n_params = n                                       \
    }

static const mti_operation table[] = {OPERATION("GET", "/a", 0),
                                      OPERATION("POST", "/a", 0),
                                      OPERATION("GET", "/a/{x}", 1),
                                      OPERATION("GET", "/a/b", 0),
                                      OPERATION("PUT", "/a/b/{y}", 1),
                                      OPERATION("GET", "/{x}/b/{y}/c", 2),
                                      OPERATION("DELETE", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", 8)};

static mti_router *make_router(void)
{
    const mti_operation *list[sizeof table / sizeof *table];
    mti_router *r = NULL;
    mti_error e;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        list[i] = &table[i];
    if (mti_router_create(list, sizeof table / sizeof *table, &r, &e) != MT_OK)
        abort();
    return r;
}

static void decode(mt_slice s)
{
    char *out = malloc(s.len + 1);
    mt_slice decoded;
    if (!out)
        return;
    if (mti_percent_decode(s, out, &decoded) &&
        (decoded.len > s.len || decoded.p[decoded.len] || strlen(decoded.p) != decoded.len ||
         !mti_utf8_valid(decoded)))
        abort();
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mti_router *router;
    const char *text = (const char *)data, *blank = size ? memchr(text, ' ', size) : NULL;
    if (!router)
        router = make_router();
    if (!blank)
        return 0;
    mt_slice method = {text, (size_t)(blank - text)}, path = {blank + 1, size - method.len - 1},
             rest;
    decode(path);
    mti_match m = mti_router_find(router, method, mti_router_strip(path, &rest) ? rest : path);
    if (m.op && !m.allow)
        abort();
    for (unsigned i = 0; m.op && i < m.op->n_params; i++) {
        if (!m.params[i].len || memchr(m.params[i].p, '/', m.params[i].len))
            abort();
        decode(m.params[i]);
    }
    return 0;
}
