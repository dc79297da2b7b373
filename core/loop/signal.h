/* Signals: how a thread that has no loop wakes a fiber. A number, never used twice, stands for one; a late raise finds nothing. */
#ifndef MTI_LOOP_SIGNAL_H
#define MTI_LOOP_SIGNAL_H

#include "loop/fiber.h"

/* For a fiber of l. MT_LIMITED when 65,536 are in use in the process. */
mt_status mti_signal_create(mti_loop *l, uint64_t *out);
void mti_signal_destroy(uint64_t s);            /* the loop's thread, nobody waiting; an unknown number is nothing */
/* Suspends the current fiber until raised, and lowers it; several raises are one. timeout_ms < 0: no limit.
 * MT_OK, MT_TIMEOUT, MT_CANCELLED, MT_NOT_FOUND. The loop's thread. */
mt_status mti_signal_wait(uint64_t s, int64_t timeout_ms);
void mti_signal_raise(uint64_t s);              /* any thread */

#endif
