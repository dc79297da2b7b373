#include "lines.h"

#include <stdlib.h>

mt_status wire_add(wire_buf *b, mt_slice s)
{
    if (s.len > b->max - b->len)
        return MT_TOO_LARGE;
    if (s.len > b->cap - b->len) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap - b->len < s.len)
            cap *= 2;
        char *grown = realloc(b->p, cap);
        if (!grown)
            return MT_NO_MEMORY;
        b->p = grown;
        b->cap = cap;
    }
    if (s.len)
        memcpy(b->p + b->len, s.p, s.len);
    b->len += s.len;
    return MT_OK;
}

void wire_dispose(wire_buf *b)
{
    free(b->p);
    *b = (wire_buf){.max = b->max};
}

mt_status wire_feed(wire_lines *l, mt_slice part)
{
    if (l->at) {
        l->held.len -= l->at;
        memmove(l->held.p, l->held.p + l->at, l->held.len);
        l->at = 0;
    }
    return wire_add(&l->held, part);
}

bool wire_line(wire_lines *l, mt_slice *line)
{
    /* the LF of a CR LF whose CR ended a line */
    if (l->after_cr && l->at < l->held.len) {
        l->after_cr = false;
        l->at += l->held.p[l->at] == '\n';
    }
    for (size_t i = l->at + l->looked; i < l->held.len; i++) {
        if (l->held.p[i] != '\n' && l->held.p[i] != '\r')
            continue;
        *line = (mt_slice){l->held.p + l->at, i - l->at};
        l->after_cr = l->held.p[i] == '\r';
        l->at = i + 1;
        l->looked = 0;
        return true;
    }
    l->looked = l->held.len - l->at;
    return false;
}

mt_slice wire_rest(const wire_lines *l)
{
    return (mt_slice){l->held.p ? l->held.p + l->at : NULL, l->held.len - l->at};
}

static bool field(mt_slice line, const char *name, mt_slice *value)
{
    size_t n = strlen(name);
    if (line.len < n || memcmp(line.p, name, n) || (line.len > n && line.p[n] != ':'))
        return false;
    size_t skip = line.len > n ? n + 1 : n;
    if (skip < line.len && line.p[skip] == ' ')
        skip++;
    *value = (mt_slice){line.p + skip, line.len - skip};
    return true;
}

bool wire_event_line(wire_event *e, mt_slice line, mt_status *s)
{
    mt_slice value;
    *s = MT_OK;
    if (e->taken) {
        e->taken = e->has_data = false;
        e->data.len = 0;
        e->name[0] = 0;
    }
    if (!line.len) {
        e->taken = true;
        return e->has_data;
    }
    if (field(line, "event", &value)) {
        size_t n = value.len < sizeof e->name ? value.len : sizeof e->name - 1;
        memcpy(e->name, value.p, n);
        e->name[n] = 0;
    } else if (field(line, "data", &value)) {
        if (e->has_data)
            *s = wire_add(&e->data, MT_SLICE("\n"));
        if (*s == MT_OK)
            *s = wire_add(&e->data, value);
        e->has_data = true;
    }
    return false;
}
