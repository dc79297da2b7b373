#include "policy/match.h"

#include "policy/policy_impl.h"

#include <ctype.h>

#define DEPTH_MAX   100
#define STEPS_BATCH 256

static const char *match(mti_match *m, const char *s, const char *p);

static void step(mti_match *m)
{
    if (++m->steps < STEPS_BATCH)
        return;
    m->steps = 0;
    mti_policy_charge(m->L, STEPS_BATCH / 4);
}

/* --- one item: a character, a class or a set --- */

static bool class_has(int letter, int c)
{
    bool in;
    switch (tolower(letter)) {
    case 'a': in = isalpha(c); break;
    case 'c': in = iscntrl(c); break;
    case 'd': in = isdigit(c); break;
    case 'g': in = isgraph(c); break;
    case 'l': in = islower(c); break;
    case 'p': in = ispunct(c); break;
    case 's': in = isspace(c); break;
    case 'u': in = isupper(c); break;
    case 'w': in = isalnum(c); break;
    case 'x': in = isxdigit(c); break;
    case 'z': in = c == 0; break;
    default: return letter == c;
    }
    return isupper(letter) ? !in : in;
}

/* Behind the ']' of the set that begins at p. */
static const char *set_end(mti_match *m, const char *p)
{
    p++;
    if (p < m->pattern_end && *p == '^')
        p++;
    for (bool first = true; first || p >= m->pattern_end || *p != ']'; first = false) {
        if (p < m->pattern_end && *p == '%')
            p++;
        if (p >= m->pattern_end)
            luaL_error(m->L, "a set in the pattern has no ']'");
        p++;
    }
    return p + 1;
}

static const char *item_end(mti_match *m, const char *p)
{
    if (*p == '[')
        return set_end(m, p);
    if (*p == '%' && ++p >= m->pattern_end)
        luaL_error(m->L, "the pattern ends with '%%'");
    return p + 1;
}

/* Whether c is in the set from '[' at p to behind its ']' at end. */
static bool set_has(const char *p, const char *end, int c)
{
    bool negated = p[1] == '^', found = false;
    p += negated ? 2 : 1;
    for (end--; p < end && !found;) {
        if (*p == '%') {
            found = class_has((unsigned char)p[1], c);
            p += 2;
        } else if (end - p > 2 && p[1] == '-') {
            found = (unsigned char)p[0] <= c && c <= (unsigned char)p[2];
            p += 3;
        } else {
            found = (unsigned char)*p++ == c;
        }
    }
    return found != negated;
}

static bool item_has(mti_match *m, const char *s, const char *p, const char *end)
{
    step(m);
    if (s >= m->text_end)
        return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return class_has((unsigned char)p[1], c);
    case '[':
        m->steps += (unsigned)(end - p) / 4;
        return set_has(p, end, c);
    default:
        return (unsigned char)*p == c;
    }
}

/* --- repetitions --- */

static const char *match_longest(mti_match *m, const char *s, const char *p, const char *end,
                                 ptrdiff_t least)
{
    ptrdiff_t n = 0;
    while (item_has(m, s + n, p, end))
        n++;
    for (; n >= least; n--) {
        const char *e = match(m, s + n, end + 1);
        if (e)
            return e;
    }
    return NULL;
}

static const char *match_shortest(mti_match *m, const char *s, const char *p, const char *end)
{
    for (;;) {
        const char *e = match(m, s, end + 1);
        if (e)
            return e;
        if (!item_has(m, s, p, end))
            return NULL;
        s++;
    }
}

/* --- captures --- */

static const char *capture_open(mti_match *m, const char *s, const char *p)
{
    if (m->captures >= MTI_MATCH_CAPTURES)
        luaL_error(m->L, "the pattern has too many captures");
    bool position = p + 1 < m->pattern_end && p[1] == ')';
    m->capture[m->captures].at = s;
    m->capture[m->captures].len = position ? MTI_MATCH_POSITION : MTI_MATCH_OPEN;
    m->captures++;
    const char *e = match(m, s, p + (position ? 2 : 1));
    if (!e)
        m->captures--;
    return e;
}

