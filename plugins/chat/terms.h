/* What a sentence says, as far as it can be compared: its content words by their stems, its numbers and names, and whether it denies. Pure. */
#ifndef CHAT_TERMS_H
#define CHAT_TERMS_H

#include "text/words.h"

enum { TERMS_MAX = 64 };          /* of one sentence; one bit each */

typedef struct term {
    uint64_t hash;                /* of the stem */
    bool number, name;            /* a name: a capital letter inside the sentence */
} term;

typedef struct terms {
    size_t n, words;              /* words: with repetitions */
    bool denies;                  /* not, never, without, ne, nije … */
    term list[TERMS_MAX];         /* each stem once; stop words are left out */
} terms;

/* Reads text; what goes over TERMS_MAX is left out. Linear, about a microsecond a word. */
void terms_read(mt_slice text, mt_language language, mt_stemmer *stemmer, terms *out);

#endif
