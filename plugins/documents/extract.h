/* Runs the sandboxed process that reads one file, and takes its answer. */
#ifndef DOCUMENTS_EXTRACT_H
#define DOCUMENTS_EXTRACT_H

#include "extract_limits.h"

typedef struct extract_job {
    char kind;                        /* of documents_kind */
    mt_slice data;
    unsigned memory_mib, cpu_seconds, wall_seconds, pages;
    bool (*cancelled)(void *user);    /* asked some times a second; may be NULL */
    void *user;
    bool ran;                         /* out: the process answered */
    uint32_t layers;                  /* out: what its sandbox had (extract_wire.h) */
} extract_job;

/* Blocks until the process ended: call it on an offload thread. MT_OK fills *out (the caller disposes it). With one sentence in reason: MT_INVALID and
   MT_TOO_LARGE, the file's own faults; MT_UNAVAILABLE and MT_NO_MEMORY, passing trouble. MT_CANCELLED without one. The process is gone afterwards in every case. */
mt_status extract_run(const char *program, extract_job *j, doc_text *out, char reason[DOC_REASON]);

/* Where mortise-extract lies: in files/ of the plugin's folder. Call find once, before any reading. */
void extract_find_program(const char *folder);
const char *extract_program(void);

#endif
