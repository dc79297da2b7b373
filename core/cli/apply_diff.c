#include "cli/apply.h"

json_t *mti_apply_change(const char *op, const char *pointer, const json_t *before, const json_t *after)
{
    json_t *change = json_pack("{s:s,s:s}", "op", op, "pointer", pointer);
    if (before)
        json_object_set(change, "before", (json_t *)before);
    if (after)
        json_object_set(change, "after", (json_t *)after);
    return change;
}

static void compare(const json_t *a, const json_t *b, mti_buf *pointer, json_t *out);

static void compare_members(const json_t *a, const json_t *b, mti_buf *pointer, json_t *out)
{
    const char *name;
    json_t *v;
    size_t len = pointer->len;
    json_object_foreach((json_t *)a, name, v)
    {
        mti_json_pointer_add(pointer, mt_str(name));
        compare(v, json_object_get(b, name), pointer, out);
        pointer->p[pointer->len = len] = 0;
    }
    json_object_foreach((json_t *)b, name, v)
    {
        mti_json_pointer_add(pointer, mt_str(name));
        if (!json_object_get(a, name))
            compare(NULL, v, pointer, out);
        pointer->p[pointer->len = len] = 0;
    }
}

/* Lists are compared whole: an item that moved says more beside its neighbours. */
static void compare(const json_t *a, const json_t *b, mti_buf *pointer, json_t *out)
{
    if (json_is_object(a) && json_is_object(b))
        compare_members(a, b, pointer, out);
    else if (!a || !b || !json_equal(a, b))
        json_array_append_new(out, mti_apply_change(!a ? "+" : !b ? "-" : "~", pointer->p ? pointer->p : "", a, b));
}

json_t *mti_apply_diff(const json_t *a, const json_t *b)
{
    mti_buf pointer;
    json_t *out = json_array();
    mti_buf_init(&pointer, 1 << 16);
    compare(a, b, &pointer, out);
    mti_buf_dispose(&pointer);
    return out;
}

/* pointer is at, or below what a change shows whole. */
static bool is_told(const json_t *changes, const char *pointer)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)changes, i, one)
    {
        mt_slice at = mti_json_get_string(one, "pointer", MT_SLICE(""));
        if (strncmp(pointer, at.p, at.len) == 0 && (!pointer[at.len] || pointer[at.len] == '/'))
            return true;
    }
    return false;
}

json_t *mti_apply_diff_config(const json_t *before, const json_t *after, const json_t *secrets_changed)
{
    size_t i;
    json_t *one, *out = mti_apply_diff(before, after);
    json_array_foreach((json_t *)secrets_changed, i, one)
    {
        const char *pointer = json_string_value(one);
        json_t *shown = mti_json_at((json_t *)after, mt_str(pointer));
        if (!is_told(out, pointer))
            json_array_append_new(out, mti_apply_change("~", pointer, shown, shown));
    }
    return out;
}
