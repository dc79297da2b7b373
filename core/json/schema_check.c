#include "json/schema_run.h"

#include "base/utf8.h"

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

MTI_CHECK(mti_check_enum)
{
    for (size_t i = 0; i < json_array_size(c->value); i++) {
        if (mti_value_equal(v, json_array_get(c->value, i)))
            return true;
    }
    return mti_run_fail_value(x, at, "enum", "must be one of", c->value);
}

MTI_CHECK(mti_check_const)
{
    return mti_value_equal(v, c->value) || mti_run_fail_value(x, at, "const", "must be", c->value);
}

MTI_CHECK(mti_check_multiple)
{
    return !json_is_number(v) || mti_value_multiple(v, c->value) ||
           mti_run_fail_value(x, at, "multipleOf", "must be a multiple of", c->value);
}

MTI_CHECK(mti_check_range)
{
    if (!json_is_number(v))
        return true;
    long double n = mti_value_number(v), limit = mti_value_number(c->value);
    switch (c->op) {
    case MTI_OP_MINIMUM:
        return n >= limit || mti_run_fail_value(x, at, "minimum", "must be at least", c->value);
    case MTI_OP_MAXIMUM:
        return n <= limit || mti_run_fail_value(x, at, "maximum", "must be at most", c->value);
    case MTI_OP_EXCLUSIVE_MINIMUM:
        return n > limit ||
               mti_run_fail_value(x, at, "exclusiveMinimum", "must be more than", c->value);
    default:
        return n < limit ||
               mti_run_fail_value(x, at, "exclusiveMaximum", "must be less than", c->value);
    }
}

MTI_CHECK(mti_check_length)
{
    if (!json_is_string(v))
        return true;
    size_t n = mti_utf8_count(mti_json_text(v));
    if (c->op == MTI_OP_MIN_LENGTH)
        return n >= c->limit ||
               mti_run_fail(x, at, "minLength", "must have at least %zu character%s", c->limit,
                            plural(c->limit));
    return n <= c->limit || mti_run_fail(x, at, "maxLength", "must have at most %zu character%s",
                                         c->limit, plural(c->limit));
}

MTI_CHECK(mti_check_format)
{
    if (!x->options.formats || !json_is_string(v))
        return true;
    return mti_schema_format_ok(mti_json_text(c->value), mti_json_text(v)) ||
           mti_run_fail(x, at, "format", "must have the format %.60s", json_string_value(c->value));
}

bool mti_run_matches(mti_run *x, uint32_t pattern, mt_slice text)
{
    if (!x->match)
        x->match = pcre2_match_data_create(1, NULL);
    if (!x->match)
        return mti_run_break(x, MT_NO_MEMORY);
    int rc = pcre2_match(x->s->patterns[pattern].code, (PCRE2_SPTR)(text.p ? text.p : ""), text.len,
                         0, PCRE2_NO_UTF_CHECK, x->match, x->s->match);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        return mti_run_break(x, rc == PCRE2_ERROR_NOMEMORY ? MT_NO_MEMORY : MT_LIMITED);
    return rc >= 0;
}

MTI_CHECK(mti_check_pattern)
{
    return !json_is_string(v) || mti_run_matches(x, c->at, mti_json_text(v)) ||
           mti_run_fail(x, at, "pattern", "must match the pattern %.180s",
                        json_string_value(c->value));
}
