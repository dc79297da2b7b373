/*
 * Locks the calling process in for good, in two steps; both are inherited by children and survive exec. For a process of one thread.
 */
#ifndef DOCUMENTS_EXTRACT_SANDBOX_H
#define DOCUMENTS_EXTRACT_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

/* What a sealed process may still do with the system: nothing but memory, reading and writing of open descriptors, waiting for its
   children and the clock; PROGRAM besides: reading files (those that Landlock grants) and becoming a program. */
typedef enum sandbox_kind { SANDBOX_PARSER, SANDBOX_PROGRAM } sandbox_kind;

/* Step one: no new privileges, the user "nobody" when root, no core file, bounds on processor seconds, memory, descriptors (16) and
   file sizes (0); ends with its parent. Adds EXTRACT_USER to *layers when the process is unprivileged. False when the system refuses a bound. */
bool sandbox_restrict(unsigned memory_mib, unsigned cpu_seconds, uint32_t *layers);

/* Step two: no new processes, Landlock (nothing of the file system but reading and executing below `granted`, NULL-terminated; no TCP,
   no signals out; adds EXTRACT_LANDLOCK to *layers, a kernel without it is no failure) and seccomp. False, with errno, when seccomp
   cannot be had: then nothing hostile may be read. */
bool sandbox_seal(sandbox_kind kind, const char *const *granted, uint32_t *layers);

#endif
