/* Semantic versioning 2.0.0, precedence without build metadata; ranges as npm writes the simple ones. */
#include "plugin/manifest.h"

#include <stdlib.h>

typedef struct version {
    long n[3];
    int parts;                   /* how many numbers were given */
    const char *pre;             /* after '-', up to '+'; "" for a release */
} version;

static bool parse(const char *s, version *v)
{
    *v = (version){.pre = ""};
    while (v->parts < 3) {
        char *end;
        if (*s < '0' || *s > '9')
            return false;
        v->n[v->parts++] = strtol(s, &end, 10);
        s = end;
        if (*s != '.')
            break;
        s++;
    }
    if (*s == '-') {
        v->pre = s + 1;
        return s[1] != 0;
    }
    return *s == 0 || *s == '+';
}

static int compare(const version *a, const version *b)
{
    for (int i = 0; i < 3; i++)
        if (a->n[i] != b->n[i])
            return a->n[i] < b->n[i] ? -1 : 1;
    if (!*a->pre || !*b->pre)
        return (*a->pre == 0) - (*b->pre == 0);
    int c = strcmp(a->pre, b->pre);
    return (c > 0) - (c < 0);
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
    return parse(range, &low) && compare(&v, &low) == 0;
}
