/* JSON trees: parsing with bounds, pointers, patches, dumping. The one folder that links jansson;
 * others reach json_t through here. */
#ifndef MTI_JSON_JSON_H
#define MTI_JSON_JSON_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>

#define MTI_JSON_DEPTH 64

/* Parses one JSON text of any type. Refused before a tree is built: nesting over max_depth (0: 64),
 * U+0000 also when escaped; refused: duplicate keys, integers outside int64, reals that overflow,
 * ill-formed UTF-8. *out is a new reference. MT_INVALID with line and column in e->detail (HTTP
 * 400), MT_NO_MEMORY. Any thread. */
mt_status mti_json_parse(mt_slice text, size_t max_depth, json_t **out, mti_error *e);

/* RFC 6901. Borrowed; NULL when nothing is there or the pointer is malformed. "" is the root. */
json_t *mti_json_at(json_t *root, mt_slice pointer);
/* Sets a member, replaces an array item, or appends ("/list/-"). Takes the reference `take`, also
 * on failure; "" replaces *root (and releases what it was). The parent must exist: MT_NOT_FOUND.
 * MT_INVALID for a malformed pointer or index. */
mt_status mti_json_set_at(json_t **root, mt_slice pointer, json_t *take, mti_error *e);
/* Removes a member or item; MT_NOT_FOUND when it is not there, MT_INVALID for "". */
mt_status mti_json_remove_at(json_t *root, mt_slice pointer, mti_error *e);
/* Appends "/" and the token with ~ and / escaped. */
mt_status mti_json_pointer_add(mti_buf *b, mt_slice token);

/* Compact JSON onto b; doubles in the shortest form that reads back equal. MT_TOO_LARGE also for
 * nesting over 256. */
mt_status mti_json_dump(const json_t *value, mti_buf *b);

/* Members of an object with a fallback for absent or of another type. The slice is borrowed from
 * the tree. */
mt_slice mti_json_get_string(const json_t *object, const char *key, mt_slice fallback);
int64_t mti_json_get_int(const json_t *object, const char *key, int64_t fallback);
double mti_json_get_double(const json_t *object, const char *key, double fallback);
bool mti_json_get_bool(const json_t *object, const char *key, bool fallback);
/* The text of a string value; {NULL, 0} for anything else. */
mt_slice mti_json_text(const json_t *value);

#endif
