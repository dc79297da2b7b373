/* A hook's payload from JSON and to JSON: cases, recorded decisions, explanations. */
#include "policy/policy_impl.h"

static mt_slice text_of(mt_call *c, const json_t *v)
{
    if (json_is_string(v))
        return mti_arena_slice(&c->arena, mti_json_text(v));
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    mt_slice text = {NULL, 0};
    if (!json_is_null(v) && mti_json_dump(v, &b) == MT_OK)
        text = mti_arena_slice(&c->arena, mti_buf_slice(&b));
    mti_buf_dispose(&b);
    return text;
}

static mt_slice json_of(mt_call *c, const json_t *v)
{
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    mti_json_dump(v, &b);
    mt_slice text = mti_arena_slice(&c->arena, mti_buf_slice(&b));
    mti_buf_dispose(&b);
    return text;
}

static void set_field(mt_call *c, char *payload, const mti_hook_field *f, const json_t *v)
{
    void *at = payload + f->offset;
    switch (f->type) {
    case MTI_F_SLICE:
        *(mt_slice *)at = text_of(c, v);
        break;
    case MTI_F_JSON:
        *(mt_slice *)at = json_of(c, v);
        break;
    case MTI_F_I32:
        *(int32_t *)at = (int32_t)json_integer_value(v);
        break;
    case MTI_F_U32:
        *(uint32_t *)at = (uint32_t)json_integer_value(v);
        break;
    case MTI_F_I64:
        *(int64_t *)at = json_integer_value(v);
        break;
    case MTI_F_F64:
        *(double *)at = json_number_value(v);
        break;
    case MTI_F_BOOL:
        *(bool *)at = json_is_true(v);
        break;
    }
}

/* A field that belongs to the call and not to the payload; false when there is none of that name.
 */
static bool set_common(mt_call *c, const char *name, const json_t *v)
{
    mt_slice text = text_of(c, v);
    if (strcmp(name, "org_id") == 0)
        return mti_uuid_parse(text, &c->who.org_id);
    if (strcmp(name, "workspace_id") == 0)
        return mti_uuid_parse(text, &c->workspace_id);
    if (strcmp(name, "subject_id") == 0)
        return mti_uuid_parse(text, &c->who.subject_id);
    if (strcmp(name, "operation") != 0)
        return false;
    c->operation = mti_arena_strndup(&c->arena, text.p, text.len);
    return true;
}

mt_status mti_policy_payload_make(const mti_hook_info *hook, mt_call *c, const json_t *ctx,
                                  void **payload, char *why, size_t size)
{
    char *made = mti_arena_alloc(&c->arena, hook->size);
    *(uint32_t *)made = hook->size;
    *payload = made;
    mt_status st = MT_OK;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)ctx, name, value)
    {
        bool known = false;
        for (unsigned i = 0; i < hook->n_fields; i++) {
            if (strcmp(name, hook->fields[i].name) != 0)
                continue;
            set_field(c, made, &hook->fields[i], value);
            known = true;
        }
        if (!set_common(c, name, value) && !known) {
            snprintf(why, size, "%s has no field %s, or it is not an id", hook->name, name);
            st = MT_INVALID;
        }
    }
    return st;
}

/* --- writing --- */

static void write_text(mti_buf *out, mt_slice text)
{
    if (text.p)
        mti_buf_add_json(out, text);
    else
        mti_buf_adds(out, "null");
}

static void write_field(mti_buf *out, const mti_hook_field *f, const void *payload)
{
    const void *at = (const char *)payload + f->offset;
    mt_slice json;
    mti_buf_addf(out, "\"%s\":", f->name);
    switch (f->type) {
    case MTI_F_SLICE:
        write_text(out, *(const mt_slice *)at);
        break;
    case MTI_F_JSON:
        json = *(const mt_slice *)at;
        mti_buf_add(out, json.len ? json.p : "null", json.len ? json.len : 4);
        break;
    case MTI_F_I32:
        mti_buf_addf(out, "%d", *(const int32_t *)at);
        break;
    case MTI_F_U32:
        mti_buf_addf(out, "%u", *(const uint32_t *)at);
        break;
    case MTI_F_I64:
        mti_buf_addf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case MTI_F_F64:
        mti_buf_addf(out, "%.17g", *(const double *)at);
        break;
    case MTI_F_BOOL:
        mti_buf_adds(out, *(const bool *)at ? "true" : "false");
        break;
    }
}

static bool is_field(const mti_hook_info *hook, const char *name)
{
    for (unsigned i = 0; i < hook->n_fields; i++)
        if (strcmp(hook->fields[i].name, name) == 0)
            return true;
    return false;
}

static void write_id(mti_buf *out, const mti_hook_info *hook, const char *name, mti_uuid id)
{
    char text[37];
    if (mti_uuid_is_nil(id) || is_field(hook, name))
        return;
    mti_uuid_format(id, text);
    mti_buf_addf(out, ",\"%s\":\"%s\"", name, text);
}

void mti_policy_payload_write(const mti_hook_info *hook, const mt_call *c, const void *payload,
                              mti_buf *out)
{
    mti_buf_addc(out, '{');
    for (unsigned i = 0; i < hook->n_fields; i++) {
        if (i)
            mti_buf_addc(out, ',');
        write_field(out, &hook->fields[i], payload);
    }
    write_id(out, hook, "org_id", c->who.org_id);
    write_id(out, hook, "workspace_id", c->workspace_id);
    write_id(out, hook, "subject_id", c->who.subject_id);
    if (!is_field(hook, "operation")) {
        mti_buf_adds(out, ",\"operation\":");
        mti_buf_add_json(out, mt_str(c->operation));
    }
    mti_buf_addc(out, '}');
}
