/* What a worker asks for one of its calls, answered by that call's fiber. */
#include "worker/impl.h"

enum { COLUMN_BYTES = 256 << 10 };

/* The answer to a filter's or an action's emit: outcome, problem, the payload as it is now. */
static void serve_emit(mti_serving *s, const mt_hook_1 *hooks)
{
    char payload[512] __attribute__((aligned(16)));
    uint32_t i = mti_take_u32(&s->in);
    if (s->in.bad || i >= mti_hook_count || mti_hook_catalogue[i].size > sizeof payload) {
        s->broken = true;
        return;
    }
    const mti_hook_info *hook = &mti_hook_catalogue[i];
    mti_take_payload(&s->in, hook, payload);
    s->broken = !mti_unpacked(&s->in);
    if (s->broken)
        return;
    mt_outcome o = MT_ERROR;
    if (hook->hot || !hooks)
        mti_fail(&s->c->error, MT_DENIED, "hook_not_granted", "%s is emitted by the host alone.", hook->name);
    else
        o = hooks->emit(s->c, mt_str(hook->name), payload);
    mti_put_u32(&s->out, MT_OK);
    mti_put_u32(&s->out, o);
    mti_put_bool(&s->out, s->c->error.code[0] != 0);
    if (s->c->error.code[0])
        mti_put_error(&s->out, &s->c->error);
    mti_put_payload(&s->out, hook, payload);
}

/* The rows of a result, and as many values of a column, from a row on, as are worth a frame: at least one. */
static void serve_column(mti_serving *s, const mt_db_1 *db)
{
    s->interface = MTI_METHOD_DB_VALUE >> 6;
    mt_handle result = mti_serve_handle(s);
    mt_slice name = mti_take_slice(&s->in);
    uint32_t row = mti_take_u32(&s->in), n = 0;
    if (!mti_serve_ready(s, db != NULL))
        return;
    uint32_t rows = db->rows(s->c, result);
    mti_serve_answer(s, MT_OK);
    mti_put_u32(&s->out, rows);
    size_t at = s->out.len;
    mti_put_u32(&s->out, 0);
    for (; name.p && row < rows && s->out.len < COLUMN_BYTES; row++, n++)
        mti_put_slice(&s->out, db->value(s->c, result, row, name));
    if (s->out.status == MT_OK)
        memcpy(s->out.p + at, &n, sizeof n);
}

static void serve_family(mti_serving *s, mti_worker *w)
{
    size_t n;
    mt_handle family = 0;
    const mt_slice *texts = mti_take_slices(&s->in, &n);
    const mt_metrics_1 *m = w->o.interface(w->o.ctx, MT_SLICE("metrics/1"));
    s->broken = !mti_unpacked(&s->in) || n != 4;
    if (s->broken)
        return;
    mt_status answer = m ? m->family(s->c, texts[0], texts[1], texts[2], texts[3], &family) : MT_DENIED;
    if (answer == MT_OK && family < MTI_WORKER_FAMILIES)
        atomic_store(&w->families[family], true);
    mti_serve_answer(s, answer);
    mti_put_handle(&s->out, family);
}

static const void *granted(const mti_worker *w, uint32_t interface)
{
    return interface < mti_served_count ? w->o.interface(w->o.ctx, mt_str(mti_served_interfaces[interface].id)) : NULL;
}

void mti_visit_answer(mti_visit *v)
{
    mti_worker *w = v->lane->w;
    mti_arena scratch;
    uint32_t method = v->head.method;
    mti_arena_init(&scratch, 4u * MTI_FRAME_MAX);
    mti_serving s = {.in = {.p = v->frame, .end = v->frame + v->head.len, .arena = &scratch}, .c = v->c, .grants = &v->grants};
    mti_buf_init(&s.out, MTI_FRAME_MAX);
    v->serving = true;
    if (method == MTI_ASK_EMIT) {
        serve_emit(&s, w->o.interface(w->o.ctx, MT_SLICE("hook/1")));
    } else if (method == MTI_ASK_COLUMN) {
        serve_column(&s, w->o.interface(w->o.ctx, MT_SLICE("db/1")));
    } else if (method == MTI_ASK_FAMILY) {
        serve_family(&s, w);
    } else {
        s.table = granted(w, method >> 6);
        mti_serve(&s, method);
    }
    if (s.out.status != MT_OK) {
        mti_buf_clear(&s.out);
        mti_fail(&v->c->error, MT_TOO_LARGE, "too_large", "The answer does not fit in one frame to a worker.");
        mti_serve_answer(&s, MT_TOO_LARGE);
    }
    mti_visit_drop_frame(v);
    mti_frame f = {.len = (uint32_t)s.out.len, .kind = MTI_FRAME_ANSWER, .call = v->id};
    if (s.broken && !v->lost)
        mti_worker_kill(w, "it broke the protocol");
    else if (!v->lost)
        mti_channel_send(&v->lane->ch, &f, s.out.p);
    v->serving = false;
    mti_buf_dispose(&s.out);
    mti_arena_dispose(&scratch);
}
