/* Kernels agree with each other; the search finds what brute force finds; filters and tombstones hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <time.h>
#include <cmocka.h>

#include "crc32c.h"
#include "scan.h"

typedef struct set {
    size_t n, dim;
    float *raw, *scales;
    int8_t *codes, *fine;
    uint64_t *live;
} set;

static unsigned seed = 1;

static float gauss(void)
{
    float u = (float)(rand_r(&seed) % 100000 + 1) / 100001, v = (float)(rand_r(&seed) % 100000) / 100000;
    return sqrtf(-2 * logf(u)) * cosf(6.2831853f * v);
}

/* clusters 0: all directions alike; otherwise points close around so many centres. */
static set make_set(size_t n, size_t dim, size_t clusters)
{
    set s = {n, dim, malloc(n * dim * 4), malloc(n * 4), malloc(n * scan_stride(dim)), malloc(n * scan_stride(dim)), calloc(n / 64 + 1, 8)};
    float *centres = malloc((clusters + 1) * dim * 4);
    for (size_t i = 0; i < clusters * dim; i++)
        centres[i] = gauss();
    for (size_t r = 0; r < n; r++) {
        size_t c = clusters ? rand_r(&seed) % clusters : 0;
        for (size_t i = 0; i < dim; i++)
            s.raw[r * dim + i] = clusters ? centres[c * dim + i] + 0.3f * gauss() : gauss();
        assert_true(scan_quantize(s.raw + r * dim, dim, s.codes + r * scan_stride(dim), s.fine + r * scan_stride(dim), &s.scales[r]));
        s.live[r / 64] |= 1ull << r % 64;
    }
    free(centres);
    return s;
}

static void free_set(set *s)
{
    free(s->raw);
    free(s->fine);
    free(s->scales);
    free(s->codes);
    free(s->live);
}

static scan_rows rows_of(const set *s)
{
    return (scan_rows){s->n, s->codes, s->fine, s->scales, s->live, NULL};
}

/* Begin, all parts, end. */
static mt_status search(const scan_rows *parts, uint32_t n_parts, size_t dim, const float *query, size_t k, scan_hit *out, size_t *found,
                        bool (*stop)(void *), void *user)
{
    scan_search *s;
    mt_status status = scan_begin(&s, parts, dim, query, k);
    *found = 0;
    for (uint32_t i = 0; status == MT_OK && i < n_parts; i++)
        status = scan_part(s, i, 0, stop, user);
    if (status == MT_OK)
        *found = scan_finish(s, out);
    scan_end(s);
    return status;
}

/* The k-th best cosine by plain double arithmetic. */
static double kth_best(const set *s, const float *q, size_t k, double *all)
{
    double qq = 0, best[16] = {0};
    for (size_t i = 0; i < s->dim; i++)
        qq += (double)q[i] * q[i];
    for (size_t j = 0; j < k; j++)
        best[j] = -2;
    for (size_t r = 0; r < s->n; r++) {
        double sum = 0, rr = 0;
        for (size_t i = 0; i < s->dim; i++) {
            sum += (double)q[i] * s->raw[r * s->dim + i];
            rr += (double)s->raw[r * s->dim + i] * s->raw[r * s->dim + i];
        }
        all[r] = sum / sqrt(qq * rr);
        for (size_t j = k; j-- > 0 && all[r] > best[j];) {
            if (j + 1 < k)
                best[j + 1] = best[j];
            best[j] = all[r];
        }
    }
    return best[k - 1];
}

static double recall(size_t n, size_t dim, size_t clusters, int queries)
{
    set s = make_set(n, dim, clusters);
    scan_rows rows = rows_of(&s);
    double *all = malloc(n * sizeof *all);
    size_t good = 0;
    for (int i = 0; i < queries; i++) {
        float q[SCAN_MAX_DIM];
        const float *near = s.raw + (rand_r(&seed) % n) * dim;
        for (size_t j = 0; j < dim; j++)
            q[j] = clusters ? near[j] + 0.2f * gauss() : gauss();
        scan_hit hits[10];
        size_t found;
        assert_int_equal(search(&rows, 1, dim, q, 10, hits, &found, NULL, NULL), MT_OK);
        assert_int_equal(found, 10);
        double least = kth_best(&s, q, 10, all);
        for (size_t j = 0; j < found; j++) {
            good += all[hits[j].row] >= least;
            assert_true(fabs(all[hits[j].row] - (double)hits[j].score) < 2e-5);
            assert_true(j == 0 || hits[j].score <= hits[j - 1].score);
        }
    }
    free(all);
    free_set(&s);
    return (double)good / (10.0 * queries);
}

static void test_recall(void **state)
{
    size_t n = getenv("MORTISE_TEST_SMALL") ? 3000 : 20000;
    double random = recall(n, 384, 0, 40), clustered = recall(n, 384, 50, 40), odd = recall(3000, 37, 5, 40);
    print_message("recall@10: random %.4f, clustered %.4f, 37 dimensions %.4f\n", random, clustered, odd);
    assert_true(random >= 0.99 && clustered >= 0.99 && odd >= 0.99);
}

