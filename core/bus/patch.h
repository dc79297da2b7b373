/* A filter's changes: collected and checked while the handler runs, applied to the payload when it
 * has answered. */
#ifndef MTI_BUS_PATCH_H
#define MTI_BUS_PATCH_H

#include <mortise/plugin.h>

#include "base/buf.h"
#include "bus/catalogue.h"
#include "json/schema.h"
#include "loop/call.h"

typedef struct mti_patch_op {
    struct mti_patch_op *next;
    const mti_hook_field *field;
    mt_slice pointer;            /* as the handler gave it */
    mt_slice below;              /* what of it lies below the field: "/0/score", or empty */
    mt_slice value;              /* the text of a slice field, else JSON */
    double number;
    int64_t integer;
    int line;                    /* of a policy's script; 0: made elsewhere */
} mti_patch_op;

/* What patched fields have to meet besides the catalogue's schemas: known to who emits. */
typedef struct mti_patch_rules {
    const mti_schema *(*of)(void *arg, const mti_hook_field *f);   /* NULL: nothing */
    void *arg;
} mti_patch_rules;

struct mt_patch {
    mt_call *c;                  /* owns the memory */
    const mti_hook_info *hook;
    mti_patch_op *first, *last;
    const mti_patch_rules *rules;/* NULL: the catalogue's alone */
    unsigned count;              /* at most 256 */
};

static inline void mti_patch_init(mt_patch *p, mt_call *c, const mti_hook_info *hook)
{
    *p = (mt_patch){.c = c, .hook = hook};
}

/* Writes the changes into the payload in their order; new texts live as long as the call. All or
 * nothing: when one cannot be applied (MT_NOT_FOUND, MT_INVALID, MT_TOO_LARGE; e filled), or a
 * field that is changed breaks its schema as it did not before (MT_INVALID, "patch_breaks_schema"),
 * the payload is as before. Call's fiber, no suspend. */
mt_status mti_patch_apply(mt_patch *p, void *payload, mti_error *e);
/* Whether the fields that p changes still meet their schemas: what was wrong before is not its doing. */
mt_status mti_patch_check(const mt_patch *p, const void *before, const void *after, mti_error *e);
/* Adds "pointer":…,"value":… without the braces. */
void mti_patch_op_write(const mti_patch_op *op, mti_buf *out);
/* Adds a JSON array of {pointer, value}. */
void mti_patch_write(const mt_patch *p, mti_buf *out);
/* Adds a JSON array of {pointer, bytes}, in at most `most` bytes: what is left out is told by a last {more}. values: {pointer, value} for those that
 * are short. Values are what requests hold and may be secret. refused: why none of them was applied, told first as {refused, detail}; NULL: they
 * were. */
void mti_patch_trace(const mt_patch *p, const mti_error *refused, bool values, size_t most, mti_buf *out);

#endif
