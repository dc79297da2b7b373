/* One ONNX sentence-embedding model in memory: rows of token ids in, unit vectors out. ONNX Runtime is opened with dlopen. */
#ifndef EMBEDDER_ONNX_SESSION_H
#define EMBEDDER_ONNX_SESSION_H

#include <mortise/types.h>

#define ONNX_REASON 256

typedef struct onnx_session onnx_session;

typedef struct onnx_options {
    const char *library; /* path of libonnxruntime.so.1 */
    const char *model;   /* path of model.onnx */
    int threads;         /* that one run uses, the caller's included; 0: 1. Several callers at once each use as many */
    bool spin;           /* the runtime's own threads wait busily: a little faster alone, costly beside other work */
} onnx_options;

/* Opens the library (once a process; it stays) and the model; *out is the caller's to close. The model's inputs are input_ids, attention_mask and, optionally,
   token_type_ids; its output "sentence_embedding" [rows, dim], or else "last_hidden_state" or its first output [rows, length, dim].
   MT_NOT_FOUND (no such file), MT_UNSUPPORTED (a library without a known API, a model of another shape), MT_INVALID (no model in
   that file), MT_NO_MEMORY, with one sentence in reason. Blocks for a while (disk, graph optimization): an offload thread. */
mt_status onnx_session_open(onnx_session **out, const onnx_options *options, char reason[ONNX_REASON]);
/* No run may be under way. */
void onnx_session_close(onnx_session *s);

size_t onnx_session_dim(const onnx_session *s);              /* floats in a vector */
const char *onnx_session_runtime(const onnx_session *s);     /* version of the library: "1.31.1" */

/* Embeds `rows` rows of `length` ids each (row-major; mask 1 for a real token, 0 for padding; at least one real token a row):
   out gets rows × dim floats, each row of length 1 (mean of the masked token vectors where the model does not pool itself).
   Any number of threads at once. CPU-bound and needs a thread's stack: an offload thread, never a fiber. MT_INTERNAL with the
   runtime's words in reason, MT_NO_MEMORY. */
mt_status onnx_session_run(onnx_session *s, const int64_t *ids, const int64_t *mask, size_t rows, size_t length, float *out,
                           char reason[ONNX_REASON]);

#endif
