/* A sentence's score is the share of the question's words that it has (weighted by how rare they are here), the score of its passage and its
   place; a heading or a question lends its share to the sentences behind it, which answer it. Then the best are chosen one by one,
   each less for what was already said (maximal marginal relevance). */
#include "extract.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/sentences.h"
#include "text/utf8.h"
#include "words.h"

#define PASSAGES_MAX 64
#define SENTENCES_MAX 4000
#define TERMS_MAX 32  /* of a question: one bit each */
#define HASHES_MAX 40 /* of a sentence, for comparing sentences */

#define WEIGHT_WORDS 0.6f
#define WEIGHT_PASSAGE 0.35f
#define WEIGHT_PLACE 0.05f
#define LENT 0.7f      /* what a heading's share is worth to the sentence behind it; falls off with distance */
#define REPEATED 0.5f  /* how much likeness to a chosen sentence costs */
#define KEEP_UP 0.6f   /* a further quote has at least so much of the best one's score */

typedef struct sentence {
    size_t passage, start, end, nth;
    uint32_t terms;         /* which of the question's words it has */
    uint32_t n_words, n_hashes;
    uint64_t hashes[HASHES_MAX]; /* of its words without stop words */
    float share, score;
    bool asks, chosen;      /* asks: a question or a heading */
} sentence;

typedef struct work {
    const extract_passage *passages;
    words_language language;
    uint64_t terms[TERMS_MAX];
    float weights[TERMS_MAX], weight_sum;
    size_t n_terms, n;
    sentence *sentences;
} work;

static void read_question(work *w, mt_slice question)
{
    size_t pos = 0;
    words_word word;
    while (w->n_terms < TERMS_MAX && words_next(question, &pos, w->language, &word)) {
        bool known = word.stop;
        for (size_t i = 0; i < w->n_terms; i++)
            known |= w->terms[i] == word.hash;
        if (!known)
            w->terms[w->n_terms++] = word.hash;
    }
}

static void read_sentence(const work *w, sentence *s)
{
    const char *p = w->passages[s->passage].text.p;
    mt_slice text = {p + s->start, s->end - s->start};
    size_t pos = 0;
    words_word word;
    while (words_next(text, &pos, w->language, &word)) {
        s->n_words++;
        for (size_t i = 0; i < w->n_terms; i++)
            if (w->terms[i] == word.hash)
                s->terms |= 1u << i;
        if (!word.stop && s->n_hashes < HASHES_MAX)
            s->hashes[s->n_hashes++] = word.hash;
    }
    char last = text.p[text.len - 1];
    bool closed = last == '.' || last == '!' || last == ':' || last == ')' || last == '"' || (last & 0x80);
    s->asks = last == '?' || (!closed && s->n_words <= 14 && s->nth == 0);
}

static void read_passages(work *w, size_t n)
{
    for (size_t i = 0; i < n && i < PASSAGES_MAX; i++) {
        size_t pos = 0;
        mt_sentence found;
        for (size_t nth = 0; w->n < SENTENCES_MAX && mt_sentence_next(w->passages[i].text, &pos, &found); nth++) {
            sentence *s = &w->sentences[w->n++];
            *s = (sentence){.passage = i, .start = found.start, .end = found.end, .nth = nth};
            read_sentence(w, s);
        }
    }
}

/* A word that every sentence has says nothing; one that none has cannot be answered and weighs most. */
static void weigh_terms(work *w)
{
    for (size_t t = 0; t < w->n_terms; t++) {
        size_t have = 0;
        for (size_t i = 0; i < w->n; i++)
            have += w->sentences[i].terms >> t & 1;
        w->weights[t] = logf(1 + (float)w->n / ((float)have + 0.5f));
        w->weight_sum += w->weights[t];
    }
}

static float share_of(const work *w, uint32_t terms)
{
    float sum = 0;
    for (size_t t = 0; t < w->n_terms; t++)
        if (terms >> t & 1)
            sum += w->weights[t];
    return w->weight_sum > 0 ? sum / w->weight_sum : 0;
}

/* Fragments say little, very long sentences dilute, questions do not answer. */
static float shape_of(const sentence *s)
{
    if (s->asks)
        return 0.4f;
    if (s->n_words < 4)
        return 0.7f;
    return s->n_words > 60 ? 0.8f : 1;
}

static float best_passage(const work *w)
{
    float best = 0;
    for (size_t i = 0; i < w->n; i++)
        best = fmaxf(best, fminf(1, w->passages[w->sentences[i].passage].score));
    return best;
}

static void score_sentences(work *w)
{
    const sentence *heading = NULL;
    float best = best_passage(w);
    for (size_t i = 0; i < w->n; i++) {
        sentence *s = &w->sentences[i];
        if (s->nth == 0)
            heading = NULL;
        s->share = share_of(w, s->terms);
        float share = s->share, passage = w->passages[s->passage].score;
        if (heading && !s->asks) {
            float lent = LENT - 0.1f * (float)(s->nth - heading->nth - 1);
            float with = share_of(w, s->terms | heading->terms) * lent;
            share = with > share ? with : share;
        }
        if (s->asks)
            heading = s;
        passage = passage > 0 ? fminf(passage, 1) : 0; /* also for what is not a number */
        if (passage > 0)
            passage *= passage / best * (passage / best); /* a weak passage beside a strong one counts for little */
        s->score = shape_of(s) * (WEIGHT_WORDS * share + WEIGHT_PASSAGE * passage + WEIGHT_PLACE / (float)(1 + s->nth));
    }
}

