/* Starting the process, this very program again, and the first two frames. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/log.h"
#include "worker/engine.h"
#include "worker/impl.h"
#include "worker/start.h"

enum { START_US = 10000000 };

static bool open_pairs(unsigned n, int *ours, int *theirs)
{
    for (unsigned i = 0; i < n; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
            while (i--) {
                close(ours[i]);
                close(theirs[i]);
            }
            return false;
        }
        ours[i] = pair[0];
        theirs[i] = pair[1];
    }
    return true;
}

static void put_start(const mti_worker *w, mti_buf *b)
{
    mt_slice granted[64];
    size_t n = 0;
    for (unsigned i = 0; i < mti_asked_count && n < 64; i++)
        if (w->o.interface(w->o.ctx, mt_str(mti_asked_interfaces[i].id)))
            granted[n++] = mt_str(mti_asked_interfaces[i].id);
    mti_put_slice(b, mt_str(w->o.slug));
    mti_put_slice(b, mt_str(w->o.version));
    mti_put_slice(b, mt_str(w->o.dir));
    mti_put_slice(b, mt_str(w->o.file));
    mti_put_slice(b, mt_str(w->o.symbol));
    mti_put_u64(b, w->o.memory);
    mti_put_i32(b, w->o.log_level);
    mti_put_slices(b, granted, n);
    mti_put_bool(b, w->o.key != NULL);
    mti_put_u32(b, w->o.threads ? w->o.threads : 1);
    mti_put_u32(b, (uint32_t)w->o.n_paths);
    for (size_t i = 0; i < w->o.n_paths; i++) {
        mti_put_slice(b, mt_str(w->o.paths[i].path));
        mti_put_bool(b, w->o.paths[i].writes);
    }
}

static mt_status refused(mti_worker *w, const mti_frame *f, mti_error *e)
{
    mti_unpack in = {.p = w->hello.p, .end = w->hello.p + w->hello.len};
    mti_take_error(&in, e);
    e->status = f->method && f->method <= MT_INTERNAL ? (mt_status)f->method : MT_INVALID;
    return e->status;
}

static mt_status greet(mti_worker *w, mti_error *e)
{
    mti_buf start;
    mti_frame f = {.kind = MTI_FRAME_START};
    int64_t until = mti_mono_us() + START_US;
    mti_buf_init(&start, 1 << 20);
    put_start(w, &start);
    f.len = (uint32_t)start.len;
    mt_status s = mti_frame_write(w->fds[0], &f, start.p, until);
    mti_buf_dispose(&start);
    if (s == MT_OK)
        s = mti_frame_read(w->fds[0], &f, &w->hello, until);
    if (s == MT_OK && f.kind == MTI_FRAME_REFUSED)
        return refused(w, &f, e);
    if (s == MT_OK && f.kind == MTI_FRAME_HELLO)
        return MT_OK;
    return s == MT_TIMEOUT ? MT_TIMEOUT : MT_UNAVAILABLE;
}

/* A process of our own. */
static mt_status start_child(mti_worker *w, const int *theirs, mti_error *e)
{
    char count[16], parent[16];
    char *argv[] = {"mortise", "worker", (char *)w->o.slug, count, parent, NULL};
    pid_t pid;
    snprintf(count, sizeof count, "%u", w->o.n_loops);
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    int rc = mti_start_process("/proc/self/exe", theirs, w->o.n_loops, argv, false, &pid);
    if (rc != 0)
        return mti_fail(e, MT_LIMITED, "worker_not_started", "plugin %s: no process for a worker: %s", w->o.slug, strerror(rc));
    atomic_store(&w->pid, pid);
    w->own = true;
    return MT_OK;
}

/* The supervisor's, which may serve another host already. */
static mt_status join_engine(mti_worker *w, const int *theirs, mti_error *e)
{
    mti_engine_message answer = mti_engine_join(w->o.broker, w->o.slug, w->o.key, theirs, w->o.n_loops, MTI_ENGINE_ANSWER_MS);
    if (!answer.pid)
        return mti_fail(e, MT_LIMITED, "worker_not_started", "plugin %s: no process for its engine: %s", w->o.slug, strerror(answer.error));
    atomic_store(&w->pid, answer.pid);
    w->own = answer.kind == MTI_ENGINE_STARTED;
    return MT_OK;
}

