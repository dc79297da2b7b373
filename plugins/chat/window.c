#include "window.h"

#include "text/words.h"

size_t window_fit(const uint32_t *tokens, size_t n, uint32_t budget)
{
    size_t i = 0;
    for (uint32_t used = 0; i < n && tokens[i] <= budget - used; i++)
        used += tokens[i];
    return i;
}

uint32_t window_budget(uint32_t context, uint32_t needed, uint32_t most)
{
    uint32_t left = context > needed ? context - needed : 0;
    return left < most ? left : most;
}

static bool is_one_of(const char *const *list, size_t n, const mt_word *w)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == w->len && !memcmp(list[i], w->text, w->len))
            return true;
    return false;
}

#define IS_ONE_OF(list, w) is_one_of(list, sizeof(list) / sizeof *(list), w)

bool window_follows_up(mt_slice question, mt_language language)
{
    static const char *const openers[] = {"and", "but", "also", "otherwise", "a", "ali", "pa", "onda"};
    static const char *const pointers_en[] = {"it", "its", "they", "them", "their", "those", "these", "he", "him", "she", "her", "one"};
    static const char *const pointers_hr[] = {"ga", "ih", "ju", "njega", "njih", "njom", "njime", "njima", "njegov", "njezin", "njihov", "ona", "oni", "one",
                                              "ono", "taj", "tog", "toga", "tome", "tim", "ovaj", "ovog", "ovoga"};
    mt_words walk = {.text = question};
    mt_word w;
    size_t n = 0, content = 0;
    bool points = false;
    while (mt_words_next(&walk, &w)) {
        if (w.whole)
            continue;
        bool opens = IS_ONE_OF(openers, &w) && (language == MT_LANGUAGE_HR || w.len > 1);
        points |= (n == 0 && opens) || (language == MT_LANGUAGE_HR ? IS_ONE_OF(pointers_hr, &w) : IS_ONE_OF(pointers_en, &w));
        content += !mt_is_stop_word(language, w.text, w.len);
        n++;
    }
    return points || content <= 1;
}
