/* The parent's reader of a result: nothing is believed that was not looked at. */
#include "extract_wire.h"

#include <stdio.h>
#include <stdlib.h>

#include "text/utf8.h"

typedef struct parts {
    extract_head head;
    char *paths;
    extract_section *sections;
    uint32_t *pages;
} parts;

static bool head_is_sane(const extract_head *h)
{
    if (h->magic != EXTRACT_MAGIC || h->reason_len >= DOC_REASON || h->layers > (EXTRACT_LANDLOCK | EXTRACT_USER))
        return false;
    if (h->status != MT_OK)
        return (h->status == MT_INVALID || h->status == MT_TOO_LARGE || h->status == MT_UNAVAILABLE) && h->reason_len > 0 && !h->title_len &&
               !h->text_len && !h->paths_len && !h->n_sections && !h->n_pages;
    return !h->reason_len && h->title_len <= EXTRACT_TITLE_MAX && h->text_len < DOC_MAX_BYTES && h->paths_len <= EXTRACT_PATHS_MAX &&
           h->n_sections <= DOC_MAX_SECTIONS && (h->n_sections > 0) == (h->text_len > 0) && h->n_pages <= DOC_MAX_PAGES;
}

/* Valid UTF-8 without U+0000; names (not the text) without any control character. */
static bool is_clean(const char *p, size_t n, bool name)
{
    for (size_t i = 0; i < n; i++)
        if (!p[i] || (name && ((unsigned char)p[i] < 0x20 || p[i] == 0x7F)))
            return false;
    return mt_utf8_valid(p, n, NULL);
}

/* n bytes and a NUL, or NULL with the status. */
static char *read_text(const extract_source *from, size_t n, bool name, mt_status *s)
{
    char *p = *s == MT_OK ? malloc(n + 1) : NULL;
    if (!p) {
        *s = *s == MT_OK ? MT_NO_MEMORY : *s;
        return NULL;
    }
    p[n] = 0;
    *s = n ? from->read(from->user, p, n) : MT_OK;
    if (*s == MT_OK && is_clean(p, n, name))
        return p;
    *s = *s == MT_OK ? MT_INTERNAL : *s;
    free(p);
    return NULL;
}

static void *read_array(const extract_source *from, size_t n, size_t size, mt_status *s)
{
    void *p = *s == MT_OK ? malloc(n * size + 1) : NULL;
    if (!p) {
        *s = *s == MT_OK ? MT_NO_MEMORY : *s;
        return NULL;
    }
    *s = n ? from->read(from->user, p, n * size) : MT_OK;
    return p;
}

static bool at_character(const doc_text *d, size_t byte)
{
    return byte <= d->len && mt_utf8_floor(d->text, byte) == byte;
}

/* The sections follow each other from the beginning and cover the text; paths are cut on whole characters. */
static mt_status take_sections(const parts *w, doc_text *d)
{
    size_t path = 0, cp = 0;
    d->sections = calloc((size_t)w->head.n_sections + 1, sizeof *d->sections);
    if (!d->sections)
        return MT_NO_MEMORY;
    for (size_t i = 0; i < w->head.n_sections; i++) {
        const extract_section *from = &w->sections[i];
        doc_section *s = &d->sections[i];
        s->end = i + 1 < w->head.n_sections ? w->sections[i + 1].start : d->len;
        s->start = from->start;
        s->body = from->body;
        s->level = (int)from->level;
        if ((i == 0 && s->start) || s->start > s->body || s->body > s->end || from->level > DOC_LEVELS || !at_character(d, s->end) ||
            !at_character(d, s->body) || from->path_len > w->head.paths_len - path || !mt_utf8_valid(w->paths + path, from->path_len, NULL))
            return MT_INTERNAL;
        s->path = strndup(w->paths + path, from->path_len);
        if (!s->path)
            return MT_NO_MEMORY;
        d->n_sections++;
        path += from->path_len;
        s->start_cp = cp;
        cp += mt_utf8_count(d->text + s->start, s->end - s->start);
        s->end_cp = cp;
    }
    d->len_cp = cp;
    return path == w->head.paths_len ? MT_OK : MT_INTERNAL;
}

static mt_status take_pages(const parts *w, doc_text *d)
{
    if (!w->head.n_pages)
        return MT_OK;
    d->pages = malloc(w->head.n_pages * sizeof *d->pages);
    if (!d->pages)
        return MT_NO_MEMORY;
    for (size_t i = 0, before = 0; i < w->head.n_pages; i++) {
        if (w->pages[i] < before || (i == 0 && w->pages[0]) || !at_character(d, w->pages[i]))
            return MT_INTERNAL;
        d->pages[i] = before = w->pages[i];
    }
    d->n_pages = w->head.n_pages;
    return MT_OK;
}

static mt_status read_parts(const extract_source *from, parts *w, doc_text *d)
{
    mt_status s = MT_OK;
    d->title = read_text(from, w->head.title_len, true, &s);
    d->text = read_text(from, w->head.text_len, false, &s);
    d->len = d->text ? w->head.text_len : 0;
    w->paths = read_text(from, w->head.paths_len, true, &s);
    w->sections = read_array(from, w->head.n_sections, sizeof *w->sections, &s);
    w->pages = read_array(from, w->head.n_pages, sizeof *w->pages, &s);
    MT_TRY(s);
    char more;
    s = from->read(from->user, &more, 1);
    if (s != MT_DONE)
        return s == MT_OK ? MT_INTERNAL : s;
    MT_TRY(take_sections(w, d));
    return take_pages(w, d);
}

static mt_status read_reason(const extract_source *from, const extract_head *h, char reason[DOC_REASON])
{
    mt_status s = MT_OK;
    char *why = read_text(from, h->reason_len, true, &s);
    MT_TRY(s);
    snprintf(reason, DOC_REASON, "%s", why);
    free(why);
    return (mt_status)h->status;
}

mt_status extract_read(const extract_source *from, doc_text *out, uint32_t *layers, char reason[DOC_REASON])
{
    parts w = {0};
    *out = (doc_text){0};
    *layers = 0;
    MT_TRY(from->read(from->user, &w.head, sizeof w.head));
    if (!head_is_sane(&w.head))
        return MT_INTERNAL;
    *layers = w.head.layers;
    if (w.head.status != MT_OK)
        return read_reason(from, &w.head, reason);
    mt_status s = read_parts(from, &w, out);
    free(w.paths);
    free(w.sections);
    free(w.pages);
    if (s != MT_OK)
        doc_text_dispose(out);
    return s;
}
