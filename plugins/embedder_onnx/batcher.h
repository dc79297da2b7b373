/* Which texts go into one run of the model: neighbours in length, so that little is padding. Pure. */
#ifndef EMBEDDER_ONNX_BATCHER_H
#define EMBEDDER_ONNX_BATCHER_H

#include <mortise/types.h>

/* order[first .. first+rows) of the plan, padded to `length` tokens. */
typedef struct batch {
    size_t first, rows, length;
} batch;

typedef struct batch_limits {
    size_t rows;    /* most texts in a batch; 0: 32 */
    size_t tokens;  /* most rows × length; a single longer text is a batch of its own; 0: 2048 */
    size_t waste;   /* most padding in a batch, in percent of rows × length; 0: 5 */
} batch_limits;

/* Sorts the indices 0..n-1 by length, longest first, into order[n] and cuts them into batches[n]; answers how many there are. Every
   length must be at least 1. */
size_t batch_plan(const uint32_t *lengths, size_t n, const batch_limits *limits, uint32_t *order, batch *batches);

#endif
