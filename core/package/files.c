/* The files of a folder: which belong to a plugin, their digest, copies. */
#include "package/package_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ident.h"

enum { DEPTH = 6 };

static bool ends_with(mt_slice s, const char *end)
{
    size_t n = strlen(end);
    return s.len > n && !memcmp(s.p + s.len - n, end, n);
}

static bool is_name(mt_slice s)
{
    if (!s.len || s.p[0] == '.' || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", s.p[i]) || !s.p[i])
            return false;
    return true;
}

bool mti_package_owns(const char *path)
{
    static const char *const single[] = {"plugin.json", "api.json", "queries.sql", "README.md", "LICENSE", "CHANGELOG.md"};
    mt_slice first = {path, strcspn(path, "/")};
    unsigned depth = 0;
    if (strlen(path) >= MTI_PACKAGE_PATH)
        return false;
    for (const char *at = path;; depth++) {
        mt_slice part = {at, strcspn(at, "/")};
        if (!is_name(part) || depth == DEPTH)
            return false;
        if (!part.p[part.len])
            break;
        at += part.len + 1;
    }
    mt_slice rest = mt_str(path);
    if (depth == 0)
        for (size_t i = 0; i < sizeof single / sizeof *single; i++)
            if (!strcmp(path, single[i]))
                return true;
    if (depth == 0)
        return ends_with(rest, ".so");
    if (mt_slice_eq(first, MT_SLICE("files")))
        return true;
    return depth == 1 && ((mt_slice_eq(first, MT_SLICE("sql")) && ends_with(rest, ".sql")) ||
                          (mt_slice_eq(first, MT_SLICE("policies")) && (ends_with(rest, ".lua") || ends_with(rest, ".json"))));
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const package_file *)a)->path, ((const package_file *)b)->path);
}

static mt_status list_folder(const char *dir, const char *below, package_list *out, mti_error *e)
{
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s%s%s", dir, *below ? "/" : "", below);
    DIR *d = opendir(path);
    mt_status s = d ? MT_OK : mti_fail(e, MT_NOT_FOUND, "folder_unreadable", "%.200s cannot be read: %s.", path, strerror(errno));
    for (struct dirent *f; d && s == MT_OK && (f = readdir(d));) {
        char name[MTI_PACKAGE_PATH];
        int n = snprintf(name, sizeof name, "%s%s%s", below, *below ? "/" : "", f->d_name);
        if (f->d_name[0] == '.' || n >= (int)sizeof name || fstatat(dirfd(d), f->d_name, &st, 0))
            continue;
        bool folder = *below ? !strncmp(below, "files", 5) : !strcmp(name, "sql") || !strcmp(name, "policies") || !strcmp(name, "files");
        if (S_ISDIR(st.st_mode) && folder)
            s = list_folder(dir, name, out, e);
        else if (S_ISREG(st.st_mode) && mti_package_owns(name) && out->n == MTI_PACKAGE_FILES)
            s = mti_fail(e, MT_TOO_LARGE, "package_too_large", "%.200s has more than %d files.", dir, MTI_PACKAGE_FILES);
        else if (S_ISREG(st.st_mode) && mti_package_owns(name)) {
            package_file *file = &out->files[out->n++];
            memcpy(file->path, name, sizeof name);
            file->executable = st.st_mode & 0100;
            file->size = (size_t)st.st_size;
            out->bytes += file->size;
        }
    }
    if (d)
        closedir(d);
    return s;
}

mt_status package_list_read(const char *dir, package_list *out, mti_error *e)
{
    out->n = 0;
    out->bytes = 0;
    MT_TRY(list_folder(dir, "", out, e));
    qsort(out->files, out->n, sizeof *out->files, by_path);
    for (unsigned i = 0; i < out->n; i++)
        if (!strcmp(out->files[i].path, "plugin.json"))
            return out->bytes <= MTI_PACKAGE_BYTES ? MT_OK : mti_fail(e, MT_TOO_LARGE, "package_too_large", "%.200s holds more than %u MiB.", dir, MTI_PACKAGE_BYTES >> 20);
    return mti_fail(e, MT_NOT_FOUND, "no_plugin", "%.200s holds no plugin.json: name the folder that was built (build/plugins/NAME) or a package.", dir);
}

