/* Word documents (ECMA-376): paragraphs, headings by style or outline level, lists, tables. Page breaks depend on who prints: no pages. */
#include "readers.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "xml.h"

#define STYLES_MAX 1000
#define STYLE_NAME 64
#define PART_NAME 256

typedef struct style {
    char id[STYLE_NAME], based_on[STYLE_NAME];
    int level; /* of a heading, 1–6; 0 none; -1 the document's title */
} style;

typedef struct docx {
    doc_builder b;
    zip *zip;
    char part[PART_NAME];     /* the main part's name */
    style *styles;
    size_t n_styles;
    char title[256];
    size_t title_len;
    bool in_title;            /* core properties */
    int skip;                 /* elements that are open since one whose content is not text */
    bool in_text, row_has_cell, opened; /* opened: the paragraph's heading has begun */
    int tables;
    int level;                /* of the current paragraph */
    bool listed;
    mt_status status;         /* sticky, for the XML reader; the builder's own comes here too */
} docx;

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

/* --- _rels/.rels: which part is the document --- */

static void on_relation(void *user, const char *name, const char *const *attributes)
{
    docx *d = user;
    const char *type = xml_attribute(attributes, "Type"), *target = xml_attribute(attributes, "Target");
    size_t n = strlen(type), tail = strlen("/officeDocument");
    if (!strcmp(name, "Relationship") && n > tail && !strcmp(type + n - tail, "/officeDocument"))
        copy(d->part, sizeof d->part, target + (*target == '/'));
}

/* --- docProps/core.xml: the title --- */

static void on_core_begin(void *user, const char *name, const char *const *attributes)
{
    ((docx *)user)->in_title = !strcmp(name, "title");
}

static void on_core_end(void *user, const char *name)
{
    ((docx *)user)->in_title = false;
}

static void on_core_text(void *user, const char *p, size_t n)
{
    docx *d = user;
    if (d->in_title && d->title_len + n < sizeof d->title) {
        memcpy(d->title + d->title_len, p, n);
        d->title_len += n;
    }
}

/* --- word/styles.xml: which styles are headings; names are English in every language of Word, ids are not --- */

static int level_of_outline(const char *value)
{
    return value[0] >= '0' && value[0] <= '8' && !value[1] ? (value[0] - '0' < DOC_LEVELS ? value[0] - '0' + 1 : DOC_LEVELS) : 0;
}

static int level_of_name(const char *name)
{
    if (!strcasecmp(name, "title"))
        return -1;
    return strncasecmp(name, "heading ", 8) || name[8] < '1' || name[8] > '9' ? 0 : level_of_outline((const char[]){(char)(name[8] - 1), 0});
}

static void on_style(void *user, const char *name, const char *const *attributes)
{
    docx *d = user;
    if (!strcmp(name, "style")) {
        if (d->n_styles < STYLES_MAX) {
            style *s = &d->styles[d->n_styles++];
            *s = (style){0};
            copy(s->id, sizeof s->id, xml_attribute(attributes, "styleId"));
        }
        return;
    }
    style *s = d->n_styles ? &d->styles[d->n_styles - 1] : NULL;
    if (!s)
        return;
    if (!strcmp(name, "name"))
        s->level = level_of_name(xml_attribute(attributes, "val"));
    else if (!strcmp(name, "basedOn"))
        copy(s->based_on, sizeof s->based_on, xml_attribute(attributes, "val"));
    else if (!strcmp(name, "outlineLvl") && !s->level)
        s->level = level_of_outline(xml_attribute(attributes, "val"));
}

static int level_of_style(const docx *d, const char *id)
{
    for (int step = 0; step < 10 && *id; step++) {
        const style *s = NULL;
        for (size_t i = 0; i < d->n_styles && !s; i++)
            if (!strcmp(d->styles[i].id, id))
                s = &d->styles[i];
        if (!s || s->level)
            return s ? s->level : level_of_name(id);
        id = s->based_on;
    }
    return 0;
}

/* --- the document --- */

static bool is_one_of(const char *name, const char *const *list)
{
    while (*list && strcmp(*list, name))
        list++;
    return *list;
}

/* What is deleted, is a second version of what stands beside it, or is a field's instruction. */
static const char *const skipped[] = {"del", "moveFrom", "Fallback", "instrText", "delText", "pPrChange", "rPrChange", NULL};

static void begin_paragraph(docx *d)
{
    d->level = 0;
    d->listed = d->opened = false;
    doc_builder_gap(&d->b, d->tables ? DOC_GAP_SPACE : DOC_GAP_BLANK);
}

/* The paragraph's properties stand before its text; the first text decides. */
static void open_text(docx *d)
{
    if (d->opened)
        return;
    d->opened = true;
    if (d->level > 0 && !d->tables)
        doc_builder_heading_begin(&d->b, d->level);
    else if (d->listed && !d->tables) {
        doc_builder_gap(&d->b, DOC_GAP_LINE);
        doc_builder_mark(&d->b, "- ");
    }
}

static void end_paragraph(docx *d)
{
    if (d->level > 0 && d->opened)
        doc_builder_heading_end(&d->b);
    doc_builder_mark(&d->b, d->tables ? d->b.marker : "");
    doc_builder_gap(&d->b, d->tables ? DOC_GAP_SPACE : d->listed ? DOC_GAP_LINE : DOC_GAP_BLANK);
}

