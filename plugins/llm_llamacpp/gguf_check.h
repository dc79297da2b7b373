/* Looks a GGUF file over before llama.cpp, which trusts more than it should, is given it: magic, version, counts, types, and that every
 * tensor lies within the file. Pure; the bytes are the beginning of the file (its metadata), size the whole file's length. */
#ifndef LLM_GGUF_CHECK_H
#define LLM_GGUF_CHECK_H

#include <mortise/types.h>

enum { GGUF_REASON = 200 };

/* MT_OK; MT_INVALID with a sentence in reason. */
mt_status gguf_check(const unsigned char *p, size_t n, uint64_t size, char reason[GGUF_REASON]);
mt_status gguf_check_file(const char *path, char reason[GGUF_REASON]);  /* also MT_NOT_FOUND */

#endif
