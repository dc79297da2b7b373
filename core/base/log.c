#include "base/log.h"

#include "base/buf.h"
#include "base/ident.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define VALUE_MAX      2048
#define LINE_MAX_BYTES 65536

/* Where the whole process logs: the one place that every thread writes to. */
static atomic_int log_fd = STDERR_FILENO;
static atomic_int log_min = MTI_LOG_INFO;
static atomic_int log_format = MTI_LOG_LOGFMT;

static const char *const LEVELS[] = {"debug", "info", "warn", "error"};

void mti_log_setup(int fd, mti_log_level min, mti_log_format format)
{
    atomic_store(&log_fd, fd);
    atomic_store(&log_min, (int)min);
    atomic_store(&log_format, (int)format);
}

bool mti_log_enabled(mti_log_level level)
{
    return (int)level >= atomic_load_explicit(&log_min, memory_order_relaxed);
}

static bool needs_quotes(mt_slice v)
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c <= 0x20 || c == '"' || c == '=' || c == '\\' || c >= 0x7F)
            return true;
    }
    return v.len == 0;
}

/* bare: a number or boolean, written without quotes in either format. */
static void add_field(mti_buf *b, bool json, mt_slice name, mt_slice value, bool bare)
{
    if (json) {
        mti_buf_addc(b, b->len ? ',' : '{');
        mti_buf_add_json(b, name);
        mti_buf_addc(b, ':');
    } else {
        if (b->len)
            mti_buf_addc(b, ' ');
        mti_buf_add(b, name.p, name.len);
        mti_buf_addc(b, '=');
    }
    if (!value.p) {
        mti_buf_adds(b, "null");
        return;
    }
    value.len = mti_utf8_cut(value, VALUE_MAX);
    if (bare || (!json && !needs_quotes(value)))
        mti_buf_add(b, value.p, value.len);
    else
        mti_buf_add_json(b, value);
}

static bool line_begin(mti_buf *b, mti_log_level level, const char *event)
{
    bool json = atomic_load(&log_format) == MTI_LOG_JSON;
    char time[28];
    mti_time_rfc3339(mti_now_us(), time);
    mti_buf_init(b, LINE_MAX_BYTES);
    add_field(b, json, MT_SLICE("time"), mt_str(time), false);
    add_field(b, json, MT_SLICE("level"), mt_str(LEVELS[level & 3]), false);
    add_field(b, json, MT_SLICE("event"), mt_str(event), false);
    return json;
}

static void line_end(mti_buf *b, bool json)
{
    mti_buf_adds(b, json ? "}\n" : "\n");
    if (b->status == MT_OK) {
        ssize_t n;
        do
            n = write(atomic_load(&log_fd), b->p, b->len);
        while (n < 0 && errno == EINTR);
    }
    mti_buf_dispose(b);
}

/* Keeps what fits: a field that would make the line too long is left out. */
static void add_field_bounded(mti_buf *b, bool json, mt_slice name, mt_slice value, bool bare)
{
    size_t before = b->len;
    add_field(b, json, name, value, bare);
    if (b->status == MT_OK && b->len < b->max - 2)
        return;
    b->status = b->status == MT_NO_MEMORY ? MT_NO_MEMORY : MT_OK;
    b->len = before;
}

void mti_log_fields(mti_log_level level, const char *event, const mt_field *fields, size_t n)
{
    if (!mti_log_enabled(level))
        return;
    mti_buf line;
    bool json = line_begin(&line, level, event);
    for (size_t i = 0; i < n; i++)
        add_field_bounded(&line, json, fields[i].name, fields[i].value, false);
    line_end(&line, json);
}

/* One "key=%…" pair of a format, cut into its parts. */
typedef struct pair {
    mt_slice name;
    char spec[64];   /* the part behind '=' */
    char conversion; /* 0: the part is literal text */
    char length;     /* 0, 'l', 'L' for ll, 'z', 'j', 't', or 'D' for long double */
    int stars;       /* width or precision given as arguments */
} pair;

