#include "bus/bus.h"
#include "bus/patch.h"

#include "base/utf8.h"
#include "json/json.h"

#define PATCH_MAX 256
#define PATCH_BYTES (1u << 20)

/* --- collecting --- */

static const mti_hook_field *field_find(const mti_hook_info *h, mt_slice name)
{
    for (unsigned i = 0; i < h->n_fields; i++)
        if (h->fields[i].patchable && mt_slice_eq(name, mt_str(h->fields[i].name)))
            return &h->fields[i];
    return NULL;
}

/* A fresh operation for "/field/below…", not yet linked; NULL when the pointer may not be patched.
 */
static mti_patch_op *op_make(mt_patch *p, mt_slice pointer)
{
    if (!p->hook->filter || p->count >= PATCH_MAX || pointer.len < 2 || pointer.p[0] != '/')
        return NULL;
    const char *slash = memchr(pointer.p + 1, '/', pointer.len - 1);
    size_t end = slash ? (size_t)(slash - pointer.p) : pointer.len;
    const mti_hook_field *f = field_find(p->hook, (mt_slice){pointer.p + 1, end - 1});
    if (!f || (slash && f->type != MTI_F_JSON))
        return NULL;
    mti_patch_op *op = mti_arena_try_alloc(&p->c->arena, sizeof *op);
    if (!op)
        return NULL;
    op->field = f;
    op->pointer = mti_arena_slice(&p->c->arena, pointer);
    op->below = (mt_slice){op->pointer.p + end, pointer.len - end};
    return op;
}

static mt_status op_link(mt_patch *p, mti_patch_op *op)
{
    if (p->last)
        p->last->next = op;
    else
        p->first = op;
    p->last = op;
    p->count++;
    return MT_OK;
}

/* Whether an integer field can hold it. */
static bool integer_fits(mti_field_type type, int64_t v)
{
    return type == MTI_F_I64 || (type == MTI_F_I32 && v >= INT32_MIN && v <= INT32_MAX) ||
           (type == MTI_F_U32 && v >= 0 && v <= UINT32_MAX);
}

/* Takes the value of a parsed JSON text into the operation; false when the field cannot hold it. */
static bool op_take(mt_patch *p, mti_patch_op *op, const json_t *v, mt_slice json)
{
    mti_arena *a = &p->c->arena;
    switch (op->field->type) {
    case MTI_F_JSON:
        op->value = mti_arena_slice(a, json);
        return true;
    case MTI_F_SLICE:
        op->value = json_is_null(v) ? (mt_slice){NULL, 0} : mti_arena_slice(a, mti_json_text(v));
        return json_is_null(v) || json_is_string(v);
    case MTI_F_F64:
        op->number = json_number_value(v);
        return json_is_number(v);
    case MTI_F_BOOL:
        op->integer = json_is_true(v);
        return json_is_boolean(v);
    default:
        op->integer = json_integer_value(v);
        return json_is_integer(v) && integer_fits(op->field->type, op->integer);
    }
}

mt_status mti_patch_set(mt_patch *p, mt_slice pointer, mt_slice json)
{
    if (json.len > PATCH_BYTES)
        return MT_TOO_LARGE;
    mti_patch_op *op = op_make(p, pointer);
    json_t *v = NULL;
    if (!op || mti_json_parse(json, 0, &v, NULL) != MT_OK)
        return MT_INVALID;
    bool fits = op_take(p, op, v, json);
    json_decref(v);
    return fits ? op_link(p, op) : MT_INVALID;
}

static mt_status quote(mt_call *c, mt_slice text, mt_slice *json)
{
    mti_buf b;
    mti_buf_init(&b, text.len * 6 + 16);
    mt_status st = mti_buf_add_json(&b, text);
    if (st == MT_OK)
        *json = mti_arena_slice(&c->arena, mti_buf_slice(&b));
    mti_buf_dispose(&b);
    return st;
}

mt_status mti_patch_set_text(mt_patch *p, mt_slice pointer, mt_slice text)
{
    if (text.len > PATCH_BYTES)
        return MT_TOO_LARGE;
    mti_patch_op *op = op_make(p, pointer);
    if (!op || !mti_utf8_valid(text) || (text.len && memchr(text.p, 0, text.len)))
        return MT_INVALID;
    if (op->field->type == MTI_F_JSON)
        MT_TRY(quote(p->c, text, &op->value));
    else if (op->field->type == MTI_F_SLICE)
        op->value = mti_arena_slice(&p->c->arena, text);
    else
        return MT_INVALID;
    return op_link(p, op);
}

/* --- applying --- */

static void *member(void *payload, const mti_hook_field *f)
{
    return (char *)payload + f->offset;
}

/* One JSON field while parts below it change: parsed once, written back once. */
typedef struct open_field {
    const mti_hook_field *field;
    json_t *root;
} open_field;

static mt_status field_close(mt_patch *p, open_field *o, void *payload, mti_error *e)
{
    if (!o->root)
        return MT_OK;
    mti_buf b;
    mti_buf_init(&b, PATCH_BYTES * 4);
    mt_status st = mti_json_dump(o->root, &b);
    json_decref(o->root);
    o->root = NULL;
    if (st == MT_OK)
        *(mt_slice *)member(payload, o->field) = mti_arena_slice(&p->c->arena, mti_buf_slice(&b));
    else
        mti_fail(e, st, "patch_too_large", "The patched value of %s is too large.", o->field->name);
    mti_buf_dispose(&b);
    return st;
}

static mt_status field_open(open_field *o, const mti_hook_field *f, void *payload, mti_error *e)
{
    mt_slice text = *(mt_slice *)member(payload, f);
    o->field = f;
    return mti_json_parse(text.len ? text : MT_SLICE("null"), 0, &o->root, e);
}

