/* JSON helpers: pointers, texts, schema defaults. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

/* The host refuses deep documents before it parses them. */
static bool too_deep(mt_slice text)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char ch = text.p[i];
        if (quoted && ch == '\\')
            i++;
        else if (ch == '"')
            quoted = !quoted;
        else if (!quoted && (ch == '[' || ch == '{') && ++depth > 64)
            return true;
        else if (!quoted && (ch == ']' || ch == '}') && depth)
            depth--;
    }
    return false;
}

json_t *kit_parse(mt_slice text)
{
    return too_deep(text) ? NULL : json_loadb(text.p ? text.p : "", text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
}

/* Takes "/token" off the pointer, unescaped; false when it does not fit or is no token. */
static bool next_token(mt_slice *p, char *out, size_t size)
{
    size_t n = 0, i = 1;
    if (!p->len || p->p[0] != '/')
        return false;
    for (; i < p->len && p->p[i] != '/'; i++) {
        char ch = p->p[i];
        if (ch == '~' && i + 1 < p->len)
            ch = p->p[++i] == '0' ? '~' : '/';
        if (n + 1 == size)
            return false;
        out[n++] = ch;
    }
    out[n] = 0;
    *p = (mt_slice){p->p + i, p->len - i};
    return true;
}

static json_t *child(json_t *v, const char *token)
{
    char *end;
    if (json_is_object(v))
        return json_object_get(v, token);
    unsigned long i = strtoul(token, &end, 10);
    return json_is_array(v) && *token && !*end ? json_array_get(v, i) : NULL;
}

json_t *kit_at(json_t *root, mt_slice pointer)
{
    char token[256];
    while (root && pointer.len)
        root = next_token(&pointer, token, sizeof token) ? child(root, token) : NULL;
    return root;
}

static bool set_child(json_t *parent, const char *token, json_t *take)
{
    char *end;
    if (json_is_object(parent))
        return json_object_set_new(parent, token, take) == 0;
    if (!json_is_array(parent))
        return json_decref(take), false;
    if (!strcmp(token, "-"))
        return json_array_append_new(parent, take) == 0;
    unsigned long i = strtoul(token, &end, 10);
    if (*token && !*end && i == json_array_size(parent))
        return json_array_append_new(parent, take) == 0;
    return (*token && !*end) ? json_array_set_new(parent, i, take) == 0 : (json_decref(take), false);
}

bool kit_set_at(json_t **root, mt_slice pointer, json_t *take)
{
    char token[256];
    json_t *at = *root;
    if (!pointer.len) {
        json_decref(*root);
        *root = take;
        return true;
    }
    while (at && next_token(&pointer, token, sizeof token) && pointer.len)
        at = child(at, token);
    if (at)
        return set_child(at, token, take);
    json_decref(take);
    return false;
}

mt_slice kit_dump(mt_call *c, const json_t *v)
{
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    mt_slice out = text ? kit_copy_slice(c, mt_str(text)) : (mt_slice){0};
    free(text);
    return out;
}

mt_slice kit_text(mt_call *c, const json_t *v)
{
    if (!v || json_is_null(v))
        return (mt_slice){0};
    if (json_is_string(v))
        return (mt_slice){json_string_value(v), json_string_length(v)};
    return kit_dump(c, v);
}

json_t *kit_string(mt_slice s)
{
    json_t *v = s.p ? json_stringn(s.p, s.len) : json_null();
    return v ? v : json_string("(bytes)");
}

void kit_apply_defaults(const json_t *schema, json_t *object)
{
    const char *name;
    json_t *property;
    json_object_foreach(json_object_get(schema, "properties"), name, property) {
        json_t *value = json_object_get(object, name), *given = json_object_get(property, "default");
        if (!value && given)
            json_object_set_new(object, name, json_deep_copy(given));
        else if (json_is_object(value))
            kit_apply_defaults(property, value);
    }
}
