/* A bounded queue that is fair between owners: each take serves the next owner in the round, each owner in its own order. */
#ifndef LLM_FAIR_QUEUE_H
#define LLM_FAIR_QUEUE_H

#include <mortise/types.h>

/* Part of what waits; the caller's memory. */
typedef struct fair_item {
    struct fair_item *next;
    uint64_t owner;
    int64_t due_us;
} fair_item;

typedef struct fair_lane fair_lane;

typedef struct fair_queue {
    fair_lane *first, *last; /* owners with something waiting; the first is next */
    unsigned n, max, max_owner;
} fair_queue;

/* MT_LIMITED when the queue, or what its owner may have in it, is full. MT_NO_MEMORY. */
mt_status fair_queue_put(fair_queue *q, fair_item *item);
fair_item *fair_queue_take(fair_queue *q);              /* NULL: empty */
fair_item *fair_queue_take_due(fair_queue *q, int64_t now_us);  /* one whose due time has come, whoever's turn it is; NULL: none */
/* How many takes come before an item that this owner would put now. */
unsigned fair_queue_ahead(const fair_queue *q, uint64_t owner);
bool fair_queue_remove(fair_queue *q, fair_item *item); /* false: it is not in it */

#endif
