/* A byte for the format, then a document: its text, sections and chunks must fit together. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "chunker.h"
#include "readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_document: %s\n", what);
        abort();
    }
}

/* A token for every four bytes that were begun: quick, and like a tokenizer it adds up only
 * roughly. */
static size_t count(void *user, const char *p, size_t n)
{
    return (n + 3) / 4;
}

static void check_text(const doc_text *d)
{
    size_t at = 0;
    mt_slice text = {d->text, d->len};
    must(d->text[d->len] == 0 && strlen(d->text) == d->len && mti_utf8_valid(text),
         "the text is no text");
    must(mti_utf8_count(text) == d->len_cp, "code points are miscounted");
    must(d->n_sections > 0 || d->len == 0, "a text without a section");
    for (size_t i = 0; i < d->n_sections; i++) {
        const doc_section *s = &d->sections[i];
        must(s->start == at && s->start <= s->body && s->body <= s->end && s->path,
             "sections do not follow each other");
        at = s->end;
    }
    must(at == d->len, "sections do not cover the text");
    for (size_t i = 1; i < d->n_pages; i++)
        must(d->pages[0] == 0 && d->pages[i - 1] <= d->pages[i] && d->pages[i] <= d->len,
             "pages do not follow each other");
}

static void check_chunks(const doc_text *d)
{
    chunk_list list = {0};
    const chunk_options options = {.target = 12, .max = 16, .overlap = 4, .count = count};
    must(chunk_doc(d, &options, &list) == MT_OK, "a text cannot be cut");
    for (size_t i = 0; i < list.n; i++) {
        const chunk *c = &list.items[i];
        must(c->start < c->end && c->end <= d->len && c->section < d->n_sections,
             "a chunk lies outside its text");
        must(mti_utf8_valid((mt_slice){d->text + c->start, c->end - c->start}),
             "a chunk cuts a character");
        must(mti_utf8_count((mt_slice){d->text, c->start}) == c->start_cp &&
                 mti_utf8_count((mt_slice){d->text, c->end}) == c->end_cp,
             "a range in code points is wrong");
        must(c->tokens == count(NULL, d->text + c->start, c->end - c->start) && c->tokens <= 16,
             "a chunk is too long");
    }
    chunk_list_dispose(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char reason[DOC_REASON] = "";
    doc_text d = {0};
    if (!size || size > 20000)
        return 0;
    const char *p = (const char *)data + 1;
    mt_status s = data[0] == 'h'   ? doc_text_from_html(&d, p, size - 1, reason)
                  : data[0] == 'm' ? doc_text_from_markdown(&d, p, size - 1, reason)
                  : data[0] == 'c' ? doc_text_from_csv(&d, p, size - 1, reason)
                  : data[0] == 'd' ? doc_text_from_docx(&d, p, size - 1, reason)
                  : data[0] == 'p' ? doc_text_from_pages(&d, p, size - 1, p, size - 1, 100, reason)
                                   : doc_text_from_plain(&d, p, size - 1, reason);
    if (s == MT_OK) {
        check_text(&d);
        check_chunks(&d);
    } else {
        must(reason[0] && !d.text, "refused without a reason");
    }
    doc_text_dispose(&d);
    return 0;
}
