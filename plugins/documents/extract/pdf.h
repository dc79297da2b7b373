/* pdftotext and pdftohtml (both poppler) as children in sandboxes of their own, fed from the descriptor 0, one after the other. One thread. */
#ifndef DOCUMENTS_EXTRACT_PDF_H
#define DOCUMENTS_EXTRACT_PDF_H

#include <sys/types.h>

#include "doc_text.h"

typedef struct pdf_program {
    pid_t pid;
    int text, words; /* what it prints; what it says about the file */
    int go;          /* closed: it may read the file */
} pdf_program;

typedef struct pdf {
    pdf_program text, outline;
} pdf;

/* Starts them; call between sandbox_restrict and sandbox_seal. MT_UNAVAILABLE with a reason. */
mt_status pdf_start(pdf *p, unsigned max_pages, char reason[DOC_REASON]);

/* All that pdftotext printed in *text (the caller frees it), when it ended well; else MT_INVALID (broken, encrypted), MT_TOO_LARGE (a bound)
   or MT_UNAVAILABLE with a reason. */
mt_status pdf_finish(pdf *p, unsigned cpu_seconds, unsigned memory_mib, char **text, size_t *len, char reason[DOC_REASON]);

/* Afterwards: what pdftohtml printed of the outline (the caller frees it). NULL when it failed: a text without sections is better than none. */
char *pdf_outline(pdf *p, size_t *len);

#endif
