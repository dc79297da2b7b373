/* Texts and short questions in several languages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "text/language.h"

static void expect(const char *text, const char *code)
{
    const char *found = mt_language_code(mt_language_detect(mt_str(text)));
    if (strcmp(found, code))
        print_error("\"%s\": %s, not %s\n", text, found, code);
    assert_string_equal(found, code);
}

static void test_english(void **state)
{
    expect("The last keepers left the lighthouse in 1989, when the light was automated.", "en");
    expect("How do I install a package?", "en");
    expect("boundary layer transition", "en");
    expect("lighthouse keepers", "en");
    expect("Honey bees form a cluster in winter and shiver to keep their queen warm.", "en");
}

static void test_croatian(void **state)
{
    expect("Svjetionik stoji na otoku i vidi se s velike udaljenosti.", "hr");
    expect("Kako se prijaviti za stipendiju?", "hr");
    expect("kuće", "hr");
    expect("otvaranje racuna", "hr");
    expect("Koliko traje godisnji odmor i tko ga odobrava", "hr");
    expect("poslužitelj", "hr");
}

static void test_other(void **state)
{
    expect("Der Leuchtturm steht auf einer Insel und ist nicht mehr besetzt.", "other");
    expect("Le phare est sur une île et les gardiens ne sont plus là depuis longtemps.", "other");
    expect("Svetilnik stoji na otoku, ki je daleč od obale, in tudi ni več naseljen, kot je bil nekoč.", "other");
    expect("Маяк стоит на острове.", "other");
    expect("灯台は島にあります。", "other");
    expect("El faro está en una isla y las luces se ven desde el mar para los barcos.", "other");
    expect("", "other");
    expect("12345 --- 67", "other");
}

static void test_long_text_is_cut_between_characters(void **state)
{
    static char text[9000];
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xC4\x8D", 2);
    assert_int_equal(mt_language_detect((mt_slice){text + 1, sizeof text - 3}), MT_LANGUAGE_HR);
}

static void test_codes(void **state)
{
    mt_language l;
    assert_true(mt_language_of(MT_SLICE("en"), &l) && l == MT_LANGUAGE_EN);
    assert_true(mt_language_of(MT_SLICE("sr"), &l) && l == MT_LANGUAGE_HR);
    assert_true(mt_language_of(MT_SLICE("de"), &l) && l == MT_LANGUAGE_OTHER);
    assert_false(mt_language_of((mt_slice){0}, &l));
    assert_true(mt_is_stop_word(MT_LANGUAGE_HR, "koji", 4) && !mt_is_stop_word(MT_LANGUAGE_EN, "koji", 4));
    assert_false(mt_is_stop_word(MT_LANGUAGE_OTHER, "the", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_english), cmocka_unit_test(test_croatian), cmocka_unit_test(test_other),
        cmocka_unit_test(test_long_text_is_cut_between_characters), cmocka_unit_test(test_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
