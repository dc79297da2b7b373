#include "fair_queue.h"

#include <stdlib.h>

struct fair_lane {
    fair_lane *next;
    fair_item *head, *tail;
    uint64_t owner;
    unsigned n;
};

static void push_lane(fair_queue *q, fair_lane *l)
{
    l->next = NULL;
    if (q->last)
        q->last->next = l;
    else
        q->first = l;
    q->last = l;
}

static void unlink_lane(fair_queue *q, fair_lane *l)
{
    fair_lane *before = NULL;
    for (fair_lane *at = q->first; at != l; at = at->next)
        before = at;
    if (before)
        before->next = l->next;
    else
        q->first = l->next;
    if (q->last == l)
        q->last = before;
}

static fair_lane *lane_of(const fair_queue *q, uint64_t owner)
{
    fair_lane *l = q->first;
    while (l && l->owner != owner)
        l = l->next;
    return l;
}

mt_status fair_queue_put(fair_queue *q, fair_item *item)
{
    fair_lane *l = lane_of(q, item->owner);
    if (q->n >= q->max || (l && l->n >= q->max_owner))
        return MT_LIMITED;
    if (!l) {
        if (!(l = calloc(1, sizeof *l)))
            return MT_NO_MEMORY;
        l->owner = item->owner;
        push_lane(q, l);
    }
    item->next = NULL;
    if (l->tail)
        l->tail->next = item;
    else
        l->head = item;
    l->tail = item;
    l->n++;
    q->n++;
    return MT_OK;
}

fair_item *fair_queue_take(fair_queue *q)
{
    fair_lane *l = q->first;
    if (!l)
        return NULL;
    fair_item *item = l->head;
    l->head = item->next;
    unlink_lane(q, l);
    q->n--;
    if (--l->n)
        push_lane(q, l);
    else
        free(l);
    return item;
}

fair_item *fair_queue_take_due(fair_queue *q, int64_t now_us)
{
    for (fair_lane *l = q->first; l; l = l->next)
        for (fair_item *at = l->head; at; at = at->next)
            if (at->due_us <= now_us) {
                fair_queue_remove(q, at);
                return at;
            }
    return NULL;
}

unsigned fair_queue_ahead(const fair_queue *q, uint64_t owner)
{
    const fair_lane *own = lane_of(q, owner);
    unsigned turns = own ? own->n + 1 : 1, ahead = turns - 1;   /* with each turn of its own, every other owner has one */
    for (const fair_lane *l = q->first; l; l = l->next)
        if (l != own)
            ahead += l->n < turns ? l->n : turns;
    return ahead;
}

bool fair_queue_remove(fair_queue *q, fair_item *item)
{
    fair_lane *l = lane_of(q, item->owner);
    fair_item *before = NULL, *at = l ? l->head : NULL;
    for (; at && at != item; at = at->next)
        before = at;
    if (!at)
        return false;
    if (before)
        before->next = at->next;
    else
        l->head = at->next;
    if (l->tail == at)
        l->tail = before;
    q->n--;
    if (!--l->n) {
        unlink_lane(q, l);
        free(l);
    }
    return true;
}
