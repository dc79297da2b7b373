/* Which calls a handler is for, as bits of operations and a sorted list of keys. */
#include "bus/bus.h"

#include <stdlib.h>

struct mti_bus_scope {
    bool any_operation, any_key;
    unsigned n_operations;           /* bits that there are */
    size_t n_keys;
    uint64_t *operations;            /* by number */
    mti_uuid keys[];                 /* sorted */
};

static int compare(const void *a, const void *b)
{
    return memcmp(((const mti_uuid *)a)->b, ((const mti_uuid *)b)->b, sizeof(mti_uuid));
}

/* "chat.send", "chat.*" or "*". */
static bool covers(mt_slice pattern, const char *name)
{
    if (pattern.len && pattern.p[pattern.len - 1] == '*')
        return !strncmp(name, pattern.p, pattern.len - 1);
    return mt_slice_eq(pattern, mt_str(name));
}

static void add_operations(mti_bus_scope *s, const json_t *patterns)
{
    size_t i;
    json_t *pattern;
    s->n_operations = mti_operation_count();
    s->operations = calloc(s->n_operations / 64 + 1, sizeof *s->operations);
    if (!s->operations)
        abort();
    for (unsigned n = 1; n < s->n_operations; n++)
        json_array_foreach((json_t *)patterns, i, pattern)
            if (covers(mti_json_text(pattern), mti_operation_name(n)))
                s->operations[n >> 6] |= 1ull << (n & 63);
}

mti_bus_scope *mti_bus_scope_create(const json_t *scope)
{
    const json_t *operations = json_object_get(scope, "operations"), *keys = json_object_get(scope, "api_keys");
    size_t i;
    json_t *key;
    if (!json_is_array(operations) && !json_is_array(keys))
        return NULL;
    mti_bus_scope *s = calloc(1, sizeof *s + json_array_size(keys) * sizeof *s->keys);
    if (!s)
        abort();
    s->any_operation = !json_is_array(operations);
    s->any_key = !json_is_array(keys);
    if (!s->any_operation)
        add_operations(s, operations);
    json_array_foreach((json_t *)keys, i, key)
        if (mti_uuid_parse(mti_json_text(key), &s->keys[s->n_keys]))
            s->n_keys++;
    qsort(s->keys, s->n_keys, sizeof *s->keys, compare);
    return s;
}

void mti_bus_scope_destroy(mti_bus_scope *s)
{
    if (s)
        free(s->operations);
    free(s);
}

bool mti_bus_scope_fits(const mti_bus_scope *s, const mt_call *c)
{
    unsigned n = c->operation_number;
    if (!s->any_operation && !(n < s->n_operations && s->operations[n >> 6] >> (n & 63) & 1))
        return false;
    return s->any_key || bsearch(&c->who.subject_id, s->keys, s->n_keys, sizeof *s->keys, compare);
}
