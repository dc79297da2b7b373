/*
 * Small helpers over the frozen part of the host (memory, log, text), and a writer of JSON texts.
 * No trees: values are appended in order into the call's arena. mt_bind() (mortise/entry.h) must
 * have run. Call's own thread throughout.
 */
#ifndef MORTISE_JSON_H
#define MORTISE_JSON_H

#include <mortise/interfaces.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

extern MT_HIDDEN const mt_host *mt_host_;

/* Zeroed memory that lives as long as the call; NULL over the call's limit. */
static inline void *mt_alloc(mt_call *c, size_t bytes)
{
    return mt_host_->alloc(c, bytes);
}

/* Copies the fields. level 0 debug, 1 info, 2 warn, 3 error. Any thread. Never pass a secret. */
static inline void mt_log(int level, const char *event, const mt_field *fields, size_t n)
{
    mt_host_->log(mt_host_->ctx, level, mt_str(event), fields, n);
}

/* A formatted text that lives as long as the call; the null slice when there is no memory. */
static inline __attribute__((format(printf, 2, 3))) mt_slice mt_printf(mt_call *c,
                                                                       const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = len < 0 ? NULL : (char *)mt_alloc(c, (size_t)len + 1);
    if (!p)
        return mt_str(NULL);
    va_start(args, fmt);
    vsnprintf(p, (size_t)len + 1, fmt, args);
    va_end(args);
    return mt_bytes(p, (size_t)len);
}

/*
 * Writes one JSON value. In objects give each value its name, in arrays and at the top pass NULL.
 * Failures stick: look at mt_write_end's answer only. Nesting is at most 63 deep.
 */
typedef struct mt_writer {
    mt_call *c;
    char *p;
    size_t len, cap;
    uint32_t depth;
    uint64_t arrays;     /* bit d: the container at depth d is an array */
    bool more;           /* the next value needs a comma */
    mt_status status;
} mt_writer;

static inline mt_writer mt_write_begin(mt_call *c)
{
    mt_writer w;
    memset(&w, 0, sizeof w);
    w.c = c;
    return w;
}

static inline void mt_write_bytes_(mt_writer *w, const char *p, size_t n)
{
    if (w->status != MT_OK)
        return;
    if (n > w->cap - w->len) {
        size_t cap = w->cap ? w->cap * 2 : 256;
        while (cap - w->len < n)
            cap *= 2;
        char *grown = (char *)mt_alloc(w->c, cap);
        if (!grown) {
            w->status = MT_TOO_LARGE;
            return;
        }
        if (w->len)
            memcpy(grown, w->p, w->len);
        w->p = grown;
        w->cap = cap;
    }
    if (n)
        memcpy(w->p + w->len, p, n);
    w->len += n;
}

static inline void mt_write_quoted_(mt_writer *w, mt_slice s)
{
    mt_write_bytes_(w, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        if (ch >= 0x20 && ch != '"' && ch != '\\')
            continue;
        mt_write_bytes_(w, s.p + from, i - from);
        from = i + 1;
        char escape[8];
        int n = ch == '\n'                ? snprintf(escape, sizeof escape, "\\n")
                : ch == '"' || ch == '\\' ? snprintf(escape, sizeof escape, "\\%c", ch)
                                          : snprintf(escape, sizeof escape, "\\u%04x", ch);
        mt_write_bytes_(w, escape, (size_t)n);
    }
    mt_write_bytes_(w, s.p + from, s.len - from);
    mt_write_bytes_(w, "\"", 1);
}

/* A JSON text as it is: the caller vouches for it. An empty one is written as null. */
static inline void mt_write_raw(mt_writer *w, const char *name, mt_slice json)
{
    if (w->more)
        mt_write_bytes_(w, ",", 1);
    if (name) {
        mt_write_quoted_(w, mt_str(name));
        mt_write_bytes_(w, ":", 1);
    }
    w->more = true;
    if (json.len == 0)
        json = MT_SLICE("null");
    mt_write_bytes_(w, json.p, json.len);
}

/* UTF-8 text; the null slice is null. */
static inline void mt_write_text(mt_writer *w, const char *name, mt_slice text)
{
    if (!text.p) {
        mt_write_raw(w, name, text);
        return;
    }
    mt_write_raw(w, name, MT_SLICE("\""));
    if (w->status != MT_OK)
        return;
    w->len--; /* the mark that raw wrote in the value's place */
    mt_write_quoted_(w, text);
}

static inline void mt_write_int(mt_writer *w, const char *name, int64_t value)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%lld", (long long)value);
    mt_write_raw(w, name, mt_bytes(text, (size_t)n));
}

/* The shortest text that reads back as the same double; NaN and infinities are null. */
static inline void mt_write_double(mt_writer *w, const char *name, double value)
{
    char text[40];
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    mt_write_raw(w, name, mt_bytes(text, isfinite(value) ? (size_t)n : 0));
}

static inline void mt_write_bool(mt_writer *w, const char *name, bool value)
{
    mt_write_raw(w, name, value ? MT_SLICE("true") : MT_SLICE("false"));
}

static inline void mt_write_open_(mt_writer *w, const char *name, bool array)
{
    if (w->depth >= 63) {
        w->status = MT_TOO_LARGE;
        return;
    }
    mt_write_raw(w, name, array ? MT_SLICE("[") : MT_SLICE("{"));
    w->depth++;
    w->arrays = (w->arrays & ~(1ULL << w->depth)) | ((uint64_t)array << w->depth);
    w->more = false;
}

static inline void mt_write_object(mt_writer *w, const char *name)
{
    mt_write_open_(w, name, false);
}

static inline void mt_write_array(mt_writer *w, const char *name)
{
    mt_write_open_(w, name, true);
}

/* Closes the innermost object or array. */
static inline void mt_write_close(mt_writer *w)
{
    if (w->depth == 0) {
        w->status = MT_INVALID;
        return;
    }
    mt_write_bytes_(w, (w->arrays >> w->depth) & 1 ? "]" : "}", 1);
    w->depth--;
    w->more = true;
}

/*
 * The text, which lives as long as the call. MT_TOO_LARGE over the call's memory or the nesting,
 * MT_INVALID for unclosed containers.
 */
static inline mt_status mt_write_end(mt_writer *w, mt_slice *json)
{
    *json = mt_bytes(w->p, w->len);
    if (w->status == MT_OK && (w->depth != 0 || w->len == 0))
        w->status = MT_INVALID;
    return w->status;
}

#ifdef __cplusplus
}
#endif
#endif
