/* From texts to unit vectors, and from pairs of texts to scores: tokenizer, batches and model in one. */
#ifndef EMBEDDER_ONNX_EMBED_H
#define EMBEDDER_ONNX_EMBED_H

#include "batcher.h"
#include "onnx_session.h"
#include "wordpiece.h"

typedef struct embedder {
    const wordpiece *tokens;
    onnx_session *session;
    size_t window;        /* ids in a row with [CLS] and [SEP], e.g. 256; longer texts are cut */
    batch_limits limits;  /* zeros: the defaults */
    mt_slice prefix;      /* put before each text; ends in a space or a mark. Not used by rerank_texts */
} embedder;

/* Asked with `user` between batches: true ends the work with MT_CANCELLED. A NULL `stop` is never asked. */
typedef struct embed_watch {
    bool (*stop)(void *user);
    void *user;
} embed_watch;

/* Embeds n texts (borrowed, UTF-8; an empty one gets the vector of an empty text): out gets n × dim floats in the order of the texts.
   *cut (may be NULL) gets the number of texts that were longer than the window. The embedder is only read, so any number of threads may
   call; CPU-bound: an offload thread. MT_NO_MEMORY, or what onnx_session_run answers, with reason. */
mt_status embed_texts(const embedder *e, const mt_slice *texts, size_t n, float *out, size_t *cut, embed_watch watch, char reason[ONNX_REASON]);

/* Scores n texts against the query with a session of ONNX_SCORE: out gets n numbers from 0 to 1. A pair is [CLS] query [SEP] text [SEP],
   segment 0 up to the first [SEP] and 1 after it; of a pair over the window the longer side is cut first, as the reference tokenizer does.
   Otherwise as embed_texts. */
mt_status rerank_texts(const embedder *e, mt_slice query, const mt_slice *texts, size_t n, float *out, embed_watch watch, char reason[ONNX_REASON]);

#endif