static const char *capture_close(mti_match *m, const char *s, const char *p)
{
    unsigned i = m->captures;
    while (i > 0 && m->capture[i - 1].len != MTI_MATCH_OPEN)
        i--;
    if (i == 0)
        luaL_error(m->L, "the pattern has a ')' without '('");
    m->capture[i - 1].len = s - m->capture[i - 1].at;
    const char *e = match(m, s, p + 1);
    if (!e)
        m->capture[i - 1].len = MTI_MATCH_OPEN;
    return e;
}

/* What "%1" stands for must follow at s. */
static const char *match_again(mti_match *m, const char *s, int digit)
{
    unsigned i = (unsigned)(digit - '1');
    if (i >= m->captures || m->capture[i].len == MTI_MATCH_OPEN)
        luaL_error(m->L, "the pattern has no capture %%%c to repeat", digit);
    if (m->capture[i].len == MTI_MATCH_POSITION)
        return NULL;
    size_t n = (size_t)m->capture[i].len;
    mti_policy_charge_bytes(m->L, n);
    if ((size_t)(m->text_end - s) < n || memcmp(s, m->capture[i].at, n) != 0)
        return NULL;
    return s + n;
}

/* --- %b and %f --- */

static const char *match_balance(mti_match *m, const char *s, const char *p)
{
    if (m->pattern_end - p < 4)
        luaL_error(m->L, "%%b needs two characters");
    if (s >= m->text_end || *s != p[2])
        return NULL;
    for (size_t open = 1; ++s < m->text_end;) {
        step(m);
        if (*s == p[3]) {
            if (--open == 0)
                return s + 1;
        } else if (*s == p[2]) {
            open++;
        }
    }
    return NULL;
}

static bool at_frontier(mti_match *m, const char *s, const char *p, const char *end)
{
    int before = s == m->text ? 0 : (unsigned char)s[-1];
    int here = s < m->text_end ? (unsigned char)*s : 0;
    step(m);
    return !set_has(p, end, before) && set_has(p, end, here);
}

/* --- the walk along the pattern --- */

/* An escape that is more than a class: moves *s and *p on. 1: go on, 0: no match, -1: it is a plain
 * item. */
static int match_escape(mti_match *m, const char **s, const char **p)
{
    int letter = *p + 1 < m->pattern_end ? (unsigned char)(*p)[1] : 0;
    const char *e;
    if (letter == 'b') {
        if (!(e = match_balance(m, *s, *p)))
            return 0;
        *p += 4;
    } else if (letter == 'f') {
        const char *set = *p + 2;
        if (set >= m->pattern_end || *set != '[')
            luaL_error(m->L, "%%f needs a set");
        *p = set_end(m, set);
        return at_frontier(m, *s, set, *p);
    } else if (isdigit(letter)) {
        if (!(e = match_again(m, *s, letter)))
            return 0;
        *p += 2;
    } else {
        return -1;
    }
    *s = e;
    return 1;
}

static const char *match_items(mti_match *m, const char *s, const char *p)
{
    while (p < m->pattern_end) {
        if (*p == '(')
            return capture_open(m, s, p);
        if (*p == ')')
            return capture_close(m, s, p);
        if (*p == '$' && p + 1 == m->pattern_end)
            return s == m->text_end ? s : NULL;
        int escape = *p == '%' ? match_escape(m, &s, &p) : -1;
        if (escape == 0)
            return NULL;
        if (escape == 1)
            continue;
        const char *end = item_end(m, p), *e;
        char how = end < m->pattern_end ? *end : 0;
        if (how == '*' || how == '+')
            return match_longest(m, s, p, end, how == '+');
        if (how == '-')
            return match_shortest(m, s, p, end);
        bool has = item_has(m, s, p, end);
        if (how == '?') {
            if (has && (e = match(m, s + 1, end + 1)))
                return e;
            p = end + 1;
            continue;
        }
        if (!has)
            return NULL;
        s++;
        p = end;
    }
    return s;
}

static const char *match(mti_match *m, const char *s, const char *p)
{
    step(m);
    if (m->depth >= DEPTH_MAX)
        luaL_error(m->L, "the pattern is too complex");
    m->depth++;
    const char *e = match_items(m, s, p);
    m->depth--;
    return e;
}

const char *mti_match_at(mti_match *m, const char *s, const char *p)
{
    m->captures = 0;
    m->depth = 0;
    return match(m, s, p);
}
