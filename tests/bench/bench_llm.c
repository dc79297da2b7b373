/*
 * The peer of llm: a bare loop over llama.cpp, as one would write it for a program of its own. bench_llm MODEL THREADS reads lines "AT_ONCE TOKENS" and answers
 * each with a JSON line: so many questions, which all come at once, are answered with so many tokens each, up to eight sharing every decode.
 */
#include "llama_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PLACES = 8, BATCH = 256, CONTEXT = 512, MOST = 64 };

typedef struct place {
    int question;               /* -1: free */
    int32_t prompt[CONTEXT];
    int n, at, written;
    int32_t next, row;
} place;

static const llama_api *a;
static struct llama_context *ctx;
static const struct llama_vocab *vocab;
static const char *template;

static void no_log(mt_slice line)
{
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void seat(place *p, int question)
{
    char text[128], prompt[1024];
    snprintf(text, sizeof text, "Tell the long story of ship number %d.", question);
    const struct llama_chat_message m = {"user", text};
    int32_t len = a->llama_chat_apply_template(template, &m, 1, true, prompt, sizeof prompt);
    p->question = question;
    p->at = p->written = 0;
    p->n = a->llama_tokenize(vocab, prompt, len, p->prompt, CONTEXT, true, true);
    if (len <= 0 || p->n <= 0)
        abort();
}

static void add(struct llama_batch *b, place *p, int sequence, int32_t token, int position, bool logits)
{
    p->row = logits ? b->n_tokens : -1;
    b->token[b->n_tokens] = token;
    b->pos[b->n_tokens] = position;
    b->n_seq_id[b->n_tokens] = 1;
    b->seq_id[b->n_tokens][0] = sequence;
    b->logits[b->n_tokens++] = logits;
}

static void fill(struct llama_batch *b, place *places)
{
    b->n_tokens = 0;
    for (int i = 0; i < PLACES; i++) {
        places[i].row = -1;
        if (places[i].question >= 0 && places[i].written)
            add(b, &places[i], i, places[i].next, places[i].n + places[i].written - 1, true);
    }
    for (int i = 0; i < PLACES; i++)
        for (place *p = &places[i]; p->question >= 0 && p->at < p->n && b->n_tokens < BATCH; p->at++)
            add(b, p, i, p->prompt[p->at], p->at, p->at + 1 == p->n);
}

static int32_t likeliest(int32_t row)
{
    const float *logits = a->llama_get_logits_ith(ctx, row);
    int32_t best = 0, n = a->llama_vocab_n_tokens(vocab);
    for (int32_t i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

static int compare(const void *x, const void *y)
{
    double d = *(const double *)x - *(const double *)y;
    return d < 0 ? -1 : d > 0;
}

static void answer(struct llama_batch *b, int at_once, int most)
{
    static place places[PLACES];
    double begun = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), first[MOST];
    int asked = 0, done = 0, tokens = 0;
    for (int i = 0; i < PLACES; i++)
        places[i].question = -1;
    while (done < at_once) {
        for (int i = 0; i < PLACES; i++)
            if (places[i].question < 0 && asked < at_once) {
                a->llama_memory_seq_rm(a->llama_get_memory(ctx), i, -1, -1);
                seat(&places[i], asked++);
            }
        fill(b, places);
        if (a->llama_decode(ctx, *b))
            abort();
        for (place *p = places; p < places + PLACES; p++) {
            if (p->question < 0 || p->row < 0)
                continue;
            p->next = likeliest(p->row);
            if (!p->written++)
                first[p->question] = seconds(CLOCK_MONOTONIC) - begun;
            tokens++;
            if (a->llama_vocab_is_eog(vocab, p->next) || p->written == most) {
                p->question = -1;
                done++;
            }
        }
    }
    double took = seconds(CLOCK_MONOTONIC) - begun;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    qsort(first, (size_t)at_once, sizeof *first, compare);
    printf("{\"tokens\": %d, \"seconds\": %.4f, \"cpu\": %.4f, \"first\": %.4f, \"last\": %.4f}\n", tokens, took, cpu, first[at_once / 2], first[at_once - 1]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char reason[LLAMA_REASON];
    int at_once, tokens;
    if (argc < 3 || llama_api_open(LLAMACPP_LIBRARY, no_log, &a, reason) != MT_OK)
        return 1;
    struct llama_model *model = a->llama_model_load_from_file(argv[1], a->llama_model_default_params());
    struct llama_context_params cp = a->llama_context_default_params();
    cp.n_ctx = CONTEXT * PLACES;
    cp.n_seq_max = PLACES;
    cp.n_batch = cp.n_ubatch = BATCH;
    cp.n_threads = cp.n_threads_batch = atoi(argv[2]);
    cp.kv_unified = false;
    if (!model || !(ctx = a->llama_init_from_model(model, cp)))
        return 1;
    vocab = a->llama_model_get_vocab(model);
    template = a->llama_model_chat_template(model, NULL);
    struct llama_batch b = a->llama_batch_init(BATCH, 0, 1);
    while (scanf("%d %d", &at_once, &tokens) == 2 && at_once > 0 && at_once <= MOST && tokens > 0 && tokens < CONTEXT / 2)
        answer(&b, at_once, tokens);
    a->llama_batch_free(b);
    a->llama_free(ctx);
    a->llama_model_free(model);
    return 0;
}
