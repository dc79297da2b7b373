/*
 * What changes, as it happens: rows of mt.change of all organizations, and what becomes of
 * plugins. One fiber of loop 0 reads the rows when PostgreSQL says that there are some (it is
 * asked to only while somebody follows), and hands them to a ring of every loop; who follows reads
 * its own loop's ring, and the table where that does not reach: after a pause, or when it was too
 * slow for the ring. So nothing is lost, and memory is bounded.
 */
#ifndef MTI_PLUGIN_FEED_H
#define MTI_PLUGIN_FEED_H

#include "plugin/host.h"

typedef struct mti_feed mti_feed;

/* Any thread, before the loops run. */
mt_status mti_feed_create(mti_host *h, mti_feed **out, mti_error *e);
void mti_feed_destroy(mti_feed *f);
/* On each loop's thread, loop 0 last in detaching. */
void mti_feed_attach(mti_feed *f, mti_loop *l);
void mti_feed_detach(mti_feed *f, mti_loop *l);
/* Loop 0: everybody's next answers MT_DONE. */
void mti_feed_stop(mti_feed *f);

/* What became of a plugin, for those who follow and are the platform. Any thread. */
void mti_feed_tell_plugin(mti_host *h, const char *slug, const char *version, const char *state, const char *reason);

/* The place of a change: those of a lesser transaction come before it. Written as "TX-ID". */
typedef struct mti_feed_key {
    uint64_t tx, id;
} mti_feed_key;

bool mti_feed_key_parse(mt_slice text, mti_feed_key *out);

/* Immutable; shared by the loops. */
typedef struct mti_event {
    _Atomic(unsigned) refs;
    mti_feed_key key;
    bool plugin;                 /* of a plugin's life; it has no key */
    mti_uuid org_id, workspace_id;
    char resource[128];
    size_t len;
    char json[];
} mti_event;

void mti_event_release(mti_event *e);

/* One who follows, in a fiber of its own. */
typedef struct mti_feed_reader {
    mti_feed *feed;
    struct mti_feed_reader *next, **at;
    mti_uuid org_id, workspace_id;   /* workspace nil: the whole organization */
    bool plugins;                    /* also what becomes of plugins */
    bool once;                       /* only what was committed when it was opened: never waits for what is new */
    bool held;                       /* something that is committed waits for an older transaction to end */
    const char *resource;            /* "notes.note" only; NULL: all. Borrowed */
    mti_feed_key key;                /* everything up to here was read */
    uint64_t seq;                    /* the next of the loop's ring, while in it */
    unsigned generation;             /* of the ring; 0: not in it */
    mti_event *past[100];            /* read from the table, to be given first */
    unsigned n_past, past_at;
    mti_waitlist wait;
} mti_feed_reader;

/* Starts after the key (NULL: now). Call's fiber; r's filters are set. Close it in every case.
 * MT_UNAVAILABLE. */
mt_status mti_feed_open(mti_feed_reader *r, mt_call *c, const mti_feed_key *after);
/* The next event, which the caller releases. Waits at most timeout_ms. MT_TIMEOUT (once: there is
 * no more); MT_DONE: the host stops; MT_CANCELLED; MT_UNAVAILABLE. */
mt_status mti_feed_next(mti_feed_reader *r, mt_call *c, int64_t timeout_ms, mti_event **out);
void mti_feed_close(mti_feed_reader *r);

#endif
