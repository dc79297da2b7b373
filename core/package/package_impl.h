/* Shared by package/'s files. */
#ifndef MTI_PACKAGE_PACKAGE_IMPL_H
#define MTI_PACKAGE_PACKAGE_IMPL_H

#include "package/package.h"

typedef struct package_file {
    char path[MTI_PACKAGE_PATH];
    bool executable;
    size_t size;
} package_file;

typedef struct package_list {
    unsigned n;
    size_t bytes;
    package_file files[MTI_PACKAGE_FILES];
} package_list;

/* What belongs to the plugin in dir, by path. */
mt_status package_list_read(const char *dir, package_list *out, mti_error *e);
/* out is initialized by this call. */
mt_status package_read_file(const char *dir, const package_file *f, mti_buf *out, mti_error *e);
/* The new file to/path, read-only, and the folders that lead to it. errno tells EEXIST and ENOTDIR: the name is taken. */
mt_status package_write_file(const char *to, const char *path, mt_slice data, bool executable, mti_error *e);

#endif