static void parse_spec(pair *pr)
{
    const char *s = strchr(pr->spec, '%');
    while (s && s[1] == '%')
        s = strchr(s + 2, '%');
    if (!s)
        return;
    for (s++; *s && strchr("-+ #0123456789.*hlLzjt", *s); s++) {
        pr->stars += *s == '*';
        if (*s == 'l')
            pr->length = pr->length == 'l' ? 'L' : 'l';
        else if (*s == 'L')
            pr->length = 'D';
        else if (strchr("zjt", *s))
            pr->length = *s;
    }
    pr->conversion = *s;
}

static const char *next_pair(const char *fmt, pair *pr)
{
    *pr = (pair){0};
    fmt += strspn(fmt, " ");
    size_t len = strcspn(fmt, " ");
    if (len == 0)
        return NULL;
    const char *eq = memchr(fmt, '=', len);
    size_t name = eq ? (size_t)(eq - fmt) : 0;
    size_t from = eq ? name + 1 : 0;
    pr->name = eq ? (mt_slice){fmt, name} : MT_SLICE("text");
    snprintf(pr->spec, sizeof pr->spec, "%.*s", (int)(len - from), fmt + from);
    parse_spec(pr);
    return fmt + len;
}

/* Formats with spec and its star arguments; the format was checked where the caller wrote it. */
#define FORMAT(value)                                                                              \
    (pr->stars == 0   ? snprintf(out, size, pr->spec, (value))                                     \
     : pr->stars == 1 ? snprintf(out, size, pr->spec, star[0], (value))                            \
                      : snprintf(out, size, pr->spec, star[0], star[1], (value)))

static void format_integer(const pair *pr, const int star[2], char *out, size_t size, va_list *ap)
{
    switch (pr->length) {
    case 'l':
        FORMAT(va_arg(*ap, long));
        return;
    case 'L':
        FORMAT(va_arg(*ap, long long));
        return;
    case 'z':
        FORMAT(va_arg(*ap, size_t));
        return;
    case 'j':
        FORMAT(va_arg(*ap, intmax_t));
        return;
    case 't':
        FORMAT(va_arg(*ap, ptrdiff_t));
        return;
    default:
        FORMAT(va_arg(*ap, int));
    }
}

/* False when the value is a null string. */
static bool format_value(const pair *pr, char *out, size_t size, va_list *ap)
{
    int star[2] = {0};
    for (int i = 0; i < pr->stars && i < 2; i++)
        star[i] = va_arg(*ap, int);
    if (pr->conversion == 0) {
        snprintf(out, size, "%s", pr->spec);
    } else if (pr->conversion == 's') {
        const char *s = va_arg(*ap, const char *);
        if (!s)
            return false;
        FORMAT(s);
    } else if (pr->conversion == 'p') {
        FORMAT(va_arg(*ap, void *));
    } else if (pr->conversion == 'm') {
        snprintf(out, size, "%m");
    } else if (strchr("aAeEfFgG", pr->conversion)) {
        if (pr->length == 'D')
            FORMAT(va_arg(*ap, long double));
        else
            FORMAT(va_arg(*ap, double));
    } else {
        format_integer(pr, star, out, size, ap);
    }
    return true;
}

void mti_log(mti_log_level level, const char *event, const char *fmt, ...)
{
    if (!mti_log_enabled(level))
        return;
    int kept = errno;
    mti_buf line;
    bool json = line_begin(&line, level, event);
    errno = kept; /* for %m */
    va_list ap;
    va_start(ap, fmt);
    pair pr;
    char value[VALUE_MAX + 4]; /* mti_utf8_cut needs to see what was cut */
    while ((fmt = next_pair(fmt, &pr))) {
        bool some = format_value(&pr, value, sizeof value, &ap);
        bool number = pr.conversion && strchr("diufFeEgG", pr.conversion) &&
                      value[strspn(value, "-")] >= '0' && value[strspn(value, "-")] <= '9' &&
                      value[strspn(value, "-+0123456789.eE")] == 0;
        add_field_bounded(&line, json, pr.name, some ? mt_str(value) : (mt_slice){0}, number);
    }
    va_end(ap);
    line_end(&line, json);
    errno = kept;
}
