/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. Pure
 * functions, thread-safe. */
#ifndef MTI_BASE_UTF8_H
#define MTI_BASE_UTF8_H

#include <mortise/types.h>

/* The length of the well-formed sequence that starts at p (1 to 4), or 0 when the n bytes there do
 * not start one. */
size_t mti_utf8_len(const char *p, size_t n);
bool mti_utf8_valid(mt_slice s);
/* Code points in s; an ill-formed byte counts as one. */
size_t mti_utf8_count(mt_slice s);
/* The longest prefix of s of at most max bytes that does not end inside a sequence. */
size_t mti_utf8_cut(mt_slice s, size_t max);

#endif
