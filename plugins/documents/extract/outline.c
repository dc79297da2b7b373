/* The few tags that matter, by hand: the whole is not always well-formed XML, because titles may hold any character. */
#include "outline.h"

#include <stdlib.h>

static bool starts(const outline *o, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(o->end - o->p) >= n && memcmp(o->p, what, n) == 0;
}

void outline_begin(outline *o, const char *p, size_t n)
{
    const char *at = n ? memmem(p, n, "<outline>", 9) : NULL;
    *o = (outline){at ? at : p + n, p + n, 0};
}

/* One character of a title: what an entity stands for, or the byte itself. */
static char take_char(outline *o)
{
    static const struct { const char *name; char is; } entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#34;", '"'},
                                                                     {"&#39;", '\''}, {"&apos;", '\''}, {"&#160;", ' '}};
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        if (starts(o, entities[i].name)) {
            o->p += strlen(entities[i].name);
            return entities[i].is;
        }
    return *o->p++;
}

/* At <item page="…">: the entry up to its end. */
static bool take_item(outline *o, outline_entry *e)
{
    char number[16] = "";
    o->p += strlen("<item page=\"");
    for (size_t i = 0; i + 1 < sizeof number && o->p < o->end && *o->p >= '0' && *o->p <= '9'; i++)
        number[i] = *o->p++;
    const char *open = memchr(o->p, '>', (size_t)(o->end - o->p));
    o->p = open ? open + 1 : o->end;
    *e = (outline_entry){.level = o->depth < DOC_LEVELS ? o->depth : DOC_LEVELS, .page = strtoul(number, NULL, 10)};
    while (o->p < o->end && !starts(o, "</item>")) {
        char c = take_char(o);
        if (e->len < OUTLINE_TITLE_MAX)
            e->title[e->len++] = c;
    }
    return e->level > 0 && e->page > 0 && e->len > 0;
}

bool outline_next(outline *o, outline_entry *e)
{
    while (o->p < o->end) {
        if (starts(o, "<item page=\"")) {
            if (take_item(o, e))
                return true;
            continue;
        }
        o->depth += starts(o, "<outline>");
        o->depth -= starts(o, "</outline>");
        o->p++;
    }
    return false;
}
