/* Shared by the files of tenancy. One instance a host; what the loops read is written before
 * activation ends. */
#ifndef TENANCY_TENANCY_H
#define TENANCY_TENANCY_H

#include "plans.h"

#include <openssl/evp.h>

#include <mortise/interfaces.h>

enum { USES = 4096 };

typedef struct tenancy {
    plans plans;
    EVP_MD *sha256; /* fetched once: looking it up costs more than hashing */
    struct {
        _Atomic(uint64_t) key;
        _Atomic(int64_t) noted_us;
    } uses[USES];
} tenancy;

/* Handlers (mt_handler_fn) and hooks (mt_hook_fn): in a fiber, plugin active. */
mt_status tenancy_on_organization_create(void *self, mt_call *c);
mt_status tenancy_on_organization_list(void *self, mt_call *c);
mt_status tenancy_on_organization_update(void *self, mt_call *c);
mt_status tenancy_on_organization_delete(void *self, mt_call *c);
mt_status tenancy_on_workspace_delete(void *self, mt_call *c);
mt_status tenancy_on_key_create(void *self, mt_call *c);
mt_outcome tenancy_on_authenticate(void *self, mt_call *c, const void *in, mt_patch *out);
mt_outcome tenancy_on_done(void *self, mt_call *c, const void *in, mt_patch *out);

/* SHA-256 of a key's text. Any thread. */
bool tenancy_hash(const tenancy *t, mt_slice key, unsigned char hash[32]);
/* Sets the counters' caps of the call's organization to its limits, under its plan. In the caller's
 * transaction. */
mt_status tenancy_apply_limits(mt_call *c, const plan *p);
/* The first start: default organization, workspace, agent, and the administrator's key in
 * {data.dir}/admin.key. Nothing when they are there. */
mt_status tenancy_provision(tenancy *t, mt_call *c);

#endif
