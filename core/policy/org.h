/*
 * One organization's policies: compiled together, carried by its calls as handlers of its own
 * (mti_bus_own). A policy has an enabled version, which decides, and may have a shadow, which runs
 * beside it and is only noted: what it would have decided, and whether that differs.
 */
#ifndef MTI_POLICY_ORG_H
#define MTI_POLICY_ORG_H

#include "json/json.h"
#include "loop/org_cache.h"
#include "policy/policy.h"

#define MTI_ORG_POLICIES 64          /* an organization */
#define MTI_ORG_PRIORITY 1000        /* the highest; handlers of the platform above have the last word */

typedef struct mti_org_policies mti_org_policies;

/* What one run came to. json NULL: a shadow that agreed, and nothing is recorded. */
typedef struct mti_policy_note {
    mti_uuid org_id, policy_id;
    int version, shadow_version;     /* 0: none */
    bool differs;                    /* the shadow from what was decided */
    mt_slice json;                   /* as policy_store/1's note has it */
} mti_policy_note;
/* Loop's thread; never suspends; copies what it keeps. */
typedef void (*mti_policy_note_fn)(void *arg, mt_call *c, const mti_policy_note *n);

/* What an organization may upload: compiles, on a hook that organizations may stand on, at a
 * priority that is theirs. Normal thread. *hook and *priority may be NULL. */
mt_status mti_org_policy_check(mti_policies *p, const char *name, mt_slice source, const char **hook,
                               int *priority, mti_error *e);

/* list: [{id, name, record, enabled: {version, source} | null, shadow: {version, source} | null}].
 * An enabled version that does not compile any more fails the whole (MT_UNAVAILABLE policy_broken,
 * with its name): a guard is not left out. A shadow that does not is left out. Normal thread. */
mt_status mti_org_policies_compile(mti_policies *p, mti_uuid org_id, const json_t *list,
                                   mti_policy_note_fn note, void *arg, mti_org_policies **out,
                                   mti_error *e);
/* Its handlers, for mt_call.own; NULL when there are none. Borrowed. */
struct mti_bus_own *mti_org_policies_own(const mti_org_policies *o);
/* Bytes of code that it holds. */
size_t mti_org_policies_size(const mti_org_policies *o);
/* 32 bytes of the caller's: a hash of what they were compiled from. */
uint8_t *mti_org_policies_hash(mti_org_policies *o);
/* compile answers one reference; one thread counts them. Both take NULL. */
mti_org_policies *mti_org_policies_ref(mti_org_policies *o);
void mti_org_policies_release(void *o);
/* What a loop keeps of them: of the 1,000 organizations used last, or fewer when their code is larger than 64 MiB together. */
extern const mti_org_cache_kind mti_org_policies_kind;

#endif
