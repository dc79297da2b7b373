/*
 * What was used, before it is written: one row an organization, day, model and provider, kept in memory so that no request
 * waits for a row that all of them change. Any thread. What a crash can lose are the calls since an organization's last flush.
 */
#ifndef MODELS_LEDGER_H
#define MODELS_LEDGER_H

#include <mortise/types.h>

#include <pthread.h>

enum { LEDGER_BUCKETS = 48 };

typedef struct ledger_row {
    struct ledger_row *next;
    char org[40], model[200], provider[40];
    int32_t day;                               /* since 1970 */
    int64_t calls, errors, cancelled, input_tokens, cached_tokens, output_tokens, cost_microusd;
    int64_t latency[LEDGER_BUCKETS];           /* calls by ledger_bucket of their duration */
} ledger_row;

typedef struct ledger_org {
    struct ledger_org *next;
    char org[40];
    ledger_row *rows;
    int64_t flushed_us;
} ledger_org;

typedef struct ledger {
    pthread_mutex_t lock;
    _Atomic(int64_t) rows;                     /* that wait; read without the lock */
    ledger_org *orgs[256];
} ledger;

#define LEDGER_INIT {.lock = PTHREAD_MUTEX_INITIALIZER}

/* Adds; without memory the counts are lost, and false says so. */
bool ledger_add(ledger *l, const ledger_row *delta);
/* Takes an organization's rows away when its last flush is at least age_us ago; NULL: nothing to write. The caller frees them with ledger_free. */
ledger_row *ledger_take(ledger *l, mt_slice org, int64_t now_us, int64_t age_us);
/* Takes the rows of any organization; NULL: none. */
ledger_row *ledger_take_any(ledger *l);
void ledger_free(ledger_row *rows);
/* Forgets everything; nobody else may be using it. */
void ledger_dispose(ledger *l);

/* Buckets half an octave wide above 1 ms: bucket b holds durations below ledger_bound_ms(b). */
unsigned ledger_bucket(int64_t us);
double ledger_bound_ms(unsigned bucket);
/* The duration that a share of the calls stay below, 0 without calls. */
double ledger_quantile_ms(const int64_t latency[LEDGER_BUCKETS], double share);

#endif
