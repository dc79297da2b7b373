#include "plugin/versions.h"
#include "plugin/record.h"

#include "package/package.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* HOME and the folder below it. */
static mt_status make_folder(const char *home, const char *below, char out[PATH_MAX], mti_error *e)
{
    if (snprintf(out, PATH_MAX, "%s/%s", home, below) >= PATH_MAX - 200)
        return mti_fail(e, MT_INVALID, "path_too_long", "%.200s is too long a path.", home);
    for (char *at = out + 1; (at = strchr(at, '/')); *at++ = '/') {
        *at = 0;
        mkdir(out, 0755);
    }
    if (mkdir(out, 0755) && errno != EEXIST)
        return mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", out, strerror(errno));
    return MT_OK;
}

static mt_status unpack(const char *home, mt_slice file, const char *folder, char aside[PATH_MAX], mti_error *e)
{
    static const char template[] = "store/.new-XXXXXX";
    char path[PATH_MAX];
    MT_TRY(make_folder(home, "store", path, e));
    snprintf(path, sizeof path, "%.*s/%s", PATH_MAX - 64, home, template);
    if (!mkdtemp(path))
        return mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", path, strerror(errno));
    rmdir(path);                             /* the name is what was wanted: both make the folder themselves */
    snprintf(aside, PATH_MAX, "%s", path);
    return file.p ? mti_package_unpack(file, aside, e) : mti_package_copy(folder, aside, e);
}

/* The manifest was read where the folder does not stay. */
static mt_status read_again(const mti_schema *schema, mti_version *v, mti_error *e)
{
    mti_manifest_destroy(v->manifest);
    v->manifest = NULL;
    return mti_manifest_load(schema, v->dir, &v->manifest, e);
}

static mt_status shelve(const char *home, const mti_schema *schema, const char *aside, mti_version *out, mti_error *e)
{
    char folder[PATH_MAX], below[128];
    MT_TRY(mti_manifest_load(schema, aside, &out->manifest, e));
    MT_TRY(mti_package_digest(aside, out->digest, e));
    snprintf(below, sizeof below, "store/%s", out->manifest->slug);
    MT_TRY(make_folder(home, below, folder, e));
    if (snprintf(out->dir, sizeof out->dir, "%s/%.100s-%.12s", folder, out->manifest->version, out->digest) >= PATH_MAX)
        return mti_fail(e, MT_INVALID, "path_too_long", "%.200s is too long a path.", folder);
    if (rename(aside, out->dir) && errno != EEXIST && errno != ENOTEMPTY)
        return mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", out->dir, strerror(errno));
    return read_again(schema, out, e);
}

mt_status mti_version_add(const char *home, const mti_schema *schema, mt_slice file, const char *folder, mti_version *out, mti_error *e)
{
    char aside[PATH_MAX];
    *out = (mti_version){0};
    MT_TRY(unpack(home, file, folder, aside, e));
    mt_status s = shelve(home, schema, aside, out, e);
    mti_package_remove(aside, NULL);
    if (s != MT_OK) {
        mti_manifest_destroy(out->manifest);
        out->manifest = NULL;
    }
    return s;
}

mt_status mti_version_look(const char *home, const mti_schema *schema, mt_slice file, mti_version *out, mti_error *e)
{
    *out = (mti_version){0};
    MT_TRY(unpack(home, file, NULL, out->dir, e));
    mt_status s = mti_manifest_load(schema, out->dir, &out->manifest, e);
    if (s == MT_OK)
        s = mti_package_digest(out->dir, out->digest, e);
    if (s != MT_OK)
        mti_package_remove(out->dir, NULL);
    return s;
}

mt_status mti_version_link_read(const char *home, const char *slug, const char *link, char dir[PATH_MAX])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/store/%s/%s", home, slug, link) >= PATH_MAX || !realpath(path, dir))
        return MT_NOT_FOUND;
    return MT_OK;
}

