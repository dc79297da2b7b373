#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "terms.h"
#include "text/sentences.h"

/* LEAST: below it a sentence counts as not said. DENSE: long stretches have many words by chance, so of several sentences' words at least this share
   must be the judged sentence's. Set on paraphrases and inventions, some in tests/test_support.c: rather a true sentence marked than a false one cited. */
#define LEAST 0.65
#define DENSE 0.33
#define LONGER 0.03    /* what each further sentence of a stretch costs */
#define PREFERRED 0.05
#define BESIDE 0.34
enum { STRETCH = 3, SHORT = 3, REPEATED = 8, SENTENCES_MAX = 4000, EXCERPTS_MAX = 8 };

typedef struct stretch {
    size_t passage, start, end;
    uint64_t *hashes;
    size_t n;
    bool denies, heading;
    mt_slice text;       /* the passage */
} stretch;

struct support {
    mt_call *c;
    mt_language language;
    terms question;
    stretch *list;       /* a passage's heading, then its sentences */
    size_t n, cap, passages;
};

static mt_status add(support *s, mt_slice text, stretch at, const terms *t)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        stretch *grown = mt_alloc(s->c, cap * sizeof *grown);
        if (!grown)
            return MT_NO_MEMORY;
        if (s->n)
            memcpy(grown, s->list, s->n * sizeof *grown);
        s->list = grown;
        s->cap = cap;
    }
    at.hashes = mt_alloc(s->c, (t->n + 1) * sizeof *at.hashes);
    if (!at.hashes)
        return MT_NO_MEMORY;
    for (at.n = 0; at.n < t->n; at.n++)
        at.hashes[at.n] = t->list[at.n].hash;
    at.denies = t->denies;
    at.text = text;
    s->list[s->n++] = at;
    return MT_OK;
}

support *support_begin(mt_call *c, mt_slice question, mt_language language)
{
    support *s = mt_alloc(c, sizeof *s);
    mt_stemmer *stemmer = mt_stemmer_create();
    if (s && stemmer) {
        s->c = c;
        s->language = language;
        terms_read(question, language, stemmer, &s->question);
    }
    bool whole = s && stemmer;
    mt_stemmer_destroy(stemmer);
    return whole ? s : NULL;
}

mt_status support_add(support *s, mt_slice text, mt_slice heading)
{
    size_t pos = 0, passage = s->passages++;
    mt_sentence found;
    terms t;
    mt_stemmer *stemmer = mt_stemmer_create();
    if (!stemmer)
        return MT_NO_MEMORY;
    terms_read(heading, s->language, stemmer, &t);
    mt_status status = add(s, heading, (stretch){.passage = passage, .heading = true}, &t);
    while (status == MT_OK && s->n < SENTENCES_MAX && mt_sentence_next(text, &pos, &found)) {
        terms_read((mt_slice){text.p + found.start, found.end - found.start}, s->language, stemmer, &t);
        status = add(s, text, (stretch){.passage = passage, .start = found.start, .end = found.end}, &t);
    }
    mt_stemmer_destroy(stemmer);
    return status;
}

/* A sentence under judgement: which of its terms each stretch has, a bit a term. */
typedef struct judged {
    terms t;
    uint64_t numbers, names, own;    /* own: not lent by the question */
    double weights[TERMS_MAX], sum;
    uint64_t *masks;                 /* by stretch */
} judged;

static uint64_t mask_of(const terms *t, const stretch *s)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < t->n; i++)
        for (size_t k = 0; k < s->n; k++)
            if (t->list[i].hash == s->hashes[k]) {
                mask |= UINT64_C(1) << i;
                break;
            }
    return mask;
}

/* A very short sentence ("In 1989.") is read with the words of the question. */
static void borrow(judged *j, const terms *question)
{
    for (size_t i = 0; i < question->n && j->t.n < TERMS_MAX; i++) {
        bool known = false;
        for (size_t k = 0; k < j->t.n; k++)
            known |= j->t.list[k].hash == question->list[i].hash;
        if (!known)
            j->t.list[j->t.n++] = (term){.hash = question->list[i].hash};
    }
}

