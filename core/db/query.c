/*
 * One pass over a queries.sql: the scanner copies a query's text to the output without comments and
 * with :name turned into $n, and notes on the way what decides the lane (first word, data-modifying
 * WITH, row locks). It is not an SQL parser: PostgreSQL's own answer comes at activation, when
 * every query is prepared. What is refused here is what must never reach that point.
 */
#include "db/query.h"

#include <ctype.h>

#include "base/buf.h"
#include "base/ident.h"

enum { MAX_PARAMS = 64, MAX_TEXT = 64 * 1024, MAX_QUERIES = 1024 };

typedef struct scanner {
    mti_arena *arena;
    const char *file;
    const char *p, *end;
    int line;
    mti_error *error;
    mti_query *list;
    size_t n;
    /* the query being read */
    mti_query *q;
    mti_buf out;
    char previous[16]; /* last word in capitals, or the last sign */
    char first[16];
    bool modifies, locks, ended, write, slow;
    const char *params[MAX_PARAMS];
} scanner;

static mt_status refuse(scanner *s, const char *what)
{
    return mti_fail(s->error, MT_INVALID, "query_invalid", "%s:%d: %s%s%s.", s->file, s->line,
                    s->q ? s->q->name : "", s->q ? ": " : "", what);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static char peek(const scanner *s, size_t ahead)
{
    return (size_t)(s->end - s->p) > ahead ? s->p[ahead] : '\0';
}

static bool at_line_start(const scanner *s, const char *text)
{
    for (const char *p = s->p; p > text; p--) {
        if (p[-1] == '\n')
            return true;
        if (p[-1] != ' ' && p[-1] != '\t' && p[-1] != '\r')
            return false;
    }
    return true;
}

/* Adds one blank between parts, however much white space and comment stood there. */
static void put_blank(scanner *s)
{
    if (s->out.len && s->out.p[s->out.len - 1] != ' ')
        mti_buf_addc(&s->out, ' ');
}

static void skip(scanner *s, size_t n)
{
    for (; n && s->p < s->end; n--, s->p++)
        s->line += *s->p == '\n';
}

static mt_status copy(scanner *s, size_t n)
{
    if (n > (size_t)(s->end - s->p))
        return refuse(s, "the text ends inside a literal or a quoted name");
    mti_buf_add(&s->out, s->p, n);
    skip(s, n);
    return MT_OK;
}

/* The length up to and with the closing quote; doubled quotes, and backslashes when escapes, do not
 * close. 0: never closed. */
static size_t quoted_length(const scanner *s, char quote, bool escapes)
{
    for (const char *p = s->p + 1; p < s->end; p++) {
        if (escapes && *p == '\\') {
            p++;
        } else if (*p == quote) {
            if (p + 1 < s->end && p[1] == quote)
                p++;
            else
                return (size_t)(p - s->p) + 1;
        }
    }
    return 0;
}

static mt_status copy_quoted(scanner *s, char quote, bool escapes)
{
    size_t n = quoted_length(s, quote, escapes);
    s->previous[0] = '\0';
    return copy(s, n ? n : SIZE_MAX);
}

static mt_status copy_dollar(scanner *s)
{
    if (isdigit((unsigned char)peek(s, 1)))
        return refuse(s, "write :name, not $1");
    size_t tag = 1;
    while (is_word(peek(s, tag)))
        tag++;
    if (peek(s, tag) != '$')
        return refuse(s, "stray $");
    tag++;
    const char *close = memmem(s->p + tag, (size_t)(s->end - s->p) - tag, s->p, tag);
    s->previous[0] = '\0';
    return copy(s, close ? (size_t)(close - s->p) + tag : SIZE_MAX);
}

static mt_status copy_parameter(scanner *s)
{
    size_t n = 1;
    while (is_word(peek(s, n)))
        n++;
    mt_slice name = {s->p + 1, n - 1};
    unsigned i = 0;
    while (i < s->q->n_params && !mt_slice_eq(mt_str(s->params[i]), name))
        i++;
    if (i == MAX_PARAMS)
        return refuse(s, "more than 64 parameters");
    if (i == s->q->n_params)
        s->params[s->q->n_params++] = mti_arena_strndup(s->arena, name.p, name.len);
    mti_buf_addf(&s->out, "$%u", i + 1);
    s->previous[0] = '\0';
    skip(s, n);
    return MT_OK;
}

static bool one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(word, *list))
            return true;
    return false;
}