mt_status mti_version_link(const char *home, const char *slug, const char *link, const char *dir, mti_error *e)
{
    char path[PATH_MAX], aside[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/store/%s/%s", home, slug, link) >= PATH_MAX - 8)
        return mti_fail(e, MT_INVALID, "path_too_long", "%.200s is too long a path.", home);
    snprintf(aside, sizeof aside, "%.*s.new", PATH_MAX - 8, path);
    unlink(aside);
    bool ok = dir ? symlink(strrchr(dir, '/') + 1, aside) == 0 && rename(aside, path) == 0 : unlink(path) == 0 || errno == ENOENT;
    return ok ? MT_OK : mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", path, strerror(errno));
}

mt_status mti_version_remove_all(const char *home, const char *slug, mti_error *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/store/%s", home, slug);
    return mti_package_remove(path, e);
}

static void sweep_slug(const char *home, const char *slug)
{
    char current[PATH_MAX] = "", previous[PATH_MAX] = "", path[PATH_MAX];
    struct dirent **list;
    mti_version_link_read(home, slug, "current", current);
    mti_version_link_read(home, slug, "previous", previous);
    snprintf(path, sizeof path, "%.*s/store/%s", PATH_MAX / 2, home, slug);
    int n = scandir(path, &list, NULL, NULL);
    for (int i = 0; i < n; i++) {
        char version[PATH_MAX], real[PATH_MAX];
        struct stat st;
        snprintf(version, sizeof version, "%.*s/%s", PATH_MAX - 300, path, list[i]->d_name);
        if (list[i]->d_name[0] != '.' && lstat(version, &st) == 0 && S_ISDIR(st.st_mode) && realpath(version, real) && strcmp(real, current) && strcmp(real, previous))
            mti_package_remove(version, NULL);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

void mti_versions_sweep(const char *home, bool (*keep)(const void *arg, const char *object), const void *arg)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.*s/store", PATH_MAX - 16, home);
    DIR *d = opendir(path);
    for (struct dirent *f; d && (f = readdir(d));)
        if (f->d_name[0] != '.')
            sweep_slug(home, f->d_name);
    if (d)
        closedir(d);
    snprintf(path, sizeof path, "%.*s/objects", PATH_MAX - 16, home);
    d = opendir(path);
    for (struct dirent *f; d && (f = readdir(d));)
        if (f->d_name[0] != '.' && !keep(arg, f->d_name))
            unlinkat(dirfd(d), f->d_name, 0);
    if (d)
        closedir(d);
}

static bool same_size(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_size == y.st_size;
}

/* The copy is looked at, not the file that was given: that one may change in between. */
mt_status mti_object_prepare(const mti_host *h, const mti_manifest *m, const char *digest, bool trusted, char path[PATH_MAX], mti_error *e)
{
    char folder[PATH_MAX], aside[PATH_MAX];
    const bool isolated = mti_isolated(h, m);    /* its copy was never looked at: should it come into the host one day, that has a copy of its own, which is */
    MT_TRY(make_folder(h->plugin_home, "objects", folder, e));
    if (snprintf(path, PATH_MAX, "%s/%s-%.100s-%.12s%s.so", folder, m->slug, m->version, digest, isolated ? ".unseen" : "") >= PATH_MAX - 8)
        return mti_fail(e, MT_INVALID, "path_too_long", "%.200s is too long a path.", folder);
    if (access(m->file, R_OK))
        return mti_fail(e, MT_INVALID, "plugin_unloadable", "plugin %s: %.250s cannot be read", m->slug, m->file);
    if (same_size(m->file, path))            /* else it is new, or was cut by a crash of the machine */
        return MT_OK;
    snprintf(aside, sizeof aside, "%.*s.scan", PATH_MAX - 8, path);
    MT_TRY(mti_package_copy_file(m->file, aside, 0555, e));
    /* code that is not trusted runs in its worker and nowhere else */
    mt_status s = trusted || isolated ? MT_OK : mti_scan(h, m->dir, aside, e);
    if (s == MT_OK && rename(aside, path))
        s = mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", path, strerror(errno));
    if (s != MT_OK)
        unlink(aside);
    return s;
}
