/* Words of a text as search sees them: folded to plain small letters, then stemmed by language. No state but the stemmer's. */
#ifndef MORTISE_TEXT_WORDS_H
#define MORTISE_TEXT_WORDS_H

#include "text/language.h"

#define MT_WORD_MAX 64 /* bytes kept of a folded word; a longer one is cut */

typedef struct mt_word {
    size_t start, end;        /* bytes of the text */
    size_t len;
    char text[MT_WORD_MAX];   /* folded: small letters without marks, digits; in a whole also - _ . / @ : */
    bool whole;               /* the identifier, address, path or number whose parts were just given; it stands where they stand */
} mt_word;

/* A walk over a text, begun with {.text = …}. */
typedef struct mt_words {
    mt_slice text;
    size_t pos;
    size_t run;               /* where the current run of joined words began */
    unsigned parts;           /* words in it so far; WHOLE_NEXT when it is due */
} mt_words;

/* The next word; false at the end. Letters, digits and marks of any script make words; each Chinese or Japanese character is one.
   Words joined by a single - _ . / @ or : come one by one, and then as a whole (dpkg, reconfigure, dpkg-reconfigure; not
   over eight parts or MT_WORD_MAX bytes). What stands behind an apostrophe is dropped when it is at most two letters (system's).
   Linear; any thread. */
bool mt_words_next(mt_words *w, mt_word *out);

/* One at a time on each thread. */
typedef struct mt_stemmer mt_stemmer;

/* NULL without memory. Cheap: one a piece of work. */
mt_stemmer *mt_stemmer_create(void);
void mt_stemmer_destroy(mt_stemmer *s);
/* Stems a folded word in place and answers its new length: Snowball for English, endings for Croatian, nothing for other
   languages and for words with digits. */
size_t mt_stem(mt_stemmer *s, mt_language language, char *word, size_t len);

#endif
