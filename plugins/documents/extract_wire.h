/*
 * What the reading process writes to its pipe, in the machine's byte order: the head, then reason, title, text, paths (one behind
 * the other), sections, pages. Nothing follows. The parent takes all of it for hostile input.
 */
#ifndef DOCUMENTS_EXTRACT_WIRE_H
#define DOCUMENTS_EXTRACT_WIRE_H

#include "extract_limits.h"

#define EXTRACT_MAGIC 0x3158544du /* "MTX1" */
#define EXTRACT_TITLE_MAX 255u

/* Layers of the sandbox that were in force while the file was read. seccomp is not among them: without it nothing is read. */
enum { EXTRACT_LANDLOCK = 1, EXTRACT_USER = 2 };

typedef struct extract_head {
    uint32_t magic;
    uint32_t status;      /* mt_status: MT_OK and all below, or a failure and a reason only */
    uint32_t layers;
    uint32_t reason_len, title_len, text_len, paths_len, n_sections, n_pages;
} extract_head;

/* Offsets in bytes; a section ends where the next begins. */
typedef struct extract_section {
    uint32_t level, start, body, path_len;
} extract_section;

/* Fills p[0..n): MT_OK, MT_DONE at an early end, or why there is no more. */
typedef struct extract_source {
    mt_status (*read)(void *user, void *p, size_t n);
    void *user;
} extract_source;

/* Reads one result. MT_OK fills *out (the caller disposes it) with a text that keeps every promise of doc_text.h; the process's own failures
   come with their reason; MT_INTERNAL, without one, is a result that breaks the format; else what the source answered. Any thread. */
mt_status extract_read(const extract_source *from, doc_text *out, uint32_t *layers, char reason[DOC_REASON]);

#endif