static void test_kernels_agree(void **state)
{
    const char *name;
    scan_kernel portable, kernel;
    assert_true(scan_kernel_at(0, &name, &portable));
    for (int round = 0; round < 200; round++) {
        size_t stride = 64 * (1 + rand_r(&seed) % 12), n = 1 + rand_r(&seed) % 20;
        int8_t *rows = malloc(stride * n), *query = malloc(stride);
        const int8_t *at[20];
        for (size_t i = 0; i < n; i++)
            at[i] = rows + i * stride;
        for (size_t i = 0; i < stride * n; i++)
            rows[i] = (int8_t)(round % 4 ? rand_r(&seed) % 255 - 127 : 127 - 254 * (rand_r(&seed) % 2));
        for (size_t i = 0; i < stride; i++)
            query[i] = (int8_t)(round % 4 ? rand_r(&seed) % 255 - 127 : 127);
        int32_t want[20], got[20];
        portable(query, at, stride, n, want);
        for (size_t k = 1; scan_kernel_at(k, &name, &kernel); k++) {
            if (!kernel)
                continue;
            kernel(query, at, stride, n, got);
            assert_memory_equal(got, want, n * sizeof *got);
        }
        free(rows);
        free(query);
    }
    for (size_t k = 0; scan_kernel_at(k, &name, &kernel); k++)
        print_message("kernel %s: %s\n", name, kernel ? "compared" : "not on this processor");
}

static bool never(void *user)
{
    ++*(int *)user;
    return false;
}

static bool at_once(void *user)
{
    return true;
}

static void test_filters(void **state)
{
    set s = make_set(1000, 64, 0);
    uint64_t allow[16] = {0};
    scan_rows parts[2] = {rows_of(&s), rows_of(&s)}; /* the same rows twice: ties come in order */
    scan_hit hits[2000];
    size_t found;
    assert_int_equal(search(parts, 2, 64, s.raw, 2000, hits, &found, NULL, NULL), MT_OK);
    assert_int_equal(found, 2000);
    assert_true(hits[0].row == 0 && hits[0].part == 0 && hits[1].row == 0 && hits[1].part == 1);
    assert_true(hits[0].score > 0.9999f);
    s.live[0] &= ~1ull;
    for (size_t r = 0; r < 1000; r += 7)
        allow[r / 64] |= 1ull << r % 64;
    parts[0].allow = allow;
    assert_int_equal(search(parts, 1, 64, s.raw, 500, hits, &found, NULL, NULL), MT_OK);
    assert_int_equal(found, 142); /* 143 multiples of 7 below 1000 without 0 */
    for (size_t i = 0; i < found; i++)
        assert_true(hits[i].row % 7 == 0 && hits[i].row != 0);
    free_set(&s);
}

static void test_refusals(void **state)
{
    set s = make_set(70000, 4, 0);
    scan_rows rows = rows_of(&s);
    scan_hit hits[4];
    size_t found;
    float zero[4] = {0}, nan[4] = {NAN, 1, 1, 1};
    int asked = 0;
    assert_int_equal(search(&rows, 1, 4, zero, 4, hits, &found, NULL, NULL), MT_INVALID);
    assert_int_equal(search(&rows, 1, 4, nan, 4, hits, &found, NULL, NULL), MT_INVALID);
    assert_int_equal(search(&rows, 1, 4, s.raw, 0, hits, &found, NULL, NULL), MT_INVALID);
    assert_int_equal(search(&rows, 1, 0, s.raw, 1, hits, &found, NULL, NULL), MT_INVALID);
    assert_int_equal(search(&rows, 1, 4, s.raw, 1, hits, &found, at_once, NULL), MT_CANCELLED);
    assert_int_equal(search(&rows, 1, 4, s.raw, 1, hits, &found, never, &asked), MT_OK);
    assert_int_equal(asked, 1);
    s.scales[0] = NAN; /* a damaged row is left out */
    assert_int_equal(search(&rows, 1, 4, s.raw, 4, hits, &found, NULL, NULL), MT_OK);
    for (size_t i = 0; i < found; i++)
        assert_int_not_equal(hits[i].row, 0);
    rows.n = 0;
    assert_int_equal(search(&rows, 1, 4, s.raw, 4, hits, &found, NULL, NULL), MT_OK);
    assert_int_equal(found, 0);
    free_set(&s);
}

static void test_crc32c(void **state)
{
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283u); /* the check value of RFC 3720's polynomial */
    char p[100];
    for (size_t i = 0; i < sizeof p; i++)
        p[i] = (char)(i * 37);
    for (size_t n = 0; n <= sizeof p; n++) {
        assert_int_equal(crc32c(7, p, n), crc32c_portable(7, p, n));
        assert_int_equal(crc32c(crc32c(0, p, n / 3), p + n / 3, n - n / 3), crc32c(0, p, n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels_agree), cmocka_unit_test(test_recall),   cmocka_unit_test(test_filters),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_crc32c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
