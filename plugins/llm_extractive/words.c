/* Folding to plain Latin letters, stop lists in that folded form, and two light stemmers. */
#include "words.h"

#include "text/utf8.h"

#define WORD_MAX 40 /* bytes kept of a word */

static const char *const english[] = {
    "a",     "about", "after", "all",  "also", "am",   "an",    "and",   "any",   "are",   "as",    "at",    "be",    "because",
    "been",  "but",   "by",    "can",  "could", "did", "do",    "does",  "doing", "for",   "from",  "get",   "had",   "has",
    "have",  "having", "he",   "her",  "here", "him",  "his",   "how",   "i",     "if",    "in",    "into",  "is",    "it",
    "its",   "just",  "may",   "me",   "might", "more", "most", "must",  "my",    "no",    "not",   "of",    "on",    "one",
    "only",  "or",    "other", "our",  "out",  "over", "own",   "please", "say",  "s",     "she",   "should", "so",   "some",
    "such",  "t",     "tell",  "than", "that", "the",  "their", "them",  "then",  "there", "these", "they",  "this",  "those",
    "to",    "too",   "up",    "us",   "very", "was",  "we",    "were",  "what",  "when",  "where", "which", "while", "who",
    "whom",  "whose", "why",   "will", "with", "would", "you",  "your",
};

static const char *const croatian[] = {
    "a",    "ako",  "ali",  "bez",  "bi",   "bila", "bili", "bilo", "bio",  "bismo", "biste", "biti", "bude", "budu", "ce",
    "cega", "cemu", "cete", "cu",   "da",   "do",   "dok",  "ga",   "gdje", "i",     "ih",    "ili",  "im",   "ima",  "imaju",
    "iz",   "ja",   "je",   "jer",  "jos",  "ju",   "kad",  "kada", "kako", "kao",   "koja",  "koje", "koji", "kojih", "kojim",
    "kojoj", "koju", "koliko", "li", "me",  "mi",   "mogu", "moze", "mu",   "na",    "nad",   "nam",  "nas",  "ne",   "nego",
    "neka", "neki", "nema", "ni",   "nije", "nisu", "njega", "njih", "o",   "od",    "ona",   "oni",  "ono",  "ova",  "ove",
    "ovo",  "po",   "pod",  "pri",  "s",    "sa",   "sam",  "samo", "se",   "si",    "smo",   "ste",  "sto",  "su",   "sve",
    "svi",  "ta",   "tada", "taj",  "tako", "te",   "ti",   "to",   "toga", "tu",    "u",     "uz",   "vam",  "vas",  "vec",
    "vi",   "za",   "zar",  "zasto", "zbog", "tko",  "kome", "koga",
};

static bool in_list(const char *const *list, size_t n, const char *word, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (list[i][0] == word[0] && strlen(list[i]) == len && memcmp(list[i], word, len) == 0)
            return true;
    return false;
}

static bool is_stop(words_language language, const char *word, size_t len)
{
    return language == WORDS_CROATIAN ? in_list(croatian, sizeof croatian / sizeof *croatian, word, len)
                                      : in_list(english, sizeof english / sizeof *english, word, len);
}

/* The plain letter of a Latin one (č → c), the code point itself for other letters and digits, 0 for what separates words. */
static uint32_t fold(uint32_t cp)
{
    static const char latin1[] = "aaaaaaaceeeeiiiidnooooo\0ouuuuyty";
    static const char extended[] = "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllllnnnnnnnnnoooooooo"
                                   "rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
    _Static_assert(sizeof latin1 == 33 && sizeof extended == 129, "one letter a code point");
    cp = cp == MT_UTF8_BAD ? 0 : mt_utf8_lower(cp);
    if (cp < 0x80)
        return (cp >= 'a' && cp <= 'z') || (cp >= '0' && cp <= '9') ? cp : 0;
    if (cp == 0xDF)
        return 's';
    if (cp >= 0xE0 && cp <= 0xFF)
        return (uint32_t)latin1[cp - 0xE0];
    if (cp >= 0x100 && cp <= 0x17F)
        return (uint32_t)extended[cp - 0x100];
    return cp < 0xC0 || (cp >= 0x2000 && cp <= 0x2BFF) || (cp >= 0x3000 && cp <= 0x303F) || cp >= 0xFE00 ? 0 : cp;
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
        uint32_t letter = fold(cp);
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
    out->stop = is_stop(language, word, len);
    len = language == WORDS_CROATIAN ? stem_croatian(word, len) : stem_english(word, len);
    out->hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        out->hash = (out->hash ^ (unsigned char)word[i]) * 0x100000001B3u;
    return true;
}

words_language words_guess(mt_slice text)
{
    char word[WORD_MAX + 4];
    size_t pos = 0, len, votes[2] = {0, 0};
    while ((len = next_folded(text, &pos, word)) > 0) {
        votes[WORDS_ENGLISH] += is_stop(WORDS_ENGLISH, word, len);
        votes[WORDS_CROATIAN] += is_stop(WORDS_CROATIAN, word, len);
    }
    for (size_t i = 0; i + 1 < text.len; i++) /* č ć đ š ž */
        votes[WORDS_CROATIAN] += text.p[i] == '\xC4' && strchr("\x8C\x8D\x86\x87\x90\x91", text.p[i + 1]) && text.p[i + 1];
    return votes[WORDS_CROATIAN] > votes[WORDS_ENGLISH] ? WORDS_CROATIAN : WORDS_ENGLISH;
}
