/* HTML: gumbo parses (with its memory and time bounded), an explicit stack walks the tree. */
#include "readers.h"

#include <gumbo.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "encoding.h"

#define HTML_MAX_BYTES (32u << 20)
#define TREE_MAX_BYTES (768u << 20) /* what gumbo may allocate */
#define TREE_BLOCK (1u << 20)
#define PARSE_SECONDS 5            /* of CPU: gumbo is quadratic on absurdly nested input */
#define DEPTH_MAX 4096

/* --- bounded memory: gumbo neither checks its allocator's answer nor frees without recursion, so it gets a region that is
   released at once, and a way out by longjmp when a bound is reached (gumbo holds nothing else) --- */

typedef struct block {
    struct block *next;
    max_align_t data[];
} block;

typedef struct tree_memory {
    block *blocks;
    size_t left, total, calls;
    char *at;
    int64_t deadline_ns;
    const char *why;
    jmp_buf out;
} tree_memory;

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static _Noreturn void give_up(tree_memory *m, const char *why)
{
    m->why = why;
    longjmp(m->out, 1);
}

static void *tree_alloc(void *user, size_t n)
{
    tree_memory *m = user;
    n = (n + 15) & ~(size_t)15;
    if (++m->calls % 256 == 0 && cpu_ns() > m->deadline_ns)
        give_up(m, "The page takes too long to parse.");
    if (n > m->left) {
        size_t size = n > TREE_BLOCK ? n : TREE_BLOCK;
        if (n > TREE_MAX_BYTES || m->total + size > TREE_MAX_BYTES)
            give_up(m, "The page's structure is too large.");
        block *fresh = malloc(sizeof *fresh + size);
        if (!fresh)
            give_up(m, "Out of memory.");
        fresh->next = m->blocks;
        m->blocks = fresh;
        m->total += size;
        m->at = (char *)fresh->data;
        m->left = size;
    }
    void *p = m->at;
    m->at += n;
    m->left -= n;
    return p;
}

static void tree_free(void *user, void *p)
{
}

static void tree_release(tree_memory *m)
{
    while (m->blocks) {
        block *next = m->blocks->next;
        free(m->blocks);
        m->blocks = next;
    }
}

/* --- what each element means --- */

typedef enum kind { INLINE, SKIP, BLOCK, LINE, CELL, ROW, ITEM, PRE, HEADING, BREAK, TITLE } kind;

static kind kind_of_tag(GumboTag tag)
{
    switch (tag) {
    case GUMBO_TAG_SCRIPT: case GUMBO_TAG_STYLE: case GUMBO_TAG_NAV: case GUMBO_TAG_NOSCRIPT: case GUMBO_TAG_TEMPLATE:
    case GUMBO_TAG_IFRAME: case GUMBO_TAG_OBJECT: case GUMBO_TAG_SVG: case GUMBO_TAG_MATH: case GUMBO_TAG_SELECT:
    case GUMBO_TAG_BUTTON: case GUMBO_TAG_TEXTAREA: case GUMBO_TAG_AUDIO: case GUMBO_TAG_VIDEO: case GUMBO_TAG_CANVAS:
        return SKIP;
    case GUMBO_TAG_P: case GUMBO_TAG_DIV: case GUMBO_TAG_SECTION: case GUMBO_TAG_ARTICLE: case GUMBO_TAG_HEADER:
    case GUMBO_TAG_FOOTER: case GUMBO_TAG_MAIN: case GUMBO_TAG_ASIDE: case GUMBO_TAG_BLOCKQUOTE: case GUMBO_TAG_FIGURE:
    case GUMBO_TAG_UL: case GUMBO_TAG_OL: case GUMBO_TAG_DL: case GUMBO_TAG_TABLE: case GUMBO_TAG_FORM: case GUMBO_TAG_HR:
    case GUMBO_TAG_FIELDSET: case GUMBO_TAG_DETAILS: case GUMBO_TAG_CENTER: case GUMBO_TAG_ADDRESS:
        return BLOCK;
    case GUMBO_TAG_DT: case GUMBO_TAG_DD: case GUMBO_TAG_CAPTION: case GUMBO_TAG_FIGCAPTION: case GUMBO_TAG_SUMMARY:
    case GUMBO_TAG_LEGEND:
        return LINE;
    case GUMBO_TAG_TD: case GUMBO_TAG_TH:
        return CELL;
    case GUMBO_TAG_TR:
        return ROW;
    case GUMBO_TAG_LI:
        return ITEM;
    case GUMBO_TAG_PRE:
        return PRE;
    case GUMBO_TAG_H1: case GUMBO_TAG_H2: case GUMBO_TAG_H3: case GUMBO_TAG_H4: case GUMBO_TAG_H5: case GUMBO_TAG_H6:
        return HEADING;
    case GUMBO_TAG_BR:
        return BREAK;
    case GUMBO_TAG_TITLE:
        return TITLE;
    default:
        return INLINE;
    }
}