/* Shared words over all words of both, 0 to 1. */
static float likeness(const sentence *a, const sentence *b)
{
    size_t shared = 0;
    for (size_t i = 0; i < a->n_hashes; i++) {
        for (size_t j = 0; j < b->n_hashes; j++) {
            if (a->hashes[i] == b->hashes[j]) {
                shared++;
                break;
            }
        }
    }
    size_t all = a->n_hashes + b->n_hashes - shared;
    return all ? fminf(1, (float)shared / (float)all) : 1;
}

/* The best sentence that is left, after what the chosen ones cost it; NULL when none reaches `least`. */
static sentence *next_best(work *w, const size_t *chosen, size_t n_chosen, float least, size_t room)
{
    sentence *best = NULL;
    float best_value = -1;
    for (size_t i = 0; i < w->n; i++) {
        sentence *s = &w->sentences[i];
        if (s->chosen || s->score < least || (n_chosen > 0 && s->end - s->start > room))
            continue;
        float like = 0;
        for (size_t c = 0; c < n_chosen; c++)
            like = fmaxf(like, likeness(s, &w->sentences[chosen[c]]));
        float value = s->score - REPEATED * like;
        if (like < 0.8f && value > best_value) {
            best = s;
            best_value = value;
        }
    }
    return best;
}

static size_t choose(work *w, const extract_options *o, size_t *chosen, size_t max)
{
    float least = o->threshold > 0 ? o->threshold : 0.35f;
    size_t room = o->max_bytes ? o->max_bytes : 1200, n = 0;
    sentence *s;
    while (n < max && (s = next_best(w, chosen, n, least, room)) != NULL) {
        s->chosen = true;
        chosen[n++] = (size_t)(s - w->sentences);
        room -= s->end - s->start < room ? s->end - s->start : room;
        least = fmaxf(least, s->score * (n == 1 ? KEEP_UP : 0));
    }
    return n;
}

static mt_status say_nothing_found(extract_answer *out, words_language language)
{
    out->text = strdup(language == WORDS_CROATIAN ? "U dokumentima nema odlomka koji odgovara na ovo pitanje."
                                                  : "No passage in the documents answers this question.");
    out->len = out->text ? strlen(out->text) : 0;
    return out->text ? MT_OK : MT_NO_MEMORY;
}

/* Passages in the order of their best quote; inside one, the text's own order. */
static void order_quotes(const work *w, size_t *chosen, size_t n)
{
    size_t rank[PASSAGES_MAX];
    for (size_t i = n; i-- > 0;)
        rank[w->sentences[chosen[i]].passage] = i;
    for (size_t i = 1; i < n; i++) {
        for (size_t j = i; j > 0; j--) {
            const sentence *a = &w->sentences[chosen[j - 1]], *b = &w->sentences[chosen[j]];
            if (rank[a->passage] < rank[b->passage] || (a->passage == b->passage && a->start < b->start))
                break;
            size_t swap = chosen[j];
            chosen[j] = chosen[j - 1];
            chosen[j - 1] = swap;
        }
    }
}

static mt_status write_answer(extract_answer *out, const work *w, const size_t *chosen, size_t n)
{
    size_t room = 1;
    for (size_t i = 0; i < n; i++)
        room += w->sentences[chosen[i]].end - w->sentences[chosen[i]].start + 32;
    out->text = malloc(room);
    out->quotes = calloc(n, sizeof *out->quotes);
    if (!out->text || !out->quotes) {
        extract_answer_dispose(out);
        return MT_NO_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        const sentence *s = &w->sentences[chosen[i]];
        const char *p = w->passages[s->passage].text.p;
        if (i > 0)
            out->text[out->len++] = ' ';
        extract_quote q = {.passage = s->passage, .start = s->start, .end = s->end, .score = fminf(s->score, 1),
                           .start_cp = mt_utf8_count(p, s->start), .answer_start = out->len};
        q.end_cp = q.start_cp + mt_utf8_count(p + s->start, s->end - s->start);
        memcpy(out->text + out->len, p + s->start, s->end - s->start);
        out->len += s->end - s->start;
        q.answer_end = out->len;
        out->len += (size_t)sprintf(out->text + out->len, " [%zu]", s->passage + 1);
        out->confidence = fmaxf(out->confidence, q.score);
        out->quotes[out->n_quotes++] = q;
    }
    out->text[out->len] = 0;
    return MT_OK;
}

mt_status extract_answer_make(extract_answer *out, mt_slice question, const extract_passage *passages, size_t n,
                              const extract_options *options)
{
    *out = (extract_answer){0};
    work *w = calloc(1, sizeof *w);
    size_t max = options->max_quotes ? options->max_quotes : 4, chosen[64];
    if (max > sizeof chosen / sizeof *chosen)
        max = sizeof chosen / sizeof *chosen;
    mt_status status = MT_NO_MEMORY;
    if (!w || !(w->sentences = malloc(SENTENCES_MAX * sizeof *w->sentences)))
        goto out;
    w->passages = passages;
    w->language = words_guess(question);
    read_question(w, question);
    read_passages(w, n);
    weigh_terms(w);
    score_sentences(w);
    size_t quotes = w->n_terms > 0 ? choose(w, options, chosen, max) : 0;
    order_quotes(w, chosen, quotes);
    status = quotes ? write_answer(out, w, chosen, quotes) : say_nothing_found(out, w->language);
out:
    if (w)
        free(w->sentences);
    free(w);
    return status;
}

void extract_answer_dispose(extract_answer *a)
{
    free(a->text);
    free(a->quotes);
    *a = (extract_answer){0};
}
