#include "router/router.h"

#include "base/utf8.h"

#include <stdlib.h>

typedef struct node node;

/* One segment of a path. Literal children are searched in order: a level holds a few dozen at most. */
struct node {
    char *literal;               /* NULL for the parameter child */
    size_t len;
    node *children, *parameter, *next;
    const mti_operation *ops[8]; /* by method */
    char *allow;
};

struct mti_router {
    node root;
};

static const char *const methods[8] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"};

static int method_index(mt_slice m)
{
    for (int i = 0; i < 8; i++)
        if (mt_slice_eq(m, mt_str(methods[i])))
            return i;
    return -1;
}

/* Takes the next segment off *path; false at the end. "/a/" has the segments "a" and "". */
static bool next_segment(mt_slice *path, mt_slice *segment)
{
    if (!path->len || path->p[0] != '/')
        return false;
    const char *start = path->p + 1, *end = path->p + path->len;
    const char *stop = memchr(start, '/', (size_t)(end - start));
    if (!stop)
        stop = end;
    *segment = (mt_slice){start, (size_t)(stop - start)};
    *path = (mt_slice){stop, (size_t)(end - stop)};
    return true;
}

static node *find_literal(const node *n, mt_slice segment)
{
    for (node *c = n->children; c; c = c->next)
        if (c->len == segment.len && !memcmp(c->literal, segment.p, segment.len))
            return c;
    return NULL;
}

static node *child_for(node *n, mt_slice segment)
{
    if (segment.len && segment.p[0] == '{') {
        if (!n->parameter)
            n->parameter = calloc(1, sizeof *n->parameter);
        return n->parameter;
    }
    node *c = find_literal(n, segment);
    if (c)
        return c;
    c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->literal = strndup(segment.p, segment.len);
    c->len = segment.len;
    c->next = n->children;
    n->children = c;
    return c;
}

static void describe_allow(node *n)
{
    char text[80] = "";
    for (int i = 0; i < 8; i++) {
        if (!n->ops[i])
            continue;
        if (text[0])
            strcat(text, ", ");
        strcat(text, methods[i]);
    }
    free(n->allow);
    n->allow = strdup(text);
}

static mt_status insert(mti_router *r, const mti_operation *op, mti_error *e)
{
    node *n = &r->root;
    mt_slice path = mt_str(op->path), segment;
    while (next_segment(&path, &segment)) {
        n = child_for(n, segment);
        if (!n)
            return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while building the router");
    }
    int m = method_index(mt_str(op->method));
    if (m < 0)
        return mti_fail(e, MT_INVALID, "method_unknown", "operation %s: method %s is not known", op->id, op->method);
    if (n->ops[m])
        return mti_fail(e, MT_CONFLICT, "route_taken", "%s %s: operations %s and %s both claim it", op->method,
                        op->path, n->ops[m]->id, op->id);
    n->ops[m] = op;
    describe_allow(n);
    return MT_OK;
}

static void dispose_children(node *n)
{
    for (node *c = n->children, *next; c; c = next) {
        next = c->next;
        dispose_children(c);
        free(c->literal);
        free(c);
    }
    if (n->parameter) {
        dispose_children(n->parameter);
        free(n->parameter);
    }
    free(n->allow);
}

mt_status mti_router_create(const mti_operation *const *ops, unsigned n, mti_router **out, mti_error *e)
{
    mti_router *r = calloc(1, sizeof *r);
    if (!r)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while building the router");
    for (unsigned i = 0; i < n; i++) {
        mt_status s = insert(r, ops[i], e);
        if (s != MT_OK) {
            mti_router_destroy(r);
            return s;
        }
    }
    *out = r;
    return MT_OK;
}

void mti_router_destroy(mti_router *r)
{
    if (!r)
        return;
    dispose_children(&r->root);
    free(r);
}

/* Depth-first, literals before the parameter; the depth is bounded by the tree's. */
static const node *walk(const node *n, mt_slice path, mti_match *m, unsigned n_params)
{
    mt_slice segment;
    if (!next_segment(&path, &segment))
        return n->allow ? n : NULL;
    const node *c = find_literal(n, segment);
    if (c) {
        const node *found = walk(c, path, m, n_params);
        if (found)
            return found;
    }
    if (!n->parameter || !segment.len || n_params == MTI_MAX_PARAMS)
        return NULL;
    m->params[n_params] = segment;
    return walk(n->parameter, path, m, n_params + 1);
}

mti_match mti_router_find(const mti_router *r, mt_slice method, mt_slice path)
{
    mti_match m = {0};
    const node *n = walk(&r->root, path, &m, 0);
    if (!n)
        return m;
    m.allow = n->allow;
    int i = method_index(method);
    if (i < 0)
        return m;
    m.op = n->ops[i];
    if (!m.op && i == 5)
        m.op = n->ops[0];
    return m;
}

/* Longest first. */
static const mt_slice bases[] = {MT_SLICE_INIT("/api/v1/enterprise"), MT_SLICE_INIT("/api/v1"), MT_SLICE_INIT("/v1"),
                                 MT_SLICE_INIT("/api")};
static const mt_slice bare[] = {MT_SLICE_INIT("/health"), MT_SLICE_INIT("/health/agent"), MT_SLICE_INIT("/metrics")};

bool mti_router_strip(mt_slice path, mt_slice *rest)
{
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        mt_slice b = bases[i];
        if (path.len > b.len && path.p[b.len] == '/' && !memcmp(path.p, b.p, b.len)) {
            *rest = (mt_slice){path.p + b.len, path.len - b.len};
            return true;
        }
    }
    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++)
        if (mt_slice_eq(path, bare[i])) {
            *rest = path;
            return true;
        }
    return false;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mti_percent_decode(mt_slice s, char *out, mt_slice *decoded)
{
    size_t n = 0;
    if (s.len && !memchr(s.p, '%', s.len) && !memchr(s.p, 0, s.len)) {
        memcpy(out, s.p, s.len);
        out[s.len] = 0;
        *decoded = (mt_slice){out, s.len};
        return mti_utf8_valid(*decoded);
    }

    for (size_t i = 0; i < s.len; i++) {
        int c = (unsigned char)s.p[i];
        if (c == '%') {
            if (s.len - i < 3)
                return false;
            int hi = hex_value(s.p[i + 1]), lo = hex_value(s.p[i + 2]);
            if (hi < 0 || lo < 0)
                return false;
            c = hi << 4 | lo;
            i += 2;
        }
        if (!c)
            return false;
        out[n++] = (char)c;
    }
    out[n] = 0;
    *decoded = (mt_slice){out, n};
    return mti_utf8_valid(*decoded);
}
