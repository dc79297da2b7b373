/* What engine.c (the thread and its door) and batch.c (the decoding) share. */
#ifndef LLM_ENGINE_INTERNAL_H
#define LLM_ENGINE_INTERNAL_H

#include "engine.h"

#include <pthread.h>

enum { MAX_SEQUENCES = 64, BATCH = 256 };

struct job {
    fair_item item;             /* first: the queue's items are jobs */
    engine *e;
    job_request r;
    job_counts counts;
    int64_t submitted_us;
    int holders;                /* the engine, and whose it is */
    bool left;                  /* its holder is gone */
    bool done;
    mt_status status;           /* when done */
    char *out, *given;          /* text to be taken; what was taken last */
    size_t out_len;
    /* the engine's thread only */
    struct llama_sampler *sampler;
    size_t at;                  /* prompt tokens decoded, or about to be */
    int32_t next;               /* the token to decode next, once the prompt is through */
    int32_t row;                /* its row of the batch whose logits are wanted; -1: none */
    bool writing;
};

/* One of the model's sequences: who has it, and which tokens it remembers. The engine's thread only. */
typedef struct place {
    job *j;
    int32_t *tokens;
    size_t n;
    uint64_t owner;             /* remembered tokens serve the same owner only */
    int64_t used_us;
} place;

struct engine {
    engine_options o;
    char library[4096], path[4096];
    pthread_t thread;
    pthread_mutex_t lock;       /* guards to the next comment, and the shared part of jobs */
    pthread_cond_t wake;
    fair_queue queue;
    engine_state state;
    bool stop, closed, wanted;
    int64_t used_us;            /* when somebody last had or wanted it */
    char reason[LLAMA_REASON];
    unsigned context;
    double job_us;              /* from one end to the next when all places are taken, lately */
    double reading_us;          /* from a place to the first token, lately */
    unsigned running;
    pthread_rwlock_t loaded;    /* read: model and vocabulary stay; write: the thread loads or unloads */
    const llama_api *api;
    struct llama_model *model;
    const struct llama_vocab *vocab;
    /* the engine's thread only */
    struct llama_context *ctx;
    struct llama_batch batch;
    struct llama_token_data *candidates;
    double token_us;            /* what a prompt's token costs, lately */
    place places[MAX_SEQUENCES];
};

/* Means of what was seen lately. */
static inline void engine_note(double *mean, double value)
{
    *mean = *mean > 0 ? *mean * 0.8 + value * 0.2 : value;
}

/* Ends a job: its holder is told, the engine lets go of it. The engine's thread, no lock held. */
void engine_end(engine *e, job *j, mt_status status);

/* batch.c, the engine's thread: */
mt_status batch_seat(engine *e, place *p, job *j);   /* the job gets the place; what the place remembers of its prompt is kept */
int64_t batch_reading_us(engine *e, const job *j);   /* what it would take to the first token beside those who are seated */
place *batch_best_place(engine *e, const job *j);    /* the free one that remembers most of the prompt; NULL: none is free */
void batch_leave(engine *e, place *p, mt_status status);
void batch_step(engine *e);                          /* one decode over all that are seated */

#endif
