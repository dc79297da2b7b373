/*
 * One model and the thread that runs it. Generations share each decode (continuous batching): every one that writes adds its next token,
 * those that still read their prompt share the rest of the batch. What waits for a place waits in a fair queue. Any thread may call this.
 */
#ifndef LLM_ENGINE_H
#define LLM_ENGINE_H

#include "fair_queue.h"
#include "llama_api.h"
#include "text_out.h"

typedef struct engine engine;
typedef struct job job;

typedef struct engine_options {
    const char *library;        /* folder of llama.cpp */
    const char *path;           /* the GGUF */
    unsigned context;           /* tokens a sequence; cut to what the model was trained for */
    unsigned sequences, threads, queue, queue_owner;
    int64_t idle_ms;            /* unloaded after it; 0: never */
    bool reuse_prefix;
    void (*log)(mt_slice line);
    void (*loaded)(const char *path, int64_t us);  /* a model is in memory; the engine's thread. NULL: nobody asks */
    void (*raise)(uint64_t signal); /* wakes whom a job belongs to; the engine's thread, holding no lock of its own */
} engine_options;

typedef enum engine_state { ENGINE_UNLOADED, ENGINE_LOADING, ENGINE_READY, ENGINE_FAILED } engine_state;

typedef struct engine_message { mt_slice role, content; } engine_message;

/* Starts the thread; loads nothing yet. NULL: no memory. */
engine *engine_create(const engine_options *o);
/* Takes nothing more; once what it has is done, the model is given back and the thread ends. Never waits. */
void engine_close(engine *e);
void engine_destroy(engine *e);     /* ends what runs, and waits for a decode; its jobs must have been released */
/* Asks for the model, and says how that stood; a failed one is tried again. reason: why it failed. Never waits. */
engine_state engine_want(engine *e, char reason[LLAMA_REASON]);
bool engine_loaded(engine *e);       /* or being loaded: it has, or will have, the model's memory */
unsigned engine_context(engine *e); /* tokens a sequence; 0 while it was never loaded */

/* The prompt in the model's own template, as tokens (malloc, the caller's). A message's text never becomes a control token.
 * MT_UNAVAILABLE while it is not loaded, MT_INVALID, MT_NO_MEMORY. */
mt_status engine_tokenize(engine *e, const engine_message *messages, size_t n, int32_t **tokens, size_t *n_tokens);
bool engine_count(engine *e, mt_slice text, uint32_t *tokens);  /* false while it is not loaded */

typedef struct job_request {
    uint64_t owner, signal;
    int64_t due_us;             /* engine_now_us(): who has no token by then is refused, here or later */
    int32_t *tokens;            /* taken, whatever the answer */
    size_t n_tokens;
    uint32_t max_tokens, seed;
    double temperature, top_p;  /* temperature 0: the likeliest token */
    bool grounded;              /* keep to the words of the prompt where there is a choice */
    const char *grammar;        /* GBNF; static; NULL: none */
    text_out text;              /* with its stop strings; taken, whatever the answer */
} job_request;

int64_t engine_now_us(void);
/* MT_LIMITED: the first token cannot be expected in time, or the queue is full. MT_UNAVAILABLE: it was closed. MT_NO_MEMORY. */
mt_status engine_submit(engine *e, job_request *r, job **out);
int64_t engine_wait_ms(engine *e, uint64_t owner);  /* what somebody who came now would wait for the first token, by what others did lately */

typedef struct job_counts {
    uint32_t input, cached, output;
    bool by_length;             /* ended at max_tokens or the context's end */
    int64_t first_us, waited_us;/* from submit to the first token, and to its place */
} job_counts;

/* What is there: MT_OK with text (until the next take), MT_TIMEOUT for nothing yet (its signal will be raised), MT_DONE, or how it failed: MT_LIMITED when
 * its time had come without a token. */
mt_status job_take(job *j, mt_slice *text);
void job_count(job *j, job_counts *out);
/* The holder leaves: the engine drops the job before its next decode. Frees the job once both are done with it. */
void job_release(job *j);

#endif