static void weigh(judged *j, const support *s)
{
    for (size_t i = 0; i < j->t.n; i++) {
        size_t have = 0;
        for (size_t k = 0; k < s->n; k++)
            have += !s->list[k].heading && (j->masks[k] >> i & 1);
        j->weights[i] = log(1 + ((double)s->n + 1) / ((double)have + 0.5));
        j->sum += j->weights[i];
        j->numbers |= (uint64_t)j->t.list[i].number << i;
        j->names |= (uint64_t)j->t.list[i].name << i;
    }
}

static double share_of(const judged *j, uint64_t mask)
{
    double sum = 0;
    for (size_t i = 0; i < j->t.n; i++)
        if (mask >> i & 1)
            sum += j->weights[i];
    return j->sum > 0 ? sum / j->sum : 0;
}

static uint64_t mask_of_passage(const judged *j, const support *s, size_t passage)
{
    uint64_t mask = 0;
    for (size_t k = 0; k < s->n; k++)
        if (s->list[k].passage == passage)
            mask |= j->masks[k];
    return mask;
}

/* A number belongs to the words that stand beside it, in one sentence with at least a third of the others. */
static bool numbers_fit(const judged *j, const support *s, size_t first, size_t last)
{
    double others = j->sum * (1 - share_of(j, j->numbers));
    for (size_t i = 0; i < j->t.n; i++) {
        bool fits = !(j->numbers >> i & 1);
        for (size_t k = first; k <= last && !fits; k++)
            fits = (j->masks[k] >> i & 1) && (others <= 0 || j->sum * share_of(j, j->masks[k] & ~j->numbers) >= others * BESIDE);
        if (!fits)
            return false;
    }
    return true;
}

static void look_from(const judged *j, const support *s, size_t first, int64_t preferred, double *best, support_verdict *v)
{
    const stretch *from = &s->list[first];
    uint64_t mask = 0, names = mask_of_passage(j, s, from->passage) & j->names;
    bool denies = false;
    size_t words = 0;
    if (names != j->names)
        return;
    for (size_t k = first; k < s->n && k < first + STRETCH && s->list[k].passage == from->passage && !s->list[k].heading; k++) {
        mask |= j->masks[k];
        denies |= s->list[k].denies;
        words += s->list[k].n;
        bool dense = k == first || (double)__builtin_popcountll(mask) >= DENSE * (double)words;
        double share = share_of(j, mask);
        double worth = share - LONGER * (double)(k - first) + PREFERRED * ((int64_t)from->passage == preferred);
        bool whole = numbers_fit(j, s, first, k) && (j->own == 0 || (mask & j->own) == j->own);
        if (!whole || !dense || denies != j->t.denies || share < LEAST || worth <= *best)
            continue;
        *best = worth;
        *v = (support_verdict){.kind = SUPPORT_FOUND, .passage = from->passage, .start = from->start, .end = s->list[k].end, .share = share, .asked = v->asked, .key = v->key};
    }
}

static double weight_of_question(const support *s, size_t term)
{
    size_t have = 0;
    for (size_t k = 0; k < s->n; k++)
        for (size_t h = 0; h < s->list[k].n; h++)
            have += s->list[k].hashes[h] == s->question.list[term].hash;
    return have ? log(1 + ((double)s->n + 1) / ((double)have + 0.5)) : 0;
}

static double asked_of(const support *s, const terms *t)
{
    double all = 0, has = 0;
    for (size_t i = 0; i < s->question.n; i++) {
        double weight = weight_of_question(s, i);
        bool found = false;
        for (size_t k = 0; k < t->n && !found; k++)
            found = t->list[k].hash == s->question.list[i].hash;
        all += weight;
        has += found ? weight : 0;
    }
    return all > 0 ? has / all : 1;
}

