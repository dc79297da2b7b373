/* From folders to records: what is installed, and whether it is wished for. */
#include "plugin/hold.h"
#include "plugin/manager.h"
#include "plugin/record.h"
#include "plugin/versions.h"

#include "base/log.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool in_profile(const mti_plugins *p, const char *slug)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(p->profile, "plugins"), i, v)
        if (!strcmp(json_string_value(v), slug))
            return true;
    return false;
}

/* One folder. The slug of a broken manifest is the folder's name, so that it can be shown. */
static void discover_one(mti_plugins *p, const char *dir, const char *name, bool trusted)
{
    mti_error e = {0};
    mti_plugin_record *r = mti_manager_find(p, mt_str(name)) ? NULL : mti_record_create(p, name);
    if (!r)
        return;
    atomic_store(&r->current, true);
    r->trusted = trusted;
    atomic_store(&r->wanted, in_profile(p, name));
    if (mti_manifest_load(p->schema, dir, &r->manifest, &e) != MT_OK) {
        mti_record_state(r, MTI_PLUGIN_FAILED, e.detail);
        return;
    }
    bool reserved = !strcmp(name, "core") || !strcmp(name, "host");   /* the names of the host's own contract and code */
    if (reserved || strcmp(r->manifest->slug, name)) {
        mti_record_state(r, MTI_PLUGIN_FAILED, reserved ? "this name is the host's own" : "the slug in plugin.json is not the folder's name");
        mti_manifest_destroy(r->manifest);
        r->manifest = NULL;
        return;
    }
    mti_record_take(r, r->manifest);
    if (atomic_load(&r->wanted) && mti_record_may_run(r))
        mti_record_load_or_fail(r);
    else if (!atomic_load(&r->wanted))
        mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
}

static void discover_folder(mti_plugins *p, const char *folder, bool trusted)
{
    struct dirent **list;
    char dir[4096], file[4400];
    struct stat st;
    int n = scandir(folder, &list, NULL, alphasort);
    if (n < 0)
        mti_log(MTI_LOG_WARN, "plugin.folder_unreadable", "folder=%s", folder);
    for (int i = 0; i < n; i++) {
        snprintf(dir, sizeof dir, "%s/%s", folder, list[i]->d_name);
        snprintf(file, sizeof file, "%s/plugin.json", dir);
        if (list[i]->d_name[0] != '.' && !stat(file, &st))
            discover_one(p, dir, list[i]->d_name, trusted);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

/* The version that is to run; false: none, or that of a folder. An essential plugin falls back from one in quarantine. */
static bool find_installed(const mti_plugins *p, const char *slug, char dir[PATH_MAX])
{
    char before[PATH_MAX];
    bool trusted;
    if (mti_version_link_read(p->host->plugin_home, slug, "current", dir) != MT_OK)
        return false;
    if (!mti_hold_falls_back(p, dir))
        return true;
    if (mti_version_link_read(p->host->plugin_home, slug, "previous", before) == MT_OK) {
        snprintf(dir, PATH_MAX, "%s", before);
        return true;
    }
    return !mti_discover_find(p, slug, before, &trusted);
}

/* What was installed comes before the folders. */
static void discover_installed(mti_plugins *p)
{
    char store[4096], dir[PATH_MAX];
    struct dirent **list;
    snprintf(store, sizeof store, "%s/store", p->host->plugin_home);
    int n = scandir(store, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.' && find_installed(p, list[i]->d_name, dir))
            discover_one(p, dir, list[i]->d_name, false);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

static bool is_loaded(const void *arg, const char *object)
{
    const mti_plugins *p = arg;
    char name[256];
    for (unsigned i = 1; i < p->n; i++) {
        const mti_plugin_record *r = p->records[i];
        if (!r->manifest || !r->digest[0])
            continue;
        int n = snprintf(name, sizeof name, "%s-%.100s-%.12s.", r->slug, r->manifest->version, r->digest);
        if (!strncmp(name, object, (size_t)n))
            return true;
    }
    return false;
}

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

void mti_plugins_discover(mti_plugins *p, const char *dirs, const char *built)
{
    char *copy = strdup(dirs), *rest = copy, *folder;
    p->dirs = strdup(dirs);
    p->built = strdup(built);
    discover_installed(p);
    while ((folder = strsep(&rest, ":")))
        if (*folder && !same_folder(folder, built))
            discover_folder(p, folder, false);
    discover_folder(p, built, true);
    free(copy);
    mti_versions_sweep(p->host->plugin_home, is_loaded, p);
}

bool mti_discover_find(const mti_plugins *p, const char *slug, char dir[PATH_MAX], bool *trusted)
{
    char *copy = strdup(p->dirs), *rest = copy, *folder;
    bool found = false;
    *trusted = false;
    while (!found && (folder = strsep(&rest, ":"))) {
        snprintf(dir, PATH_MAX, "%s/%s/plugin.json", folder, slug);
        found = *folder && !same_folder(folder, p->built) && access(dir, R_OK) == 0;
    }
    free(copy);
    if (!found) {
        snprintf(dir, PATH_MAX, "%s/%s/plugin.json", p->built, slug);
        *trusted = found = access(dir, R_OK) == 0;
    }
    *strrchr(dir, '/') = 0;
    return found;
}
