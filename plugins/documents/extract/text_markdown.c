/* Markdown: md4c's events become text; front matter is skipped, raw HTML loses its tags. */
#include "readers.h"

#include <md4c.h>
#include <stdio.h>
#include <stdlib.h>

#include "encoding.h"
#include "text/utf8.h"

#define MARKDOWN_MAX_BYTES (32u << 20)
#define LIST_DEPTH 64

typedef struct reader {
    doc_builder b;
    size_t events, max_events; /* some inputs make tables grow beyond all bounds */
    unsigned numbers[LIST_DEPTH]; /* next number of each open list; 0: a bullet list */
    unsigned depth, cells;
    bool exact, in_tag, row_has_cell;
} reader;

static int counted(reader *r)
{
    return r->b.status != MT_OK || ++r->events > r->max_events;
}

static void enter_list(reader *r, unsigned number)
{
    if (r->depth < LIST_DEPTH)
        r->numbers[r->depth] = number;
    doc_builder_gap(&r->b, r->depth++ ? DOC_GAP_LINE : DOC_GAP_BLANK);
}

static void enter_item(reader *r)
{
    char mark[16] = "- ";
    unsigned at = r->depth - 1;
    if (r->depth > 0 && at < LIST_DEPTH && r->numbers[at] > 0)
        snprintf(mark, sizeof mark, "%u. ", r->numbers[at]++);
    doc_builder_gap(&r->b, DOC_GAP_LINE);
    doc_builder_mark(&r->b, mark);
}

static int on_enter_block(MD_BLOCKTYPE type, void *detail, void *user)
{
    reader *r = user;
    doc_builder *b = &r->b;
    switch (type) {
    case MD_BLOCK_H: doc_builder_heading_begin(b, (int)((MD_BLOCK_H_DETAIL *)detail)->level); break;
    case MD_BLOCK_UL: enter_list(r, 0); break;
    case MD_BLOCK_OL: enter_list(r, ((MD_BLOCK_OL_DETAIL *)detail)->start); break;
    case MD_BLOCK_LI: enter_item(r); break;
    case MD_BLOCK_CODE: doc_builder_gap(b, DOC_GAP_BLANK); r->exact = true; break;
    case MD_BLOCK_TR: doc_builder_gap(b, DOC_GAP_LINE); r->row_has_cell = false; break;
    case MD_BLOCK_TH: case MD_BLOCK_TD:
        if (r->row_has_cell) {
            doc_builder_gap(b, DOC_GAP_SPACE);
            doc_builder_mark(b, "| ");
        }
        break;
    case MD_BLOCK_DOC: case MD_BLOCK_THEAD: case MD_BLOCK_TBODY: break;
    default: doc_builder_gap(b, DOC_GAP_BLANK); break;
    }
    return counted(r);
}

static int on_leave_block(MD_BLOCKTYPE type, void *detail, void *user)
{
    reader *r = user;
    doc_builder *b = &r->b;
    switch (type) {
    case MD_BLOCK_H: doc_builder_heading_end(b); break;
    case MD_BLOCK_UL: case MD_BLOCK_OL: doc_builder_gap(b, --r->depth ? DOC_GAP_LINE : DOC_GAP_BLANK); break;
    case MD_BLOCK_LI: case MD_BLOCK_TR:
        doc_builder_mark(b, "");
        doc_builder_gap(b, DOC_GAP_LINE);
        break;
    case MD_BLOCK_TH: case MD_BLOCK_TD: r->row_has_cell = true; break;
    case MD_BLOCK_CODE: doc_builder_gap(b, DOC_GAP_BLANK); r->exact = false; break;
    case MD_BLOCK_DOC: case MD_BLOCK_THEAD: case MD_BLOCK_TBODY: break;
    default: doc_builder_gap(b, DOC_GAP_BLANK); r->in_tag = false; break;
    }
    return counted(r);
}

static int on_span(MD_SPANTYPE type, void *detail, void *user)
{
    return counted(user);
}

/* Adds what stands outside <…>; a tag may span calls. */
static void add_html(reader *r, const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        const char *edge = memchr(p + i, r->in_tag ? '>' : '<', n - i);
        size_t stop = edge ? (size_t)(edge - p) : n;
        if (!r->in_tag)
            doc_builder_flow(&r->b, p + i, stop - i);
        if (edge)
            r->in_tag = !r->in_tag;
        i = stop + 1;
    }
}

