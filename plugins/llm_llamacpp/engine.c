#include "engine_internal.h"

#include "gguf_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int64_t engine_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* --- jobs --- */

static void job_free(job *j)
{
    text_out_dispose(&j->r.text);
    free(j->r.tokens);
    free(j->out);
    free(j->given);
    free(j);
}

static void let_go(job *j, int holders)     /* the lock is held */
{
    j->holders -= holders;
    if (!j->holders)
        job_free(j);
}

void engine_end(engine *e, job *j, mt_status status)
{
    uint64_t signal = j->r.signal;
    pthread_mutex_lock(&e->lock);
    if (j->sampler && status == MT_OK)  /* it had a place and wrote to its end */
        engine_note(&e->job_us, (double)(engine_now_us() - j->submitted_us - j->counts.waited_us) / e->o.sequences);
    if (j->sampler)
        e->running--;
    j->done = true;
    j->status = status;
    let_go(j, 1);
    pthread_mutex_unlock(&e->lock);
    e->o.raise(signal);
}

mt_status job_take(job *j, mt_slice *text)
{
    mt_status s = MT_OK;
    pthread_mutex_lock(&j->e->lock);
    if (j->out_len) {
        free(j->given);
        j->given = j->out;
        *text = (mt_slice){j->given, j->out_len};
        j->out = NULL;
        j->out_len = 0;
    } else {
        s = !j->done ? MT_TIMEOUT : j->status == MT_OK ? MT_DONE : j->status;
    }
    pthread_mutex_unlock(&j->e->lock);
    return s;
}

void job_count(job *j, job_counts *out)
{
    pthread_mutex_lock(&j->e->lock);
    *out = j->counts;
    pthread_mutex_unlock(&j->e->lock);
}

void job_release(job *j)
{
    engine *e = j->e;
    pthread_mutex_lock(&e->lock);
    j->left = true;
    bool waited = !j->done && fair_queue_remove(&e->queue, &j->item);
    let_go(j, 1 + waited);      /* also for the engine, when it had not begun */
    pthread_mutex_unlock(&e->lock);
}

/* --- loading --- */

static void set_failed(engine *e, const char *reason)
{
    pthread_mutex_lock(&e->lock);
    e->state = ENGINE_FAILED;
    e->wanted = false;
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    pthread_mutex_unlock(&e->lock);
}

static void unload(engine *e)
{
    pthread_rwlock_wrlock(&e->loaded);
    if (e->ctx) {
        e->api->llama_batch_free(e->batch);
        e->api->llama_free(e->ctx);
    }
    if (e->model)
        e->api->llama_model_free(e->model);
    e->ctx = NULL;
    e->model = NULL;
    e->vocab = NULL;
    free(e->candidates);
    e->candidates = NULL;
    for (unsigned i = 0; i < e->o.sequences; i++) {
        free(e->places[i].tokens);
        e->places[i] = (place){0};
    }
    pthread_rwlock_unlock(&e->loaded);
}

static bool make_context(engine *e, unsigned context)
{
    const llama_api *a = e->api;
    struct llama_context_params cp = a->llama_context_default_params();
    cp.n_ctx = context * e->o.sequences;
    cp.n_seq_max = e->o.sequences;
    cp.n_batch = cp.n_ubatch = BATCH;
    cp.n_threads = cp.n_threads_batch = (int32_t)e->o.threads;
    cp.swa_full = true;         /* else a sliding window forgets the prefix that is to be used again */
    cp.kv_unified = false;      /* a sequence looks at its own cells only */
    cp.no_perf = true;
    if (!(e->ctx = a->llama_init_from_model(e->model, cp)))
        return false;
    e->batch = a->llama_batch_init(BATCH, 0, 1);
    e->candidates = malloc((size_t)a->llama_vocab_n_tokens(e->vocab) * sizeof *e->candidates);
    bool made = e->candidates != NULL;
    for (unsigned i = 0; i < e->o.sequences; i++) {
        e->places[i].tokens = malloc((context + 1) * sizeof *e->places[i].tokens);
        made = made && e->places[i].tokens;
    }
    return made;
}

