/* Who stands where: the pending set, and the snapshots that publish makes of it. */
#include "bus/bus_impl.h"

#include <stdlib.h>

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

/* --- entries --- */

static const char *label_intern(mti_bus *b, const char *label)
{
    mt_slice key = mt_str(label ? label : "");
    char *kept = mti_map_get(b->labels, key);
    if (!kept) {
        kept = must(strndup(key.p, key.len));
        mti_map_put(b->labels, key, kept);
    }
    return kept;
}

/* Every entry that lives is in a list, so that what it did is counted until it is gone, whichever snapshots hold it. */
static void entry_link(mti_bus *b, mti_bus_entry *e)
{
    pthread_mutex_lock(&b->stats_lock);
    e->bus = b;
    e->after = b->living;
    if (e->after)
        e->after->before = e;
    b->living = e;
    pthread_mutex_unlock(&b->stats_lock);
}

static void entry_sum(const mti_bus_entry *e, unsigned lanes, mti_bus_gone *sum)
{
    for (unsigned i = 0; i < lanes; i++) {
        sum->calls += __atomic_load_n(&e->stats[i].calls, __ATOMIC_RELAXED);
        sum->denied += __atomic_load_n(&e->stats[i].denied, __ATOMIC_RELAXED);
        sum->errors += __atomic_load_n(&e->stats[i].errors, __ATOMIC_RELAXED);
        sum->ticks += __atomic_load_n(&e->stats[i].ticks, __ATOMIC_RELAXED);
        sum->slow += __atomic_load_n(&e->stats[i].slow, __ATOMIC_RELAXED);
    }
}

static mti_bus_gone *gone_of(mti_bus *b, uint16_t owner)
{
    if (owner >= b->n_gone) {
        uint16_t n = (uint16_t)(owner + 16);
        b->gone = must(realloc(b->gone, n * sizeof *b->gone));
        memset(b->gone + b->n_gone, 0, (size_t)(n - b->n_gone) * sizeof *b->gone);
        b->n_gone = n;
    }
    return &b->gone[owner];
}

static void entry_unlink(mti_bus_entry *e)
{
    mti_bus *b = e->bus;
    pthread_mutex_lock(&b->stats_lock);
    entry_sum(e, b->n_loops + 1, gone_of(b, e->owner));
    *(e->before ? &e->before->after : &b->living) = e->after;
    if (e->after)
        e->after->before = e->before;
    pthread_mutex_unlock(&b->stats_lock);
}

static mti_bus_entry *entry_create(mti_bus *b, const mti_bus_handler *h)
{
    mti_bus_entry *e = must(calloc(1, sizeof *e));
    size_t size = (b->n_loops + 1) * sizeof(mti_bus_stats);
    e->stats = must(aligned_alloc(64, size));
    memset(e->stats, 0, size);
    e->run = h->run;
    e->self = h->self;
    e->owner = h->owner;
    e->seats[0] = h->seats[0];
    e->seats[1] = h->seats[1];
    e->instance = h->instance;
    e->scope = h->scope;
    e->label = label_intern(b, h->label);
    e->hook = h->hook;
    e->priority = h->priority;
    e->release = h->release;
    e->order = b->order++;
    e->refs = 1;
    entry_link(b, e);
    return e;
}

static void entry_unref(mti_bus_entry *e)
{
    if (atomic_fetch_sub(&e->refs, 1) != 1)
        return;
    if (e->release)
        e->release(e->self);
    entry_unlink(e);
    mti_bus_scope_destroy(e->scope);
    free(e->stats);
    free(e);
}

static int compare_place(const void *a, const void *b)
{
    return mti_bus_compare_place(*(mti_bus_entry *const *)a, *(mti_bus_entry *const *)b);
}

void mti_bus_add(mti_bus *b, const mti_bus_handler *h)
{
    if (h->hook < 0 || (unsigned)h->hook >= mti_hook_count || !h->run)
        abort();
    if (b->pending_count == b->pending_cap) {
        b->pending_cap = b->pending_cap ? b->pending_cap * 2 : 32;
        b->pending = must(realloc(b->pending, b->pending_cap * sizeof *b->pending));
    }
    b->pending[b->pending_count++] = entry_create(b, h);
}