/* What happens to a process that was started for us is the plugin's doing; one that served others may have been ended, or hung, for their sake. */
static mt_status unanswered(const mti_worker *w, mt_status s, int how, mti_error *e)
{
    if (!w->own)
        return mti_fail(e, MT_UNAVAILABLE, "engine_lost", "plugin %s: its engine, which runs already, did not take this host: it is tried again", w->o.slug);
    if (s == MT_TIMEOUT)
        return mti_fail(e, MT_INVALID, "worker_slow", "plugin %s: its worker did not start within 10 seconds", w->o.slug);
    return mti_fail(e, MT_INVALID, "worker_died", "plugin %s: its worker died while it loaded the plugin%s%s", w->o.slug,
                    WIFSIGNALED(how) ? ", of SIG" : "", WIFSIGNALED(how) ? sigabbrev_np(WTERMSIG(how)) : "");
}

mt_status mti_worker_spawn(mti_worker *w, mti_error *e)
{
    int theirs[MTI_WORKER_LOOPS], how = 0;
    unsigned n = w->o.n_loops;
    mti_buf_clear(&w->hello);
    if (!open_pairs(n, w->fds, theirs))
        return mti_fail(e, MT_LIMITED, "worker_not_started", "plugin %s: no descriptors for a worker: %s", w->o.slug, strerror(errno));
    atomic_store(&w->pid, 0);
    mt_status s = w->o.key ? join_engine(w, theirs, e) : start_child(w, theirs, e);
    const bool started = s == MT_OK;
    for (unsigned i = 0; i < n; i++)
        close(theirs[i]);
    if (s == MT_OK)
        s = greet(w, e);
    if (s == MT_OK) {
        mti_log(MTI_LOG_INFO, w->o.key ? "engine.joined" : "worker.started", "plugin=%s pid=%d", w->o.slug, atomic_load(&w->pid));
        return MT_OK;
    }
    for (unsigned i = 0; i < n; i++)
        close(w->fds[i]);
    if (!started)
        return s;
    if (w->own)
        mti_worker_kill(w, "it did not start");
    else
        mti_worker_leave(w);
    how = mti_worker_reap(w);
    return e->detail[0] ? s : unanswered(w, s, how, e);
}

int mti_worker_reap(mti_worker *w)
{
    int status = 0;
    pid_t pid = atomic_exchange(&w->pid, 0);
    if (w->o.key)
        return 0;            /* the supervisor's */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        mti_log(MTI_LOG_INFO, "worker.ended", "plugin=%s pid=%d signal=%s", w->o.slug, (int)pid, sigabbrev_np(WTERMSIG(status)));
    else
        mti_log(MTI_LOG_INFO, "worker.ended", "plugin=%s pid=%d status=%d", w->o.slug, (int)pid, WEXITSTATUS(status));
    return status;
}

static void end(mti_worker *w, pid_t pid, mti_engine_kind kind)
{
    if (w->o.key)
        mti_engine_send(w->o.broker, &(mti_engine_message){.kind = (int)kind, .pid = pid}, NULL, 0);
    else
        kill(pid, SIGKILL);
}

void mti_worker_kill(mti_worker *w, const char *why)
{
    pid_t pid = atomic_load(&w->pid);
    if (pid > 0) {
        mti_log(MTI_LOG_WARN, "worker.killed", "plugin=%s pid=%d why=%s", w->o.slug, (int)pid, why);
        end(w, pid, MTI_ENGINE_KILL);
    }
}

void mti_worker_leave(mti_worker *w)
{
    pid_t pid = atomic_load(&w->pid);
    if (pid > 0)
        end(w, pid, MTI_ENGINE_LEAVE);
}