static const char *const statements[] = {"SELECT", "INSERT", "UPDATE", "DELETE",
                                         "MERGE",  "WITH",   "VALUES", NULL};
static const char *const modifying[] = {"INSERT", "UPDATE", "DELETE", "MERGE", NULL};
static const char *const locking[] = {"UPDATE", "SHARE", "NO", "KEY", NULL};

static mt_status copy_word(scanner *s)
{
    size_t n = 0;
    char word[16] = "";
    while (is_word(peek(s, n)) || (unsigned char)peek(s, n) >= 0x80) {
        if (n < sizeof word - 1)
            word[n] = (char)toupper((unsigned char)s->p[n]);
        n++;
    }
    if (n > sizeof word - 1)
        strcpy(word, "_");
    if (!s->first[0]) {
        strcpy(s->first, word);
        if (!one_of(word, statements))
            return refuse(s,
                          "a query is one SELECT, INSERT, UPDATE, DELETE, MERGE, WITH or VALUES");
        s->modifies |= one_of(word, modifying);
    } else if (one_of(word, modifying) &&
               (!strcmp(s->previous, "(") || !strcmp(s->previous, ")"))) {
        s->modifies = true;
    } else if (!strcmp(s->previous, "FOR") && one_of(word, locking)) {
        s->locks = true;
    }
    bool literal = n == 1 && (word[0] == 'E') && peek(s, 1) == '\'';
    MT_TRY(copy(s, n));
    strcpy(s->previous, word);
    return literal ? copy_quoted(s, '\'', true) : MT_OK;
}

static mt_status skip_block_comment(scanner *s)
{
    int depth = 0;
    do {
        if (peek(s, 0) == '/' && peek(s, 1) == '*') {
            depth++;
            skip(s, 2);
        } else if (peek(s, 0) == '*' && peek(s, 1) == '/') {
            depth--;
            skip(s, 2);
        } else if (s->p == s->end) {
            return refuse(s, "the text ends inside a comment");
        } else {
            skip(s, 1);
        }
    } while (depth);
    put_blank(s);
    return MT_OK;
}

static mt_slice rest_of_line(const scanner *s, size_t from)
{
    const char *p = s->p + from, *nl = memchr(p, '\n', (size_t)(s->end - p));
    const char *e = nl ? nl : s->end;
    while (p < e && isspace((unsigned char)*p))
        p++;
    while (e > p && isspace((unsigned char)e[-1]))
        e--;
    return (mt_slice){p, (size_t)(e - p)};
}

/* Ends the query being read, if any: decides its lane and seals its text. */
static mt_status finish(scanner *s)
{
    mti_query *q = s->q;
    if (!q)
        return MT_OK;
    while (s->out.len && s->out.p[s->out.len - 1] == ' ')
        s->out.len--;
    if (s->out.status)
        return refuse(s, "longer than 64 KiB");
    if (!s->out.len)
        return refuse(s, "has no text");
    bool writes = s->modifies || s->locks || s->write;
    if (writes && s->slow)
        return refuse(s, "a write cannot be slow");
    q->lane = writes ? MTI_LANE_WRITE : s->slow ? MTI_LANE_SLOW : MTI_LANE_READ;
    q->sql = mti_arena_strndup(s->arena, s->out.p, s->out.len);
    q->params = mti_arena_alloc(s->arena, sizeof *q->params * (q->n_params + 1));
    memcpy(q->params, s->params, sizeof *q->params * q->n_params);
    mti_buf_addc(&s->out, '\n');
    mti_buf_adds(&s->out, s->file); /* two plugins with the same text run it as different roles */
    uint8_t hash[32];
    mti_sha256(s->out.p, s->out.len, hash);
    q->statement[0] = 'q';
    mti_hex(hash, 16, q->statement + 1);
    s->n++;
    s->q = NULL;
    return MT_OK;
}

