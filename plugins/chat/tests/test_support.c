/* Whether sentences are in passages, what a stream of text becomes, and which earlier messages are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <mortise/entry.h>
#include <mortise/testkit.h>

#include "chat.h"
#include "window.h"

static const char fastnet[] = "The Fastnet lighthouse stands on a rock four miles from Cape Clear. It was first lit on the evening of 27 June 1904. "
                              "The last keepers left the lighthouse in 1989, when the light was automated.";
static const char bread[] = "Rye bread is baked from a sourdough that has rested for sixteen hours. The oven does not reach 300 degrees.";
static const char caffe[] = "Svjetionik na Palagruži sagrađen je 1875. godine. Čuvari svjetionika nisu napustili otok.";

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_plugin plugin = {.abi = MT_ABI, .size = sizeof plugin, .slug = "bare", .version = "0.1.0", .load = load};

static int begin(void **state)
{
    *state = mt_testkit_create(&plugin, NULL);
    return *state ? 0 : -1;
}

static int end(void **state)
{
    mt_testkit_destroy(*state);
    return 0;
}

static support *make(void *kit, const char *question, mt_language language)
{
    support *s = support_begin(mt_testkit_call(kit), mt_str(question), language);
    const char *const texts[] = {fastnet, bread, caffe};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(support_add(s, mt_str(texts[i]), mt_str(i ? "notes.md" : "Fastnet > Keepers. fastnet.md")), MT_OK);
    return s;
}

typedef struct sample {
    const char *sentence;
    support_kind kind;
    const char *quote;
} sample;

static void check(const support *s, const sample *list, size_t n)
{
    const char *const texts[] = {fastnet, bread, caffe};
    for (size_t i = 0; i < n; i++) {
        support_verdict v = support_judge(s, mt_str(list[i].sentence), -1);
        if (v.kind != list[i].kind)
            fail_msg("\"%s\": %d, share %.2f", list[i].sentence, v.kind, v.share);
        if (v.kind != SUPPORT_FOUND)
            continue;
        char quote[400];
        snprintf(quote, sizeof quote, "%.*s", (int)(v.end - v.start), texts[v.passage] + v.start);
        if (!strstr(quote, list[i].quote))
            fail_msg("\"%s\" is supported by \"%s\"", list[i].sentence, quote);
    }
}

static void test_english(void **state)
{
    static const sample list[] = {
        {"The last keepers left the lighthouse in 1989, when the light was automated.", SUPPORT_FOUND, "automated"},
        {"In 1989 the last keepers left the Fastnet lighthouse.", SUPPORT_FOUND, "1989"},
        {"The keepers left the lighthouse in 1989.", SUPPORT_FOUND, "1989"},
        {"The lighthouse was first lit on 27 June 1904.", SUPPORT_FOUND, "27 June 1904"},
        {"In 1989.", SUPPORT_FOUND, "1989"},
        {"Rye bread is baked from sourdough rested for sixteen hours.", SUPPORT_FOUND, "Rye"},
        {"The oven does not reach 300 degrees.", SUPPORT_FOUND, "oven"},
        {"The last keepers left the lighthouse in 1979.", SUPPORT_MISSING, NULL},         /* another number */
        {"The last keepers left the lighthouse in 1904.", SUPPORT_MISSING, NULL},         /* a number of another sentence */
        {"The oven does reach 300 degrees.", SUPPORT_MISSING, NULL},                      /* the denial is gone */
        {"The last keepers did not leave the lighthouse in 1989.", SUPPORT_MISSING, NULL},
        {"The last keepers couldn't leave the lighthouse in 1989.", SUPPORT_MISSING, NULL},
        {"The last keepers left the lighthouse with Captain Ahab in 1989.", SUPPORT_MISSING, NULL},   /* a name from nowhere */
        {"Penguins swim across the cold southern ocean every spring.", SUPPORT_MISSING, NULL},
        {"The lighthouse is the most beautiful building of southern Ireland.", SUPPORT_MISSING, NULL},
        {"Yes, it is.", SUPPORT_MISSING, NULL},
        {"It is so.", SUPPORT_NONE, NULL},
        {"", SUPPORT_NONE, NULL},
    };
    check(make(*state, "When did the last keepers leave the lighthouse?", MT_LANGUAGE_EN), list, sizeof list / sizeof *list);
}

static void test_croatian(void **state)
{
    static const sample list[] = {
        {"Svjetionik na Palagruži sagrađen je 1875. godine.", SUPPORT_FOUND, "1875"},
        {"Svjetionik je sagrađen 1875.", SUPPORT_FOUND, "1875"},
        {"Čuvari nisu napustili otok.", SUPPORT_FOUND, "napustili"},
        {"Čuvari svjetionika napustili su otok.", SUPPORT_MISSING, NULL},
        {"Svjetionik na Palagruži sagrađen je 1885. godine.", SUPPORT_MISSING, NULL},
    };
    check(make(*state, "Kada je sagrađen svjetionik?", MT_LANGUAGE_HR), list, sizeof list / sizeof *list);
}

