/* A text: its language, its words, its terms, its marks for a question that is its own beginning. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_analysis: %s\n", what);
        abort();
    }
}

static void check_words(mt_slice text)
{
    mt_words walk = {.text = text};
    mt_word w;
    size_t part_end = 0;
    while (mt_words_next(&walk, &w)) {
        must(w.start < w.end && w.end <= text.len && w.len > 0 && w.len <= MT_WORD_MAX, "a word outside its text");
        must(mt_utf8_valid(w.text, w.len, NULL), "a word that is not UTF-8");
        must(w.whole ? w.end == part_end : w.start >= part_end, "words out of order");
        part_end = w.end;
    }
}

typedef struct range {
    size_t end, limit;
} range;

static void check_mark(void *user, size_t start, size_t end)
{
    range *r = user;
    must(start >= r->end && start < end && end <= r->limit, "marks out of order");
    r->end = end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mt_slice text = {(const char *)data, size};
    mt_stemmer *s = mt_stemmer_create();
    text_terms terms;
    mt_language_detect(text);
    check_words(text);
    must(text_analyze(s, text, (mt_slice){0}, &terms) == MT_OK, "no terms");
    uint64_t count = 0;
    for (size_t i = 0; i < terms.n; i++) {
        must(terms.items[i].at + terms.items[i].len <= terms.names_len && terms.items[i].len, "a term outside its names");
        count += terms.items[i].count;
    }
    must(count >= terms.length, "fewer terms than words");
    text_terms_dispose(&terms);
    must(text_analyze_query(s, (mt_slice){text.p, size / 2}, (mt_slice){0}, &terms) == MT_OK, "no question");
    range r = {.limit = size};
    text_find_marks(s, &terms, text, check_mark, &r);
    text_terms_dispose(&terms);
    mt_stemmer_destroy(s);
    return 0;
}