static void load(engine *e)
{
    char reason[LLAMA_REASON], bad[GGUF_REASON];
    int64_t from_us = engine_now_us();
    if (gguf_check_file(e->path, bad) != MT_OK) {
        snprintf(reason, sizeof reason, "The model's file is not usable: %s", bad);
        set_failed(e, reason);
        return;
    }
    if (llama_api_open(e->library, e->o.log, &e->api, reason) != MT_OK) {
        set_failed(e, reason);
        return;
    }
    pthread_rwlock_wrlock(&e->loaded);
    e->model = e->api->llama_model_load_from_file(e->path, e->api->llama_model_default_params());
    unsigned context = e->o.context;
    bool made = false;
    if (e->model) {
        unsigned trained = (unsigned)e->api->llama_model_n_ctx_train(e->model);
        context = trained && trained < context ? trained : context;
        e->vocab = e->api->llama_model_get_vocab(e->model);
        made = make_context(e, context);
    }
    pthread_rwlock_unlock(&e->loaded);
    if (!made) {
        unload(e);
        set_failed(e, "llama.cpp does not load the model: its architecture is unknown, or memory is short. The log at debug says more.");
        return;
    }
    pthread_mutex_lock(&e->lock);
    e->context = context;
    e->state = ENGINE_READY;
    pthread_mutex_unlock(&e->lock);
    if (e->o.loaded)
        e->o.loaded(e->path, engine_now_us() - from_us);
}

/* --- the thread --- */

/* Who left, and who has no token though its time has come, gives the place back. */
static void drop_seated(engine *e, int64_t now)
{
    for (unsigned i = 0; i < e->o.sequences; i++) {
        place *p = &e->places[i];
        if (!p->j)
            continue;
        pthread_mutex_lock(&e->lock);
        bool left = p->j->left, late = !p->j->counts.output && p->j->item.due_us <= now;
        pthread_mutex_unlock(&e->lock);
        if (left || late)
            batch_leave(e, p, left ? MT_CANCELLED : MT_LIMITED);
    }
}

static void drop_waiting(engine *e, int64_t now)
{
    job *j;
    do {
        pthread_mutex_lock(&e->lock);
        j = (job *)fair_queue_take_due(&e->queue, now);
        pthread_mutex_unlock(&e->lock);
        if (j)
            engine_end(e, j, MT_LIMITED);
    } while (j);
}

static bool has_room(const engine *e)
{
    for (unsigned i = 0; i < e->o.sequences; i++)
        if (!e->places[i].j)
            return true;
    return false;
}

/* The time of what cannot be in time is better spent on the others. Who is alone is always tried: so the means are mended when they were once too high. */
static mt_status seat(engine *e, job *j, bool alone, int64_t now)
{
    if (!alone && now + batch_reading_us(e, j) > j->item.due_us)
        return MT_LIMITED;
    MT_TRY(batch_seat(e, batch_best_place(e, j), j));
    pthread_mutex_lock(&e->lock);
    e->running++;
    pthread_mutex_unlock(&e->lock);
    return MT_OK;
}

/* How many are seated then. */
static unsigned seat_waiting(engine *e, int64_t now)
{
    for (;;) {
        pthread_mutex_lock(&e->lock);
        unsigned running = e->running;
        job *j = has_room(e) ? (job *)fair_queue_take(&e->queue) : NULL;
        if (j)
            j->counts.waited_us = now - j->submitted_us;
        pthread_mutex_unlock(&e->lock);
        if (!j)
            return running;
        mt_status s = seat(e, j, !running, now);
        if (s != MT_OK)
            engine_end(e, j, s);
    }
}

static bool is_idle(const engine *e)        /* the lock is held */
{
    return e->o.idle_ms && e->state == ENGINE_READY && engine_now_us() >= e->used_us + e->o.idle_ms * 1000;
}

static void wait_woken(engine *e)           /* the lock is held */
{
    int64_t until = e->used_us + e->o.idle_ms * 1000;
    const struct timespec t = {until / 1000000, until % 1000000 * 1000};
    if (e->o.idle_ms && e->state == ENGINE_READY)
        pthread_cond_timedwait(&e->wake, &e->lock, &t);
    else
        pthread_cond_wait(&e->wake, &e->lock);
}

/* Sleeps until there is something to do; false: end. A model that nobody used for long is given back. */
static bool sleep_idle(engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->used_us = engine_now_us();
    while (!e->stop && !e->closed && !e->queue.n && !e->wanted && !is_idle(e))
        wait_woken(e);
    if (!e->queue.n && is_idle(e))
        e->state = ENGINE_UNLOADED;
    bool on = !e->stop && !(e->closed && !e->queue.n), unloads = e->state == ENGINE_UNLOADED, loads = e->wanted;
    e->wanted = false;
    pthread_mutex_unlock(&e->lock);
    if (on && unloads)
        unload(e);
    if (on && loads)
        load(e);
    return on;
}

static void end_all(engine *e, mt_status status)
{
    for (unsigned i = 0; i < e->o.sequences; i++)
        if (e->places[i].j)
            batch_leave(e, &e->places[i], status);
    for (;;) {
        pthread_mutex_lock(&e->lock);
        job *j = (job *)fair_queue_take(&e->queue);
        pthread_mutex_unlock(&e->lock);
        if (!j)
            return;
        engine_end(e, j, status);
    }
}

