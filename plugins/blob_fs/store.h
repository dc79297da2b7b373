/* Files by content below one folder: ROOT/ORG/ab/cdef…, named by the SHA-256 of their bytes.
 * Everything here blocks: call it on a pool thread. */
#ifndef BLOB_FS_STORE_H
#define BLOB_FS_STORE_H

#include <mortise/types.h>

enum { BLOB_NAME = 64, BLOB_PATH = 4096 };

typedef struct blob_store {
    char root[BLOB_PATH - 256];
    int lock; /* held while the store is open; -1: closed */
} blob_store;

/* Makes the folder when missing, takes its lock, clears what a crash left half written. MT_CONFLICT
 * when another host has the lock, MT_UNAVAILABLE when the disk refuses. */
mt_status blob_store_open(blob_store *s, const char *root);
void blob_store_close(blob_store *s);

/* Any thread, also at the same time. org: a plain name without '/'. name: 64 hex digits, else
 * MT_INVALID. */
mt_status blob_store_put(const blob_store *s, mt_slice org, mt_slice data,
                         char name[BLOB_NAME]); /* on disk when it returns */
mt_status blob_store_open_blob(const blob_store *s, mt_slice org, mt_slice name, int *fd,
                               size_t *size);             /* MT_NOT_FOUND, MT_UNAVAILABLE */
mt_status blob_store_read(int fd, char *to, size_t size); /* closes fd */
mt_status blob_store_remove(const blob_store *s, mt_slice org, mt_slice name); /* none is fine */

#endif
