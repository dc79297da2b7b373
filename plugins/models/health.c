#include "health.h"

#include <stdio.h>
#include <stdlib.h>

enum { WINDOW = 32, LEAST = 10, MOST = 512 };

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static health *list;
static uint32_t listed;

static void copy(char *to, size_t size, mt_slice s)
{
    size_t n = s.len < size ? s.len : size - 1;
    if (n)
        memcpy(to, s.p, n);
    to[n] = 0;
}

static bool is(const health *h, const health *wanted)
{
    return !strcmp(h->model, wanted->model) && !strcmp(h->engine, wanted->engine) && !strcmp(h->place, wanted->place);
}

health *health_of(mt_slice engine, mt_slice model, mt_slice place)
{
    health wanted = {0};
    copy(wanted.engine, sizeof wanted.engine, engine);
    copy(wanted.model, sizeof wanted.model, model);
    copy(wanted.place, sizeof wanted.place, place);
    pthread_mutex_lock(&list_lock);
    health *h = list;
    while (h && !is(h, &wanted))
        h = h->next;
    if (!h && listed < MOST && (h = malloc(sizeof *h))) {
        *h = wanted;
        pthread_mutex_init(&h->lock, NULL);
        h->next = list;
        list = h;
        listed++;
    }
    if (!h)
        h = list;
    pthread_mutex_unlock(&list_lock);
    if (!h)
        abort();                 /* the first few hundred bytes could not be had */
    return h;
}

health *health_at(uint32_t index)
{
    pthread_mutex_lock(&list_lock);
    health *h = list;
    while (h && index--)
        h = h->next;
    pthread_mutex_unlock(&list_lock);
    return h;
}

static bool ready(const health *h, const health_limits *l, int64_t now_us)
{
    if (now_us < h->rest_until_us)
        return false;
    if (h->state == HEALTH_CLOSED)
        return true;
    return h->state == HEALTH_OPEN ? now_us >= h->since_us + l->open_ms * 1000 : !h->probing;
}

bool health_ready(health *h, const health_limits *l, int64_t now_us)
{
    pthread_mutex_lock(&h->lock);
    bool yes = ready(h, l, now_us);
    pthread_mutex_unlock(&h->lock);
    return yes;
}

bool health_begin(health *h, const health_limits *l, int64_t now_us)
{
    pthread_mutex_lock(&h->lock);
    bool yes = ready(h, l, now_us);
    if (yes && h->state != HEALTH_CLOSED) {
        h->state = HEALTH_HALF_OPEN;
        h->probing = true;
    }
    if (yes)
        h->calls++;
    pthread_mutex_unlock(&h->lock);
    return yes;
}

static void open_now(health *h, int64_t now_us)
{
    h->state = HEALTH_OPEN;
    h->since_us = now_us;
}

static void note_bad(health *h, const health_limits *l, int64_t now_us)
{
    h->errors++;
    h->in_a_row++;
    bool many = h->seen >= LEAST && (uint32_t)__builtin_popcount(h->window) * 100 >= l->error_percent * h->seen;
    if (h->state != HEALTH_CLOSED || h->in_a_row >= l->failures || many)
        open_now(h, now_us);
}

static void note_good(health *h)
{
    h->in_a_row = 0;
    if (h->state == HEALTH_CLOSED)
        return;
    h->state = HEALTH_CLOSED;
    h->window = h->seen = 0;
}

/* A call that began before the breaker opened says nothing about the upstream since: its success does not close, its failure does not prolong. */
static bool is_late(const health *h)
{
    return h->state == HEALTH_OPEN || (h->state == HEALTH_HALF_OPEN && !h->probing);
}

void health_end(health *h, const health_limits *l, health_verdict v, int64_t now_us)
{
    pthread_mutex_lock(&h->lock);
    bool late = is_late(h);
    if (v != HEALTH_NO_VERDICT && !late) {
        h->window = h->window << 1 | (v == HEALTH_BAD);
        h->seen += h->seen < WINDOW;
        if (v == HEALTH_BAD)
            note_bad(h, l, now_us);
        else
            note_good(h);
    } else if (v == HEALTH_BAD) {
        h->errors++;
    }
    h->probing = false;
    pthread_mutex_unlock(&h->lock);
}

void health_rest(health *h, int64_t until_us)
{
    pthread_mutex_lock(&h->lock);
    if (until_us > h->rest_until_us)
        h->rest_until_us = until_us;
    pthread_mutex_unlock(&h->lock);
}

int64_t health_free_at(health *h, const health_limits *l)
{
    pthread_mutex_lock(&h->lock);
    int64_t at = h->rest_until_us, open_until = h->since_us + l->open_ms * 1000;
    if (h->state == HEALTH_OPEN && open_until > at)
        at = open_until;
    pthread_mutex_unlock(&h->lock);
    return at;
}

const char *health_state_name(health *h, int64_t now_us)
{
    pthread_mutex_lock(&h->lock);
    const char *name = h->state == HEALTH_OPEN      ? "open"
                       : h->state == HEALTH_HALF_OPEN ? "half_open"
                       : now_us < h->rest_until_us    ? "resting"
                                                      : "closed";
    pthread_mutex_unlock(&h->lock);
    return name;
}
