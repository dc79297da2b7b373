#include "checker.h"

#include "text/sentences.h"
#include "text/utf8.h"

enum { AHEAD = 6 };      /* bytes that the sentence splitter wants to see behind a sentence */
#define ASKED 0.3        /* of the question's words, for the first sentence of a small model */

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}

/* "[1]", "[1, 3]", "[?]" at p: its length and first number (0 for "[?]"), else 0. *open: it may become one. */
static size_t mark_at(const char *p, size_t n, int64_t *number, bool *open)
{
    size_t i = 1;
    bool digits = false, asks = false;
    *open = false;
    *number = 0;
    if (!n || p[0] != '[')
        return 0;
    for (bool first = true; i < n && i < 16; i++) {
        if (p[i] == ']')
            return digits || asks ? i + 1 : 0;
        if (p[i] == '?' && i == 1)
            asks = true;
        else if (p[i] >= '0' && p[i] <= '9')
            digits = true, *number = first ? *number * 10 + (p[i] - '0') : *number;
        else if (digits && (p[i] == ',' || p[i] == ' '))
            first = false;
        else
            return 0;
    }
    *open = i == n && i < 16;
    return 0;
}

/* Behind the marks that follow at i, and the white space between them; *open when more text may change that. */
static size_t skip_marks(mt_slice t, size_t i, int64_t *number, bool *open)
{
    for (*open = false;;) {
        size_t k = i;
        int64_t found;
        while (k < t.len && is_space(t.p[k]))
            k++;
        size_t n = mark_at(t.p + k, t.len - k, &found, open);
        if (!n)
            return i;
        if (!*number)
            *number = found;
        i = k + n;
    }
}

static bool starts_small(const char *p, size_t n)
{
    uint32_t cp;
    mt_utf8_next(p, n, &cp);
    return (cp >= 'a' && cp <= 'z') || (cp >= 0xDF && cp < 0x180 && mt_utf8_lower(cp) == cp);
}

/* A mark ends a sentence that has no full stop, when something other than a small letter or a stop follows. */
static size_t end_at_mark(mt_slice t, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++) {
        int64_t number;
        bool open;
        size_t n = mark_at(t.p + i, end - i, &number, &open), k = i + n;
        if (!n || i == start)
            continue;
        while (k < end && is_space(t.p[k]))
            k++;
        if (k > i + n && k < end && t.p[k] != '[' && !starts_small(t.p + k, end - k))
            return i;
        i += n - 1;
    }
    return end;
}

/* Where the next sentence is, its marks, and where the one after it may begin; false when it is not complete yet. */
typedef struct cut {
    size_t start, end, after;
    int64_t number;
} cut;

static bool next_cut(const checker *k, bool ended, cut *out)
{
    mt_slice t = k->raw;
    size_t pos = k->at;
    mt_sentence s;
    bool open = false;
    if (!mt_sentence_next((mt_slice){t.p + pos, t.len - pos}, &(size_t){0}, &s))
        return false;
    *out = (cut){.start = pos + s.start};
    out->end = end_at_mark(t, out->start, pos + s.end);
    out->after = skip_marks(t, out->end, &out->number, &open);
    if (ended)
        return true;
    size_t next = out->after;
    while (next < t.len && is_space(t.p[next]))
        next++;
    return !open && t.len - next >= AHEAD;
}

/* The sentence without the marks inside it, in the call's memory. */
static mt_slice clean(const checker *k, const cut *at, int64_t *number)
{
    char *out = mt_alloc(k->c, at->end - at->start + 1);
    size_t len = 0;
    if (!out)
        return (mt_slice){0};
    for (size_t i = at->start; i < at->end;) {
        int64_t found;
        bool open;
        size_t n = mark_at(k->raw.p + i, at->end - i, &found, &open);
        if (!n) {
            out[len++] = k->raw.p[i++];
            continue;
        }
        if (!*number)
            *number = found;
        while (len && is_space(out[len - 1]))
            len--;
        i += n;
    }
    while (len && is_space(out[len - 1]))
        len--;
    return (mt_slice){out, len};
}

static bool has_line_end(mt_slice t, size_t from, size_t to)
{
    return to > from && memchr(t.p + from, '\n', to - from) != NULL;
}

static void append(checked **first, checked **last, checked *one)
{
    one->next = NULL;
    if (*last)
        (*last)->next = one;
    else
        *first = one;
    *last = one;
}

