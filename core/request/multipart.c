#include "request/multipart.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static mt_status broken(mti_error *e, const char *why)
{
    mti_fail(e, MT_INVALID, "multipart_invalid", "The multipart body cannot be read: %s.", why);
    if (e)
        e->http = 400;
    return MT_INVALID;
}

static mt_slice trim(mt_slice s)
{
    while (s.len && isspace((unsigned char)s.p[0]))
        s = (mt_slice){s.p + 1, s.len - 1};
    while (s.len && isspace((unsigned char)s.p[s.len - 1]))
        s.len--;
    return s;
}

/* The value of name=… among ;-separated parameters, quotes removed; {NULL,0} when absent. Escapes in quotes are kept as sent. */
static mt_slice parameter(mt_slice s, const char *name)
{
    size_t n = strlen(name);
    const char *p = s.p, *end = s.p + s.len;
    while (p < end) {
        while (p < end && (*p == ';' || isspace((unsigned char)*p)))
            p++;
        const char *start = p;
        while (p < end && *p != '=' && *p != ';')
            p++;
        bool match = (size_t)(p - start) == n && !strncasecmp(start, name, n);
        if (p == end || *p == ';')
            continue;
        const char *value = ++p;
        bool quoted = p < end && *p == '"';
        if (quoted) {
            value = ++p;
            while (p < end && *p != '"')
                p += *p == '\\' && p + 1 < end ? 2 : 1;
            if (p > end)
                p = end;
        } else {
            while (p < end && *p != ';')
                p++;
        }
        mt_slice found = {value, (size_t)(p - value)};
        if (match)
            return quoted ? found : trim(found);
        while (p < end && *p != ';')
            p++;
    }
    return (mt_slice){0};
}

/* The value of a header line of a part's head, {NULL,0} when absent. */
static mt_slice header(mt_slice head, const char *name)
{
    size_t n = strlen(name);
    const char *p = head.p, *end = head.p + head.len;
    while (p < end) {
        const char *stop = memmem(p, (size_t)(end - p), "\r\n", 2);
        if (!stop)
            stop = end;
        if ((size_t)(stop - p) > n && p[n] == ':' && !strncasecmp(p, name, n))
            return trim((mt_slice){p + n + 1, (size_t)(stop - p) - n - 1});
        p = stop + (stop < end ? 2 : 0);
    }
    return (mt_slice){0};
}

static bool is_form_data(mt_slice disposition)
{
    return disposition.len >= 9 && !strncasecmp(disposition.p, "form-data", 9) &&
           (disposition.len == 9 || disposition.p[9] == ';' || isspace((unsigned char)disposition.p[9]));
}

static mt_status read_part(mt_slice head, mt_slice data, mti_multipart *out, mti_error *e)
{
    mt_slice disposition = header(head, "content-disposition");
    if (!is_form_data(disposition))
        return broken(e, "a part has no Content-Disposition: form-data");
    if (out->n == MTI_MAX_PARTS)
        return mti_fail(e, MT_TOO_LARGE, "too_many_parts", "A request may have %d parts at most: send the rest in another.", MTI_MAX_PARTS);
    mt_slice rest = {disposition.p + 9, disposition.len - 9};
    mti_part *part = &out->parts[out->n++];
    *part = (mti_part){.field = parameter(rest, "name"), .file_name = parameter(rest, "filename"), .type = header(head, "content-type"), .data = data};
    return part->field.p ? MT_OK : broken(e, "a part has no name");
}

mt_status mti_multipart_parse(mt_slice content_type, mt_slice body, mti_multipart *out, mti_error *e)
{
    char mark[80];
    out->n = 0;
    mt_slice boundary = parameter(content_type, "boundary");
    if (!boundary.len || boundary.len > 70)
        return broken(e, "the Content-Type names no boundary of 1 to 70 characters");
    memcpy(mark, "\r\n--", 4);
    memcpy(mark + 4, boundary.p, boundary.len);
    size_t mark_len = boundary.len + 4;
    const char *p = body.p, *end = body.p + body.len;
    if (body.len < mark_len - 2 || memcmp(p, mark + 2, mark_len - 2))
        return broken(e, "it does not begin with its boundary");
    p += mark_len - 2;
    for (;;) {
        if (end - p >= 2 && p[0] == '-' && p[1] == '-')
            return MT_OK;
        if (end - p < 2 || p[0] != '\r' || p[1] != '\n')
            return broken(e, "a boundary is not followed by a line end");
        p += 2;
        const char *head_end = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);
        if (!head_end || head_end - p > 8192)
            return broken(e, "the head of a part does not end");
        const char *data = head_end + 4, *stop = memmem(data, (size_t)(end - data), mark, mark_len);
        if (!stop)
            return broken(e, "the last boundary is missing: the body was cut off");
        MT_TRY(read_part((mt_slice){p, (size_t)(head_end - p)}, (mt_slice){data, (size_t)(stop - data)}, out, e));
        p = stop + mark_len;
    }
}
