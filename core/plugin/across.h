/* Running something in a fiber of another loop and waiting for it. */
#ifndef MTI_PLUGIN_ACROSS_H
#define MTI_PLUGIN_ACROSS_H

#include "loop/call.h"

/* Runs fn in a fresh fiber of loop l with a call of the platform (no identity, the caller's deadline not inherited) and suspends the caller until
 * it ended; a cancel of the caller is remembered and does not interrupt. The other call's error is copied to c. MT_LIMITED when l takes no fiber. */
mt_status mti_across_run(mt_call *c, mti_loop *l, mt_status (*fn)(void *arg, mt_call *there), void *arg);

/* A call of the platform in the current fiber: for work that no request asked for. Dispose it with mti_call_dispose. */
void mti_platform_call(mt_call *c, struct mti_host *h, mti_loop *l, const char *operation);

#endif
