/* A schema and a value, with a zero byte between them: compiles, validates in every mode, fills in
 * defaults and writes the result. */
#include "json/schema.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_schema: %s\n", what);
        abort();
    }
}

/* What was dumped must be read back as the same value. */
static void round_trip(const json_t *value)
{
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    if (mti_json_dump(value, &b) == MT_OK) {
        json_t *again;
        must(mti_json_parse(mti_buf_slice(&b), 512, &again, NULL) == MT_OK,
             "a dump does not parse");
        must(json_equal(value, again), "a dump reads back as something else");
        json_decref(again);
    }
    mti_buf_dispose(&b);
}

static void validate(const mti_schema *s, json_t *value)
{
    for (int mode = 0; mode < 4; mode++) {
        mti_schema_options o = {.closed = mode & 1, .formats = mode & 2};
        mti_schema_issue issues[4];
        size_t count;
        mti_error e = {0};
        mt_status first = mti_schema_validate(s, value, &o, &e);
        mt_status all = mti_schema_collect(s, value, &o, issues, 4, &count);
        must(first == all || all == MT_LIMITED, "the two entries disagree");
        must(all != MT_INVALID || count > 0, "refused without a reason");
        must(all != MT_OK || count == 0, "accepted with a reason");
    }
    mti_schema_apply_defaults(s, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *zero = size ? memchr(text, 0, size) : NULL;
    size_t split = zero ? (size_t)(zero - text) : size;
    json_t *schema, *value = NULL;
    if (mti_json_parse((mt_slice){text, split}, 0, &schema, NULL) != MT_OK)
        return 0;
    round_trip(schema);
    if (zero)
        mti_json_parse((mt_slice){zero + 1, size - split - 1}, 0, &value, NULL);
    for (unsigned flags = 0; flags <= MTI_SCHEMA_ALLOW_UNKNOWN; flags++) {
        mti_schema *s;
        mti_error e;
        if (mti_schema_compile(schema, NULL, NULL, flags, &s, &e) == MT_OK && value)
            validate(s, value);
        mti_schema_destroy(s);
    }
    if (value)
        round_trip(value);
    json_decref(value);
    json_decref(schema);
    return 0;
}
