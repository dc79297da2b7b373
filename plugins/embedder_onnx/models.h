/* The models of this machine and of its organizations: what each is, and the few of them that are in memory. */
#ifndef EMBEDDER_ONNX_MODELS_H
#define EMBEDDER_ONNX_MODELS_H

#include "onnx_session.h"
#include "wordpiece.h"

#include <pthread.h>

enum { MODELS_MAX = 256, MODELS_OF_ORGS = 16 };

typedef struct model {
    char name[104];              /* its folder's name */
    char org[40];                /* whose it is; "": everybody's */
    char path[4096];             /* of model.onnx */
    char vocabulary[72];         /* digest of vocab.txt, "" when not told: models with the same share a tokenizer */
    char prefix[256];            /* put before each text */
    uint64_t stamp;              /* of its manifest: another one is another model */
    onnx_head head;
    uint32_t dimensions, window; /* window: ids in a row, with the special ones */
    uint32_t max_tokens;         /* what a caller may count on: the window less the prefix */
    wordpiece *tokens;
    /* under the set's lock */
    onnx_session *session;       /* NULL: not in memory */
    bool opening, gone;          /* gone: not found any more, freed with its last reference */
    unsigned users, refs;
    uint64_t used;               /* when it was last asked for, in questions */
} model;

/* Models of the machine stay. Those of organizations are read from their folders when they are asked for, and beyond MODELS_OF_ORGS the least used one
   that nobody holds makes room. Any thread. */
typedef struct model_set {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    char library[4096];          /* of ONNX Runtime */
    int threads;
    unsigned max_open;           /* sessions kept in memory; more only while all of them are at work */
    void (*loaded)(const char *name);    /* a model is in memory; a pool thread, the lock held. NULL: nobody asks */
    uint64_t clock;
    unsigned n;
    model *items[MODELS_MAX];
} model_set;

void model_set_init(model_set *set);
/* No model may be held. */
void model_set_dispose(model_set *set);

/* The model with a reference that model_put gives back; NULL: none. org: the null slice for the machine's own. */
model *model_get(model_set *set, mt_slice org, mt_slice name);
/* The n-th of the machine's own with a reference; NULL past the last. */
model *model_at(model_set *set, unsigned index);
void model_put(model_set *set, model *m);
/* It is not found any more; the caller's reference stays. */
void model_forget(model_set *set, model *m);

/* Takes over a description (name, org, path, vocabulary, prefix, stamp, head, dimensions, window) and loads its tokenizer from `vocab`, or shares that of
   a model with the same digest. A name that is known already is left as it is. Blocks on the disk. As wordpiece_load; MT_TOO_LARGE over MODELS_MAX. */
mt_status model_add(model_set *set, const model *description, const char *vocab, char reason[WORDPIECE_REASON]);

/* The model's session, opened when it is not in memory; then the least used idle one beyond max_open is closed. Blocks (disk, graph
   optimization; another thread that opens the same one): a pool thread. Each OK is paired with a release. As onnx_session_open. */
mt_status model_acquire(model_set *set, model *m, onnx_session **out, char reason[ONNX_REASON]);
void model_release(model_set *set, model *m);
unsigned model_open_count(model_set *set);

#endif
