#include "terms.h"

#include "text/utf8.h"

static bool is_one_of(const char *const *list, size_t n, const mt_word *w)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == w->len && !memcmp(list[i], w->text, w->len))
            return true;
    return false;
}

/* "can't" loses its t to the word splitter, so that is looked for in the text: n't and n’t. */
static bool denies(mt_slice text, const mt_word *w)
{
    static const char *const words[] = {"no", "not", "never", "none", "nor", "neither", "nobody", "nothing", "without", "cannot", "ne", "nije", "nisu",
                                        "nema", "nemaju", "nikad", "nikada", "nista", "nitko", "nijedan", "nijedna", "bez", "nemoj", "nemojte"};
    if (is_one_of(words, sizeof words / sizeof *words, w))
        return true;
    const char *at = text.p + w->end;
    size_t left = text.len - w->end;
    if (w->len < 2 || w->text[w->len - 1] != 'n')
        return false;
    return (left >= 2 && !memcmp(at, "'t", 2)) || (left >= 4 && !memcmp(at, "\u2019t", 4));
}

static bool begins_large(mt_slice text, size_t at)
{
    uint32_t cp;
    mt_utf8_next(text.p + at, text.len - at, &cp);
    return cp != MT_UTF8_BAD && mt_utf8_lower(cp) != cp;
}

static bool is_number(const mt_word *w)
{
    for (size_t i = 0; i < w->len; i++)
        if (w->text[i] >= '0' && w->text[i] <= '9')
            return true;
    return false;
}

static uint64_t hash_of(const char *p, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0x100000001B3u;
    return h;
}

static void add(terms *out, term t)
{
    out->words++;
    for (size_t i = 0; i < out->n; i++)
        if (out->list[i].hash == t.hash) {
            out->list[i].name |= t.name;
            return;
        }
    if (out->n < TERMS_MAX)
        out->list[out->n++] = t;
}

void terms_read(mt_slice text, mt_language language, mt_stemmer *stemmer, terms *out)
{
    mt_words walk = {.text = text};
    mt_word w;
    out->n = out->words = 0;
    out->denies = false;
    for (bool first = true; mt_words_next(&walk, &w); first = false) {
        if (w.whole)
            continue;
        out->denies |= denies(text, &w);
        if (mt_is_stop_word(language, w.text, w.len))
            continue;
        term t = {.number = is_number(&w), .name = !first && begins_large(text, w.start)};
        size_t len = mt_stem(stemmer, language, w.text, w.len);
        t.hash = hash_of(w.text, len);
        add(out, t);
    }
}
