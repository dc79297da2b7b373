/* Stands in for the host's header of this name, so that the generated service proxies compile against the testkit's call. */
#ifndef MORTISE_TESTKIT_SHIM_CALL_H
#define MORTISE_TESTKIT_SHIM_CALL_H

#include "kit.h"

static inline void mti_fiber_set_tag(uint16_t plugin)
{
}

#endif
