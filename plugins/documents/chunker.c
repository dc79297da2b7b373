/* A producer of units (sentences, or the words of one that is too long) and a packer that fills chunks with them. */
#include "chunker.h"

#include <stdlib.h>

#include "text/sentences.h"
#include "text/utf8.h"

#define UNITS_MAX 512      /* units in one chunk */
#define SENTENCE_BYTES 8192 /* longer ones are cut into words without counting them whole */
#define WORD_BYTES 128     /* longer runs without white space are cut */

typedef struct unit {
    size_t start, end, tokens;
    bool paragraph; /* the first of its paragraph */
    bool sentence;  /* whole, so fit to be repeated */
    bool repeated;  /* already in the chunk before */
} unit;

typedef struct cursor {
    size_t byte, cp;
} cursor;

typedef struct packer {
    const doc_text *doc;
    chunk_options o;
    chunk_list *list;
    uint32_t section;
    size_t first_chunk; /* of this section */
    unit units[UNITS_MAX];
    size_t n, tokens;
    cursor at_start, at_end;
    mt_status status;
} packer;

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t count(const packer *p, size_t start, size_t end)
{
    return p->o.count(p->o.user, p->doc->text + start, end - start);
}

/* Code points before `byte`; a cursor only moves forward, so all calls together are one pass. */
static size_t code_points_at(const packer *p, cursor *c, size_t byte)
{
    if (byte > c->byte) {
        c->cp += mt_utf8_count(p->doc->text + c->byte, byte - c->byte);
        c->byte = byte;
    }
    return c->cp;
}

static void emit(packer *p, size_t start, size_t end, size_t tokens)
{
    chunk_list *l = p->list;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        chunk *grown = realloc(l->items, cap * sizeof *grown);
        if (!grown) {
            p->status = MT_NO_MEMORY;
            return;
        }
        l->items = grown;
        l->cap = cap;
    }
    l->items[l->n++] = (chunk){
        .start = start, .end = end, .section = p->section, .tokens = (uint32_t)tokens,
        .start_cp = code_points_at(p, &p->at_start, start), .end_cp = code_points_at(p, &p->at_end, end),
    };
}

/* Keeps units [from, n) and forgets the others. */
static void keep_from(packer *p, size_t from)
{
    memmove(p->units, p->units + from, (p->n - from) * sizeof *p->units);
    p->n -= from;
    p->tokens = 0;
    for (size_t i = 0; i < p->n; i++)
        p->tokens += p->units[i].tokens;
}

/* Emits as many of the waiting units as fit and keeps the rest, or the last sentence as the overlap. */
static void close_chunk(packer *p)
{
    size_t fit = p->n, tokens = count(p, p->units[0].start, p->units[fit - 1].end);
    while (fit > 1 && tokens > p->o.max) /* only with counters for which the sum of the parts is not the whole */
        tokens = count(p, p->units[0].start, p->units[--fit - 1].end);
    if (fit == 1 && p->n > 1 && p->units[0].repeated) {
        keep_from(p, 1);
        return;
    }
    emit(p, p->units[0].start, p->units[fit - 1].end, tokens);
    unit *last = &p->units[fit - 1];
    bool repeat = fit == p->n && fit > 1 && last->sentence && last->tokens <= p->o.overlap;
    last->repeated = repeat;
    keep_from(p, fit - repeat);
}

static bool is_full(const packer *p, const unit *next)
{
    if (p->n == 0 || (p->n == 1 && p->units[0].repeated && p->tokens + next->tokens <= p->o.max))
        return false;
    return p->tokens + next->tokens > p->o.max || p->n == UNITS_MAX || p->tokens >= p->o.target ||
           (next->paragraph && p->tokens * 4 >= p->o.target * 3);
}

static void add_unit(packer *p, unit u)
{
    if (u.tokens == 0)
        u.tokens = 1;
    while (p->status == MT_OK && is_full(p, &u)) {
        if (p->n == 1 && p->units[0].repeated)
            keep_from(p, 1); /* the repeated sentence does not fit beside the next one */
        else
            close_chunk(p);
    }
    p->units[p->n++] = u;
    p->tokens += u.tokens;
}

/* The end of the piece that begins at `at`: a word, or the part of one that is within WORD_BYTES and max tokens. */
static size_t word_end(const packer *p, size_t at, size_t end, size_t *tokens)
{
    const char *text = p->doc->text;
    size_t stop = at;
    while (stop < end && stop - at < WORD_BYTES && !is_space(text[stop]))
        stop++;
    if (stop < end && !is_space(text[stop]))
        stop = mt_utf8_floor(text, stop);
    while ((*tokens = count(p, at, stop)) > p->o.max) {
        size_t half = mt_utf8_floor(text, at + (stop - at) / 2);
        if (half <= at)
            break;
        stop = half;
    }
    return stop;
}

