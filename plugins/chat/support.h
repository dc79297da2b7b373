/*
 * Whether a sentence says what a passage says, by its words: the share of its content words that a short stretch of the passage has (rare words
 * weigh more; a word that no passage has weighs most), with every number in that stretch, every name in that passage or its heading, and both or
 * neither denying. A sentence that only repeats itself says nothing. It reads words, not meaning: what is supported may still be put together wrongly; what is not supported was never in the text.
 * Memory is the call's. No suspend; about a millisecond for ten passages.
 */
#ifndef CHAT_SUPPORT_H
#define CHAT_SUPPORT_H

#include <mortise/json.h>

#include "text/language.h"

typedef struct support support;

typedef enum support_kind {
    SUPPORT_NONE,        /* nothing to compare ("Yes.") */
    SUPPORT_FOUND,
    SUPPORT_MISSING,     /* no passage says so */
} support_kind;

typedef struct support_verdict {
    support_kind kind;
    size_t passage;      /* index, as they were added */
    size_t start, end;   /* bytes of its text: one to three whole sentences */
    double share;        /* 0 to 1 */
    double asked;        /* the sentence's share of the question's words, of those that any passage has; rare ones weigh more; 1 when there are none */
    uint64_t key;        /* the same for sentences of the same content words; 0: none */
} support_verdict;

/* NULL without memory. question: its words stand in for what a very short sentence leaves out. */
support *support_begin(mt_call *c, mt_slice question, mt_language language);
/* text stays the caller's and must live as long; heading: section and file name, for names. MT_NO_MEMORY. */
mt_status support_add(support *s, mt_slice text, mt_slice heading);
/* preferred: the passage that the writer named, -1 for none; it wins among equals. */
support_verdict support_judge(const support *s, mt_slice sentence, int64_t preferred);

typedef struct excerpt {
    size_t passage;
    mt_slice text;       /* of the passage */
} excerpt;

/* For readers of little: from each passage, the best first, the stretch of whole sentences, one or at most so many bytes, that has most of the question's
   words. A heading or a question lends its words to what follows it and begins no stretch; what an earlier stretch says as well is left out. */
size_t support_excerpts(const support *s, size_t most, excerpt *out, size_t max);

#endif
