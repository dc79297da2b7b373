/* The models of this machine: what each is, and the few of them that are in memory. */
#ifndef EMBEDDER_ONNX_MODELS_H
#define EMBEDDER_ONNX_MODELS_H

#include "onnx_session.h"
#include "wordpiece.h"

#include <pthread.h>

enum { MODELS_MAX = 64 };

typedef struct model {
    char name[104];              /* its folder's name */
    char path[4096];             /* of model.onnx */
    char vocabulary[72];         /* digest of vocab.txt, "" when not told: models with the same share a tokenizer */
    char prefix[256];            /* put before each text */
    onnx_head head;
    uint32_t dimensions, window; /* window: ids in a row, with the special ones */
    uint32_t max_tokens;         /* what a caller may count on: the window less the prefix */
    wordpiece *tokens;
    /* under the set's lock */
    onnx_session *session;       /* NULL: not in memory */
    bool opening;
    unsigned users;
    uint64_t used;               /* when it was last asked for, in questions */
} model;

/* Models are added and never removed, so a pointer to one stays good. Added by one thread at a time, before they are asked for. */
typedef struct model_set {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    char library[4096];          /* of ONNX Runtime */
    int threads;
    unsigned max_open;           /* sessions kept in memory; more only while all of them are at work */
    uint64_t clock;
    _Atomic unsigned n;
    model *items[MODELS_MAX];
} model_set;

void model_set_init(model_set *set);
/* No session may be in use. */
void model_set_dispose(model_set *set);

model *model_find(const model_set *set, mt_slice name);     /* NULL: none */

/* Takes over a description (name, path, vocabulary, prefix, head, dimensions, window) and loads its tokenizer from `vocab`, or shares that of a
   model with the same digest. A name that is known already is left as it is. Blocks on the disk. As wordpiece_load; MT_TOO_LARGE over MODELS_MAX. */
mt_status model_add(model_set *set, const model *description, const char *vocab, char reason[WORDPIECE_REASON]);

/* The model's session, opened when it is not in memory; then the least used idle one beyond max_open is closed. Blocks (disk, graph
   optimization; another thread that opens the same one): a pool thread. Each OK is paired with a release. As onnx_session_open. */
mt_status model_acquire(model_set *set, model *m, onnx_session **out, char reason[ONNX_REASON]);
void model_release(model_set *set, model *m);
unsigned model_open_count(model_set *set);

#endif
