#include "json/schema_compiler.h"

#include <stdlib.h>

/* What one match may cost: a pattern and a value can multiply each other. */
#define MATCH_STEPS   200000
#define MATCH_DEPTH   5000
#define MATCH_HEAP_KB 1024

#define DEFAULTS_DEPTH 64

static mt_status compile_document(mti_compiler *c, json_t *document, mt_slice pointer)
{
    uint32_t resource = mti_resource_add(c, (mt_slice){"", 0}, document);
    if (pointer.len == 0) {
        MT_TRY(mti_compile_schema(c, document, resource, NULL, &c->s->root));
    } else {
        char *ref = mti_arena_printf(&c->s->arena, "#%.*s", (int)pointer.len, pointer.p);
        MT_TRY(mti_find_node(c, resource, mt_str(ref), NULL, &c->s->root));
    }
    return mti_link_refs(c);
}

static mti_schema *schema_create(json_t *document)
{
    mti_schema *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    mti_arena_init(&s->arena, 0);
    s->keep = json_array();
    s->match = pcre2_match_context_create(NULL);
    if (!s->keep || !s->match || json_array_append(s->keep, document)) {
        mti_schema_destroy(s);
        return NULL;
    }
    pcre2_set_match_limit(s->match, MATCH_STEPS);
    pcre2_set_depth_limit(s->match, MATCH_DEPTH);
    pcre2_set_heap_limit(s->match, MATCH_HEAP_KB);
    return s;
}

mt_status mti_schema_compile_at(json_t *document, mt_slice pointer, mti_schema_resolve resolve,
                                void *arg, unsigned flags, mti_schema **out, mti_error *e)
{
    *out = NULL;
    mti_schema *s = schema_create(document);
    if (!s)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while compiling a schema");
    mti_compiler c = {.s = s, .resolve = resolve, .arg = arg, .flags = flags, .e = e};
    c.nodes = mti_map_create();
    c.anchors = mti_map_create();
    c.docs = mti_map_create();
    mt_status status = compile_document(&c, document, pointer);
    mti_map_destroy(c.nodes);
    mti_map_destroy(c.anchors);
    mti_map_destroy(c.docs);
    free(c.resources);
    free(c.pending);
    if (status == MT_OK)
        *out = s;
    else
        mti_schema_destroy(s);
    return status;
}

mt_status mti_schema_compile(json_t *schema, mti_schema_resolve resolve, void *arg, unsigned flags,
                             mti_schema **out, mti_error *e)
{
    return mti_schema_compile_at(schema, (mt_slice){0}, resolve, arg, flags, out, e);
}

void mti_schema_destroy(mti_schema *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->pattern_count; i++)
        pcre2_code_free(s->patterns[i].code);
    pcre2_match_context_free(s->match);
    free(s->nodes);
    free(s->checks);
    free(s->kids);
    free(s->props);
    free(s->objects);
    free(s->arrays);
    free(s->patterns);
    free(s->dynamics);
    json_decref(s->keep);
    mti_arena_dispose(&s->arena);
    free(s);
}

/* The check of op in a node, or NULL. */
static const mti_check *find_check(const mti_schema *s, uint32_t node, mti_op op)
{
    const mti_node *n = &s->nodes[node];
    for (uint32_t i = 0; i < n->count; i++) {
        if (s->checks[n->first + i].op == op)
            return &s->checks[n->first + i];
    }
    return NULL;
}

/* The default of a property's schema, or of what it refers to. */
static const json_t *default_of(const mti_schema *s, uint32_t node)
{
    for (int depth = 0; depth < DEFAULTS_DEPTH; depth++) {
        const json_t *v = json_object_get(s->nodes[node].json, "default");
        const mti_check *ref = find_check(s, node, MTI_OP_REF);
        if (v || !ref)
            return v;
        node = ref->at;
    }
    return NULL;
}

static mt_status fill(const mti_schema *s, uint32_t node, json_t *value, int depth);

static mt_status fill_object(const mti_schema *s, const mti_object_check *o, json_t *value,
                             int depth)
{
    for (uint32_t i = 0; i < o->prop_count; i++) {
        const mti_prop *p = &s->props[o->props + i];
        json_t *member = json_object_getn(value, p->key, p->len);
        const json_t *fallback = member ? NULL : default_of(s, p->node);
        if (fallback) {
            member = json_deep_copy(fallback);
            if (json_object_setn_new(value, p->key, p->len, member))
                return MT_NO_MEMORY;
        }
        if (json_is_object(member) || json_is_array(member))
            MT_TRY(fill(s, p->node, member, depth + 1));
    }
    return MT_OK;
}

static mt_status fill_array(const mti_schema *s, const mti_array_check *a, json_t *value, int depth)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        uint32_t node = i < a->prefix_count ? s->kids[a->prefix + i] : a->items;
        if (node != MTI_NO_NODE)
            MT_TRY(fill(s, node, json_array_get(value, i), depth + 1));
    }
    return MT_OK;
}

static mt_status fill(const mti_schema *s, uint32_t node, json_t *value, int depth)
{
    if (depth > DEFAULTS_DEPTH * 2)
        return MT_LIMITED;
    const mti_node *n = &s->nodes[node];
    for (uint32_t i = 0; i < n->count; i++) {
        const mti_check *c = &s->checks[n->first + i];
        if (c->op == MTI_OP_OBJECT && json_is_object(value))
            MT_TRY(fill_object(s, &s->objects[c->at], value, depth));
        else if (c->op == MTI_OP_ARRAY && json_is_array(value))
            MT_TRY(fill_array(s, &s->arrays[c->at], value, depth));
        else if (c->op == MTI_OP_REF)
            MT_TRY(fill(s, c->at, value, depth + 1));
        for (uint32_t k = 0; c->op == MTI_OP_ALL_OF && k < c->count; k++)
            MT_TRY(fill(s, s->kids[c->at + k], value, depth + 1));
    }
    return MT_OK;
}

mt_status mti_schema_apply_defaults(const mti_schema *s, json_t *value)
{
    return fill(s, s->root, value, 0);
}

static const json_t *find_property(const mti_schema *s, uint32_t node, mt_slice name, int depth)
{
    const mti_node *n = &s->nodes[node];
    const json_t *found = NULL;
    for (uint32_t i = 0; i < n->count && !found && depth < DEFAULTS_DEPTH; i++) {
        const mti_check *c = &s->checks[n->first + i];
        if (c->op == MTI_OP_OBJECT) {
            const mti_object_check *o = &s->objects[c->at];
            const mti_prop *p = mti_prop_find(s, o->props, o->prop_count, name.p, name.len);
            found = p ? s->nodes[p->node].json : NULL;
        } else if (c->op == MTI_OP_REF) {
            found = find_property(s, c->at, name, depth + 1);
        }
        for (uint32_t k = 0; c->op == MTI_OP_ALL_OF && k < c->count && !found; k++)
            found = find_property(s, s->kids[c->at + k], name, depth + 1);
    }
    return found;
}

const json_t *mti_schema_property(const mti_schema *s, mt_slice name)
{
    return find_property(s, s->root, name, 0);
}
