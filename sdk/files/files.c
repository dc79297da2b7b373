#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4300 };

void mt_file_make_folders(const char *path)
{
    char copy[PATH_SIZE];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *p = copy + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(copy, 0700);
        *p = '/';
    }
}

bool mt_file_write_at(int fd, const void *p, size_t n, uint64_t at)
{
    const char *from = p;
    while (n > 0) {
        ssize_t done = pwrite(fd, from, n, (off_t)at);
        if (done < 0 && errno != EINTR)
            return false;
        size_t moved = done > 0 ? (size_t)done : 0;
        from += moved;
        at += moved;
        n -= moved;
    }
    return true;
}

/* Two hosts of one server write beside each other for a while when one takes the other's place. */
bool mt_file_beside(const char *path, char *out, size_t size)
{
    char pattern[PATH_SIZE];
    glob_t left = {0};
    if ((size_t)snprintf(out, size, "%s.%d.new", path, (int)getpid()) >= size)
        return false;
    snprintf(pattern, sizeof pattern, "%s.*.new", path);
    if (glob(pattern, GLOB_NOSORT, NULL, &left) == 0)
        for (size_t i = 0; i < left.gl_pathc; i++) {
            int pid = atoi(left.gl_pathv[i] + strlen(path) + 1);
            if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH)
                unlink(left.gl_pathv[i]);
        }
    globfree(&left);
    return true;
}

/* The rename itself is made to last. */
static bool sync_folder(const char *path)
{
    char folder[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

bool mt_file_publish(const char *from, const char *path)
{
    return rename(from, path) == 0 && sync_folder(path);
}

bool mt_file_replace(const char *path, const mt_slice *parts, size_t n)
{
    char beside[PATH_SIZE];
    uint64_t at = 0;
    if (!mt_file_beside(path, beside, sizeof beside)) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < n; at += parts[i++].len)
        ok = mt_file_write_at(fd, parts[i].p, parts[i].len, at);
    ok = ok && fsync(fd) == 0;
    int error = errno;
    ok = close(fd) == 0 && ok;
    if (ok && mt_file_publish(beside, path))
        return true;
    error = ok ? errno : error;
    unlink(beside);
    errno = error;
    return false;
}
