#include "worker/wire.h"

#include <stdio.h>
#include <sys/stat.h>

#include "bus/bus.h"

void mti_program_name(char out[MTI_PROGRAM_NAME])
{
    struct stat st = {0};
    stat("/proc/self/exe", &st);
    snprintf(out, MTI_PROGRAM_NAME, "%llx.%llx.%llx.%llx.%llx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
             (unsigned long long)st.st_mtim.tv_sec, (unsigned long long)st.st_mtim.tv_nsec);
}

static const uint32_t NULL_SLICE = UINT32_MAX;

/* --- writing --- */

void mti_put_slice(mti_buf *b, mt_slice s)
{
    mti_put_u32(b, s.p ? (uint32_t)s.len : NULL_SLICE);
    if (s.len > MTI_FRAME_MAX)
        b->status = MT_TOO_LARGE;
    else if (s.p)
        mti_put(b, s.p, s.len);
}

void mti_put_slices(mti_buf *b, const mt_slice *s, size_t n)
{
    mti_put_u32(b, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        mti_put_slice(b, s[i]);
}

void mti_put_fields(mti_buf *b, const mt_field *f, size_t n)
{
    mti_put_u32(b, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        mti_put_slice(b, f[i].name);
        mti_put_slice(b, f[i].value);
    }
}

void mti_put_f32s(mti_buf *b, const float *f, size_t n)
{
    mti_put_u32(b, (uint32_t)n);
    if (n > MTI_FRAME_MAX / sizeof *f)
        b->status = MT_TOO_LARGE;
    else
        mti_put(b, f, n * sizeof *f);
}

void mti_put_error(mti_buf *b, const mti_error *e)
{
    mti_put_i32(b, e->http);
    mti_put_slice(b, mt_str(e->code));
    mti_put_slice(b, mt_str(e->detail));
    mti_put_slice(b, mt_str(e->pointer));
}

void mti_put_payload(mti_buf *b, const mti_hook_info *hook, const void *payload)
{
    for (unsigned i = 0; i < hook->n_fields; i++) {
        const void *at = (const char *)payload + hook->fields[i].offset;
        switch (hook->fields[i].type) {
        case MTI_F_SLICE:
        case MTI_F_JSON: mti_put_slice(b, *(const mt_slice *)at); break;
        case MTI_F_I32:
        case MTI_F_U32: mti_put(b, at, 4); break;
        case MTI_F_I64:
        case MTI_F_F64: mti_put(b, at, 8); break;
        case MTI_F_BOOL: mti_put_bool(b, *(const bool *)at); break;
        }
    }
}

static mt_slice op_text(const mti_patch_op *op, char text[40])
{
    int n = op->field->type == MTI_F_F64    ? snprintf(text, 40, "%.17g", op->number)
            : op->field->type == MTI_F_BOOL ? snprintf(text, 40, "%s", op->integer ? "true" : "false")
                                            : snprintf(text, 40, "%lld", (long long)op->integer);
    return (mt_slice){text, (size_t)n};
}

/* A change is a pointer and a text: of a text field its text (the null slice: null), else JSON. */
void mti_put_patch(mti_buf *b, const mt_patch *p)
{
    char text[40];
    mti_put_u32(b, p->count);
    for (const mti_patch_op *op = p->first; op; op = op->next) {
        bool own = op->field->type == MTI_F_SLICE || op->field->type == MTI_F_JSON;
        mti_put_slice(b, op->pointer);
        mti_put_bool(b, op->field->type == MTI_F_SLICE && op->value.p);
        mti_put_slice(b, own ? op->value : op_text(op, text));
    }
}

/* --- reading --- */

bool mti_take(mti_unpack *in, void *out, size_t n)
{
    if (in->bad || (size_t)(in->end - in->p) < n) {
        in->bad = true;
        memset(out, 0, n);
        return false;
    }
    memcpy(out, in->p, n);
    in->p += n;
    return true;
}

bool mti_take_bool(mti_unpack *in)
{
    char v;
    mti_take(in, &v, 1);
    return v != 0;
}

mt_slice mti_take_slice(mti_unpack *in)
{
    uint32_t n = mti_take_u32(in);
    if (in->bad || n == NULL_SLICE)
        return (mt_slice){NULL, 0};
    if ((size_t)(in->end - in->p) < n) {
        in->bad = true;
        return (mt_slice){NULL, 0};
    }
    mt_slice s = {in->p, n};
    in->p += n;
    return s;
}

/* Room for n items that take at least `least` bytes each in the frame: so what a frame can ask for is a few times its own size. */
static void *take_array(mti_unpack *in, size_t *n, size_t least, size_t size)
{
    *n = mti_take_u32(in);
    void *room = NULL;
    if (!in->bad && *n <= (size_t)(in->end - in->p) / least)
        room = mti_arena_try_alloc(in->arena, *n * size + 1);
    if (room)
        return room;
    in->bad = true;
    *n = 0;
    return NULL;
}

const mt_slice *mti_take_slices(mti_unpack *in, size_t *n)
{
    mt_slice *s = take_array(in, n, 4, sizeof *s);
    for (size_t i = 0; i < *n; i++)
        s[i] = mti_take_slice(in);
    return s;
}

const mt_field *mti_take_fields(mti_unpack *in, size_t *n)
{
    mt_field *f = take_array(in, n, 8, sizeof *f);
    for (size_t i = 0; i < *n; i++) {
        f[i].name = mti_take_slice(in);
        f[i].value = mti_take_slice(in);
    }
    return f;
}

const float *mti_take_f32s(mti_unpack *in, size_t *n)
{
    float *f = take_array(in, n, sizeof *f, sizeof *f);
    if (f)
        mti_take(in, f, *n * sizeof *f);
    return f;
}

mt_status mti_take_status(mti_unpack *in)
{
    uint32_t s = mti_take_u32(in);
    return in->bad || s > MT_INTERNAL ? MT_INTERNAL : (mt_status)s;
}

static void take_text(mti_unpack *in, char *out, size_t size)
{
    mt_slice s = mti_take_slice(in);
    size_t n = s.len < size ? s.len : size - 1;
    if (n)
        memcpy(out, s.p, n);
    out[n] = 0;
}

void mti_take_error(mti_unpack *in, mti_error *e)
{
    int32_t http = mti_take_i32(in);
    e->http = http >= 400 && http <= 599 ? http : 0;
    take_text(in, e->code, sizeof e->code);
    take_text(in, e->detail, sizeof e->detail);
    take_text(in, e->pointer, sizeof e->pointer);
}

void mti_take_payload(mti_unpack *in, const mti_hook_info *hook, void *payload)
{
    memset(payload, 0, hook->size);
    *(uint32_t *)payload = hook->size;
    for (unsigned i = 0; i < hook->n_fields; i++) {
        void *at = (char *)payload + hook->fields[i].offset;
        switch (hook->fields[i].type) {
        case MTI_F_SLICE:
        case MTI_F_JSON: *(mt_slice *)at = mti_take_slice(in); break;
        case MTI_F_I32:
        case MTI_F_U32: mti_take(in, at, 4); break;
        case MTI_F_I64:
        case MTI_F_F64: mti_take(in, at, 8); break;
        case MTI_F_BOOL: *(bool *)at = mti_take_bool(in); break;
        }
    }
}

mt_status mti_take_patch(mti_unpack *in, mt_patch *p)
{
    uint32_t n = mti_take_u32(in);
    for (uint32_t i = 0; i < n && !in->bad; i++) {
        mt_slice pointer = mti_take_slice(in);
        bool text = mti_take_bool(in);
        mt_slice value = mti_take_slice(in);
        if (in->bad)
            break;
        MT_TRY(text ? mti_patch_set_text(p, pointer, value) : mti_patch_set(p, pointer, value.p ? value : MT_SLICE("null")));
    }
    return in->bad ? MT_INVALID : MT_OK;
}
