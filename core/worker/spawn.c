/* Starting the process: fork, exec of this very program, and the first two frames. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/log.h"
#include "worker/impl.h"

enum { START_US = 10000000, FIRST_FD = 3, HIGH_FD = 400 };

/* In the child, between fork and exec of a process with threads: system calls only. */
static _Noreturn void become_worker(const int *fds, unsigned n, char *const *argv, char *const *env)
{
    int high[MTI_WORKER_LOOPS];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < 32; s++)
        signal(s, SIG_DFL);
    for (unsigned i = 0; i < n; i++)
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH_FD);   /* out of the way of the numbers that they get */
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < FIRST_FD; fd++)
        dup2(null, fd);
    for (unsigned i = 0; i < n; i++)
        if (dup2(high[i], FIRST_FD + (int)i) < 0)
            _exit(127);
    syscall(SYS_close_range, FIRST_FD + n, ~0u, 0);
    execve("/proc/self/exe", argv, env);
    _exit(127);
}

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
    return s == MT_TIMEOUT ? mti_fail(e, MT_INVALID, "worker_slow", "plugin %s: its worker did not start within 10 seconds", w->o.slug)
                           : mti_fail(e, MT_INVALID, "worker_died", "plugin %s: its worker died while it loaded the plugin", w->o.slug);
}

mt_status mti_worker_spawn(mti_worker *w, mti_error *e)
{
    int theirs[MTI_WORKER_LOOPS];
    unsigned n = w->o.n_loops;
    char count[16], parent[16];
    char *argv[] = {"mortise", "worker", (char *)w->o.slug, count, parent, NULL}, *env[] = {"PATH=/usr/bin:/bin", NULL};
    mti_buf_clear(&w->hello);
    if (!open_pairs(n, w->fds, theirs))
        return mti_fail(e, MT_LIMITED, "worker_not_started", "plugin %s: no descriptors for a worker: %s", w->o.slug, strerror(errno));
    snprintf(count, sizeof count, "%u", n);
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    pid_t pid = fork();
    if (pid == 0)
        become_worker(theirs, n, argv, env);
    for (unsigned i = 0; i < n; i++)
        close(theirs[i]);
    atomic_store(&w->pid, pid);
    mt_status s = pid > 0 ? greet(w, e) : mti_fail(e, MT_LIMITED, "worker_not_started", "plugin %s: no process for a worker: %s", w->o.slug, strerror(errno));
    if (s == MT_OK) {
        mti_log(MTI_LOG_INFO, "worker.started", "plugin=%s pid=%d", w->o.slug, (int)pid);
        return MT_OK;
    }
    for (unsigned i = 0; i < n; i++)
        close(w->fds[i]);
    if (pid > 0) {
        kill(pid, SIGKILL);
        mti_worker_reap(w);
    }
    return s;
}

void mti_worker_reap(mti_worker *w)
{
    int status = 0;
    pid_t pid = atomic_load(&w->pid);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    atomic_store(&w->pid, 0);
    if (WIFSIGNALED(status))
        mti_log(MTI_LOG_INFO, "worker.ended", "plugin=%s pid=%d signal=%s", w->o.slug, (int)pid, sigabbrev_np(WTERMSIG(status)));
    else
        mti_log(MTI_LOG_INFO, "worker.ended", "plugin=%s pid=%d status=%d", w->o.slug, (int)pid, WEXITSTATUS(status));
}

void mti_worker_kill(mti_worker *w, const char *why)
{
    pid_t pid = atomic_load(&w->pid);
    if (pid > 0) {
        mti_log(MTI_LOG_WARN, "worker.killed", "plugin=%s pid=%d why=%s", w->o.slug, (int)pid, why);
        kill(pid, SIGKILL);
    }
}
