/* From folders to records: what is installed, and whether it is wished for. */
#include "plugin/manager.h"
#include "plugin/record.h"

#include "base/log.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

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
static void discover_one(mti_plugins *p, const char *dir, const char *name)
{
    mti_error e = {0};
    mti_plugin_record *r = mti_manager_find(p, mt_str(name)) ? NULL : mti_record_create(p, name);
    if (!r)
        return;
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
    if (r->manifest->db) {
        snprintf(r->role_name, sizeof r->role_name, "mt_p_%s", r->slug);
        r->role.name = r->role_name;
    }
    if (atomic_load(&r->wanted))
        mti_record_load_or_fail(r);
    else
        mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
}

static void discover_folder(mti_plugins *p, const char *folder)
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
            discover_one(p, dir, list[i]->d_name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

void mti_plugins_discover(mti_plugins *p, const char *dirs)
{
    char *copy = strdup(dirs), *rest = copy, *folder;
    while ((folder = strsep(&rest, ":")))
        if (*folder)
            discover_folder(p, folder);
    free(copy);
}
