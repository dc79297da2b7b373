/* The sentence splitter: a scan over bytes with a bounded look behind for abbreviations. */
#include "text/sentences.h"

#include "text/utf8.h"

/* Sorted by what may follow: nothing ends after NEVER; BEFORE_NUMBER protects only "str. 5", so that "No." stays an answer. */
static const char *const never[] = {
    "mr",  "mrs",  "ms",   "dr",  "prof", "sr",  "jr",   "st",  "vs",  "e.g", "i.e", "cf",  "viz",  "approx", "dept",
    "gen", "gov",  "sen",  "rep", "rev",  "hon", "capt", "lt",  "col", "npr", "tzv", "tj",  "odn",  "usp",    "gđa",
    "gđe", "gosp", "dipl", "ing", "akad", "mag", "doc",  "univ", "spec", "engl", "njem", "tal", "franc", "lat", "hrv",
    "sv",  "tel",  "ul",   "izv", "mons", "fra", "sc",
};
static const char *const before_number[] = {
    "no", "p",  "pp",  "vol", "fig", "figs", "eq", "sec", "ch",  "chap", "ed",  "art", "par", "jan", "feb", "mar",
    "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "str", "br", "čl", "toč", "sl", "pogl", "red",
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool in_list(const char *const *list, size_t n, const char *word, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == len && memcmp(list[i], word, len) == 0)
            return true;
    return false;
}

#define IN_LIST(list, word, len) in_list(list, sizeof(list) / sizeof *(list), word, len)

/* Length of a closing quote or bracket at p, or 0. */
static size_t closer_at(const char *p, size_t n)
{
    if (n == 0)
        return 0;
    if (strchr("\"')]}", *p) && *p)
        return 1;
    if (n >= 2 && memcmp(p, "\xC2\xBB", 2) == 0) /* » */
        return 2;
    if (n >= 3 && (memcmp(p, "\xE2\x80\x9C", 3) == 0 || memcmp(p, "\xE2\x80\x9D", 3) == 0 ||
                   memcmp(p, "\xE2\x80\x99", 3) == 0)) /* “ ” ’ */
        return 3;
    return 0;
}

static bool starts_small(const char *p, size_t n)
{
    uint32_t cp;
    mt_utf8_next(p, n, &cp);
    if (cp < 0x80)
        return cp >= 'a' && cp <= 'z';
    return (cp >= 0xDF && cp <= 0xFF && cp != 0xF7) ||
           (cp >= 0x100 && cp <= 0x17F && mt_utf8_lower(cp) == cp) || (cp >= 0x430 && cp <= 0x45F);
}

/* "* x", "- x", "• x", "12. x", "3) x" at p. */
static bool list_item_at(const char *p, size_t n)
{
    if (n >= 2 && (*p == '*' || *p == '-' || *p == '+'))
        return p[1] == ' ';
    if (n >= 4 && memcmp(p, "\xE2\x80\xA2", 3) == 0)
        return is_space(p[3]);
    size_t i = 0;
    while (i < n && i < 3 && is_digit(p[i]))
        i++;
    return i > 0 && i + 1 < n && (p[i] == '.' || p[i] == ')') && p[i + 1] == ' ';
}

/* Lower-cases p[0..n) into out (at most 32 bytes); answers the length. */
static size_t fold_word(const char *p, size_t n, char out[36])
{
    size_t len = 0;
    for (size_t i = 0; i < n && len < 32;) {
        uint32_t cp;
        size_t step = mt_utf8_next(p + i, n - i, &cp);
        if (cp != MT_UTF8_BAD)
            len += mt_utf8_put(mt_utf8_lower(cp), out + len);
        i += step;
    }
    return len;
}

static bool is_word_edge(char c)
{
    return is_space(c) || c == '(' || c == '[' || c == '"' || c == '\'';
}