void mti_bus_remove_owner(mti_bus *b, uint16_t owner)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < b->pending_count; i++) {
        mti_bus_entry *e = b->pending[i];
        if (e->owner == owner)
            entry_unref(e);
        else
            b->pending[kept++] = e;
    }
    b->pending_count = kept;
}

/* --- snapshots --- */

static void snapshot_free(mti_bus_snapshot *s)
{
    for (unsigned i = 0; i < s->entry_count; i++)
        entry_unref(s->entries[i]);
    free(s->entries);
    free(s->walkers);
    free(s);
}

static mti_bus_snapshot *snapshot_build(mti_bus *b)
{
    mti_bus_snapshot *s = must(calloc(1, sizeof *s));
    s->bus = b;
    size_t size = (b->n_loops + 1) * sizeof(mti_bus_walkers);
    s->walkers = must(aligned_alloc(64, size));
    memset(s->walkers, 0, size);
    s->entry_count = b->pending_count;
    s->entries = must(calloc(s->entry_count + 1, sizeof *s->entries));
    for (unsigned i = 0; i < s->entry_count; i++) {
        s->entries[i] = b->pending[i];
        atomic_fetch_add(&s->entries[i]->refs, 1);
    }
    qsort(s->entries, s->entry_count, sizeof *s->entries, compare_place);
    for (unsigned i = 0, n; i < s->entry_count; i += n) {
        for (n = 1; i + n < s->entry_count && s->entries[i + n]->hook == s->entries[i]->hook;)
            n++;
        s->hooks[s->entries[i]->hook] = (mti_bus_chain){s->entries + i, n};
    }
    return s;
}

void mti_bus_snapshot_pass(mti_bus_snapshot *s)
{
    mti_bus *b = s->bus;
    if (atomic_fetch_add(&s->passed, 1) + 1 < b->n_loops)
        return;
    pthread_mutex_lock(&b->lock);
    mti_bus_snapshot **at = &b->retired;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    pthread_mutex_unlock(&b->lock);
    snapshot_free(s);
}

/* One loop's turn has come: nothing on it but suspended emits can still walk the snapshot. */
static void on_turn(void *arg)
{
    mti_bus_snapshot *s = arg;
    mti_bus_walkers *w = &s->walkers[mti_loop_index(mti_loop_current())];
    if (w->active)
        w->waiting = true;
    else
        mti_bus_snapshot_pass(s);
}

static void snapshot_retire(mti_bus *b, mti_bus_snapshot *s)
{
    if (b->n_loops == 0 && s->walkers[0].active == 0) {
        snapshot_free(s);
        return;
    }
    pthread_mutex_lock(&b->lock);
    s->next = b->retired;
    b->retired = s;
    pthread_mutex_unlock(&b->lock);
    for (unsigned i = 0; i < b->n_loops; i++)
        mti_loop_post(b->loops[i], on_turn, s);
}

void mti_bus_publish(mti_bus *b)
{
    mti_bus_snapshot *old = atomic_exchange(&b->current, snapshot_build(b));
    if (old)
        snapshot_retire(b, old);
}

/* --- life --- */

mti_bus *mti_bus_create(mti_loop **loops, unsigned n_loops)
{
    mti_bus *b = must(calloc(1, sizeof *b));
    b->loops = must(calloc(n_loops + 1, sizeof *loops));
    for (unsigned i = 0; i < n_loops; i++)
        b->loops[i] = loops[i];
    b->n_loops = n_loops;
    b->labels = mti_map_create();
    b->ticks = mti_ticks_start();
    pthread_mutex_init(&b->lock, NULL);
    pthread_mutex_init(&b->stats_lock, NULL);
    mti_bus_publish(b);
    return b;
}

