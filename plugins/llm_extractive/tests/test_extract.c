/* Words, then answers: the right sentence, exact ranges, nothing repeated, and silence when nothing fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <cmocka.h>

#include "extract.h"
#include "text/utf8.h"
#include "words.h"

static uint64_t stem(const char *word, words_language language)
{
    size_t pos = 0;
    words_word w = {0};
    assert_true(words_next(mt_str(word), &pos, language, &w));
    assert_int_equal(pos, strlen(word));
    return w.hash;
}

static void test_words(void **state)
{
    static const char *const same[][2] = {
        {"installs", "Installing"}, {"installation", "installed"}, {"packages", "packaging"}, {"configuration", "configure"},
        {"queries", "query"},       {"upgraded", "upgrade"},       {"installer", "install"},   {"CAFÉ", "cafe"},
    };
    static const char *const same_hr[][2] = {
        {"računala", "računalo"}, {"paketima", "paketi"}, {"Šuma", "šume"}, {"dokumentima", "dokumente"}, {"poslužitelja", "posluzitelj"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_true(stem(same[i][0], WORDS_ENGLISH) == stem(same[i][1], WORDS_ENGLISH));
    for (size_t i = 0; i < sizeof same_hr / sizeof *same_hr; i++)
        assert_true(stem(same_hr[i][0], WORDS_CROATIAN) == stem(same_hr[i][1], WORDS_CROATIAN));
    assert_true(stem("bus", WORDS_ENGLISH) != stem("bu", WORDS_ENGLISH));
    assert_int_equal(words_guess(mt_str("How do I install it?")), WORDS_ENGLISH);
    assert_int_equal(words_guess(mt_str("Kako se to instalira?")), WORDS_CROATIAN);
    assert_int_equal(words_guess(mt_str("")), WORDS_ENGLISH);
}

/* Every quote is where it says, in the passage and in the answer, with its marker behind it. */
static void check_answer(const extract_answer *a, const extract_passage *p, size_t n)
{
    assert_int_equal(strlen(a->text), a->len);
    size_t at = 0;
    for (size_t i = 0; i < a->n_quotes; i++) {
        const extract_quote *q = &a->quotes[i];
        char marker[32];
        assert_true(q->passage < n && q->start < q->end && q->end <= p[q->passage].text.len);
        assert_int_equal(q->end - q->start, q->answer_end - q->answer_start);
        assert_memory_equal(a->text + q->answer_start, p[q->passage].text.p + q->start, q->end - q->start);
        assert_int_equal(mt_utf8_count(p[q->passage].text.p, q->start), q->start_cp);
        assert_int_equal(mt_utf8_count(p[q->passage].text.p, q->end), q->end_cp);
        assert_true(q->score >= 0 && q->score <= 1 && q->score <= a->confidence);
        sprintf(marker, " [%zu]", q->passage + 1);
        assert_memory_equal(a->text + q->answer_end, marker, strlen(marker));
        assert_true(q->answer_start >= at);
        at = q->answer_end;
    }
    assert_true(a->n_quotes > 0 || a->confidence == 0);
}

static const extract_passage faq[] = {
    {MT_SLICE_INIT("10.4. Can I safely de-install an old kernel package, and if so, how?\n\nYes. The linux-image-NNN.prerm script checks to "
                   "see whether the kernel you are currently running is the same as the kernel you are trying to de-install. Therefore you can "
                   "remove unwanted kernel image packages using this command:\n\ndpkg --purge linux-image-NNN"), 0.5f},
    {MT_SLICE_INIT("9.2. Must I go into single user mode in order to upgrade a package?\n\nNo. Packages can be upgraded in place, even in "
                   "running systems. Debian has a start-stop-daemon program that is invoked to stop, then restart running process if necessary "
                   "during a package upgrade."), 0.48f},
    {MT_SLICE_INIT("1.7. How does one pronounce Debian and what does this word mean?\n\nThe project name is pronounced Deb'-ee-en, with a short "
                   "e in Deb, and emphasis on the first syllable. This word is a contraction of the names of Debra and Ian Murdock, who founded "
                   "the project."), 0.45f},
};

static void answer(extract_answer *a, const char *question, const extract_passage *p, size_t n)
{
    assert_int_equal(extract_answer_make(a, mt_str(question), p, n, &(extract_options){0}), MT_OK);
    check_answer(a, p, n);
}