static bool next_word(mt_slice *rest, mt_slice *word)
{
    while (rest->len && isspace((unsigned char)*rest->p))
        rest->p++, rest->len--;
    word->p = rest->p;
    while (rest->len && !isspace((unsigned char)*rest->p))
        rest->p++, rest->len--;
    word->len = (size_t)(rest->p - word->p);
    return word->len > 0;
}

static bool is(mt_slice word, const char *text)
{
    return mt_slice_eq(word, mt_str(text));
}

static mt_status set_kind(scanner *s, mt_slice word)
{
    if (is(word, ":one"))
        s->q->kind = MTI_QUERY_ONE;
    else if (is(word, ":many"))
        s->q->kind = MTI_QUERY_MANY;
    else if (is(word, ":exec"))
        s->q->kind = MTI_QUERY_EXEC;
    else
        return refuse(s, "the kind is :one, :many or :exec");
    return MT_OK;
}

static mt_status set_flag(scanner *s, mt_slice word)
{
    if (is(word, "slow"))
        s->slow = true;
    else if (is(word, "custom"))
        s->q->custom_plan = true;
    else if (is(word, "write") || is(word, "tx"))
        s->write = true;
    else if (word.len > 7 && !memcmp(word.p, "cursor=", 7))
        s->q->cursor = mti_arena_strndup(s->arena, word.p + 7, word.len - 7);
    else
        return refuse(s, "unknown word in its header");
    return MT_OK;
}

static mt_status check_name(scanner *s, mt_slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_word(name.p[i]))
            return refuse(s, "a query's name has letters, digits and _ only");
    for (size_t i = 0; i < s->n; i++)
        if (mt_slice_eq(mt_str(s->list[i].name), name))
            return refuse(s, "two queries of this name");
    return MT_OK;
}

static mt_status begin(scanner *s, mt_slice header)
{
    MT_TRY(finish(s));
    mt_slice name, word;
    if (!next_word(&header, &name))
        return refuse(s, "-- name: without a name");
    if (s->n == MAX_QUERIES)
        return refuse(s, "more than 1,024 queries");
    mti_buf_clear(&s->out);
    s->first[0] = s->previous[0] = '\0';
    s->modifies = s->locks = s->ended = s->write = s->slow = false;
    mti_query *q = &s->list[s->n];
    memset(q, 0, sizeof *q);
    q->name = mti_arena_strndup(s->arena, name.p, name.len);
    q->file = s->file;
    q->line = s->line;
    s->q = q;
    MT_TRY(check_name(s, name));
    if (!next_word(&header, &word))
        return refuse(s, "its kind is missing (:one, :many or :exec)");
    MT_TRY(set_kind(s, word));
    while (next_word(&header, &word))
        MT_TRY(set_flag(s, word));
    return MT_OK;
}

static mt_status line_comment(scanner *s, const char *text)
{
    mt_slice comment = rest_of_line(s, 2);
    size_t whole = (size_t)(comment.p + comment.len - s->p);
    if (at_line_start(s, text) && comment.len >= 5 && !memcmp(comment.p, "name:", 5))
        MT_TRY(begin(s, (mt_slice){comment.p + 5, comment.len - 5}));
    else if (s->q && (is(comment, "slow") || is(comment, "custom")))
        MT_TRY(set_flag(s, comment));
    if (s->q)
        put_blank(s);
    skip(s, whole);
    return MT_OK;
}

static mt_status copy_sign(scanner *s)
{
    s->previous[0] = *s->p;
    s->previous[1] = '\0';
    return copy(s, 1);
}

