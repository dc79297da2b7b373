/* One call in the worker: sent, served while it asks, ended. */
#include <stdio.h>
#include <stdlib.h>

#include "base/ident.h"
#include "base/log.h"
#include "base/map.h"
#include "bus/bus.h"
#include "worker/impl.h"

enum { GRACE_MS = 5000, EARLY_GRACE_MS = 1000, ENGINE_GRACE_MS = 60000, HELD_MAX = 64 << 20, LINES_A_SECOND = 100, COUNTS_A_SECOND = 10000, PAUSE_MS = 100 };

/* --- coming and going --- */

static mt_status unavailable(mt_call *c, const mti_worker *w, const char *code)
{
    return mti_fail(&c->error, MT_UNAVAILABLE, code, "The process of plugin %s %s: try again shortly.", w->o.slug,
                    !strcmp(code, "worker_busy") ? "has as many calls as it may" : !strcmp(code, "worker_died") ? "died" : "is starting");
}

static mt_status visit_begin(mti_visit *v, mti_worker *w, mt_call *c, bool early)
{
    if (!mti_fiber_current() || !c->loop)
        return mti_fail(&c->error, MT_UNSUPPORTED, "no_fiber", "Plugin %s runs in a worker, which only a call's fiber can ask.", w->o.slug);
    mti_worker_lane *l = &w->lanes[mti_loop_index(c->loop)];
    if (!l->open || (!early && !atomic_load(&w->ready)))
        return unavailable(c, w, "worker_starting");
    unsigned at = l->generation % MTI_WORKER_VISITS, tries = 0;
    while (l->visits[at] && tries++ < MTI_WORKER_VISITS)
        at = (at + 1) % MTI_WORKER_VISITS;
    if (l->visits[at])
        return unavailable(c, w, "worker_busy");
    l->generation++;
    *v = (mti_visit){.lane = l, .c = c, .early = early, .id = l->generation * MTI_WORKER_VISITS + at};
    l->visits[at] = v;
    return MT_OK;
}

void mti_visit_drop_frame(mti_visit *v)
{
    mti_worker_lane *l = v->lane;
    if (!v->frame)
        return;
    free(v->frame);
    v->frame = NULL;
    l->held -= v->head.len;
    if (l->ch.paused && !l->pause && l->held < HELD_MAX && !l->ch.broken)
        mti_channel_pause(&l->ch, false);
}

static void visit_end(mti_visit *v)
{
    mti_visit_drop_frame(v);
    if (!v->lost)
        v->lane->visits[v->id % MTI_WORKER_VISITS] = NULL;
    mti_grants_dispose(&v->grants);
    mti_kept_free(v->kept);
}

void mti_visit_lose(mti_worker_lane *l)
{
    for (unsigned i = 0; i < MTI_WORKER_VISITS; i++) {
        mti_visit *v = l->visits[i];
        l->visits[i] = NULL;
        if (!v)
            continue;
        v->lost = true;
        mti_wake_all(&v->answered);
    }
}

/* --- what comes from the worker --- */

static void on_pause_over(void *arg)
{
    mti_worker_lane *l = arg;
    l->pause = NULL;
    if (l->open && l->held < HELD_MAX && !l->ch.broken)
        mti_channel_pause(&l->ch, false);
}

/* A plugin that tells more than it may in a second is read slowly, and what is too much is counted. */
static bool is_too_much(mti_worker_lane *l, unsigned *told, unsigned most)
{
    int64_t second = mti_mono_us() / 1000000;
    if (second != l->note_second) {
        if (l->dropped)
            mti_log(MTI_LOG_WARN, "worker.dropped", "plugin=%s notes=%u", l->w->o.slug, l->dropped);
        l->note_second = second;
        l->lines = l->counts = l->dropped = 0;
    }
    if (++*told <= most)
        return false;
    l->dropped++;
    if (!l->pause) {
        l->pause = mti_timer_start(l->loop, PAUSE_MS, on_pause_over, l);
        mti_channel_pause(&l->ch, true);
    }
    return true;
}

static void log_line(mti_worker_lane *l, const mti_frame *f, mti_unpack *in)
{
    size_t n;
    mt_slice event = mti_take_slice(in);
    const mt_field *fields = mti_take_fields(in, &n);
    if (mti_unpacked(in))
        l->w->o.log(l->w->o.ctx, (int)(f->method & 3), event, fields, n < 32 ? n : 32);
}

/* Only families that this plugin declared: the numbers of others are no secret. */
static void count(mti_worker_lane *l, const mti_frame *f, mti_unpack *in)
{
    size_t n;
    mt_handle family = mti_take_handle(in);
    const mt_slice *values = mti_take_slices(in, &n);
    double number = mti_take_f64(in);
    const mt_metrics_1 *m = l->w->o.interface(l->w->o.ctx, MT_SLICE("metrics/1"));
    if (!mti_unpacked(in) || !m || family >= MTI_WORKER_FAMILIES || !atomic_load(&l->w->families[family]))
        return;
    switch (f->method) {
    case MTI_COUNT_ADD: m->add(family, values, n, number); return;
    case MTI_COUNT_SET: m->set(family, values, n, number); return;
    case MTI_COUNT_ZERO: m->zero(family); return;
    case MTI_COUNT_OBSERVE: m->observe(family, values, n, number); return;
    }
}

