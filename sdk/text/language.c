/* A vote of common words; letter pairs where these are silent. */
#include "text/language.h"

#include "text/utf8.h"

enum { LOOK = 4096, WORD_MAX = 32, VOTE = 12 };

/* All lists are folded: plain small Latin letters. */
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

/* What gives other languages away; a word of several counts for each. */
static const char *const others[][28] = {
    {"der", "die", "das", "und", "ist", "nicht", "ein", "eine", "einen", "mit", "auf", "fur", "von", "dem", "den", "des", "sich", "wie", "auch",
     "werden", "wird", "im", "zu", "sind", "ich", "oder"},
    {"le", "la", "les", "des", "du", "et", "est", "une", "un", "dans", "que", "qui", "pour", "sur", "pas", "avec", "sont", "au", "aux", "ce",
     "cette", "par", "plus", "ou", "en", "de", "il"},
    {"il", "lo", "la", "gli", "di", "che", "e", "un", "una", "del", "della", "per", "con", "sono", "non", "come", "nel", "alla", "dei", "le",
     "delle", "questo", "anche", "piu", "si"},
    {"el", "la", "los", "las", "de", "que", "y", "en", "un", "una", "por", "con", "para", "es", "del", "se", "como", "pero", "su", "al", "lo",
     "mas", "este", "esta", "o", "um", "nao"},
    {"de", "het", "een", "van", "en", "dat", "niet", "zijn", "op", "te", "met", "voor", "aan", "ook", "maar", "naar", "door", "wordt", "hij",
     "ik", "bij", "uit", "deze"},
    {"w", "z", "na", "sie", "nie", "jest", "ze", "do", "to", "ktory", "ktore", "jak", "po", "dla", "przez", "oraz", "czy", "tak", "od", "byl"},
    {"v", "ve", "na", "se", "je", "ze", "ktery", "ktera", "ktere", "jako", "jsou", "byl", "pro", "pri", "jeho", "nebo", "take", "tak", "si", "co"},
    {"v", "in", "je", "na", "za", "ki", "pa", "so", "tudi", "bil", "kot", "bo", "pri", "iz", "po", "da", "ne", "kako", "lahko", "ter", "sem",
     "ni", "tem", "vse", "bi"},
    {"a", "az", "es", "nem", "hogy", "egy", "is", "meg", "van", "volt", "csak", "mint", "vagy", "ezt", "azt", "ha", "el", "de"},
};
enum { OTHERS = sizeof others / sizeof *others };

/* Letter pairs of the words of a Croatian and an English spelling dictionary (word edge, a–z; row first, column second):
   twice the natural logarithm of how much more frequent a pair is in Croatian, above 'n' or below. */
static const char pairs[27][28] = {
    "nmmknllmlnnqmmppoennmpoehfs",
    "pjmoomnmnisqmnnqmhnoomqefer",
    "mneinmknjnqlmlrmknnhimnknfq",
    "nnlfknnnepunipvgkjkgeltmnej",
    "joomemimknrmnorolmonjnrgoes",
    "kinmnglnnlqsmmnnnglmnnoeees",
    "llkkllfokmnpklolmollkkolofo",
    "knkkokjeelllomnoknnhimtineq",
    "jkijkiilkkolmimkjmlhkksgoen",
    "uemnmfllplwrmnmlmgpnohpjgip",
    "vtsssuopmvmvstwnpopvrqrnonr",
    "orirlljmiqmiqmosjotptruiofo",
    "jnkkjlkljnwmekrnjlimlnlhkep",
    "lmlnnmnnknwprepnlnsnonmkoeq",
    "nojlkmlikqvojhenkhimlplgjep",
    "okpmpknnoluqnnljnimonhpeffs",
    "lnirllklentqojppeopnmonjoen",
    "kknoonoookonnnnmonnoneonooo",
    "lommlnlmmnqnmlonmienlnogles",
    "joilkmnjhntrplplngreomteoek",
    "mnihklijeputnlsmqnnmenwfoeh",
    "mknpohlnrjsrmmlmolmmooqkhis",
    "sqnspmnompwsvowqnovrmpkooin",
    "feikiejlfenjgifejoghjjolnim",
    "fglhnglnifoollmggnmkfikljhn",
    "eegeffjgigmkeeefeneefhkhjlj",
    "osulwnovjsumstwpmnvlmswlohh",
};

