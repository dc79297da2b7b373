/* From texts to the terms that are indexed and looked for, and back to where they stand. Pure: any thread. */
#ifndef INDEX_TEXT_ANALYSIS_H
#define INDEX_TEXT_ANALYSIS_H

#include "text/words.h"

/* A distinct stem of a passage or a question. */
typedef struct text_term {
    uint32_t at, len;    /* in names */
    uint32_t count;      /* how often it occurs */
    uint32_t word;       /* of a question: which of its words; the stems of one word in several languages share it */
} text_term;

/* malloc'ed; freed by text_terms_dispose. */
typedef struct text_terms {
    char *names;
    size_t names_len;
    text_term *items;
    size_t n;
    uint32_t length;     /* words, wholes not counted */
    uint32_t words;      /* of a question: how many distinct ones */
} text_terms;

void text_terms_dispose(text_terms *t);

/* The terms of a passage, sorted by name. code: its language, detected when empty. MT_NO_MEMORY. */
mt_status text_analyze(mt_stemmer *s, mt_slice text, mt_slice code, text_terms *out);
/* The terms of a question in the order of its words, stop words left out unless there is nothing else. With a code they are stemmed for
   this language; without one for the detected language, and where that is a guess (up to three words, or another language) for all. */
mt_status text_analyze_query(mt_stemmer *s, mt_slice text, mt_slice code, text_terms *out);

/* Finds the words of text whose stems are among the question's terms. Calls found with byte ranges in order, none touching the next. The text's own
   language is detected. */
void text_find_marks(mt_stemmer *s, const text_terms *query, mt_slice text, void (*found)(void *user, size_t start, size_t end), void *user);

#endif
