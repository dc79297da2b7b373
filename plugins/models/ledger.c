#include "ledger.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned slot_of(const char *org)
{
    unsigned h = 2166136261u;
    while (*org)
        h = (h ^ (unsigned char)*org++) * 16777619u;
    return h & 255;
}

static ledger_org *find_org(const ledger *l, const char *org)
{
    ledger_org *o = l->orgs[slot_of(org)];
    while (o && strcmp(o->org, org))
        o = o->next;
    return o;
}

static ledger_org *org_for(ledger *l, const char *org)
{
    ledger_org *o = find_org(l, org);
    if (o || !(o = calloc(1, sizeof *o)))
        return o;
    snprintf(o->org, sizeof o->org, "%s", org);
    o->next = l->orgs[slot_of(org)];
    l->orgs[slot_of(org)] = o;
    return o;
}

static bool same(const ledger_row *a, const ledger_row *b)
{
    return a->day == b->day && !strcmp(a->model, b->model) && !strcmp(a->provider, b->provider);
}

static void sum(ledger_row *to, const ledger_row *d)
{
    to->calls += d->calls;
    to->errors += d->errors;
    to->cancelled += d->cancelled;
    to->input_tokens += d->input_tokens;
    to->cached_tokens += d->cached_tokens;
    to->output_tokens += d->output_tokens;
    to->cost_microusd += d->cost_microusd;
    for (unsigned i = 0; i < LEDGER_BUCKETS; i++)
        to->latency[i] += d->latency[i];
}

static bool add_locked(ledger *l, const ledger_row *delta)
{
    ledger_org *o = org_for(l, delta->org);
    ledger_row *r = o ? o->rows : NULL;
    while (r && !same(r, delta))
        r = r->next;
    if (r) {
        sum(r, delta);
        return true;
    }
    if (!o || !(r = malloc(sizeof *r)))
        return false;
    *r = *delta;
    r->next = o->rows;
    o->rows = r;
    l->rows++;
    return true;
}

bool ledger_add(ledger *l, const ledger_row *delta)
{
    pthread_mutex_lock(&l->lock);
    bool done = add_locked(l, delta);
    pthread_mutex_unlock(&l->lock);
    return done;
}

static ledger_row *detach(ledger *l, ledger_org *o)
{
    ledger_row *rows = o->rows;
    o->rows = NULL;
    for (const ledger_row *r = rows; r; r = r->next)
        l->rows--;
    return rows;
}

ledger_row *ledger_take(ledger *l, mt_slice org, int64_t now_us, int64_t age_us)
{
    char name[40];
    ledger_row *rows = NULL;
    if (!l->rows || org.len >= sizeof name)
        return NULL;
    snprintf(name, sizeof name, "%.*s", (int)org.len, org.len ? org.p : "");
    pthread_mutex_lock(&l->lock);
    ledger_org *o = find_org(l, name);
    if (o && o->rows && now_us - o->flushed_us >= age_us) {
        o->flushed_us = now_us;
        rows = detach(l, o);
    }
    pthread_mutex_unlock(&l->lock);
    return rows;
}

ledger_row *ledger_take_any(ledger *l)
{
    ledger_row *rows = NULL;
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < 256 && !rows; i++)
        for (ledger_org *o = l->orgs[i]; o && !rows; o = o->next)
            rows = detach(l, o);
    pthread_mutex_unlock(&l->lock);
    return rows;
}

void ledger_free(ledger_row *rows)
{
    while (rows) {
        ledger_row *next = rows->next;
        free(rows);
        rows = next;
    }
}

void ledger_dispose(ledger *l)
{
    for (unsigned i = 0; i < 256; i++)
        for (ledger_org *o = l->orgs[i], *next; o; o = next) {
            next = o->next;
            ledger_free(o->rows);
            free(o);
        }
    *l = (ledger)LEDGER_INIT;
}

unsigned ledger_bucket(int64_t us)
{
    if (us < 1000)
        return 0;
    double b = ceil(log2((double)us / 1000.0) * 2.0 + 1e-9);
    return b >= LEDGER_BUCKETS ? LEDGER_BUCKETS - 1 : (unsigned)b;
}

double ledger_bound_ms(unsigned bucket)
{
    return exp2(bucket / 2.0);
}

double ledger_quantile_ms(const int64_t latency[LEDGER_BUCKETS], double share)
{
    int64_t all = 0, below = 0;
    for (unsigned i = 0; i < LEDGER_BUCKETS; i++)
        all += latency[i];
    for (unsigned i = 0; all && i < LEDGER_BUCKETS; i++) {
        double before = (double)below, wanted = share * (double)all;
        below += latency[i];
        if ((double)below >= wanted) {
            double from = i ? ledger_bound_ms(i - 1) : 0, to = ledger_bound_ms(i);
            return from + (to - from) * (wanted - before) / (double)latency[i];
        }
    }
    return 0;
}
