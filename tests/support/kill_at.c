/*
 * Loaded before the host (LD_PRELOAD), it ends the process with SIGKILL at named steps of its work with files. The orders are the lines of the file that
 * KILL_AT names, the first one first, "STEP WHEN PART N": a step is rename, fsync, pwrite, ftruncate, unlink or posix_spawn; WHEN is before, after or half (a
 * write of which half arrives); PART is part of the path, with * and ? as a shell has them, N counts such steps from 1. An order is struck out before it is carried out, so the next one stands
 * when the next process starts; the last one takes the file along. At posix_spawn the child dies, not the host.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(f) ((__typeof__(&f))dlsym(RTLD_NEXT, #f))

/* Leaves the orders behind the first. */
static void strike_out(const char *orders, const char *rest)
{
    char beside[PATH_MAX];
    snprintf(beside, sizeof beside, "%s.rest", orders);
    if (!*rest) {
        REAL(unlink)(orders);
        return;
    }
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, rest, strlen(rest)) < 0 || close(fd) < 0 || REAL(rename)(beside, orders) < 0)
        abort();
}

static bool matches(const char *path, const char *part)
{
    char pattern[300];
    snprintf(pattern, sizeof pattern, "*%s*", part);
    return fnmatch(pattern, path, 0) == 0;
}

static bool is_order(const char *orders, const char *step, const char *when, const char *path)
{
    char text[PATH_MAX], what[32], at[32], part[256];
    static _Atomic int seen;
    int wanted, used, fd = open(orders, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%31s %31s %255s %d %n", what, at, part, &wanted, &used) != 4 || strcmp(what, step) || strcmp(at, when) || !matches(path, part) ||
        ++seen != wanted)
        return false;
    strike_out(orders, text + used);
    seen = 0;
    return true;
}

static bool ordered(const char *step, const char *when, const char *path)
{
    const char *order = getenv("KILL_AT");
    int error = errno; /* the step's own, which its caller looks at */
    bool now = order && is_order(order, step, when, path);
    errno = error;
    return now;
}

static void look(const char *step, const char *when, const char *path)
{
    if (ordered(step, when, path))
        kill(getpid(), SIGKILL);
}

static const char *path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    int error = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    errno = error;
    return path;
}

int rename(const char *from, const char *to)
{
    look("rename", "before", to);
    int rc = REAL(rename)(from, to);
    look("rename", "after", to);
    return rc;
}

int unlink(const char *path)
{
    look("unlink", "before", path);
    int rc = REAL(unlink)(path);
    look("unlink", "after", path);
    return rc;
}

int fsync(int fd)
{
    char path[PATH_MAX];
    look("fsync", "before", path_of(fd, path));
    int rc = REAL(fsync)(fd);
    look("fsync", "after", path);
    return rc;
}

int ftruncate(int fd, off_t length)
{
    char path[PATH_MAX];
    int rc = REAL(ftruncate)(fd, length);
    look("ftruncate", "after", path_of(fd, path));
    return rc;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    char path[PATH_MAX];
    look("pwrite", "before", path_of(fd, path));
    if (ordered("pwrite", "half", path)) {
        REAL(pwrite)(fd, p, n / 2, at);
        kill(getpid(), SIGKILL);
    }
    ssize_t rc = REAL(pwrite)(fd, p, n, at);
    look("pwrite", "after", path);
    return rc;
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *how, char *const arguments[],
                char *const environment[])
{
    int rc = REAL(posix_spawn)(pid, path, files, how, arguments, environment);
    if (rc == 0 && ordered("posix_spawn", "after", path))
        kill(*pid, SIGKILL);
    return rc;
}
