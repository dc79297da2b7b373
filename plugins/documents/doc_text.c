/* What both sides of the reading process do with a document's text. */
#include "doc_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void doc_text_dispose(doc_text *d)
{
    for (size_t i = 0; i < d->n_sections; i++)
        free(d->sections[i].path);
    free(d->sections);
    free(d->pages);
    free(d->title);
    free(d->text);
    *d = (doc_text){0};
}

mt_status doc_fail(char reason[DOC_REASON], mt_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, DOC_REASON, fmt, args);
    va_end(args);
    return status;
}

size_t doc_page_at(const doc_text *d, size_t byte)
{
    size_t low = 0, high = d->n_pages; /* pages before low begin at or before byte, those from high on behind it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (d->pages[middle] <= byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
