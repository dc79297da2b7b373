/* A vocabulary and a text, with a zero byte between them; without one, a text for a small
 * vocabulary. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "wordpiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n##a\n##b\nthe\n##ing\n.\n,\n-\n\xc3\xa9\n\xe4\xb8\xad\n";

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_wordpiece: %s\n", what);
        abort();
    }
}

static void encode(const wordpiece *w, const char *p, size_t n)
{
    int32_t ids[64];
    size_t all = wordpiece_encode(w, p, n, NULL, 0, false),
           some = wordpiece_encode(w, p, n, ids, 64, false);
    must(all == some && all == wordpiece_count((void *)(uintptr_t)w, p, n),
         "the number of ids depends on who asks");
    size_t stopped = wordpiece_encode(w, p, n, ids, 64, true);
    must(all <= 64 ? stopped == all : stopped > 64, "stopping early hides ids");
    for (size_t i = 0; i < all && i < 64; i++)
        must(ids[i] >= 0 && (size_t)ids[i] < wordpiece_vocab_size(w),
             "an id outside the vocabulary");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char reason[WORDPIECE_REASON] = "";
    const char *text = (const char *)data, *zero = size ? memchr(text, 0, size) : NULL;
    size_t at = zero ? (size_t)(zero - text) + 1 : 0;
    wordpiece *w = NULL;
    mt_status s = zero ? wordpiece_parse(&w, text, at - 1, reason)
                       : wordpiece_parse(&w, vocabulary, sizeof vocabulary - 1, reason);
    if (s == MT_OK) {
        encode(w, text + at, size - at);
        wordpiece_destroy(w);
    } else {
        must(reason[0], "refused without a reason");
    }
    return 0;
}
