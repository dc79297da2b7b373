/* The growing text, the pending gap and the heading path. */
#include "doc_builder.h"

#include <stdio.h>
#include <stdlib.h>

#include "text/utf8.h"

#define TITLE_MAX 160 /* bytes of one heading in a path */

void doc_builder_init(doc_builder *b)
{
    *b = (doc_builder){0};
}

void doc_builder_dispose(doc_builder *b)
{
    for (int i = 0; i < DOC_LEVELS; i++)
        free(b->headings[i]);
    doc_text_dispose(&b->out);
    *b = (doc_builder){0};
}

static bool reserve(doc_builder *b, size_t extra)
{
    size_t need = b->out.len + extra + 1;
    if (b->status != MT_OK)
        return false;
    if (need > DOC_MAX_BYTES) {
        b->status = MT_TOO_LARGE;
        return false;
    }
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap * 2 : 4096;
    while (cap < need)
        cap *= 2;
    char *text = realloc(b->out.text, cap);
    if (!text) {
        b->status = MT_NO_MEMORY;
        return false;
    }
    b->out.text = text;
    b->cap = cap;
    return true;
}

static void put(doc_builder *b, const char *p, size_t n)
{
    if (!reserve(b, n))
        return;
    memcpy(b->out.text + b->out.len, p, n);
    b->out.len += n;
}

void doc_builder_gap(doc_builder *b, doc_gap gap)
{
    if (b->in_heading && gap > DOC_GAP_SPACE)
        gap = DOC_GAP_SPACE;
    if (gap > b->gap && !b->marker[0]) /* nothing comes between an item's mark and its text */
        b->gap = gap;
}

/* Writes the pending gap and marker; called when text is certain to follow. */
static void flush(doc_builder *b)
{
    static const char *const gaps[] = {"", " ", "\n", "\n\n"};
    const char *gap = gaps[b->gap], *text = b->out.text;
    size_t len = b->out.len;
    if (len > 0 && b->gap >= DOC_GAP_LINE) /* a code block brings its own line end */
        gap += (text[len - 1] == '\n') + (b->gap == DOC_GAP_BLANK && len > 1 && text[len - 1] == '\n' && text[len - 2] == '\n');
    if (len > 0)
        put(b, gap, strlen(gap));
    b->gap = DOC_GAP_NONE;
    if (b->marker[0])
        put(b, b->marker, strlen(b->marker));
    b->marker[0] = 0;
    if (b->heading) {
        doc_builder_section(b, b->heading, b->out.len, b->out.len, b->out.len);
        b->heading = 0;
    }
}

typedef enum { KEEP, DROP, SPACE } fold;

static fold fold_of(uint32_t cp)
{
    if (cp == ' ' || (cp >= '\t' && cp <= '\r') || cp == 0xA0 || cp == 0x3000 || (cp >= 0x2000 && cp <= 0x200A) ||
        cp == 0x2028 || cp == 0x2029 || cp == 0x202F)
        return SPACE;
    if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp == 0xAD || cp == 0x200B || cp == 0xFEFF)
        return DROP;
    return KEEP;
}

/* The length of the run at p that is kept as it is: printable ASCII without spaces, then whatever fold_of keeps. */
static size_t kept_run(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint32_t cp;
        size_t len = mt_utf8_next(p + i, n - i, &cp);
        if (cp == MT_UTF8_BAD || fold_of(cp) != KEEP)
            break;
        i += len;
    }
    return i;
}

void doc_builder_flow(doc_builder *b, const char *p, size_t n)
{
    for (size_t i = 0; i < n && b->status == MT_OK;) {
        size_t run = kept_run(p + i, n - i);
        if (run > 0) {
            flush(b);
            put(b, p + i, run);
            i += run;
            continue;
        }
        uint32_t cp;
        i += mt_utf8_next(p + i, n - i, &cp);
        if (cp != MT_UTF8_BAD && fold_of(cp) == SPACE)
            doc_builder_gap(b, DOC_GAP_SPACE);
    }
}

static bool is_exact(const char *p, size_t n)
{
    unsigned char c = (unsigned char)*p;
    return (c >= 0x20 || c == '\n' || c == '\t') && c != 0x7F && !(c == 0xC2 && n > 1 && (unsigned char)p[1] == 0xA0);
}

void doc_builder_exact(doc_builder *b, const char *p, size_t n)
{
    for (size_t i = 0; i < n && b->status == MT_OK;) {
        size_t run = i;
        while (run < n && is_exact(p + run, n - run))
            run++;
        bool wide = run < n && (unsigned char)p[run] == 0xC2;
        if (run > i || wide) {
            flush(b);
            put(b, p + i, run - i);
        }
        if (wide)
            put(b, " ", 1);
        i = run + (run < n) + wide;
    }
}

void doc_builder_mark(doc_builder *b, const char *marker)
{
    snprintf(b->marker, sizeof b->marker, "%s", marker);
}

void doc_builder_heading_begin(doc_builder *b, int level)
{
    if (b->in_heading)
        return;
    doc_builder_gap(b, DOC_GAP_BLANK);
    b->heading = level < 1 ? 1 : level > DOC_LEVELS ? DOC_LEVELS : level;
    b->in_heading = true;
    b->marker[0] = 0;
}

