/* One validation, shared by the files that implement the checks. Lives on the stack of
 * mti_schema_collect. */
#ifndef MTI_JSON_SCHEMA_RUN_H
#define MTI_JSON_SCHEMA_RUN_H

#include "json/schema_impl.h"

/* Resources that were entered on the way here, innermost first: where $dynamicRef looks. */
typedef struct mti_scope {
    const struct mti_scope *up;
    uint32_t resource;
} mti_scope;

/* Which members or items of one value some schema has looked at. */
typedef struct mti_seen {
    uint64_t small;
    uint64_t *bits; /* &small, or heap memory */
    size_t n;
    bool lists_properties;
} mti_seen;

typedef struct mti_run {
    const mti_schema *s;
    mti_schema_options options;
    mti_schema_issue *issues;
    size_t count, max;
    int quiet; /* inside an alternative: failing is no issue yet */
    int open;  /* inside a condition: the closed rule is off */
    int depth;
    size_t steps;
    mt_status broken; /* a limit or out of memory: nothing that was found holds */
    const mti_scope *scope;
    pcre2_match_data *match;
} mti_run;

bool mti_seen_init(mti_run *x, mti_seen *ev, const json_t *v); /* false when out of memory */
void mti_seen_dispose(mti_seen *ev);
void mti_seen_merge(mti_seen *to, const mti_seen *from);

static inline void mti_seen_mark(mti_seen *ev, size_t i)
{
    if (ev && i < ev->n)
        ev->bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static inline bool mti_seen_has(const mti_seen *ev, size_t i)
{
    return ev->bits[i / 64] >> (i % 64) & 1;
}

/* Nothing more is to be found out: the caller may stop. */
static inline bool mti_run_settled(const mti_run *x)
{
    return x->quiet > 0 || x->broken != MT_OK || x->count >= x->max;
}

/* Each answers false, so that a check can return it. */
bool mti_run_fail(mti_run *x, const mti_path *at, const char *keyword, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* With a value of the schema at the end of the sentence. */
bool mti_run_fail_value(mti_run *x, const mti_path *at, const char *keyword, const char *text,
                        const json_t *value);
bool mti_run_break(mti_run *x, mt_status status);

/* Applies a schema to the value at hand; ev is told what it looks at, unless NULL. */
bool mti_run_schema(mti_run *x, uint32_t node, const json_t *v, const mti_path *at, mti_seen *ev);
/* Applies a schema to a value that no schema around it has looked into. */
bool mti_run_child(mti_run *x, uint32_t node, const json_t *v, const mti_path *at);

/* A keyword. ev may be NULL, except for the unevaluated ones. */
typedef bool (*mti_check_fn)(mti_run *x, const mti_check *c, const json_t *v, const mti_path *at,
                             mti_seen *ev);
#define MTI_CHECK(name)                                                                            \
    bool name(mti_run *x, const mti_check *c, const json_t *v, const mti_path *at, mti_seen *ev)

/* schema_check.c */
MTI_CHECK(mti_check_enum);
MTI_CHECK(mti_check_const);
MTI_CHECK(mti_check_multiple);
MTI_CHECK(mti_check_range);
MTI_CHECK(mti_check_length);
MTI_CHECK(mti_check_format);
MTI_CHECK(mti_check_pattern);

/* schema_check_array.c */
MTI_CHECK(mti_check_item_count);
MTI_CHECK(mti_check_array);
MTI_CHECK(mti_check_contains);
MTI_CHECK(mti_check_unique);
MTI_CHECK(mti_check_unevaluated_items);

/* schema_check_object.c */
MTI_CHECK(mti_check_member_count);
MTI_CHECK(mti_check_required);
MTI_CHECK(mti_check_dependent_required);
MTI_CHECK(mti_check_object);
MTI_CHECK(mti_check_property_names);
MTI_CHECK(mti_check_dependent_schemas);
MTI_CHECK(mti_check_unevaluated_properties);

/* schema_check_inplace.c */
MTI_CHECK(mti_check_ref);
MTI_CHECK(mti_check_dynamic_ref);
MTI_CHECK(mti_check_all_of);
MTI_CHECK(mti_check_any_of);
MTI_CHECK(mti_check_one_of);
MTI_CHECK(mti_check_not);
MTI_CHECK(mti_check_if);

/* values against patterns (schema_check.c) */
bool mti_run_matches(mti_run *x, uint32_t pattern, mt_slice text);

#endif
