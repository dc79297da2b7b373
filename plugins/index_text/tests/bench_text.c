/* bench_text PASSAGES: random passages with Zipf's frequencies, then questions of four words; prints JSON. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "text_file.h"

enum { VOCABULARY = 200000, PASSAGE_WORDS = 120, QUERIES = 1000, BATCH = 1000 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A word by Zipf's law. */
static uint32_t draw(unsigned *seed)
{
    double u = (rand_r(seed) + 1.0) / (RAND_MAX + 2.0);
    return (uint32_t)exp(u * log(VOCABULARY)) - 1;
}

static void passage(unsigned *seed, mt_stemmer *s, text_terms *out)
{
    static char text[PASSAGE_WORDS * 12];
    size_t len = 0;
    for (int i = 0; i < PASSAGE_WORDS; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "q%u ", draw(seed));
    if (text_analyze(s, (mt_slice){text, len}, MT_SLICE("other"), out) != MT_OK)
        exit(1);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000, found;
    unsigned seed = 1;
    char path[64], reason[TEXT_REASON];
    static text_terms terms[BATCH];
    static text_id ids[BATCH];
    static double took[QUERIES];
    mt_stemmer *s = mt_stemmer_create();
    text_index *x;
    snprintf(path, sizeof path, "/tmp/bench-text-%d", (int)getpid());
    if (!s || text_create(&x, &(text_meta){{{1}}, 0}) != MT_OK)
        return 1;
    double begin = now();
    for (size_t done = 0; done < n; done += BATCH) {
        for (size_t i = 0; i < BATCH; i++) {
            size_t number = done + i;
            memcpy(ids[i].b, &number, sizeof number);
            passage(&seed, s, &terms[i]);
        }
        if (text_apply(x, &(text_change){.version = done + 1, .add = ids, .terms = terms, .adds = BATCH}, reason) != MT_OK)
            return 1;
        for (size_t i = 0; i < BATCH; i++)
            text_terms_dispose(&terms[i]);
    }
    double added = now();
    if (text_save(x, path, reason) != MT_OK)
        return 1;
    double saved = now();
    text_close(x);
    if (text_open(&x, path, reason) != MT_OK)
        return 1;
    double opened = now();
    for (int i = 0; i < QUERIES; i++) {
        char text[64];
        text_hit hits[50];
        int len = snprintf(text, sizeof text, "q%u q%u q%u q%u", draw(&seed), draw(&seed), draw(&seed), draw(&seed));
        double at = now();
        if (text_analyze_query(s, (mt_slice){text, (size_t)len}, MT_SLICE("other"), &terms[0]) != MT_OK ||
            text_search(x, &terms[0], (text_bm25){1.2, 0.75}, 50, NULL, 0, hits, &found, NULL, NULL) != MT_OK)
            return 1;
        took[i] = now() - at;
        text_terms_dispose(&terms[0]);
    }
    qsort(took, QUERIES, sizeof *took, by_size);
    printf("{\"passages\":%zu,\"add_s\":%.2f,\"save_s\":%.2f,\"open_ms\":%.1f,\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"worst_ms\":%.3f}\n", n, added - begin,
           saved - added, (opened - saved) * 1e3, took[QUERIES / 2] * 1e3, took[QUERIES * 95 / 100] * 1e3, took[QUERIES - 1] * 1e3);
    text_close(x);
    unlink(path);
    mt_stemmer_destroy(s);
    return 0;
}
