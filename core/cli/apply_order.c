#include "cli/apply.h"

static bool is_removed(const json_t *items, size_t i)
{
    return mti_json_get_bool(json_array_get(items, i), "removed", false);
}

static bool needs(const json_t *items, size_t i, size_t on)
{
    size_t n;
    json_t *one;
    const json_t *slug = json_object_get(json_array_get(items, on), "slug");
    json_array_foreach(json_object_get(json_array_get(items, i), "needs"), n, one)
        if (json_equal(one, slug))
            return i != on;
    return false;
}

/* Who needs something comes behind it, unless one of both goes: then before. */
static bool comes_before(const json_t *items, size_t a, size_t b)
{
    bool goes = is_removed(items, a) || is_removed(items, b);
    return (needs(items, b, a) && !goes) || (needs(items, a, b) && goes);
}

static bool is_free(const json_t *items, size_t i, const bool *placed)
{
    for (size_t j = 0; j < json_array_size(items); j++)
        if (j != i && !placed[j] && comes_before(items, j, i))
            return false;
    return true;
}

void mti_apply_add_needs(json_t *to, const json_t *plugin, const json_t *all)
{
    const char *slug;
    size_t i, k;
    json_t *one, *interface, *provided;
    json_object_foreach(json_object_get(plugin, "dependencies"), slug, one)
        json_array_append_new(to, json_string(slug));
    json_array_foreach(json_object_get(plugin, "requires"), i, interface)
        json_object_foreach((json_t *)all, slug, one)
            json_array_foreach(json_object_get(one, "provides"), k, provided)
                if (json_equal(provided, interface))
                    json_array_append_new(to, json_string(slug));
}

void mti_apply_order(const json_t *items, size_t *order)
{
    size_t n = json_array_size(items);
    bool placed[n ? n : 1];
    memset(placed, 0, sizeof placed);
    for (size_t at = 0; at < n; at++) {
        size_t first = n, next = n;
        for (size_t i = 0; i < n && next == n; i++) {
            if (placed[i])
                continue;
            first = first == n ? i : first;
            if (is_free(items, i, placed))
                next = i;
        }
        order[at] = next < n ? next : first;  /* a circle: the server says what is wrong with it */
        placed[order[at]] = true;
    }
}
