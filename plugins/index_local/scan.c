/* Kernels for three instruction sets, chosen at first use, and the search with its heap of candidates. */
#include "scan.h"

#include <math.h>
#include <stdlib.h>

#define FINE 254 /* steps of a fine byte in one of a code */

/* --- kernels --- */

static void dots_portable(const int8_t *query, const int8_t *const *rows, size_t stride, size_t n, int32_t *out)
{
    for (size_t r = 0; r < n; r++) {
        int32_t sum = 0;
        for (size_t i = 0; i < stride; i++)
            sum += query[i] * rows[r][i];
        out[r] = sum;
    }
}

#ifdef __x86_64__
#include <immintrin.h>

/* |row| times the query with the row's sign: unsigned by signed, as the instruction wants. 127 × 127 × 2 fits 16 bits. */
__attribute__((target("avx2"))) static void dots_avx2(const int8_t *query, const int8_t *const *rows, size_t stride, size_t n, int32_t *out)
{
    const __m256i ones = _mm256_set1_epi16(1);
    for (size_t r = 0; r < n; r++) {
        __m256i sum = _mm256_setzero_si256();
        for (size_t i = 0; i < stride; i += 32) {
            __m256i a = _mm256_loadu_si256((const __m256i *)(rows[r] + i));
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

#define VNNI __attribute__((target("avx512f,avx512bw,avx512vnni")))

VNNI static inline __m256i halve(__m512i v)
{
    return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

/* The rows' bytes become unsigned by adding 128; 128 × the query's sum is taken off again. Four rows share the loads and the last sums. */
VNNI static void dots_vnni(const int8_t *query, const int8_t *const *rows, size_t stride, size_t n, int32_t *out)
{
    const __m512i flip = _mm512_set1_epi8((char)0x80), zero = _mm512_setzero_si512();
    __m512i all = zero;
    for (size_t i = 0; i < stride; i += 64)
        all = _mm512_dpbusd_epi32(all, flip, _mm512_loadu_si512(query + i));
    const __m128i bias = _mm_set1_epi32(_mm512_reduce_add_epi32(all));
    for (size_t r = 0; r < n; r += 4) {
        size_t last = n - 1;
        const int8_t *a = rows[r], *b = rows[r + 1 < n ? r + 1 : last], *c = rows[r + 2 < n ? r + 2 : last], *d = rows[r + 3 < n ? r + 3 : last];
        __m512i sa = zero, sb = zero, sc = zero, sd = zero;
        for (size_t i = 0; i < stride; i += 64) {
            __m512i q = _mm512_loadu_si512(query + i);
            sa = _mm512_dpbusd_epi32(sa, _mm512_xor_si512(_mm512_loadu_si512(a + i), flip), q);
            sb = _mm512_dpbusd_epi32(sb, _mm512_xor_si512(_mm512_loadu_si512(b + i), flip), q);
            sc = _mm512_dpbusd_epi32(sc, _mm512_xor_si512(_mm512_loadu_si512(c + i), flip), q);
            sd = _mm512_dpbusd_epi32(sd, _mm512_xor_si512(_mm512_loadu_si512(d + i), flip), q);
        }
        __m256i h = _mm256_hadd_epi32(_mm256_hadd_epi32(halve(sa), halve(sb)), _mm256_hadd_epi32(halve(sc), halve(sd)));
        __m128i sums = _mm_sub_epi32(_mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1)), bias);
        int32_t four[4];
        _mm_storeu_si128((__m128i *)four, sums);
        memcpy(out + r, four, (n - r < 4 ? n - r : 4) * sizeof *four);
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

scan_kernel scan_best_kernel(void)
{
    size_t i = sizeof kernels / sizeof *kernels;
    while (!kernels[--i].runs())
        ;
    return kernels[i].kernel;
}

/* --- vectors --- */

bool scan_quantize(const float *v, size_t dim, int8_t *codes, int8_t *fine, float *scale)
{
    double sum = 0;
    float largest = 0;
    for (size_t i = 0; i < dim; i++) {
        sum += (double)v[i] * v[i];
        largest = fmaxf(largest, fabsf(v[i]));
    }
    if (!(sum > 0) || !isfinite(sum))
        return false;
    double step = (double)largest / 127;
    *scale = (float)(step / sqrt(sum));
    if (!(step > 0) || !(*scale > 0))
        return false;
    memset(codes + dim, 0, scan_stride(dim) - dim);
    memset(fine + dim, 0, scan_stride(dim) - dim);
    for (size_t i = 0; i < dim; i++) {
        float at = (float)(v[i] / step), near = rintf(at);
        codes[i] = (int8_t)near;
        fine[i] = (int8_t)rintf((at - near) * FINE);
    }
    return true;
}

/* --- search --- */

struct scan_search {
    const scan_rows *parts;
    size_t stride, k;
    scan_kernel kernel;
    float scale;                 /* of the query */
    int8_t codes[SCAN_MAX_DIM], fine[SCAN_MAX_DIM];
    size_t n, cap;
    scan_hit hits[];             /* a heap; hits[0] is the worst */
};

static bool worse(const scan_hit *a, const scan_hit *b)
{
    if (a->score != b->score)
        return a->score < b->score;
    return a->part != b->part ? a->part > b->part : a->row > b->row;
}

static void sift_down(scan_search *s, scan_hit hit)
{
    size_t at = 0, child;
    while ((child = at * 2 + 1) < s->n) {
        child += child + 1 < s->n && worse(&s->hits[child + 1], &s->hits[child]);
        if (!worse(&s->hits[child], &hit))
            break;
        s->hits[at] = s->hits[child];
        at = child;
    }
    s->hits[at] = hit;
}

/* A score that is not a number is never better than another, so it stays out. */
static void keep(scan_search *s, scan_hit hit)
{
    if (s->n == s->cap) {
        if (worse(&s->hits[0], &hit) && hit.score >= s->hits[0].score)
            sift_down(s, hit);
        return;
    }
    if (isnan(hit.score))
        return;
    size_t at = s->n++;
    for (; at > 0 && worse(&hit, &s->hits[(at - 1) / 2]); at = (at - 1) / 2)
        s->hits[at] = s->hits[(at - 1) / 2];
    s->hits[at] = hit;
}

mt_status scan_begin(scan_search **out, const scan_rows *parts, size_t dim, const float *query, size_t k)
{
    *out = NULL;
    if (dim == 0 || dim > SCAN_MAX_DIM || k == 0 || k > SCAN_MAX_K)
        return MT_INVALID;
    size_t cap = k * 4 + 32;
    scan_search *s = malloc(sizeof *s + cap * sizeof *s->hits);
    if (!s)
        return MT_NO_MEMORY;
    s->parts = parts;
    s->stride = scan_stride(dim);
    s->k = k;
    s->kernel = scan_best_kernel();
    s->n = 0;
    s->cap = cap;
    if (!scan_quantize(query, dim, s->codes, s->fine, &s->scale)) {
        free(s);
        return MT_INVALID;
    }
    *out = s;
    return MT_OK;
}

const int8_t *scan_query_codes(const scan_search *s, float *scale)
{
    *scale = s->scale;
    return s->codes;
}

void scan_restart(scan_search *s)
{
    s->n = 0;
}

void scan_end(scan_search *s)
{
    free(s);
}

/* Rows of [first, first + 64) whose bits, at least one, are set; only these are read. */
static void scan_block(scan_search *s, uint32_t part, size_t first, uint64_t bits)
{
    const scan_rows *rows = &s->parts[part];
    const int8_t *at[64];
    int32_t sums[64];
    uint32_t which[64];
    size_t n = 0;
    do {
        which[n] = (uint32_t)first + (uint32_t)__builtin_ctzll(bits);
        at[n] = rows->codes + which[n] * s->stride;
        n++;
    } while (bits &= bits - 1);
    s->kernel(s->codes, at, s->stride, n, sums);
    for (size_t i = 0; i < n; i++) {
        float score = (float)sums[i] * rows->scales[which[i]] * s->scale;
        if (s->n < s->cap || score >= s->hits[0].score)
            keep(s, (scan_hit){part, which[i], score});
    }
}

static uint64_t wanted(const scan_rows *rows, size_t word)
{
    return rows->live[word] & (rows->allow ? rows->allow[word] : ~0ull);
}

mt_status scan_part(scan_search *s, uint32_t part, size_t first, bool (*stop)(void *), void *user)
{
    const scan_rows *rows = &s->parts[part];
    for (size_t word = first / 64; word * 64 < rows->n; word++) {
        uint64_t bits = wanted(rows, word);
        if (word * 64 < first)
            bits &= ~0ull << first % 64;
        if (bits)
            scan_block(s, part, word * 64, bits);
        if (stop && word % 1024 == 1023 && stop(user))
            return MT_CANCELLED;
    }
    return MT_OK;
}

bool scan_offer(scan_search *s, uint32_t part, uint32_t row, float score)
{
    if (!(wanted(&s->parts[part], row / 64) >> row % 64 & 1))
        return false;
    keep(s, (scan_hit){part, row, score});
    return true;
}

bool scan_offer_row(scan_search *s, uint32_t part, uint32_t row)
{
    const int8_t *at[1] = {s->parts[part].codes + row * s->stride};
    int32_t sum;
    s->kernel(s->codes, at, s->stride, 1, &sum);
    return scan_offer(s, part, row, (float)sum * s->parts[part].scales[row] * s->scale);
}

/* scale × scale × (codes + fine / 254) · (codes + fine / 254), its four products as whole numbers. */
static float exact_score(const scan_search *s, const scan_hit *hit)
{
    const scan_rows *rows = &s->parts[hit->part];
    const int8_t *two[2] = {rows->codes + hit->row * s->stride, rows->fine + hit->row * s->stride};
    int32_t by_codes[2], by_fine[2];
    s->kernel(s->codes, two, s->stride, 2, by_codes);
    s->kernel(s->fine, two, s->stride, 2, by_fine);
    double sum = by_codes[0] + ((double)by_codes[1] + by_fine[0]) / FINE + (double)by_fine[1] / (FINE * FINE);
    return (float)(sum * (double)s->scale * (double)rows->scales[hit->row]);
}

static int best_first(const void *a, const void *b)
{
    return worse(a, b) - worse(b, a);
}

size_t scan_finish(scan_search *s, scan_hit *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        scan_hit hit = s->hits[i];
        hit.score = exact_score(s, &hit);
        if (!isnan(hit.score))
            s->hits[n++] = hit;
    }
    qsort(s->hits, n, sizeof *s->hits, best_first);
    n = n < s->k ? n : s->k;
    for (size_t i = 0; i < n; i++) {
        out[i] = s->hits[i];
        out[i].score = fminf(1, fmaxf(-1, out[i].score));
    }
    return n;
}
