/*
 * Who a credential is and whose an id is: per-loop caches over the core's directory (mt.find_credential, mt.find_scope), emptied by notifications
 * and by a short time to live. Unknown keys and ids are cached too, bounded.
 */
#ifndef MTI_PLUGIN_IDENTITY_H
#define MTI_PLUGIN_IDENTITY_H

#include "plugin/host.h"

typedef struct mti_identities mti_identities;

/* Reads ROOT/manifests/roles.json: {"scopes": {"chat": ["chat.use", …]}}. Any thread, before the loops run. */
mt_status mti_identities_create(mti_host *h, mti_identities **out, mti_error *e);
void mti_identities_destroy(mti_identities *i);
/* On each loop's thread: subscribes to the notifications. */
void mti_identities_attach(mti_identities *i, mti_loop *l);
/* On the loop's thread, before the loop is destroyed. */
void mti_identities_detach(mti_identities *i, mti_loop *l);

/* Looks a credential up by its SHA-256 and, when valid, fills c->who. *found is false for an unknown one. Suspends on a miss.
 * MT_UNAUTHENTICATED key_expired or key_revoked; MT_UNAVAILABLE. */
mt_status mti_identity_find(mt_call *c, const uint8_t sha256[32], bool *found);

typedef struct mti_scope { mti_uuid org_id; char kind[16]; } mti_scope;   /* kind: "organization", "workspace" */
/* The organization that an organization's or workspace's id belongs to. Suspends on a miss. MT_NOT_FOUND, MT_UNAVAILABLE. */
mt_status mti_scope_find(mt_call *c, mti_uuid id, mti_scope *out);

#endif