static void add_words(packer *p, size_t at, size_t end, bool paragraph)
{
    while (at < end && p->status == MT_OK) {
        unit u = {.start = at, .paragraph = paragraph};
        u.end = word_end(p, at, end, &u.tokens);
        add_unit(p, u);
        paragraph = false;
        for (at = u.end; at < end && is_space(p->doc->text[at]); at++)
            ;
    }
}

static void add_range(packer *p, size_t start, size_t end, bool paragraph)
{
    size_t tokens = end - start <= SENTENCE_BYTES ? count(p, start, end) : SIZE_MAX;
    if (tokens <= p->o.max)
        add_unit(p, (unit){.start = start, .end = end, .tokens = tokens, .paragraph = paragraph, .sentence = true});
    else
        add_words(p, start, end, paragraph);
}

static bool has_blank_line(const char *p, size_t n)
{
    const char *first = memchr(p, '\n', n);
    return first && memchr(first + 1, '\n', n - (size_t)(first + 1 - p));
}

static void add_sentences(packer *p, size_t start, size_t end)
{
    mt_slice text = {p->doc->text + start, end - start};
    size_t pos = 0, last = 0;
    mt_sentence s;
    while (p->status == MT_OK && mt_sentence_next(text, &pos, &s)) {
        add_range(p, start + s.start, start + s.end, last == 0 || has_blank_line(text.p + last, s.start - last));
        last = s.end;
    }
}

/* Emits what waits; a short rest goes to the chunk before if that still fits. */
static void finish_section(packer *p)
{
    while (p->n > 0 && p->status == MT_OK && !(p->n == 1 && p->units[0].repeated)) {
        chunk_list *l = p->list;
        size_t end = p->units[p->n - 1].end;
        chunk *before = l->n > p->first_chunk ? &l->items[l->n - 1] : NULL;
        if (before && p->tokens * 4 < p->o.target) {
            size_t tokens = count(p, before->start, end);
            if (tokens <= p->o.max) {
                before->end = end;
                before->end_cp = code_points_at(p, &p->at_end, end);
                before->tokens = (uint32_t)tokens;
                break;
            }
        }
        close_chunk(p);
    }
    p->n = p->tokens = 0;
}

/* A heading whose section holds nothing else and whose title the next section's path repeats. */
static bool is_only_heading(const doc_text *d, size_t i)
{
    const doc_section *s = &d->sections[i];
    for (size_t at = s->body; at < s->end; at++)
        if (!is_space(d->text[at]))
            return false;
    return s->level > 0 && i + 1 < d->n_sections && d->sections[i + 1].level > s->level;
}

static void pack_section(packer *p, size_t i)
{
    const doc_section *s = &p->doc->sections[i];
    if (is_only_heading(p->doc, i))
        return;
    p->section = (uint32_t)i;
    p->first_chunk = p->list->n;
    size_t start = s->start, end = s->body;
    while (start < end && is_space(p->doc->text[start]))
        start++;
    while (end > start && is_space(p->doc->text[end - 1]))
        end--;
    if (end > start)
        add_range(p, start, end, true);
    add_sentences(p, s->body, s->end);
    finish_section(p);
}

mt_status chunk_doc(const doc_text *doc, const chunk_options *options, chunk_list *out)
{
    *out = (chunk_list){0};
    packer *p = calloc(1, sizeof *p);
    if (!p)
        return MT_NO_MEMORY;
    p->doc = doc;
    p->o = *options;
    p->list = out;
    p->o.max = p->o.max ? p->o.max : 254;
    p->o.target = p->o.target ? p->o.target : 200;
    if (p->o.target > p->o.max)
        p->o.target = p->o.max;
    if (p->o.overlap > p->o.target / 2)
        p->o.overlap = p->o.target / 2;
    p->status = p->o.count && p->o.max >= 8 ? MT_OK : MT_INVALID;
    for (size_t i = 0; i < doc->n_sections && p->status == MT_OK; i++)
        pack_section(p, i);
    mt_status status = p->status;
    free(p);
    if (status != MT_OK)
        chunk_list_dispose(out);
    return status;
}

void chunk_list_dispose(chunk_list *list)
{
    free(list->items);
    *list = (chunk_list){0};
}
