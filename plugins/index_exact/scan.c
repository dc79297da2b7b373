/* Kernels for three instruction sets, chosen at first use, and the search with its heap of candidates. */
#include "scan.h"

#include <math.h>
#include <stdlib.h>

/* --- kernels --- */

static void dots_portable(const int8_t *query, const int8_t *rows, size_t stride, size_t n, int32_t *out)
{
    for (size_t r = 0; r < n; r++, rows += stride) {
        int32_t sum = 0;
        for (size_t i = 0; i < stride; i++)
            sum += query[i] * rows[i];
        out[r] = sum;
    }
}

#ifdef __x86_64__
#include <immintrin.h>

/* |row| times the query with the row's sign: unsigned by signed, as the instruction wants. 127 × 127 × 2 fits 16 bits. */
__attribute__((target("avx2"))) static void dots_avx2(const int8_t *query, const int8_t *rows, size_t stride, size_t n, int32_t *out)
{
    const __m256i ones = _mm256_set1_epi16(1);
    for (size_t r = 0; r < n; r++, rows += stride) {
        __m256i sum = _mm256_setzero_si256();
        for (size_t i = 0; i < stride; i += 32) {
            __m256i a = _mm256_loadu_si256((const __m256i *)(rows + i));
            __m256i q = _mm256_loadu_si256((const __m256i *)(query + i));
            __m256i p = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(q, a));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(p, ones));
        }
        __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
        out[r] = _mm_cvtsi128_si32(s);
    }
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void dots_vnni(const int8_t *query, const int8_t *rows, size_t stride,
                                                                            size_t n, int32_t *out)
{
    const __m512i zero = _mm512_setzero_si512();
    for (size_t r = 0; r < n; r++, rows += stride) {
        __m512i sum = zero;
        for (size_t i = 0; i < stride; i += 64) {
            __m512i a = _mm512_loadu_si512(rows + i);
            __m512i q = _mm512_loadu_si512(query + i);
            q = _mm512_mask_sub_epi8(q, _mm512_movepi8_mask(a), zero, q);
            sum = _mm512_dpbusd_epi32(sum, _mm512_abs_epi8(a), q);
        }
        out[r] = _mm512_reduce_add_epi32(sum);
    }
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static bool has_vnni(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
}
#endif

static bool always(void)
{
    return true;
}

static const struct {
    const char *name;
    bool (*runs)(void);
    scan_kernel kernel;
} kernels[] = {
    {"portable", always, dots_portable},
#ifdef __x86_64__
    {"avx2", has_avx2, dots_avx2},
    {"avx512-vnni", has_vnni, dots_vnni},
#endif
};

bool scan_kernel_at(size_t i, const char **name, scan_kernel *kernel)
{
    if (i >= sizeof kernels / sizeof *kernels)
        return false;
    *name = kernels[i].name;
    *kernel = kernels[i].runs() ? kernels[i].kernel : NULL;
    return true;
}

static scan_kernel best_kernel(void)
{
    size_t i = sizeof kernels / sizeof *kernels;
    while (!kernels[--i].runs())
        ;
    return kernels[i].kernel;
}

/* --- vectors --- */

/* Sixteen partial sums: vectorized, and the same result on every processor. */
static float dot(const float *a, const float *b, size_t n)
{
    float sums[16] = {0}, total = 0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t j = 0; j < 16; j++)
            sums[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        total += a[i] * b[i];
    for (size_t j = 0; j < 16; j++)
        total += sums[j];
    return total;
}

bool scan_quantize(const float *v, size_t dim, float *full, int8_t *codes, float *scale)
{
    double sum = 0;
    float largest = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double)v[i] * v[i];
    if (!(sum > 0) || !isfinite(sum))
        return false;
    double inverse = 1 / sqrt(sum);
    for (size_t i = 0; i < dim; i++) {
        full[i] = (float)(v[i] * inverse);
        largest = fmaxf(largest, fabsf(full[i]));
    }
    *scale = largest / 127;
    memset(codes, 0, scan_stride(dim));
    for (size_t i = 0; i < dim; i++)
        codes[i] = (int8_t)lrintf(full[i] / *scale);
    return true;
}

/* --- search --- */

typedef struct heap {
    scan_hit *hits;  /* hits[0] is the worst */
    size_t n, cap;
} heap;

static bool worse(const scan_hit *a, const scan_hit *b)
{
    if (a->score != b->score)
        return a->score < b->score;
    return a->part != b->part ? a->part > b->part : a->row > b->row;
}

