/* The real model (skipped, with a message, where the set-up has not fetched it): vectors equal to the reference, whatever the batch and
   the threads; and files that are no models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <unistd.h>
#include <cmocka.h>

#include "embed.h"

#define MODEL MODEL_DIR "/model.onnx"
#define DIM 384

static wordpiece *tokens;
static onnx_session *session;

static int open_model(void **state)
{
    char reason[ONNX_REASON];
    if (access(MODEL, R_OK) != 0 || access(ONNX_LIBRARY, R_OK) != 0) {
        print_message("skipped: %s or %s is missing\n", MODEL, ONNX_LIBRARY);
        return 0;
    }
    if (onnx_session_open(&session, &(onnx_options){.library = ONNX_LIBRARY, .model = MODEL, .threads = 1}, reason) != MT_OK)
        print_error("%s\n", reason);
    return wordpiece_load(&tokens, MODEL_DIR "/vocab.txt", reason) != MT_OK || !session;
}

static int close_model(void **state)
{
    onnx_session_close(session);
    wordpiece_destroy(tokens);
    return 0;
}

static double dot(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < DIM; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static size_t read_reference(char *lines[], mt_slice *texts, float *vectors)
{
    FILE *f = fopen("plugins/embedder_onnx/tests/reference_vectors.tsv", "r");
    size_t n = 0, cap = 0;
    assert_non_null(f);
    for (; n < 16 && (lines[n] = NULL, cap = 0, getline(&lines[n], &cap, f) > 0); n++) {
        char *at = strchr(lines[n], '\t');
        assert_non_null(at);
        texts[n] = (mt_slice){lines[n], (size_t)(at - lines[n])};
        at++;
        for (size_t i = 0; i < DIM; i++)
            vectors[n * DIM + i] = strtof(at, &at);
    }
    free(lines[n]);
    fclose(f);
    return n;
}

static void test_reference(void **state)
{
    if (!session)
        skip();
    assert_int_equal(onnx_session_dim(session), DIM);
    char *lines[16], reason[ONNX_REASON] = "";
    mt_slice texts[16];
    static float want[16 * DIM], got[16 * DIM];
    size_t n = read_reference(lines, texts, want), cut = 0;
    assert_true(n >= 6);
    for (size_t waste = 1; waste <= 99; waste += 98) { /* one text a batch, then all in one */
        embedder e = {.tokens = tokens, .session = session, .window = 256, .limits = {.waste = waste}};
        assert_int_equal(embed_texts(&e, texts, n, got, &cut, (embed_watch){0}, reason), MT_OK);
        assert_int_equal(cut, 1);
        for (size_t i = 0; i < n; i++) {
            assert_true(dot(got + i * DIM, want + i * DIM) > 0.9999);
            assert_true(dot(got + i * DIM, got + i * DIM) > 0.99999);
        }
    }
    for (size_t i = 0; i < n; i++)
        free(lines[i]);
}

static bool stop_now(void *user)
{
    return ++*(int *)user > 1;
}

static void test_edges(void **state)
{
    if (!session)
        skip();
    embedder e = {.tokens = tokens, .session = session, .window = 256, .limits = {.rows = 1}};
    char reason[ONNX_REASON] = "";
    float out[3 * DIM];
    mt_slice texts[3] = {{NULL, 0}, MT_SLICE_INIT("x"), MT_SLICE_INIT("\xFF\xFE")};
    assert_int_equal(embed_texts(&e, texts, 0, NULL, NULL, (embed_watch){0}, reason), MT_OK);
    assert_int_equal(embed_texts(&e, texts, 3, out, NULL, (embed_watch){0}, reason), MT_OK);
    assert_true(dot(out, out + 2 * DIM) > 0.99999); /* nothing readable: as empty */
    int asked = 0;
    assert_int_equal(embed_texts(&e, texts, 3, out, NULL, (embed_watch){stop_now, &asked}, reason), MT_CANCELLED);
    e.window = 2;
    assert_int_equal(embed_texts(&e, texts, 3, out, NULL, (embed_watch){0}, reason), MT_INVALID);
    int64_t ids[2] = {5, 999999999}, mask[2] = {1, 1}, types[2] = {0, 0}; /* an id outside the vocabulary: refused, not read */
    assert_int_equal(onnx_session_run(session, &(onnx_batch){ids, mask, types, 1, 2}, out, reason), MT_INTERNAL);
    assert_non_null(strstr(reason, "model failed"));
}

static void *embed_many(void *arg)
{
    embedder e = {.tokens = tokens, .session = session, .window = 256};
    char reason[ONNX_REASON];
    mt_slice texts[2] = {MT_SLICE_INIT("What is Debian?"), MT_SLICE_INIT("Package management with apt and dpkg")};
    float *out = arg;
    for (int i = 0; i < 30; i++)
        if (embed_texts(&e, texts, 2, out, NULL, (embed_watch){0}, reason) != MT_OK)
            return arg;
    return NULL;
}

