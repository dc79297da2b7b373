/*
 * The readers of uploaded files. Each fills *out (the caller disposes it) from p[0..n), or answers MT_INVALID (not this format, not
 * text), MT_TOO_LARGE (a size, depth or time bound) or MT_NO_MEMORY with one sentence in reason and *out zeroed. They are CPU-bound,
 * recurse on hostile input and may be broken by it: the plugin runs them only in the sandboxed process. No shared state.
 */
#ifndef DOCUMENTS_EXTRACT_READERS_H
#define DOCUMENTS_EXTRACT_READERS_H

#include "doc_builder.h"

mt_status doc_text_from_plain(doc_text *out, const char *p, size_t n, char reason[DOC_REASON]);
mt_status doc_text_from_markdown(doc_text *out, const char *p, size_t n, char reason[DOC_REASON]);
mt_status doc_text_from_html(doc_text *out, const char *p, size_t n, char reason[DOC_REASON]);
mt_status doc_text_from_csv(doc_text *out, const char *p, size_t n, char reason[DOC_REASON]);
mt_status doc_text_from_docx(doc_text *out, const char *p, size_t n, char reason[DOC_REASON]);
/* p[0..n) is what pdftotext prints: UTF-8, a form feed behind each page; more than max_pages of them are refused. outline[0..n_outline) is what
   pdftohtml -xml prints: its entries that are found on their pages are the sections; without one, headings are looked for as in plain text. */
mt_status doc_text_from_pages(doc_text *out, const char *p, size_t n, const char *outline, size_t n_outline, size_t max_pages, char reason[DOC_REASON]);

/* Opens a section for each heading that the plain text built so far shows by underlines or numbers. */
void doc_find_headings(doc_builder *b);

#endif
