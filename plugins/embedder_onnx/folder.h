/* The models folder: which of its folders hold a model that can run here. */
#ifndef EMBEDDER_ONNX_FOLDER_H
#define EMBEDDER_ONNX_FOLDER_H

#include <mortise/interfaces.h>

#include "models.h"

/* The model of a folder of `dir` with a manifest.json, a model.onnx and a vocab.txt whose manifest tells a WordPiece model (task "embedding" or
   "rerank"), with a reference for model_put. It is read when it is not known yet, or when its manifest has become another one. NULL: there is none, or
   it cannot be read, which is logged when `tell`. org: whose models `dir` has, the null slice: the machine's. Reads small files: a few milliseconds for a
   new model, one look at the manifest for a known one. Any thread that has the call. */
model *folder_get(mt_call *c, model_set *set, const char *dir, mt_slice org, mt_slice name, bool tell);
/* Adds all of `dir`. */
void folder_read(mt_call *c, model_set *set, const char *dir, bool tell);
/* The n-th model of an organization, in the order of names, with a reference; NULL past the last. */
model *folder_at(mt_call *c, model_set *set, const char *dir, mt_slice org, uint32_t index);

/* A manifest's text as a description: false, with a sentence in reason, for what cannot run here; reason is "" for a model of another kind. */
bool folder_describe(mt_call *c, mt_slice manifest, model *out, char reason[WORDPIECE_REASON]);

#endif
