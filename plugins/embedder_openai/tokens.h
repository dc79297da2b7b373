/* How many tokens a text has for a tokenizer that is not here. Pure. */
#ifndef EMBEDDER_OPENAI_TOKENS_H
#define EMBEDDER_OPENAI_TOKENS_H

#include <mortise/types.h>

/* An estimate meant not to be too low: a token for three letters or two digits of ASCII, for each mark and line break, for each other
   character, three for those beyond the basic plane. Stops once it is over `most`; *end (may be NULL) gets the length of the longest
   beginning with at most `most` tokens, at a character's end. */
uint32_t tokens_estimate(mt_slice text, uint32_t most, size_t *end);

#endif
