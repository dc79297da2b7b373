/* The offload pool: threads for CPU-heavy work, fair between organizations (round robin over their queues). */
#ifndef MTI_LOOP_OFFLOAD_H
#define MTI_LOOP_OFFLOAD_H

#include "loop/fiber.h"

typedef struct mti_offload mti_offload;

mti_offload *mti_offload_create(unsigned threads);
void mti_offload_destroy(mti_offload *o);   /* waits for running work; queued work must be gone; before the loops' destroy */

/* Runs fn(arg) on a pool thread and suspends the current fiber until it returned. owner is the fairness key
 * (organization hash; 0: the host). The fiber is never released before fn returned: a cancel is remembered and answered
 * as MT_CANCELLED after it, or at once when fn had not started (then fn never runs). MT_LIMITED when owner has more than
 * 4,096 pieces queued. fn sees no fiber and no loop; it may read mti_offload_cancelled() to stop early. */
mt_status mti_offload_run(mti_offload *o, uint64_t owner, void (*fn)(void *arg), void *arg);
bool mti_offload_cancelled(void);           /* pool threads: the waiting fiber was cancelled */

#endif
