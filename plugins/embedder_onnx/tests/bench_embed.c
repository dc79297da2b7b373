/* Throughput: CALLERS threads share the texts of standard input (each ends with a NUL), twice: the second time counts. One JSON line. The environment
   variable MODEL names another model.onnx of the same vocabulary. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "embed.h"

static embedder e;
static mt_slice texts[65536];
static size_t n_texts;
static atomic_size_t next_text;

static void *work(void *arg)
{
    size_t dim = onnx_session_dim(e.session), step = 32, at;
    float *out = malloc(step * dim * sizeof *out);
    char reason[ONNX_REASON];
    while ((at = atomic_fetch_add(&next_text, step)) < n_texts) {
        size_t n = n_texts - at < step ? n_texts - at : step;
        if (embed_texts(&e, texts + at, n, out, NULL, (embed_watch){0}, reason) != MT_OK)
            abort();
    }
    free(out);
    return NULL;
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static char in[32 << 20];
    size_t len = fread(in, 1, sizeof in - 1, stdin);
    int callers = argc > 1 ? atoi(argv[1]) : 1, threads = argc > 2 ? atoi(argv[2]) : 1;
    const char *model = getenv("MODEL") ? getenv("MODEL") : MODEL_DIR "/model.onnx";
    wordpiece *w;
    char reason[ONNX_REASON] = "";
    for (size_t at = 0; at < len && n_texts < 65536; at += texts[n_texts++].len + 1)
        texts[n_texts] = mt_str(in + at);
    if (callers > 16 || wordpiece_load(&w, MODEL_DIR "/vocab.txt", reason) != MT_OK ||
        onnx_session_open(&e.session, &(onnx_options){.library = ONNX_LIBRARY, .model = model, .threads = threads, .spin = argc > 5}, reason) != MT_OK)
        return fprintf(stderr, "%s\n", reason), 1;
    e.tokens = w;
    e.window = 256;
    e.limits = (batch_limits){.rows = argc > 3 ? (size_t)atol(argv[3]) : 0, .tokens = argc > 4 ? (size_t)atol(argv[4]) : 0};
    double rate = 0, cpu = 0;
    for (int round = 0; round < 2; round++) {
        pthread_t ids[16];
        double start = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID);
        atomic_store(&next_text, 0);
        for (int i = 0; i < callers; i++)
            pthread_create(&ids[i], NULL, work, NULL);
        for (int i = 0; i < callers; i++)
            pthread_join(ids[i], NULL);
        rate = (double)n_texts / (now(CLOCK_MONOTONIC) - start);
        cpu = now(CLOCK_PROCESS_CPUTIME_ID) - used;
    }
    printf("{\"texts\": %zu, \"callers\": %d, \"threads\": %d, \"texts_per_s\": %.1f, \"cpu_ms_per_text\": %.3f}\n", n_texts, callers, threads, rate,
           cpu / (double)n_texts * 1000);
    onnx_session_close(e.session);
    wordpiece_destroy(w);
    return 0;
}