void mti_bus_destroy(mti_bus *b)
{
    if (!b)
        return;
    while (b->pending_count)
        mti_bus_remove_owner(b, b->pending[0]->owner);
    snapshot_free(b->current);
    for (mti_bus_snapshot *s = b->retired, *next; s; s = next) {
        next = s->next;
        snapshot_free(s);
    }
    size_t pos = 0;
    mt_slice key;
    void *label;
    while (mti_map_next(b->labels, &pos, &key, &label))
        free(label);
    mti_map_destroy(b->labels);
    pthread_mutex_destroy(&b->lock);
    pthread_mutex_destroy(&b->stats_lock);
    free(b->gone);
    free(b->pending);
    free(b->loops);
    free(b);
}

void mti_bus_set_held(mti_bus *b, bool (*fn)(const mt_call *c, uint16_t owner))
{
    atomic_store(&b->held, fn);
}

/* --- describing --- */

unsigned mti_bus_handlers_read(const mti_bus *b, uint16_t owner, mti_bus_handler_stats *out, unsigned cap)
{
    const mti_bus_snapshot *s = atomic_load(&b->current);
    unsigned n = 0;
    for (unsigned i = 0; i < s->entry_count && n < cap; i++) {
        const mti_bus_entry *e = s->entries[i];
        mti_bus_gone sum = {0};
        if (e->owner != owner)
            continue;
        entry_sum(e, b->n_loops + 1, &sum);
        out[n++] = (mti_bus_handler_stats){.hook = mti_hook_catalogue[e->hook].name, .label = e->label, .priority = e->priority,
                                           .budget_us = mti_hook_catalogue[e->hook].budget_us, .bypassed = e->bypassed,
                                           .calls = sum.calls, .denied = sum.denied, .errors = sum.errors, .slow = sum.slow,
                                           .us = mti_ticks_us(&b->ticks, sum.ticks)};
    }
    return n;
}

static void entry_describe(const mti_bus *b, const mti_bus_entry *e, mti_buf *out)
{
    mti_bus_gone sum = {0};
    entry_sum(e, b->n_loops + 1, &sum);
    mti_buf_addf(out, "{\"hook\":\"%s\",\"owner\":%u,\"label\":", mti_hook_catalogue[e->hook].name,
                 e->owner);
    mti_buf_add_json(out, mt_str(e->label));
    mti_buf_addf(out,
                 ",\"priority\":%d,\"budget_us\":%u,\"bypassed\":%s,\"calls\":%llu,\"denied\":%llu,\"errors\":%llu,"
                 "\"slow\":%llu,\"total_us\":%lld}",
                 e->priority, mti_hook_catalogue[e->hook].budget_us, e->bypassed ? "true" : "false", (unsigned long long)sum.calls,
                 (unsigned long long)sum.denied, (unsigned long long)sum.errors, (unsigned long long)sum.slow,
                 (long long)mti_ticks_us(&b->ticks, sum.ticks));
}

void mti_bus_owner_read(const mti_bus *bus, uint16_t owner, mti_bus_owner_stats *out)
{
    mti_bus *b = (mti_bus *)bus;
    mti_bus_gone sum = {0};
    pthread_mutex_lock(&b->stats_lock);
    if (owner < b->n_gone)
        sum = b->gone[owner];
    for (const mti_bus_entry *e = b->living; e; e = e->after)
        if (e->owner == owner)
            entry_sum(e, b->n_loops + 1, &sum);
    pthread_mutex_unlock(&b->stats_lock);
    *out = (mti_bus_owner_stats){.calls = sum.calls, .denied = sum.denied, .errors = sum.errors, .slow = sum.slow, .us = mti_ticks_us(&b->ticks, sum.ticks)};
}

void mti_bus_describe(const mti_bus *b, mti_buf *out)
{
    const mti_bus_snapshot *s = atomic_load(&b->current);
    mti_buf_addc(out, '[');
    for (unsigned i = 0; i < s->entry_count; i++) {
        if (i)
            mti_buf_addc(out, ',');
        entry_describe(b, s->entries[i], out);
    }
    mti_buf_addc(out, ']');
}
