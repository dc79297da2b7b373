/* bench_scan ROWS [DIM]: queries a second of the exact scan on random rows, and the time to open its file; one JSON line. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "index_file.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    size_t rows = argc > 1 ? (size_t)atol(argv[1]) : 100000, found;
    index_meta meta = {.model = "bench", .dim = argc > 2 ? (uint32_t)atol(argv[2]) : 384};
    exact_index *x;
    char reason[INDEX_REASON] = "", path[] = "/tmp/mortise-bench-XXXXXX";
    unsigned seed = 1;
    if (index_create(&x, &meta) != MT_OK || mkstemp(path) < 0)
        return 1;
    size_t step = 1000;
    index_id *ids = calloc(step, sizeof *ids);
    float *v = malloc(step * meta.dim * sizeof *v);
    for (size_t at = 0; at < rows; at += step) {
        for (size_t i = 0; i < step; i++) {
            size_t n = at + i;
            memcpy(ids[i].b, &n, sizeof n);
            for (size_t j = 0; j < meta.dim; j++)
                v[i * meta.dim + j] = (float)(rand_r(&seed) % 2000) - 999.5f;
        }
        if (index_apply(x, &(index_change){.version = at + 1, .add = ids, .vectors = v, .adds = step}, reason) != MT_OK)
            return fprintf(stderr, "%s\n", reason), 1;
    }
    if (index_save(x, path, reason) != MT_OK)
        return fprintf(stderr, "%s\n", reason), 1;
    index_close(x);
    double start = now();
    if (index_open(&x, path, reason) != MT_OK)
        return fprintf(stderr, "%s\n", reason), 1;
    double opened = now() - start;
    index_hit hits[10];
    int queries = 0;
    for (start = now(); now() - start < 2; queries++)
        if (index_search(x, v + ((size_t)queries % step) * meta.dim, 10, NULL, 0, hits, &found, NULL, NULL) != MT_OK)
            return 1;
    printf("{\"rows\": %zu, \"dim\": %u, \"open_ms\": %.1f, \"queries_per_s\": %.1f}\n", rows, meta.dim, opened * 1e3,
           queries / (now() - start));
    index_close(x);
    unlink(path);
    free(ids);
    free(v);
    return 0;
}
