/*
 * Metrics in Prometheus' text format. Counters and histograms are sharded a thread (no shared cache
 * line on the hot path); reading sums up. Families are registered once at start or plugin load;
 * label values are bounded (256 series a family; more fall into "other").
 */
#ifndef MTI_TELEMETRY_METRICS_H
#define MTI_TELEMETRY_METRICS_H

#include "base/buf.h"

typedef struct mti_metric mti_metric; /* one series */
typedef struct mti_family mti_family;
typedef enum mti_metric_kind { MTI_COUNTER, MTI_GAUGE, MTI_HISTOGRAM } mti_metric_kind;

/* Any thread. labels: comma-separated label names, or "". Registering the same name again answers
 * the same family (kind must agree). Process-wide registry. */
mti_family *mti_metric_family(mti_metric_kind kind, const char *name, const char *help,
                              const char *labels);
/* The same, but NULL when the name is registered with another kind or other labels. */
mti_family *mti_metric_try_family(mti_metric_kind kind, const char *name, const char *help,
                                  const char *labels);
/* Buckets of a histogram, ascending; default: 0.0001 … 10 s in 1-2.5-5 steps. Before its first
 * series. */
void mti_family_buckets(mti_family *f, const double *bounds, size_t n);
/* The series of these label values (in the family's order); cheap after the first time but keep the
 * pointer on hot paths. Any thread. */
mti_metric *mti_metric_get(mti_family *f, const mt_slice *values, size_t n);
void mti_metric_add(mti_metric *m, double v);     /* counter, gauge; any thread, wait-free */
void mti_metric_set(mti_metric *m, double v);     /* gauge */
void mti_metric_observe(mti_metric *m, double v); /* histogram */
void mti_family_zero(mti_family *f);              /* every series of a gauge */
double mti_metric_value(const mti_metric *m);
/* A gauge read at scrape time. */
void mti_metric_callback(const char *name, const char *help, double (*fn)(void *arg), void *arg);
void mti_metrics_write(mti_buf *out); /* any thread */

#endif
