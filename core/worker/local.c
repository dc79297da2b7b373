/* json/1, thread/1, hook/1, offload/1, defer/1, metrics/1 and the part of request/1 that needs no host. */
#include "worker/local.h"

#include "base/ident.h"
#include "bus/bus.h"
#include "worker/process.h"

#include <stdio.h>
#include <stdlib.h>

/* --- request/1 --- */

mt_slice mti_local_request_new_id(mt_call *c)
{
    char *text = mti_arena_alloc(&c->arena, 37);
    mti_uuid_format(mti_uuid_v7(), text);
    return (mt_slice){text, 36};
}

mt_status mti_local_request_problem(mt_call *c, int32_t status, mt_slice code, mt_slice detail, mt_slice pointer)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)code.len, code.p ? code.p : "");
    mti_fail(&c->error, mti_error_status(status), name, "%.*s", (int)detail.len, detail.p ? detail.p : "");
    c->error.http = status;
    snprintf(c->error.pointer, sizeof c->error.pointer, "%.*s", (int)pointer.len, pointer.p ? pointer.p : "");
    return c->error.status;
}

mt_slice mti_local_request_problem_code(mt_call *c)
{
    return mt_str(c->error.code);
}

mt_slice mti_local_request_problem_detail(mt_call *c)
{
    return mt_str(c->error.detail);
}

bool mti_local_request_cancelled(mt_call *c)
{
    if (!mti_fiber_current())
        return mti_offload_cancelled();
    return mti_fiber_cancelled(c->fiber) || !mti_call_left_ms(c);
}

mt_status mti_local_request_sleep(mt_call *c, int64_t ms)
{
    return mti_sleep(ms);
}

/* --- db/1: results are read a column at a time, so that a loop over rows is not a frame a value --- */

typedef struct mti_column {
    struct mti_column *next;
    mt_handle result;
    mt_slice name;           /* the null slice: only the number of rows was asked */
    uint32_t rows, first;
    const mt_slice *values;  /* of the rows from `first` on */
    size_t n;
} column;

/* Reads from row on, as much as the host gives at a time. */
static bool read_column(mt_call *c, column *k, uint32_t row)
{
    mti_ask a;
    mti_ask_host(&a, c, MTI_ASK_COLUMN);
    mti_put_handle(&a.out, k->result);
    mti_put_slice(&a.out, k->name);
    mti_put_u32(&a.out, row);
    mt_status s = mti_ask_send(&a, MTI_KEEP_CALL, 0);
    k->rows = mti_take_u32(&a.in);
    k->first = row;
    k->values = mti_take_slices(&a.in, &k->n);
    mti_ask_end(&a);
    return s == MT_OK && !a.in.bad;
}

static const column *find_column(mt_call *c, mt_handle result, mt_slice name, uint32_t row)
{
    mti_run *r = mti_run_of(c);
    column *k = r->columns;
    while (k && (k->result != result || (name.p && !mt_slice_eq(k->name, name))))
        k = k->next;
    if (k && (!name.p || row >= k->rows || (row >= k->first && row - k->first < k->n)))
        return k;
    if (!k) {
        k = mti_arena_try_alloc(&c->arena, sizeof *k);
        if (!k)
            return NULL;
        *k = (column){.next = r->columns, .result = result, .name = name.p ? mti_arena_slice(&c->arena, name) : name};
        r->columns = k;
    }
    return read_column(c, k, row) ? k : NULL;
}

uint32_t mti_local_db_rows(mt_call *c, mt_handle result)
{
    const column *k = find_column(c, result, (mt_slice){NULL, 0}, 0);
    return k ? k->rows : 0;
}

mt_slice mti_local_db_value(mt_call *c, mt_handle result, uint32_t row, mt_slice name)
{
    const column *k = find_column(c, result, name.p ? name : MT_SLICE(""), row);
    return k && row >= k->first && row - k->first < k->n ? k->values[row - k->first] : (mt_slice){NULL, 0};
}

/* --- hook/1: patches are collected here and go back with the outcome --- */

/* What the host's handlers made of the payload. */
static mt_outcome take_emitted(mt_call *c, mti_unpack *in, const mti_hook_info *hook, void *payload)
{
    mt_status s = mti_take_status(in);
    mt_outcome o = s == MT_OK ? (mt_outcome)mti_take_u32(in) : MT_ERROR;
    if (mti_take_bool(in))
        mti_take_error(in, &c->error);
    c->error.status = s;
    if (s == MT_OK)
        mti_take_payload(in, hook, payload);
    return o;
}

