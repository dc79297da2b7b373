/* The text of API keys: PREFIX and 43 characters that carry 256 random bits. Pure functions, any
 * thread. */
#ifndef TENANCY_KEY_TEXT_H
#define TENANCY_KEY_TEXT_H

#include <mortise/types.h>

enum { KEY_TEXT_MAX = 128, KEY_RANDOM = 32, KEY_SHOWN = 5 };

typedef struct key_text {
    char text[KEY_TEXT_MAX]; /* NUL-terminated */
    size_t len,
        shown; /* the beginning that may be kept and shown: the prefix and five characters */
} key_text;

/* prefix as configured ("sk_live_"); test: its "live" becomes "test". random: 32 bytes. false: the
 * prefix is too long. */
bool key_text_make(key_text *k, mt_slice prefix, bool test, const unsigned char random[KEY_RANDOM]);

#endif
