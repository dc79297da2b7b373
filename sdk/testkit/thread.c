/* thread/1: a wait blocks the test's thread, so a plugin's real threads can raise. Signals are numbered and never reused. */
#include "kit.h"

#include <pthread.h>
#include <time.h>

enum { SIGNALS = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct { mt_call *call; bool raised; } signals[SIGNALS];
static unsigned used;

static mt_status make(mt_call *c, mt_handle *signal)
{
    pthread_mutex_lock(&lock);
    bool room = used < SIGNALS;
    if (room)
        signals[used++].call = c;
    *signal = room ? used : 0;
    pthread_mutex_unlock(&lock);
    return room ? MT_OK : MT_LIMITED;
}

static mt_status wait_for(mt_call *c, mt_handle signal, int64_t timeout_ms)
{
    struct timespec end;
    MT_TRY(kit_suspend(c));
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += timeout_ms % 1000 * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    bool known = signal && signal <= used && signals[signal - 1].call == c;
    int late = 0;
    while (known && !signals[signal - 1].raised && !late)
        late = timeout_ms < 0 ? pthread_cond_wait(&changed, &lock) : pthread_cond_timedwait(&changed, &lock, &end);
    bool raised = known && signals[signal - 1].raised;
    if (raised)
        signals[signal - 1].raised = false;
    pthread_mutex_unlock(&lock);
    return !known ? MT_NOT_FOUND : raised ? MT_OK : MT_TIMEOUT;
}

static mt_status raise_signal(mt_handle signal)
{
    pthread_mutex_lock(&lock);
    if (signal && signal <= used && signals[signal - 1].call)
        signals[signal - 1].raised = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return MT_OK;
}

void kit_thread_end(mt_call *c)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < used; i++)
        if (signals[i].call == c)
            signals[i].call = NULL;
    pthread_mutex_unlock(&lock);
}

const mt_thread_1 kit_thread = {.size = sizeof kit_thread, .version = 1, .signal = make, .wait = wait_for, .raise = raise_signal};
