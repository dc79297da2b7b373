/* Where in a JSON text a value stands, so that a mistake is told as compilers tell theirs:
 * "plugin.json:12:5: …". */
#ifndef MTI_JSON_PLACE_H
#define MTI_JSON_PLACE_H

#include "json/json.h"

typedef struct mti_place {
    int line, column;      /* from 1; columns count characters */
} mti_place;

/* The place of what the pointer (RFC 6901) names: of its key in an object, of itself elsewhere.
 * Where the pointer leads to nothing, as far as it leads. text need not be valid JSON. Pure;
 * linear; no recursion. */
mti_place mti_json_place(mt_slice text, mt_slice pointer);

/* Fills e with "NAME:LINE:COLUMN: " before the sentence and answers MT_INVALID. DIR/NAME is read
 * again for it, so that nobody keeps texts for the mistakes that most have not; where it cannot
 * be read, and with dir NULL, NAME stands alone. */
mt_status mti_json_refuse(const char *dir, const char *name, mt_slice pointer, mti_error *e,
                          const char *code, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* mti_json_parse of the file NAME: what is wrong is told with the same prefix. */
mt_status mti_json_parse_file(const char *name, mt_slice text, json_t **out, mti_error *e);

#endif
