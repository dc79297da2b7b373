/* A cross-encoder with random weights (tiny_reranker, made by make_tiny_reranker.py): pairs, segments, cuts and scores as plain Python has them; and the set
   of models: what is opened, shared and closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "embed.h"
#include "models.h"

#define FOLDER "plugins/embedder_onnx/tests/tiny_reranker"

static bool runtime_missing(void)
{
    if (access(ONNX_LIBRARY, R_OK) == 0)
        return false;
    print_message("skipped: %s is missing\n", ONNX_LIBRARY);
    return true;
}

static void add(model_set *set, const char *name, const char *digest)
{
    char reason[WORDPIECE_REASON] = "";
    model m = {.head = ONNX_SCORE, .dimensions = 1, .window = 16};
    snprintf(m.name, sizeof m.name, "%s", name);
    snprintf(m.path, sizeof m.path, FOLDER "/model.onnx");
    snprintf(m.vocabulary, sizeof m.vocabulary, "%s", digest);
    if (model_add(set, &m, FOLDER "/vocab.txt", reason) != MT_OK)
        fail_msg("%s", reason);
}

static void check_line(const embedder *e, char *line)
{
    char reason[ONNX_REASON] = "";
    float alone, out[3];
    char *query = strsep(&line, "\t"), *text = strsep(&line, "\t");
    float want = strtof(line, NULL);
    const mt_slice one = mt_str(text), three[3] = {MT_SLICE_INIT("the river stands by the bank of the mill"), one, MT_SLICE_INIT("is")};
    if (rerank_texts(e, mt_str(query), &one, 1, &alone, (embed_watch){0}, reason) != MT_OK)
        fail_msg("%s", reason);
    if (fabsf(alone - want) > 1e-4f)
        fail_msg("%s / %s: %f, not %f", query, text, (double)alone, (double)want);
    assert_int_equal(rerank_texts(e, mt_str(query), three, 3, out, (embed_watch){0}, reason), MT_OK);
    assert_true(fabsf(out[1] - want) < 1e-4f);           /* whatever it is padded beside */
    assert_true(fabsf(out[0] - out[2]) > 1e-6f);
}

static void test_scores(void **state)
{
    char reason[ONNX_REASON] = "", *line = NULL;
    size_t cap = 0, n = 0;
    model_set set;
    if (runtime_missing())
        skip();
    model_set_init(&set);
    snprintf(set.library, sizeof set.library, "%s", ONNX_LIBRARY);
    add(&set, "tiny", "");
    model *m = model_find(&set, MT_SLICE("tiny"));
    embedder e = {.tokens = m->tokens, .window = m->window, .limits = {.waste = 99}};
    assert_int_equal(model_acquire(&set, m, &e.session, reason), MT_OK);
    FILE *f = fopen(FOLDER "/scores.tsv", "r");
    assert_non_null(f);
    for (; getline(&line, &cap, f) > 0; n++)
        check_line(&e, line);
    assert_int_equal(n, 8);
    fclose(f);
    free(line);
    model_release(&set, m);
    model_set_dispose(&set);
}

static void test_few_in_memory(void **state)
{
    char reason[ONNX_REASON] = "";
    onnx_session *s[4];
    model_set set;
    if (runtime_missing())
        skip();
    model_set_init(&set);
    snprintf(set.library, sizeof set.library, "%s", ONNX_LIBRARY);
    set.max_open = 2;
    add(&set, "a", "same");
    add(&set, "b", "same");
    add(&set, "c", "other");
    add(&set, "c", "other");
    assert_int_equal(set.n, 3);
    assert_ptr_equal(set.items[0]->tokens, set.items[1]->tokens);
    assert_ptr_not_equal(set.items[0]->tokens, set.items[2]->tokens);
    assert_null(model_find(&set, MT_SLICE("d")));
    assert_int_equal(model_open_count(&set), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(model_acquire(&set, set.items[i], &s[i], reason), MT_OK);
    assert_int_equal(model_open_count(&set), 3);         /* all at work: over the cap for now */
    assert_int_equal(model_acquire(&set, set.items[0], &s[3], reason), MT_OK);
    assert_ptr_equal(s[0], s[3]);
    model_release(&set, set.items[1]);
    assert_int_equal(model_open_count(&set), 2);
    assert_null(set.items[1]->session);
    model_release(&set, set.items[0]);
    model_release(&set, set.items[0]);
    model_release(&set, set.items[2]);
    assert_int_equal(model_open_count(&set), 2);
    assert_int_equal(model_acquire(&set, set.items[1], &s[1], reason), MT_OK);
    assert_null(set.items[2]->session);                  /* the least used one made room */
    model_release(&set, set.items[1]);
    set.items[2]->dimensions = 7;                        /* a manifest that says another thing than the model */
    assert_int_equal(model_acquire(&set, set.items[2], &s[2], reason), MT_UNSUPPORTED);
    assert_non_null(strstr(reason, "manifest"));
    model_set_dispose(&set);
}

static void test_not_a_reranker(void **state)
{
    char reason[ONNX_REASON] = "";
    onnx_session *s;
    if (runtime_missing() || access(MODEL_DIR "/model.onnx", R_OK) != 0)
        skip();
    assert_int_equal(onnx_session_open(&s, &(onnx_options){.library = ONNX_LIBRARY, .model = MODEL_DIR "/model.onnx", .head = ONNX_SCORE}, reason), MT_UNSUPPORTED);
    assert_int_equal(onnx_session_open(&s, &(onnx_options){.library = ONNX_LIBRARY, .model = FOLDER "/model.onnx", .head = ONNX_CLS}, reason), MT_UNSUPPORTED);
    assert_non_null(strstr(reason, "embeddings"));
}

int main(void)
{
    const char *small = getenv("MORTISE_TEST_SMALL");
    if (small && strcmp(small, "valgrind") == 0) {
        puts("SKIP: the runtime's own arithmetic takes a quarter of an hour under valgrind");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores), cmocka_unit_test(test_few_in_memory), cmocka_unit_test(test_not_a_reranker)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
