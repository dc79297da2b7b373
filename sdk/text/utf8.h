/* Decoding UTF-8 one code point at a time. Inline, pure, any thread. */
#ifndef MORTISE_TEXT_UTF8_H
#define MORTISE_TEXT_UTF8_H

#include <mortise/types.h>

#define MT_UTF8_BAD UINT32_MAX /* what mt_utf8_next stores for a byte that begins no valid sequence */

/* Decodes the code point at p[0..n), n > 0. Answers its length in bytes (1–4) and stores it in *cp; overlong forms,
   surrogates, values over U+10FFFF and cut sequences answer 1 and store MT_UTF8_BAD. */
static inline size_t mt_utf8_next(const char *p, size_t n, uint32_t *cp)
{
    const unsigned char *s = (const unsigned char *)p;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (s[0] < 0x80) {
        *cp = s[0];
        return 1;
    }
    size_t len = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    *cp = MT_UTF8_BAD;
    if (s[0] < 0xC2 || s[0] > 0xF4 || len > n)
        return 1;
    uint32_t v = s[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 1;
        v = v << 6 | (s[i] & 0x3F);
    }
    if (v < least[len] || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF))
        return 1;
    *cp = v;
    return len;
}

/* Writes cp (a valid code point) to out and answers its length, 1–4. */
static inline size_t mt_utf8_put(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)((0xF00u >> len) | cp);
    return len;
}

/* Whether all of p[0..n) is valid UTF-8; *bad (may be NULL) gets the offset of the first byte that is not. */
static inline bool mt_utf8_valid(const char *p, size_t n, size_t *bad)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = mt_utf8_next(p + i, n - i, &cp);
        if (cp == MT_UTF8_BAD) {
            if (bad)
                *bad = i;
            return false;
        }
        i += len;
    }
    return true;
}

/* The number of code points that begin in p[0..n). */
static inline size_t mt_utf8_count(const char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)p[i] & 0xC0) != 0x80;
    return count;
}

/* The largest offset <= at that does not lie inside a code point. */
static inline size_t mt_utf8_floor(const char *p, size_t at)
{
    while (at > 0 && ((unsigned char)p[at] & 0xC0) == 0x80)
        at--;
    return at;
}

/* Lower case of the Latin letters of European languages (Basic, Latin-1, Extended-A) and of Greek and Cyrillic capitals;
   other code points answer themselves. */
static inline uint32_t mt_utf8_lower(uint32_t cp)
{
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    if (cp >= 0xC0 && cp <= 0xDE && cp != 0xD7)
        return cp + 32;
    bool odd = (cp >= 0x139 && cp <= 0x148) || (cp >= 0x179 && cp <= 0x17E);
    if (cp == 0x178)
        return 0xFF;
    if (cp >= 0x100 && cp <= 0x17E && cp != 0x130 && cp != 0x131 && cp != 0x138 && cp != 0x149)
        return (cp & 1) == odd ? cp + 1 : cp;
    if ((cp >= 0x391 && cp <= 0x3A9) || (cp >= 0x410 && cp <= 0x42F))
        return cp + 32;
    return cp >= 0x400 && cp <= 0x40F ? cp + 80 : cp;
}

/* The plain small letter of a Latin one (Č → c, Ø → o; ß → s, Æ → a), the small one of other letters, digits as they are; 0 for
   what separates words. */
static inline uint32_t mt_utf8_plain(uint32_t cp)
{
    static const char latin1[] = "aaaaaaaceeeeiiiidnooooo\0ouuuuyty";
    static const char extended[] = "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllllnnnnnnnnnoooooooo"
                                   "rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
    cp = cp == MT_UTF8_BAD ? 0 : mt_utf8_lower(cp);
    if (cp < 0x80)
        return (cp >= 'a' && cp <= 'z') || (cp >= '0' && cp <= '9') ? cp : 0;
    if (cp == 0xDF)
        return 's';
    if (cp >= 0xE0 && cp <= 0xFF)
        return (uint32_t)latin1[cp - 0xE0];
    if (cp >= 0x100 && cp <= 0x17F)
        return (uint32_t)extended[cp - 0x100];
    return cp < 0xC0 || (cp >= 0x2000 && cp <= 0x2BFF) || (cp >= 0x3000 && cp <= 0x303F) || cp >= 0xFE00 ? 0 : cp;
}

#endif
