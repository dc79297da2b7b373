/* The compiled form, shared by the compiler and the validator. A schema is a flat array of nodes; a
 * node is a run of checks, cheapest first; what a check needs beyond a number lies in side tables
 * that it names by index. Read-only once compiled. */
#ifndef MTI_JSON_SCHEMA_IMPL_H
#define MTI_JSON_SCHEMA_IMPL_H

#include "base/arena.h"
#include "json/schema.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MTI_NO_NODE UINT32_MAX

/* In the order in which a node's checks run: unevaluated* must see what all others saw. */
typedef enum mti_op {
    MTI_OP_ENUM,
    MTI_OP_CONST,
    MTI_OP_MULTIPLE_OF,
    MTI_OP_MINIMUM,
    MTI_OP_MAXIMUM,
    MTI_OP_EXCLUSIVE_MINIMUM,
    MTI_OP_EXCLUSIVE_MAXIMUM,
    MTI_OP_MIN_LENGTH,
    MTI_OP_MAX_LENGTH,
    MTI_OP_FORMAT,
    MTI_OP_PATTERN,
    MTI_OP_MIN_ITEMS,
    MTI_OP_MAX_ITEMS,
    MTI_OP_MIN_PROPERTIES,
    MTI_OP_MAX_PROPERTIES,
    MTI_OP_REQUIRED,
    MTI_OP_DEPENDENT_REQUIRED,
    MTI_OP_OBJECT, /* properties, patternProperties, additionalProperties */
    MTI_OP_PROPERTY_NAMES,
    MTI_OP_ARRAY,    /* prefixItems, items */
    MTI_OP_CONTAINS, /* contains, minContains, maxContains */
    MTI_OP_UNIQUE_ITEMS,
    MTI_OP_REF,
    MTI_OP_DYNAMIC_REF,
    MTI_OP_ALL_OF,
    MTI_OP_ANY_OF,
    MTI_OP_ONE_OF,
    MTI_OP_NOT,
    MTI_OP_IF, /* if, then, else */
    MTI_OP_DEPENDENT_SCHEMAS,
    MTI_OP_UNEVALUATED_ITEMS,
    MTI_OP_UNEVALUATED_PROPERTIES,
    MTI_OP_COUNT,
} mti_op;

enum { /* of a node's types */
       MTI_TYPE_NULL = 1,
       MTI_TYPE_BOOLEAN = 2,
       MTI_TYPE_OBJECT = 4,
       MTI_TYPE_ARRAY = 8,
       MTI_TYPE_STRING = 16,
       MTI_TYPE_NUMBER = 32,
       MTI_TYPE_INTEGER = 64,
};

typedef struct mti_check {
    uint8_t op;
    uint32_t at;         /* a node, or the first row of a side table: by op */
    uint32_t count;      /* rows */
    const json_t *value; /* the keyword's value */
    size_t limit;
} mti_check;

typedef struct mti_node {
    const json_t *json;
    uint32_t first, count; /* checks */
    uint32_t resource;     /* which $id it belongs to */
    uint8_t types;         /* 0: any */
    bool never;            /* the schema false */
    bool unevaluated;      /* tracks what its checks saw */
} mti_node;

typedef struct mti_prop {
    const char *key;
    size_t len;
    uint32_t node;
} mti_prop;

typedef struct mti_object_check {
    uint32_t props, prop_count; /* sorted by length, then bytes */
    uint32_t patterns, pattern_count;
    uint32_t additional;
} mti_object_check;

typedef struct mti_array_check {
    uint32_t prefix, prefix_count; /* in kids */
    uint32_t items;
} mti_array_check;

typedef struct mti_pattern {
    pcre2_code *code;
    uint32_t node; /* for patternProperties */
} mti_pattern;

typedef struct mti_dynamic {
    mt_slice name;
    uint32_t resource, node;
} mti_dynamic;

struct mti_schema {
    mti_arena arena; /* URIs */
    json_t *keep;    /* an array of the documents that the compiled form points into */
    uint32_t root;
    mti_node *nodes;
    mti_check *checks;
    uint32_t *kids;
    mti_prop *props;
    mti_object_check *objects;
    mti_array_check *arrays;
    mti_pattern *patterns;
    mti_dynamic *dynamics;
    uint32_t node_count, check_count, kid_count, prop_count, object_count, array_count,
        pattern_count, dynamic_count;
    uint32_t node_cap, check_cap, kid_cap, prop_cap, object_cap, array_cap, pattern_cap,
        dynamic_cap;
    pcre2_match_context *match; /* limits */
};

/* Where in a tree one is; lives on the C stack, innermost first. key NULL: item `len` of an array.
 */
typedef struct mti_path {
    const struct mti_path *up;
    const char *key;
    size_t len;
} mti_path;

/* Writes the JSON pointer of p to out, cut behind a whole token. */
void mti_path_format(const mti_path *p, char *out, size_t size);

/* The row for key among the sorted rows from first on, or NULL. */
const mti_prop *mti_prop_find(const mti_schema *s, uint32_t first, uint32_t count, const char *key,
                              size_t len);
int mti_prop_order(const void *a, const void *b);

/* values (schema_value.c) */
bool mti_value_equal(const json_t *a, const json_t *b); /* 1 equals 1.0 */
mt_status mti_value_unique(const json_t *array, bool *unique);
long double mti_value_number(const json_t *v); /* exact for int64 and double */
unsigned mti_value_types(const json_t *v);     /* MTI_TYPE_… bits */
bool mti_value_multiple(const json_t *v, const json_t *of);

/* formats (schema_format.c) */
typedef bool (*mti_format_fn)(mt_slice s);
/* False for a name that is not known; *check NULL for one that only annotates. */
bool mti_format_find(mt_slice name, mti_format_fn *check);

#endif
