/* What the files of the feed share. */
#ifndef MTI_PLUGIN_FEED_IMPL_H
#define MTI_PLUGIN_FEED_IMPL_H

#include "plugin/feed.h"

enum { MTI_FEED_RING = 1024, MTI_FEED_BATCH = 100 };

typedef struct mti_feed_place {
    mti_event *event;
    mti_feed_key key;            /* of a plugin's event: of the one before */
} mti_feed_place;

/* A loop's: its own thread only. */
typedef struct mti_feed_loop {
    unsigned generation;         /* counts the beginnings; 0: none yet */
    bool ready;
    mti_feed_key floor;          /* every change after it, up to the last, is in the ring */
    uint64_t first, end;         /* places by number */
    mti_feed_place ring[MTI_FEED_RING];
    mti_feed_reader *readers;
} mti_feed_loop;

struct mti_feed {
    mti_host *host;
    mti_uuid id;                 /* of this host, among the watchers */
    unsigned slot;
    mti_arena arena;
    mti_query *queries;
    _Atomic(unsigned) readers;   /* of all loops */
    _Atomic(bool) stopping;
    mti_waitlist wake;           /* loop 0 */
    bool news;                   /* loop 0: it was notified, or somebody came, since the fiber last looked */
};

enum { MTI_FEED_WATCH, MTI_FEED_FLOOR, MTI_FEED_ALL, MTI_FEED_PAST };

/* feed_table.c. Parses the queries; once. */
mt_status mti_feed_prepare(mti_feed *f, mti_error *e);
/* Copies the text; one reference. */
mti_event *mti_event_create(const mti_buf *json);
/* Runs one of the queries as the host itself. */
mt_status mti_feed_query(mti_feed *f, mt_call *c, int query, const mti_param *params, mti_result **out);
/* The least transaction that may still change something; *held: others have changed something
 * beyond it already. */
mt_status mti_feed_floor(mti_feed *f, mt_call *c, uint64_t *floor, bool *held);
/* The events of at most MTI_FEED_BATCH rows after the key and before the floor, of one organization
 * (NULL: of all). */
mt_status mti_feed_rows(mti_feed *f, mt_call *c, mti_feed_key after, uint64_t floor, const mti_uuid *org, mti_event **out, unsigned *n);
void mti_feed_wake_feeder(mti_feed *f);      /* any thread */

static inline bool mti_feed_before(mti_feed_key a, mti_feed_key b)
{
    return a.tx != b.tx ? a.tx < b.tx : a.id < b.id;
}

#endif
