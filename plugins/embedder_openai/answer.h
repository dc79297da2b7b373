/* An upstream's answer to POST /embeddings. It comes from outside: nothing in it is believed. Pure, without memory of its own. */
#ifndef EMBEDDER_OPENAI_ANSWER_H
#define EMBEDDER_OPENAI_ANSWER_H

#include <mortise/types.h>

#define ANSWER_REASON 200

/* Reads {"data": [{"index": i, "embedding": [numbers]} …], "usage": {"total_tokens": n}}: out gets n × dim floats in the order of the indices, each row
   made of length 1; *tokens gets the count, -1 when it is not told. An entry without an index has its place's. MT_INVALID with one
   sentence in reason: no JSON, another number of vectors or of dimensions, an index twice, a number that is none or not finite, a vector of zeros. */
mt_status answer_read(mt_slice json, size_t n, size_t dim, float *out, int64_t *tokens, char reason[ANSWER_REASON]);

#endif