static mt_status apply_below(mt_patch *p, const mti_patch_op *op, open_field *o, void *payload,
                             mti_error *e)
{
    if (!o->root || o->field != op->field) {
        MT_TRY(field_close(p, o, payload, e));
        MT_TRY(field_open(o, op->field, payload, e));
    }
    json_t *v;
    MT_TRY(mti_json_parse(op->value, 0, &v, e));
    return mti_json_set_at(&o->root, op->below, v, e);
}

static void apply_flat(const mti_patch_op *op, void *payload)
{
    void *at = member(payload, op->field);
    switch (op->field->type) {
    case MTI_F_SLICE:
    case MTI_F_JSON:
        *(mt_slice *)at = op->value;
        break;
    case MTI_F_F64:
        *(double *)at = op->number;
        break;
    case MTI_F_I64:
        *(int64_t *)at = op->integer;
        break;
    case MTI_F_I32:
        *(int32_t *)at = (int32_t)op->integer;
        break;
    case MTI_F_U32:
        *(uint32_t *)at = (uint32_t)op->integer;
        break;
    case MTI_F_BOOL:
        *(bool *)at = op->integer != 0;
        break;
    }
}

static mt_status apply_all(mt_patch *p, open_field *o, void *payload, mti_error *e)
{
    for (const mti_patch_op *op = p->first; op; op = op->next) {
        if (op->below.len) {
            MT_TRY(apply_below(p, op, o, payload, e));
            continue;
        }
        if (o->field == op->field)
            MT_TRY(field_close(p, o, payload, e));
        apply_flat(op, payload);
    }
    return field_close(p, o, payload, e);
}

mt_status mti_patch_apply(mt_patch *p, void *payload, mti_error *e)
{
    if (!p->first)
        return MT_OK;
    char before[512];
    size_t size = p->hook->size;
    if (size > sizeof before)
        return mti_fail(e, MT_INTERNAL, "payload_size", "The payload of %s is too large to patch.",
                        p->hook->name);
    memcpy(before, payload, size);
    open_field o = {0};
    mt_status st = apply_all(p, &o, payload, e);
    json_decref(o.root);
    if (st == MT_OK)
        st = mti_patch_check(p, before, payload, e);
    if (st != MT_OK)
        memcpy(payload, before, size);
    return st;
}

/* --- telling --- */

static void value_write(const mti_patch_op *op, mti_buf *out)
{
    switch (op->field->type) {
    case MTI_F_SLICE:
        if (op->value.p)
            mti_buf_add_json(out, op->value);
        else
            mti_buf_adds(out, "null");
        break;
    case MTI_F_JSON:
        mti_buf_add(out, op->value.p, op->value.len);
        break;
    case MTI_F_F64:
        mti_buf_addf(out, "%.17g", op->number);
        break;
    case MTI_F_BOOL:
        mti_buf_adds(out, op->integer ? "true" : "false");
        break;
    default:
        mti_buf_addf(out, "%lld", (long long)op->integer);
    }
}

static void pointer_write(const mti_patch_op *op, mti_buf *out)
{
    mti_buf_adds(out, "{\"pointer\":");
    mti_buf_add_json(out, op->pointer);
}

void mti_patch_op_write(const mti_patch_op *op, mti_buf *out)
{
    mti_buf_adds(out, "\"pointer\":");
    mti_buf_add_json(out, op->pointer);
    mti_buf_adds(out, ",\"value\":");
    value_write(op, out);
}

void mti_patch_write(const mt_patch *p, mti_buf *out)
{
    mti_buf_addc(out, '[');
    for (const mti_patch_op *op = p->first; op; op = op->next) {
        mti_buf_adds(out, op == p->first ? "{" : ",{");
        mti_patch_op_write(op, out);
        mti_buf_addc(out, '}');
    }
    mti_buf_addc(out, ']');
}

static void op_trace(const mti_patch_op *op, bool values, mti_buf *out)
{
    enum { SHORT = 200 };
    bool text = op->field->type == MTI_F_SLICE || op->field->type == MTI_F_JSON;
    pointer_write(op, out);
    if (values && op->value.len <= SHORT) {
        mti_buf_adds(out, ",\"value\":");
        value_write(op, out);
    } else {
        mti_buf_addf(out, ",\"bytes\":%zu", text ? op->value.len : sizeof op->number);
    }
    mti_buf_addc(out, '}');
}

/* In at most half of what there is: the sentence is left out when it is longer. */
static void refusal_write(const mti_error *why, size_t most, mti_buf *out)
{
    mti_buf detail;
    mti_buf_init(&detail, most / 2);
    mti_buf_adds(&detail, ",\"detail\":");
    mti_buf_add_json(&detail, mt_str(why->detail));
    mti_buf_addf(out, "{\"refused\":\"%s\"%s}", why->code, detail.status == MT_OK ? detail.p : "");
    mti_buf_dispose(&detail);
}

void mti_patch_trace(const mt_patch *p, const mti_error *refused, bool values, size_t most, mti_buf *out)
{
    unsigned told = 0;
    mti_buf_addc(out, '[');
    if (refused)
        refusal_write(refused, most, out);
    for (const mti_patch_op *op = p->first; op; op = op->next, told++) {
        mti_buf one;
        mti_buf_init(&one, most);
        op_trace(op, values, &one);
        bool fits = one.status == MT_OK && out->len + one.len + 24 <= most;
        if (fits)
            mti_buf_addf(out, "%s%s", out->len > 1 ? "," : "", one.p);
        mti_buf_dispose(&one);
        if (!fits)
            break;
    }
    if (told < p->count)
        mti_buf_addf(out, "%s{\"more\":%u}", out->len > 1 ? "," : "", p->count - told);
    mti_buf_addc(out, ']');
}
