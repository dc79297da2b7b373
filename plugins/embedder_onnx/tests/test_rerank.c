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
    model *m = model_get(&set, (mt_slice){0}, MT_SLICE("tiny"));
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
    model_put(&set, m);
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
    assert_null(model_get(&set, (mt_slice){0}, MT_SLICE("d")));
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

/* Of organizations only so many stay known; one that is held stays whatever comes. */
static void test_room_for_organizations(void **state)
{
    char reason[WORDPIECE_REASON] = "", name[16];
    model_set set;
    model_set_init(&set);
    add(&set, "machine", "same");
    for (int i = 0; i < 3 * MODELS_OF_ORGS; i++) {
        model m = {.head = ONNX_SCORE, .dimensions = 1, .window = 16, .org = "0b", .vocabulary = "same"};
        snprintf(m.name, sizeof m.name, "m%d", i);
        assert_int_equal(model_add(&set, &m, FOLDER "/vocab.txt", reason), MT_OK);
        if (i == 0)
            assert_non_null(model_get(&set, MT_SLICE("0b"), MT_SLICE("m0")));
    }
    assert_int_equal(set.n, 1 + MODELS_OF_ORGS);
    snprintf(name, sizeof name, "m%d", 3 * MODELS_OF_ORGS - 1);
    model *last = model_get(&set, MT_SLICE("0b"), mt_str(name)), *held = model_get(&set, MT_SLICE("0b"), MT_SLICE("m0"));
    assert_non_null(last);
    assert_non_null(held);
    assert_null(model_get(&set, MT_SLICE("0b"), MT_SLICE("m1")));
    assert_int_equal(wordpiece_vocab_size(held->tokens), wordpiece_vocab_size(last->tokens));
    model_put(&set, held);
    model_put(&set, held);
    model_put(&set, last);
    model_set_dispose(&set);
}

/* Words that the model has no numbers for. */
static void test_another_models_vocabulary(void **state)
{
    char reason[ONNX_REASON] = "", path[] = "/tmp/mortise-vocab-XXXXXX", why[WORDPIECE_REASON] = "";
    onnx_session *s;
    model_set set;
    if (runtime_missing())
        skip();
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    dprintf(fd, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
    for (int i = 0; i < 100; i++)
        dprintf(fd, "word%d\n", i);
    close(fd);
    model_set_init(&set);
    snprintf(set.library, sizeof set.library, "%s", ONNX_LIBRARY);
    model m = {.head = ONNX_SCORE, .dimensions = 1, .window = 16, .name = "m", .path = FOLDER "/model.onnx"};
    assert_int_equal(model_add(&set, &m, path, why), MT_OK);
    assert_int_equal(model_acquire(&set, set.items[0], &s, reason), MT_UNSUPPORTED);
    assert_non_null(strstr(reason, "vocabulary of 104 words"));
    model_set_dispose(&set);
    unlink(path);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores), cmocka_unit_test(test_few_in_memory), cmocka_unit_test(test_room_for_organizations),
                                       cmocka_unit_test(test_another_models_vocabulary), cmocka_unit_test(test_not_a_reranker)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
