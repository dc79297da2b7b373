/* Semantic versioning 2.0.0, precedence without build metadata; ranges as npm writes the simple ones. */
#include "plugin/manifest.h"

#include <stdlib.h>

typedef struct version {
    long n[3];
    int parts;                   /* how many numbers were given */
    mt_slice pre;                /* after '-', up to '+'; empty for a release */
} version;

static bool parse_numbers(const char **s, version *v)
{
    for (;;) {
        char *end;
        if (v->parts == 3 || **s < '0' || **s > '9')
            return false;
        v->n[v->parts++] = strtol(*s, &end, 10);
        *s = end;
        if (**s != '.')
            return true;
        ++*s;
    }
}

static bool parse(const char *s, version *v)
{
    *v = (version){.parts = 0};
    if (!parse_numbers(&s, v))
        return false;
    if (*s == '-') {
        v->pre = (mt_slice){s + 1, strcspn(s + 1, "+")};
        s += 1 + v->pre.len;
        if (!v->pre.len)
            return false;
    }
    return *s == 0 || *s == '+';
}

static mt_slice next_identifier(mt_slice *pre)
{
    const char *dot = pre->len ? memchr(pre->p, '.', pre->len) : NULL;
    mt_slice id = {pre->p, dot ? (size_t)(dot - pre->p) : pre->len};
    size_t skip = id.len + (dot != NULL);
    *pre = (mt_slice){pre->p + skip, pre->len - skip};
    return id;
}

static bool is_number(mt_slice id)
{
    for (size_t i = 0; i < id.len; i++)
        if (id.p[i] < '0' || id.p[i] > '9')
            return false;
    return id.len > 0;
}

static int sign(long n)
{
    return (n > 0) - (n < 0);
}

/* Numbers by value and below words, words by their bytes. */
static int compare_identifiers(mt_slice a, mt_slice b)
{
    bool number = is_number(a);
    if (number != is_number(b))
        return number ? -1 : 1;
    for (; number && a.len && *a.p == '0'; a.len--)
        a.p++;
    for (; number && b.len && *b.p == '0'; b.len--)
        b.p++;
    if (number && a.len != b.len)
        return a.len < b.len ? -1 : 1;
    int c = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);
    return c ? sign(c) : sign((long)a.len - (long)b.len);
}

static int compare_pre(mt_slice a, mt_slice b)
{
    if (!a.len || !b.len)
        return (a.len == 0) - (b.len == 0);
    while (a.len && b.len) {
        int c = compare_identifiers(next_identifier(&a), next_identifier(&b));
        if (c)
            return c;
    }
    return (a.len > 0) - (b.len > 0);
}

static int compare(const version *a, const version *b)
{
    for (int i = 0; i < 3; i++)
        if (a->n[i] != b->n[i])
            return a->n[i] < b->n[i] ? -1 : 1;
    return compare_pre(a->pre, b->pre);
}

int mti_semver_compare(const char *a, const char *b)
{
    version x, y;
    parse(a, &x);
    parse(b, &y);
    return compare(&x, &y);
}

/* ^1.2.3 stays below the next change of the leftmost number that is not zero; ~1.2.3 below the next minor. */
static bool below_next(const version *v, const version *low, char kind)
{
    if (v->n[0] != low->n[0])
        return false;
    if (kind == '^' && (low->n[0] > 0 || low->parts == 1))
        return true;
    if (v->n[1] != low->n[1])
        return kind == '~' && low->parts == 1;
    return kind == '~' || low->n[1] > 0 || low->parts == 2 || v->n[2] == low->n[2];
}

/* A whole version is itself; "1" and "1.2" are every version that begins with them. */
static bool matches_exactly(const version *v, const version *given)
{
    for (int i = 0; i < given->parts; i++)
        if (v->n[i] != given->n[i])
            return false;
    return given->parts < 3 ? compare(v, given) >= 0 : compare(v, given) == 0;
}

bool mti_semver_match(const char *text, const char *range)
{
    version v, low;
    if (!parse(text, &v))
        return false;
    if (!strcmp(range, "*"))
        return true;
    if (range[0] == '^' || range[0] == '~')
        return parse(range + 1, &low) && compare(&v, &low) >= 0 && below_next(&v, &low, range[0]);
    if (range[0] == '>' && range[1] == '=')
        return parse(range + 2, &low) && compare(&v, &low) >= 0;
    return parse(range, &low) && matches_exactly(&v, &low);
}
