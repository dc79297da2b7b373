/*
 * The watchdog: a thread that compares each loop's CPU clock with where it stood when the loop's
 * turn was first seen. CPU time, not wall time, so that a busy machine or a debugger does not look
 * like a stall.
 */
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
} watched;

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool on, stop;
    watched *loops;
    unsigned n;
    int64_t stall_ms;
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

/* Async-signal-safe. */
void mti_watchdog_note_crash(uint32_t tag)
{
    if (board_len)
        board_words[board_len - 1] = MTI_CRASH_MARK | tag;
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

static void look(watched *w)
{
    int64_t now;
    uint64_t turn = atomic_load_explicit(&w->loop->turns, memory_order_relaxed);
    if (!cpu_ns(w->loop, &now))
        return;
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
    int64_t period_ns = dog.stall_ms * 1000000 / 5;
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

void mti_watchdog_start(mti_loop **loops, unsigned n, int64_t stall_ms)
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