static void add_entity(reader *r, const char *p, size_t n)
{
    static const struct { const char *name, *text; } names[] = {
        {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}, {"&nbsp;", " "}, {"&copy;", "©"},
        {"&reg;", "®"}, {"&trade;", "™"}, {"&hellip;", "…"}, {"&mdash;", "—"}, {"&ndash;", "–"}, {"&lsquo;", "‘"},
        {"&rsquo;", "’"}, {"&ldquo;", "“"}, {"&rdquo;", "”"}, {"&laquo;", "«"}, {"&raquo;", "»"}, {"&bull;", "•"},
        {"&middot;", "·"}, {"&times;", "×"}, {"&deg;", "°"}, {"&euro;", "€"}, {"&sect;", "§"}, {"&rarr;", "→"}, {"&larr;", "←"},
    };
    char out[4];
    if (n > 3 && p[1] == '#') {
        bool hex = p[2] == 'x' || p[2] == 'X';
        unsigned long cp = strtoul(p + 2 + hex, NULL, hex ? 16 : 10);
        if (cp > 0 && cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF)) {
            doc_builder_flow(&r->b, out, mt_utf8_put((uint32_t)cp, out));
            return;
        }
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i].name) == n && memcmp(names[i].name, p, n) == 0) {
            doc_builder_flow(&r->b, names[i].text, strlen(names[i].text));
            return;
        }
    }
    doc_builder_flow(&r->b, p, n);
}

static int on_text(MD_TEXTTYPE type, const MD_CHAR *p, MD_SIZE n, void *user)
{
    reader *r = user;
    switch (type) {
    case MD_TEXT_NULLCHAR: break;
    case MD_TEXT_BR: doc_builder_gap(&r->b, DOC_GAP_LINE); break;
    case MD_TEXT_SOFTBR: doc_builder_gap(&r->b, DOC_GAP_SPACE); break;
    case MD_TEXT_ENTITY: add_entity(r, p, n); break;
    case MD_TEXT_HTML: add_html(r, p, n); break;
    default: (r->exact ? doc_builder_exact : doc_builder_flow)(&r->b, p, n); break;
    }
    return counted(r);
}

/* The length of a YAML block between two "---" lines at the very start, or 0. */
static size_t front_matter(const char *p, size_t n)
{
    if (n < 8 || memcmp(p, "---\n", 4) != 0)
        return 0;
    size_t limit = n < (64u << 10) ? n : 64u << 10;
    for (size_t at = 4; at + 3 <= limit;) {
        const char *end = memchr(p + at, '\n', limit - at);
        size_t len = end ? (size_t)(end - p) - at : limit - at;
        if (len == 3 && (memcmp(p + at, "---", 3) == 0 || memcmp(p + at, "...", 3) == 0))
            return at + 3;
        if (!end || (at == 4 && len == 0)) /* a rule followed by a paragraph, not a YAML block */
            return 0;
        at += len + 1;
    }
    return 0;
}

mt_status doc_text_from_markdown(doc_text *out, const char *p, size_t n, char reason[DOC_REASON])
{
    static const MD_PARSER parser = {
        .flags = MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS,
        .enter_block = on_enter_block, .leave_block = on_leave_block,
        .enter_span = on_span, .leave_span = on_span, .text = on_text,
    };
    char *text;
    size_t len;
    *out = (doc_text){0};
    if (n > MARKDOWN_MAX_BYTES)
        return doc_fail(reason, MT_TOO_LARGE, "The file is longer than %u MiB.", MARKDOWN_MAX_BYTES >> 20);
    MT_TRY(doc_decode(p, n, NULL, &text, &len, reason));
    reader r = {.max_events = len * 8 + 1000};
    doc_builder_init(&r.b);
    size_t skip = front_matter(text, len);
    int rc = md_parse(text + skip, (MD_SIZE)(len - skip), &parser, &r);
    free(text);
    if (rc == 0 || r.b.status != MT_OK)
        return doc_builder_take(&r.b, out, reason);
    doc_builder_dispose(&r.b);
    return rc < 0 ? doc_fail(reason, MT_NO_MEMORY, "Out of memory.")
                  : doc_fail(reason, MT_TOO_LARGE, "The file's tables or lists are out of proportion.");
}