static void sift_down(heap *h, scan_hit hit)
{
    size_t at = 0, child;
    while ((child = at * 2 + 1) < h->n) {
        child += child + 1 < h->n && worse(&h->hits[child + 1], &h->hits[child]);
        if (!worse(&h->hits[child], &hit))
            break;
        h->hits[at] = h->hits[child];
        at = child;
    }
    h->hits[at] = hit;
}

/* A score that is not a number is never better than another, so it stays out. */
static void offer(heap *h, scan_hit hit)
{
    if (h->n == h->cap) {
        if (worse(&h->hits[0], &hit) && hit.score >= h->hits[0].score)
            sift_down(h, hit);
        return;
    }
    if (isnan(hit.score))
        return;
    size_t at = h->n++;
    for (; at > 0 && worse(&hit, &h->hits[(at - 1) / 2]); at = (at - 1) / 2)
        h->hits[at] = h->hits[(at - 1) / 2];
    h->hits[at] = hit;
}

typedef struct search {
    const scan_rows *rows;
    uint32_t part;
    size_t stride;
    const int8_t *query;
    scan_kernel kernel;
    heap *heap;
} search;

/* Rows [first, first + 64) whose bits are set. Few bits: only their rows are read. */
static void scan_block(search *s, size_t first, uint64_t bits)
{
    int32_t sums[64];
    const scan_rows *rows = s->rows;
    size_t n = rows->n - first < 64 ? rows->n - first : 64;
    bool all = __builtin_popcountll(bits) > 24;
    if (all)
        s->kernel(s->query, rows->codes + first * s->stride, s->stride, n, sums);
    while (bits) {
        size_t i = (size_t)__builtin_ctzll(bits), row = first + i;
        bits &= bits - 1;
        if (!all)
            s->kernel(s->query, rows->codes + row * s->stride, s->stride, 1, &sums[i]);
        float score = (float)sums[i] * rows->scales[row];
        heap *h = s->heap;
        if (h->n < h->cap || score >= h->hits[0].score)
            offer(h, (scan_hit){s->part, (uint32_t)row, score});
    }
}

static mt_status scan_part(search *s, bool (*stop)(void *), void *user)
{
    const scan_rows *rows = s->rows;
    for (size_t word = 0; word * 64 < rows->n; word++) {
        uint64_t bits = rows->live[word];
        if (rows->allow)
            bits &= rows->allow[word];
        if (bits)
            scan_block(s, word * 64, bits);
        if (stop && word % 1024 == 1023 && stop(user))
            return MT_CANCELLED;
    }
    return MT_OK;
}

static int best_first(const void *a, const void *b)
{
    return worse(a, b) - worse(b, a);
}

/* Scores the candidates by their fp32 rows and writes the k best. */
static size_t rerank(heap *h, const scan_rows *parts, size_t dim, const float *query, size_t k, scan_hit *out)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        scan_hit *hit = &h->hits[i];
        hit->score = dot(parts[hit->part].full + (size_t)hit->row * dim, query, dim);
        if (!isnan(hit->score))
            h->hits[n++] = *hit;
    }
    qsort(h->hits, n, sizeof *h->hits, best_first);
    n = n < k ? n : k;
    for (size_t i = 0; i < n; i++) {
        out[i] = h->hits[i];
        out[i].score = fminf(1, fmaxf(-1, out[i].score));
    }
    return n;
}

mt_status scan_search(const scan_rows *parts, size_t n_parts, size_t dim, const float *query, size_t k, scan_hit *out, size_t *found,
                      bool (*stop)(void *), void *user)
{
    *found = 0;
    if (dim == 0 || dim > SCAN_MAX_DIM || k == 0 || k > SCAN_MAX_K)
        return MT_INVALID;
    heap h = {.cap = k * 4 + 32};
    float full[SCAN_MAX_DIM], scale;
    int8_t codes[SCAN_MAX_DIM];
    if (!scan_quantize(query, dim, full, codes, &scale))
        return MT_INVALID;
    h.hits = malloc(h.cap * sizeof *h.hits);
    if (!h.hits)
        return MT_NO_MEMORY;
    search s = {.stride = scan_stride(dim), .query = codes, .kernel = best_kernel(), .heap = &h};
    mt_status status = MT_OK;
    for (size_t i = 0; i < n_parts && status == MT_OK; i++) {
        s.rows = &parts[i];
        s.part = (uint32_t)i;
        status = scan_part(&s, stop, user);
    }
    if (status == MT_OK)
        *found = rerank(&h, parts, dim, full, k, out);
    free(h.hits);
    return status;
}
