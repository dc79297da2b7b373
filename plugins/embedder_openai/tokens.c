#include "tokens.h"

typedef enum kind { SPACE, LETTER, DIGIT, MARK, WIDE, FAR } kind;

static kind kind_of(unsigned char c)
{
    if (c >= 0x80)
        return c >= 0xF0 ? FAR : WIDE;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return LETTER;
    if (c >= '0' && c <= '9')
        return DIGIT;
    return c == ' ' || c == '\t' || c == '\r' ? SPACE : MARK;
}

/* What the character costs that is the n-th of its run. */
static uint32_t cost(kind k, size_t n)
{
    switch (k) {
    case SPACE: return 0;
    case LETTER: return n % 3 == 0;
    case DIGIT: return n % 2 == 0;
    case FAR: return 3;
    default: return 1;
    }
}

uint32_t tokens_estimate(mt_slice text, uint32_t most, size_t *end)
{
    uint32_t total = 0;
    kind last = SPACE;
    size_t run = 0;
    for (size_t i = 0; i < text.len;) {
        kind k = kind_of((unsigned char)text.p[i]);
        run = k == last ? run + 1 : 0;
        last = k;
        if (total + cost(k, run) > most) {
            if (end)
                *end = i;
            return total + cost(k, run);
        }
        total += cost(k, run);
        for (i++; i < text.len && ((unsigned char)text.p[i] & 0xC0) == 0x80; i++)
            ;
    }
    if (end)
        *end = text.len;
    return total;
}
