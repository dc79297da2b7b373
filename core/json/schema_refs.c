#include "json/schema_compiler.h"
#include "json/uri.h"

#include <stdio.h>

uint32_t mti_resource_add(mti_compiler *c, mt_slice uri, json_t *root)
{
    uint32_t known = (uint32_t)(uintptr_t)mti_map_get(c->docs, uri);
    if (known && c->resources[known - 1].root == root)
        return known - 1;
    MTI_RESERVE(c, resource, 1);
    c->resources[c->resource_count] = (mti_resource){uri, root, MTI_NO_NODE};
    mti_map_put(c->docs, uri, (void *)(uintptr_t)(c->resource_count + 1));
    return c->resource_count++;
}

mt_status mti_resource_enter(mti_compiler *c, json_t *schema, const mti_path *at,
                             uint32_t *resource)
{
    const json_t *id = json_object_get(schema, "$id");
    if (!id)
        return MT_OK;
    mt_slice fragment;
    mt_slice uri = mti_uri_split(mti_json_text(id), &fragment);
    if (!json_is_string(id) || fragment.len)
        return mti_compile_fail(c, at, "$id must be a URI reference without a fragment");
    uri = mti_uri_resolve(&c->s->arena, c->resources[*resource].uri, uri);
    *resource = mti_resource_add(c, uri, schema);
    return MT_OK;
}

static mt_slice anchor_key(mti_compiler *c, uint32_t resource, mt_slice name)
{
    char *key = mti_arena_printf(&c->s->arena, "%u#%.*s", resource, (int)name.len, name.p);
    return mt_str(key);
}

mt_status mti_anchor_add(mti_compiler *c, mt_slice name, bool dynamic, uint32_t resource,
                         uint32_t node, const mti_path *at)
{
    if (name.len == 0 || name.len > 256 || name.p[0] == '/')
        return mti_compile_fail(c, at, "an anchor must be a name");
    if (mti_map_put(c->anchors, anchor_key(c, resource, name), (void *)(uintptr_t)(node + 1)))
        return mti_compile_fail(c, at, "the anchor '%.*s' is there twice", (int)name.len, name.p);
    if (dynamic) {
        mti_schema *s = c->s;
        MTI_RESERVE(s, dynamic, 1);
        s->dynamics[s->dynamic_count++] = (mti_dynamic){name, resource, node};
    }
    return MT_OK;
}

void mti_pending_add(mti_compiler *c, uint32_t check, uint32_t resource, mt_slice ref,
                     const mti_path *at)
{
    c->pending =
        mti_schema_grow(c->pending, sizeof *c->pending, c->pending_count, &c->pending_cap, 1);
    mti_pending *p = &c->pending[c->pending_count++];
    *p = (mti_pending){.check = check, .resource = resource, .ref = ref};
    mti_path_format(at, p->pointer, sizeof p->pointer);
}

/* Reads the document of a resource as a schema, if that has not happened; *resource becomes the one
 * its own $id names. */
static mt_status resource_read(mti_compiler *c, uint32_t *resource, const mti_path *at)
{
    mti_resource *r = &c->resources[*resource];
    uint32_t node = r->node;
    if (node == MTI_NO_NODE) {
        MT_TRY(mti_compile_schema(c, r->root, *resource, at, &node));
        c->resources[*resource].node = node; /* reading may have moved the array */
    }
    *resource = c->s->nodes[node].resource;
    return MT_OK;
}

static mt_status document_find(mti_compiler *c, mt_slice uri, const mti_path *at,
                               uint32_t *resource)
{
    uint32_t known = (uint32_t)(uintptr_t)mti_map_get(c->docs, uri);
    if (known) {
        *resource = known - 1;
        return MT_OK;
    }
    json_t *doc = c->resolve ? c->resolve(c->arg, uri) : NULL;
    if (!doc)
        return mti_compile_fail(c, at, "the reference to '%.*s' leads nowhere",
                                (int)(uri.len < 200 ? uri.len : 200), uri.p ? uri.p : "");
    json_array_append(c->s->keep, doc);
    *resource = mti_resource_add(c, uri, doc);
    return MT_OK;
}