static mt_status copy_colon(scanner *s)
{
    char next = peek(s, 1);
    if (next == ':') {
        s->previous[0] = '\0';
        return copy(s, 2);
    }
    bool after_word = s->out.len && (is_word(s->out.p[s->out.len - 1]));
    return !after_word && (isalpha((unsigned char)next) || next == '_') ? copy_parameter(s)
                                                                        : copy_sign(s);
}

static mt_status part(scanner *s, const char *text)
{
    char c = *s->p;
    if (c == '\0')
        return refuse(s, "a NUL byte");
    if (isspace((unsigned char)c)) {
        put_blank(s);
        skip(s, 1);
        return MT_OK;
    }
    if (c == '-' && peek(s, 1) == '-')
        return line_comment(s, text);
    if (c == '/' && peek(s, 1) == '*')
        return skip_block_comment(s);
    if (!s->q)
        return refuse(s, "text before the first -- name:");
    if (s->ended)
        return refuse(s, "two statements in one query");
    if (c == ';') {
        s->ended = true;
        skip(s, 1);
        return MT_OK;
    }
    if (!s->first[0] && c != '(' && !is_word(c))
        return refuse(s, "a query is one SELECT, INSERT, UPDATE, DELETE, MERGE, WITH or VALUES");
    if (c == '\'' || c == '"')
        return copy_quoted(s, c, false);
    if (c == '$')
        return copy_dollar(s);
    if (c == ':')
        return copy_colon(s);
    if (is_word(c) || (unsigned char)c >= 0x80)
        return copy_word(s);
    return copy_sign(s);
}

/* At least as many as there are queries. */
static size_t count_headers(mt_slice text)
{
    size_t n = 1;
    const char *p = text.p, *end = text.p + text.len;
    while (p < end && (p = memmem(p, (size_t)(end - p), "name:", 5)))
        p += 5, n++;
    return n < MAX_QUERIES ? n : MAX_QUERIES;
}

mt_status mti_query_parse(mti_arena *a, const char *file, mt_slice text, mti_query **out, size_t *n,
                          mti_error *e)
{
    scanner s = {.arena = a, .p = text.p, .end = text.p + text.len, .line = 1, .error = e};
    s.file = mti_arena_strndup(a, file, strlen(file));
    s.list = mti_arena_try_alloc(a, sizeof *s.list * count_headers(text));
    if (!s.list)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "%s: out of memory.", file);
    mti_buf_init(&s.out, MAX_TEXT);
    mt_status status = MT_OK;
    while (!status && s.p < s.end)
        status = part(&s, text.p);
    if (!status)
        status = finish(&s);
    mti_buf_dispose(&s.out);
    *out = status ? NULL : s.list;
    *n = status ? 0 : s.n;
    return status;
}

static int column_of(mt_slice text, const char *at)
{
    int column = 1;
    for (; at > text.p && at[-1] != '\n'; at--)
        column += ((unsigned char)at[-1] & 0xc0) != 0x80;
    return column;
}

/* The same walk as at loading, up to the part that brought the position. */
void mti_query_place(mt_slice text, const mti_query *q, int position, int *line, int *column)
{
    mti_arena arena;
    mti_error e;
    mti_arena_init(&arena, 0);
    scanner s = {.arena = &arena, .file = "", .p = text.p, .end = text.p + text.len, .line = 1, .error = &e};
    s.list = mti_arena_try_alloc(&arena, sizeof *s.list * count_headers(text));
    mti_buf_init(&s.out, MAX_TEXT);
    *line = q->line;
    *column = 1;
    size_t seen = 0;
    for (mt_status status = s.list && position > 0 ? MT_OK : MT_DONE; status == MT_OK && s.p < s.end;) {
        const char *from = s.p;
        int at = s.line;
        status = part(&s, text.p);
        if (!s.q || strcmp(s.q->name, q->name))
            continue;
        for (; seen < s.out.len; seen++)
            position -= ((unsigned char)s.out.p[seen] & 0xc0) != 0x80;
        if (position <= 0) {
            *line = at;
            *column = column_of(text, from);
            break;
        }
    }
    mti_buf_dispose(&s.out);
    mti_arena_dispose(&arena);
}