static void test_answers(void **state)
{
    static const struct { const char *question, *holds; size_t first; } cases[] = {
        {"How can I remove an old kernel?", "remove unwanted kernel image packages", 0},
        {"Do I need single user mode to upgrade packages?", "Packages can be upgraded in place, even in running systems. [2]", 1},
        {"Who founded the project?", "contraction of the names of Debra and Ian Murdock", 2},
        {"How is Debian pronounced?", "pronounced Deb'-ee-en", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        extract_answer a;
        answer(&a, cases[i].question, faq, 3);
        if (!strstr(a.text, cases[i].holds))
            print_error("%s -> %s\n", cases[i].question, a.text);
        assert_non_null(strstr(a.text, cases[i].holds));
        assert_int_equal(a.quotes[0].passage, cases[i].first);
        extract_answer_dispose(&a);
    }
}

static void test_nothing_found(void **state)
{
    static const char *const questions[] = {"What is the capital of France?", "How tall is the Eiffel tower?", "", "???", "the of and"};
    static const extract_passage far[] = {{MT_SLICE_INIT("Packages can be upgraded in place."), 0.05f}, {MT_SLICE_INIT("Debian is free."), 0.1f}};
    extract_answer a;
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        answer(&a, questions[i], far, 2);
        assert_int_equal(a.n_quotes, 0);
        assert_string_equal(a.text, "No passage in the documents answers this question.");
        extract_answer_dispose(&a);
    }
    answer(&a, "Koji je glavni grad Francuske i gdje se nalazi?", far, 2);
    assert_non_null(strstr(a.text, "nema odlomka"));
    extract_answer_dispose(&a);
    answer(&a, "Is Debian free?", far, 0);
    assert_int_equal(a.n_quotes, 0);
    extract_answer_dispose(&a);
}

static void test_croatian(void **state)
{
    static const extract_passage p[] = {
        {MT_SLICE_INIT("Zahtjev se podnosi u roku od osam dana. Uz zahtjev se prilaže preslika osobne iskaznice, npr. ovjerena kod javnog bilježnika."), 0.4f},
        {MT_SLICE_INIT("Žalba ne odgađa izvršenje rješenja. Rok za žalbu je 15 dana od dana primitka rješenja."), 0.45f},
    };
    extract_answer a;
    answer(&a, "Koliki je rok za podnošenje žalbe?", p, 2);
    assert_non_null(strstr(a.text, "Rok za žalbu je 15 dana od dana primitka rješenja. [2]"));
    extract_answer_dispose(&a);
}

static void test_no_repetition(void **state)
{
    static const extract_passage p[] = {
        {MT_SLICE_INIT("The backup runs every night at two."), 0.6f},
        {MT_SLICE_INIT("The backup runs every night at two. The backup is kept for thirty days."), 0.6f},
        {MT_SLICE_INIT("The backup runs every night at two!"), 0.6f},
    };
    extract_answer a;
    answer(&a, "When does the backup run and how long is the backup kept?", p, 3);
    const char *first = strstr(a.text, "every night");
    assert_non_null(first);
    assert_null(strstr(first + 1, "every night"));
    assert_non_null(strstr(a.text, "thirty days"));
    extract_answer_dispose(&a);
}

static void test_limits(void **state)
{
    size_t n = 1 << 20;
    char *big = malloc(n);
    for (size_t i = 0; i < n; i++)
        big[i] = "Backup tapes. "[i % 14];
    extract_passage p[70];
    for (size_t i = 0; i < 70; i++)
        p[i] = (extract_passage){{big, n}, i ? NAN : 0.9f};
    extract_answer a;
    extract_options o = {.max_quotes = 1000, .max_bytes = 20, .threshold = 0.01f};
    assert_int_equal(extract_answer_make(&a, mt_str("backup tapes"), p, 70, &o), MT_OK);
    check_answer(&a, p, 70);
    assert_int_equal(a.n_quotes, 1);
    extract_answer_dispose(&a);
    free(big);
}

static void test_random_bytes(void **state)
{
    static const char alphabet[] = "abc .?!\n\xC4\x8D\xFF\xE2\x80";
    unsigned seed = 3;
    for (int round = 0; round < 3000; round++) {
        char text[3][80];
        extract_passage p[3];
        for (int i = 0; i < 3; i++) {
            size_t n = rand_r(&seed) % sizeof text[i];
            for (size_t j = 0; j < n; j++)
                text[i][j] = alphabet[rand_r(&seed) % (sizeof alphabet - 1)];
            p[i] = (extract_passage){{text[i], n}, (float)(rand_r(&seed) % 100) / 100};
        }
        extract_answer a;
        assert_int_equal(extract_answer_make(&a, p[0].text, p + 1, 2, &(extract_options){.threshold = 0.05f}), MT_OK);
        check_answer(&a, p + 1, 2);
        extract_answer_dispose(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),    cmocka_unit_test(test_answers),       cmocka_unit_test(test_nothing_found),
        cmocka_unit_test(test_croatian), cmocka_unit_test(test_no_repetition), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