mt_status package_read_file(const char *dir, const package_file *f, mti_buf *out, mti_error *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, f->path);
    mt_status s = mti_buf_read_file(out, path, MTI_PACKAGE_BYTES);
    return s == MT_OK ? s : mti_fail(e, s, "file_unreadable", "%.300s cannot be read.", path);
}

static mt_status digest_files(const char *dir, const package_list *list, char out[65], mti_error *e)
{
    mti_buf all, text;
    uint8_t hash[32];
    char hex[65];
    mt_status s = MT_OK;
    mti_buf_init(&all, 1 << 20);
    for (unsigned i = 0; s == MT_OK && i < list->n; i++) {
        s = package_read_file(dir, &list->files[i], &text, e);
        mti_sha256(text.p ? text.p : "", text.len, hash);
        mti_hex(hash, 32, hex);
        mti_buf_addf(&all, "%s %c %s\n", list->files[i].path, list->files[i].executable ? 'x' : '-', hex);
        mti_buf_dispose(&text);
    }
    mti_sha256(all.p, all.len, hash);
    mti_hex(hash, 32, out);
    mti_buf_dispose(&all);
    return s;
}

mt_status mti_package_digest(const char *dir, char out[65], mti_error *e)
{
    package_list *list = malloc(sizeof *list);
    if (!list)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while reading %.200s", dir);
    mt_status s = package_list_read(dir, list, e);
    if (s == MT_OK)
        s = digest_files(dir, list, out, e);
    free(list);
    return s;
}

static bool write_all(int fd, mt_slice data)
{
    for (size_t at = 0; at < data.len;) {
        ssize_t n = write(fd, data.p + at, data.len - at);
        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    return true;
}

mt_status package_write_file(const char *to, const char *path, mt_slice data, bool executable, mti_error *e)
{
    char full[PATH_MAX];
    if ((size_t)snprintf(full, sizeof full, "%s/%s", to, path) >= sizeof full)
        return mti_fail(e, MT_INVALID, "path_too_long", "%.200s is too long a path.", to);
    for (char *slash = full + strlen(to) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        if (mkdir(full, 0755) && errno != EEXIST)   /* what is there and no folder shows below */
            return mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", full, strerror(errno));
    }
    int fd = open(full, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write_all(fd, data) && fchmod(fd, executable ? 0555 : 0444) == 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return ok ? MT_OK : mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", full, strerror(error));
}

mt_status mti_package_copy(const char *from, const char *to, mti_error *e)
{
    package_list *list = malloc(sizeof *list);
    mti_buf text;
    if (!list)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while copying %.200s", from);
    mt_status s = package_list_read(from, list, e);
    if (s == MT_OK && mkdir(to, 0755))
        s = mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", to, strerror(errno));
    for (unsigned i = 0; s == MT_OK && i < list->n; i++) {
        s = package_read_file(from, &list->files[i], &text, e);
        if (s == MT_OK)
            s = package_write_file(to, list->files[i].path, mti_buf_slice(&text), list->files[i].executable, e);
        mti_buf_dispose(&text);
    }
    if (s != MT_OK)
        mti_package_remove(to, NULL);
    free(list);
    return s;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

mt_status mti_package_remove(const char *dir, mti_error *e)
{
    if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return MT_OK;
    return mti_fail(e, MT_INTERNAL, "cannot_remove", "%.300s: %s.", dir, strerror(errno));
}

mt_status mti_package_copy_file(const char *from, const char *to, int mode, mti_error *e)
{
    char aside[PATH_MAX];
    mti_buf text;
    snprintf(aside, sizeof aside, "%s.%d.new", to, (int)getpid());
    mt_status s = mti_buf_read_file(&text, from, MTI_PACKAGE_BYTES);
    unlink(aside);
    int fd = s == MT_OK ? open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    bool ok = fd >= 0 && write_all(fd, mti_buf_slice(&text)) && fchmod(fd, (mode_t)mode) == 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    ok = ok && rename(aside, to) == 0;
    int error = errno;
    mti_buf_dispose(&text);
    if (ok)
        return MT_OK;
    unlink(aside);
    return mti_fail(e, s == MT_OK ? MT_INTERNAL : s, "cannot_copy", "%.150s cannot be copied to %.150s: %s.", from, to, strerror(error));
}
