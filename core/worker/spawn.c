/* Starting the process, this very program again, and the first two frames. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/log.h"
#include "worker/impl.h"

enum { START_US = 10000000, FIRST_FD = 3, HIGH_FD = 400 };

/* posix_spawn and not fork: what the host has mapped (models) costs nothing then, and no code runs between. The child's ends get the numbers
 * from FIRST_FD on; they were made high, out of their way. */
static int run_child(const int *fds, unsigned n, char *const *argv, pid_t *pid)
{
    char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawn_file_actions_init(&files);
    int rc = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
    for (int fd = 1; rc == 0 && fd < FIRST_FD; fd++)
        rc = posix_spawn_file_actions_adddup2(&files, 0, fd);
    for (unsigned i = 0; rc == 0 && i < n; i++)
        rc = posix_spawn_file_actions_adddup2(&files, fds[i], FIRST_FD + (int)i);
    rc = rc ? rc : posix_spawn_file_actions_addclosefrom_np(&files, FIRST_FD + (int)n);
    rc = rc ? rc : posix_spawn(pid, "/proc/self/exe", &files, &how, argv, env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return rc;
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
        theirs[i] = fcntl(pair[1], F_DUPFD_CLOEXEC, HIGH_FD);
        close(pair[1]);
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
    return s == MT_TIMEOUT ? mti_fail(e, MT_INVALID, "worker_slow", "plugin %s: its worker did not start within 10 seconds", w->o.slug) : MT_UNAVAILABLE;
}

mt_status mti_worker_spawn(mti_worker *w, mti_error *e)
{
    int theirs[MTI_WORKER_LOOPS];
    unsigned n = w->o.n_loops;
    char count[16], parent[16];
    char *argv[] = {"mortise", "worker", (char *)w->o.slug, count, parent, NULL};
    pid_t pid = 0;
    mti_buf_clear(&w->hello);
    if (!open_pairs(n, w->fds, theirs))
        return mti_fail(e, MT_LIMITED, "worker_not_started", "plugin %s: no descriptors for a worker: %s", w->o.slug, strerror(errno));
    snprintf(count, sizeof count, "%u", n);
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    int rc = run_child(theirs, n, argv, &pid);
    for (unsigned i = 0; i < n; i++)
        close(theirs[i]);
    atomic_store(&w->pid, rc == 0 ? pid : 0);
    mt_status s = rc == 0 ? greet(w, e) : mti_fail(e, MT_LIMITED, "worker_not_started", "plugin %s: no process for a worker: %s", w->o.slug, strerror(rc));
    if (s == MT_OK) {
        mti_log(MTI_LOG_INFO, "worker.started", "plugin=%s pid=%d", w->o.slug, (int)pid);
        return MT_OK;
    }
    for (unsigned i = 0; i < n; i++)
        close(w->fds[i]);
    if (rc == 0) {
        kill(pid, SIGKILL);
        int how = mti_worker_reap(w);
        if (s == MT_UNAVAILABLE)
            s = mti_fail(e, MT_INVALID, "worker_died", "plugin %s: its worker died while it loaded the plugin%s%s", w->o.slug,
                         WIFSIGNALED(how) ? ", of SIG" : "", WIFSIGNALED(how) ? sigabbrev_np(WTERMSIG(how)) : "");
    }
    return s;
}

int mti_worker_reap(mti_worker *w)
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
    return status;
}

void mti_worker_kill(mti_worker *w, const char *why)
{
    pid_t pid = atomic_load(&w->pid);
    if (pid > 0) {
        mti_log(MTI_LOG_WARN, "worker.killed", "plugin=%s pid=%d why=%s", w->o.slug, (int)pid, why);
        kill(pid, SIGKILL);
    }
}
