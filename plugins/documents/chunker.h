/* Cuts a document into chunks that fit an embedder: along sections, then paragraphs, then sentences, then words. */
#ifndef DOCUMENTS_CHUNKER_H
#define DOCUMENTS_CHUNKER_H

#include "doc_text.h"

typedef struct chunk_options {
    size_t target;  /* tokens to aim for; 0: 200 */
    size_t max;     /* tokens never exceeded; 0: 254 (a window of 256 with its two marks) */
    size_t overlap; /* a last sentence of at most so many tokens is repeated at the start of the next chunk; 0: none */
    /* Tokens of p[0..n). Called from chunk_doc on its thread, about twice for each byte of text. */
    size_t (*count)(void *user, const char *p, size_t n);
    void *user;
} chunk_options;

/* text[start, end) of the doc_text, with the same range in code points. Never empty, never begins or ends with white space. */
typedef struct chunk {
    size_t start, end, start_cp, end_cp;
    uint32_t section; /* index into doc_text.sections; a chunk lies in one section */
    uint32_t tokens;  /* what count answers for it, <= max */
} chunk;

typedef struct chunk_list {
    chunk *items;
    size_t n, cap;
} chunk_list;

/* Fills *out (caller disposes it) in the order of the text. Every byte that is not white space lies in a chunk, but for headings
   without text of their own above a deeper heading, whose path names them. A word that alone is over max is cut between code points;
   a single code point over max is kept. Linear in the text. MT_NO_MEMORY, or MT_INVALID without a counter or with max < 8. */
mt_status chunk_doc(const doc_text *doc, const chunk_options *options, chunk_list *out);
void chunk_list_dispose(chunk_list *list);

#endif
