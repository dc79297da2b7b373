#include "json/schema_run.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_DEPTH 192     /* nested schemas, so that the stack is bounded */
#define MAX_STEPS 2000000 /* schemas applied */

static size_t size_of(const json_t *v)
{
    return json_is_object(v) ? json_object_size(v) : json_array_size(v);
}

bool mti_seen_init(mti_run *x, mti_seen *ev, const json_t *v)
{
    *ev = (mti_seen){.n = size_of(v)};
    ev->bits = &ev->small;
    if (ev->n > 64) {
        ev->bits = calloc((ev->n + 63) / 64, sizeof *ev->bits);
        if (!ev->bits)
            x->broken = MT_NO_MEMORY;
    }
    return ev->bits != NULL;
}

void mti_seen_dispose(mti_seen *ev)
{
    if (ev->bits != &ev->small)
        free(ev->bits);
}

void mti_seen_merge(mti_seen *to, const mti_seen *from)
{
    for (size_t i = 0; i * 64 < to->n; i++)
        to->bits[i] |= from->bits[i];
    to->lists_properties |= from->lists_properties;
}

bool mti_run_fail(mti_run *x, const mti_path *at, const char *keyword, const char *fmt, ...)
{
    if (x->quiet > 0 || x->count >= x->max)
        return false;
    mti_schema_issue *issue = &x->issues[x->count++];
    issue->keyword = keyword;
    mti_path_format(at, issue->pointer, sizeof issue->pointer);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(issue->detail, sizeof issue->detail, fmt, ap);
    va_end(ap);
    size_t len = strlen(issue->detail);
    while (len > 0 && !mti_utf8_valid((mt_slice){issue->detail, len}))
        issue->detail[--len] = 0;
    return false;
}

bool mti_run_break(mti_run *x, mt_status status)
{
    x->broken = status;
    return false;
}

/* Fails with a value of the schema in the sentence: "must be at least 3". */
bool mti_run_fail_value(mti_run *x, const mti_path *at, const char *keyword, const char *text,
                        const json_t *value)
{
    if (x->quiet > 0)
        return false;
    mti_buf b;
    mti_buf_init(&b, 4096);
    const char *shown =
        mti_json_dump(value, &b) == MT_OK && b.len <= 160 ? b.p : "what the schema lists";
    mti_run_fail(x, at, keyword, "%s %s", text, shown);
    mti_buf_dispose(&b);
    return false;
}

static const mti_check_fn CHECKS[MTI_OP_COUNT] = {
    [MTI_OP_ENUM] = mti_check_enum,
    [MTI_OP_CONST] = mti_check_const,
    [MTI_OP_MULTIPLE_OF] = mti_check_multiple,
    [MTI_OP_MINIMUM] = mti_check_range,
    [MTI_OP_MAXIMUM] = mti_check_range,
    [MTI_OP_EXCLUSIVE_MINIMUM] = mti_check_range,
    [MTI_OP_EXCLUSIVE_MAXIMUM] = mti_check_range,
    [MTI_OP_MIN_LENGTH] = mti_check_length,
    [MTI_OP_MAX_LENGTH] = mti_check_length,
    [MTI_OP_FORMAT] = mti_check_format,
    [MTI_OP_PATTERN] = mti_check_pattern,
    [MTI_OP_MIN_ITEMS] = mti_check_item_count,
    [MTI_OP_MAX_ITEMS] = mti_check_item_count,
    [MTI_OP_MIN_PROPERTIES] = mti_check_member_count,
    [MTI_OP_MAX_PROPERTIES] = mti_check_member_count,
    [MTI_OP_REQUIRED] = mti_check_required,
    [MTI_OP_DEPENDENT_REQUIRED] = mti_check_dependent_required,
    [MTI_OP_OBJECT] = mti_check_object,
    [MTI_OP_PROPERTY_NAMES] = mti_check_property_names,
    [MTI_OP_ARRAY] = mti_check_array,
    [MTI_OP_CONTAINS] = mti_check_contains,
    [MTI_OP_UNIQUE_ITEMS] = mti_check_unique,
    [MTI_OP_REF] = mti_check_ref,
    [MTI_OP_DYNAMIC_REF] = mti_check_dynamic_ref,
    [MTI_OP_ALL_OF] = mti_check_all_of,
    [MTI_OP_ANY_OF] = mti_check_any_of,
    [MTI_OP_ONE_OF] = mti_check_one_of,
    [MTI_OP_NOT] = mti_check_not,
    [MTI_OP_IF] = mti_check_if,
    [MTI_OP_DEPENDENT_SCHEMAS] = mti_check_dependent_schemas,
    [MTI_OP_UNEVALUATED_ITEMS] = mti_check_unevaluated_items,
    [MTI_OP_UNEVALUATED_PROPERTIES] = mti_check_unevaluated_properties,
};

