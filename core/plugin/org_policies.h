/*
 * Organizations' own policies on their calls: asked of policy_store/1 when an organization's first
 * call in a while begins on a loop, kept there (loop/org_cache.h), and dropped when a change is
 * told. While the store is switched on but away, calls of organizations fail: a guard that cannot be
 * read is not left out.
 */
#ifndef MTI_PLUGIN_ORG_POLICIES_H
#define MTI_PLUGIN_ORG_POLICIES_H

#include "plugin/host.h"

/* On each loop's thread, at its start and before its end. */
void mti_org_policies_start(mti_host *h, mti_loop *l);
void mti_org_policies_stop(mti_host *h, mti_loop *l);

/* Gives the call the handlers of its organization (c->own), for its whole life. Cheap when it has
 * them. Suspends on a miss. MT_UNAVAILABLE policy_broken, or the store's. */
mt_status mti_org_policies_attach(mt_call *c);
/* After it answered, no loop starts a call with what it kept of the call's organization. */
mt_status mti_org_policies_changed(mt_call *c);

#endif
