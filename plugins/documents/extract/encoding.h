/* From the bytes of an upload to UTF-8. Any thread, after doc_decode_prepare if that is called at all. */
#ifndef DOCUMENTS_ENCODING_H
#define DOCUMENTS_ENCODING_H

#include "doc_text.h"

/* Answers in *out a malloc'ed, NUL-terminated UTF-8 copy of p[0..n) without byte order mark, with line ends as "\n".
   UTF-16 needs a byte order mark. Valid UTF-8 is taken as it is; other bytes are read in `charset` (may be NULL or unknown) if it
   is one of the European ones below, else as windows-1252. MT_INVALID when the bytes are no text in that encoding (control
   characters, bytes that mean nothing), MT_NO_MEMORY. */
mt_status doc_decode(const char *p, size_t n, const char *charset, char **out, size_t *out_len, char reason[DOC_REASON]);

/* Opens the tables that decoding p[0..n) may need, for a process that cannot open files later. Once, one thread. */
void doc_decode_prepare(const char *p, size_t n);

#endif