static void take_note(mti_worker_lane *l, const mti_frame *f, const char *payload)
{
    mti_arena scratch;
    bool line = f->kind == MTI_FRAME_LOG;
    if (line ? is_too_much(l, &l->lines, LINES_A_SECOND) : is_too_much(l, &l->counts, COUNTS_A_SECOND))
        return;
    mti_arena_init(&scratch, 1 << 20);
    mti_unpack in = {.p = payload, .end = payload + f->len, .arena = &scratch};
    if (line)
        log_line(l, f, &in);
    else
        count(l, f, &in);
    mti_arena_dispose(&scratch);
}

/* Something about a call: it is copied, and the call's fiber deals with it. */
static bool hand_over(mti_worker_lane *l, const mti_frame *f, const char *payload)
{
    mti_visit *v = l->visits[f->call % MTI_WORKER_VISITS];
    if (!v || v->id != f->call || v->frame || v->serving)
        return false;
    v->frame = malloc((size_t)f->len + 1);
    if (!v->frame)
        return false;
    memcpy(v->frame, payload, f->len);
    v->head = *f;
    l->held += f->len;
    if (l->held >= HELD_MAX)
        mti_channel_pause(&l->ch, true);
    mti_wake_one(&v->answered);
    return true;
}

bool mti_visit_frame(void *lane, const mti_frame *f, const char *payload)
{
    mti_worker_lane *l = lane;
    bool fine = false;
    if (f->kind == MTI_FRAME_ASK || f->kind == MTI_FRAME_DONE) {
        fine = hand_over(l, f, payload);
    } else if ((f->kind == MTI_FRAME_LOG || f->kind == MTI_FRAME_COUNT) && l == &l->w->lanes[0]) {
        take_note(l, f, payload);
        fine = true;
    } else if (f->kind == MTI_FRAME_PONG && l == &l->w->lanes[0] && l->w->pings) {
        l->w->pings--;
        l->w->pong_us = mti_mono_us();
        atomic_store(&l->w->activations, f->method);
        fine = true;
    }
    if (!fine)
        mti_worker_kill(l->w, "it broke the protocol");
    return fine;
}

/* --- waiting --- */

/* The client left or the time is over: the plugin is told, as a cancelled fiber in the host would be, and has a while to end. */
static void tell(mti_visit *v, mt_status why)
{
    mti_frame f = {.kind = MTI_FRAME_CANCEL, .call = v->id};
    v->told = true;
    v->why = why;
    mti_channel_send(&v->lane->ch, &f, NULL);
}

/* An engine's pool computes to the end of what it began. */
static int64_t grace_ms(const mti_visit *v)
{
    return v->lane->w->o.key ? ENGINE_GRACE_MS : v->early ? EARLY_GRACE_MS : GRACE_MS;
}

static mt_status await_frame(mti_visit *v)
{
    if (!v->frame)
        mti_channel_expect(&v->lane->ch);
    while (!v->frame) {
        if (v->lost)
            return unavailable(v->c, v->lane->w, "worker_died");
        int64_t left = v->told ? grace_ms(v) : mti_call_left_ms(v->c);
        if (v->told)
            mti_fiber_shield(true);
        mt_status s = left > 0 ? mti_wait(&v->answered, left == INT64_MAX ? -1 : left) : MT_TIMEOUT;
        if (v->told)
            mti_fiber_shield(false);
        if (s == MT_OK || v->frame || v->lost)
            continue;
        if (!v->told)
            tell(v, s);
        else
            mti_worker_kill(v->lane->w, "it did not end a call that was cancelled");
    }
    return MT_OK;
}

/* Until the call is done: then v->frame is what it answered. */
static mt_status converse(mti_visit *v, uint32_t method, const mti_buf *body)
{
    int64_t left = mti_call_left_ms(v->c);
    mti_buf b;
    mti_buf_init(&b, MTI_FRAME_MAX);
    mti_put_i64(&b, left == INT64_MAX ? -1 : left);
    mti_put_u64(&b, mti_uuid_is_nil(v->c->who.org_id) ? 0 : mti_hash(v->c->who.org_id.b, sizeof v->c->who.org_id.b));
    if (body)
        mti_put(&b, body->p, body->len);
    mti_frame f = {.len = (uint32_t)b.len, .kind = MTI_FRAME_CALL, .method = method, .call = v->id};
    mt_status s = b.status == MT_OK ? mti_channel_send(&v->lane->ch, &f, b.p)
                                    : mti_fail(&v->c->error, MT_TOO_LARGE, "too_large", "What was given does not fit in one frame to a worker.");
    mti_buf_dispose(&b);
    if (s == MT_UNAVAILABLE)
        return unavailable(v->c, v->lane->w, "worker_died");
    while (s == MT_OK) {
        s = await_frame(v);
        if (s != MT_OK || v->head.kind == MTI_FRAME_DONE)
            break;
        mti_visit_answer(v);
    }
    return s;
}

