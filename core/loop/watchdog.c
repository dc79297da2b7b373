/*
 * The watchdog: a thread that compares each loop's CPU clock with where it stood when the loop's
 * turn was first seen. CPU time, not wall time, so that a busy machine or a debugger does not look
 * like a stall.
 */
#include "loop/call.h"
#include "loop/internal.h"
#include "loop/watchdog.h"

#include <errno.h>
#include <execinfo.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"

#define FRAMES           48
#define BACKTRACE_SIGNAL (SIGRTMIN + 5)

typedef struct watched {
    mti_loop *loop;
    uint64_t turn;
    int64_t base_ns;
    bool reported; /* once a turn */
    uint32_t tag;  /* in whose code it was seen last */
    int64_t seen;  /* how often in a row, in that turn */
} watched;

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool on, stop;
    watched *loops;
    unsigned n;
    int64_t stall_ms, hang_ms, period_ms;
} dog = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Filled by the signal handler on the stalled thread, read here after the semaphore. */
static struct {
    void *frames[FRAMES];
    int n;
    sem_t done;
} trace;

static volatile uint32_t *board_words;
static unsigned board_len;

void mti_watchdog_set_board(volatile uint32_t *words, unsigned n)
{
    board_words = words;
    board_len = n;
}

uint32_t *mti_watchdog_board(unsigned index)
{
    return index < board_len ? (uint32_t *)&board_words[index] : NULL;
}

static mti_crash_note *crash_note;

void mti_watchdog_set_note(mti_crash_note *note)
{
    crash_note = note;
}

/* Async-signal-safe. The tag goes first: the call may be part of what is broken, and a fault in here ends the process at once. */
void mti_watchdog_note_crash(uint32_t tag, const struct mt_call *c)
{
    uint32_t nothing = 0;
    if (!crash_note || !atomic_compare_exchange_strong(&crash_note->tag, &nothing, MTI_CRASH_MARK | tag) || !c)
        return;
    for (unsigned i = 0; i < sizeof crash_note->org_id; i++)
        crash_note->org_id[i] = c->who.org_id.b[i];
    for (unsigned i = 0; c->operation && c->operation[i] && i + 1 < sizeof crash_note->operation; i++)
        crash_note->operation[i] = c->operation[i];
}

static void on_backtrace(int sig)
{
    int saved = errno;
    trace.n = backtrace(trace.frames, FRAMES);
    sem_post(&trace.done);
    errno = saved;
}

/* The loop's lock keeps its thread alive meanwhile: a loop ends under it. */
static bool cpu_ns(mti_loop *l, int64_t *out)
{
    clockid_t clock;
    struct timespec ts;
    pthread_mutex_lock(&l->mail.lock);
    bool ok = l->running && pthread_getcpuclockid(l->thread, &clock) == 0 &&
              clock_gettime(clock, &ts) == 0;
    pthread_mutex_unlock(&l->mail.lock);
    if (ok)
        *out = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
    return ok;
}

