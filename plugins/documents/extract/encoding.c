/* Encoding detection; conversions are the C library's iconv. */
#include "encoding.h"

#include <iconv.h>
#include <stdlib.h>
#include <strings.h>

#include "text/utf8.h"

static const char *const charsets[] = {
    "windows-1250", "windows-1251", "windows-1252", "iso-8859-1", "iso-8859-2", "iso-8859-5", "iso-8859-15", "iso-8859-16",
    "koi8-r", "UTF-16LE", "UTF-16BE",
};
#define NAMED 9 /* of these may be asked for by name; UTF-16 is told by its mark only */
static iconv_t opened[sizeof charsets / sizeof *charsets]; /* by doc_decode_prepare; 0: not */

static iconv_t open_charset(const char *name)
{
    for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++)
        if (opened[i] && strcasecmp(name, charsets[i]) == 0)
            return opened[i];
    return iconv_open("UTF-8", name);
}

static void close_charset(iconv_t cd)
{
    for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++)
        if (opened[i] == cd)
            return;
    iconv_close(cd);
}

void doc_decode_prepare(const char *p, size_t n)
{
    if (mt_utf8_valid(p, n, NULL))
        return;
    for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++) {
        iconv_t cd = opened[i] ? (iconv_t)-1 : iconv_open("UTF-8", charsets[i]);
        if (cd != (iconv_t)-1)
            opened[i] = cd;
    }
}

static const char *known_charset(const char *name)
{
    for (size_t i = 0; name && i < NAMED; i++)
        if (strcasecmp(name, charsets[i]) == 0)
            return charsets[i];
    return "windows-1252";
}

/* Converts all of p[0..n); NULL when a byte has no meaning there (*bad is its offset) or memory is out (*bad is n). */
static char *convert(const char *charset, const char *p, size_t n, size_t *out_len, size_t *bad)
{
    iconv_t cd = open_charset(charset);
    size_t room = n * 3 + 4, left = n;
    char *out = malloc(room), *to = out, *from = (char *)(uintptr_t)p;
    *bad = n;
    if (cd == (iconv_t)-1 || !out)
        goto fail;
    if (iconv(cd, &from, &left, &to, &room) == (size_t)-1) {
        *bad = n - left;
        goto fail;
    }
    close_charset(cd);
    *out_len = (size_t)(to - out);
    return out;
fail:
    if (cd != (iconv_t)-1)
        close_charset(cd);
    free(out);
    return NULL;
}

/* Line ends become "\n" in place; answers the new length. */
static size_t unify_lines(char *p, size_t n)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\r') {
            p[to++] = '\n';
            i += i + 1 < n && p[i + 1] == '\n';
        } else {
            p[to++] = p[i];
        }
    }
    return to;
}

/* Binary files are told by a NUL or by many control characters; a few (form feeds, escapes) are found in real texts. */
static bool looks_binary(const char *p, size_t n)
{
    size_t control = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == 0)
            return true;
        control += c < 0x20 && c != '\n' && c != '\t' && c != '\r' && c != '\f';
    }
    return control > 8 && control > n / 100;
}

static const char *charset_of(const char *p, size_t *n, const char **from, const char *charset)
{
    *from = p;
    if (*n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) {
        *from = p + 3;
        *n -= 3;
        return NULL;
    }
    if (*n >= 2 && (memcmp(p, "\xFF\xFE", 2) == 0 || memcmp(p, "\xFE\xFF", 2) == 0)) {
        *from = p + 2;
        *n -= 2;
        return *p == '\xFF' ? "UTF-16LE" : "UTF-16BE";
    }
    return mt_utf8_valid(p, *n, NULL) ? NULL : known_charset(charset);
}

mt_status doc_decode(const char *p, size_t n, const char *charset, char **out, size_t *out_len, char reason[DOC_REASON])
{
    size_t bad = 0;
    const char *from;
    *out = NULL;
    const char *source = charset_of(p, &n, &from, charset);
    if (!source && !mt_utf8_valid(from, n, &bad))
        return doc_fail(reason, MT_INVALID, "The file says it is UTF-8 but byte %zu is not.", bad + 3);
    if (source) {
        *out = convert(source, from, n, out_len, &bad);
        if (!*out && bad < n)
            return doc_fail(reason, MT_INVALID, "The file is neither UTF-8 nor %s: byte %zu means nothing.", source, bad);
    } else if ((*out = malloc(n + 1))) {
        memcpy(*out, from, n);
        *out_len = n;
    }
    if (!*out)
        return doc_fail(reason, MT_NO_MEMORY, "Out of memory.");
    if (looks_binary(*out, *out_len)) {
        free(*out);
        *out = NULL;
        return doc_fail(reason, MT_INVALID, "The file holds binary data, not text.");
    }
    *out_len = unify_lines(*out, *out_len);
    (*out)[*out_len] = 0; /* convert leaves room for it */
    return MT_OK;
}