/* --- the stream --- */

static const char *run(void *kit, const char *text, size_t piece, size_t *held, checker *k)
{
    static char out[2000];
    support *s = make(kit, "When did the last keepers leave?", MT_LANGUAGE_EN);
    *k = (checker){.c = mt_testkit_call(kit), .support = s};
    out[0] = 0;
    *held = 0;
    for (size_t at = 0, n = strlen(text); at <= n; at += piece) {
        size_t take = n - at < piece ? n - at : piece;
        assert_int_equal(checker_feed(k, (mt_slice){text + at, take}), MT_OK);
        assert_int_equal(checker_judge(k, at + take == n), MT_OK);
        for (checked *one; (one = checker_take(k)) != NULL;)
            strncat(out, one->text.p, one->text.len);
        size_t behind = k->raw.len - k->at;
        *held = behind > *held ? behind : *held;
        if (at + take == n)
            break;
    }
    return out;
}

static void test_stream(void **state)
{
    static const struct { const char *written, *shown; } list[] = {
        {"The last keepers left the lighthouse in 1989.", "The last keepers left the lighthouse in 1989. [1]"},
        {"The last keepers left the lighthouse in 1989. [2]", "The last keepers left the lighthouse in 1989. [1]"},
        {"The last keepers left the lighthouse in 1989 [7].", "The last keepers left the lighthouse in 1989. [1]"},
        {"The last keepers left the lighthouse in 1989. [1][2, 3] Rye bread is baked from a sourdough. [9]",
         "The last keepers left the lighthouse in 1989. [1] Rye bread is baked from a sourdough. [2]"},
        {"The last keepers left the lighthouse in 1989 [1] Rye bread is baked from a sourdough [1]",
         "The last keepers left the lighthouse in 1989 [1] Rye bread is baked from a sourdough [2]"},
        {"The last keepers left the lighthouse in 1989.\n\nPenguins swim across cold southern oceans. [1]",
         "The last keepers left the lighthouse in 1989. [1]\nPenguins swim across cold southern oceans. [?]"},
        {"Penguins swim across cold southern oceans. The last keepers left the lighthouse in 1989.",
         "Penguins swim across cold southern oceans. [?] The last keepers left the lighthouse in 1989. [1]"},
        {"Penguins swim across cold southern oceans. [1]", ""},
        {"", ""},
        {"[1] [2]", ""},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        for (size_t piece = 1; piece < 90; piece += 11) {
            size_t held;
            checker k;
            const char *shown = run(*state, list[i].written, piece, &held, &k);
            assert_string_equal(shown, list[i].shown);
            assert_true(held <= 46 + 30 + piece);       /* the longest sentence, its marks and what must be seen behind it */
        }
}

/* Ranges are code points of what is shown. */
static void test_ranges(void **state)
{
    checker k = {.c = mt_testkit_call(*state), .support = make(*state, "Kada?", MT_LANGUAGE_HR)};
    checker_feed(&k, MT_SLICE("Svjetionik na Palagruži sagrađen je 1875. godine. Čuvari nisu napustili otok."));
    checker_judge(&k, true);
    checked *first = checker_take(&k), *second = checker_take(&k);
    assert_non_null(second);
    assert_int_equal(first->start, 0);
    assert_int_equal(first->end, 49);
    assert_int_equal(second->start, 54);                 /* " [3] " between them */
    assert_int_equal(second->end, 81);
    assert_int_equal(k.found, 2);
    assert_null(checker_take(&k));
}

/* What a small model writes around an answer: the question once more, a bare number, what was said already, what no passage says. After an answer it ends it. */
static void test_small_model(void **state)
{
    static const struct { const char *written, *shown; bool over; const char *question; } list[] = {
        {"1. When did they leave? The last keepers left the lighthouse in 1989.", "The last keepers left the lighthouse in 1989. [1]", false, NULL},
        {"The last keepers left the lighthouse in 1989. When did the keepers leave? Rye bread is baked from a sourdough.",
         "The last keepers left the lighthouse in 1989. [1]", true, NULL},
        {"The last keepers left the lighthouse in 1989. The lighthouse the last keepers left in 1989. Rye bread is baked from a sourdough.",
         "The last keepers left the lighthouse in 1989. [1]", true, NULL},
        {"The last keepers left the lighthouse in 1989. Rye bread is baked from a sourdough.",
         "The last keepers left the lighthouse in 1989. [1] Rye bread is baked from a sourdough. [2]", false, NULL},
        {"Whales sang under the cliffs all night. The last keepers left the lighthouse in 1989. Whales sang of it. Rye bread is baked from a sourdough.",
         "The last keepers left the lighthouse in 1989. [1]", true, NULL},
        {"The lighthouse is a lighthouse, which is a lighthouse that is a lighthouse, and a lighthouse is a lighthouse, a lighthouse, a lighthouse, a lighthouse.", "", false, NULL},
        {"The last keepers of the lighthouse:\n\nThe last keepers left the lighthouse in 1989.", "The last keepers left the lighthouse in 1989. [1]", false, NULL},
        {"Rye bread is baked from a sourdough. The last keepers left the lighthouse in 1989. Rye bread is baked from a sourdough that has rested.",
         "The last keepers left the lighthouse in 1989. [1] Rye bread is baked from a sourdough that has rested. [2]", false, "When did the keepers leave the lighthouse?"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        checker k = {.c = mt_testkit_call(*state), .support = make(*state, list[i].question ? list[i].question : "When?", MT_LANGUAGE_EN), .watch = true};
        char shown[400] = "";
        checker_feed(&k, mt_str(list[i].written));
        checker_judge(&k, true);
        for (checked *one; (one = checker_take(&k));)
            strncat(shown, one->text.p, one->text.len);
        assert_string_equal(shown, list[i].shown);
        assert_int_equal(k.over, list[i].over);
    }
}

/* The stretch with most of the question's words, what a heading asks going to the sentences behind it; no stretch twice. */
static void test_excerpts(void **state)
{
    static const char headed[] = "4. When did the keepers leave? They left in 1989. Nobody has lived on that rock since then.";
    support *s = make(*state, "When did the last keepers leave the lighthouse?", MT_LANGUAGE_EN);
    excerpt got[4];
    support_add(s, mt_str(fastnet), MT_SLICE("again.md"));
    support_add(s, mt_str(headed), MT_SLICE("headed.md"));
    size_t n = support_excerpts(s, 80, got, 4);
    assert_int_equal(n, 4);
    const char *const want[] = {"The last keepers left the lighthouse in 1989, when the light was automated.", "Rye bread is baked from a sourdough that has rested for sixteen hours.",
                                "Svjetionik na Palagruži sagrađen je 1875. godine.", "They left in 1989. Nobody has lived on that rock since then."};
    static const size_t passages[] = {0, 1, 2, 4};
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(got[i].passage, passages[i]);
        assert_int_equal(got[i].text.len, strlen(want[i]));
        assert_memory_equal(got[i].text.p, want[i], got[i].text.len);
    }
    assert_int_equal(support_excerpts(s, 80, got, 1), 1);
}

/* --- confidence and history --- */

static void test_confidence(void **state)
{
    double before = -1;
    for (double score = -1; score <= 1.01; score += 0.05) {
        double c = confidence_of(relevance_of(score), -1, 1);
        assert_true(c >= before && c >= 0 && c <= 1);
        before = c;
    }
    for (double x = 0, last = -1, words = -1; x <= 1; x += 0.1) {
        assert_true(confidence_of(0.8, 0.5, x) > last && confidence_of(0.8, x, 0.5) > words);
        last = confidence_of(0.8, 0.5, x);
        words = confidence_of(0.8, x, 0.5);
    }
    assert_true(relevance_of(0.0 / 0.0) == 0 && confidence_of(1, 1, 1) == 1 && confidence_of(1, 7, 1) == 1);
    assert_true(confidence_of(relevance_of(0.1), -1, 1) == 0 && confidence_of(1, 1, 0) == 0);
}

static void test_window(void **state)
{
    static const uint32_t tokens[] = {10, 20, 30, 5};
    assert_int_equal(window_fit(tokens, 4, 0), 0);
    assert_int_equal(window_fit(tokens, 4, 9), 0);
    assert_int_equal(window_fit(tokens, 4, 10), 1);
    assert_int_equal(window_fit(tokens, 4, 45), 2);      /* the third does not fit, so the small fourth stays out too */
    assert_int_equal(window_fit(tokens, 4, 65), 4);
    assert_int_equal(window_budget(1000, 400, 500), 500);
    assert_int_equal(window_budget(1000, 700, 500), 300);
    assert_int_equal(window_budget(1000, 1700, 500), 0);
}

static void test_follow_ups(void **state)
{
    static const char *const yes[] = {"And how do I remove it?", "Why?", "What about them?", "How many does it need?", "And when was it automated?"};
    static const char *const no[] = {"How do I remove a package from Debian?", "When did the last keepers leave the lighthouse?", "Who wrote the first program?"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!window_follows_up(mt_str(yes[i]), MT_LANGUAGE_EN))
            fail_msg("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (window_follows_up(mt_str(no[i]), MT_LANGUAGE_EN))
            fail_msg("%s", no[i]);
    assert_true(window_follows_up(MT_SLICE("A kako ga mogu ukloniti?"), MT_LANGUAGE_HR));
    assert_false(window_follows_up(MT_SLICE("Kako mogu ukloniti paket iz sustava?"), MT_LANGUAGE_HR));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_english, begin, end), cmocka_unit_test_setup_teardown(test_croatian, begin, end),
        cmocka_unit_test_setup_teardown(test_stream, begin, end),  cmocka_unit_test_setup_teardown(test_ranges, begin, end),
        cmocka_unit_test_setup_teardown(test_small_model, begin, end), cmocka_unit_test_setup_teardown(test_excerpts, begin, end),
        cmocka_unit_test(test_confidence), cmocka_unit_test(test_window), cmocka_unit_test(test_follow_ups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
