/* Which language a text is in, as far as its treatment differs: English, Croatian, or another. Pure: any thread, no allocation. */
#ifndef MORTISE_TEXT_LANGUAGE_H
#define MORTISE_TEXT_LANGUAGE_H

#include <mortise/types.h>

typedef enum mt_language { MT_LANGUAGE_OTHER, MT_LANGUAGE_EN, MT_LANGUAGE_HR } mt_language;

/* Looks at the first 4 KiB: common words decide, letter pairs break ties, so that two words are mostly enough. Texts without
   letters, in other scripts, with many letters that neither language has, or with more of another language's common words are
   OTHER. A few words of another Latin language without any common one are taken for one of the two; Bosnian and Latin Serbian
   come out as Croatian. */
mt_language mt_language_detect(mt_slice text);

/* ISO 639-1 code, "other" for OTHER. */
const char *mt_language_code(mt_language language);
/* The language treated as this code says ("hr", "bs", "sr" are Croatian); false for the empty code. */
bool mt_language_of(mt_slice code, mt_language *out);

/* Whether a folded word (text/words.h) says nothing about a subject in this language; never for OTHER. */
bool mt_is_stop_word(mt_language language, const char *word, size_t len);

#endif
