#include "db/split.h"

#include <ctype.h>
#include <strings.h>

static const char *skip_to(const char *p, const char *end, const char *what)
{
    size_t n = strlen(what);
    const char *found = memmem(p, (size_t)(end - p), what, n);
    return found ? found + n : NULL;
}

static const char *skip_quoted(const char *p, const char *end, bool escapes)
{
    char quote = *p++;
    for (; p < end; p++) {
        if (escapes && *p == '\\')
            p++;
        else if (*p == quote)
            return p + 1; /* a doubled quote begins the next literal at once: the same for us */
    }
    return NULL;
}

static const char *skip_block(const char *p, const char *end)
{
    int depth = 0;
    while (p + 1 < end) {
        if (p[0] == '/' && p[1] == '*')
            depth++, p += 2;
        else if (p[0] == '*' && p[1] == '/')
            depth--, p += 2;
        else
            p++;
        if (!depth)
            return p;
    }
    return NULL;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static const char *skip_dollar(const char *p, const char *end)
{
    char tag[66];
    size_t n = 1;
    while (p + n < end && is_word(p[n]) && n < 63)
        n++;
    if (p + n >= end || p[n] != '$' || isdigit((unsigned char)p[1]))
        return p + 1;
    memcpy(tag, p, n + 1);
    tag[n + 1] = '\0';
    return skip_to(p + n + 1, end, tag);
}

static const char *skip_comment(const char *p, const char *end)
{
    if (p[0] == '/')
        return skip_block(p, end);
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    return nl ? nl : end;
}

static bool starts_comment(const char *p, const char *end)
{
    return p + 1 < end && ((p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*'));
}

static const char *skip_part(const char *p, const char *begin, const char *end)
{
    if (starts_comment(p, end))
        return skip_comment(p, end);
    if (*p == '"')
        return skip_quoted(p, end, false);
    if (*p == '\'')
        return skip_quoted(p, end,
                           p > begin && (p[-1] | 32) == 'e' && (p - 1 == begin || !is_word(p[-2])));
    if (*p == '$' && (p == begin || !is_word(p[-1])))
        return skip_dollar(p, end);
    return p + 1;
}

static const char *advance(mti_splitter *s, const char *to)
{
    for (; s->p < to; s->p++)
        s->line += *s->p == '\n';
    return to;
}

mt_status mti_split_next(mti_splitter *s, mt_slice *statement, int *line)
{
    while (s->p < s->end &&
           (isspace((unsigned char)*s->p) || *s->p == ';' || starts_comment(s->p, s->end))) {
        const char *next = starts_comment(s->p, s->end) ? skip_comment(s->p, s->end) : s->p + 1;
        if (!next)
            return MT_INVALID;
        advance(s, next);
    }
    if (s->p == s->end)
        return MT_DONE;
    const char *begin = s->p, *p = begin;
    *line = s->line;
    while (p && p < s->end && *p != ';')
        p = skip_part(p, begin, s->end);
    if (!p)
        return MT_INVALID;
    *statement = (mt_slice){begin, (size_t)(p - begin)};
    advance(s, p);
    return MT_OK;
}

static mt_slice word(mt_slice *rest)
{
    while (rest->len) {
        const char *end = rest->p + rest->len, *next = rest->p;
        if (isspace((unsigned char)*rest->p))
            next++;
        else if (starts_comment(rest->p, end))
            next = skip_comment(rest->p, end);
        else
            break;
        rest->len = next ? (size_t)(end - next) : 0;
        rest->p = next;
    }
    mt_slice w = {rest->p, 0};
    while (rest->len && is_word(*rest->p))
        rest->p++, rest->len--, w.len++;
    return w;
}

static bool in(mt_slice w, const char *const *list)
{
    for (; *list; list++)
        if (strlen(*list) == w.len && !strncasecmp(*list, w.p, w.len))
            return true;
    return false;
}

bool mti_split_allowed(mt_slice s)
{
    static const char *const alone[] = {"SELECT", "INSERT",  "UPDATE", "DELETE",
                                        "WITH",   "COMMENT", NULL};
    static const char *const verbs[] = {"CREATE", "ALTER", "DROP", NULL};
    static const char *const fillers[] = {"OR", "REPLACE", "UNIQUE", NULL};
    static const char *const nouns[] = {"TABLE",    "INDEX", "TYPE",       "DOMAIN",
                                        "SEQUENCE", "VIEW",  "STATISTICS", NULL};
    mt_slice w = word(&s);
    if (in(w, alone))
        return true;
    if (!in(w, verbs))
        return false;
    do
        w = word(&s);
    while (in(w, fillers));
    return in(w, nouns);
}