static void on_begin(void *user, const char *name, const char *const *attributes)
{
    docx *d = user;
    doc_builder *b = &d->b;
    if (d->skip || is_one_of(name, skipped)) {
        d->skip++;
        return;
    }
    if (!strcmp(name, "p"))
        begin_paragraph(d);
    else if (!strcmp(name, "pStyle"))
        d->level = level_of_style(d, xml_attribute(attributes, "val"));
    else if (!strcmp(name, "outlineLvl"))
        d->level = level_of_outline(xml_attribute(attributes, "val"));
    else if (!strcmp(name, "numPr"))
        d->listed = true;
    else if (!strcmp(name, "t"))
        d->in_text = true;
    else if (!strcmp(name, "tab"))
        doc_builder_gap(b, DOC_GAP_SPACE);
    else if (!strcmp(name, "br") || !strcmp(name, "cr"))
        doc_builder_gap(b, d->tables ? DOC_GAP_SPACE : DOC_GAP_LINE);
    else if (!strcmp(name, "noBreakHyphen"))
        doc_builder_flow(b, "-", 1);
    else if (!strcmp(name, "tbl"))
        doc_builder_gap(b, d->tables++ ? DOC_GAP_SPACE : DOC_GAP_BLANK);
    else if (!strcmp(name, "tr")) {
        doc_builder_gap(b, DOC_GAP_LINE);
        d->row_has_cell = false;
    } else if (!strcmp(name, "tc") && d->row_has_cell) {
        doc_builder_gap(b, DOC_GAP_SPACE);
        doc_builder_mark(b, "| ");
    }
    d->status = b->status;
}

static void on_end(void *user, const char *name)
{
    docx *d = user;
    doc_builder *b = &d->b;
    if (d->skip) {
        d->skip--;
        return;
    }
    if (!strcmp(name, "p"))
        end_paragraph(d);
    else if (!strcmp(name, "t"))
        d->in_text = false;
    else if (!strcmp(name, "tc"))
        d->row_has_cell = true;
    else if (!strcmp(name, "tr")) {
        doc_builder_mark(b, "");
        doc_builder_gap(b, DOC_GAP_LINE);
    } else if (!strcmp(name, "tbl") && !--d->tables)
        doc_builder_gap(b, DOC_GAP_BLANK);
    d->status = b->status;
}

static void on_text(void *user, const char *p, size_t n)
{
    docx *d = user;
    if (!d->in_text || d->skip)
        return;
    if (d->level < 0 && !d->title_len)
        d->level = 0, d->title_len = n < sizeof d->title - 1 ? n : 0, memcpy(d->title, p, d->title_len);
    open_text(d);
    doc_builder_flow(&d->b, p, n);
    d->status = d->b.status;
}

static mt_status optional(mt_status s)
{
    return s == MT_NOT_FOUND ? MT_OK : s;
}

static mt_status read_parts(docx *d, char *reason)
{
    const xml_handler relations = {.begin = on_relation, .status = &d->status, .user = d},
                      core = {.begin = on_core_begin, .end = on_core_end, .text = on_core_text, .status = &d->status, .user = d},
                      styles = {.begin = on_style, .status = &d->status, .user = d},
                      document = {.begin = on_begin, .end = on_end, .text = on_text, .status = &d->status, .user = d};
    char part[PART_NAME + 16];
    MT_TRY(optional(xml_read(d->zip, "_rels/.rels", &relations, reason)));
    MT_TRY(optional(xml_read(d->zip, "docProps/core.xml", &core, reason)));
    const char *slash = strrchr(d->part, '/');
    snprintf(part, sizeof part, "%.*sstyles.xml", slash ? (int)(slash + 1 - d->part) : 0, d->part);
    MT_TRY(optional(xml_read(d->zip, part, &styles, reason)));
    mt_status s = xml_read(d->zip, d->part, &document, reason);
    return s == MT_NOT_FOUND ? doc_fail(reason, MT_INVALID, "The file is a ZIP archive but no .docx: save the document as .docx and upload that.") : s;
}

mt_status doc_text_from_docx(doc_text *out, const char *p, size_t n, char reason[DOC_REASON])
{
    docx d = {.part = "word/document.xml"};
    *out = (doc_text){0};
    if (n >= 8 && !memcmp(p, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", 8))
        return doc_fail(reason, MT_INVALID, "The file has a password or is an old .doc: save it as .docx without a password.");
    MT_TRY(zip_open(&d.zip, p, n, reason));
    d.styles = malloc(STYLES_MAX * sizeof *d.styles);
    doc_builder_init(&d.b);
    mt_status s = d.styles ? read_parts(&d, reason) : MT_NO_MEMORY;
    zip_close(d.zip);
    free(d.styles);
    if (d.title_len)
        doc_builder_title(&d.b, d.title, d.title_len);
    if (s == MT_OK || s == d.b.status)
        return doc_builder_take(&d.b, out, reason);
    doc_builder_dispose(&d.b);
    return reason[0] ? s : doc_fail(reason, s, "Out of memory.");
}