static mt_outcome hook_emit(mt_call *c, mt_slice name, void *payload)
{
    int i = mti_hook_find(name);
    const mti_hook_info *hook = i < 0 ? NULL : &mti_hook_catalogue[i];
    char room[hook ? hook->size : 1] __attribute__((aligned(8)));
    void *whole = hook ? mti_payload_begin(hook, payload, room) : NULL;
    mti_buf out;
    char *answer;
    size_t len;
    if (!whole) {
        mti_fail(&c->error, MT_INTERNAL, "hook_unknown", "Hook %.*s is not in the catalogue, or its payload has another size.", (int)name.len, name.p);
        return MT_ERROR;
    }
    mti_buf_init(&out, MTI_FRAME_MAX);
    mti_put_u32(&out, (uint32_t)i);
    mti_put_payload(&out, hook, whole);
    mt_status s = out.status == MT_OK ? mti_run_ask(mti_run_of(c), MTI_ASK_EMIT, &out, &answer, &len) : out.status;
    mti_buf_dispose(&out);
    if (s != MT_OK)
        return MT_ERROR;
    char *kept = mti_arena_try_alloc(&c->arena, len + 1);
    if (kept)
        memcpy(kept, answer, len);
    free(answer);
    mti_unpack in = {.p = kept, .end = kept + (kept ? len : 0), .arena = &c->arena};
    mt_outcome o = take_emitted(c, &in, hook, whole);
    mti_payload_end(hook, payload, whole);
    return o;
}

static mt_status hook_set(mt_call *c, mt_patch *out, mt_slice pointer, mt_slice json)
{
    return mti_patch_set(out, pointer, json);
}

static mt_status hook_set_text(mt_call *c, mt_patch *out, mt_slice pointer, mt_slice text)
{
    return mti_patch_set_text(out, pointer, text);
}

static mt_outcome hook_deny(mt_call *c, int32_t status, mt_slice code, mt_slice detail)
{
    return mti_bus_deny(c, status, code, detail);
}

static bool hook_should_stop(mt_call *c)
{
    const mti_run *r = mti_run_of(c);
    return r->hook && mti_mono_us() - r->hook_started_us > r->hook->budget_us;
}

static const mt_hook_1 hook = {.size = sizeof hook, .version = 1, .emit = hook_emit, .set = hook_set, .set_text = hook_set_text,
                               .deny = hook_deny, .should_stop = hook_should_stop};

/* --- offload/1, defer/1 --- */

static mt_status offload_run(mt_call *c, void (*work)(void *), void *arg)
{
    return mti_offload_run(mti_this.offload, mti_run_of(c)->owner, work, arg);
}

static const mt_offload_1 offload = {.size = sizeof offload, .version = 1, .run = offload_run};

static mt_status defer_add(mt_call *c, void (*work)(void *), void *arg)
{
    mti_arena_defer(&c->arena, work, arg);
    return MT_OK;
}

static const mt_defer_1 defer = {.size = sizeof defer, .version = 1, .add = defer_add};

/* --- metrics/1: a family is asked for, what is counted is told --- */

static mt_status metrics_family(mt_call *c, mt_slice kind, mt_slice name, mt_slice help, mt_slice labels, mt_handle *family)
{
    mti_buf out;
    char *answer;
    size_t len;
    *family = 0;
    mti_buf_init(&out, 4096);
    mti_put_slices(&out, (mt_slice[]){kind, name, help, labels}, 4);
    mt_status s = out.status == MT_OK ? mti_run_ask(mti_run_of(c), MTI_ASK_FAMILY, &out, &answer, &len) : MT_INVALID;
    mti_buf_dispose(&out);
    if (s != MT_OK)
        return s;
    mti_unpack in = {.p = answer, .end = answer + len};
    s = mti_take_status(&in);
    if (s == MT_OK)
        *family = mti_take_handle(&in);
    else if (mti_take_bool(&in))
        mti_take_error(&in, &c->error);
    free(answer);
    return s;
}

static mt_status count(uint32_t what, mt_handle family, const mt_slice *values, size_t n, double number)
{
    mti_buf text;
    if (!family)
        return MT_OK;
    mti_buf_init(&text, 4096);
    mti_put_handle(&text, family);
    mti_put_slices(&text, values, n);
    mti_put_f64(&text, number);
    mti_process_tell(MTI_FRAME_COUNT, what, &text);
    return MT_OK;
}

static mt_status metrics_add(mt_handle family, const mt_slice *values, size_t n, double by)
{
    return count(MTI_COUNT_ADD, family, values, n, by);
}

static mt_status metrics_set(mt_handle family, const mt_slice *values, size_t n, double to)
{
    return count(MTI_COUNT_SET, family, values, n, to);
}

static mt_status metrics_zero(mt_handle family)
{
    return count(MTI_COUNT_ZERO, family, NULL, 0, 0);
}

static mt_status metrics_observe(mt_handle family, const mt_slice *values, size_t n, double seconds)
{
    return count(MTI_COUNT_OBSERVE, family, values, n, seconds);
}

static const mt_metrics_1 metrics = {.size = sizeof metrics, .version = 1, .family = metrics_family, .add = metrics_add, .set = metrics_set,
                                     .zero = metrics_zero, .observe = metrics_observe};

const void *mti_local_interface(mt_slice id)
{
    if (mt_slice_eq(id, MT_SLICE("metrics/1")))
        return &metrics;
    if (mt_slice_eq(id, MT_SLICE("json/1")))
        return mti_this.tables->json;
    if (mt_slice_eq(id, MT_SLICE("thread/1")))
        return mti_this.tables->thread;
    if (mt_slice_eq(id, MT_SLICE("hook/1")))
        return &hook;
    if (mt_slice_eq(id, MT_SLICE("offload/1")))
        return &offload;
    return mt_slice_eq(id, MT_SLICE("defer/1")) ? &defer : NULL;
}
