/* The models of this machine: GGUF files by name, an engine each, made when somebody first asks. Any thread; entries are never removed. */
#ifndef LLM_MODELS_H
#define LLM_MODELS_H

#include "engine.h"

enum { MODELS_MAX = 64, MODEL_NAME = 128 };

typedef struct model {
    char name[MODEL_NAME];      /* the file's base name without .gguf */
    char path[4096];
    uint64_t bytes;
    engine *engine;             /* NULL until it was asked for; guarded by the list's lock */
} model;

typedef struct models models;

models *models_create(const engine_options *common, uint64_t memory);  /* copies; memory: bytes of files, 0: no limit */
void models_destroy(models *m);
void models_scan(models *m, const char *folder);        /* FOLDER/X.gguf and FOLDER/X/Y.gguf */
/* Adds a file; MT_NOT_FOUND, MT_INVALID (no .gguf), MT_LIMITED (64 already). The same path again is the same model. */
mt_status models_add(models *m, const char *path, const model **out);
const model *models_find(models *m, mt_slice name);     /* NULL: none */
const model *models_at(models *m, unsigned index);      /* NULL: past the last */
/* Its engine, made if need be. MT_LIMITED: the memory is used up. */
mt_status models_engine(models *m, const model *which, engine **out);

#endif
