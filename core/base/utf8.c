#include "base/utf8.h"

static bool is_tail(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

size_t mti_utf8_len(const char *p, size_t n)
{
    const unsigned char *s = (const unsigned char *)p;
    if (n == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4 || n < 2 || !is_tail(s[1]))
        return 0;
    if (s[0] < 0xE0)
        return 2;
    if (n < 3 || !is_tail(s[2]))
        return 0;
    if (s[0] < 0xF0) {
        bool overlong = s[0] == 0xE0 && s[1] < 0xA0;
        bool surrogate = s[0] == 0xED && s[1] > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    if (n < 4 || !is_tail(s[3]) || (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
        return 0;
    return 4;
}

bool mti_utf8_valid(mt_slice s)
{
    for (size_t i = 0; i < s.len;) {
        uint64_t eight;
        if (s.len - i >= sizeof eight && (memcpy(&eight, s.p + i, sizeof eight), !(eight & 0x8080808080808080u))) {
            i += sizeof eight;
            continue;
        }
        size_t n = mti_utf8_len(s.p + i, s.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

size_t mti_utf8_count(mt_slice s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.len; count++) {
        size_t n = mti_utf8_len(s.p + i, s.len - i);
        i += n ? n : 1;
    }
    return count;
}

size_t mti_utf8_cut(mt_slice s, size_t max)
{
    if (s.len <= max)
        return s.len;
    size_t n = max;
    while (n > 0 && max - n < 3 && is_tail((unsigned char)s.p[n]))
        n--;
    return n;
}