/* Whether one of the words of `value` is in the list. */
static bool has_word(const char *value, const char *const *list, size_t n)
{
    while (*value) {
        size_t len = strcspn(value, " \t\n");
        for (size_t i = 0; i < n; i++)
            if (strlen(list[i]) == len && strncasecmp(list[i], value, len) == 0)
                return true;
        value += len;
        value += strspn(value, " \t\n");
    }
    return false;
}

/* Navigation that is marked by attributes only, and what the page itself hides. */
static bool is_furniture(const GumboElement *e)
{
    static const char *const classes[] = {"navheader", "navfooter", "navbar", "toc", "breadcrumb", "breadcrumbs", "headerlink"};
    static const char *const roles[] = {"navigation", "search"};
    const GumboAttribute *a = gumbo_get_attribute(&e->attributes, "class");
    if (a && has_word(a->value, classes, sizeof classes / sizeof *classes))
        return true;
    a = gumbo_get_attribute(&e->attributes, "role");
    if (a && has_word(a->value, roles, sizeof roles / sizeof *roles))
        return true;
    return gumbo_get_attribute(&e->attributes, "hidden") != NULL;
}

/* --- the walk --- */

typedef struct frame {
    const GumboNode *node;
    unsigned next;      /* child to visit */
    unsigned items;     /* list items seen, for numbering */
    kind kind;
} frame;

typedef struct walk {
    doc_builder *b;
    frame *stack;
    size_t depth;
    unsigned pre, cells;
    bool row_has_cell;
} walk;

static void block_gap(walk *w, doc_gap gap)
{
    doc_builder_gap(w->b, w->cells ? DOC_GAP_SPACE : gap);
}

static void enter_item(walk *w)
{
    char mark[16] = "- ";
    frame *list = w->depth > 0 ? &w->stack[w->depth - 1] : NULL;
    if (list && list->node->v.element.tag == GUMBO_TAG_OL)
        snprintf(mark, sizeof mark, "%u. ", ++list->items);
    block_gap(w, DOC_GAP_LINE);
    doc_builder_mark(w->b, mark);
}

static void enter(walk *w, kind k, GumboTag tag)
{
    switch (k) {
    case BLOCK: block_gap(w, DOC_GAP_BLANK); break;
    case LINE: block_gap(w, DOC_GAP_LINE); break;
    case BREAK: block_gap(w, w->b->gap == DOC_GAP_LINE ? DOC_GAP_BLANK : DOC_GAP_LINE); break;
    case ROW: block_gap(w, DOC_GAP_LINE); w->row_has_cell = false; break;
    case CELL:
        if (w->row_has_cell) {
            doc_builder_gap(w->b, DOC_GAP_SPACE);
            doc_builder_mark(w->b, "| ");
        }
        w->cells++;
        break;
    case ITEM: enter_item(w); break;
    case PRE: block_gap(w, DOC_GAP_BLANK); w->pre++; break;
    case HEADING: doc_builder_heading_begin(w->b, (int)(tag - GUMBO_TAG_H1) + 1); break;
    default: break;
    }
}

static void leave(walk *w, const frame *f)
{
    switch (f->kind) {
    case BLOCK: block_gap(w, DOC_GAP_BLANK); break;
    case LINE: block_gap(w, DOC_GAP_LINE); break;
    case ITEM: case ROW: doc_builder_mark(w->b, ""); block_gap(w, DOC_GAP_LINE); break;
    case CELL: w->cells--; w->row_has_cell = true; break;
    case PRE: w->pre--; block_gap(w, DOC_GAP_BLANK); break;
    case HEADING: doc_builder_heading_end(w->b); break;
    default: break;
    }
}

