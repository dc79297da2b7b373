#include "json/schema_compiler.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define COMPILE_DEPTH 128
#define DIALECT       "https://json-schema.org/draft/2020-12/schema"

/* What a keyword's reader knows: where it stands and the check that it may fill. */
typedef struct reader {
    mti_compiler *c;
    uint32_t node, resource;
    json_t *schema;
    json_t *value;      /* of the keyword */
    const mti_path *at; /* of the keyword */
    mti_check check;    /* filled here, stored when the reader answers MT_OK and op is set */
} reader;

typedef mt_status (*keyword_fn)(reader *r);

typedef struct keyword {
    const char *name;
    keyword_fn read; /* NULL: an annotation */
    mti_op op;       /* MTI_OP_COUNT: the reader stores no check */
} keyword;

void *mti_schema_grow(void *p, size_t item, uint32_t count, uint32_t *cap, size_t n)
{
    if (count + n <= *cap && p)
        return p;
    size_t want = *cap ? (size_t)*cap * 2 : 16;
    if (want < count + n)
        want = count + n;
    p = want < UINT32_MAX ? realloc(p, want * item) : NULL;
    if (!p) {
        fputs("json: out of memory while compiling a schema\n", stderr);
        abort();
    }
    *cap = (uint32_t)want;
    return p;
}

mt_status mti_compile_fail(mti_compiler *c, const mti_path *at, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mti_fail(c->e, MT_INVALID, "schema_invalid", "%s", text);
    if (c->e)
        mti_path_format(at, c->e->pointer, sizeof c->e->pointer);
    return MT_INVALID;
}

static mt_status child(reader *r, json_t *json, const mti_path *at, uint32_t *node)
{
    return mti_compile_schema(r->c, json, r->resource, at, node);
}

/* Rows that stay together although reading children adds others behind them. */
static uint32_t reserve_kids(mti_schema *s, size_t n)
{
    MTI_RESERVE(s, kid, n);
    s->kid_count += (uint32_t)n;
    return s->kid_count - (uint32_t)n;
}

static uint32_t reserve_props(mti_schema *s, size_t n)
{
    MTI_RESERVE(s, prop, n);
    s->prop_count += (uint32_t)n;
    return s->prop_count - (uint32_t)n;
}

static mt_status read_schema(reader *r)
{
    return child(r, r->value, r->at, &r->check.at);
}

static mt_status read_schema_list(reader *r)
{
    size_t n = json_array_size(r->value);
    if (n == 0)
        return mti_compile_fail(r->c, r->at, "must be a list of at least one schema");
    r->check.at = reserve_kids(r->c->s, n);
    r->check.count = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        mti_path at = {r->at, NULL, i};
        uint32_t node;
        MT_TRY(child(r, json_array_get(r->value, i), &at, &node));
        r->c->s->kids[r->check.at + i] = node;
    }
    return MT_OK;
}

/* An object of schemas as a sorted table. */
static mt_status read_schema_table(reader *r, json_t *table, const mti_path *at, uint32_t *first,
                                   uint32_t *count)
{
    if (!json_is_object(table))
        return mti_compile_fail(r->c, at, "must be an object of schemas");
    uint32_t row = reserve_props(r->c->s, json_object_size(table));
    *first = row;
    *count = (uint32_t)json_object_size(table);
    const char *key;
    size_t len;
    json_t *item;
    json_object_keylen_foreach(table, key, len, item)
    {
        mti_path inner = {at, key, len};
        uint32_t node;
        MT_TRY(child(r, item, &inner, &node));
        r->c->s->props[row++] = (mti_prop){key, len, node};
    }
    qsort(r->c->s->props + *first, *count, sizeof(mti_prop), mti_prop_order);
    return MT_OK;
}

static mt_status read_dependent_schemas(reader *r)
{
    return read_schema_table(r, r->value, r->at, &r->check.at, &r->check.count);
}

static mt_status read_defs(reader *r)
{
    uint32_t first, count;
    return read_schema_table(r, r->value, r->at, &first, &count);
}

static mt_status read_limit(reader *r)
{
    long double n = json_is_number(r->value) ? mti_value_number(r->value) : -1;
    if (n < 0 || n != floorl(n) || n > 9e15L)
        return mti_compile_fail(r->c, r->at, "must be a whole number that is not negative");
    r->check.limit = (size_t)n;
    return MT_OK;
}

static mt_status read_number(reader *r)
{
    return json_is_number(r->value) ? MT_OK : mti_compile_fail(r->c, r->at, "must be a number");
}