static void test_threads(void **state)
{
    if (!session)
        skip();
    pthread_t threads[4];
    static float out[4][2 * DIM];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, embed_many, out[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
        assert_true(dot(out[i], out[0]) > 0.9999);
    }
}

static void write_file(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static void test_not_a_model(void **state)
{
    if (!session)
        skip();
    char path[] = "/tmp/mortise-model-XXXXXX", reason[ONNX_REASON] = "", junk[5000];
    close(mkstemp(path));
    onnx_session *s;
    onnx_options o = {.library = ONNX_LIBRARY, .model = path, .threads = 1};
    assert_int_equal(onnx_session_open(&s, &o, reason), MT_INVALID); /* empty */
    memset(junk, 0xA7, sizeof junk);
    write_file(path, junk, sizeof junk);
    assert_int_equal(onnx_session_open(&s, &o, reason), MT_INVALID);
    assert_non_null(strstr(reason, "cannot be loaded"));
    FILE *f = fopen(MODEL, "rb"); /* cut in the middle */
    size_t n = 4 << 20;
    char *head = malloc(n);
    assert_int_equal(fread(head, 1, n, f), n);
    fclose(f);
    write_file(path, head, n);
    free(head);
    assert_int_equal(onnx_session_open(&s, &o, reason), MT_INVALID);
    assert_null(s);
    unlink(path);
    assert_int_equal(onnx_session_open(&s, &o, reason), MT_NOT_FOUND);
    o.library = "/nonexistent.so";
    assert_int_equal(onnx_session_open(&s, &o, reason), MT_NOT_FOUND);
    o.library = "libc.so.6";
    assert_int_equal(onnx_session_open(&s, &o, reason), MT_UNSUPPORTED);
}

/* The paragraphs of a text of this tree that hold more than a line. */
static size_t read_paragraphs(char *text, size_t room, mt_slice *out, size_t cap)
{
    FILE *f = fopen("sdk/docs/README.md", "r");
    size_t n = 0;
    assert_non_null(f);
    text[fread(text, 1, room - 1, f)] = 0;
    fclose(f);
    for (char *p = text, *end; *p && n < cap; p = end + strspn(end, "\n")) {
        end = strstr(p, "\n\n");
        end = end ? end : p + strlen(p);
        if (end - p > 80)
            out[n++] = (mt_slice){p, (size_t)(end - p)};
    }
    return n;
}

static size_t nearest(const float *vectors, size_t n, size_t to)
{
    size_t best = to ? 0 : 1;
    for (size_t i = 0; i < n; i++)
        if (i != to && dot(vectors + i * DIM, vectors + to * DIM) > dot(vectors + best * DIM, vectors + to * DIM))
            best = i;
    return best;
}

/* Neighbours whose cosines differ by less are a tie: the texts are of one page, so many are about as near. */
#define TIE 0.02

/* Real text through the 8-bit model beside the whole one: the vectors lie close, and the nearest paragraph of a paragraph is mostly the same or as near. */
static void test_int8(void **state)
{
    static char text[1 << 16];
    static float whole[64 * DIM], small[64 * DIM];
    mt_slice paragraphs[64];
    char reason[ONNX_REASON] = "";
    onnx_session *int8;
    double sum = 0, least = 1;
    size_t near = 0;
    if (!session || access(INT8_MODEL, R_OK) != 0)
        skip();
    if (onnx_session_open(&int8, &(onnx_options){.library = ONNX_LIBRARY, .model = INT8_MODEL, .threads = 1}, reason) != MT_OK)
        fail_msg("%s", reason);
    size_t n = read_paragraphs(text, sizeof text, paragraphs, 64);
    assert_true(n >= 30);
    embedder e = {.tokens = tokens, .session = session, .window = 256}, e8 = {.tokens = tokens, .session = int8, .window = 256};
    assert_int_equal(embed_texts(&e, paragraphs, n, whole, NULL, (embed_watch){0}, reason), MT_OK);
    assert_int_equal(embed_texts(&e8, paragraphs, n, small, NULL, (embed_watch){0}, reason), MT_OK);
    for (size_t i = 0; i < n; i++) {
        double cosine = dot(whole + i * DIM, small + i * DIM);
        sum += cosine;
        least = cosine < least ? cosine : least;
        size_t best = nearest(whole, n, i), chosen = nearest(small, n, i);
        near += dot(whole + i * DIM, whole + chosen * DIM) >= dot(whole + i * DIM, whole + best * DIM) - TIE;
    }
    print_message("int8: %zu paragraphs, cosine %.4f on average, %.4f at least; %zu choose the nearest or its equal\n", n, sum / (double)n, least, near);
    assert_true(sum / (double)n >= 0.98 && least >= 0.95);
    assert_true(near * 10 >= n * 9);
    onnx_session_close(int8);
}

int main(void)
{
    const char *small = getenv("MORTISE_TEST_SMALL");
    if (small && strcmp(small, "valgrind") == 0) {
        puts("SKIP: the runtime's own arithmetic takes a quarter of an hour under valgrind");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_edges), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_int8),      cmocka_unit_test(test_not_a_model),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
