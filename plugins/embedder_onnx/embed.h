/* From texts to unit vectors: tokenizer, batches and model in one. */
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
} embedder;

/* Embeds n texts (borrowed, UTF-8; an empty one gets the vector of an empty text): out gets n × dim floats in the order of the texts.
   *cut (may be NULL) gets the number of texts that were longer than the window. `stop`, if not NULL, is asked with `user` between
   batches: true ends with MT_CANCELLED. The embedder is only read, so any number of threads may call; CPU-bound: an offload thread.
   MT_NO_MEMORY, or what onnx_session_run answers, with reason. */
mt_status embed_texts(const embedder *e, const mt_slice *texts, size_t n, float *out, size_t *cut, bool (*stop)(void *), void *user,
                      char reason[ONNX_REASON]);

#endif
