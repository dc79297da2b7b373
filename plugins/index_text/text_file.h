/* The file of a text_index, one a workspace, in the machine's byte order: a header, the base as it is mapped, then a log of changes, each with its
   checksum. A file is only ever replaced whole or appended to.

   The file is a copy of what the database holds: a change that did not reach the disk shows as an older version, and is topped up. */
#ifndef INDEX_TEXT_TEXT_FILE_H
#define INDEX_TEXT_TEXT_FILE_H

#include "text_index.h"

/* Maps the file, compares its checksum and replays its log; a torn or damaged end of the log is left out (the version tells). *out is the caller's to
   close. MT_NOT_FOUND; MT_INVALID: no text index, of another format, or damaged: delete and rebuild it; MT_NO_MEMORY. Blocks on the disk.
   Truncating a mapped file from outside is fatal. */
mt_status text_open(text_index **out, const char *path, char reason[TEXT_REASON]);

/* Writes the passages that count to path, atomically, with an empty log. The index in memory stays as it is; opening the file again drops its
   garbage. Reads x only, so searches go on, but x->file_* which only changes read. MT_INTERNAL with errno's words; MT_NO_MEMORY. Blocks. */
mt_status text_save(text_index *x, const char *path, char reason[TEXT_REASON]);
/* Appends the change to the log of the file that x was opened from or last saved to, then applies it: both or neither. Not synced: see above.
   Refusals as text_apply; MT_CONFLICT also when the file is not the one expected, or memory has changes that it lacks (text_apply without a
   save); MT_PRECONDITION when another process appended to it or put another in its place: close and open; MT_INTERNAL. Blocks, also while another
   process appends. */
mt_status text_append(text_index *x, const char *path, const text_change *change, char reason[TEXT_REASON]);

#endif
