/* The entries of a PDF's outline, as pdftohtml -xml prints them. */
#ifndef DOCUMENTS_EXTRACT_OUTLINE_H
#define DOCUMENTS_EXTRACT_OUTLINE_H

#include "doc_text.h"

#define OUTLINE_TITLE_MAX 500

typedef struct outline_entry {
    int level;                       /* 1–DOC_LEVELS */
    size_t page;                     /* from 1 */
    size_t len;
    char title[OUTLINE_TITLE_MAX];   /* UTF-8, entities resolved, not terminated */
} outline_entry;

typedef struct outline {
    const char *p, *end;             /* what is left to read */
    int depth;
} outline;

/* Begins at the outline within p[0..n). */
void outline_begin(outline *o, const char *p, size_t n);
/* The next entry that has a page and a title; false at the end. Pure, bounded, of any bytes. */
bool outline_next(outline *o, outline_entry *e);

#endif
