/* Manifests: which tell a model that can run here; and a models folder with good, foreign and broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <mortise/plugin.h>
#include <mortise/testkit.h>

#include "folder.h"

extern const mt_plugin embedder_onnx_plugin;

static int start(void **state)
{
    *state = mt_testkit_create(&embedder_onnx_plugin, PLUGIN_DIR);
    return !*state;
}

static int stop(void **state)
{
    mt_testkit_destroy(*state);
    return 0;
}

static bool describe(mt_testkit *kit, const char *manifest, model *m, char *reason)
{
    *m = (model){0};
    return folder_describe(mt_testkit_call(kit), mt_str(manifest), m, reason);
}

static void test_manifests(void **state)
{
    char reason[WORDPIECE_REASON];
    model m;
    assert_true(describe(*state, "{\"task\":\"embedding\",\"dimensions\":384,\"max_tokens\":512,\"pooling\":\"cls\",\"prefix\":\"query: \","
                                 "\"files\":[{\"name\":\"vocab.txt\",\"sha256\":\"ab\"}]}", &m, reason));
    assert_true(m.head == ONNX_CLS && m.dimensions == 384 && m.window == 512);
    assert_string_equal(m.prefix, "query: ");
    assert_string_equal(m.vocabulary, "ab");
    assert_true(describe(*state, "{\"task\":\"rerank\",\"max_tokens\":512}", &m, reason));
    assert_true(m.head == ONNX_SCORE && m.dimensions == 1);
    assert_false(describe(*state, "{\"task\":\"chat\",\"max_tokens\":512}", &m, reason));
    assert_string_equal(reason, "");                     /* another's, and no fault */
    static const char *const wrong[] = {
        "{", "{\"task\":\"embedding\",\"max_tokens\":512}", "{\"task\":\"embedding\",\"dimensions\":384}", "{\"task\":\"embedding\",\"dimensions\":1e9,\"max_tokens\":512}",
        "{\"task\":\"embedding\",\"dimensions\":384,\"max_tokens\":512,\"pooling\":\"last\"}", "{\"task\":\"embedding\",\"dimensions\":384,\"max_tokens\":512,\"tokenizer\":\"bpe\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(describe(*state, wrong[i], &m, reason));
        assert_true(reason[0] != 0);
    }
}

static void put(const char *dir, const char *name, const char *file, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/%s/%s", dir, name, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_folder(void **state)
{
    static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", manifest[] = "{\"task\":\"embedding\",\"dimensions\":4,\"max_tokens\":16,\"prefix\":\"a a \"}";
    char dir[] = "/tmp/mortise-folder-XXXXXX", command[64];
    model_set set;
    assert_non_null(mkdtemp(dir));
    put(dir, "good", "manifest.json", manifest);
    put(dir, "good", "model.onnx", "");
    put(dir, "good", "vocab.txt", vocab);
    put(dir, "no-vocab", "manifest.json", manifest);
    put(dir, "no-vocab", "model.onnx", "");
    put(dir, "bad-vocab", "manifest.json", manifest);
    put(dir, "bad-vocab", "model.onnx", "");
    put(dir, "bad-vocab", "vocab.txt", "a\n");
    model_set_init(&set);
    mt_call *c = mt_testkit_call(*state);
    folder_read(c, &set, dir, true);
    folder_read(c, &set, dir, false);
    assert_int_equal(set.n, 1);
    assert_string_equal(set.items[0]->name, "good");
    assert_int_equal(set.items[0]->max_tokens, 14);      /* the prefix takes two */
    assert_int_equal(mt_testkit_count(*state, MT_SEEN_LOG), 1);
    folder_read(c, &set, "/nonexistent", true);
    put(dir, "later", "manifest.json", manifest);        /* placed since, and asked for by its name */
    put(dir, "later", "model.onnx", "");
    put(dir, "later", "vocab.txt", vocab);
    model *later = folder_get(c, &set, dir, (mt_slice){0}, MT_SLICE("later"), false);
    assert_non_null(later);
    model_put(&set, later);
    assert_null(folder_get(c, &set, dir, (mt_slice){0}, MT_SLICE("../good"), false));
    model_set_dispose(&set);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void rewrite(const char *dir, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/own/manifest.json", dir);
    unlink(path);
    if (text)
        put(dir, "own", "manifest.json", text);
}

/* An organization's models: hers alone, another one when the folder has another one, gone with it; held ones stay until they are given back. */
static void test_models_of_an_organization(void **state)
{
    static const char four[] = "{\"task\":\"embedding\",\"dimensions\":4,\"max_tokens\":16}", five[] = "{\"task\":\"embedding\",\"dimensions\":5,\"max_tokens\":16}";
    static const mt_slice org = MT_SLICE_INIT("0b"), own = MT_SLICE_INIT("own");
    char dir[] = "/tmp/mortise-folder-XXXXXX", command[64];
    mt_call *c = mt_testkit_call(*state);
    model_set set;
    assert_non_null(mkdtemp(dir));
    put(dir, "own", "model.onnx", "");
    put(dir, "own", "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n");
    model_set_init(&set);
    assert_null(folder_get(c, &set, dir, org, own, false));
    put(dir, "own", "manifest.json", four);
    model *held = folder_get(c, &set, dir, org, own, false), *again = folder_get(c, &set, dir, org, own, false);
    assert_ptr_equal(held, again);
    model_put(&set, again);
    assert_null(model_get(&set, (mt_slice){0}, own));
    assert_null(model_get(&set, MT_SLICE("0c"), own));
    rewrite(dir, five);
    again = folder_get(c, &set, dir, org, own, false);
    assert_true(again->dimensions == 5 && held->dimensions == 4);
    assert_int_equal(set.n, 2);
    model_put(&set, held);
    model_put(&set, again);
    assert_int_equal(set.n, 1);
    assert_ptr_equal(folder_at(c, &set, dir, org, 0), again);
    model_put(&set, again);
    assert_null(folder_at(c, &set, dir, org, 1));
    rewrite(dir, NULL);
    assert_null(folder_get(c, &set, dir, org, own, false));
    assert_int_equal(set.n, 0);
    model_set_dispose(&set);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_manifests, start, stop), cmocka_unit_test_setup_teardown(test_folder, start, stop),
                                       cmocka_unit_test_setup_teardown(test_models_of_an_organization, start, stop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
