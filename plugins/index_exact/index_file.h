/* The file of an exact_index, one a workspace, in the machine's byte order: a header, the rows as they are mapped, then a log of
   changes, each with its checksum. A file is only ever replaced whole or appended to.

   The file is a copy of what the database holds: a change that did not reach the disk shows as an older version, and is topped up. */
#ifndef INDEX_EXACT_INDEX_FILE_H
#define INDEX_EXACT_INDEX_FILE_H

#include "exact_index.h"

/* Maps the file and replays its log; a torn or damaged end of the log is left out (the version tells). *out is the caller's to
   close. MT_NOT_FOUND; MT_INVALID: no index file, of another format, or damaged: delete and rebuild it; MT_NO_MEMORY. The checksum
   of the rows themselves is not read here: index_verify. Blocks on the disk. Truncating a mapped file from outside is fatal. */
mt_status index_open(exact_index **out, const char *path, char reason[INDEX_REASON]);
/* Reads every byte of the mapped rows and compares their checksum: MT_OK or MT_INVALID. Blocks. */
mt_status index_verify(const exact_index *x, char reason[INDEX_REASON]);

/* Writes the live rows to path, atomically (a temporary file beside it, fsync, rename), with an empty log. The index in memory
   stays as it is; opening the file again drops its garbage. MT_INTERNAL with errno's words. Blocks. */
mt_status index_save(exact_index *x, const char *path, char reason[INDEX_REASON]);
/* Appends the change to the log of the file that x was opened from or last saved to, then applies it: both or neither. Not
   synced: see above. Refusals as index_apply; MT_CONFLICT also when the file is not the one expected, or memory has changes that
   it lacks (index_apply without a save); MT_INTERNAL. Blocks. */
mt_status index_append(exact_index *x, const char *path, const index_change *change, char reason[INDEX_REASON]);

#endif
