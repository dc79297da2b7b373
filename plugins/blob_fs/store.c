#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static mt_status make_folders(char *path)
{
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char end = *p;
        *p = 0;
        int failed = mkdir(path, 0700) && errno != EEXIST;
        *p = end;
        if (failed)
            return MT_UNAVAILABLE;
        if (!end)
            return MT_OK;
    }
}

static void clear_unfinished(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
}

/*
 * One server has the folder, but more than one of its processes may: after a reload the host before ends its requests beside the new one. So the lock is
 * shared, and the file says whose it is: the process that started the holders. *first: nobody had it.
 */
static mt_status take_lock(int fd, bool *first)
{
    char mine[16], held[16] = "";
    snprintf(mine, sizeof mine, "%d", (int)getppid());
    *first = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (*first) {
        if (ftruncate(fd, 0) || pwrite(fd, mine, strlen(mine), 0) != (ssize_t)strlen(mine))
            return MT_UNAVAILABLE;
        return flock(fd, LOCK_SH) ? MT_UNAVAILABLE : MT_OK;
    }
    if (flock(fd, LOCK_SH | LOCK_NB))
        return errno == EWOULDBLOCK ? MT_CONFLICT : MT_UNAVAILABLE;
    ssize_t n = pread(fd, held, sizeof held - 1, 0);
    return n > 0 && !strcmp(held, mine) ? MT_OK : MT_CONFLICT;
}

mt_status blob_store_open(blob_store *s, const char *root)
{
    bool first;
    char path[BLOB_PATH];
    s->lock = -1;
    if ((size_t)snprintf(s->root, sizeof s->root, "%s", root) >= sizeof s->root)
        return MT_INVALID;
    snprintf(path, sizeof path, "%s/unfinished", root);
    MT_TRY(make_folders(path));
    snprintf(path, sizeof path, "%s/lock", root);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return MT_UNAVAILABLE;
    mt_status why = take_lock(fd, &first);
    if (why != MT_OK) {
        close(fd);
        return why;
    }
    s->lock = fd;
    snprintf(path, sizeof path, "%s/unfinished", root);
    if (first)
        clear_unfinished(path);
    return MT_OK;
}

void blob_store_close(blob_store *s)
{
    if (s->lock >= 0)
        close(s->lock);
    s->lock = -1;
}

/* The name comes from outside: only lower-case hex digits may reach a path. */
static bool path_of(const blob_store *s, mt_slice org, mt_slice name, char path[BLOB_PATH])
{
    bool ok = name.len == BLOB_NAME && org.len && org.len < 64 && org.p[0] != '.' &&
              !memchr(org.p, '/', org.len);
    for (size_t i = 0; ok && i < name.len; i++)
        ok = (name.p[i] >= '0' && name.p[i] <= '9') || (name.p[i] >= 'a' && name.p[i] <= 'f');
    if (ok)
        snprintf(path, BLOB_PATH, "%s/%.*s/%.2s/%.62s", s->root, (int)org.len, org.p, name.p,
                 name.p + 2);
    return ok;
}

static bool hash(mt_slice data, char name[BLOB_NAME])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n;
    if (!EVP_Digest(data.p ? data.p : "", data.len, sum, &n, EVP_sha256(), NULL) ||
        n != BLOB_NAME / 2)
        return false;
    for (unsigned i = 0; i < n; i++) {
        name[2 * i] = digits[sum[i] >> 4];
        name[2 * i + 1] = digits[sum[i] & 15];
    }
    return true;
}

static bool write_all(int fd, mt_slice data)
{
    while (data.len) {
        ssize_t n = write(fd, data.p, data.len);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            data = (mt_slice){data.p + n, data.len - (size_t)n};
    }
    return true;
}

static bool sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && !fsync(fd);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Written aside, flushed, then moved to its name: a reader never sees half a file, a crash leaves
 * all or nothing. */
static mt_status write_blob(const blob_store *s, mt_slice data, char *path)
{
    static _Atomic(unsigned) counter;
    char aside[BLOB_PATH], *slash = strrchr(path, '/');
    snprintf(aside, sizeof aside, "%s/unfinished/%d-%u", s->root, (int)getpid(),
             atomic_fetch_add(&counter, 1));
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return MT_UNAVAILABLE;
    bool ok = write_all(fd, data) && !fsync(fd);
    ok = !close(fd) && ok;
    *slash = 0;
    ok = ok && make_folders(path) == MT_OK;
    *slash = '/';
    if (!ok || rename(aside, path)) {
        unlink(aside);
        return MT_UNAVAILABLE;
    }
    *slash = 0;
    ok = sync_folder(path);
    *strrchr(path, '/') = 0;
    return ok && sync_folder(path) ? MT_OK : MT_UNAVAILABLE;
}

mt_status blob_store_put(const blob_store *s, mt_slice org, mt_slice data, char name[BLOB_NAME])
{
    char path[BLOB_PATH];
    struct stat st;
    if (!hash(data, name))
        return MT_INTERNAL;
    if (!path_of(s, org, (mt_slice){name, BLOB_NAME}, path))
        return MT_INVALID;
    if (!stat(path, &st) && (size_t)st.st_size == data.len)
        return MT_OK;
    return write_blob(s, data, path);
}

mt_status blob_store_open_blob(const blob_store *s, mt_slice org, mt_slice name, int *fd,
                               size_t *size)
{
    char path[BLOB_PATH];
    struct stat st;
    if (!path_of(s, org, name, path))
        return MT_INVALID;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0)
        return errno == ENOENT ? MT_NOT_FOUND : MT_UNAVAILABLE;
    if (fstat(*fd, &st)) {
        close(*fd);
        return MT_UNAVAILABLE;
    }
    *size = (size_t)st.st_size;
    return MT_OK;
}

mt_status blob_store_read(int fd, char *to, size_t size)
{
    mt_status s = MT_OK;
    while (size && s == MT_OK) {
        ssize_t n = read(fd, to, size);
        if (n > 0) {
            to += n;
            size -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            s = MT_UNAVAILABLE;
        }
    }
    close(fd);
    return s;
}

mt_status blob_store_remove(const blob_store *s, mt_slice org, mt_slice name)
{
    char path[BLOB_PATH];
    if (!path_of(s, org, name, path))
        return MT_INVALID;
    return !unlink(path) || errno == ENOENT ? MT_OK : MT_UNAVAILABLE;
}
