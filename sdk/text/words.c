/* Tokens through utf8proc, with a short way for Latin letters. */
#include "text/words.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "text/utf8.h"

enum { PARTS = 8, WHOLE_NEXT = 1000, FOLDED = 18 };

struct mt_stemmer {
    struct sb_stemmer *english;
};

typedef enum kind { SEPARATOR, LETTER, IGNORED, ALONE } kind;

static bool stands_alone(uint32_t cp) /* kana and Han: written without spaces */
{
    return (cp >= 0x3040 && cp <= 0x30FF) || (cp >= 0x3400 && cp <= 0x9FFF) || (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x20000 && cp <= 0x3FFFF);
}

/* The compatible small form without marks; *n code points of out (0: nothing is left). */
static kind fold_any(uint32_t cp, uint32_t out[FOLDED], size_t *n)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)cp);
    *n = 0;
    if (category == UTF8PROC_CATEGORY_CF || (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME))
        return IGNORED;
    bool letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
    if (!letter && !(category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO))
        return SEPARATOR;
    int boundary = 0;
    utf8proc_ssize_t found = utf8proc_decompose_char((utf8proc_int32_t)cp, (utf8proc_int32_t *)out, FOLDED,
                                                     UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK, &boundary);
    if (found <= 0 || found > FOLDED) {
        out[0] = cp;
        found = 1;
    }
    for (utf8proc_ssize_t i = 0; i < found; i++) /* đ, ł, ø have no decomposition */
        out[i] = out[i] >= 0xC0 && out[i] < 0x180 ? mt_utf8_plain(out[i]) : out[i];
    *n = (size_t)found;
    return stands_alone(cp) ? ALONE : LETTER;
}

static kind fold(uint32_t cp, uint32_t out[FOLDED], size_t *n)
{
    *n = 1;
    if (cp < 0x80) {
        *out = mt_utf8_plain(cp);
        return *out ? LETTER : SEPARATOR;
    }
    if (cp == MT_UTF8_BAD)
        return SEPARATOR;
    if (cp >= 0xC0 && cp < 0x180 && cp != 0xDF && mt_utf8_plain(cp)) {
        *out = mt_utf8_plain(cp);
        return LETTER;
    }
    return fold_any(cp, out, n);
}

static void put(mt_word *w, const uint32_t *cps, size_t n)
{
    char bytes[4];
    for (size_t i = 0; i < n; i++) {
        size_t len = mt_utf8_put(cps[i], bytes);
        if (w->len + len > MT_WORD_MAX)
            return;
        memcpy(w->text + w->len, bytes, len);
        w->len += len;
    }
}

static kind kind_at(mt_slice t, size_t i, size_t *step)
{
    uint32_t cp, folded[FOLDED];
    size_t n;
    *step = mt_utf8_next(t.p + i, t.len - i, &cp);
    return fold(cp, folded, &n);
}

/* Takes letters from w->pos on into out. */
static void take_letters(mt_words *w, mt_word *out)
{
    *out = (mt_word){.start = w->pos, .end = w->pos};
    while (w->pos < w->text.len) {
        uint32_t cp, folded[FOLDED];
        size_t n, step = mt_utf8_next(w->text.p + w->pos, w->text.len - w->pos, &cp);
        kind k = fold(cp, folded, &n);
        if (k == SEPARATOR || (k == ALONE && out->len))
            break;
        put(out, folded, n);
        out->end = w->pos += step;
        if (k == ALONE)
            break;
    }
}

static size_t apostrophe_at(mt_slice t, size_t i)
{
    if (i < t.len && t.p[i] == '\'')
        return 1;
    return i + 3 <= t.len && memcmp(t.p + i, "\xE2\x80\x99", 3) == 0 ? 3 : 0;
}

/* Moves over 's, 've, 't. */
static void skip_clitic(mt_words *w)
{
    size_t i = w->pos + apostrophe_at(w->text, w->pos), letters = 0, step;
    if (i == w->pos)
        return;
    while (i < w->text.len && letters < 3 && kind_at(w->text, i, &step) == LETTER) {
        i += step;
        letters++;
    }
    if (letters > 0 && letters < 3)
        w->pos = i;
}

/* Whether the next word is joined to the one that ended at pos. */
static bool joins(const mt_words *w)
{
    size_t step, i = w->pos;
    return i + 1 < w->text.len && w->text.p[i] && strchr("-_./@:", w->text.p[i]) && kind_at(w->text, i + 1, &step) == LETTER;
}

