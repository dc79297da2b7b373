/* A passage as the answer shows it. */
#include "retrieval.h"

#include <math.h>

enum { FRAGMENT = 240, BEFORE = 60 };

static void write_score(mt_writer *w, const char *name, double v)
{
    if (isnan(v))
        mt_write_raw(w, name, (mt_slice){0});
    else
        mt_write_double(w, name, v);
}

static void write_rank(mt_writer *w, const char *name, uint32_t rank)
{
    if (rank)
        mt_write_int(w, name, rank);
    else
        mt_write_raw(w, name, (mt_slice){0});
}

/* The byte where code point n begins. */
static size_t byte_of(mt_slice t, int64_t n)
{
    size_t i = 0;
    for (; i < t.len; i++)
        if (((unsigned char)t.p[i] & 0xC0) != 0x80 && n-- == 0)
            break;
    return i;
}

static int64_t mark(mt_call *c, mt_handle marks, int64_t i, int end)
{
    return (int64_t)mt_json_number(c, marks, mt_printf(c, "/%lld/%d", (long long)i, end), 0);
}

/* The first of the marks from which FRAGMENT code points hold the most. */
static int64_t densest(mt_call *c, mt_handle marks, int64_t n)
{
    int64_t best = 0, most = 0;
    for (int64_t i = 0, last = 0; i < n; i++) {
        while (last < n && mark(c, marks, last, 1) <= mark(c, marks, i, 0) + FRAGMENT - BEFORE)
            last++;
        if (last - i > most) {
            most = last - i;
            best = i;
        }
    }
    return best;
}

/* The range of the text around the marks from `first` on, moved to spaces. */
static void fragment(mt_slice t, int64_t from, size_t *start, size_t *end, int64_t *start_point)
{
    *start_point = from > BEFORE ? from - BEFORE : 0;
    *start = byte_of(t, *start_point);
    size_t stop = byte_of(t, from);
    for (size_t i = *start; *start_point > 0 && i < stop; i++)
        if (t.p[i] == ' ' || t.p[i] == '\n') {
            for (size_t k = *start; k <= i; k++)
                *start_point += ((unsigned char)t.p[k] & 0xC0) != 0x80;
            *start = i + 1;
            break;
        }
    *end = byte_of(t, *start_point + FRAGMENT);
    for (size_t i = *end; *end < t.len && i > stop; i--)
        if (t.p[i - 1] == ' ' || t.p[i - 1] == '\n') {
            *end = i - 1;
            break;
        }
}

static void write_highlight(search *s, mt_writer *w, mt_slice text)
{
    mt_call *c = s->c;
    mt_slice json;
    mt_handle marks;
    size_t start, end;
    int64_t start_point;
    if (mt_text_index_marks(c, s->query, s->o.language.len ? s->o.language : (mt_slice){0}, text, &json) != MT_OK || mt_json_parse(c, json, &marks) != MT_OK)
        return;
    int64_t n = mt_json_count(c, marks, MT_SLICE("")), first = densest(c, marks, n);
    fragment(text, n > 0 ? mark(c, marks, first, 0) : 0, &start, &end, &start_point);
    int64_t points = 0;
    for (size_t i = start; i < end; i++)
        points += ((unsigned char)text.p[i] & 0xC0) != 0x80;
    mt_write_object(w, "highlight");
    mt_write_text(w, "text", (mt_slice){text.p + start, end - start});
    mt_write_int(w, "start", start_point);
    mt_write_int(w, "end", start_point + points);
    mt_write_array(w, "marks");
    for (int64_t i = 0; i < n; i++) {
        int64_t a = mark(c, marks, i, 0) - start_point, b = mark(c, marks, i, 1) - start_point;
        if (a < 0 || b > points)
            continue;
        mt_write_array(w, NULL);
        mt_write_int(w, NULL, a);
        mt_write_int(w, NULL, b);
        mt_write_close(w);
    }
    mt_write_close(w);
    mt_write_close(w);
}

void passage_write(search *s, mt_writer *w, const candidate *x, uint32_t number)
{
    static const char *const texts[] = {"document_id", "file_name", "section", "text", "language"};
    static const char *const numbers[] = {"page", "start_char", "end_char"};
    mt_call *c = s->c;
    mt_write_object(w, NULL);
    mt_write_int(w, "number", number);
    mt_write_text(w, "chunk_id", x->id);
    mt_write_double(w, "score", x->score);
    write_score(w, "vector_score", x->vector);
    write_rank(w, "vector_rank", x->vector_rank);
    write_score(w, "text_score", x->text);
    write_rank(w, "text_rank", x->text_rank);
    write_score(w, "rerank_score", x->rerank);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        mt_write_text(w, texts[k], mt_db_value(c, s->rows, x->row, mt_str(texts[k])));
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        mt_write_raw(w, numbers[k], mt_db_value(c, s->rows, x->row, mt_str(numbers[k])));
    if (s->o.highlight)
        write_highlight(s, w, mt_db_value(c, s->rows, x->row, MT_SLICE("text")));
    mt_write_close(w);
}
