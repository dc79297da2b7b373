#include "analysis.h"

#include <stdlib.h>

enum { LANGUAGES = 3, SHORT_QUERY = 3, QUERY_WORDS = 256 };

void text_terms_dispose(text_terms *t)
{
    free(t->names);
    free(t->items);
    *t = (text_terms){0};
}

/* A hash table over the items of a text_terms while they are collected. */
typedef struct collector {
    text_terms *t;
    uint32_t *slots;      /* 0 free, else 1 + item */
    size_t mask, cap, names_cap;
} collector;

static uint32_t hash_of(const char *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 16777619u;
    return h ^ h >> 15;
}

static uint32_t *slot_of(const collector *c, const char *name, size_t len)
{
    for (size_t i = hash_of(name, len) & c->mask;; i = (i + 1) & c->mask) {
        const text_term *x = c->slots[i] ? &c->t->items[c->slots[i] - 1] : NULL;
        if (!x || (x->len == len && memcmp(c->t->names + x->at, name, len) == 0))
            return &c->slots[i];
    }
}

/* Room for one more item. */
static bool reserve(collector *c)
{
    if (c->t->n * 2 + 2 > c->mask) {
        size_t size = c->mask ? (c->mask + 1) * 2 : 256;
        uint32_t *slots = calloc(size, sizeof *slots);
        if (!slots)
            return false;
        free(c->slots);
        c->slots = slots;
        c->mask = size - 1;
        for (size_t i = 0; i < c->t->n; i++)
            *slot_of(c, c->t->names + c->t->items[i].at, c->t->items[i].len) = (uint32_t)i + 1;
    }
    if (c->t->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 128;
        text_term *items = realloc(c->t->items, cap * sizeof *items);
        if (!items)
            return false;
        c->t->items = items;
        c->cap = cap;
    }
    if (c->t->names_len + MT_WORD_MAX > c->names_cap) {
        size_t cap = c->names_cap ? c->names_cap * 2 : 2048;
        char *names = realloc(c->t->names, cap);
        if (!names)
            return false;
        c->t->names = names;
        c->names_cap = cap;
    }
    return true;
}

static mt_status collect(collector *c, const char *name, size_t len, uint32_t word)
{
    if (!reserve(c))
        return MT_NO_MEMORY;
    uint32_t *slot = slot_of(c, name, len);
    if (*slot) {
        c->t->items[*slot - 1].count++;
        return MT_OK;
    }
    memcpy(c->t->names + c->t->names_len, name, len);
    c->t->items[c->t->n] = (text_term){(uint32_t)c->t->names_len, (uint32_t)len, 1, word};
    c->t->names_len += len;
    *slot = (uint32_t)++c->t->n;
    return MT_OK;
}

static int by_name(const void *a, const void *b, void *names)
{
    const text_term *x = a, *y = b;
    int d = memcmp((const char *)names + x->at, (const char *)names + y->at, x->len < y->len ? x->len : y->len);
    return d ? d : (x->len > y->len) - (x->len < y->len);
}

mt_status text_analyze(mt_stemmer *s, mt_slice text, mt_slice code, text_terms *out)
{
    mt_words walk = {.text = text};
    mt_word w;
    mt_language language;
    mt_status status = MT_OK;
    *out = (text_terms){0};
    collector c = {.t = out};
    if (!mt_language_of(code, &language))
        language = mt_language_detect(text);
    while (status == MT_OK && mt_words_next(&walk, &w)) {
        size_t len = w.whole ? w.len : mt_stem(s, language, w.text, w.len);
        status = collect(&c, w.text, len, 0);
        out->length += !w.whole;
    }
    free(c.slots);
    if (status != MT_OK)
        text_terms_dispose(out);
    else if (out->n)
        qsort_r(out->items, out->n, sizeof *out->items, by_name, out->names);
    return status;
}

/* The languages that a question's words are stemmed for; how many. */
static size_t query_languages(mt_slice text, mt_slice code, mt_language out[LANGUAGES])
{
    mt_words walk = {.text = text};
    mt_word w;
    size_t words = 0, n = 1;
    if (mt_language_of(code, &out[0]))
        return 1;
    out[0] = mt_language_detect(text);
    while (words <= SHORT_QUERY && mt_words_next(&walk, &w))
        words += !w.whole;
    if (words > SHORT_QUERY && out[0] != MT_LANGUAGE_OTHER)
        return 1;
    for (mt_language l = MT_LANGUAGE_OTHER; l <= MT_LANGUAGE_HR; l++)
        if (l != out[0])
            out[n++] = l;
    return n;
}

static mt_status collect_query(mt_stemmer *s, mt_slice text, const mt_language *languages, size_t n, bool stops, text_terms *out)
{
    mt_words walk = {.text = text};
    mt_word w;
    mt_status status = MT_OK;
    *out = (text_terms){0};
    collector c = {.t = out};
    while (status == MT_OK && out->words < QUERY_WORDS && mt_words_next(&walk, &w)) {
        if (!stops && !w.whole && mt_is_stop_word(languages[0], w.text, w.len))
            continue;
        size_t before = out->n;
        for (size_t i = 0; status == MT_OK && i < (w.whole ? 1 : n); i++) {
            mt_word stem = w;
            size_t len = w.whole ? w.len : mt_stem(s, languages[i], stem.text, w.len), held = out->n;
            status = collect(&c, stem.text, len, out->words);
            if (status == MT_OK && out->n == held && i > 0) /* the same stem in two languages is one */
                out->items[*slot_of(&c, stem.text, len) - 1].count--;
        }
        out->words += out->n > before;
        out->length++;
    }
    free(c.slots);
    if (status != MT_OK)
        text_terms_dispose(out);
    return status;
}

mt_status text_analyze_query(mt_stemmer *s, mt_slice text, mt_slice code, text_terms *out)
{
    mt_language languages[LANGUAGES];
    size_t n = query_languages(text, code, languages);
    MT_TRY(collect_query(s, text, languages, n, false, out));
    if (out->n)
        return MT_OK;
    text_terms_dispose(out);
    return collect_query(s, text, languages, n, true, out);
}

static bool is_wanted(const text_terms *query, const char *name, size_t len)
{
    for (size_t i = 0; i < query->n; i++)
        if (query->items[i].len == len && memcmp(query->names + query->items[i].at, name, len) == 0)
            return true;
    return false;
}

void text_find_marks(mt_stemmer *s, const text_terms *query, mt_slice text, void (*found)(void *user, size_t start, size_t end), void *user)
{
    mt_words walk = {.text = text};
    mt_word w;
    mt_language language = mt_language_detect(text);
    size_t start = 0, end = 0, told = 0; /* a mark that may still grow: over a sign that joins, or a whole over its parts */
    while (mt_words_next(&walk, &w)) {
        size_t len = w.whole ? w.len : mt_stem(s, language, w.text, w.len);
        if (!is_wanted(query, w.text, len))
            continue;
        bool joined = end && (w.start <= end || (w.start == end + 1 && strchr("-_./@:", text.p[end])));
        if (end && !joined) {
            found(user, start, end);
            told = end;
        }
        start = joined && start < w.start ? start : w.start;
        start = start < told ? told : start;
        end = w.end;
    }
    if (end > start)
        found(user, start, end);
}
