/*
 * The data folder belongs to one supervisor: a lock on DIR/mortise.lock, which ends with its
 * process whatever happens. A host left over by a dead supervisor is found by DIR/host.pid, where
 * its start time stands beside its id, so that a reused id is never killed.
 */
#include "supervisor/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* Others may pass through to what is theirs (PostgreSQL's user to its folder), not look. */
static mt_status make_folders(const char *dir, mti_error *e)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s", dir);
    if (n <= 0 || (size_t)n >= sizeof path)
        return mti_fail(e, MT_INVALID, "bad_data_dir",
                        "The data folder's path is empty or too long.");
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char was = *p;
        *p = 0;
        if (mkdir(path, was ? 0755 : 0711) != 0 && errno != EEXIST)
            return mti_fail(
                e, MT_INTERNAL, "bad_data_dir",
                "The data folder %.200s cannot be made: %s. Choose another with --data.", path,
                strerror(errno));
        *p = was;
        if (!was)
            return MT_OK;
    }
}

static mt_status open_folder(mti_supervisor *s, mti_error *e)
{
    const char *dir = mti_config_str(s->config, "data.dir");
    MT_TRY(make_folders(dir, e));
    s->dir_fd = realpath(dir, s->dir) ? open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (s->dir_fd < 0 || faccessat(s->dir_fd, ".", W_OK, AT_EACCESS) != 0)
        return mti_fail(e, MT_INTERNAL, "bad_data_dir",
                        "The data folder %.200s cannot be used: %s.", dir, strerror(errno));
    return MT_OK;
}

static int read_number(int fd)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    return n > 0 ? atoi(text) : 0;
}

static mt_status take_lock(int dir_fd, const char *dir, int *lock_fd, mti_error *e)
{
    int fd = openat(dir_fd, "mortise.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return mti_fail(e, MT_INTERNAL, "bad_data_dir", "%.200s/mortise.lock cannot be opened: %s.",
                        dir, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int holder = read_number(fd);
        close(fd);
        return mti_fail(e, MT_CONFLICT, "already_running",
                        "Another mortise (process %d) serves %.200s: stop it first, or choose "
                        "another folder with --data.",
                        holder, dir);
    }
    if (ftruncate(fd, 0) != 0 || dprintf(fd, "%d\n", (int)getpid()) < 0) {
        close(fd);
        return mti_fail(e, MT_INTERNAL, "bad_data_dir", "%.200s cannot be written to: %s.", dir,
                        strerror(errno));
    }
    *lock_fd = fd;
    return MT_OK;
}

mt_status mti_supervisor_lock(const char *dir, int *lock_fd, mti_error *e)
{
    MT_TRY(make_folders(dir, e));
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return mti_fail(e, MT_INTERNAL, "bad_data_dir",
                        "The data folder %.200s cannot be used: %s.", dir, strerror(errno));
    mt_status s = take_lock(dir_fd, dir, lock_fd, e);
    close(dir_fd);
    return s;
}

int mti_supervisor_holder(const char *dir)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/mortise.lock", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    int holder = flock(fd, LOCK_SH | LOCK_NB) != 0 ? read_number(fd) : 0;
    close(fd);
    return holder;
}

/* When a process started, in clock ticks since boot (field 22 of its stat); 0 when it is gone or a
 * zombie. */
static unsigned long long start_time(int pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    char state;
    unsigned long long started = 0;
    const char *rest = strrchr(text, ')'); /* the name before it may hold anything */
    if (!rest ||
        sscanf(rest + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &state, &started) != 2)
        return 0;
    return state == 'Z' || state == 'X' ? 0 : started;
}

void mti_claim_note_host(mti_supervisor *s)
{
    char text[GENERATIONS * 64] = "";
    for (int pass = 0; pass < 2; pass++) /* the one that serves comes first */
        for (int i = 0; i < GENERATIONS; i++) {
            const mti_generation *g = &s->generations[i];
            size_t n = strlen(text);
            if (g->pid && (g == s->host) == !pass)
                snprintf(text + n, sizeof text - n, "%d %llu\n", (int)g->pid, start_time(g->pid));
        }
    mti_claim_write(s, "host.pid", text);
}

static bool wait_gone(int pid, unsigned long long started, int ms)
{
    for (; ms > 0 && start_time(pid) == started; ms -= 10)
        usleep(10000);
    return start_time(pid) != started;
}

/* It was to die with its supervisor; what is still there gets a moment, then no choice. */
static bool end_one(int pid, unsigned long long started)
{
    if (pid <= 1 || !started || wait_gone(pid, started, 200))
        return true;
    mti_log(MTI_LOG_WARN, "supervisor.leftover", "pid=%d", pid);
    kill(pid, SIGKILL);
    return wait_gone(pid, started, 5000);
}

static mt_status end_leftover(mti_supervisor *s, mti_error *e)
{
    int fd = openat(s->dir_fd, "host.pid", O_RDONLY | O_CLOEXEC), pid = 0;
    unsigned long long started = 0;
    char text[GENERATIONS * 64] = "";
    if (fd < 0)
        return MT_OK;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    for (const char *at = n > 0 ? text : NULL; at && sscanf(at, "%d %llu", &pid, &started) == 2; at = (at = strchr(at, '\n')) ? at + 1 : NULL)
        if (!end_one(pid, started))
            return mti_fail(e, MT_CONFLICT, "already_running",
                            "Process %d, a host left over in %.200s, does not end.", pid, s->dir);
    return MT_OK;
}

unsigned mti_supervisor_reloads(const char *dir, bool *worked)
{
    char path[PATH_MAX], text[32] = "", outcome[16] = "";
    unsigned n = 0;
    snprintf(path, sizeof path, "%s/reload", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0)
        sscanf(text, "%u %15s", &n, outcome);
    if (fd >= 0)
        close(fd);
    *worked = strcmp(outcome, "ok") == 0;
    return n;
}

mt_status mti_claim(mti_supervisor *s, mti_error *e)
{
    MT_TRY(open_folder(s, e));
    MT_TRY(take_lock(s->dir_fd, s->dir, &s->lock_fd, e));
    unlinkat(s->dir_fd, "mortise.url", 0); /* a dead supervisor's would mislead */
    unlinkat(s->dir_fd, "mortise.sock", 0);
    unlinkat(s->dir_fd, "reload", 0);
    return end_leftover(s, e);
}

void mti_claim_write(mti_supervisor *s, const char *name, const char *text)
{
    int fd = openat(s->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = strlen(text);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n)
        mti_log(MTI_LOG_WARN, "supervisor.file", "name=%s error=%s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* The lock file stays: removing it would let two supervisors lock two different files of that name.
 */
void mti_claim_release(mti_supervisor *s)
{
    static const char *const files[] = {"host.pid", "mortise.url", "mortise.sock", "postgres.url", "reload"};
    for (size_t i = 0; s->lock_fd >= 0 && i < sizeof files / sizeof *files; i++)
        unlinkat(s->dir_fd, files[i], 0);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    s->lock_fd = s->dir_fd = -1;
}
