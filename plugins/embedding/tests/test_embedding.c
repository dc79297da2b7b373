/* The service and the operations over two engines in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <mortise/plugin.h>
#include <mortise/testkit.h>

#include "embedding.h"
#include "vector_json.h"

extern const mt_plugin embedding_plugin;

/* An engine with the models "all-minilm-l6-v2" (2 numbers) and "wide" (3); vectors are (tokens, 0 …). `off`: it has lost them. */
typedef struct engine {
    bool off;
    unsigned described, embedded;
} engine;

static uint32_t dimensions_of(mt_slice model)
{
    return mt_slice_eq(model, MT_SLICE("all-minilm-l6-v2")) ? 2 : mt_slice_eq(model, MT_SLICE("wide")) ? 3 : 0;
}

static mt_status engine_describe(void *self, mt_call *c, mt_slice model, mt_embedder_engine_info *out)
{
    engine *e = self;
    e->described++;
    if (e->off || !dimensions_of(model))
        return MT_NOT_FOUND;
    *out = (mt_embedder_engine_info){.size = sizeof *out, .model = dimensions_of(model) == 2 ? MT_SLICE("all-minilm-l6-v2") : MT_SLICE("wide"),
                                     .dimensions = dimensions_of(model), .max_tokens = 8, .provider = MT_SLICE("fake")};
    return MT_OK;
}

static mt_status engine_models(void *self, mt_call *c, uint32_t index, mt_embedder_engine_info *out)
{
    return index > 1 ? MT_DONE : engine_describe(self, c, index ? MT_SLICE("wide") : MT_SLICE("all-minilm-l6-v2"), out);
}

static uint32_t engine_count(void *self, mt_call *c, mt_slice model, mt_slice text)
{
    uint32_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += text.p[i] != ' ' && (i == 0 || text.p[i - 1] == ' ');
    return ((engine *)self)->off ? 0 : n;
}

static mt_status engine_embed(void *self, mt_call *c, mt_slice model, const mt_slice *texts, size_t n, const float **out, size_t *n_out)
{
    static float vectors[256 * 3];
    engine *e = self;
    uint32_t dim = dimensions_of(model);
    e->embedded++;
    if (e->off)
        return MT_NOT_FOUND;
    memset(vectors, 0, sizeof vectors);
    for (size_t i = 0; i < n; i++)
        vectors[i * dim] = 1 / (float)engine_count(self, c, model, texts[i]);
    *out = vectors;
    *n_out = n * dim;
    return MT_OK;
}

static engine fake;
static const mt_embedder_engine_1_provider provider = {.size = sizeof provider, .version = 1, .describe = engine_describe, .models = engine_models,
                                                       .embed = engine_embed, .count_tokens = engine_count};

static int start(void **state)
{
    mt_testkit *kit = mt_testkit_create(&embedding_plugin, PLUGIN_DIR);
    fake = (engine){0};
    *state = kit;
    if (!kit)
        return 1;
    mt_testkit_service(kit, "embedder_engine/1", &provider, &fake);
    return mt_testkit_activate(kit) != MT_OK;
}

static int stop(void **state)
{
    mt_testkit_destroy(*state);
    return 0;
}

static void test_answers(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_body(kit, "{\"texts\":[\"one\",\"one two three four\"]}");
    assert_int_equal(mt_testkit_run(kit, "on_embed"), MT_OK);
    assert_string_equal(mt_testkit_answer(kit), "{\"model\":\"all-minilm-l6-v2\",\"dimensions\":2,\"vectors\":[[1.000000000,0.000000000],"
                                                "[0.250000000,0.000000000]],\"usage\":{\"tokens\":5}}");
    mt_testkit_body(kit, "{\"texts\":[\"a b c d e f g h i j\"],\"model_id\":\"wide\"}");
    assert_int_equal(mt_testkit_run(kit, "on_embed"), MT_OK);
    assert_string_equal(mt_testkit_json(kit, "/dimensions"), "3");
    assert_string_equal(mt_testkit_json(kit, "/usage/tokens"), "8");       /* what is cut is not read */
}

