#include "json/schema_impl.h"

#include <stdio.h>
#include <stdlib.h>

static size_t escapes(const char *key, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += key[i] == '~' || key[i] == '/';
    return count;
}

/* Appends one token; false, with out as it was, when it does not fit. */
static bool add_token(const mti_path *p, char *out, size_t size, size_t *len)
{
    char number[24];
    const char *key = p->key;
    size_t n = p->len, at = *len;
    if (!key) {
        n = (size_t)snprintf(number, sizeof number, "%zu", p->len);
        key = number;
    }
    if (n >= size || at + 1 + n + escapes(key, n) >= size)
        return false;
    out[at++] = '/';
    for (size_t i = 0; i < n; i++) {
        bool escaped = key[i] == '~' || key[i] == '/';
        out[at++] = escaped ? '~' : key[i];
        if (escaped)
            out[at++] = key[i] == '~' ? '0' : '1';
    }
    out[at] = 0;
    *len = at;
    return true;
}

void mti_path_format(const mti_path *p, char *out, size_t size)
{
    const mti_path *steps[256];
    size_t n = 0, len = 0;
    for (; p && n < 256; p = p->up)
        steps[n++] = p;
    out[0] = 0;
    while (n > 0 && add_token(steps[n - 1], out, size, &len))
        n--;
}

int mti_prop_order(const void *a, const void *b)
{
    const mti_prop *x = a, *y = b;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return memcmp(x->key, y->key, x->len);
}

const mti_prop *mti_prop_find(const mti_schema *s, uint32_t first, uint32_t count, const char *key,
                              size_t len)
{
    mti_prop wanted = {key, len, 0};
    return count ? bsearch(&wanted, s->props + first, count, sizeof wanted, mti_prop_order) : NULL;
}
