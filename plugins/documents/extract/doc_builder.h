/* Builds a doc_text piece by piece: white space folded, blocks separated, headings turned into sections. One thread. */
#ifndef DOCUMENTS_DOC_BUILDER_H
#define DOCUMENTS_DOC_BUILDER_H

#include "doc_text.h"

/* What must stand between what was written and what comes next; the strongest one asked for wins. */
typedef enum doc_gap { DOC_GAP_NONE, DOC_GAP_SPACE, DOC_GAP_LINE, DOC_GAP_BLANK } doc_gap;

typedef struct doc_builder {
    doc_text out;
    size_t cap, cap_sections, cap_pages;
    char *headings[DOC_LEVELS]; /* the titles above the current place */
    doc_gap gap;
    char marker[16];            /* "- ", "3. ": written before the next text */
    int heading;                /* level of the heading whose first text is awaited, 0 for none */
    bool in_heading;
    mt_status status;           /* sticky: MT_OK, MT_TOO_LARGE, MT_NO_MEMORY */
} doc_builder;

void doc_builder_init(doc_builder *b);
void doc_builder_dispose(doc_builder *b);
/* Asks for a gap before the next text. */
void doc_builder_gap(doc_builder *b, doc_gap gap);
/* Adds text with runs of white space folded to one space; soft hyphens, zero-width spaces and control characters are dropped. */
void doc_builder_flow(doc_builder *b, const char *p, size_t n);
/* Adds text as it is, but control characters other than tab and newline are dropped and no-break spaces become spaces. */
void doc_builder_exact(doc_builder *b, const char *p, size_t n);
/* A list item's or cell's mark (at most 15 bytes), written just before the text that follows; "" takes it back. */
void doc_builder_mark(doc_builder *b, const char *marker);
/* The text between these two is a heading of level 1–6 and opens a section; nothing between them: no section. */
void doc_builder_heading_begin(doc_builder *b, int level);
void doc_builder_heading_end(doc_builder *b);
/* Opens a section at the byte offset `start` of what is already written: the title is [start, title_end), the rest begins at body. */
void doc_builder_section(doc_builder *b, int level, size_t start, size_t title_end, size_t body);
/* The next page begins here: behind the pending gap, when text follows on it. */
void doc_builder_page(doc_builder *b, bool text_follows);
/* Keeps the document's own title, folded; the first one wins. */
void doc_builder_title(doc_builder *b, const char *p, size_t n);
/* Moves the finished text to *out (code points counted), or answers the sticky status with a reason. Empties the builder. */
mt_status doc_builder_take(doc_builder *b, doc_text *out, char reason[DOC_REASON]);

#endif
