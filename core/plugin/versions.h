/*
 * Installed versions on disk. HOME is DATA/plugins.
 *   HOME/store/SLUG/VERSION-DIGEST12/     a version's files, read-only
 *   HOME/store/SLUG/current, previous     links to two of them: what is loaded at the next start, and where a rollback leads
 *   HOME/objects/SLUG-VERSION-DIGEST12.so what is mapped: nobody else writes there, and a name never gets other bytes; .unseen.so for a process of
 *                                         the plugin's own: the scanner has not seen it
 *   HOME/places/SLUG                      "process" or "host": where the plugin runs, whatever plugins.isolated says
 * Blocking file work: the pool's or the main thread's.
 */
#ifndef MTI_PLUGIN_VERSIONS_H
#define MTI_PLUGIN_VERSIONS_H

#include "plugin/host.h"
#include "plugin/manifest.h"

#include <limits.h>

typedef struct mti_version {
    char dir[PATH_MAX];          /* in the store */
    char digest[65];
    mti_manifest *manifest;      /* the caller's to destroy */
    bool trusted;                /* of the program itself */
} mti_version;

/* Puts a package file, or (file.p NULL) a plugin's folder, into the store; a version that is there already is found again. */
mt_status mti_version_add(const char *home, const mti_schema *schema, mt_slice file, const char *folder, mti_version *out, mti_error *e);
/* The same in a folder aside, which the caller removes. */
mt_status mti_version_look(const char *home, const mti_schema *schema, mt_slice file, mti_version *out, mti_error *e);
/* The folder that a link of a slug leads to. MT_NOT_FOUND. */
mt_status mti_version_link_read(const char *home, const char *slug, const char *link, char dir[PATH_MAX]);
/* Lets a link lead to dir (in the store), or removes it (NULL). */
mt_status mti_version_link(const char *home, const char *slug, const char *link, const char *dir, mti_error *e);
/* At a start: what no link leads to goes from the store, and objects that keep does not want (they are made again when they are needed). */
void mti_versions_sweep(const char *home, bool (*keep)(const void *arg, const char *object), const void *arg);
/* Removes everything of a slug from the store. */
mt_status mti_version_remove_all(const char *home, const char *slug, mti_error *e);

/* Where a version's object is mapped from; made, and looked at by the scanner first unless the version is trusted, when it is not there yet. */
mt_status mti_object_prepare(const mti_host *h, const mti_manifest *m, const char *digest, bool trusted, char path[PATH_MAX], mti_error *e);

/* scan.c: loads a version's files with this copy of its object in a process of its own, with limits; answers its verdict. */
mt_status mti_scan(const mti_host *h, const char *dir, const char *object, mti_error *e);
/* What that process does: `mortise plugin-scan DIR OBJECT ROOT`. provide gives the host's interfaces. Answers its exit status. */
typedef struct mti_scan_options {
    const char *dir, *object, *root, *version;
    void (*provide)(struct mti_plugins *p);
} mti_scan_options;
int mti_scan_main(const mti_scan_options *o);

#endif
