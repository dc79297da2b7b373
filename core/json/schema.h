/* JSON Schema 2020-12: compiled once, then validates values of any number of threads. A schema with
 * a keyword that is not known here does not load, except names that start with "x-". Formats are
 * checked on demand. */
#ifndef MTI_JSON_SCHEMA_H
#define MTI_JSON_SCHEMA_H

#include "json/json.h"

typedef struct mti_schema mti_schema;

enum {
    MTI_SCHEMA_ALLOW_UNKNOWN =
        1, /* keywords, formats and dialects that are not known are ignored, not refused */
};

/* Answers the document a "$ref" leads to, by its URI without the fragment (as it results from $id
 * and the reference; with neither a base nor an $id, the reference itself). Borrowed: compile keeps
 * its own reference. NULL when there is none. */
typedef json_t *(*mti_schema_resolve)(void *arg, mt_slice uri);

/* Compiles schema; resolve may be NULL. The tree is kept by reference and must not change
 * afterwards. MT_INVALID with the pointer of the offending place in e->pointer, code
 * "schema_invalid". Any thread; never suspends. */
mt_status mti_schema_compile(json_t *schema, mti_schema_resolve resolve, void *arg, unsigned flags,
                             mti_schema **out, mti_error *e);
/* As above for the schema that pointer names inside document; "#/…" references are read from the
 * document's root. */
mt_status mti_schema_compile_at(json_t *document, mt_slice pointer, mti_schema_resolve resolve,
                                void *arg, unsigned flags, mti_schema **out, mti_error *e);
void mti_schema_destroy(mti_schema *s);

typedef struct mti_schema_options {
    bool closed;  /* an object whose schemas list "properties" and say nothing on others may have no
                     others */
    bool formats; /* "format" is an assertion */
} mti_schema_options;

typedef struct mti_schema_issue {
    const char *keyword; /* static: "minLength" */
    char pointer[160];   /* of the value; cut at a token when longer */
    char detail[256];    /* what is expected, a sentence without the pointer */
} mti_schema_issue;

/* MT_OK, MT_INVALID (e: code "validation_failed", HTTP 422, the first issue), MT_LIMITED when value
 * and schema together need more work, depth or regular-expression steps than is allowed,
 * MT_NO_MEMORY. options may be NULL. Needs at most 128 KiB of stack. */
mt_status mti_schema_validate(const mti_schema *s, const json_t *value,
                              const mti_schema_options *options, mti_error *e);
/* As above; collects up to max issues and answers in *count how many there are in issues. */
mt_status mti_schema_collect(const mti_schema *s, const json_t *value,
                             const mti_schema_options *options, mti_schema_issue *issues,
                             size_t max, size_t *count);

/* Adds to the objects in value the members that are absent and have a "default", in properties,
 * items, $ref and allOf (not in alternatives). A default is copied, then filled itself.
 * MT_NO_MEMORY, MT_LIMITED. */
mt_status mti_schema_apply_defaults(const mti_schema *s, json_t *value);

/* What the schema answers for a member of its top-level properties (through $ref and allOf); NULL
 * when it lists none of that name. Borrowed. For binders that ask for types. */
const json_t *mti_schema_property(const mti_schema *s, mt_slice name);

/* Whether text has the format; true for a format that is not known. */
bool mti_schema_format_ok(mt_slice format, mt_slice text);

#endif
