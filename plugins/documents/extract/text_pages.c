/*
 * The text of a PDF as pdftotext prints it: paragraphs between blank lines, a form feed behind each page. Lines at the edges that most pages repeat (running
 * heads and feet, page numbers) are left out; sections are the outline's.
 */
#include "readers.h"

#include <stdlib.h>

#include "outline.h"
#include "text/utf8.h"

enum { EDGE = 2, RUNNING_PAGES = 4, LINE_MOST = 200 };

typedef struct span {
    const char *p;
    size_t n;
} span;

typedef struct edge { /* a line at the edge of a page, by what it looks like */
    uint64_t look;
    size_t page;
} edge;

typedef struct pages {
    span *items;
    size_t n;
    edge *running; /* what most pages repeat, sorted */
    size_t n_running;
} pages;

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void trim(span *s)
{
    while (s->n > 0 && is_blank(*s->p))
        s->p++, s->n--;
    while (s->n > 0 && is_blank(s->p[s->n - 1]))
        s->n--;
}

/* --- running heads and feet --- */

/* The first or last line of a trimmed page. */
static span line_at(const span *page, bool last)
{
    const char *at = last ? memrchr(page->p, '\n', page->n) : memchr(page->p, '\n', page->n);
    if (!at)
        return *page;
    return last ? (span){at + 1, (size_t)(page->p + page->n - at - 1)} : (span){page->p, (size_t)(at - page->p)};
}

static void drop_line(span *page, span line, bool last)
{
    if (!last)
        page->p += line.n;
    page->n -= line.n;
    trim(page);
}

/* Two lines look alike when they differ in numbers and space only. One that is only a number looks like others that are as far from their page's; 0: no look. */
static uint64_t look_of(span line, size_t page)
{
    uint64_t h = 14695981039346656037u, number = 0;
    bool only_number = true;
    trim(&line);
    if (line.n == 0 || line.n > LINE_MOST)
        return 0;
    for (size_t i = 0; i < line.n; i++) {
        bool digit = is_digit(line.p[i]);
        number = digit ? number * 10 + (uint64_t)(line.p[i] - '0') : number;
        only_number &= digit;
        if (is_blank(line.p[i]) || (digit && i > 0 && is_digit(line.p[i - 1])))
            continue;
        h = (h ^ (digit ? '#' : (unsigned char)line.p[i])) * 1099511628211u;
    }
    return only_number ? number - page + ((uint64_t)1 << 62) : h | 1;
}

static int compare_edges(const void *a, const void *b)
{
    const edge *x = a, *y = b;
    return x->look != y->look ? (x->look < y->look ? -1 : 1) : (x->page > y->page) - (x->page < y->page);
}

static size_t collect_edges(const pages *all, edge *out)
{
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++)
        for (int side = 0; side < 2; side++) {
            span rest = all->items[i];
            for (int k = 0; k < EDGE && rest.n > 0; k++) {
                span line = line_at(&rest, side);
                uint64_t look = look_of(line, i);
                if (look)
                    out[n++] = (edge){look, i};
                drop_line(&rest, line, side);
            }
        }
    return n;
}

/* Keeps the looks that stand on two pages in five or more: left and right pages may have heads of their own. */
static bool find_running(pages *all)
{
    edge *edges = malloc((all->n * 2 * EDGE + 1) * sizeof *edges);
    if (!edges)
        return false;
    size_t n = collect_edges(all, edges), kept = 0;
    qsort(edges, n, sizeof *edges, compare_edges);
    for (size_t i = 0, next; i < n; i = next) {
        size_t on = 0;
        for (next = i; next < n && edges[next].look == edges[i].look; next++)
            on += next == i || edges[next].page != edges[next - 1].page;
        if (on >= RUNNING_PAGES && on * 5 >= all->n * 2)
            edges[kept++] = edges[i];
    }
    all->running = edges;
    all->n_running = kept;
    return true;
}

static bool runs(const pages *all, span line, size_t page)
{
    uint64_t look = look_of(line, page);
    for (size_t i = 0; look && i < all->n_running; i++)
        if (all->running[i].look == look)
            return true;
    return false;
}

static void drop_running(const pages *all, size_t page)
{
    span *s = &all->items[page];
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < EDGE && s->n > 0; k++) {
            span line = line_at(s, side);
            if (!runs(all, line, page))
                break;
            drop_line(s, line, side);
        }
}

/* --- sections --- */

/* Outlines have straight quotes where pages have curved ones (U+2018–U+201F). */
static size_t quote(const char *p, const char *end, char c)
{
    return strchr("'`\"", c) && end - p >= 3 && !memcmp(p, "\xE2\x80", 2) && (unsigned char)p[2] >= 0x98 && (unsigned char)p[2] <= 0x9F ? 3 : 0;
}