/* A folded copy of p[0..n), cut at a code point to TITLE_MAX bytes. */
static char *fold_title(const char *p, size_t n)
{
    char *title = malloc(TITLE_MAX + 4);
    size_t len = 0;
    bool gap = false;
    for (size_t i = 0; title && i < n;) {
        uint32_t cp;
        size_t step = mt_utf8_next(p + i, n - i, &cp);
        fold f = cp == MT_UTF8_BAD ? DROP : fold_of(cp);
        gap |= f == SPACE;
        if (f == KEEP) {
            if (len + step + 1 > TITLE_MAX) {
                memcpy(title + len, "…", 3);
                len += 3;
                break;
            }
            if (gap && len > 0)
                title[len++] = ' ';
            gap = false;
            memcpy(title + len, p + i, step);
            len += step;
        }
        i += step;
    }
    if (title)
        title[len] = 0;
    return title;
}

/* "A > B > C" from the headings down to level; NULL when out of memory. */
static char *join_path(const doc_builder *b, int level)
{
    char *path = malloc((size_t)DOC_LEVELS * (TITLE_MAX + 8) + 1);
    size_t len = 0;
    for (int i = 0; path && i < level; i++) {
        if (!b->headings[i] || !*b->headings[i])
            continue;
        len += (size_t)sprintf(path + len, "%s%s", len ? " > " : "", b->headings[i]);
    }
    if (!path)
        return NULL;
    path[len] = 0;
    char *fit = realloc(path, len + 1);
    return fit ? fit : path;
}

static doc_section *add_section(doc_builder *b)
{
    doc_text *d = &b->out;
    if (d->n_sections == DOC_MAX_SECTIONS) {
        b->status = MT_TOO_LARGE;
        return NULL;
    }
    if (d->n_sections == b->cap_sections) {
        size_t cap = b->cap_sections ? b->cap_sections * 2 : 32;
        doc_section *grown = realloc(d->sections, cap * sizeof *grown);
        if (!grown) {
            b->status = MT_NO_MEMORY;
            return NULL;
        }
        d->sections = grown;
        b->cap_sections = cap;
    }
    doc_section *s = &d->sections[d->n_sections];
    *s = (doc_section){0};
    return s;
}

static void set_title(doc_builder *b, doc_section *s, size_t title_end)
{
    for (int i = s->level - 1; i < DOC_LEVELS; i++) {
        free(b->headings[i]);
        b->headings[i] = NULL;
    }
    b->headings[s->level - 1] = fold_title(b->out.text ? b->out.text + s->start : "", title_end - s->start);
    free(s->path);
    s->path = join_path(b, s->level);
    if (!s->path)
        b->status = MT_NO_MEMORY;
}

void doc_builder_section(doc_builder *b, int level, size_t start, size_t title_end, size_t body)
{
    doc_section *s = b->status == MT_OK ? add_section(b) : NULL;
    if (!s)
        return;
    s->level = level;
    s->start = start;
    s->body = body;
    if (level > 0)
        set_title(b, s, title_end);
    else if (!(s->path = strdup("")))
        b->status = MT_NO_MEMORY;
    b->out.n_sections++;
}

void doc_builder_heading_end(doc_builder *b)
{
    if (!b->in_heading)
        return;
    b->in_heading = false;
    if (b->status == MT_OK && !b->heading) {
        doc_section *s = &b->out.sections[b->out.n_sections - 1];
        s->body = b->out.len;
        set_title(b, s, s->body);
    }
    b->heading = 0;
    doc_builder_gap(b, DOC_GAP_BLANK);
}

void doc_builder_page(doc_builder *b, bool text_follows)
{
    doc_text *d = &b->out;
    if (text_follows)
        flush(b);
    if (b->status != MT_OK)
        return;
    if (d->n_pages == b->cap_pages) {
        size_t cap = b->cap_pages ? b->cap_pages * 2 : 32;
        size_t *grown = realloc(d->pages, cap * sizeof *grown);
        if (!grown) {
            b->status = MT_NO_MEMORY;
            return;
        }
        d->pages = grown;
        b->cap_pages = cap;
    }
    d->pages[d->n_pages++] = d->len;
}

void doc_builder_title(doc_builder *b, const char *p, size_t n)
{
    if (!b->out.title)
        b->out.title = fold_title(p, n);
}

/* Gives the text before the first heading its own section, closes all of them and counts code points in one pass. */
static void finish_sections(doc_builder *b)
{
    doc_text *d = &b->out;
    if (d->len > 0 && (d->n_sections == 0 || d->sections[0].start > 0)) {
        doc_builder_section(b, 0, 0, 0, 0);
        if (b->status != MT_OK)
            return;
        doc_section lead = d->sections[d->n_sections - 1];
        memmove(d->sections + 1, d->sections, (d->n_sections - 1) * sizeof lead);
        d->sections[0] = lead;
    }
    size_t cp = 0;
    for (size_t i = 0; i < d->n_sections; i++) {
        doc_section *s = &d->sections[i];
        s->end = i + 1 < d->n_sections ? d->sections[i + 1].start : d->len;
        s->start_cp = cp;
        cp += mt_utf8_count(d->text + s->start, s->end - s->start);
        s->end_cp = cp;
    }
    d->len_cp = cp;
}

mt_status doc_builder_take(doc_builder *b, doc_text *out, char reason[DOC_REASON])
{
    *out = (doc_text){0};
    if (reserve(b, 0))
        b->out.text[b->out.len] = 0;
    if (!b->out.title)
        b->out.title = strdup("");
    if (b->status == MT_OK)
        finish_sections(b);
    mt_status status = b->status == MT_OK && !b->out.title ? MT_NO_MEMORY : b->status;
    if (status == MT_OK) {
        *out = b->out;
        b->out = (doc_text){0};
    } else {
        doc_fail(reason, status, status == MT_TOO_LARGE
                 ? "The document's text is longer than %u MiB or has more than %u sections."
                 : "Out of memory.", DOC_MAX_BYTES >> 20, DOC_MAX_SECTIONS);
    }
    doc_builder_dispose(b);
    return status;
}
