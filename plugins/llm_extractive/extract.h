/* Answers a question by quoting sentences of passages: no model, no state, always the same answer. */
#ifndef LLM_EXTRACTIVE_EXTRACT_H
#define LLM_EXTRACTIVE_EXTRACT_H

#include <mortise/types.h>

typedef struct extract_passage {
    mt_slice text;   /* UTF-8 */
    float score;     /* how well retrieval thinks it fits, 0 to 1 (a cosine) */
} extract_passage;

typedef struct extract_options {
    size_t max_quotes; /* 0: 4 */
    size_t max_bytes;  /* of all quotes together; the best one is always given; 0: 1200 */
    float threshold;   /* least score of a quote; 0: 0.35 */
} extract_options;

/* answer.text[answer_start, answer_end) == passages[passage].text[start, end), byte for byte, followed by " [passage + 1]". */
typedef struct extract_quote {
    size_t passage;
    size_t start, end, start_cp, end_cp; /* in the passage: bytes, code points */
    size_t answer_start, answer_end;     /* in the answer: bytes */
    float score;                         /* 0 to 1 */
} extract_quote;

typedef struct extract_answer {
    char *text;            /* the quotes, or one sentence in the question's language that says nothing was found; NUL-terminated */
    size_t len;
    extract_quote *quotes; /* in the order of the text: passage by passage, best passage first */
    size_t n_quotes;       /* 0: nothing found */
    float confidence;      /* the best quote's score, 0 when nothing was found */
} extract_answer;

/* Fills *out; the caller disposes it. Passages after the 64th and sentences after the 4,000th are not looked at. MT_NO_MEMORY.
   CPU-bound, about a millisecond for ten passages. Any thread; on a fiber it needs less than 8 KiB of stack. */
mt_status extract_answer_make(extract_answer *out, mt_slice question, const extract_passage *passages, size_t n,
                              const extract_options *options);
void extract_answer_dispose(extract_answer *a);

#endif
