/* Where sentences begin and end in English and Croatian text, in one pass. Pure: any thread, no allocation. */
#ifndef MORTISE_TEXT_SENTENCES_H
#define MORTISE_TEXT_SENTENCES_H

#include <mortise/types.h>

/* Byte offsets [start, end) without the white space around. */
typedef struct mt_sentence {
    size_t start, end;
} mt_sentence;

/* Finds the next sentence of text at or after *pos (0 at first) and moves *pos behind it; false when only white space is left.
   A sentence ends at . ! ? … (with its closing quotes) before white space and something that is not a small letter, at a blank
   line, and before a list item; not after abbreviations (Dr., e.g., npr., str. 5), initials, or the number that opens a list item.
   Linear over the whole text. */
bool mt_sentence_next(mt_slice text, size_t *pos, mt_sentence *out);

#endif
