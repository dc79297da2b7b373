/* The text of a PDF as pdftotext prints it: paragraphs between blank lines, a form feed behind each page. */
#include "readers.h"

#include <stdlib.h>

#include "text/utf8.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* A page that ends within a sentence is continued on the next one without a paragraph between. */
static bool ends_sentence(const doc_builder *b)
{
    return b->out.len > 0 && strchr(".!?:;)\"", b->out.text[b->out.len - 1]);
}

static void add_page(doc_builder *b, const char *p, size_t n)
{
    while (n > 0 && is_blank(*p))
        p++, n--;
    while (n > 0 && is_blank(p[n - 1]))
        n--;
    if (n > 0)
        doc_builder_gap(b, ends_sentence(b) ? DOC_GAP_BLANK : DOC_GAP_LINE);
    doc_builder_page(b, n > 0);
    doc_builder_exact(b, p, n);
}

mt_status doc_text_from_pages(doc_text *out, const char *p, size_t n, size_t max_pages, char reason[DOC_REASON])
{
    *out = (doc_text){0};
    if (!mt_utf8_valid(p, n, NULL))
        return doc_fail(reason, MT_INVALID, "The PDF's text is not readable: print it to a new PDF file and upload that.");
    doc_builder b;
    doc_builder_init(&b);
    for (size_t at = 0; at < n && b.status == MT_OK;) {
        const char *feed = memchr(p + at, '\f', n - at);
        size_t end = feed ? (size_t)(feed - p) : n;
        if (b.out.n_pages == max_pages) {
            doc_builder_dispose(&b);
            return doc_fail(reason, MT_TOO_LARGE, "The PDF has more than %zu pages: split it and upload the parts.", max_pages);
        }
        add_page(&b, p + at, end - at);
        at = end + 1;
    }
    if (b.status == MT_OK && b.out.len == 0) {
        doc_builder_dispose(&b);
        return doc_fail(reason, MT_INVALID, "The PDF holds no text, only images: run it through text recognition (OCR) and upload the result.");
    }
    return doc_builder_take(&b, out, reason);
}
