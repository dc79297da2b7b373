/*
 * The table is one a process, because who raises knows neither host nor loop. A number is the slot's index and, above it, how
 * often the slot was taken. A live slot keeps its loop alive (the call ends before the loop), so a raise posts under the lock.
 */
#include "loop/signal.h"
#include "base/ident.h"
#include "loop/internal.h"

#include <stdlib.h>

enum { CHUNK = 256, CHUNKS = 256 };

typedef struct slot {
    uint64_t number;        /* 0: free */
    uint64_t uses;
    mti_loop *loop;
    bool raised;
    mti_waitlist waiting;   /* the loop's thread only */
    struct slot *free;
} slot;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below, except waiting */
static slot *chunks[CHUNKS];
static unsigned n_chunks;
static slot *free_slots;

static slot *find(uint64_t s)
{
    unsigned index = (unsigned)(s & 0xFFFF);
    slot *t = index / CHUNK < n_chunks ? &chunks[index / CHUNK][index % CHUNK] : NULL;
    return s && t && t->number == s ? t : NULL;
}

static bool grow(void)
{
    slot *more = n_chunks < CHUNKS ? calloc(CHUNK, sizeof *more) : NULL;
    if (!more)
        return false;
    for (unsigned i = CHUNK; i-- > 0;) {
        more[i].uses = n_chunks * CHUNK + i;   /* the index, until it is taken for the first time */
        more[i].free = free_slots;
        free_slots = &more[i];
    }
    chunks[n_chunks++] = more;
    return true;
}

mt_status mti_signal_create(mti_loop *l, uint64_t *out)
{
    *out = 0;
    pthread_mutex_lock(&lock);
    if (free_slots || grow()) {
        slot *t = free_slots;
        free_slots = t->free;
        t->uses += 0x10000;
        t->number = *out = t->uses;
        t->loop = l;
        t->raised = false;
        t->waiting = (mti_waitlist){0};
    }
    pthread_mutex_unlock(&lock);
    return *out ? MT_OK : MT_LIMITED;
}

void mti_signal_destroy(uint64_t s)
{
    pthread_mutex_lock(&lock);
    slot *t = find(s);
    if (t) {
        t->number = 0;
        t->free = free_slots;
        free_slots = t;
    }
    pthread_mutex_unlock(&lock);
}

static void on_raised(void *arg)
{
    pthread_mutex_lock(&lock);
    slot *t = find((uint64_t)(uintptr_t)arg);
    pthread_mutex_unlock(&lock);
    if (t)
        mti_wake_one(&t->waiting);
}

void mti_signal_raise(uint64_t s)
{
    pthread_mutex_lock(&lock);
    slot *t = find(s);
    if (t && !t->raised) {
        t->raised = true;
        mti_loop_post(t->loop, on_raised, (void *)(uintptr_t)s);
    }
    pthread_mutex_unlock(&lock);
}

static slot *lower(uint64_t s, bool *raised)
{
    pthread_mutex_lock(&lock);
    slot *t = find(s);
    *raised = t && t->raised;
    if (t)
        t->raised = false;
    pthread_mutex_unlock(&lock);
    return t;
}

mt_status mti_signal_wait(uint64_t s, int64_t timeout_ms)
{
    int64_t end = mti_mono_us() + timeout_ms * 1000, left = timeout_ms;
    for (;;) {
        bool raised;
        slot *t = lower(s, &raised);
        if (!t || raised)
            return t ? MT_OK : MT_NOT_FOUND;
        /* A message of a raise that was seen without it may wake this wait: hence the loop. */
        MT_TRY(mti_wait(&t->waiting, left));
        if (timeout_ms >= 0)
            left = end > mti_mono_us() ? (end - mti_mono_us() + 999) / 1000 : 0;
    }
}
