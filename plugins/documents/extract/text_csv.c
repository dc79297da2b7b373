/* CSV through libcsv: each record becomes lines of "column: value" under a blank line, so that any few of them are understood alone. */
#include "readers.h"

#include <csv.h>
#include <stdio.h>
#include <stdlib.h>

#include "encoding.h"
#include "extract_limits.h"
#include "text/utf8.h"

#define SAMPLE_BYTES 65536

typedef struct table {
    doc_builder b;
    char **names;       /* the header row */
    size_t n_names, cap_names, column;
    bool named, empty;  /* the header row is over; nothing of this record is written yet */
    const char *why;
} table;

/* The delimiter that stands most often outside quotes in the first non-empty line. */
static unsigned char delimiter_of(const char *p, size_t n)
{
    static const char candidates[] = ",;\t|";
    size_t seen[sizeof candidates] = {0}, best = 0;
    bool quoted = false, any = false;
    for (size_t i = 0; i < n && i < SAMPLE_BYTES; i++) {
        const char *at = p[i] ? strchr(candidates, p[i]) : NULL;
        if (p[i] == '"')
            quoted = !quoted;
        else if (p[i] == '\n' && !quoted && any)
            break;
        else if (at && !quoted)
            seen[at - candidates]++;
        any |= p[i] != '\n';
    }
    for (size_t i = 1; i < sizeof candidates - 1; i++)
        if (seen[i] > seen[best])
            best = i;
    return (unsigned char)candidates[best];
}

static void stop(table *t, mt_status status, const char *why)
{
    t->b.status = status;
    t->why = why;
}

static void add_name(table *t, const char *p, size_t n)
{
    if (t->n_names == t->cap_names) {
        size_t cap = t->cap_names ? t->cap_names * 2 : 32;
        char **grown = realloc(t->names, cap * sizeof *grown);
        if (!grown) {
            stop(t, MT_NO_MEMORY, NULL);
            return;
        }
        t->names = grown;
        t->cap_names = cap;
    }
    size_t len = n < 120 ? n : mt_utf8_floor(p, 120); /* a name is repeated in every record */
    t->names[t->n_names] = strndup(p ? p : "", len);
    if (t->names[t->n_names])
        t->n_names++;
    else
        stop(t, MT_NO_MEMORY, NULL);
}

static void add_value(table *t, const char *p, size_t n)
{
    char number[32];
    const char *name = t->column < t->n_names ? t->names[t->column] : "";
    bool blank = true;
    for (size_t i = 0; i < n && blank; i++)
        blank = p[i] == ' ' || (p[i] >= '\t' && p[i] <= '\r');
    if (blank)
        return;
    doc_builder_gap(&t->b, t->empty ? DOC_GAP_BLANK : DOC_GAP_LINE);
    t->empty = false;
    if (!*name) {
        snprintf(number, sizeof number, "column %zu", t->column + 1);
        name = number;
    }
    doc_builder_flow(&t->b, name, strlen(name));
    doc_builder_flow(&t->b, ": ", 2);
    doc_builder_flow(&t->b, p, n);
}

static void on_field(void *p, size_t n, void *user)
{
    table *t = user;
    if (t->b.status != MT_OK)
        return;
    if (t->column == EXTRACT_CSV_COLUMNS)
        stop(t, MT_TOO_LARGE, "A row of the table has too many columns: at most 4096 are read.");
    else if (t->named)
        add_value(t, p, n);
    else
        add_name(t, p, n);
    t->column++;
}

/* A first row with a number in it, or with a single cell of nothing, names no columns: it is a record as well. */
static bool is_header(const table *t)
{
    size_t filled = 0;
    for (size_t i = 0; i < t->n_names; i++) {
        char *end;
        strtod(t->names[i], &end);
        if (t->names[i][0] && !*end)
            return false;
        filled += t->names[i][0] != 0;
    }
    return filled > 0;
}

static void first_row_as_record(table *t)
{
    char **row = t->names;
    size_t n = t->n_names;
    t->names = NULL;
    t->n_names = t->cap_names = 0;
    for (t->column = 0; t->column < n; t->column++) {
        add_value(t, row[t->column], strlen(row[t->column]));
        free(row[t->column]);
    }
    free(row);
}

static void on_record(int end, void *user)
{
    table *t = user;
    if (!t->named && t->b.status == MT_OK) {
        t->named = true;
        if (!is_header(t))
            first_row_as_record(t);
    }
    t->column = 0;
    t->empty = true;
}

static mt_status parse(table *t, const char *text, size_t len)
{
    struct csv_parser csv;
    if (csv_init(&csv, CSV_APPEND_NULL) != 0)
        return MT_NO_MEMORY;
    csv_set_delim(&csv, delimiter_of(text, len));
    for (size_t at = 0; at < len && t->b.status == MT_OK;) {
        size_t piece = len - at < SAMPLE_BYTES ? len - at : SAMPLE_BYTES;
        if (csv_parse(&csv, text + at, piece, on_field, on_record, t) != piece)
            stop(t, csv_error(&csv) == CSV_ENOMEM ? MT_NO_MEMORY : MT_INVALID, "The file is not a table of comma-separated values.");
        at += piece;
    }
    if (t->b.status == MT_OK)
        csv_fini(&csv, on_field, on_record, t);
    csv_free(&csv);
    return t->b.status;
}

mt_status doc_text_from_csv(doc_text *out, const char *p, size_t n, char reason[DOC_REASON])
{
    char *text;
    size_t len;
    table t = {.empty = true};
    *out = (doc_text){0};
    if (n > EXTRACT_FILE_MAX)
        return doc_fail(reason, MT_TOO_LARGE, "The file is longer than %u MiB.", EXTRACT_FILE_MAX >> 20);
    MT_TRY(doc_decode(p, n, NULL, &text, &len, reason));
    doc_builder_init(&t.b);
    mt_status s = parse(&t, text, len);
    free(text);
    for (size_t i = 0; i < t.n_names; i++)
        free(t.names[i]);
    free(t.names);
    if (s == MT_OK || !t.why)
        return doc_builder_take(&t.b, out, reason);
    doc_builder_dispose(&t.b);
    return doc_fail(reason, s, "%s", t.why);
}
