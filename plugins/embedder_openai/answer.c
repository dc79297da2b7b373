#include "answer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 32 };

/* A place in the text. `bad` sticks: the text is no JSON, or not of this shape. */
typedef struct reader {
    const char *p, *end;
    bool bad;
} reader;

static void skip_space(reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static bool take(reader *r, char c)
{
    skip_space(r);
    if (r->bad || r->p >= r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

static bool need(reader *r, char c)
{
    r->bad |= !take(r, c);
    return !r->bad;
}

/* The bytes between the quotes, escapes as they are. */
static mt_slice read_string(reader *r)
{
    if (!need(r, '"'))
        return (mt_slice){0};
    const char *start = r->p;
    while (r->p < r->end && *r->p != '"')
        r->p += *r->p == '\\' && r->p + 1 < r->end ? 2 : 1;
    mt_slice s = {start, (size_t)(r->p - start)};
    need(r, '"');
    return s;
}

/* Steps to the next element of the array, or member of the object, whose opening has been read; false at its end, which is read too. */
static bool more(reader *r, bool *first, char close)
{
    if (r->bad || take(r, close))
        return false;
    if (!*first)
        need(r, ',');
    *first = false;
    return !r->bad;
}

static mt_slice read_key(reader *r)
{
    mt_slice key = read_string(r);
    need(r, ':');
    return key;
}

static double read_number(reader *r)
{
    char text[48], *stop;
    size_t n = 0;
    skip_space(r);
    while (r->p < r->end && n < sizeof text - 1 && (strchr("+-.eE", *r->p) || (*r->p >= '0' && *r->p <= '9')) && *r->p)
        text[n++] = *r->p++;
    text[n] = 0;
    double v = strtod(text, &stop);
    r->bad |= n == 0 || *stop;
    return v;
}

static void skip_value(reader *r, int depth)
{
    bool first = true;
    skip_space(r);
    if (r->bad || r->p >= r->end || depth > DEPTH_MAX)
        r->bad = true;
    else if (*r->p == '"')
        read_string(r);
    else if (take(r, '['))
        while (more(r, &first, ']'))
            skip_value(r, depth + 1);
    else if (take(r, '{'))
        while (more(r, &first, '}')) {
            read_key(r);
            skip_value(r, depth + 1);
        }
    else if (*r->p >= 'a' && *r->p <= 'z')
        while (r->p < r->end && *r->p >= 'a' && *r->p <= 'z')
            r->p++;
    else
        read_number(r);
}

typedef struct answer {
    reader r;
    size_t n, dim, place;        /* place: of the entry that is read */
    float *out;
    int64_t tokens;
    char *reason;
} answer;

static mt_status refuse(answer *a, const char *why)
{
    snprintf(a->reason, ANSWER_REASON, "vector %zu %s", a->place, why);
    return MT_INVALID;
}

static mt_status normalize(answer *a, float *v)
{
    double sum = 0;
    for (size_t i = 0; i < a->dim; i++)
        sum += (double)v[i] * v[i];
    if (!(sum > 0) || !isfinite(sum))
        return refuse(a, "is all zeros");
    for (size_t i = 0; i < a->dim; i++)
        v[i] = (float)(v[i] / sqrt(sum));
    return MT_OK;
}

static mt_status read_vector(answer *a, reader r, float *v)
{
    bool first = true;
    size_t i = 0;
    if (!isnan(v[0]))
        return refuse(a, "has an index that another has too");
    if (!need(&r, '['))
        return refuse(a, "is no array of numbers");
    while (more(&r, &first, ']')) {
        float x = (float)read_number(&r);
        if (r.bad || !isfinite(x))
            return refuse(a, "holds what is no finite number");
        if (i == a->dim)
            return refuse(a, "has more dimensions than the model is said to have");
        v[i++] = x;
    }
    if (r.bad || i != a->dim)
        return refuse(a, "has fewer dimensions than the model is said to have");
    return normalize(a, v);
}

static mt_status read_entry(answer *a)
{
    bool first = true;
    double index = (double)a->place;
    reader vector = {.bad = true};
    need(&a->r, '{');
    while (more(&a->r, &first, '}')) {
        mt_slice key = read_key(&a->r);
        if (mt_slice_eq(key, MT_SLICE("index"))) {
            index = read_number(&a->r);
            continue;
        }
        if (mt_slice_eq(key, MT_SLICE("embedding")))
            vector = a->r;
        skip_value(&a->r, 0);
    }
    if (a->r.bad || vector.bad)
        return refuse(a, "is missing");
    if (!(index >= 0 && index < (double)a->n))
        return refuse(a, "has an index that was not asked for");
    return read_vector(a, vector, a->out + (size_t)index * a->dim);
}

static mt_status read_data(answer *a)
{
    bool first = true;
    need(&a->r, '[');
    for (; more(&a->r, &first, ']'); a->place++) {
        if (a->place == a->n)
            return refuse(a, "is one more than was asked for");
        MT_TRY(read_entry(a));
    }
    return MT_OK;
}

static void read_usage(answer *a)
{
    bool first = true;
    if (!take(&a->r, '{')) {
        skip_value(&a->r, 0);
        return;
    }
    while (more(&a->r, &first, '}')) {
        mt_slice key = read_key(&a->r);
        double v = -1;
        skip_space(&a->r);
        if (a->r.p < a->r.end && *a->r.p >= '0' && *a->r.p <= '9')
            v = read_number(&a->r);
        else
            skip_value(&a->r, 0);
        if (mt_slice_eq(key, MT_SLICE("total_tokens")) && v >= 0 && v < 1e15)
            a->tokens = (int64_t)v;
    }
}

mt_status answer_read(mt_slice json, size_t n, size_t dim, float *out, int64_t *tokens, char reason[ANSWER_REASON])
{
    answer a = {.r = {json.p, json.p + json.len, false}, .n = n, .dim = dim, .out = out, .tokens = -1, .reason = reason};
    bool first = true;
    for (size_t i = 0; i < n; i++)
        out[i * dim] = NAN;                     /* a row that is not there yet */
    need(&a.r, '{');
    while (more(&a.r, &first, '}')) {
        mt_slice key = read_key(&a.r);
        if (mt_slice_eq(key, MT_SLICE("data")))
            MT_TRY(read_data(&a));
        else if (mt_slice_eq(key, MT_SLICE("usage")))
            read_usage(&a);
        else
            skip_value(&a.r, 0);
    }
    skip_space(&a.r);
    *tokens = a.tokens;
    if (!a.r.bad && a.r.p == a.r.end && a.place == n)
        return MT_OK;
    if (a.r.bad || a.r.p != a.r.end)
        snprintf(reason, ANSWER_REASON, "it is no JSON of that shape");
    else
        snprintf(reason, ANSWER_REASON, "%zu vectors came for %zu texts", a.place, n);
    return MT_INVALID;
}
