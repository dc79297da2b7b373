/*
 * The health of one target: a circuit breaker and what it counted. Shared by all loops; each function takes a lock for
 * less than a microsecond. Times are microseconds of one monotonic clock, given by the caller, so that a test owns time.
 */
#ifndef MODELS_HEALTH_H
#define MODELS_HEALTH_H

#include <mortise/types.h>

#include <pthread.h>

typedef struct health_limits {
    uint32_t failures;       /* so many in a row open the breaker … */
    uint32_t error_percent;  /* … or this share of the last 32, once there were 10 */
    int64_t open_ms;         /* how long it stays open before one probe may pass */
} health_limits;

typedef enum health_state { HEALTH_CLOSED, HEALTH_OPEN, HEALTH_HALF_OPEN } health_state;
typedef enum health_verdict { HEALTH_GOOD, HEALTH_BAD, HEALTH_NO_VERDICT } health_verdict;

typedef struct health {
    struct health *next;
    char engine[40], model[200], place[200]; /* place: the base_url of the options, or "" */
    pthread_mutex_t lock;
    health_state state;
    uint32_t in_a_row, window, seen;         /* window: a bit a call, 1 is bad, newest lowest */
    bool probing;
    int64_t since_us, rest_until_us;         /* when it opened; a limit that the upstream asked to be kept */
    int64_t calls, errors;
} health;

/* The one of this name, made on first use and kept for the life of the process (512 at most; more share the last). */
health *health_of(mt_slice engine, mt_slice model, mt_slice place);
/* The n-th for showing; NULL past the last. */
health *health_at(uint32_t index);

/* Whether a call may go there now. */
bool health_ready(health *h, const health_limits *l, int64_t now_us);
/* Takes the place of a call; false: not now. Each true is answered by one health_end. */
bool health_begin(health *h, const health_limits *l, int64_t now_us);
void health_end(health *h, const health_limits *l, health_verdict v, int64_t now_us);
/* The upstream asked for a pause. */
void health_rest(health *h, int64_t until_us);
/* When a call may go there at the earliest. */
int64_t health_free_at(health *h, const health_limits *l);
const char *health_state_name(health *h, int64_t now_us);

#endif
