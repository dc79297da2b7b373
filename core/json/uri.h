/* References between documents, RFC 3986 section 5. Pure functions. */
#ifndef MTI_JSON_URI_H
#define MTI_JSON_URI_H

#include "base/arena.h"

/* Cuts a reference at '#': the document, and the fragment (p == NULL when there is no '#'). */
mt_slice mti_uri_split(mt_slice ref, mt_slice *fragment);
/* The reference as seen from base, without a fragment; the result is in the arena or borrowed from
 * base or ref. */
mt_slice mti_uri_resolve(mti_arena *a, mt_slice base, mt_slice ref);
/* Decodes %XX; in the arena. False for a malformed escape. */
bool mti_uri_decode(mti_arena *a, mt_slice s, mt_slice *out);

#endif
