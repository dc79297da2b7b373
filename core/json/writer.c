#include "json/writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void mti_writer_init(mti_writer *w, mti_buf *out)
{
    *w = (mti_writer){.out = out};
}

static void value_begin(mti_writer *w)
{
    if (w->comma)
        mti_buf_addc(w->out, ',');
    w->comma = true;
}

static void open_with(mti_writer *w, char c)
{
    value_begin(w);
    mti_buf_addc(w->out, c);
    w->comma = false;
}

static void close_with(mti_writer *w, char c)
{
    mti_buf_addc(w->out, c);
    w->comma = true;
}

void mti_writer_object(mti_writer *w)
{
    open_with(w, '{');
}

void mti_writer_object_end(mti_writer *w)
{
    close_with(w, '}');
}

void mti_writer_array(mti_writer *w)
{
    open_with(w, '[');
}

void mti_writer_array_end(mti_writer *w)
{
    close_with(w, ']');
}

void mti_writer_key(mti_writer *w, mt_slice key)
{
    value_begin(w);
    mti_buf_add_json(w->out, key);
    mti_buf_addc(w->out, ':');
    w->comma = false;
}

void mti_writer_string(mti_writer *w, mt_slice s)
{
    if (!s.p && s.len == 0) {
        mti_writer_null(w);
        return;
    }
    value_begin(w);
    mti_buf_add_json(w->out, s);
}

void mti_writer_int(mti_writer *w, int64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    value_begin(w);
    if (v < 0)
        mti_buf_addc(w->out, '-');
    mti_buf_add(w->out, digits + at, sizeof digits - at);
}

void mti_writer_double(mti_writer *w, double v)
{
    if (!isfinite(v)) {
        mti_writer_null(w);
        return;
    }
    char text[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    if (!strpbrk(text, ".e"))
        strcat(text, ".0"); /* stays a real when read back */
    value_begin(w);
    mti_buf_adds(w->out, text);
}

void mti_writer_bool(mti_writer *w, bool v)
{
    mti_writer_raw(w, v ? MT_SLICE("true") : MT_SLICE("false"));
}

void mti_writer_null(mti_writer *w)
{
    mti_writer_raw(w, MT_SLICE("null"));
}

void mti_writer_raw(mti_writer *w, mt_slice json)
{
    value_begin(w);
    mti_buf_add(w->out, json.p, json.len);
}

void mti_writer_key_string(mti_writer *w, const char *key, mt_slice v)
{
    mti_writer_key(w, mt_str(key));
    mti_writer_string(w, v);
}

void mti_writer_key_int(mti_writer *w, const char *key, int64_t v)
{
    mti_writer_key(w, mt_str(key));
    mti_writer_int(w, v);
}

void mti_writer_key_bool(mti_writer *w, const char *key, bool v)
{
    mti_writer_key(w, mt_str(key));
    mti_writer_bool(w, v);
}