/* Whether the full stop at `dot` belongs to the word before it. next is the first character behind the white space. */
static bool is_abbreviation(mt_slice t, size_t from, size_t dot, const char *next)
{
    size_t at = dot;
    while (at > from && dot - at < 24 && !is_word_edge(t.p[at - 1]))
        at--;
    char word[36];
    size_t len = fold_word(t.p + at, dot - at, word);
    if (len == 0)
        return false;
    size_t digits = 0;
    while (digits < len && (is_digit(word[digits]) || word[digits] == '.'))
        digits++;
    if (digits == len) { /* the number of a list item or a heading, not the end of "in 2021." */
        size_t line = at;
        while (line > from && (t.p[line - 1] == ' ' || t.p[line - 1] == '\t') && at - line < 64)
            line--;
        return line == from || t.p[line - 1] == '\n';
    }
    if (IN_LIST(never, word, len) || (IN_LIST(before_number, word, len) && is_digit(*next)))
        return true;
    uint32_t first;
    size_t one = mt_utf8_next(word, len, &first);
    if (one == len) /* an initial: "J. Smith" */
        return mt_utf8_lower((unsigned char)t.p[at]) != (unsigned char)t.p[at] || first >= 0x80;
    return len >= 3 && word[one] == '.' && len <= 7 && word[0] != 'a' && word[0] != 'p'; /* "U.S.", not "a.m." */
}

static size_t skip_space(mt_slice t, size_t i, bool *blank)
{
    bool line = false;
    *blank = false;
    for (; i < t.len && is_space(t.p[i]); i++) {
        *blank |= t.p[i] == '\n' && line;
        line |= t.p[i] == '\n';
    }
    return i;
}

/* Length of a sentence mark at p: ASCII, the ellipsis, or the wide ones of Chinese and Japanese (*wide); 0 for none. */
static size_t mark_at(const char *p, size_t n, bool *wide)
{
    *wide = false;
    if (*p == '.' || *p == '!' || *p == '?')
        return 1;
    if (n < 3 || (unsigned char)*p < 0xE2)
        return 0;
    *wide = memcmp(p, "\xE3\x80\x82", 3) == 0 || memcmp(p, "\xEF\xBC\x81", 3) == 0 ||
            memcmp(p, "\xEF\xBC\x9F", 3) == 0;
    return *wide || memcmp(p, "\xE2\x80\xA6", 3) == 0 ? 3 : 0;
}

/* Looks at a run of marks that begins at i. Answers true when a sentence ends, at *end; otherwise scanning goes on at *end. */
static bool ends_here(mt_slice t, size_t from, size_t i, size_t *end)
{
    size_t first = i, n;
    bool wide, any_wide = false, blank;
    while (i < t.len && (n = mark_at(t.p + i, t.len - i, &wide)) > 0) {
        any_wide |= wide;
        i += n;
    }
    bool lone_stop = i - first == 1 && t.p[first] == '.';
    while ((n = closer_at(t.p + i, t.len - i)) > 0)
        i += n;
    *end = i;
    if (any_wide || i == t.len)
        return true;
    if (!is_space(t.p[i]))
        return false;
    size_t next = skip_space(t, i, &blank);
    if (blank || next == t.len)
        return true;
    if (starts_small(t.p + next, t.len - next) ||
        (lone_stop && is_abbreviation(t, from, first, t.p + next))) {
        *end = next > i && t.p[i] == '\n' ? i : next; /* a line's end is looked at again, for list items */
        return false;
    }
    return true;
}

bool mt_sentence_next(mt_slice t, size_t *pos, mt_sentence *out)
{
    bool blank, wide;
    size_t i = skip_space(t, *pos, &blank), start = i;
    if (i >= t.len) {
        *pos = t.len;
        return false;
    }
    while (i < t.len) {
        if (t.p[i] == '\n') {
            size_t next = skip_space(t, i, &blank);
            if (blank || next == t.len || list_item_at(t.p + next, t.len - next))
                break;
            i = next;
        } else if (mark_at(t.p + i, t.len - i, &wide)) {
            if (ends_here(t, start, i, &i))
                break;
        } else {
            i++;
        }
    }
    *pos = i;
    while (i > start && is_space(t.p[i - 1]))
        i--;
    *out = (mt_sentence){start, i};
    return true;
}
