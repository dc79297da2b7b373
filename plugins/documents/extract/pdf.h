/* pdftotext (poppler) as a child in a sandbox of its own, fed from the descriptor 0. One thread. */
#ifndef DOCUMENTS_EXTRACT_PDF_H
#define DOCUMENTS_EXTRACT_PDF_H

#include <sys/types.h>

#include "doc_text.h"

typedef struct pdf {
    pid_t pid;
    int text, words; /* what it prints; what it says about the file */
} pdf;

/* Starts it; call between sandbox_restrict and sandbox_seal. MT_UNAVAILABLE with a reason. */
mt_status pdf_start(pdf *p, unsigned max_pages, char reason[DOC_REASON]);

/* All that it printed in *text (the caller frees it), when it ended well; else MT_INVALID (broken, encrypted), MT_TOO_LARGE (a bound)
   or MT_UNAVAILABLE with a reason. */
mt_status pdf_finish(pdf *p, unsigned cpu_seconds, unsigned memory_mib, char **text, size_t *len, char reason[DOC_REASON]);

#endif
