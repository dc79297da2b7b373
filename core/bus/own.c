/* An organization's own handlers, and their place among everybody's. */
#include "bus/bus_impl.h"

#include <stdlib.h>

int mti_bus_compare_place(const mti_bus_entry *a, const mti_bus_entry *b)
{
    if (a->hook != b->hook)
        return a->hook < b->hook ? -1 : 1;
    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static int compare(const void *a, const void *b)
{
    return mti_bus_compare_place(a, b);
}

mti_bus_own *mti_bus_own_create(mti_uuid org_id, const mti_bus_handler *list, unsigned n)
{
    mti_bus_own *own = calloc(1, sizeof *own + n * sizeof own->entries[0]);
    mti_bus_stats *stats = aligned_alloc(64, (n + 1) * sizeof *stats);
    if (!own || !stats)
        abort();
    memset(stats, 0, (n + 1) * sizeof *stats);
    own->org_id = org_id;
    own->stats = stats;
    for (unsigned i = 0; i < n; i++) {
        mti_bus_entry *e = &own->entries[i];
        e->run = list[i].run;
        e->self = list[i].self;
        e->owner = list[i].owner;
        e->label = list[i].label;
        e->hook = list[i].hook;
        e->priority = list[i].priority;
        e->release = list[i].release;
        e->order = i;
        e->stats = &stats[i];
        own->from[e->hook + 1]++;
    }
    for (int h = 0; h < MTI_HOOK_COUNT; h++)
        own->from[h + 1] += own->from[h];
    qsort(own->entries, n, sizeof own->entries[0], compare);
    return own;
}

void mti_bus_own_destroy(mti_bus_own *own)
{
    if (!own)
        return;
    for (unsigned i = 0; i < own->from[MTI_HOOK_COUNT]; i++)
        if (own->entries[i].release)
            own->entries[i].release(own->entries[i].self);
    free(own->stats);
    free(own);
}

void mti_bus_cursor_init(mti_bus_cursor *at, const mti_bus_chain *common, int hook,
                         const mt_call *c)
{
    mti_bus_own *own = c->own;
    *at = (mti_bus_cursor){.common = common};
    if (!own || !mti_uuid_eq(own->org_id, c->who.org_id))
        return;
    at->own = own->entries + own->from[hook];
    at->own_end = own->entries + own->from[hook + 1];
}
