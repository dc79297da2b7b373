/* What the two halves of the compiler share: keywords (schema_compile.c) and references
 * (schema_refs.c). Lives for one compilation. */
#ifndef MTI_JSON_SCHEMA_COMPILER_H
#define MTI_JSON_SCHEMA_COMPILER_H

#include "base/map.h"
#include "json/schema_impl.h"

/* A schema document, or a part of one that has an "$id". */
typedef struct mti_resource {
    mt_slice uri;
    json_t *root;
    uint32_t node; /* of the root; MTI_NO_NODE until it was read as a schema */
} mti_resource;

/* A reference to link once every schema around it is known. */
typedef struct mti_pending {
    uint32_t check, resource;
    mt_slice ref;
    char pointer[160];
} mti_pending;

typedef struct mti_compiler {
    mti_schema *s;
    mti_schema_resolve resolve;
    void *arg;
    unsigned flags;
    mti_error *e;
    int depth;
    mti_map *nodes;   /* address of a schema object → node + 1 */
    mti_map *anchors; /* "resource#name" → node + 1 */
    mti_map *docs;    /* URI → resource + 1 */
    mti_resource *resources;
    mti_pending *pending;
    uint32_t resource_count, resource_cap, pending_count, pending_cap;
} mti_compiler;

/* Makes room for n more items of an array that is counted in 32 bits; aborts on out of memory (a
 * schema's text is bounded). */
void *mti_schema_grow(void *p, size_t item, uint32_t count, uint32_t *cap, size_t n);
#define MTI_RESERVE(o, name, n)                                                                    \
    ((o)->name##s = mti_schema_grow((o)->name##s, sizeof *(o)->name##s, (o)->name##_count,         \
                                    &(o)->name##_cap, (n)))

mt_status mti_compile_fail(mti_compiler *c, const mti_path *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Reads a schema; the same tree is read once. */
mt_status mti_compile_schema(mti_compiler *c, json_t *json, uint32_t resource, const mti_path *at,
                             uint32_t *node);

uint32_t mti_resource_add(mti_compiler *c, mt_slice uri, json_t *root);
/* Reads $id, and answers in *resource the one that the schema belongs to. */
mt_status mti_resource_enter(mti_compiler *c, json_t *schema, const mti_path *at,
                             uint32_t *resource);
mt_status mti_anchor_add(mti_compiler *c, mt_slice name, bool dynamic, uint32_t resource,
                         uint32_t node, const mti_path *at);
void mti_pending_add(mti_compiler *c, uint32_t check, uint32_t resource, mt_slice ref,
                     const mti_path *at);
mt_status mti_find_node(mti_compiler *c, uint32_t resource, mt_slice ref, const mti_path *at,
                        uint32_t *node);
/* Links all that is pending, and what that brings. */
mt_status mti_link_refs(mti_compiler *c);

#endif