/* Walks a pointer token by token, because an $id on the way changes the base of what follows. */
static mt_status pointer_find(mti_compiler *c, uint32_t resource, mt_slice pointer,
                              const mti_path *at, uint32_t *node)
{
    json_t *v = c->resources[resource].root;
    mt_slice rest = pointer;
    while (v && rest.len) {
        const char *next = memchr(rest.p + 1, '/', rest.len - 1);
        size_t len = next ? (size_t)(next - rest.p) : rest.len;
        v = mti_json_at(v, (mt_slice){rest.p, len});
        rest = (mt_slice){rest.p + len, rest.len - len};
        uint32_t known =
            (uint32_t)(uintptr_t)mti_map_get(c->nodes, (mt_slice){(char *)&v, sizeof v});
        if (known)
            resource = c->s->nodes[known - 1].resource;
        else if (rest.len && json_is_string(json_object_get(v, "$id")))
            MT_TRY(mti_resource_enter(c, v, at, &resource));
    }
    if (!v)
        return mti_compile_fail(c, at, "the reference to '#%.*s' leads nowhere",
                                (int)(pointer.len < 200 ? pointer.len : 200), pointer.p);
    return mti_compile_schema(c, v, resource, at, node);
}

mt_status mti_find_node(mti_compiler *c, uint32_t resource, mt_slice ref, const mti_path *at,
                        uint32_t *node)
{
    mt_slice fragment, name;
    mt_slice uri = mti_uri_split(ref, &fragment);
    if (!mti_uri_decode(&c->s->arena, fragment, &name))
        return mti_compile_fail(c, at, "the reference has a malformed %% escape");
    if (uri.len) {
        uri = mti_uri_resolve(&c->s->arena, c->resources[resource].uri, uri);
        MT_TRY(document_find(c, uri, at, &resource));
    }
    if (name.len && name.p[0] == '/')
        return pointer_find(c, resource, name, at, node);
    MT_TRY(resource_read(c, &resource, at));
    if (name.len == 0) {
        *node = c->resources[resource].node;
        if (*node == MTI_NO_NODE)
            return mti_compile_schema(c, c->resources[resource].root, resource, at, node);
        return MT_OK;
    }
    void *found = mti_map_get(c->anchors, anchor_key(c, resource, name));
    if (!found)
        return mti_compile_fail(c, at, "the reference to the anchor '%.*s' leads nowhere",
                                (int)(name.len < 200 ? name.len : 200), name.p);
    *node = (uint32_t)(uintptr_t)found - 1;
    return MT_OK;
}

/* A $dynamicRef is dynamic only if what it names at first is a dynamic anchor; otherwise it is a
 * plain reference. */
static void link_dynamic(mti_compiler *c, mti_check *check, mt_slice ref)
{
    mt_slice name;
    mti_uri_split(ref, &name);
    for (uint32_t i = 0; i < c->s->dynamic_count; i++) {
        const mti_dynamic *d = &c->s->dynamics[i];
        if (d->node == check->at && mt_slice_eq(d->name, name)) {
            check->count = i;
            return;
        }
    }
    check->op = MTI_OP_REF;
}

mt_status mti_link_refs(mti_compiler *c)
{
    for (uint32_t i = 0; i < c->pending_count; i++) {
        mti_pending p = c->pending[i];
        uint32_t node;
        mt_status status = mti_find_node(c, p.resource, p.ref, NULL, &node);
        if (status != MT_OK) {
            if (c->e && !c->e->pointer[0])
                snprintf(c->e->pointer, sizeof c->e->pointer, "%s", p.pointer);
            return status;
        }
        c->s->checks[p.check].at = node;
    }
    for (uint32_t i = 0; i < c->pending_count; i++) {
        mti_check *check = &c->s->checks[c->pending[i].check];
        if (check->op == MTI_OP_DYNAMIC_REF)
            link_dynamic(c, check, c->pending[i].ref);
    }
    return MT_OK;
}
