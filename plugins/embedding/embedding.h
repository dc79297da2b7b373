/* The plugin's parts: the service in embedding.c, the operations in operations.c. */
#ifndef EMBEDDING_H
#define EMBEDDING_H

#include "routes.h"

typedef struct embedding {
    routes routes;
    char default_model[MODEL_NAME_MAX + 1];
} embedding;

/* embedder/1; manifests/interfaces/embedder.json says what each does. */
mt_status embedding_describe(void *self, mt_call *c, mt_slice model, mt_embedder_info *out);
mt_status embedding_models(void *self, mt_call *c, uint32_t index, mt_embedder_info *out);
mt_status embedding_embed(void *self, mt_call *c, mt_slice model, const mt_slice *texts, size_t n, const float **out, size_t *n_out);
uint32_t embedding_count_tokens(void *self, mt_call *c, mt_slice model, mt_slice text);
/* 503 engine_broken unless there is one vector a text. */
mt_status embedding_check(mt_call *c, size_t texts, uint32_t dimensions, size_t floats);

mt_status embedding_on_embed(void *self, mt_call *c);
mt_status embedding_on_models(void *self, mt_call *c);

#endif
