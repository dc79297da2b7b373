/*
 * A plugin's files as one thing: which files of a folder belong to it, their digest, and the file that carries them. A package file
 * (SLUG-VERSION.mortise) is a gzip'ed tar with one top folder, the same bytes for the same files. Any thread; blocking file work, so never a loop's.
 */
#ifndef MTI_PACKAGE_PACKAGE_H
#define MTI_PACKAGE_PACKAGE_H

#include "base/buf.h"
#include "base/error.h"

enum { MTI_PACKAGE_FILES = 500, MTI_PACKAGE_PATH = 100 };
#define MTI_PACKAGE_PACKED (64u << 20)       /* bytes, the most a package file may have */
#define MTI_PACKAGE_BYTES (256u << 20)       /* and what comes out of it */

/*
 * Whether a path below a plugin's folder belongs to the plugin: plugin.json, api.json, queries.sql, README.md, LICENSE, CHANGELOG.md, *.so, sql/NAME.sql,
 * policies/NAME.lua and .json, and whatever lies below files/. Names have letters, digits, '.', '_', '-' and begin with none of the last two or a dot.
 */
bool mti_package_owns(const char *path);

/* SHA-256 in hex over paths, modes and contents of what belongs to the plugin in dir. MT_NOT_FOUND without a plugin.json. */
mt_status mti_package_digest(const char *dir, char out[65], mti_error *e);
/* Copies what belongs to the plugin to the new folder to, read-only; on a failure nothing is left. */
mt_status mti_package_copy(const char *from, const char *to, mti_error *e);
/* top is the name of the top folder. */
mt_status mti_package_pack(const char *dir, const char *top, mti_buf *out, mti_error *e);
/* Writes the files below the top folder to the new folder to, read-only. MT_INVALID package_invalid for whatever is no package: a path that leaves the
 * folder or belongs to no plugin, links, devices, a name twice, more than the limits, a bomb, anything behind the end. On a failure nothing is left. */
mt_status mti_package_unpack(mt_slice file, const char *to, mti_error *e);
/* Removes a folder and all below it. A folder that is not there is no failure. */
mt_status mti_package_remove(const char *dir, mti_error *e);
/* The bytes of from in the new file to, made to last before it has its name. An existing file is replaced. */
mt_status mti_package_copy_file(const char *from, const char *to, int mode, mti_error *e);

#endif
