/*
 * The floor of the exact scan: every row's dot product in fp32 by a plain loop, the ten best kept. scan_plain ROWS [DIM [QUERIES]]:
 * one JSON line. The compiler vectorizes for this machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { K = 10 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static float dot(const float *restrict a, const float *restrict b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Answers the best score, so that nothing can be left out. */
static float search(const float *rows, size_t n, size_t dim, const float *query)
{
    float best[K];
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        float score = dot(rows + i * dim, query, dim);
        if (kept == K && score <= best[K - 1])
            continue;
        size_t at = kept < K ? kept++ : K - 1;
        for (; at > 0 && best[at - 1] < score; at--)
            best[at] = best[at - 1];
        best[at] = score;
    }
    return best[0];
}

int main(int argc, char **argv)
{
    size_t rows = argc > 1 ? (size_t)atol(argv[1]) : 100000, dim = argc > 2 ? (size_t)atol(argv[2]) : 384;
    unsigned seed = 1;
    int queries = 0;
    volatile float sink;
    float *v = malloc(rows * dim * sizeof *v);
    for (size_t i = 0; i < rows * dim; i++)
        v[i] = (float)(rand_r(&seed) % 2000) - 999.5f;
    double start = now();
    for (; now() - start < 2; queries++)
        sink = search(v, rows, dim, v + ((size_t)queries % rows) * dim);
    (void)sink;
    printf("{\"rows\": %zu, \"dim\": %zu, \"queries_per_s\": %.1f}\n", rows, dim, queries / (now() - start));
    free(v);
    return 0;
}