static mt_status read_step(reader *r)
{
    if (!json_is_number(r->value) || mti_value_number(r->value) <= 0)
        return mti_compile_fail(r->c, r->at, "must be a number over 0");
    return MT_OK;
}

static mt_status read_any(reader *r)
{
    (void)r;
    return MT_OK;
}

static mt_status read_enum(reader *r)
{
    return json_is_array(r->value) ? MT_OK : mti_compile_fail(r->c, r->at, "must be a list");
}

static mt_status read_unique(reader *r)
{
    if (!json_is_boolean(r->value))
        return mti_compile_fail(r->c, r->at, "must be true or false");
    r->check.limit = json_is_true(r->value);
    return MT_OK;
}

static bool is_name_list(const json_t *v)
{
    bool ok = json_is_array(v);
    for (size_t i = 0; ok && i < json_array_size(v); i++)
        ok = json_is_string(json_array_get(v, i));
    return ok;
}

static mt_status read_required(reader *r)
{
    return is_name_list(r->value) ? MT_OK
                                  : mti_compile_fail(r->c, r->at, "must be a list of names");
}

static mt_status read_dependent_required(reader *r)
{
    bool ok = json_is_object(r->value);
    for (void *i = json_object_iter(r->value); ok && i; i = json_object_iter_next(r->value, i))
        ok = is_name_list(json_object_iter_value(i));
    return ok ? MT_OK : mti_compile_fail(r->c, r->at, "must be an object of lists of names");
}

static mt_status read_type(reader *r)
{
    static const char *const names[] = {"null",   "boolean", "object", "array",
                                        "string", "number",  "integer"};
    json_t *v = r->value;
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    unsigned types = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
        size_t k = 0;
        while (k < 7 && !(name && strcmp(name, names[k]) == 0))
            k++;
        if (k == 7)
            return mti_compile_fail(r->c, r->at, "'%.40s' is not a type", name ? name : "");
        types |= 1u << k;
    }
    if (types == 0)
        return mti_compile_fail(r->c, r->at, "must name at least one type");
    r->c->s->nodes[r->node].types = (uint8_t)types;
    return MT_OK;
}

static mt_status read_format(reader *r)
{
    mti_format_fn check;
    if (!json_is_string(r->value))
        return mti_compile_fail(r->c, r->at, "must be a string");
    if (!mti_format_find(mti_json_text(r->value), &check) &&
        !(r->c->flags & MTI_SCHEMA_ALLOW_UNKNOWN))
        return mti_compile_fail(r->c, r->at, "'%.60s' is not a known format",
                                json_string_value(r->value));
    return MT_OK;
}

/* ECMA-262 as PCRE2 has it: \u1234 and [] mean the same, $ is the very end, \d and \w are ASCII. */
static mt_status add_pattern(reader *r, mt_slice text, const mti_path *at, uint32_t node,
                             uint32_t *index)
{
    mti_schema *s = r->c->s;
    int code;
    PCRE2_SIZE where;
    if (text.len > 1 && text.p[0] == '(' && text.p[1] == '*')
        return mti_compile_fail(r->c, at, "a pattern may not begin with a verb");
    pcre2_compile_context *cc = pcre2_compile_context_create(NULL);
    pcre2_set_compile_extra_options(cc, PCRE2_EXTRA_ALT_BSUX);
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)text.p, text.len,
                      PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALLOW_EMPTY_CLASS |
                          PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C,
                      &code, &where, cc);
    pcre2_compile_context_free(cc);
    if (!compiled) {
        PCRE2_UCHAR why[120];
        pcre2_get_error_message(code, why, sizeof why);
        return mti_compile_fail(r->c, at, "the pattern does not compile: %s at character %zu",
                                (const char *)why, (size_t)where);
    }
    MTI_RESERVE(s, pattern, 1);
    *index = s->pattern_count++;
    s->patterns[*index] = (mti_pattern){compiled, node};
    return MT_OK;
}

static mt_status read_pattern(reader *r)
{
    if (!json_is_string(r->value))
        return mti_compile_fail(r->c, r->at, "must be a string");
    return add_pattern(r, mti_json_text(r->value), r->at, MTI_NO_NODE, &r->check.at);
}

static mt_status read_reference(reader *r)
{
    if (!json_is_string(r->value))
        return mti_compile_fail(r->c, r->at, "must be a URI reference");
    return MT_OK; /* queued by store_check, which knows where the check ends up */
}

static mt_status read_anchor(reader *r)
{
    if (!json_is_string(r->value))
        return mti_compile_fail(r->c, r->at, "must be a string");
    return mti_anchor_add(r->c, mti_json_text(r->value), false, r->resource, r->node, r->at);
}