static bool in_list(const char *const *list, size_t n, const char *word, size_t len)
{
    for (size_t i = 0; i < n && list[i]; i++)
        if (list[i][0] == word[0] && strlen(list[i]) == len && memcmp(list[i], word, len) == 0)
            return true;
    return false;
}

bool mt_is_stop_word(mt_language language, const char *word, size_t len)
{
    if (language == MT_LANGUAGE_EN)
        return in_list(english, sizeof english / sizeof *english, word, len);
    return language == MT_LANGUAGE_HR && in_list(croatian, sizeof croatian / sizeof *croatian, word, len);
}

typedef struct votes {
    int croatian, english, others[OTHERS];
    int pairs;               /* above 0: Croatian */
    size_t latin, foreign, elsewhere; /* letters: of both, of neither, of other scripts */
} votes;

static void count_word(votes *v, const char *word, size_t len)
{
    size_t last = 0;
    v->croatian += mt_is_stop_word(MT_LANGUAGE_HR, word, len);
    v->english += mt_is_stop_word(MT_LANGUAGE_EN, word, len);
    for (size_t i = 0; i < OTHERS; i++)
        v->others[i] += in_list(others[i], sizeof others[i] / sizeof *others[i], word, len);
    for (size_t i = 0; i <= len; i++) {
        size_t next = i < len && word[i] >= 'a' && word[i] <= 'z' ? (size_t)(word[i] - 'a') + 1 : 0;
        v->pairs += pairs[last][next] - 'n';
        last = next;
    }
}

static bool is_croatian_letter(uint32_t cp) /* č ć đ š ž, small */
{
    return cp == 0x10D || cp == 0x107 || cp == 0x111 || cp == 0x161 || cp == 0x17E;
}

static void count_letter(votes *v, uint32_t cp)
{
    if (is_croatian_letter(cp))
        v->pairs += VOTE;
    if (cp < 0x80 || is_croatian_letter(cp))
        v->latin++;
    else if (cp < 0x250)
        v->foreign++;
    else
        v->elsewhere++;
}

static void count_text(votes *v, mt_slice text)
{
    char word[WORD_MAX + 4];
    size_t len = 0, n = text.len < LOOK ? text.len : mt_utf8_floor(text.p, LOOK);
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += mt_utf8_next(text.p + i, n - i, &cp);
        uint32_t letter = mt_utf8_plain(cp);
        if (letter > '9')
            count_letter(v, mt_utf8_lower(cp));
        if (letter && len < WORD_MAX)
            len += mt_utf8_put(letter, word + len);
        if ((!letter || i >= n) && len) {
            count_word(v, word, len);
            len = 0;
        }
    }
}

mt_language mt_language_detect(mt_slice text)
{
    votes v = {0};
    count_text(&v, text);
    int other = 0;
    for (size_t i = 0; i < OTHERS; i++)
        other = v.others[i] > other ? v.others[i] : other;
    if (!v.latin || v.elsewhere > v.latin || v.foreign * 20 > v.latin || (other > 1 && other > v.croatian && other > v.english)) /* one says nothing */
        return MT_LANGUAGE_OTHER;
    return VOTE * (v.croatian - v.english) + v.pairs > 0 ? MT_LANGUAGE_HR : MT_LANGUAGE_EN;
}

const char *mt_language_code(mt_language language)
{
    return language == MT_LANGUAGE_EN ? "en" : language == MT_LANGUAGE_HR ? "hr" : "other";
}

bool mt_language_of(mt_slice code, mt_language *out)
{
    bool croatian = mt_slice_eq(code, MT_SLICE("hr")) || mt_slice_eq(code, MT_SLICE("bs")) || mt_slice_eq(code, MT_SLICE("sr"));
    *out = croatian ? MT_LANGUAGE_HR : mt_slice_eq(code, MT_SLICE("en")) ? MT_LANGUAGE_EN : MT_LANGUAGE_OTHER;
    return code.len > 0;
}
