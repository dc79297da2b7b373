/* manifests/plans.json: what each plan allows. Limits are −1 for none. */
#ifndef TENANCY_PLANS_H
#define TENANCY_PLANS_H

#include <mortise/types.h>

enum { PLANS_MAX = 16 };

typedef struct plan {
    char name[32];
    int64_t workspaces, documents, requests;
} plan;

typedef struct plans {
    plan list[PLANS_MAX];
    unsigned n;
} plans;

/* Reads the file and lets the host's options for the free and starter plans override it. Fails with
 * the call's problem. */
mt_status plans_load(plans *p, mt_call *c);
/* By name or alias; NULL when there is none. Borrowed. */
const plan *plans_find(const plans *p, mt_slice name);

#endif
