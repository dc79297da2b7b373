#include "json/json.h"

#include "json/place.h"
#include "json/writer.h"

#define DUMP_DEPTH 256

/* What is refused before a parser that recurses sees the text. */
typedef struct scan {
    size_t depth, deepest;
    const char *bad; /* a U+0000, or the bracket that is too deep */
    const char *why;
} scan;

/* From behind the opening quote to behind the closing one; the end of the text when there is none.
 */
static const char *scan_string(const char *p, const char *end, scan *s)
{
    for (; p < end && *p != '"'; p++) {
        if (*p == 0) {
            *s = (scan){.bad = p, .why = "the character U+0000 is not allowed"};
            return end;
        }
        if (*p != '\\')
            continue;
        if (end - p >= 6 && memcmp(p, "\\u0000", 6) == 0) {
            *s = (scan){.bad = p, .why = "the character U+0000 is not allowed"};
            return end;
        }
        if (p + 1 < end)
            p++;
    }
    return p < end ? p + 1 : end;
}

static void scan_text(mt_slice text, size_t max_depth, scan *s)
{
    *s = (scan){0};
    if (text.len == 0)
        return;
    const char *end = text.p + text.len;
    for (const char *p = text.p; p < end && !s->bad;) {
        char c = *p++;
        if (c == '"')
            p = scan_string(p, end, s);
        else if ((c == '[' || c == '{') && ++s->depth > max_depth)
            *s = (scan){.bad = p - 1, .why = "nested too deeply"};
        else if ((c == ']' || c == '}') && s->depth > 0)
            s->depth--;
        else if (c == 0)
            *s = (scan){.bad = p - 1, .why = "the character U+0000 is not allowed"};
    }
}

/* name NULL: the text is no file's. */
static mt_status parse_fail(const char *name, mti_error *e, mti_place at, const char *why)
{
    if (name)
        return mti_fail(e, MT_INVALID, "json_invalid", "%s:%d:%d: %s", name, at.line, at.column, why);
    mti_fail(e, MT_INVALID, "json_invalid", "line %d, column %d: %s", at.line, at.column, why);
    if (e)
        e->http = 400;
    return MT_INVALID;
}

static mti_place place_of_bad(mt_slice text, const scan *s)
{
    mti_place at = {1, 1};
    for (const char *p = text.p; p < s->bad; p++)
        at = *p == '\n' ? (mti_place){at.line + 1, 1} : (mti_place){at.line, at.column + 1};
    return at;
}

static mt_status parse(const char *name, mt_slice text, size_t max_depth, json_t **out, mti_error *e)
{
    *out = NULL;
    scan s;
    scan_text(text, max_depth ? max_depth : MTI_JSON_DEPTH, &s);
    if (s.bad)
        return parse_fail(name, e, place_of_bad(text, &s), s.why);
    json_error_t je;
    *out =
        json_loadb(text.len ? text.p : "", text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (*out)
        return MT_OK;
    if (json_error_code(&je) == json_error_out_of_memory)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while reading JSON");
    char *quote = strstr(je.text, " near '");       /* what stands there may be a secret; the place says enough */
    if (quote)
        *quote = 0;
    return parse_fail(name, e, (mti_place){je.line < 1 ? 1 : je.line, je.column < 1 ? 1 : je.column}, je.text);
}

mt_status mti_json_parse(mt_slice text, size_t max_depth, json_t **out, mti_error *e)
{
    return parse(NULL, text, max_depth, out, e);
}

mt_status mti_json_parse_file(const char *name, mt_slice text, json_t **out, mti_error *e)
{
    return parse(name, text, 0, out, e);
}

static bool dump_value(mti_writer *w, const json_t *v, int depth);

static bool dump_members(mti_writer *w, const json_t *v, int depth)
{
    const char *key;
    size_t len;
    json_t *item;
    bool ok = true;
    mti_writer_object(w);
    json_object_keylen_foreach((json_t *)v, key, len, item)
    {
        mti_writer_key(w, (mt_slice){key, len});
        ok = ok && dump_value(w, item, depth + 1);
    }
    mti_writer_object_end(w);
    return ok;
}

static bool dump_value(mti_writer *w, const json_t *v, int depth)
{
    if (depth > DUMP_DEPTH)
        return false;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return dump_members(w, v, depth);
    case JSON_ARRAY: {
        bool ok = true;
        mti_writer_array(w);
        for (size_t i = 0; ok && i < json_array_size(v); i++)
            ok = dump_value(w, json_array_get(v, i), depth + 1);
        mti_writer_array_end(w);
        return ok;
    }
    case JSON_STRING:
        mti_writer_string(w, mti_json_text(v));
        break;
    case JSON_INTEGER:
        mti_writer_int(w, json_integer_value(v));
        break;
    case JSON_REAL:
        mti_writer_double(w, json_real_value(v));
        break;
    case JSON_NULL:
        mti_writer_null(w);
        break;
    default:
        mti_writer_bool(w, json_is_true(v));
    }
    return true;
}

mt_status mti_json_dump(const json_t *value, mti_buf *b)
{
    mti_writer w;
    mti_writer_init(&w, b);
    bool ok = dump_value(&w, value, 0);
    if (!ok && b->status == MT_OK)
        b->status = MT_TOO_LARGE;
    return b->status;
}

mt_slice mti_json_get_string(const json_t *object, const char *key, mt_slice fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? mti_json_text(v) : fallback;
}

int64_t mti_json_get_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? json_integer_value(v) : fallback;
}

double mti_json_get_double(const json_t *object, const char *key, double fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

bool mti_json_get_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

mt_slice mti_json_text(const json_t *value)
{
    return (mt_slice){json_string_value(value), json_string_length(value)};
}
