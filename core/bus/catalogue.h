/* What manifests/interfaces says of hooks, as constant tables (catalogue.gen.c). */
#ifndef MTI_BUS_CATALOGUE_H
#define MTI_BUS_CATALOGUE_H

#include <mortise/types.h>

typedef enum mti_field_type {
    MTI_F_SLICE,
    MTI_F_JSON,
    MTI_F_I32,
    MTI_F_U32,
    MTI_F_I64,
    MTI_F_F64,
    MTI_F_BOOL
} mti_field_type;

typedef struct mti_hook_field {
    const char *name;
    mti_field_type type;
    uint16_t offset;             /* in the payload struct, after its size member */
    bool patchable;
    const char *schema;          /* of what may be patched into it, JSON; NULL: any value of its type */
} mti_hook_field;

typedef struct mti_hook_info {
    const char *name;            /* "chat.prepare" */
    bool filter;                 /* handlers may patch and deny */
    bool hot;                    /* on every request: typed, no JSON */
    bool fail_closed;
    bool suspends;               /* handlers may suspend (never Lua) */
    bool always;                 /* runs whatever happened before; DENY and STOP do not end it */
    bool platform; /* scope platform: runs before the organization is known, not toggled per
                      organization */
    uint32_t budget_us;
    uint16_t size;               /* sizeof the payload struct */
    uint16_t least;              /* of a payload of the first SDK that had it */
    const mti_hook_field *fields;
    uint16_t n_fields;
} mti_hook_info;

extern const mti_hook_info mti_hook_catalogue[];
extern const unsigned mti_hook_count;

/* Index of a hook by name, or -1. */
int mti_hook_find(mt_slice name);

/*
 * An emitter of another SDK gives a payload of another size. begin answers one of this host's: the given one, or a copy in room (hook->size bytes),
 * cut, or with zeros at its end; NULL for one that is shorter than any SDK's. end copies back what the emitter can see.
 */
void *mti_payload_begin(const mti_hook_info *hook, void *given, void *room);
void mti_payload_end(const mti_hook_info *hook, void *given, const void *whole);

/* Indexes of the hooks that the host itself emits: enum mti_hook_id { MTI_HOOK_HTTP_REQUEST, … } */
#include "bus/hook_ids.gen.h"

#endif
