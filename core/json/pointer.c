#include "json/json.h"

#define TOKEN_MAX 512

/* One reference token, unescaped. */
typedef struct token {
    char text[TOKEN_MAX];
    size_t len;
} token;

/* Takes the token at the front of *p, which starts with '/'. False when it is malformed or too
 * long. */
static bool token_next(mt_slice *p, token *t)
{
    t->len = 0;
    size_t i = 1;
    for (; i < p->len && p->p[i] != '/'; i++) {
        char c = p->p[i];
        if (c == '~') {
            if (i + 1 >= p->len || (p->p[i + 1] != '0' && p->p[i + 1] != '1'))
                return false;
            c = p->p[++i] == '0' ? '~' : '/';
        }
        if (t->len == sizeof t->text)
            return false;
        t->text[t->len++] = c;
    }
    p->p += i;
    p->len -= i;
    return true;
}

static bool token_index(const token *t, size_t *out)
{
    if (t->len == 0 || t->len > 9 || (t->text[0] == '0' && t->len > 1))
        return false;
    *out = 0;
    for (size_t i = 0; i < t->len; i++) {
        if (t->text[i] < '0' || t->text[i] > '9')
            return false;
        *out = *out * 10 + (size_t)(t->text[i] - '0');
    }
    return true;
}

static json_t *child_of(json_t *v, const token *t)
{
    size_t index;
    if (json_is_object(v))
        return json_object_getn(v, t->text, t->len);
    if (json_is_array(v) && token_index(t, &index))
        return json_array_get(v, index);
    return NULL;
}

json_t *mti_json_at(json_t *root, mt_slice pointer)
{
    if (pointer.len && pointer.p[0] != '/')
        return NULL;
    token t;
    while (root && pointer.len)
        root = token_next(&pointer, &t) ? child_of(root, &t) : NULL;
    return root;
}

static mt_status pointer_fail(mti_error *e, mt_status status, const char *code, mt_slice pointer)
{
    int len = (int)(pointer.len < 120 ? pointer.len : 120);
    return mti_fail(e, status, code,
                    status == MT_NOT_FOUND ? "nothing is at the JSON pointer '%.*s'"
                                           : "'%.*s' is not a JSON pointer that fits the value",
                    len, pointer.p ? pointer.p : "");
}

/* The parent of what pointer names, and the last token; *parent NULL when there is none. */
static mt_status find_parent(json_t *root, mt_slice pointer, json_t **parent, token *last,
                             mti_error *e)
{
    mt_slice rest = pointer;
    *parent = root;
    if (pointer.len == 0 || pointer.p[0] != '/')
        return pointer_fail(e, MT_INVALID, "pointer_invalid", pointer);
    for (;;) {
        if (!token_next(&rest, last))
            return pointer_fail(e, MT_INVALID, "pointer_invalid", pointer);
        if (rest.len == 0)
            return MT_OK;
        *parent = child_of(*parent, last);
        if (!*parent)
            return pointer_fail(e, MT_NOT_FOUND, "pointer_not_found", pointer);
    }
}

static mt_status set_child(json_t *parent, const token *t, json_t *value)
{
    size_t index;
    if (json_is_object(parent))
        return json_object_setn(parent, t->text, t->len, value) ? MT_INVALID : MT_OK;
    if (!json_is_array(parent))
        return MT_NOT_FOUND;
    if (t->len == 1 && t->text[0] == '-')
        return json_array_append(parent, value) ? MT_INVALID : MT_OK;
    if (!token_index(t, &index))
        return MT_INVALID;
    return json_array_set(parent, index, value) ? MT_NOT_FOUND : MT_OK;
}

mt_status mti_json_set_at(json_t **root, mt_slice pointer, json_t *take, mti_error *e)
{
    if (!take)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while building a JSON value");
    if (pointer.len == 0) {
        json_decref(*root);
        *root = take;
        return MT_OK;
    }
    json_t *parent;
    token last;
    mt_status status = find_parent(*root, pointer, &parent, &last, e);
    if (status == MT_OK) {
        status = set_child(parent, &last, take);
        if (status != MT_OK)
            pointer_fail(e, status, status == MT_INVALID ? "pointer_invalid" : "pointer_not_found",
                         pointer);
    }
    json_decref(take);
    return status;
}

mt_status mti_json_remove_at(json_t *root, mt_slice pointer, mti_error *e)
{
    json_t *parent;
    token last;
    MT_TRY(find_parent(root, pointer, &parent, &last, e));
    size_t index;
    int failed = -1;
    if (json_is_object(parent))
        failed = json_object_deln(parent, last.text, last.len);
    else if (json_is_array(parent) && token_index(&last, &index))
        failed = json_array_remove(parent, index);
    return failed ? pointer_fail(e, MT_NOT_FOUND, "pointer_not_found", pointer) : MT_OK;
}

mt_status mti_json_pointer_add(mti_buf *b, mt_slice token)
{
    mti_buf_addc(b, '/');
    for (size_t i = 0; i < token.len; i++) {
        if (token.p[i] == '~')
            mti_buf_adds(b, "~0");
        else if (token.p[i] == '/')
            mti_buf_adds(b, "~1");
        else
            mti_buf_addc(b, token.p[i]);
    }
    return b->status;
}
