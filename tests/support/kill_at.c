/*
 * Loaded before the host (LD_PRELOAD), it ends the process with SIGKILL at one named step of its work with files. The order is the file that KILL_AT names,
 * "STEP WHEN PART N": a step is rename, fsync, pwrite, ftruncate, unlink or posix_spawn; WHEN is before, after or half (a write of which half arrives);
 * PART is part of the path, N counts such steps from 1. It is carried out once: who removes the order kills. At posix_spawn the child dies, not the host.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
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

static bool is_order(const char *order, const char *step, const char *when, const char *path)
{
    char text[PATH_MAX], what[32], at[32], part[256];
    static _Atomic int seen;
    int wanted, fd = open(order, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%31s %31s %255s %d", what, at, part, &wanted) != 4 || strcmp(what, step) || strcmp(at, when) || !strstr(path, part) || ++seen < wanted)
        return false;
    seen = 0;
    return REAL(unlink)(order) == 0;
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
