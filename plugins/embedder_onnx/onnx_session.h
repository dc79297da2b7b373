/* One ONNX text model in memory: rows of token ids in, unit vectors or scores out. ONNX Runtime is opened with dlopen. */
#ifndef EMBEDDER_ONNX_SESSION_H
#define EMBEDDER_ONNX_SESSION_H

#include <mortise/types.h>

#define ONNX_REASON 256

typedef struct onnx_session onnx_session;

/* What becomes of the model's output. */
typedef enum onnx_head {
    ONNX_MEAN,           /* unit vectors: the model's own pooling, or the mean of the token vectors */
    ONNX_CLS,            /* unit vectors: the first token's */
    ONNX_SCORE,          /* a cross-encoder's one number a row, through the logistic function */
} onnx_head;

typedef struct onnx_options {
    const char *library; /* path of libonnxruntime.so.1 */
    const char *model;   /* path of model.onnx */
    onnx_head head;
    int threads;         /* that one run uses, the caller's included; 0: 1. Several callers at once each use as many */
    bool spin;           /* the runtime's own threads wait busily: a little faster alone, costly beside other work */
} onnx_options;

/* Opens the library (once a process; it stays) and the model; *out is the caller's to close. The model's inputs are input_ids, attention_mask and, optionally,
   token_type_ids. Its output for ONNX_MEAN is "sentence_embedding" [rows, dim], or else "last_hidden_state" or the first one [rows, length, dim];
   for ONNX_CLS "last_hidden_state" or the first one; for ONNX_SCORE "logits" or the first one [rows, 1].
   MT_NOT_FOUND (no such file), MT_UNSUPPORTED (a library without a known API, a model of another shape), MT_INVALID (no model in
   that file), MT_NO_MEMORY, with one sentence in reason. Blocks for a while (disk, graph optimization): an offload thread. */
mt_status onnx_session_open(onnx_session **out, const onnx_options *options, char reason[ONNX_REASON]);
/* No run may be under way. */
void onnx_session_close(onnx_session *s);

size_t onnx_session_dim(const onnx_session *s);              /* floats a row: 1 for ONNX_SCORE */
const char *onnx_session_runtime(const onnx_session *s);     /* version of the library: "1.31.1" */

/* One batch: `length` ids a row, row-major; mask 1 for a real token, 0 for padding; types the segment of each token. All borrowed. */
typedef struct onnx_batch {
    const int64_t *ids, *mask, *types;
    size_t rows, length;
} onnx_batch;

/* Runs the model on the batch, of which each row has at least one real token: out gets rows × dim floats.
   Any number of threads at once. CPU-bound and needs a thread's stack: an offload thread, never a fiber. MT_INTERNAL with the
   runtime's words in reason, MT_NO_MEMORY. */
mt_status onnx_session_run(onnx_session *s, const onnx_batch *b, float *out, char reason[ONNX_REASON]);

#endif