/* The run from w->run to the word's end, folded with its marks between. */
static bool take_whole(mt_words *w, mt_word *out, size_t end)
{
    mt_slice t = {w->text.p, end};
    *out = (mt_word){.start = w->run, .end = end, .whole = true};
    for (size_t i = w->run; i < end;) {
        uint32_t cp, folded[FOLDED];
        size_t n, step = mt_utf8_next(t.p + i, end - i, &cp), before = out->len;
        kind k = fold(cp, folded, &n);
        if (k == SEPARATOR)
            folded[0] = cp;
        put(out, folded, k == SEPARATOR ? 1 : n);
        if (k != IGNORED && out->len == before)
            return false; /* too long */
        i += step;
    }
    return true;
}

bool mt_words_next(mt_words *w, mt_word *out)
{
    size_t step;
    if (w->parts == WHOLE_NEXT) {
        w->parts = 0;
        if (take_whole(w, out, w->pos))
            return true;
    }
    for (;;) {
        while (w->pos < w->text.len && kind_at(w->text, w->pos, &step) == SEPARATOR)
            w->pos += step;
        if (w->pos >= w->text.len)
            return false;
        take_letters(w, out);
        if (out->len)
            break;
    }
    if (w->parts == 0)
        w->run = out->start;
    w->parts++;
    if (joins(w)) {
        if (w->parts >= WHOLE_NEXT - 1)
            w->parts--;
        return true;
    }
    bool whole = w->parts > 1 && w->parts <= PARTS;
    w->parts = whole ? WHOLE_NEXT : 0;
    if (!whole)
        skip_clitic(w);
    return true;
}

/* --- stems --- */

mt_stemmer *mt_stemmer_create(void)
{
    mt_stemmer *s = calloc(1, sizeof *s);
    if (s && !(s->english = sb_stemmer_new("english", NULL))) {
        free(s);
        s = NULL;
    }
    return s;
}

void mt_stemmer_destroy(mt_stemmer *s)
{
    if (s)
        sb_stemmer_delete(s->english);
    free(s);
}

static size_t stem_english(mt_stemmer *s, char *word, size_t len)
{
    const sb_symbol *stem = sb_stemmer_stem(s->english, (const sb_symbol *)word, (int)len);
    size_t n = stem ? (size_t)sb_stemmer_length(s->english) : 0;
    if (n == 0 || n > len)
        return len;
    memcpy(word, stem, n);
    return n;
}

/* Endings of cases, persons and tenses, the longest first; then those of participles, possessives and derivations. */
static const char *const inflections[] = {
    "ostima", "ajmo", "ajte", "ajuci", "asmo", "aste", "avsi", "esmo", "este", "ijama", "ijima", "ismo", "iste", "ivsi", "oscu", "osti", "usmo", "uste",
    "ahu",    "aju",  "ama",  "amo",   "ase",  "ate",  "ati",  "ega",  "emo",  "emu",   "ete",   "eti",  "ihu",  "ija",  "ije",  "ijem", "iji",  "ijom",
    "iju",    "ima",  "imo",  "ise",   "ite",  "iti",  "jem",  "oga",  "ome",  "omu",   "ost",   "uci",  "eci",  "umo",  "ute",  "uti",  "ah",   "aj",
    "am",     "ao",   "as",   "at",    "eg",   "eh",   "em",   "eo",   "es",   "et",    "ih",    "im",   "io",   "is",   "it",   "ju",   "ma",   "og",
    "oj",     "om",   "uh",   "um",    "us",   "ut",   "a",    "e",    "i",    "o",     "u",
};
static const char *const derivations[] = {
    "anost", "enost", "jenost", "anj", "enj", "jenj", "icn", "jen", "ost", "stv", "al", "an", "el", "en", "ev", "il", "ov", "sk", "ul",
};

/* The longest ending of the list that leaves `least` bytes goes. */
static size_t cut_longest(const char *word, size_t len, const char *const *list, size_t n, size_t least)
{
    size_t best = 0;
    for (size_t i = 0; i < n; i++) {
        size_t m = strlen(list[i]);
        if (m > best && len >= m + least && memcmp(word + len - m, list[i], m) == 0)
            best = m;
    }
    return len - best;
}

/* What changes before some endings: poslužitelj, poslužiteljem; knjiga, knjizi; vojnik, vojnici. */
static size_t level(char *word, size_t len)
{
    len -= len > 4 && word[len - 1] == 'j';
    if (len > 3 && (word[len - 1] == 'z' || word[len - 1] == 'c'))
        word[len - 1] = word[len - 1] == 'z' ? 'g' : 'k';
    return len;
}

static size_t stem_croatian(char *word, size_t len)
{
    len = level(word, cut_longest(word, len, inflections, sizeof inflections / sizeof *inflections, 3));
    return level(word, cut_longest(word, len, derivations, sizeof derivations / sizeof *derivations, 4));
}

size_t mt_stem(mt_stemmer *s, mt_language language, char *word, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (word[i] >= '0' && word[i] <= '9')
            return len;
    return language == MT_LANGUAGE_EN ? stem_english(s, word, len) : language == MT_LANGUAGE_HR ? stem_croatian(word, len) : len;
}
