/* Words, wholes and stems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "text/words.h"

/* All words, a space before each, wholes in brackets. */
static const char *words_of(const char *text)
{
    static char out[2000];
    mt_words walk = {.text = mt_str(text)};
    mt_word w;
    size_t at = 0;
    out[0] = 0;
    while (mt_words_next(&walk, &w)) {
        assert_true(w.start < w.end && w.end <= strlen(text) && w.len > 0 && w.len <= MT_WORD_MAX);
        at += (size_t)snprintf(out + at, sizeof out - at, w.whole ? " [%.*s]" : " %.*s", (int)w.len, w.text);
    }
    return out;
}

static void test_words(void **state)
{
    assert_string_equal(words_of("Hello, World!"), " hello world");
    assert_string_equal(words_of("  "), "");
    assert_string_equal(words_of("Čevapčići, Đurđa, ŽELJKO"), " cevapcici durda zeljko");
    assert_string_equal(words_of("cafe\xCC\x81 Straße ﬁne"), " cafe strasse fine");
    assert_string_equal(words_of("the system's users don’t"), " the system users don");
    assert_string_equal(words_of("rock'n'roll"), " rock roll");
    assert_string_equal(words_of("Ωμέγα МАЯК"), " ωμεγα маяк");
    assert_string_equal(words_of("東京 です"), " 東 京 て す");
    assert_string_equal(words_of("a\xFF\xFE" "b"), " a b");
    assert_string_equal(words_of("hy\xC2\xADphen"), " hyphen");
}

static void test_wholes(void **state)
{
    assert_string_equal(words_of("run dpkg-reconfigure now"), " run dpkg reconfigure [dpkg-reconfigure] now");
    assert_string_equal(words_of("Ana@Primjer.HR."), " ana primjer hr [ana@primjer.hr]");
    assert_string_equal(words_of("/etc/apt/sources.list"), " etc apt sources list [etc/apt/sources.list]");
    assert_string_equal(words_of("version 3.14, end. Next"), " version 3 14 [3.14] end next");
    assert_string_equal(words_of("a-b-c-d-e-f-g-h-i"), " a b c d e f g h i"); /* too many parts */
    assert_string_equal(words_of("x--y a_b"), " x y a b [a_b]");
    char text[200] = "";
    for (int i = 0; i < 3; i++)
        strcat(text, i ? "-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" : "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_null(strchr(words_of(text), '[')); /* too long */
}

static void test_long_word_is_cut(void **state)
{
    char text[300];
    memset(text, 'x', 299);
    text[299] = 0;
    mt_words walk = {.text = mt_str(text)};
    mt_word w;
    assert_true(mt_words_next(&walk, &w));
    assert_int_equal(w.len, MT_WORD_MAX);
    assert_int_equal(w.end, 299);
    assert_false(mt_words_next(&walk, &w));
}

static const char *stem(mt_language language, const char *word)
{
    static char out[4][MT_WORD_MAX + 1];
    static int turn;
    mt_stemmer *s = mt_stemmer_create();
    mt_words walk = {.text = mt_str(word)};
    mt_word w;
    assert_non_null(s);
    assert_true(mt_words_next(&walk, &w));
    size_t len = mt_stem(s, language, w.text, w.len);
    mt_stemmer_destroy(s);
    turn = (turn + 1) % 4;
    memcpy(out[turn], w.text, len);
    out[turn][len] = 0;
    return out[turn];
}

static void test_english_stems(void **state)
{
    assert_string_equal(stem(MT_LANGUAGE_EN, "installation"), stem(MT_LANGUAGE_EN, "Installing"));
    assert_string_equal(stem(MT_LANGUAGE_EN, "packages"), stem(MT_LANGUAGE_EN, "package"));
    assert_string_equal(stem(MT_LANGUAGE_EN, "mp3s"), "mp3s");
    assert_string_equal(stem(MT_LANGUAGE_OTHER, "packages"), "packages");
}

static void test_croatian_stems(void **state)
{
    static const char *const same[][8] = {
        {"kuća", "kuće", "kući", "kuću", "kućom", "kućama", "kuce", "KUĆAMA"},
        {"poslužitelj", "poslužitelja", "poslužiteljima", "poslužitelju", "posluzitelji"},
        {"knjiga", "knjige", "knjigom", "knjigama", "knjizi"},
        {"ugovor", "ugovora", "ugovoru", "ugovori", "ugovorima", "ugovorom"},
        {"otvarati", "otvara", "otvaramo", "otvaraju", "otvarao", "otvarala", "otvaranje", "otvaranja"},
        {"velik", "velika", "velikog", "velikoj", "velikim"},
        {"zaposlenik", "zaposlenika", "zaposlenici", "zaposlenicima", "zaposleniku"},
        {"mogućnost", "mogućnosti", "mogućnostima"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        for (size_t k = 1; k < 8 && same[i][k]; k++)
            assert_string_equal(stem(MT_LANGUAGE_HR, same[i][k]), stem(MT_LANGUAGE_HR, same[i][0]));
    assert_string_not_equal(stem(MT_LANGUAGE_HR, "ugovor"), stem(MT_LANGUAGE_HR, "govor"));
    assert_string_equal(stem(MT_LANGUAGE_HR, "dan"), "dan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),         cmocka_unit_test(test_wholes),         cmocka_unit_test(test_long_word_is_cut),
        cmocka_unit_test(test_english_stems), cmocka_unit_test(test_croatian_stems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