static bool take_backtrace(mti_loop *l)
{
    struct timespec until;
    while (sem_trywait(&trace.done) == 0)
        ; /* an answer that came too late last time */
    pthread_mutex_lock(&l->mail.lock);
    bool sent = l->running && pthread_kill(l->thread, BACKTRACE_SIGNAL) == 0;
    pthread_mutex_unlock(&l->mail.lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    return sent && sem_timedwait(&trace.done, &until) == 0;
}

static void describe(char *out, size_t cap)
{
    char **names = backtrace_symbols(trace.frames, trace.n);
    size_t len = 0;
    out[0] = 0;
    /* The first two frames are the handler's own. */
    for (int i = 2; names && i < trace.n && len + 1 < cap; i++) {
        const char *base = strrchr(names[i], '/');
        int n =
            snprintf(out + len, cap - len, "%s%s", len ? " < " : "", base ? base + 1 : names[i]);
        len += n > 0 ? (size_t)n : 0;
    }
    free(names);
}

static void report_stall(watched *w, int64_t used_ns)
{
    char text[1536];
    uint32_t tag = __atomic_load_n(w->loop->board, __ATOMIC_RELAXED);
    if (take_backtrace(w->loop))
        describe(text, sizeof(text));
    else
        snprintf(text, sizeof(text), "none");
    mti_log(MTI_LOG_WARN, "loop.stall", "loop=%u plugin=%s tag=%u cpu_ms=%lld backtrace=%s",
            w->loop->index, mti_watchdog_name(tag), tag, (long long)(used_ns / 1000000), text);
}

/*
 * Counted in our own looks, so that time in which the process does not run at all is none: then we did not look either. A loop that waits or runs
 * the host's own code has the tag 0.
 */
static void look_for_hang(watched *w, bool same_turn)
{
    uint32_t tag = __atomic_load_n(w->loop->board, __ATOMIC_RELAXED);
    w->seen = tag && tag == w->tag && same_turn ? w->seen + 1 : 0;
    w->tag = tag;
    if (!dog.hang_ms || w->seen * dog.period_ms < dog.hang_ms)
        return;
    mti_log(MTI_LOG_ERROR, "loop.hang", "loop=%u plugin=%s tag=%u ms=%lld", w->loop->index, mti_watchdog_name(tag), tag, (long long)(w->seen * dog.period_ms));
    w->seen = 0;
    pthread_mutex_lock(&w->loop->mail.lock);
    if (w->loop->running)
        pthread_kill(w->loop->thread, SIGABRT);
    pthread_mutex_unlock(&w->loop->mail.lock);
}

static void look(watched *w)
{
    int64_t now;
    uint64_t turn = atomic_load_explicit(&w->loop->turns, memory_order_relaxed);
    if (!cpu_ns(w->loop, &now))
        return;                  /* it does not run: what it looks at is not there yet, or not any more */
    look_for_hang(w, turn == w->turn);
    if (turn != w->turn || !w->base_ns) {
        w->turn = turn;
        w->base_ns = now;
        w->reported = false;
        return;
    }
    if (w->reported || now - w->base_ns < dog.stall_ms * 1000000)
        return;
    w->reported = true;
    report_stall(w, now - w->base_ns);
}

static void *dog_main(void *arg)
{
    int64_t period_ns = dog.period_ms * 1000000;
    pthread_mutex_lock(&dog.lock);
    while (!dog.stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t ns = until.tv_nsec + period_ns;
        until.tv_sec += ns / 1000000000;
        until.tv_nsec = ns % 1000000000;
        if (pthread_cond_timedwait(&dog.ended, &dog.lock, &until) == 0)
            continue;
        for (unsigned i = 0; i < dog.n; i++)
            look(&dog.loops[i]);
    }
    pthread_mutex_unlock(&dog.lock);
    return NULL;
}

void mti_watchdog_start(mti_loop **loops, unsigned n, int64_t stall_ms, int64_t hang_ms)
{
    struct sigaction sa = {.sa_handler = on_backtrace, .sa_flags = SA_RESTART | SA_ONSTACK};
    pthread_condattr_t attr;
    if (dog.on)
        mti_loop_die("the watchdog is started twice");
    dog.loops = calloc(n ? n : 1, sizeof(*dog.loops));
    if (!dog.loops)
        mti_loop_die("out of memory");
    for (unsigned i = 0; i < n; i++)
        dog.loops[i].loop = loops[i];
    dog.n = n;
    dog.stall_ms = stall_ms > 0 ? stall_ms : 50;
    dog.period_ms = dog.stall_ms < 10 ? 1 : dog.stall_ms / 5;
    dog.hang_ms = hang_ms;
    dog.stop = false;
    /* The first call loads the unwinder, which must not happen inside the handler. */
    trace.n = backtrace(trace.frames, FRAMES);
    sem_init(&trace.done, 0, 0);
    sigemptyset(&sa.sa_mask);
    sigaction(BACKTRACE_SIGNAL, &sa, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&dog.ended, &attr);
    pthread_condattr_destroy(&attr);
    dog.on = pthread_create(&dog.thread, NULL, dog_main, NULL) == 0;
    if (!dog.on)
        mti_loop_die("no thread for the watchdog");
}

void mti_watchdog_stop(void)
{
    if (!dog.on)
        return;
    pthread_mutex_lock(&dog.lock);
    dog.stop = true;
    pthread_cond_signal(&dog.ended);
    pthread_mutex_unlock(&dog.lock);
    pthread_join(dog.thread, NULL);
    pthread_cond_destroy(&dog.ended);
    free(dog.loops);
    dog.loops = NULL;
    dog.on = false;
}
