/* Does an answer cite passages that really hold what it says? Pure functions, any thread. */
#ifndef MTI_CLI_DEMO_CHECK_H
#define MTI_CLI_DEMO_CHECK_H

#include "base/buf.h"
#include "base/error.h"

/* s without leading and trailing white space and with each run of it as one space: what a quote and
 * its passage are compared as. Adds to out. */
void mti_squeeze(mt_slice s, mti_buf *out);

/*
 * Each stretch of the answer that ends in a mark such as [2] or [1, 3] must stand, sentence for
 * sentence, in one of those passages (numbers count from 1); what has no mark behind it must stand
 * in any. MT_OK, or MT_INVALID not_in_passage with the words that stand nowhere; no_source without
 * passages.
 */
mt_status mti_demo_check(mt_slice answer, const mt_slice *passages, size_t n, mti_error *e);

#endif