/* One decode, and what is due before it; false: nothing is left to do. */
static bool work(engine *e)
{
    int64_t now = engine_now_us();
    drop_seated(e, now);
    drop_waiting(e, now);
    if (!seat_waiting(e, now))
        return false;
    batch_step(e);
    return true;
}

static void *thread_main(void *arg)
{
    engine *e = arg;
    while (sleep_idle(e)) {
        pthread_mutex_lock(&e->lock);
        bool ready = e->state == ENGINE_READY, stop = false;
        pthread_mutex_unlock(&e->lock);
        if (!ready) {
            end_all(e, MT_UNAVAILABLE);
            continue;
        }
        while (!stop && work(e)) {
            pthread_mutex_lock(&e->lock);
            stop = e->stop;
            pthread_mutex_unlock(&e->lock);
        }
    }
    end_all(e, MT_UNAVAILABLE);
    unload(e);
    set_failed(e, "The model was switched off just now: try again.");
    return NULL;
}

engine *engine_create(const engine_options *o)
{
    engine *e = calloc(1, sizeof *e);
    pthread_condattr_t attr;
    if (!e)
        return NULL;
    e->o = *o;
    e->o.sequences = o->sequences < 1 ? 1 : o->sequences > MAX_SEQUENCES ? MAX_SEQUENCES : o->sequences;
    snprintf(e->library, sizeof e->library, "%s", o->library);
    snprintf(e->path, sizeof e->path, "%s", o->path);
    e->queue = (fair_queue){.max = o->queue, .max_owner = o->queue_owner};
    pthread_mutex_init(&e->lock, NULL);
    pthread_rwlock_init(&e->loaded, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&e->thread, NULL, thread_main, e) == 0)
        return e;
    free(e);
    return NULL;
}

void engine_close(engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->closed = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
}

void engine_destroy(engine *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    pthread_cond_destroy(&e->wake);
    pthread_rwlock_destroy(&e->loaded);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* --- the door --- */

engine_state engine_want(engine *e, char reason[LLAMA_REASON])
{
    pthread_mutex_lock(&e->lock);
    engine_state s = e->state;
    snprintf(reason, LLAMA_REASON, "%s", e->reason);
    e->used_us = engine_now_us();
    if (!e->closed && (s == ENGINE_UNLOADED || s == ENGINE_FAILED)) {
        e->state = ENGINE_LOADING;
        e->wanted = true;
        pthread_cond_signal(&e->wake);
    }
    pthread_mutex_unlock(&e->lock);
    return s;
}

bool engine_loaded(engine *e)
{
    pthread_mutex_lock(&e->lock);
    bool loaded = e->state == ENGINE_LOADING || e->state == ENGINE_READY;
    pthread_mutex_unlock(&e->lock);
    return loaded;
}

unsigned engine_context(engine *e)
{
    pthread_mutex_lock(&e->lock);
    unsigned n = e->context;
    pthread_mutex_unlock(&e->lock);
    return n;
}

/* Until the first token of somebody who came now; 0 when there is a place, whose giver knows better. The lock is held. */
static int64_t expected_us(const engine *e, uint64_t owner)
{
    unsigned ahead = fair_queue_ahead(&e->queue, owner) + e->running;
    return ahead < e->o.sequences ? 0 : (int64_t)(e->job_us * (ahead - e->o.sequences + 1) + e->reading_us);
}

int64_t engine_wait_ms(engine *e, uint64_t owner)
{
    pthread_mutex_lock(&e->lock);
    int64_t us = expected_us(e, owner);
    pthread_mutex_unlock(&e->lock);
    return us / 1000;
}

mt_status engine_submit(engine *e, job_request *r, job **out)
{
    job *j = calloc(1, sizeof *j);
    *out = NULL;
    if (!j) {
        text_out_dispose(&r->text);
        free(r->tokens);
        return MT_NO_MEMORY;
    }
    *j = (job){.item = {.owner = r->owner, .due_us = r->due_us}, .e = e, .r = *r, .submitted_us = engine_now_us(), .holders = 2, .row = -1,
               .counts.input = (uint32_t)r->n_tokens};
    pthread_mutex_lock(&e->lock);
    mt_status s = e->closed ? MT_UNAVAILABLE : j->submitted_us + expected_us(e, r->owner) > r->due_us ? MT_LIMITED : fair_queue_put(&e->queue, &j->item);
    if (s == MT_OK)
        pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
    if (s == MT_OK)
        *out = j;
    else
        job_free(j);
    return s;
}
