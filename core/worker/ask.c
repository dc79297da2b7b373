#include "worker/ask.h"

#include <semaphore.h>
#include <stdlib.h>

void mti_kept_free(mti_kept *list)
{
    for (; list; list = list->next)
        free(list->answer);
}

/* Takes the answer for as long as it is needed; false when there is no memory for it. */
static bool keep_answer(mti_ask *a, mti_keep keep, mt_handle of, size_t len)
{
    if (keep == MTI_KEEP_CALL) {
        char *p = mti_arena_try_alloc(&a->c->arena, len + 1);
        if (!p)
            return false;
        memcpy(p, a->answer, len);
        free(a->answer);
        a->answer = NULL;
        a->in.p = p;
    } else if (keep == MTI_KEEP_UNTIL_NEXT) {
        mti_kept *k = *a->kept;
        while (k && (k->method != a->method || k->of != of))
            k = k->next;
        if (!k) {
            k = mti_arena_try_alloc(&a->c->arena, sizeof *k);
            if (!k)
                return false;
            *k = (mti_kept){.next = *a->kept, .method = a->method, .of = of};
            *a->kept = k;
        }
        free(k->answer);
        k->answer = a->answer;
        a->answer = NULL;
    }
    a->in.end = a->in.p + len;
    return true;
}

/* An answer is its status, with a failure its error, and what it gives. */
static mt_status read_answer(mti_ask *a)
{
    mt_status s = mti_take_status(&a->in);
    if (s != MT_OK && s != MT_DONE && mti_take_bool(&a->in)) {
        mti_take_error(&a->in, &a->c->error);
        a->c->error.status = s;
    }
    return s;
}

/* --- from a pool thread: a fiber of the call's loop asks, and the thread waits --- */

typedef struct errand {
    mti_ask *a;
    mti_keep keep;
    mt_handle of;
    mt_status status;
    sem_t done;
} errand;

static void ask_in_fiber(void *arg)
{
    errand *e = arg;
    mti_fiber_set_tag(e->a->c->plugin);
    e->status = mti_ask_send(e->a, e->keep, e->of);
    sem_post(&e->done);
}

static void ask_on_loop(void *arg)
{
    errand *e = arg;
    if (mti_fiber_spawn(e->a->c->loop, ask_in_fiber, e) == MT_OK)
        return;
    e->status = MT_LIMITED;
    sem_post(&e->done);
}

/* The call's own fiber waits for this thread, so nobody else touches the call meanwhile. */
static mt_status ask_from_pool(mti_ask *a, mti_keep keep, mt_handle of)
{
    errand e = {.a = a, .keep = keep, .of = of};
    a->in.bad = true;
    if (!a->c->loop || mti_loop_current())
        return mti_fail(&a->c->error, MT_UNSUPPORTED, "no_fiber", "A plugin in a worker is asked, and asks, from calls only.");
    sem_init(&e.done, 0, 0);
    mti_loop_post(a->c->loop, ask_on_loop, &e);
    while (sem_wait(&e.done) != 0)
        ;
    sem_destroy(&e.done);
    return e.status;
}

mt_status mti_ask_send(mti_ask *a, mti_keep keep, mt_handle of)
{
    size_t len = 0;
    mt_status s = MT_OK;
    if (!mti_fiber_current())
        return ask_from_pool(a, keep, of);
    if (a->out.status != MT_OK)
        s = mti_fail(&a->c->error, a->out.status, "too_large", "What was given does not fit in one frame to or from a worker.");
    if (s == MT_OK)
        s = a->ask(a, &a->answer, &len);
    a->in = (mti_unpack){.p = a->answer, .end = a->answer, .arena = &a->c->arena, .bad = s != MT_OK};
    if (s == MT_OK && !keep_answer(a, keep, of, len)) {
        a->in.bad = true;
        s = mti_fail(&a->c->error, MT_TOO_LARGE, "call_memory", "The answer does not fit in the memory that a call may have.");
    }
    return s == MT_OK ? read_answer(a) : s;
}

void mti_ask_end(mti_ask *a)
{
    free(a->answer);
    mti_buf_dispose(&a->out);
}
