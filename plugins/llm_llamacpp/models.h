/* The models of this machine: GGUF files by name, an engine each, made when somebody first asks. Any thread; entries are never removed. */
#ifndef LLM_MODELS_H
#define LLM_MODELS_H

#include "engine.h"

enum { MODELS_MAX = 64, MODEL_NAME = 128 };

typedef struct model {
    const char *name;           /* the file's base name without .gguf; never freed: answers may name it for as long as their call lives */
    char path[4096];
    uint64_t bytes;
    engine *engine;             /* NULL until it was asked for; guarded by the list's lock */
} model;

typedef struct models models;

/* What an activation was told; does not change. */
typedef struct models_options {
    engine_options engine;      /* of each, but for its path */
    uint64_t memory;            /* bytes of loaded files; 0: no limit */
    int64_t first_token_us;
    uint32_t max_tokens;
    char standard[MODEL_NAME];
} models_options;

models *models_create(const models_options *o);     /* copies */
const models_options *models_told(const models *m);
void models_destroy(models *m);     /* ends what runs, and waits for a decode */
/* Who uses it says so until it is done with everything that it got here. */
void models_use(models *m);
void models_leave(models *m);
/* Nothing more is begun: each engine ends after the last answer that it has. m joins those kept, which are returned. Never waits. */
models *models_close(models *m, models *kept);
models *models_free_kept(models *kept, bool used);      /* those that nobody uses, or all; may wait for a decode. The others are returned. */
void models_scan(models *m, const char *folder);        /* FOLDER/X.gguf and FOLDER/X/Y.gguf */
/* Adds a file; MT_NOT_FOUND, MT_INVALID (no .gguf), MT_LIMITED (64 already). The same path again is the same model. */
mt_status models_add(models *m, const char *path, const model **out);
const model *models_find(models *m, mt_slice name);     /* NULL: none */
const model *models_at(models *m, unsigned index);      /* NULL: past the last */
engine *models_engine(models *m, const model *which);   /* NULL: nobody has asked for it yet */
/* As engine_want, of an engine that is made if need be. MT_LIMITED: what is loaded leaves no memory for it. MT_UNAVAILABLE: closed. MT_NO_MEMORY. */
mt_status models_want(models *m, const model *which, engine **out, engine_state *state, char reason[LLAMA_REASON]);

#endif
