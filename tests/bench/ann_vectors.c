/* ann_vectors ROWS DIM QUERIES FOLDER: vectors as an embedder makes them, for the measurement of nearest neighbours: FOLDER/vectors-ROWS, queries-ROWS
   (floats), truth-ROWS and few-ROWS (row numbers: the ten nearest of each query among all rows, and among every 500th). The same every time.

   A corpus has topics of very different sizes (the share of the n-th goes with 1/n), each with documents that lie close together, and these have passages.
   All of it lives in 40 directions that matter less and less, as measured embeddings do, mixed into DIM numbers, with a little of every direction added. A
   query is a passage that was said in other words: the place of a row, moved as far as its document's passages lie apart. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATENT = 40, K = 10, KEPT = 500, PER_DOCUMENT = 12, BLOCK = 64 };

static uint64_t state = 0x9E3779B97F4A7C15u;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static float uniform(void)
{
    return (float)((next() >> 40) + 1) / 16777217.0f;
}

static float gauss(void)
{
    return sqrtf(-2 * logf(uniform())) * cosf(6.2831853f * uniform());
}

static void spread(float *to, const float *from, float width)
{
    for (int i = 0; i < LATENT; i++)
        to[i] = (from ? from[i] : 0) + width * gauss() / powf((float)(i + 1), 0.35f);
}

static void mix(float *v, const float *latent, const float *mixer, size_t dim)
{
    double sum = 0;
    memset(v, 0, dim * sizeof *v);
    for (int i = 0; i < LATENT; i++)
        for (size_t j = 0; j < dim; j++)
            v[j] += latent[i] * mixer[(size_t)i * dim + j];
    for (size_t j = 0; j < dim; j++) {
        v[j] += 0.12f * gauss();
        sum += (double)v[j] * v[j];
    }
    for (size_t j = 0; j < dim; j++)
        v[j] /= (float)sqrt(sum);
}

static void make(float *rows, size_t n, float *queries, size_t n_queries, size_t dim)
{
    size_t topics = 50 + n / 2000, document = 0, at = 0;
    float *mixer = malloc(LATENT * dim * sizeof *mixer), *topic = malloc(topics * LATENT * sizeof *topic), place[LATENT], passage[LATENT];
    for (size_t i = 0; i < LATENT * dim; i++)
        mixer[i] = gauss() / sqrtf((float)LATENT);
    for (size_t i = 0; i < topics; i++)
        spread(topic + i * LATENT, NULL, 1);
    for (size_t i = 0; i < n; i++) {
        if (i % PER_DOCUMENT == 0) {
            document = (size_t)(powf((float)topics, uniform())) - 1;
            spread(place, topic + document % topics * LATENT, 0.7f);
        }
        spread(passage, place, 0.45f);
        mix(rows + i * dim, passage, mixer, dim);
        if (at < n_queries && i % (n / n_queries) == 0) {
            spread(passage, passage, 0.45f);
            mix(queries + at++ * dim, passage, mixer, dim);
        }
    }
    free(mixer);
    free(topic);
}

static void offer(float *scores, uint32_t *ids, float score, uint32_t id)
{
    int i = K - 1;
    if (score <= scores[i])
        return;
    for (; i > 0 && scores[i - 1] < score; i--) {
        scores[i] = scores[i - 1];
        ids[i] = ids[i - 1];
    }
    scores[i] = score;
    ids[i] = id;
}

static float dot(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void find(const float *rows, size_t n, size_t step, const float *queries, size_t n_queries, size_t dim, uint32_t *out)
{
    float *scores = malloc(n_queries * K * sizeof *scores);
    for (size_t i = 0; i < n_queries * K; i++)
        scores[i] = -2;
    for (size_t first = 0; first < n; first += BLOCK * step)
        for (size_t q = 0; q < n_queries; q++)
            for (size_t r = first; r < n && r < first + BLOCK * step; r += step)
                offer(scores + q * K, out + q * K, dot(rows + r * dim, queries + q * dim, dim), (uint32_t)r);
    free(scores);
}

static int write_file(const char *folder, const char *name, size_t rows, const void *p, size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%zu", folder, name, rows);
    FILE *f = fopen(path, "wb");
    int ok = f && fwrite(p, 1, n, f) == n;
    return f && fclose(f) == 0 && ok ? 0 : (perror(path), 1);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return fprintf(stderr, "usage: ann_vectors ROWS DIM QUERIES FOLDER\n"), 2;
    size_t n = (size_t)atol(argv[1]), dim = (size_t)atol(argv[2]), queries = (size_t)atol(argv[3]);
    float *rows = malloc(n * dim * sizeof *rows), *q = malloc(queries * dim * sizeof *q);
    uint32_t *truth = calloc(queries * K, sizeof *truth), *few = calloc(queries * K, sizeof *few);
    if (!rows || !q || !truth || !few || n < queries)
        return 1;
    make(rows, n, q, queries, dim);
    find(rows, n, 1, q, queries, dim, truth);
    find(rows, n, KEPT, q, queries, dim, few);
    int bad = write_file(argv[4], "vectors", n, rows, n * dim * sizeof *rows) | write_file(argv[4], "queries", n, q, queries * dim * sizeof *q) |
              write_file(argv[4], "truth", n, truth, queries * K * sizeof *truth) | write_file(argv[4], "few", n, few, queries * K * sizeof *few);
    free(rows);
    free(q);
    free(truth);
    free(few);
    return bad;
}
