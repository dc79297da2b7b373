#include "cli/demo_check.h"

#include <ctype.h>
#include <stdlib.h>

enum { MAX_MARKS = 16, MAX_TEXT = 1 << 20 };

void mti_squeeze(mt_slice s, mti_buf *out)
{
    bool gap = false, begun = false;
    for (size_t i = 0; i < s.len; i++) {
        if (isspace((unsigned char)s.p[i])) {
            gap = begun;
            continue;
        }
        if (gap)
            mti_buf_addc(out, ' ');
        mti_buf_addc(out, s.p[i]);
        gap = false;
        begun = true;
    }
}

/* "[1]", "[1, 3]": answers its length and the numbers, or 0. */
static size_t read_mark(mt_slice s, unsigned numbers[MAX_MARKS], size_t *n)
{
    size_t i = 1;
    *n = 0;
    if (!s.len || s.p[0] != '[')
        return 0;
    while (i < s.len && *n < MAX_MARKS) {
        unsigned value = 0;
        size_t digits = 0;
        while (i < s.len && isdigit((unsigned char)s.p[i]) && digits < 4) {
            value = 10 * value + (unsigned)(s.p[i++] - '0');
            digits++;
        }
        if (!digits)
            return 0;
        numbers[(*n)++] = value;
        if (i < s.len && s.p[i] == ']')
            return i + 1;
        if (i == s.len || s.p[i++] != ',')
            return 0;
        while (i < s.len && s.p[i] == ' ')
            i++;
    }
    return 0;
}

/* Without what only joins quotes: spaces, dashes, quotation marks, a full stop left behind a mark.
 */
static mt_slice strip(mt_slice s)
{
    static const char ends[] = " \t\r\n-*>\"'.,;:";
    static const char *const wide[] = {"\u201c", "\u201d", "\u2026", "\u2022", "\u2013"};
    for (bool again = true; again && s.len;) {
        again = false;
        if (strchr(ends, s.p[0])) {
            s = (mt_slice){s.p + 1, s.len - 1};
            again = true;
        } else if (strchr(ends, s.p[s.len - 1])) {
            s.len--;
            again = true;
        }
        for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
            size_t w = strlen(wide[i]);
            if (s.len >= w && memcmp(s.p, wide[i], w) == 0) {
                s = (mt_slice){s.p + w, s.len - w};
                again = true;
            } else if (s.len >= w && memcmp(s.p + s.len - w, wide[i], w) == 0) {
                s.len -= w;
                again = true;
            }
        }
    }
    return s;
}

static bool holds(mt_slice passage, mt_slice words)
{
    mti_buf a, b;
    mti_buf_init(&a, MAX_TEXT);
    mti_buf_init(&b, MAX_TEXT);
    mti_squeeze(passage, &a);
    mti_squeeze(words, &b);
    bool yes = b.len == 0 || (a.len && memmem(a.p, a.len, b.p, b.len));
    mti_buf_dispose(&a);
    mti_buf_dispose(&b);
    return yes;
}

static bool any_holds(mt_slice words, const mt_slice *passages, size_t n, const unsigned *numbers,
                      size_t n_numbers)
{
    for (size_t i = 0; i < n; i++) {
        bool meant = n_numbers == 0;
        for (size_t k = 0; k < n_numbers; k++)
            meant = meant || numbers[k] == i + 1;
        if (meant && holds(passages[i], words))
            return true;
    }
    return false;
}

/* Where the first sentence of s ends: behind . ! ? and a space, at a line's end, or behind an
 * ellipsis. */
static size_t sentence_end(mt_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '\n')
            return i + 1;
        if (s.len - i >= 3 && memcmp(s.p + i, "\u2026", 3) == 0)
            return i + 3; /* stripped from the sentence again */
        if (strchr(".!?", s.p[i]) && i + 1 < s.len && isspace((unsigned char)s.p[i + 1]))
            return i + 1;
    }
    return s.len;
}

static mt_status check_stretch(mt_slice words, const mt_slice *passages, size_t n,
                               const unsigned *numbers, size_t n_numbers, mti_error *e)
{
    words = strip(words);
    if (!words.len || any_holds(words, passages, n, numbers, n_numbers))
        return MT_OK;
    while (words.len) {
        size_t end = sentence_end(words);
        mt_slice one = strip((mt_slice){words.p, end});
        if (one.len && !any_holds(one, passages, n, numbers, n_numbers))
            return mti_fail(e, MT_INVALID, "not_in_passage",
                            "No cited passage holds the words \"%.*s\".",
                            (int)(one.len > 200 ? 200 : one.len), one.p);
        words = (mt_slice){words.p + end, words.len - end};
    }
    return MT_OK;
}

mt_status mti_demo_check(mt_slice answer, const mt_slice *passages, size_t n, mti_error *e)
{
    size_t from = 0, count, length;
    unsigned numbers[MAX_MARKS];
    bool says = false;
    if (n == 0)
        return mti_fail(e, MT_INVALID, "no_source", "The answer cites nothing.");
    for (size_t i = 0; i < answer.len; i++) {
        length = read_mark((mt_slice){answer.p + i, answer.len - i}, numbers, &count);
        if (!length)
            continue;
        MT_TRY(
            check_stretch((mt_slice){answer.p + from, i - from}, passages, n, numbers, count, e));
        for (size_t k = 0; k < count; k++)
            if (numbers[k] < 1 || numbers[k] > n)
                return mti_fail(e, MT_INVALID, "no_source",
                                "The answer cites [%u], but there are %zu sources.", numbers[k], n);
        says = says || strip((mt_slice){answer.p + from, i - from}).len;
        from = i + length;
        i = from - 1;
    }
    if (!says && !strip((mt_slice){answer.p + from, answer.len - from}).len)
        return mti_fail(e, MT_INVALID, "no_source", "The answer is empty.");
    return check_stretch((mt_slice){answer.p + from, answer.len - from}, passages, n, NULL, 0, e);
}
