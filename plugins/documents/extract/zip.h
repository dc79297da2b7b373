/* The parts of a .docx, read from memory, without names or sizes of the archive being believed. One thread. */
#ifndef DOCUMENTS_EXTRACT_ZIP_H
#define DOCUMENTS_EXTRACT_ZIP_H

#include "doc_text.h"

typedef struct zip zip;

/* Opens the archive over p[0..n), which stays the caller's and alive. MT_INVALID (no archive), MT_TOO_LARGE, MT_NO_MEMORY with a reason. */
mt_status zip_open(zip **out, const char *p, size_t n, char reason[DOC_REASON]);
void zip_close(zip *z);
/* Unpacks the part of exactly this name piece by piece into take, which answers MT_OK to go on. MT_NOT_FOUND without a reason; MT_INVALID,
   MT_TOO_LARGE (the bounds hold over all parts that are read) with one; or what take answered. */
mt_status zip_read(zip *z, const char *name, mt_status (*take)(void *user, const char *p, size_t n), void *user, char reason[DOC_REASON]);

#endif
