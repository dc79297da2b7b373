/* Plain text: kept as it is; headings are guessed from underlines and from numbers ("3.2 Title", "Chapter 4. Title"). */
#include "readers.h"

#include <stdlib.h>
#include <strings.h>

#include "encoding.h"

#define HEADING_LINES 3   /* a long numbered heading may be wrapped */
#define HEADING_BYTES 240

static bool blank_line(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != ' ' && p[i] != '\t' && p[i] != '\f')
            return false;
    return true;
}

static size_t line_length(const char *p, size_t n)
{
    const char *end = memchr(p, '\n', n);
    return end ? (size_t)(end - p) : n;
}

/* 1 for a line of at least three '=', 2 for '-' or '~', and half as long as the title or longer; else 0. */
static int underline_level(const char *p, size_t n, size_t title)
{
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    if (n < 3 || n * 2 < title || (*p != '=' && *p != '-' && *p != '~'))
        return 0;
    for (size_t i = 1; i < n; i++)
        if (p[i] != *p)
            return 0;
    return *p == '=' ? 1 : 2;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The level that "3.2.1 Title" or "3. Title" names: its count of numbers; 0 when p does not begin so. */
static int number_level(const char *p, size_t n)
{
    size_t i = 0;
    int level = 0;
    while (i < n && is_digit(p[i]) && level < DOC_LEVELS) {
        size_t digits = i;
        while (i < n && is_digit(p[i]))
            i++;
        if (i - digits > 3)
            return 0;
        level++;
        if (i < n && p[i] == '.')
            i++;
    }
    bool dotted = i > 0 && memchr(p, '.', i);
    if (!dotted || i + 2 >= n || p[i] != ' ')
        return 0;
    while (i < n && p[i] == ' ')
        i++;
    return i < n && !(p[i] >= 'a' && p[i] <= 'z') ? level : 0;
}

static int word_level(const char *p, size_t n)
{
    static const char *const words[] = {"Chapter ", "Appendix ", "Part ", "Poglavlje ", "Dodatak "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i]);
        if (n > len && strncasecmp(p, words[i], len) == 0 && (is_digit(p[len]) || (p[len] >= 'A' && p[len] <= 'Z')))
            return 1;
    }
    return 0;
}

/* The level of the block p[0..n) (lines between blank lines) if it is a numbered heading, else 0. */
static int numbered_level(const char *p, size_t n)
{
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    if (n == 0 || n > HEADING_BYTES)
        return 0;
    size_t lines = 1;
    for (size_t i = 0; i < n; i++)
        lines += p[i] == '\n';
    int level = word_level(p, n);
    if (level == 0)
        level = number_level(p, n);
    char last = p[n - 1];
    bool sentence = last == '.' || last == ':' || last == ';' || last == ',';
    return lines <= HEADING_LINES && !sentence ? level : 0;
}

/* Looks at the block of lines text[at..end) and opens a section when it is, or begins with, a heading. */
static void look_at_block(doc_builder *b, const char *text, size_t at, size_t end)
{
    size_t first = line_length(text + at, end - at), second = at + first + 1;
    bool indented = text[at] == ' ' || text[at] == '\t';
    if (second < end && first <= HEADING_BYTES) {
        size_t len = line_length(text + second, end - second);
        int level = underline_level(text + second, len, first);
        if (level > 0) {
            doc_builder_section(b, level, at, at + first, second + len);
            return;
        }
    }
    int level = indented ? 0 : numbered_level(text + at, end - at);
    if (level > 0)
        doc_builder_section(b, level, at, end, end);
}

void doc_find_headings(doc_builder *b)
{
    const char *text = b->out.text;
    size_t n = b->out.len;
    for (size_t at = 0; at < n && b->status == MT_OK;) {
        size_t len = line_length(text + at, n - at);
        if (blank_line(text + at, len)) {
            at += len + 1;
            continue;
        }
        size_t end = at;
        while (end < n && !blank_line(text + end, len = line_length(text + end, n - end)))
            end += len + 1;
        look_at_block(b, text, at, end > n ? n : end - 1);
        at = end;
    }
}

mt_status doc_text_from_plain(doc_text *out, const char *p, size_t n, char reason[DOC_REASON])
{
    char *text;
    size_t len;
    *out = (doc_text){0};
    if (n > DOC_MAX_BYTES)
        return doc_fail(reason, MT_TOO_LARGE, "The file is longer than %u MiB.", DOC_MAX_BYTES >> 20);
    MT_TRY(doc_decode(p, n, NULL, &text, &len, reason));
    doc_builder b;
    doc_builder_init(&b);
    doc_builder_exact(&b, text, len);
    free(text);
    doc_find_headings(&b);
    return doc_builder_take(&b, out, reason);
}
