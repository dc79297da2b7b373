/* What a hostile reading process may answer: what the parent takes must keep every promise of
 * doc_text.h. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "extract_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_result: %s\n", what);
        abort();
    }
}

static mt_status take(void *user, void *p, size_t n)
{
    mt_slice *left = user;
    if (n > left->len)
        return MT_DONE;
    memcpy(p, left->p, n);
    *left = (mt_slice){left->p + n, left->len - n};
    return MT_OK;
}

static void check(const doc_text *d)
{
    size_t at = 0, before = 0;
    must(strlen(d->text) == d->len && mti_utf8_valid((mt_slice){d->text, d->len}), "no text");
    must(mti_utf8_valid(mt_str(d->title)), "no title");
    must(d->n_sections > 0 || !d->len, "a text without a section");
    for (size_t i = 0; i < d->n_sections; i++) {
        const doc_section *s = &d->sections[i];
        must(s->start == at && s->start <= s->body && s->body <= s->end && s->level >= 0 &&
                 s->level <= DOC_LEVELS,
             "sections do not follow each other");
        must(mti_utf8_valid((mt_slice){d->text + s->start, s->body - s->start}) &&
                 mti_utf8_valid((mt_slice){d->text + s->body, s->end - s->body}) &&
                 mti_utf8_valid(mt_str(s->path)),
             "a section cuts a character");
        at = s->end;
    }
    must(at == d->len, "sections do not cover the text");
    for (size_t i = 0; i < d->n_pages; i++) {
        must(d->pages[i] >= before && d->pages[i] <= d->len, "pages do not follow each other");
        before = d->pages[i];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mt_slice left = {(const char *)data, size};
    const extract_source from = {take, &left};
    char reason[DOC_REASON] = "";
    uint32_t layers;
    doc_text d;
    mt_status s = extract_read(&from, &d, &layers, reason);
    if (s == MT_OK)
        check(&d);
    else
        must(!d.text && (s == MT_DONE || s == MT_INTERNAL || reason[0]), "refused without a reason");
    doc_text_dispose(&d);
    return 0;
}