static void take_title(walk *w, const GumboNode *node)
{
    const GumboVector *c = &node->v.element.children;
    const GumboNode *text = c->length ? c->data[0] : NULL;
    if (text && text->type == GUMBO_NODE_TEXT)
        doc_builder_title(w->b, text->v.text.text, strlen(text->v.text.text));
}

/* Handles one node; answers whether its children are to be walked. */
static bool visit(walk *w, const GumboNode *node, kind *k)
{
    if (node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE || node->type == GUMBO_NODE_CDATA) {
        const char *text = node->v.text.text;
        (w->pre && !w->cells ? doc_builder_exact : doc_builder_flow)(w->b, text, strlen(text));
        return false;
    }
    if (node->type != GUMBO_NODE_ELEMENT)
        return false;
    *k = kind_of_tag(node->v.element.tag);
    if (*k == TITLE)
        take_title(w, node);
    if (*k == TITLE || *k == SKIP || is_furniture(&node->v.element))
        return false;
    enter(w, *k, node->v.element.tag);
    return true;
}

static mt_status walk_tree(walk *w, const GumboNode *root, char reason[DOC_REASON])
{
    w->stack[0] = (frame){.node = root, .kind = INLINE};
    w->depth = 1;
    while (w->depth > 0 && w->b->status == MT_OK) {
        frame *f = &w->stack[w->depth - 1];
        const GumboVector *children = &f->node->v.element.children;
        if (f->next == children->length) {
            w->depth--;
            leave(w, f);
            continue;
        }
        const GumboNode *child = children->data[f->next++];
        kind k = INLINE;
        if (!visit(w, child, &k))
            continue;
        if (w->depth == DEPTH_MAX)
            return doc_fail(reason, MT_TOO_LARGE, "The page is nested more than %d levels deep.", DEPTH_MAX);
        w->stack[w->depth++] = (frame){.node = child, .kind = k};
    }
    return MT_OK;
}

static mt_status parse_and_walk(doc_builder *b, const char *html, size_t n, char reason[DOC_REASON])
{
    tree_memory memory = {.deadline_ns = cpu_ns() + PARSE_SECONDS * 1000000000LL};
    walk w = {.b = b, .stack = malloc(DEPTH_MAX * sizeof(frame))};
    mt_status status;
    if (!w.stack)
        return doc_fail(reason, MT_NO_MEMORY, "Out of memory.");
    if (setjmp(memory.out) == 0) {
        GumboOptions options = kGumboDefaultOptions;
        options.allocator = tree_alloc;
        options.deallocator = tree_free;
        options.userdata = &memory;
        options.max_errors = 0;
        GumboOutput *tree = gumbo_parse_with_options(&options, html, n);
        status = walk_tree(&w, tree->root, reason);
    } else {
        status = doc_fail(reason, MT_TOO_LARGE, "%s", memory.why);
    }
    tree_release(&memory);
    free(w.stack);
    return status;
}

/* The charset that <meta> names in the first KiB, copied to out; "" when there is none. */
static void sniff_charset(const char *p, size_t n, char out[32])
{
    size_t len = 0, end = n < 1024 ? n : 1024;
    *out = 0;
    for (size_t i = 0; i + 8 < end; i++) {
        if (strncasecmp(p + i, "charset=", 8) != 0)
            continue;
        for (i += 8; i < end && (p[i] == '"' || p[i] == '\'' || p[i] == ' '); i++)
            ;
        while (i < end && len < 31 && (p[i] == '-' || (p[i] >= '0' && p[i] <= '9') || ((p[i] | 32) >= 'a' && (p[i] | 32) <= 'z')))
            out[len++] = p[i++];
        out[len] = 0;
        return;
    }
}

mt_status doc_text_from_html(doc_text *out, const char *p, size_t n, char reason[DOC_REASON])
{
    char charset[32], *html;
    size_t len;
    *out = (doc_text){0};
    if (n > HTML_MAX_BYTES)
        return doc_fail(reason, MT_TOO_LARGE, "The page is longer than %u MiB.", HTML_MAX_BYTES >> 20);
    sniff_charset(p, n, charset);
    MT_TRY(doc_decode(p, n, charset, &html, &len, reason));
    doc_builder b;
    doc_builder_init(&b);
    mt_status status = parse_and_walk(&b, html, len, reason);
    free(html);
    if (status == MT_OK)
        return doc_builder_take(&b, out, reason);
    doc_builder_dispose(&b);
    return status;
}
