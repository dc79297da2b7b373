/* Steps of writing files that a crash cannot tear. errno tells why one failed. All of them block. */
#ifndef MORTISE_FILES_FILES_H
#define MORTISE_FILES_FILES_H

#include <mortise/types.h>

/* Makes the folders above the file that path names, for the owner only. */
void mt_file_make_folders(const char *path);
/* Writes all of p[0..n) at an offset, whatever interrupts it. */
bool mt_file_write_at(int fd, const void *p, size_t n, uint64_t at);
/* The name of a file beside path that only this process writes: PATH.PID.new. Those that processes left which are gone go. False: too long. */
bool mt_file_beside(const char *path, char *out, size_t size);
/* Gives a synced file the name path, in place of what had it; synced too. */
bool mt_file_publish(const char *from, const char *path);
/* Puts parts[0..n) into path as one: a file beside it, synced, renamed, the folder synced. On failure path is what it was. */
bool mt_file_replace(const char *path, const mt_slice *parts, size_t n);

#endif
