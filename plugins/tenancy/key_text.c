#include "key_text.h"

static size_t put(char *out, size_t n, const char *p, size_t len)
{
    memcpy(out + n, p, len);
    return n + len;
}

static size_t put_base64url(char *out, size_t n, const unsigned char *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0, held = 0;
    for (size_t i = 0; i < count; i++) {
        held = held << 8 | bytes[i];
        for (bits += 8; bits >= 6; bits -= 6)
            out[n++] = digits[held >> (bits - 6) & 63];
    }
    if (bits)
        out[n++] = digits[held << (6 - bits) & 63];
    return n;
}

bool key_text_make(key_text *k, mt_slice prefix, bool test, const unsigned char random[KEY_RANDOM])
{
    if (prefix.len > 64)
        return false;
    const char *live = test ? memmem(prefix.p, prefix.len, "live", 4) : NULL;
    size_t n = put(k->text, 0, prefix.p, prefix.len);
    if (live)
        memcpy(k->text + (live - prefix.p), "test", 4);
    k->shown = n + KEY_SHOWN;
    k->len = put_base64url(k->text, n, random, KEY_RANDOM);
    k->text[k->len] = 0;
    return true;
}
