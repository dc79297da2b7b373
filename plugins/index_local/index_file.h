/* The file of an vector_index, one a workspace, in the machine's byte order: a header, the rows as they are mapped, then a log of
   changes, each with its checksum. A file is only ever replaced whole or appended to.

   The file is a copy of what the database holds: a change that did not reach the disk shows as an older version, and is topped up. */
#ifndef INDEX_LOCAL_INDEX_FILE_H
#define INDEX_LOCAL_INDEX_FILE_H

#include "vector_index.h"

/* Maps the file and replays its log; a torn or damaged end of the log is left out (the version tells). *out is the caller's to
   close. MT_NOT_FOUND; MT_INVALID: no index file, of another format, or damaged: delete and rebuild it; MT_NO_MEMORY. The checksum
   of the rows themselves is not read here: index_verify. Blocks on the disk. Truncating a mapped file from outside is fatal. */
mt_status index_open(vector_index **out, const char *path, char reason[INDEX_REASON]);
/* Reads every byte of the mapped rows and compares their checksum: MT_OK or MT_INVALID. Blocks. */
mt_status index_verify(const vector_index *x, char reason[INDEX_REASON]);

/* Writes the live rows to path, atomically (a temporary file beside it, fsync, rename), with an empty log. The index in memory
   stays as it is; opening the file again drops its garbage. MT_INTERNAL with errno's words. Blocks. */
mt_status index_save(vector_index *x, const char *path, char reason[INDEX_REASON]);
/* The two steps of a save by themselves: writes the file, synced; gives it its name. While it writes, searches may run, and changes
   whenever yield (NULL: never) lets them in; what they change is not in the file. A failed step leaves no file at `from`. */
mt_status index_write(const vector_index *x, const char *path, void (*yield)(void *), void *user, char reason[INDEX_REASON]);
mt_status index_publish(const char *from, const char *path, char reason[INDEX_REASON]);
/* Appends to x and its file at path what the log of another file says in [at, end), as far as it is newer. */
mt_status index_catch_up(vector_index *x, const char *path, const char *log, uint64_t at, uint64_t end, char reason[INDEX_REASON]);
/* Appends the change to the log of the file that x was opened from or last saved to, then applies it: both or neither. Not
   synced: see above. Refusals as index_apply; MT_CONFLICT also when the file is not the one expected, or memory has changes that
   it lacks (index_apply without a save); MT_PRECONDITION when another process appended to it or put another in its place: close and open; MT_INTERNAL.
   Blocks, also while another process appends. */
mt_status index_append(vector_index *x, const char *path, const index_change *change, char reason[INDEX_REASON]);

#endif
