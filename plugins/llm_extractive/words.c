/* Folded words and two light stemmers: lighter than those of search, because a question's words are matched with few sentences. */
#include "words.h"

#include "text/language.h"
#include "text/utf8.h"

#define WORD_MAX 40 /* bytes kept of a word */

static mt_language language_of(words_language language)
{
    return language == WORDS_CROATIAN ? MT_LANGUAGE_HR : MT_LANGUAGE_EN;
}

static bool ends(const char *w, size_t len, const char *suffix)
{
    size_t n = strlen(suffix);
    return len >= n && memcmp(w + len - n, suffix, n) == 0;
}

static size_t undouble(const char *w, size_t len)
{
    return len > 3 && w[len - 1] == w[len - 2] && !strchr("lsz", w[len - 1]) ? len - 1 : len;
}

/* installs, installed, installing, installation, installer → install; packages, packaging → packag. */
static size_t stem_english(char *w, size_t len)
{
    if (len > 4 && ends(w, len, "ies")) {
        w[len - 3] = 'y';
        len -= 2;
    } else if (len > 4 && (ends(w, len, "sses") || ends(w, len, "xes") || ends(w, len, "ches") || ends(w, len, "shes"))) {
        len -= 2;
    } else if (len > 3 && w[len - 1] == 's' && !ends(w, len, "ss") && !ends(w, len, "us") && !ends(w, len, "is")) {
        len--;
    }
    if (len > 7 && ends(w, len, "ation"))
        len -= 5;
    else if (len > 5 && ends(w, len, "ing"))
        len = undouble(w, len - 3);
    else if (len > 4 && ends(w, len, "ed"))
        len = undouble(w, len - 2);
    else if (len > 6 && ends(w, len, "er"))
        len = undouble(w, len - 2);
    else if (len > 5 && ends(w, len, "ly"))
        len -= 2;
    return len > 4 && w[len - 1] == 'e' ? len - 1 : len;
}

/* The longest ending that leaves four letters, or three for one-letter endings; then a j (poslužitelj, poslužitelja). */
static size_t stem_croatian(const char *w, size_t len)
{
    static const char *const endings[] = {
        "ovima", "evima", "ijama", "stima", "anjem", "enjem", "anja", "enja", "anje", "enje", "anju", "enju", "osti", "ama",
        "ima",   "ovi",   "evi",   "ova",   "eva",   "ove",   "oga",  "ega",  "omu",  "emu",  "ost",  "iju",  "ija",  "ije",
        "iji",   "jem",   "ati",   "iti",   "eti",   "amo",   "imo",  "aju",  "og",   "eg",   "om",   "em",   "oj",   "ih",
        "im",    "ju",    "ja",    "je",    "ji",    "a",     "e",    "i",    "o",    "u",
    };
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);
        if (len >= n + (n == 1 ? 3 : 4) && ends(w, len, endings[i])) {
            len -= n;
            break;
        }
    }
    return len > 4 && w[len - 1] == 'j' ? len - 1 : len;
}

/* Folds the next word into word[WORD_MAX + 4]; answers its length (long ones are cut), 0 at the end of the text. */
static size_t next_folded(mt_slice text, size_t *pos, char *word)
{
    size_t len = 0;
    while (*pos < text.len) {
        uint32_t cp;
        size_t step = mt_utf8_next(text.p + *pos, text.len - *pos, &cp);
        uint32_t letter = mt_utf8_plain(cp);
        if (letter == 0 && len > 0)
            break;
        *pos += step;
        if (letter && len < WORD_MAX)
            len += mt_utf8_put(letter, word + len);
    }
    return len;
}

bool words_next(mt_slice text, size_t *pos, words_language language, words_word *out)
{
    char word[WORD_MAX + 4];
    size_t len = next_folded(text, pos, word);
    if (len == 0)
        return false;
    out->stop = mt_is_stop_word(language_of(language), word, len);
    len = language == WORDS_CROATIAN ? stem_croatian(word, len) : stem_english(word, len);
    out->hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        out->hash = (out->hash ^ (unsigned char)word[i]) * 0x100000001B3u;
    return true;
}

words_language words_guess(mt_slice text)
{
    return mt_language_detect(text) == MT_LANGUAGE_HR ? WORDS_CROATIAN : WORDS_ENGLISH;
}
