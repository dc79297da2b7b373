#include "cli/demo_check.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { LETTERS = 5, SHORTEST = 4 };

/* Letters of other scripts than ASCII's are bytes with the top bit: a word all the same. */
static bool in_word(char c)
{
    return isalnum((unsigned char)c) || (c & 0x80);
}

static bool next_word(mt_slice s, size_t *at, mt_slice *word)
{
    while (*at < s.len && !in_word(s.p[*at]))
        ++*at;
    size_t from = *at;
    while (*at < s.len && in_word(s.p[*at]))
        ++*at;
    *word = (mt_slice){s.p + from, *at - from};
    return word->len > 0;
}

static bool is_number(mt_slice word)
{
    return isdigit((unsigned char)word.p[0]);
}

static bool holds(mt_slice quote, mt_slice wanted)
{
    size_t at = 0, n = is_number(wanted) || wanted.len < LETTERS ? wanted.len : LETTERS;
    for (mt_slice word; next_word(quote, &at, &word);)
        if (word.len >= n && (!is_number(wanted) || word.len == n) && !strncasecmp(word.p, wanted.p, n))
            return true;
    return false;
}

static mt_status missing(mt_slice word, mti_error *e)
{
    return mti_fail(e, MT_INVALID, "not_in_quote", "The quote does not hold \"%.*s\".", (int)(word.len > 100 ? 100 : word.len), word.p);
}

mt_status mti_demo_check(mt_slice sentence, mt_slice quote, mti_error *e)
{
    size_t at = 0, all = 0, held = 0;
    mt_slice last = {0};
    for (mt_slice word; next_word(sentence, &at, &word);) {
        bool has = holds(quote, word);
        if (is_number(word) && !has)
            return missing(word, e);
        if (!is_number(word) && word.len < SHORTEST)
            continue;
        all++;
        held += has;
        if (!has)
            last = word;
    }
    if (!all)
        return mti_fail(e, MT_INVALID, "no_words", "The sentence says nothing that could be found.");
    return 2 * held >= all ? MT_OK : missing(last, e);
}

static size_t offset_of(mt_slice text, int64_t characters)
{
    size_t i = 0;
    for (; i < text.len; i++)
        if (((unsigned char)text.p[i] & 0xC0) != 0x80 && characters-- <= 0)
            break;
    return i;
}

mt_slice mti_demo_part(mt_slice text, int64_t start, int64_t end)
{
    size_t from = offset_of(text, start), to = end > start ? offset_of(text, end) : from;
    return (mt_slice){text.p + from, to - from};
}
