/*
 * PostgreSQL's text output to JSON. The session's settings fix the forms read here: DateStyle ISO,
 * TimeZone UTC, bytea hex, extra_float_digits 1 (shortest exact). Arrays come as {a,"b c",NULL};
 * only one dimension has a rule.
 */
#include "db/json_rows.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "db/oid.h"

const char *mti_rows_json_type(unsigned oid)
{
    if (mti_oid_element(oid))
        return "array";
    switch (oid) {
    case OID_BOOL:
        return "boolean";
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
        return "integer";
    case OID_FLOAT4:
    case OID_FLOAT8:
        return "number";
    case OID_NUMERIC:
    case OID_TEXT:
    case OID_VARCHAR:
    case OID_BPCHAR:
    case OID_NAME:
    case OID_CHAR:
    case OID_UUID:
    case OID_TIMESTAMPTZ:
    case OID_DATE:
    case OID_BYTEA:
        return "string";
    case OID_JSON:
    case OID_JSONB:
        return "json";
    default:
        return NULL;
    }
}

static mt_status add_quoted(mti_buf *b, mt_slice v)
{
    mti_buf_addc(b, '"');
    mti_buf_add(b, v.p, v.len);
    return mti_buf_addc(b, '"');
}

/* A number within ±2^53 stays one, so that every JSON reader keeps it exactly; others become
 * strings. */
static mt_status add_int8(mti_buf *b, mt_slice v)
{
    long long n = atoll(v.p);
    if (n > -(1LL << 53) && n < 1LL << 53)
        return mti_buf_add(b, v.p, v.len);
    return add_quoted(b, v);
}

static mt_status add_float(mti_buf *b, mt_slice v)
{
    char last = v.len ? v.p[v.len - 1] : 'N';
    return last == 'N' || last == 'y' ? mti_buf_adds(b, "null")
                                      : mti_buf_add(b, v.p, v.len); /* NaN, Infinity */
}

/* "2026-01-02 03:04:05.1+00" → "2026-01-02T03:04:05.100000Z". infinity and years before Christ
 * become null. */
static mt_status add_time(mti_buf *b, mt_slice v)
{
    const char *zone = v.len > 19 ? memchr(v.p + 19, '+', v.len - 19) : NULL;
    if (!zone || zone + 3 != v.p + v.len || v.p[10] != ' ')
        return mti_buf_adds(b, "null");
    char out[] = "\"0000-00-00T00:00:00.000000Z\"";
    memcpy(out + 1, v.p, (size_t)(zone - v.p) < 26 ? (size_t)(zone - v.p) : 26);
    out[11] = 'T';
    return mti_buf_add(b, out, sizeof out - 1);
}

static mt_status add_date(mti_buf *b, mt_slice v)
{
    return v.len == 10 && isdigit((unsigned char)v.p[0]) ? add_quoted(b, v)
                                                         : mti_buf_adds(b, "null");
}

static int nibble(char c)
{
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

static mt_status add_bytes(mti_buf *b, mt_slice v) /* "\x0aff" to base64 */
{
    mti_buf_addc(b, '"');
    for (size_t i = 2; i + 1 < v.len; i += 6) {
        unsigned char raw[3], out[5];
        int n = 0;
        for (size_t j = i; j + 1 < v.len && n < 3; j += 2)
            raw[n++] = (unsigned char)(nibble(v.p[j]) << 4 | nibble(v.p[j + 1]));
        mti_buf_add(b, out, (size_t)EVP_EncodeBlock(out, raw, n));
    }
    return mti_buf_addc(b, '"');
}

static mt_status add_scalar(mti_buf *b, unsigned type, mt_slice v)
{
    switch (type) {
    case OID_BOOL:
        return mti_buf_adds(b, v.p[0] == 't' ? "true" : "false");
    case OID_INT2:
    case OID_INT4:
    case OID_OID:
    case OID_JSON:
    case OID_JSONB:
        return mti_buf_add(b, v.p, v.len);
    case OID_INT8:
        return add_int8(b, v);
    case OID_FLOAT4:
    case OID_FLOAT8:
        return add_float(b, v);
    case OID_TIMESTAMPTZ:
        return add_time(b, v);
    case OID_DATE:
        return add_date(b, v);
    case OID_BYTEA:
        return add_bytes(b, v);
    case OID_UUID:
    case OID_NUMERIC:
        return add_quoted(b, v);
    default:
        return mti_buf_add_json(b, v);
    }
}

/* One element of an array's text at *p into item, unescaped; *p moves behind it. Quoted tells
 * "NULL" from NULL. */
static void read_element(const char **p, const char *end, mti_buf *item, bool *quoted)
{
    mti_buf_clear(item);
    *quoted = *p < end && **p == '"';
    if (*quoted)
        ++*p;
    while (*p < end && (*quoted ? **p != '"' : **p != ',')) {
        if (**p == '\\' && *p + 1 < end)
            ++*p;
        mti_buf_addc(item, *(*p)++);
    }
    if (*quoted && *p < end)
        ++*p;
}

static mt_status add_array(mti_buf *b, unsigned element, mt_slice v)
{
    if (v.len < 2 || v.p[0] != '{' ||
        (v.p[1] == '{' && element != OID_JSON && element != OID_JSONB))
        return mti_buf_adds(b, "null"); /* custom bounds or more dimensions: no rule */
    const char *p = v.p + 1, *end = v.p + v.len - 1;
    mti_buf item;
    mti_buf_init(&item, v.len + 1);
    mti_buf_addc(b, '[');
    while (p < end) {
        bool quoted;
        read_element(&p, end, &item, &quoted);
        mt_slice text = item.len ? mti_buf_slice(&item) : (mt_slice){"", 0};
        if (!quoted && mt_slice_eq(text, MT_SLICE("NULL")))
            mti_buf_adds(b, "null");
        else
            add_scalar(b, element, text);
        if (p < end && *p == ',')
            mti_buf_addc(b, ','), p++;
    }
    mti_buf_dispose(&item);
    return mti_buf_addc(b, ']');
}

mt_status mti_rows_write_value(mti_buf *b, const mti_result *r, unsigned row, unsigned column)
{
    mt_slice v = mti_result_get(r, row, column);
    if (!v.p)
        return mti_buf_adds(b, "null");
    unsigned type = mti_result_type(r, column), element = mti_oid_element(type);
    return element ? add_array(b, element, v) : add_scalar(b, type, v);
}

mt_status mti_rows_write_object(mti_buf *b, const mti_result *r, unsigned row, mt_slice *etag)
{
    if (etag)
        *etag = (mt_slice){NULL, 0};
    char separator = '{';
    for (unsigned i = 0, n = mti_result_columns(r); i < n; i++) {
        const char *name = mti_result_name(r, i);
        if (name[0] == '_') {
            if (etag && !strcmp(name, "_etag"))
                *etag = mti_result_get(r, row, i);
            continue;
        }
        mti_buf_addc(b, separator);
        mti_buf_add_json(b, mt_str(name));
        mti_buf_addc(b, ':');
        mti_rows_write_value(b, r, row, i);
        separator = ',';
    }
    return mti_buf_adds(b, separator == '{' ? "{}" : "}");
}
