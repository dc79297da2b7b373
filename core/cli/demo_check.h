/* Does a quote really hold what an answer's sentence says? Apart from the server's own check and simpler. Pure functions, any thread. */
#ifndef MTI_CLI_DEMO_CHECK_H
#define MTI_CLI_DEMO_CHECK_H

#include "base/error.h"

/* Every number of the sentence, and at least half of its words of four letters and more (by their first five, small and large alike), must
 * stand in the quote. MT_OK, or MT_INVALID not_in_quote with the word that is missing; no_words for a sentence without any. */
mt_status mti_demo_check(mt_slice sentence, mt_slice quote, mti_error *e);

/* The part [start, end) of text, counted in code points; cut at its end. */
mt_slice mti_demo_part(mt_slice text, int64_t start, int64_t end);

#endif
