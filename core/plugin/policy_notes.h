/*
 * What shadows and recorded policies came to, on its way to policy_store/1: gathered by organization
 * and given over five times a second, in a fiber of its own. Bounded: what comes faster is counted
 * in mortise_policy_notes_dropped_total and forgotten. Loop's thread only.
 */
#ifndef MTI_PLUGIN_POLICY_NOTES_H
#define MTI_PLUGIN_POLICY_NOTES_H

#include "plugin/host.h"
#include "policy/org.h"

typedef struct mti_policy_notes mti_policy_notes;

mti_policy_notes *mti_policy_notes_create(mti_host *h, mti_loop *l);
/* When no fiber of the loop runs any more. What was not given over yet is lost. */
void mti_policy_notes_destroy(mti_policy_notes *n);
/* A mti_policy_note_fn; notes is the mti_policy_notes. */
void mti_policy_notes_add(void *notes, mt_call *c, const mti_policy_note *note);

#endif
