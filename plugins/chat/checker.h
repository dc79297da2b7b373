/*
 * Text as a model writes it, sentence by sentence, each held against the passages before it is given on. At most one sentence is held back, except
 * at the beginning: sentences without support wait for the first one that has it, so that an answer without any is never shown.
 * Memory is the call's. No suspend.
 */
#ifndef CHAT_CHECKER_H
#define CHAT_CHECKER_H

#include "support.h"

enum { CHECKER_SAID = 64 };

typedef struct checked {
    mt_slice text;               /* to be shown, with the white space before it and the mark after it: " [2]", or " [?]" for what no passage says */
    support_verdict verdict;
    size_t start, end;           /* of the sentence without its mark, in code points of the whole answer */
    struct checked *next;
} checked;

typedef struct checker {
    mt_call *c;
    const support *support;      /* may be set later; before, nothing is judged */
    mt_slice raw;                /* what was written; raw.p has room for cap */
    size_t cap, at;              /* at: bytes judged */
    checked *first, *last;       /* to be shown, in order */
    checked *waiting, *waiting_last;
    size_t characters;           /* of what was shown */
    size_t found, missing;       /* sentences shown */
    size_t row;                  /* judged without support since the last one that had it */
    bool watch;                  /* a small model writes: a question, a bare number, what was said before and what no passage says are left out */
    bool over;                   /* it wrote such a thing after its answer: that and what follows is not judged */
    uint64_t said[CHECKER_SAID];
    size_t n_said;
} checker;

/* MT_TOO_LARGE. */
mt_status checker_feed(checker *k, mt_slice text);
/* Judges what is complete; ended: the rest too. */
mt_status checker_judge(checker *k, bool ended);
/* The next sentence to show; NULL when there is none yet. */
checked *checker_take(checker *k);
/* Forgets what was written and not shown: it led to nothing. */
void checker_drop(checker *k);

#endif
