/* The checks of a plugin. */
#ifndef MTI_PLUGIN_DOCTOR_H
#define MTI_PLUGIN_DOCTOR_H

#include "json/writer.h"
#include "plugin/meter.h"
#include "plugin/record.h"

/* Jobs of a queue in the host's own table. */
typedef struct mti_backlog {
    const char *queue;
    int64_t ready, running, dead;
    int64_t oldest_s;            /* how long the oldest that is ready has waited */
} mti_backlog;

typedef struct mti_doctor {
    mti_plugins *p;
    mti_plugin_record *r;
    mt_call *c;
    const mti_meter_sum *sum;
    const mti_bus_handler_stats *hooks;
    unsigned n_hooks;
    const mti_backlog *queues;
    unsigned n_queues;
    uint64_t crashes;
} mti_doctor;

/* Adds an array of {check, status, detail, advice}; advice is null where nothing is to be done. */
void mti_doctor_write(const mti_doctor *d, mti_writer *w);

#endif