/* Gives it its place in the answer and the list of what is shown. */
static void show(checker *k, checked *one)
{
    bool first = !k->characters;
    size_t lead = 0, n = mt_utf8_count(one->text.p, one->text.len);
    while (lead < one->text.len && is_space(one->text.p[lead]))
        lead++;
    if (first) {
        one->text = (mt_slice){one->text.p + lead, one->text.len - lead};
        n -= lead;
        lead = 0;
    }
    one->start = k->characters + lead;
    one->end = one->start + one->end;    /* was its length */
    k->characters += n;
    k->found += one->verdict.kind == SUPPORT_FOUND;
    k->missing += one->verdict.kind == SUPPORT_MISSING;
    append(&k->first, &k->last, one);
}

static void show_waiting(checker *k)
{
    while (k->waiting) {
        checked *one = k->waiting;
        k->waiting = one->next;
        show(k, one);
    }
    k->waiting_last = NULL;
}

static bool was_said(checker *k, uint64_t key)
{
    for (size_t i = 0; i < k->n_said; i++)
        if (key && k->said[i] == key)
            return true;
    if (k->n_said < CHECKER_SAID)
        k->said[k->n_said++] = key;
    return false;
}

static bool has_letter(mt_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((text.p[i] | 0x20) >= 'a' && (text.p[i] | 0x20) <= 'z')
            return true;
    return false;
}

/* What a small model writes before an answer and after one: the number of a heading, the question once more, what it said before, what no passage says,
 * what would go on after a colon. The answer begins with a sentence that is about what was asked. */
static bool is_idle(checker *k, mt_slice text, const support_verdict *v)
{
    char last = text.len ? text.p[text.len - 1] : ':';
    bool again = was_said(k, v->key), astray = v->kind == SUPPORT_MISSING, beside = !k->found && v->asked < ASKED;
    k->over = k->found && (last == '?' || again || astray);
    return last == '?' || last == ':' || again || astray || beside || !has_letter(text);
}

static mt_status judge_one(checker *k, const cut *at)
{
    int64_t number = at->number;
    mt_slice text = clean(k, at, &number);
    checked *one = mt_alloc(k->c, sizeof *one);
    if (!one || !text.p)
        return MT_TOO_LARGE;
    one->verdict = support_judge(k->support, text, number - 1);
    if (k->watch && is_idle(k, text, &one->verdict)) {
        k->row++;
        return MT_OK;
    }
    one->end = mt_utf8_count(text.p, text.len);
    k->row = one->verdict.kind == SUPPORT_FOUND ? 0 : k->row + (one->verdict.kind == SUPPORT_MISSING);
    const char *gap = has_line_end(k->raw, k->at, at->start) ? "\n" : " ";
    if (one->verdict.kind == SUPPORT_FOUND)
        one->text = mt_printf(k->c, "%s%.*s [%zu]", gap, (int)text.len, text.p, one->verdict.passage + 1);
    else
        one->text = mt_printf(k->c, "%s%.*s%s", gap, (int)text.len, text.p, one->verdict.kind == SUPPORT_MISSING ? " [?]" : "");
    if (!one->text.p)
        return MT_TOO_LARGE;
    if (!k->found && one->verdict.kind != SUPPORT_FOUND) {
        append(&k->waiting, &k->waiting_last, one);
        return MT_OK;
    }
    show_waiting(k);
    show(k, one);
    return MT_OK;
}

mt_status checker_feed(checker *k, mt_slice text)
{
    if (k->raw.len + text.len > k->cap) {
        size_t cap = (k->cap + text.len + 256) * 2;
        char *grown = mt_alloc(k->c, cap);
        if (!grown)
            return MT_TOO_LARGE;
        if (k->raw.len)
            memcpy(grown, k->raw.p, k->raw.len);
        k->raw.p = grown;
        k->cap = cap;
    }
    memcpy((char *)k->raw.p + k->raw.len, text.p, text.len);
    k->raw.len += text.len;
    return MT_OK;
}

mt_status checker_judge(checker *k, bool ended)
{
    cut at;
    while (k->support && !k->over && next_cut(k, ended, &at)) {
        if (at.end > at.start)
            MT_TRY(judge_one(k, &at));
        k->at = at.after;
    }
    return MT_OK;
}

checked *checker_take(checker *k)
{
    checked *one = k->first;
    if (one && !(k->first = one->next))
        k->last = NULL;
    return one;
}

void checker_drop(checker *k)
{
    k->waiting = k->waiting_last = NULL;
    k->at = k->raw.len;
    k->row = k->n_said = 0;
    k->over = false;
}