static mt_status read_dynamic_anchor(reader *r)
{
    if (!json_is_string(r->value))
        return mti_compile_fail(r->c, r->at, "must be a string");
    return mti_anchor_add(r->c, mti_json_text(r->value), true, r->resource, r->node, r->at);
}

static mt_status read_dialect(reader *r)
{
    const char *uri = json_string_value(r->value);
    if (r->c->flags & MTI_SCHEMA_ALLOW_UNKNOWN)
        return MT_OK;
    if (uri && (strcmp(uri, DIALECT) == 0 || strcmp(uri, DIALECT "#") == 0))
        return MT_OK;
    return mti_compile_fail(r->c, r->at, "the dialect must be " DIALECT);
}

static mt_status read_unevaluated(reader *r)
{
    r->c->s->nodes[r->node].unevaluated = true;
    return read_schema(r);
}

/* Keywords that are read together. The first present one of a group calls this; the others find it
 * done. */
static bool is_first_of(const reader *r, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_object_get(r->schema, names[i]);
        if (v)
            return v == r->value && strcmp(names[i], r->at->key) == 0;
    }
    return false;
}

static mt_status sibling(reader *r, const char *name, uint32_t *node)
{
    json_t *v = json_object_get(r->schema, name);
    mti_path at = {r->at->up, name, strlen(name)};
    *node = MTI_NO_NODE;
    return v ? child(r, v, &at, node) : MT_OK;
}

static mt_status read_pattern_properties(reader *r, json_t *table, uint32_t *first, uint32_t *count)
{
    mti_path at = {r->at->up, "patternProperties", 17};
    if (!json_is_object(table))
        return mti_compile_fail(r->c, &at, "must be an object of schemas");
    size_t n = json_object_size(table), row = 0;
    uint32_t *nodes = calloc(n + 1, sizeof *nodes);
    mt_status status = nodes ? MT_OK : MT_NO_MEMORY;
    const char *key;
    size_t len;
    json_t *item;
    json_object_keylen_foreach(table, key, len, item)
    {
        mti_path inner = {&at, key, len};
        if (status == MT_OK)
            status = child(r, item, &inner, &nodes[row++]);
    }
    *first =
        r->c->s->pattern_count; /* the children are read: from here on the rows stay together */
    *count = (uint32_t)n;
    row = 0;
    json_object_keylen_foreach(table, key, len, item)
    {
        mti_path inner = {&at, key, len};
        uint32_t index;
        if (status == MT_OK)
            status = add_pattern(r, (mt_slice){key, len}, &inner, nodes[row++], &index);
    }
    free(nodes);
    return status;
}

static mt_status read_object(reader *r)
{
    static const char *const group[] = {"properties", "patternProperties", "additionalProperties"};
    r->check.op = MTI_OP_COUNT;
    if (!is_first_of(r, group, 3))
        return MT_OK;
    mti_object_check o = {.additional = MTI_NO_NODE};
    json_t *props = json_object_get(r->schema, group[0]);
    json_t *patterns = json_object_get(r->schema, group[1]);
    mti_path at = {r->at->up, group[0], 10};
    if (props)
        MT_TRY(read_schema_table(r, props, &at, &o.props, &o.prop_count));
    if (patterns)
        MT_TRY(read_pattern_properties(r, patterns, &o.patterns, &o.pattern_count));
    MT_TRY(sibling(r, group[2], &o.additional));
    mti_schema *s = r->c->s;
    MTI_RESERVE(s, object, 1);
    s->objects[s->object_count] = o;
    r->check = (mti_check){.op = MTI_OP_OBJECT, .at = s->object_count++, .count = props != NULL};
    return MT_OK;
}

static mt_status read_array(reader *r)
{
    static const char *const group[] = {"prefixItems", "items"};
    r->check.op = MTI_OP_COUNT;
    if (!is_first_of(r, group, 2))
        return MT_OK;
    mti_array_check a = {.items = MTI_NO_NODE};
    if (json_object_get(r->schema, group[0])) {
        MT_TRY(read_schema_list(r));
        a.prefix = r->check.at;
        a.prefix_count = r->check.count;
    }
    MT_TRY(sibling(r, group[1], &a.items));
    mti_schema *s = r->c->s;
    MTI_RESERVE(s, array, 1);
    s->arrays[s->array_count] = a;
    r->check = (mti_check){.op = MTI_OP_ARRAY, .at = s->array_count++};
    return MT_OK;
}

static mt_status read_if(reader *r)
{
    static const char *const parts[] = {"if", "then", "else"};
    uint32_t kids = reserve_kids(r->c->s, 3);
    for (int i = 0; i < 3; i++) {
        uint32_t node;
        MT_TRY(sibling(r, parts[i], &node));
        r->c->s->kids[kids + (uint32_t)i] = node;
    }
    r->check.at = kids;
    return MT_OK;
}

