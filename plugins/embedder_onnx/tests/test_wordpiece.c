/* WordPiece: a small vocabulary for the rules, then every case of wordpiece_cases.tsv against the model's own vocabulary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "wordpiece.h"

#define VOCAB MODEL_DIR "/vocab.txt"

static const char small_vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\naff\n,\n[\n]\nsep\n##a\na\n##un\r\nc\n";

static void expect(const wordpiece *w, const char *text, const char *want)
{
    int32_t ids[64];
    char got[512] = "";
    size_t n = wordpiece_encode(w, text, strlen(text), ids, 64, false);
    for (size_t i = 0; i < n && i < 64; i++)
        sprintf(got + strlen(got), "%s%d", i ? " " : "", ids[i]);
    if (strcmp(got, want) != 0)
        print_error("text: %s\n", text);
    assert_string_equal(got, want);
    assert_int_equal(wordpiece_count((void *)(uintptr_t)w, text, strlen(text)), n);
}

static void test_rules(void **state)
{
    wordpiece *w;
    char reason[WORDPIECE_REASON];
    assert_int_equal(wordpiece_parse(&w, small_vocab, sizeof small_vocab - 1, reason), MT_OK);
    assert_int_equal(wordpiece_vocab_size(w), 16);
    assert_int_equal(wordpiece_cls(w), 2);
    expect(w, "unaffable", "4 5 6");
    expect(w, "UNAFFABLE, aff", "4 5 6 8 7");
    expect(w, "unaffablex", "1");
    expect(w, "unun aaa", "4 14 13 12 12");
    expect(w, "[SEP]", "9 11 10");
    expect(w, "\xC3\xA0 \xC4\x8D", "13 15"); /* à č */
    expect(w, "a\xC2\xAD" "a \xFF" "a", "13 12 13");
    expect(w, "", "");
    int32_t ids[2];
    assert_true(wordpiece_encode(w, "a a a a a a a a", 15, ids, 2, true) == 3);
    wordpiece_destroy(w);
}

static void test_bad_vocabularies(void **state)
{
    wordpiece *w;
    char reason[WORDPIECE_REASON] = "", line[500];
    assert_int_equal(wordpiece_parse(&w, "", 0, reason), MT_INVALID);
    assert_int_equal(wordpiece_parse(&w, "[UNK]\n[CLS]\n", 12, reason), MT_INVALID);
    assert_string_equal(reason, "The vocabulary has no [SEP].");
    memset(line, 'a', sizeof line);
    assert_int_equal(wordpiece_parse(&w, line, sizeof line, reason), MT_INVALID);
    assert_null(w);
    assert_int_equal(wordpiece_load(&w, "/nonexistent/vocab.txt", reason), MT_NOT_FOUND);
    assert_int_equal(wordpiece_load(&w, "/tmp", reason), MT_INTERNAL);
    for (size_t n = 0; n < sizeof small_vocab; n++) /* cut anywhere, and with lines that hold anything */
        if (wordpiece_parse(&w, small_vocab, n, reason) == MT_OK)
            wordpiece_destroy(w);
}

static void test_random_bytes(void **state)
{
    wordpiece *w;
    char reason[WORDPIECE_REASON], text[300];
    int32_t ids[64];
    unsigned seed = 5;
    assert_int_equal(wordpiece_parse(&w, small_vocab, sizeof small_vocab - 1, reason), MT_OK);
    for (int round = 0; round < 20000; round++) {
        size_t n = rand_r(&seed) % sizeof text;
        for (size_t i = 0; i < n; i++)
            text[i] = (char)(round % 2 ? rand_r(&seed) : "a\xC3\xA0\xE4\xB8\xAD\xCC\x81 u"[rand_r(&seed) % 10]);
        size_t count = wordpiece_encode(w, text, n, ids, 64, false);
        assert_true(count <= n);
        for (size_t i = 0; i < count && i < 64; i++)
            assert_in_range(ids[i], 0, 15);
    }
    wordpiece_destroy(w);
}

static wordpiece *load_model_vocab(void)
{
    wordpiece *w;
    char reason[WORDPIECE_REASON];
    mt_status status = wordpiece_load(&w, VOCAB, reason);
    if (status == MT_NOT_FOUND) {
        print_message("skipped: %s\n", reason);
        skip();
    }
    assert_int_equal(status, MT_OK);
    return w;
}

/* Undoes \xHH in place; answers the length. */
static size_t unescape(char *s)
{
    size_t to = 0;
    for (size_t i = 0; s[i];) {
        unsigned byte;
        if (s[i] == '\\' && sscanf(s + i + 2, "%2x", &byte) == 1) {
            s[to++] = (char)byte;
            i += 4;
        } else {
            s[to++] = s[i++];
        }
    }
    return to;
}

static void test_reference(void **state)
{
    wordpiece *w = load_model_vocab();
    FILE *f = fopen("plugins/embedder_onnx/tests/wordpiece_cases.tsv", "r");
    char line[16384], got[16384];
    int32_t ids[2048];
    size_t cases = 0, wrong = 0;
    assert_non_null(f);
    for (; fgets(line, sizeof line, f); cases++) {
        line[strcspn(line, "\n")] = 0;
        char *want = strchr(line, '\t');
        assert_non_null(want);
        *want++ = 0;
        char shown[16384];
        strcpy(shown, line);
        size_t n = wordpiece_encode(w, line, unescape(line), ids, 2048, false);
        *got = 0;
        for (size_t i = 0, at = 0; i < n; i++)
            at += (size_t)sprintf(got + at, "%s%d", i ? " " : "", ids[i]);
        if (strcmp(got, want) != 0) {
            print_error("%s\n  got  %s\n  want %s\n", shown, got, want);
            wrong++;
        }
    }
    fclose(f);
    assert_true(cases > 200);
    assert_int_equal(wrong, 0);
    wordpiece_destroy(w);
}

static void test_speed(void **state)
{
    wordpiece *w = load_model_vocab();
    static const char unit[] = "Debian GNU/Linux is a particular distribution of the Linux operating system, and numerous packages. Čaša žute kave! ";
    size_t n = 8 << 20;
    char *text = malloc(n);
    for (size_t i = 0; i < n; i++)
        text[i] = unit[i % (sizeof unit - 1)];
    struct timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    size_t tokens = wordpiece_count(w, text, n);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    double seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    print_message("wordpiece: %.1f MB/s, %.1f M tokens/s\n", (double)n / 1e6 / seconds, (double)tokens / 1e6 / seconds);
    assert_true((double)n / seconds > 1e6); /* far below the aim of 5 MB/s: sanitizers run this too */
    free(text);
    wordpiece_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),     cmocka_unit_test(test_bad_vocabularies), cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_reference), cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