support_verdict support_judge(const support *s, mt_slice sentence, int64_t preferred)
{
    support_verdict v = {.kind = SUPPORT_MISSING};
    judged *j = mt_alloc(s->c, sizeof *j);
    mt_stemmer *stemmer = mt_stemmer_create();
    if (j && stemmer)
        terms_read(sentence, s->language, stemmer, &j->t);
    mt_stemmer_destroy(stemmer);
    if (!j || !stemmer || !(j->masks = mt_alloc(s->c, (s->n + 1) * sizeof *j->masks)))
        return v;
    if (!j->t.n) {
        v.kind = SUPPORT_NONE;
        return v;
    }
    v.asked = asked_of(s, &j->t);
    if (j->t.words > REPEATED && j->t.words >= 2 * j->t.n)
        return v;
    for (size_t i = 0; i < j->t.n; i++)
        v.key += j->t.list[i].hash;
    if (j->t.n < SHORT) {
        j->own = (UINT64_C(1) << j->t.n) - 1;    /* all of it must be there */
        borrow(j, &s->question);
    }
    for (size_t k = 0; k < s->n; k++)
        j->masks[k] = mask_of(&j->t, &s->list[k]);
    weigh(j, s);
    double best = 0;
    for (size_t k = 0; k < s->n; k++)
        if (!s->list[k].heading)
            look_from(j, s, k, preferred, &best, &v);
    return v;
}

/* --- excerpts --- */

/* What a sentence has of the question, its rare words weighing more. */
static double worth_of(const support *s, const stretch *at, uint64_t *mask)
{
    double worth = 0;
    *mask = mask_of(&s->question, at);
    for (size_t i = 0; i < s->question.n; i++)
        if (*mask >> i & 1)
            worth += weight_of_question(s, i);
    return worth;
}

/* A heading, a question, a line of a table of contents. */
static bool is_headline(const stretch *at)
{
    if (memmem(at->text.p + at->start, at->end - at->start, " . . ", 5))
        return true;
    char last = at->end > at->start ? at->text.p[at->end - 1] : '?';
    return last == '?' || last == ':' || (last != '.' && last != '!' && at->n < 8);
}

/* A run of sentences of one passage: [first, end). */
typedef struct run {
    size_t first, end;
} run;

static run best_run(const support *s, run passage, size_t most)
{
    run best = {passage.first, passage.first};
    double highest = -1;
    uint64_t mask;
    for (size_t i = passage.first; i < passage.end; i++) {
        const stretch *from = &s->list[i];
        double worth = i > passage.first && is_headline(from - 1) ? worth_of(s, from - 1, &mask) : 0;
        size_t k = i;
        if (is_headline(from) && i + 1 < passage.end)
            continue;
        for (; k < passage.end && (k == i || s->list[k].end - from->start <= most); k++)
            worth += worth_of(s, &s->list[k], &mask) / (double)(1 + k - i);
        if (worth > highest) {
            highest = worth;
            best = (run){i, k};
        }
    }
    return best;
}

static bool run_has(const support *s, run r, uint64_t hash)
{
    for (size_t k = r.first; k < r.end; k++)
        for (size_t i = 0; i < s->list[k].n; i++)
            if (s->list[k].hashes[i] == hash)
                return true;
    return false;
}

/* Most of the words of one are in the other. */
static bool is_known(const support *s, run one, run other)
{
    size_t all = 0, same = 0;
    for (size_t k = one.first; k < one.end; k++)
        for (size_t i = 0; i < s->list[k].n; i++, all++)
            same += run_has(s, other, s->list[k].hashes[i]);
    return 10 * same >= 7 * all;
}

size_t support_excerpts(const support *s, size_t most, excerpt *out, size_t max)
{
    run taken[EXCERPTS_MAX];
    size_t n = 0;
    for (run p = {0}; n < max && n < EXCERPTS_MAX && p.first < s->n; p.first = p.end) {
        p.first++;                       /* its heading */
        for (p.end = p.first; p.end < s->n && !s->list[p.end].heading;)
            p.end++;
        run best = best_run(s, p, most);
        bool known = best.end == best.first;
        for (size_t i = 0; i < n && !known; i++)
            known = is_known(s, best, taken[i]);
        if (known)
            continue;
        taken[n] = best;
        const stretch *from = &s->list[best.first], *to = &s->list[best.end - 1];
        out[n++] = (excerpt){from->passage, {from->text.p + from->start, to->end - from->start}};
    }
    return n;
}
