/*
 * What each plugin did since the host started: calls, failures and time by kind, bytes of its
 * operations, crashes. Counted a loop (one plain add each, no shared cache line), summed up when
 * read. Counters belong to the slug: they go on over versions.
 */
#ifndef MTI_PLUGIN_METER_H
#define MTI_PLUGIN_METER_H

#include "plugin/host.h"

typedef struct mti_meters mti_meters;

/* Hooks are counted by the bus. Time is from begin to end, waiting included; of hooks what they
 * kept the loop busy. */
typedef enum mti_meter_kind {
    MTI_METER_OPERATION, MTI_METER_SERVICE, MTI_METER_JOB,
    MTI_METER_COUNTED, MTI_METER_HOOK = MTI_METER_COUNTED, MTI_METER_KINDS,
} mti_meter_kind;

/* Before the loops run. NULL: out of memory. */
mti_meters *mti_meters_create(unsigned n_loops);
void mti_meters_destroy(mti_meters *m);

/* ticks: a span of mti_ticks() (bus/ticks.h). Call's thread. */
void mti_meter_count(const mt_call *c, uint16_t slot, mti_meter_kind kind, bool failed, uint64_t ticks);
void mti_meter_bytes(const mt_call *c, uint16_t slot, uint64_t in, uint64_t out);
/* The host's or the plugin's fault, not the caller's. */
bool mti_meter_failed(mt_status s);

typedef struct mti_meter_sum {
    uint64_t calls[MTI_METER_KINDS], failed[MTI_METER_KINDS];
    double seconds[MTI_METER_KINDS];
    uint64_t bytes_in, bytes_out;
    uint64_t denied, slow;       /* of its hooks: refusals, and three overruns in a row */
} mti_meter_sum;

/* Of all versions of the plugin. Any thread. */
void mti_meter_read(const struct mti_plugins *p, const char *slug, mti_meter_sum *out);
/* How often a host died in its code since the server was started. */
uint64_t mti_meter_crashes(const mti_host *h, const char *slug);
const char *mti_meter_kind_name(int kind);
/* Prometheus' text for every plugin. Any thread. */
void mti_meters_write(const struct mti_plugins *p, mti_buf *out);

#endif
