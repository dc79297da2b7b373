/* The canonical text of a document: UTF-8, with its sections; every character range kept anywhere refers to it. */
#ifndef DOCUMENTS_DOC_TEXT_H
#define DOCUMENTS_DOC_TEXT_H

#include <mortise/types.h>

#define DOC_REASON 160              /* size of a reason buffer */
#define DOC_LEVELS 6                /* heading depth */
#define DOC_MAX_BYTES (64u << 20)   /* longest canonical text */
#define DOC_MAX_SECTIONS 100000u
#define DOC_MAX_PAGES 1000000u

/* Sections lie one behind the other and cover the whole text; the first may be untitled. */
typedef struct doc_section {
    char *path;              /* "Chapter 3 > 3.2 Something", "" before the first heading; NUL-terminated */
    int level;               /* 1–6, 0 before the first heading */
    size_t start, body, end; /* bytes: the heading begins at start, what follows it at body */
    size_t start_cp, end_cp; /* the same range in code points */
} doc_section;

typedef struct doc_text {
    char *text;              /* valid UTF-8 without U+0000, NUL-terminated; not NULL */
    size_t len, len_cp;      /* bytes and code points */
    char *title;             /* what the document calls itself, or "" */
    doc_section *sections;   /* at least one unless the text is empty */
    size_t n_sections;
    size_t *pages;           /* byte offset where each page begins, or NULL for formats without pages */
    size_t n_pages;
} doc_text;

/* Frees what a reader filled in; a zeroed doc_text is fine. Any thread. */
void doc_text_dispose(doc_text *d);

/* The number, from 1, of the page that holds the byte; 0 in a format without pages. Pure. */
size_t doc_page_at(const doc_text *d, size_t byte);

/* Writes a reason and answers status. */
mt_status doc_fail(char reason[DOC_REASON], mt_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