static void take_failure(mti_visit *v, mti_unpack *in, mt_status s)
{
    if (!mti_take_bool(in))
        return;
    mti_error *e = &v->c->error;
    mti_take_error(in, e);
    e->status = s;
    snprintf(e->owner, sizeof e->owner, "%s", v->lane->w->o.slug);
}

static mt_status broke(mti_visit *v)
{
    mti_worker_kill(v->lane->w, "it broke the protocol");
    return unavailable(v->c, v->lane->w, "worker_died");
}

mt_status mti_visit_handler(void *self, mt_call *c, uint32_t method, const mti_buf *body, mt_slice *out, bool early)
{
    mti_visit v;
    MT_TRY(visit_begin(&v, self, c, early));
    mt_status s = converse(&v, method, body);
    if (s == MT_OK) {
        mti_unpack in = {.p = v.frame, .end = v.frame + v.head.len};
        s = mti_take_status(&in);
        if (s != MT_OK && s != MT_DONE)
            take_failure(&v, &in, s);
        if (out && s == MT_OK)
            *out = mti_arena_slice(&c->arena, mti_take_slice(&in));
        if (!mti_unpacked(&in))
            s = broke(&v);
        if (s == MT_CANCELLED && v.told && v.why == MT_TIMEOUT)
            s = mti_fail(&c->error, MT_TIMEOUT, "deadline", "The time of this request is over.");
    }
    visit_end(&v);
    return s;
}

mt_outcome mti_visit_hook(void *self, mt_call *c, unsigned index, const void *in, mt_patch *out)
{
    mti_visit v;
    mti_buf body;
    mt_outcome o = MT_ERROR;
    if (visit_begin(&v, self, c, false) != MT_OK)
        return MT_ERROR;
    mti_buf_init(&body, MTI_FRAME_MAX);
    mti_put_u32(&body, (uint32_t)(out->hook - mti_hook_catalogue));
    mti_put_payload(&body, out->hook, in);
    mt_status s = converse(&v, MTI_ENTER_HOOK << 24 | index, &body);
    mti_buf_dispose(&body);
    if (s == MT_OK) {
        mti_unpack answer = {.p = v.frame, .end = v.frame + v.head.len};
        uint32_t outcome = mti_take_u32(&answer);
        mti_error before = c->error;
        take_failure(&v, &answer, MT_INTERNAL);
        o = outcome <= MT_ERROR && !answer.bad ? (mt_outcome)outcome : MT_ERROR;
        if (o == MT_DENY)
            mti_bus_deny(c, c->error.http, mt_str(strdupa(c->error.code)), mt_str(strdupa(c->error.detail)));
        else if (o != MT_ERROR)
            c->error = before;
        if (mti_take_patch(&answer, out) != MT_OK)
            o = MT_ERROR;
    }
    visit_end(&v);
    return o;
}

/* --- services that the worker's plugin provides --- */

static mti_visit *session_of(mti_worker_lane *l, const mt_call *c)
{
    for (mti_visit *v = l->sessions; v; v = v->next)
        if (v->c == c && !v->busy)
            return v;
    return NULL;
}

/* The call that asked is over. */
static void session_end(void *arg)
{
    mti_visit *v = arg, **at = &v->lane->sessions;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    if (!v->lost)
        mti_channel_send(&v->lane->ch, &(mti_frame){.kind = MTI_FRAME_END, .call = v->id}, NULL);
    visit_end(v);
    free(v);
}

static mt_status session_find(mti_ask *a, mti_visit **out)
{
    mti_worker *w = a->worker;
    mti_visit *v = session_of(&w->lanes[mti_loop_index(a->c->loop)], a->c);
    *out = v;
    if (v)
        return MT_OK;
    v = calloc(1, sizeof *v);
    mt_status s = v ? visit_begin(v, w, a->c, false) : MT_NO_MEMORY;
    if (s != MT_OK) {
        free(v);
        return s;
    }
    v->next = v->lane->sessions;
    v->lane->sessions = v;
    mti_arena_defer(&a->c->arena, session_end, v);
    *out = v;
    return MT_OK;
}

static mt_status session_ask(mti_ask *a, char **answer, size_t *len)
{
    mti_visit *v;
    MT_TRY(session_find(a, &v));
    if (v->lost)             /* handles of the process that died mean nothing to the next one */
        return unavailable(a->c, a->worker, "worker_died");
    a->kept = &v->kept;
    v->busy = true;
    v->told = false;
    mt_status s = converse(v, MTI_ENTER_SERVICE << 24 | a->method, &a->out);
    v->busy = false;
    if (s != MT_OK)
        return s;
    *len = v->head.len;
    v->lane->held -= v->head.len;
    *answer = v->frame;
    v->frame = NULL;
    return MT_OK;
}

void mti_ask_worker(mti_ask *a, void *worker, mt_call *c, uint32_t method)
{
    *a = (mti_ask){.ask = session_ask, .c = c, .worker = worker, .method = method};
    mti_buf_init(&a->out, MTI_FRAME_MAX);
}
