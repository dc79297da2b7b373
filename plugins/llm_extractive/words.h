/* Words for matching a question with sentences: folded, stemmed, stop words marked; English and Croatian. Pure: any thread. */
#ifndef LLM_EXTRACTIVE_WORDS_H
#define LLM_EXTRACTIVE_WORDS_H

#include <mortise/types.h>

typedef enum words_language { WORDS_ENGLISH, WORDS_CROATIAN } words_language;

typedef struct words_word {
    uint64_t hash;  /* of the stem */
    bool stop;      /* says nothing about the subject */
} words_word;

/* Croatian when the text is told to be (text/language.h), else English. */
words_language words_guess(mt_slice text);
/* The next word at or after *pos (0 at first), stemmed for the language; moves *pos behind it; false at the end. */
bool words_next(mt_slice text, size_t *pos, words_language language, words_word *out);

#endif