static void check_refused(mt_testkit *kit, const char *body, int status, const char *code)
{
    mt_testkit_body(kit, body);
    assert_int_not_equal(mt_testkit_run(kit, "on_embed"), MT_OK);
    assert_int_equal(mt_testkit_status(kit), status);
    assert_string_equal(mt_testkit_problem(kit), code);
    assert_int_equal(fake.embedded, 0);
}

static void test_refusals(void **state)
{
    check_refused(*state, "{\"texts\":[\"one\"],\"model\":\"nobody-has-it\"}", 404, "model_not_found");
    check_refused(*state, "{\"texts\":[\"one\"],\"model\":\"wide\",\"model_id\":\"other\"}", 422, "model_ambiguous");
    check_refused(*state, "{\"texts\":[\"one\",\"  \"]}", 422, "text_empty");
}

static void test_list(void **state)
{
    mt_testkit *kit = *state;
    assert_int_equal(mt_testkit_run(kit, "on_models"), MT_OK);
    assert_string_equal(mt_testkit_json(kit, "/items/0/model"), "all-minilm-l6-v2");
    assert_string_equal(mt_testkit_json(kit, "/items/0/default"), "true");
    assert_string_equal(mt_testkit_json(kit, "/items/1/model"), "wide");
    assert_string_equal(mt_testkit_json(kit, "/items/1/default"), "false");
    assert_null(mt_testkit_json(kit, "/items/2"));
}

/* A route is asked for once; an engine that has gone is noticed, and found again when it is back. */
static void test_routes(void **state)
{
    mt_testkit *kit = *state;
    void *self = mt_testkit_self(kit);
    mt_call *c = mt_testkit_call(kit);
    mt_embedder_info info = {.size = sizeof info};
    const mt_slice text = MT_SLICE("one two"), wide = MT_SLICE("wide");
    const float *out;
    size_t n;
    unsigned before = fake.described;
    for (int i = 0; i < 5; i++)
        assert_int_equal(embedding_count_tokens(self, c, wide, text), 2);
    assert_int_equal(fake.described, before + 1);
    assert_int_equal(embedding_embed(self, c, wide, &text, 1, &out, &n), MT_OK);
    assert_int_equal(n, 3);
    fake.off = true;
    assert_int_equal(embedding_embed(self, c, wide, &text, 1, &out, &n), MT_NOT_FOUND);
    assert_int_equal(embedding_count_tokens(self, c, wide, text), 0);
    assert_int_equal(embedding_describe(self, c, (mt_slice){0}, &info), MT_NOT_FOUND);
    fake.off = false;
    assert_int_equal(embedding_describe(self, c, (mt_slice){0}, &info), MT_OK);
    assert_int_equal(info.dimensions, 2);
    assert_int_equal(embedding_count_tokens(self, c, (mt_slice){0}, text), 2);
}

static void test_missing_default(void **state)
{
    mt_testkit *kit = mt_testkit_create(&embedding_plugin, PLUGIN_DIR);
    mt_testkit_service(kit, "embedder_engine/1", &provider, &fake);
    mt_testkit_config(kit, "{\"default_model\":\"missing\"}");
    assert_int_equal(mt_testkit_activate(kit), MT_UNAVAILABLE);
    assert_string_equal(mt_testkit_problem(kit), "default_model_missing");
    mt_testkit_destroy(kit);
}

static void test_numbers(void **state)
{
    const float v[6] = {1, -1, 0.5f, -1e-9f, 1e-12f, -0.123456789f};
    char out[256];
    assert_true(sizeof out >= vector_json_room(2, 3));
    out[vector_json_write(v, 2, 3, out)] = 0;
    assert_string_equal(out, "[[1.000000000,-1.000000000,0.500000000],[-0.000000001,0.000000000,-0.123456791]]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, start, stop), cmocka_unit_test_setup_teardown(test_refusals, start, stop),
        cmocka_unit_test_setup_teardown(test_list, start, stop),    cmocka_unit_test_setup_teardown(test_routes, start, stop),
        cmocka_unit_test(test_missing_default),                     cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
