/* Timers: a binary heap ordered by due time; nodes are pooled or embedded, so starting one
 * allocates nothing. */
#include "loop/internal.h"

#include <stdlib.h>

#include "base/ident.h"

#define SLAB_TIMERS 128

static bool before(const mti_timer_entry *a, const mti_timer_entry *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void put(mti_timers *ts, size_t pos, mti_timer_entry e)
{
    ts->heap[pos] = e;
    e.timer->pos = pos;
}

static void sift_up(mti_timers *ts, size_t pos)
{
    mti_timer_entry e = ts->heap[pos];
    while (pos > 1 && before(&e, &ts->heap[pos / 2])) {
        put(ts, pos, ts->heap[pos / 2]);
        pos /= 2;
    }
    put(ts, pos, e);
}

static void sift_down(mti_timers *ts, size_t pos)
{
    mti_timer_entry e = ts->heap[pos];
    for (size_t child; (child = pos * 2) <= ts->len; pos = child) {
        if (child < ts->len && before(&ts->heap[child + 1], &ts->heap[child]))
            child++;
        if (!before(&ts->heap[child], &e))
            break;
        put(ts, pos, ts->heap[child]);
    }
    put(ts, pos, e);
}

static void heap_remove(mti_timers *ts, size_t pos)
{
    ts->heap[pos].timer->pos = 0;
    mti_timer_entry last = ts->heap[ts->len--];
    if (pos > ts->len)
        return;
    put(ts, pos, last);
    if (pos > 1 && before(&last, &ts->heap[pos / 2]))
        sift_up(ts, pos);
    else
        sift_down(ts, pos);
}

static void heap_reserve(mti_timers *ts)
{
    if (ts->len + 2 <= ts->cap)
        return;
    size_t cap = ts->cap ? ts->cap * 2 : 256;
    ts->heap = realloc(ts->heap, cap * sizeof(*ts->heap));
    if (!ts->heap)
        mti_loop_die("out of memory");
    ts->cap = cap;
}

static int64_t due_after(int64_t delay_ms)
{
    int64_t now = mti_mono_us();
    if (delay_ms <= 0)
        return now;
    return delay_ms > (INT64_MAX - now) / 1000 ? INT64_MAX - 1 : now + delay_ms * 1000;
}

void mti_timer_arm(mti_loop *l, mti_timer *t, int64_t delay_ms, void (*fn)(void *), void *arg)
{
    mti_timers *ts = &l->timers;
    heap_reserve(ts);
    t->loop = l;
    t->fn = fn;
    t->arg = arg;
    ts->len++;
    put(ts, ts->len, (mti_timer_entry){due_after(delay_ms), ts->order++, t});
    sift_up(ts, ts->len);
}

void mti_timer_disarm(mti_timer *t)
{
    if (t->pos)
        heap_remove(&t->loop->timers, t->pos);
}

static void add_slab(mti_timers *ts)
{
    mti_timer *slab = calloc(SLAB_TIMERS, sizeof(*slab));
    void **slabs = realloc(ts->slabs, (ts->slab_count + 1) * sizeof(*slabs));
    if (!slab || !slabs)
        mti_loop_die("out of memory");
    ts->slabs = slabs;
    ts->slabs[ts->slab_count++] = slab;
    for (int i = 0; i < SLAB_TIMERS; i++) {
        slab[i].next = ts->free;
        ts->free = &slab[i];
    }
}

static void timer_free(mti_timer *t)
{
    t->next = t->loop->timers.free;
    t->loop->timers.free = t;
}

mti_timer *mti_timer_start(mti_loop *l, int64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    if (!l->timers.free)
        add_slab(&l->timers);
    mti_timer *t = l->timers.free;
    l->timers.free = t->next;
    t->pooled = true;
    mti_timer_arm(l, t, delay_ms, fn, arg);
    return t;
}

void mti_timer_cancel(mti_timer *t)
{
    if (!t->pos)
        mti_loop_die("a timer is cancelled after it fired");
    mti_timer_disarm(t);
    timer_free(t);
}

void mti_timers_run(mti_loop *l)
{
    mti_timers *ts = &l->timers;
    while (ts->len && ts->heap[1].due_us <= l->now_us) {
        mti_timer *t = ts->heap[1].timer;
        void (*fn)(void *) = t->fn;
        void *arg = t->arg;
        heap_remove(ts, 1);
        if (t->pooled)
            timer_free(t);
        fn(arg);
    }
}

int64_t mti_timers_next_us(const mti_loop *l)
{
    return l->timers.len ? l->timers.heap[1].due_us : INT64_MAX;
}

void mti_timers_dispose(mti_loop *l)
{
    for (size_t i = 0; i < l->timers.slab_count; i++)
        free(l->timers.slabs[i]);
    free(l->timers.slabs);
    free(l->timers.heap);
}