/* then and else without an if mean nothing, but are read so that what is wrong in them shows. */
static mt_status read_branch(reader *r)
{
    uint32_t node;
    return child(r, r->value, r->at, &node);
}

static mt_status read_contains(reader *r)
{
    static const char *const names[] = {"minContains", "maxContains"};
    size_t limits[2] = {1, SIZE_MAX};
    for (int i = 0; i < 2; i++) {
        mti_path at = {r->at->up, names[i], 11};
        reader inner = *r;
        inner.value = json_object_get(r->schema, names[i]);
        inner.at = &at;
        if (!inner.value)
            continue;
        MT_TRY(read_limit(&inner));
        limits[i] = inner.check.limit;
    }
    r->check.limit = limits[0];
    r->check.count = limits[1] > UINT32_MAX ? UINT32_MAX : (uint32_t)limits[1];
    return read_schema(r);
}

/* Sorted by name. Keywords of a group have the reader of the group. */
static const keyword KEYWORDS[] = {
    {"$anchor", read_anchor, MTI_OP_COUNT},
    {"$comment", NULL, MTI_OP_COUNT},
    {"$defs", read_defs, MTI_OP_COUNT},
    {"$dynamicAnchor", read_dynamic_anchor, MTI_OP_COUNT},
    {"$dynamicRef", read_reference, MTI_OP_DYNAMIC_REF},
    {"$id", NULL, MTI_OP_COUNT},
    {"$ref", read_reference, MTI_OP_REF},
    {"$schema", read_dialect, MTI_OP_COUNT},
    {"$vocabulary", NULL, MTI_OP_COUNT},
    {"additionalProperties", read_object, MTI_OP_OBJECT},
    {"allOf", read_schema_list, MTI_OP_ALL_OF},
    {"anyOf", read_schema_list, MTI_OP_ANY_OF},
    {"const", read_any, MTI_OP_CONST},
    {"contains", read_contains, MTI_OP_CONTAINS},
    {"contentEncoding", NULL, MTI_OP_COUNT},
    {"contentMediaType", NULL, MTI_OP_COUNT},
    {"contentSchema", NULL, MTI_OP_COUNT},
    {"default", NULL, MTI_OP_COUNT},
    {"dependentRequired", read_dependent_required, MTI_OP_DEPENDENT_REQUIRED},
    {"dependentSchemas", read_dependent_schemas, MTI_OP_DEPENDENT_SCHEMAS},
    {"deprecated", NULL, MTI_OP_COUNT},
    {"description", NULL, MTI_OP_COUNT},
    {"else", read_branch, MTI_OP_COUNT},
    {"enum", read_enum, MTI_OP_ENUM},
    {"examples", NULL, MTI_OP_COUNT},
    {"exclusiveMaximum", read_number, MTI_OP_EXCLUSIVE_MAXIMUM},
    {"exclusiveMinimum", read_number, MTI_OP_EXCLUSIVE_MINIMUM},
    {"format", read_format, MTI_OP_FORMAT},
    {"if", read_if, MTI_OP_IF},
    {"items", read_array, MTI_OP_ARRAY},
    {"maxContains", NULL, MTI_OP_COUNT},
    {"maxItems", read_limit, MTI_OP_MAX_ITEMS},
    {"maxLength", read_limit, MTI_OP_MAX_LENGTH},
    {"maxProperties", read_limit, MTI_OP_MAX_PROPERTIES},
    {"maximum", read_number, MTI_OP_MAXIMUM},
    {"minContains", NULL, MTI_OP_COUNT},
    {"minItems", read_limit, MTI_OP_MIN_ITEMS},
    {"minLength", read_limit, MTI_OP_MIN_LENGTH},
    {"minProperties", read_limit, MTI_OP_MIN_PROPERTIES},
    {"minimum", read_number, MTI_OP_MINIMUM},
    {"multipleOf", read_step, MTI_OP_MULTIPLE_OF},
    {"not", read_schema, MTI_OP_NOT},
    {"oneOf", read_schema_list, MTI_OP_ONE_OF},
    {"pattern", read_pattern, MTI_OP_PATTERN},
    {"patternProperties", read_object, MTI_OP_OBJECT},
    {"prefixItems", read_array, MTI_OP_ARRAY},
    {"properties", read_object, MTI_OP_OBJECT},
    {"propertyNames", read_schema, MTI_OP_PROPERTY_NAMES},
    {"readOnly", NULL, MTI_OP_COUNT},
    {"required", read_required, MTI_OP_REQUIRED},
    {"then", read_branch, MTI_OP_COUNT},
    {"title", NULL, MTI_OP_COUNT},
    {"type", read_type, MTI_OP_COUNT},
    {"unevaluatedItems", read_unevaluated, MTI_OP_UNEVALUATED_ITEMS},
    {"unevaluatedProperties", read_unevaluated, MTI_OP_UNEVALUATED_PROPERTIES},
    {"uniqueItems", read_unique, MTI_OP_UNIQUE_ITEMS},
    {"writeOnly", NULL, MTI_OP_COUNT},
};