/* Where the title ends that begins at p, white space aside; NULL when it is another text or does not end its line. */
static const char *match_title(const char *p, const char *end, const char *title, size_t n)
{
    for (size_t i = 0;;) {
        while (i < n && is_blank(title[i]))
            i++;
        if (i == n)
            break;
        while (p < end && is_blank(*p))
            p++;
        size_t step = p == end ? 0 : *p == title[i] ? 1 : quote(p, end, title[i]);
        if (step == 0)
            return NULL;
        p += step;
        i++;
    }
    const char *rest = p;
    while (rest < end && (*rest == ' ' || *rest == '\t'))
        rest++;
    return rest == end || *rest == '\n' ? p : NULL;
}

/* The page may number what the outline does not. */
static const char *behind_number(const char *p, const char *end)
{
    const char *at = p;
    while (at < end && (is_digit(*at) || *at == '.'))
        at++;
    return at;
}

/* Opens the entry's section at the first line from `from` on, of its page, that is its title. */
static size_t open_section(doc_builder *b, const outline_entry *e, size_t from)
{
    const char *text = b->out.text;
    size_t page = b->out.pages[e->page - 1], end = e->page < b->out.n_pages ? b->out.pages[e->page] : b->out.len;
    for (size_t at = from > page ? from : page; at < end;) {
        const char *line = text + at, *title_end = match_title(line, text + end, e->title, e->len);
        if (!title_end)
            title_end = match_title(behind_number(line, text + end), text + end, e->title, e->len);
        if (title_end) {
            size_t past = (size_t)(title_end - text);
            doc_builder_section(b, e->level, at, past, past);
            return past;
        }
        const char *feed = memchr(line, '\n', end - at);
        at = feed ? (size_t)(feed - text) + 1 : end;
    }
    return from;
}

static void add_sections(doc_builder *b, const char *outline_text, size_t n)
{
    outline o;
    outline_entry e;
    size_t from = 0;
    bool any = false;
    outline_begin(&o, outline_text, n);
    for (; b->status == MT_OK && outline_next(&o, &e); any = true)
        if (e.page <= b->out.n_pages)
            from = open_section(b, &e, from);
    if (!any)
        doc_find_headings(b);
}

/* --- pages --- */

/* A page that ends within a sentence is continued on the next one without a paragraph between. */
static bool ends_sentence(const doc_builder *b)
{
    return b->out.len > 0 && strchr(".!?:;)\"", b->out.text[b->out.len - 1]);
}

static void add_page(doc_builder *b, span page)
{
    if (page.n > 0)
        doc_builder_gap(b, ends_sentence(b) ? DOC_GAP_BLANK : DOC_GAP_LINE);
    doc_builder_page(b, page.n > 0);
    doc_builder_exact(b, page.p, page.n);
}

static size_t count_pages(const char *p, size_t n)
{
    size_t pages = n > 0 && p[n - 1] != '\f';
    for (size_t i = 0; i < n; i++)
        pages += p[i] == '\f';
    return pages;
}

static bool split(pages *all, const char *p, size_t n)
{
    size_t count = count_pages(p, n);
    all->items = malloc((count + 1) * sizeof *all->items);
    for (size_t at = 0; all->items && at < n; all->n++) {
        const char *feed = memchr(p + at, '\f', n - at);
        size_t end = feed ? (size_t)(feed - p) : n;
        all->items[all->n] = (span){p + at, end - at};
        trim(&all->items[all->n]);
        at = end + 1;
    }
    return all->items && find_running(all);
}

mt_status doc_text_from_pages(doc_text *out, const char *p, size_t n, const char *outline, size_t n_outline, size_t max_pages, char reason[DOC_REASON])
{
    pages all = {0};
    *out = (doc_text){0};
    if (!mt_utf8_valid(p, n, NULL))
        return doc_fail(reason, MT_INVALID, "The PDF's text is not readable: print it to a new PDF file and upload that.");
    if (count_pages(p, n) > max_pages)
        return doc_fail(reason, MT_TOO_LARGE, "The PDF has more than %zu pages: split it and upload the parts.", max_pages);
    doc_builder b;
    doc_builder_init(&b);
    if (!split(&all, p, n))
        b.status = MT_NO_MEMORY;
    for (size_t i = 0; i < all.n && b.status == MT_OK; i++) {
        drop_running(&all, i);
        add_page(&b, all.items[i]);
    }
    free(all.items);
    free(all.running);
    if (b.status == MT_OK && b.out.len == 0) {
        doc_builder_dispose(&b);
        return doc_fail(reason, MT_INVALID, "The PDF holds no text, only images: run it through text recognition (OCR) and upload the result.");
    }
    if (b.status == MT_OK)
        add_sections(&b, outline, n_outline);
    return doc_builder_take(&b, out, reason);
}
