/* The models folder: which of its folders hold a model that can run here. */
#ifndef EMBEDDER_ONNX_FOLDER_H
#define EMBEDDER_ONNX_FOLDER_H

#include <mortise/interfaces.h>

#include "models.h"

/* Adds every folder of `dir` with a manifest.json, a model.onnx and a vocab.txt whose manifest tells a WordPiece model (task "embedding" or
   "rerank"). Others are passed over; one that tells such a model and cannot be read is logged. In a fiber: the tokenizers are read on the
   pool. MT_CANCELLED, MT_NO_MEMORY. */
mt_status folder_read(mt_call *c, model_set *set, const char *dir);

/* A manifest's text as a description: false, with a sentence in reason, for what cannot run here; reason is "" for a model of another kind. */
bool folder_describe(mt_call *c, mt_slice manifest, model *out, char reason[WORDPIECE_REASON]);

#endif
