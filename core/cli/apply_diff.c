#include "cli/apply.h"

#include <stdio.h>

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

json_t *mti_apply_diff_shown(const json_t *present, const json_t *after)
{
    static const char *const members[] = {"enabled", "config", "scope", "priority"};
    size_t i;
    json_t *one, *before = json_object(), *then = json_object(), *pointers = json_array();
    for (size_t k = 0; k < sizeof members / sizeof *members; k++) {
        json_object_set(before, members[k], json_object_get(present, members[k]));
        json_object_set(then, members[k], json_object_get(after, members[k]));
    }
    json_array_foreach(json_object_get(after, "secrets_changed"), i, one)
    {
        char pointer[300];
        snprintf(pointer, sizeof pointer, "/config%.280s", json_string_value(one));
        json_array_append_new(pointers, json_string(pointer));
    }
    json_t *changes = mti_apply_diff_config(before, then, pointers);
    json_decref(before);
    json_decref(then);
    json_decref(pointers);
    return changes;
}

json_t *mti_apply_unknown(void)
{
    return json_pack("[{s:s,s:s,s:s}]", "op", "+", "pointer", "", "after", "as the file says, checked when the plugin's version is there");
}