static bool fail_type(mti_run *x, unsigned types, const mti_path *at)
{
    static const char *const names[] = {"null",     "true or false", "an object",     "a list",
                                        "a string", "a number",      "a whole number"};
    char text[160] = "";
    for (int i = 0; i < 7; i++) {
        if (types >> i & 1) {
            size_t len = strlen(text);
            snprintf(text + len, sizeof text - len, "%s%s", len ? " or " : "", names[i]);
        }
    }
    return mti_run_fail(x, at, "type", "must be %s", text);
}

static bool run_checks(mti_run *x, const mti_node *n, const json_t *v, const mti_path *at,
                       mti_seen *ev)
{
    bool ok = true;
    for (uint32_t i = 0; i < n->count; i++) {
        const mti_check *c = &x->s->checks[n->first + i];
        ok &= CHECKS[c->op](x, c, v, at, ev);
        if (x->broken != MT_OK || (!ok && mti_run_settled(x)))
            return false;
    }
    return ok;
}

/* A schema with unevaluated… starts with nothing seen: what its neighbours saw does not count for
 * it. */
static bool run_tracked(mti_run *x, const mti_node *n, const json_t *v, const mti_path *at,
                        mti_seen *ev)
{
    mti_seen mine;
    if (!mti_seen_init(x, &mine, v))
        return false;
    bool ok = run_checks(x, n, v, at, &mine);
    if (ok && ev)
        mti_seen_merge(ev, &mine);
    mti_seen_dispose(&mine);
    return ok;
}

/* Applies a schema to the value at hand; ev is told what it looks at, unless NULL. */
bool mti_run_schema(mti_run *x, uint32_t node, const json_t *v, const mti_path *at, mti_seen *ev)
{
    const mti_node *n = &x->s->nodes[node];
    if (n->never)
        return mti_run_fail(x, at, "false", "is not allowed here");
    if (++x->steps > MAX_STEPS || x->depth >= MAX_DEPTH)
        return mti_run_break(x, MT_LIMITED);
    if (n->types && !(n->types & mti_value_types(v)))
        return fail_type(x, n->types, at);
    if (n->count == 0)
        return true;
    const mti_scope *before = x->scope;
    mti_scope here = {before, n->resource};
    if (!before || before->resource != n->resource)
        x->scope = &here;
    x->depth++;
    bool ok = n->unevaluated ? run_tracked(x, n, v, at, ev) : run_checks(x, n, v, at, ev);
    x->depth--;
    x->scope = before;
    return ok;
}

static bool fail_unknown(mti_run *x, const json_t *v, const mti_path *at, const mti_seen *ev)
{
    const char *key;
    size_t len, i = 0;
    json_t *item;
    bool ok = true;
    json_object_keylen_foreach((json_t *)v, key, len, item)
    {
        mti_path inner = {at, key, len};
        if (!mti_seen_has(ev, i++))
            ok = mti_run_fail(x, &inner, "additionalProperties", "is not a known property");
        if (!ok && mti_run_settled(x))
            break;
    }
    return ok;
}

static bool eval_closed(mti_run *x, uint32_t node, const json_t *v, const mti_path *at)
{
    mti_seen ev;
    if (!mti_seen_init(x, &ev, v))
        return false;
    bool ok = mti_run_schema(x, node, v, at, &ev);
    if ((ok || !mti_run_settled(x)) && ev.lists_properties)
        ok &= fail_unknown(x, v, at, &ev);
    mti_seen_dispose(&ev);
    return ok;
}

/* Applies a schema to a value that no schema around it has looked into. */
bool mti_run_child(mti_run *x, uint32_t node, const json_t *v, const mti_path *at)
{
    if (x->options.closed && x->open == 0 && json_is_object(v))
        return eval_closed(x, node, v, at);
    return mti_run_schema(x, node, v, at, NULL);
}

mt_status mti_schema_collect(const mti_schema *s, const json_t *value,
                             const mti_schema_options *options, mti_schema_issue *issues,
                             size_t max, size_t *count)
{
    mti_run x = {.s = s, .issues = issues, .max = max};
    if (options)
        x.options = *options;
    bool ok = mti_run_child(&x, s->root, value, NULL);
    pcre2_match_data_free(x.match);
    *count = x.broken == MT_OK ? x.count : 0;
    if (x.broken != MT_OK)
        return x.broken;
    return ok ? MT_OK : MT_INVALID;
}

mt_status mti_schema_validate(const mti_schema *s, const json_t *value,
                              const mti_schema_options *options, mti_error *e)
{
    mti_schema_issue issue;
    size_t count;
    mt_status status = mti_schema_collect(s, value, options, &issue, 1, &count);
    if (status == MT_LIMITED)
        return mti_fail(e, status, "validation_limit", "the value is too costly to check");
    if (status == MT_NO_MEMORY)
        return mti_fail(e, status, "no_memory", "out of memory while checking a value");
    if (status != MT_INVALID)
        return status;
    mti_fail(e, MT_INVALID, "validation_failed", "%s %s (%s)",
             issue.pointer[0] ? issue.pointer : "the value", issue.detail, issue.keyword);
    if (e) {
        snprintf(e->pointer, sizeof e->pointer, "%s", issue.pointer);
        e->http = 422;
    }
    return MT_INVALID;
}
