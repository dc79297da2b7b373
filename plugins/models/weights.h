/*
 * Whether a file of weights is what it says, before anything runs it. Reads only; every length is checked against what is left. Pure, any thread.
 * GGUF: ggml's docs/gguf.md (versions 2 and 3). ONNX: onnx.proto's ModelProto.
 */
#ifndef MODELS_WEIGHTS_H
#define MODELS_WEIGHTS_H

#include <mortise/types.h>

typedef enum weights_format { WEIGHTS_UNKNOWN, WEIGHTS_GGUF, WEIGHTS_ONNX } weights_format;

/* The format, or WEIGHTS_UNKNOWN with the reason as a sentence in *why (static). */
weights_format weights_check(mt_slice file, const char **why);
/* Whether it can be an uncased BERT tokenizer's vocab.txt: the reason as a sentence (static), or NULL. */
const char *weights_check_vocabulary(mt_slice file);
const char *weights_name(weights_format f);

#endif