static int keyword_order(const void *name, const void *row)
{
    return strcmp(name, ((const keyword *)row)->name);
}

static mt_status read_keyword(reader *r, const char *name)
{
    const keyword *k = bsearch(name, KEYWORDS, sizeof KEYWORDS / sizeof *KEYWORDS, sizeof *KEYWORDS,
                               keyword_order);
    r->check = (mti_check){.op = k ? (uint8_t)k->op : MTI_OP_COUNT};
    if (!k) {
        if (strncmp(name, "x-", 2) == 0 || (r->c->flags & MTI_SCHEMA_ALLOW_UNKNOWN))
            return MT_OK;
        return mti_compile_fail(r->c, r->at, "'%.60s' is not a keyword that is supported here",
                                name);
    }
    if (k->read)
        MT_TRY(k->read(r));
    if (r->check.op == MTI_OP_COUNT)
        return MT_OK;
    r->check.value = r->value;
    mti_node *n = &r->c->s->nodes[r->node];
    r->c->s->checks[n->first + n->count++] = r->check;
    return MT_OK;
}

static int check_order(const void *a, const void *b)
{
    return (int)((const mti_check *)a)->op - (int)((const mti_check *)b)->op;
}

/* Sorts a finished node's checks, and queues its references now that the places of the checks are
 * final. */
static void finish_node(reader *r)
{
    mti_schema *s = r->c->s;
    mti_node *n = &s->nodes[r->node];
    qsort(s->checks + n->first, n->count, sizeof(mti_check), check_order);
    for (uint32_t i = n->first; i < n->first + n->count; i++) {
        if (s->checks[i].op == MTI_OP_REF || s->checks[i].op == MTI_OP_DYNAMIC_REF) {
            mti_path at = {r->at, s->checks[i].op == MTI_OP_REF ? "$ref" : "$dynamicRef", 0};
            at.len = strlen(at.key);
            mti_pending_add(r->c, i, r->resource, mti_json_text(s->checks[i].value), &at);
        }
    }
}

static mt_status read_node(reader *r)
{
    mti_schema *s = r->c->s;
    const mti_path *at = r->at;
    MTI_RESERVE(s, check, json_object_size(r->schema));
    s->nodes[r->node].first = s->check_count;
    s->check_count += (uint32_t)json_object_size(r->schema);
    const char *key;
    size_t len;
    json_t *value;
    json_object_keylen_foreach(r->schema, key, len, value)
    {
        mti_path inner = {at, key, len};
        r->value = value;
        r->at = &inner;
        MT_TRY(read_keyword(r, key));
    }
    r->at = at;
    finish_node(r);
    return MT_OK;
}

mt_status mti_compile_schema(mti_compiler *c, json_t *json, uint32_t resource, const mti_path *at,
                             uint32_t *node)
{
    mti_schema *s = c->s;
    mt_slice address = {(char *)&json, sizeof json};
    void *known = json_is_object(json) ? mti_map_get(c->nodes, address) : NULL;
    if (known) {
        *node = (uint32_t)(uintptr_t)known - 1;
        return MT_OK;
    }
    if (!json_is_object(json) && !json_is_boolean(json))
        return mti_compile_fail(c, at, "a schema must be an object, true or false");
    if (c->depth >= COMPILE_DEPTH)
        return mti_compile_fail(c, at, "the schema is nested too deeply");
    if (json_is_object(json))
        MT_TRY(mti_resource_enter(c, json, at, &resource));
    MTI_RESERVE(s, node, 1);
    *node = s->node_count++;
    s->nodes[*node] = (mti_node){.json = json, .resource = resource, .never = json_is_false(json)};
    if (!json_is_object(json))
        return MT_OK;
    mti_map_put(c->nodes, address, (void *)(uintptr_t)(*node + 1));
    if (c->resources[resource].root == json)
        c->resources[resource].node = *node;
    reader r = {.c = c, .node = *node, .resource = resource, .schema = json, .at = at};
    c->depth++;
    mt_status status = read_node(&r);
    c->depth--;
    return status;
}
