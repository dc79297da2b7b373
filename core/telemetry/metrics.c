/*
 * A series of a counter or histogram has one shard for each of the first SHARDS - 1 threads, which
 * alone write to it (a relaxed load and store); any further threads share the last one through
 * compare-and-swap. Shards are made on a thread's first touch and live for good, like the registry.
 */
#include "telemetry/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/utf8.h"

enum { SHARDS = 33, MAX_SERIES = 256, MAX_LABELS = 8, MAX_BOUNDS = 64, MAX_LABEL_BYTES = 128 };

typedef struct shard {
    _Atomic double sum;        /* counter: the value; histogram: the sum of what was observed */
    _Atomic uint64_t counts[]; /* histogram: one a bucket, the last is +Inf */
} shard;

struct mti_metric {
    mti_family *family;
    mti_metric *next;
    _Atomic double gauge;
    _Atomic(shard *) shards[SHARDS];
    char labels[]; /* rendered: a="x",b="y" */
};

struct mti_family {
    mti_family *next;
    mti_metric_kind kind;
    char *name, *help;
    char *labels[MAX_LABELS];
    size_t n_labels, n_bounds;
    double bounds[MAX_BOUNDS];
    double (*callback)(void *);
    void *callback_arg;
    pthread_rwlock_t lock; /* over what is below */
    mti_map *by_values;
    mti_metric *first, **last;
    size_t n_series;
};

static struct {
    pthread_mutex_t lock;
    mti_family *first, **last;
} registry = {PTHREAD_MUTEX_INITIALIZER, NULL, NULL};

static const double default_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                        0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static unsigned thread_shard(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned mine; /* shard + 1 */
    if (mine == 0) {
        unsigned n = atomic_fetch_add(&threads, 1);
        mine = (n < SHARDS - 1 ? n : SHARDS - 1) + 1;
    }
    return mine - 1;
}

/* A name that Prometheus accepts, with the suffix that its linter asks of counters. */
static char *clean_name(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    char *out = must(malloc(n + m + 2)), *p = out;
    if (name[0] >= '0' && name[0] <= '9')
        *p++ = '_';
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == ':';
        *p++ = fine ? c : '_';
    }
    *p = 0;
    if (m && (n < m || strcmp(name + n - m, suffix) != 0))
        memcpy(p, suffix, m + 1);
    return out;
}

static void split_labels(mti_family *f, const char *labels)
{
    while (*labels && f->n_labels < MAX_LABELS) {
        size_t len = strcspn(labels, ",");
        char *one = must(strndup(labels, len));
        f->labels[f->n_labels++] = clean_name(one, "");
        free(one);
        labels += len + (labels[len] == ',');
    }
}

static mti_family *family_create(mti_metric_kind kind, char *name, const char *help,
                                 const char *labels)
{
    mti_family *f = must(calloc(1, sizeof *f));
    f->kind = kind;
    f->name = name;
    f->help = must(strdup(help && *help ? help : name));
    split_labels(f, labels);
    pthread_rwlock_init(&f->lock, NULL);
    f->by_values = mti_map_create();
    f->last = &f->first;
    if (kind == MTI_HISTOGRAM)
        mti_family_buckets(f, default_bounds, sizeof default_bounds / sizeof *default_bounds);
    return f;
}

/* The lock is held. */
static mti_family *family_register(mti_metric_kind kind, const char *name, const char *help,
                                   const char *labels)
{
    char *clean = clean_name(name, kind == MTI_COUNTER ? "_total" : "");
    for (mti_family *f = registry.first; f; f = f->next)
        if (strcmp(f->name, clean) == 0) {
            free(clean);
            return f;
        }
    mti_family *f = family_create(kind, clean, help, labels);
    if (!registry.last)
        registry.last = &registry.first;
    *registry.last = f;
    registry.last = &f->next;
    return f;
}

mti_family *mti_metric_family(mti_metric_kind kind, const char *name, const char *help,
                              const char *labels)
{
    pthread_mutex_lock(&registry.lock);
    mti_family *f = family_register(kind, name, help, labels);
    pthread_mutex_unlock(&registry.lock);
    if (f->kind != kind) {
        fprintf(stderr, "mortise: metric %s was registered as another kind\n", f->name);
        abort();
    }
    return f;
}

static bool has_labels(const mti_family *f, const char *labels)
{
    size_t i = 0;
    for (; *labels && i < f->n_labels; i++) {
        size_t len = strcspn(labels, ",");
        if (strncmp(labels, f->labels[i], len) != 0 || f->labels[i][len])
            return false;
        labels += len + (labels[len] == ',');
    }
    return !*labels && i == f->n_labels;
}

mti_family *mti_metric_try_family(mti_metric_kind kind, const char *name, const char *help,
                                  const char *labels)
{
    pthread_mutex_lock(&registry.lock);
    mti_family *f = family_register(kind, name, help, labels);
    pthread_mutex_unlock(&registry.lock);
    return f->kind == kind && has_labels(f, labels) ? f : NULL;
}

void mti_family_buckets(mti_family *f, const double *bounds, size_t n)
{
    if (f->first)
        return; /* its series have shards of the old size */
    f->n_bounds = n < MAX_BOUNDS ? n : MAX_BOUNDS;
    memcpy(f->bounds, bounds, f->n_bounds * sizeof *bounds);
}

static void add_escaped(mti_buf *b, mt_slice s, bool quotes)
{
    for (size_t i = 0; i < s.len;) {
        size_t n = mti_utf8_len(s.p + i, s.len - i);
        if (n == 0)
            mti_buf_addc(b, '?');
        else if (s.p[i] == '\\' || (quotes && s.p[i] == '"'))
            mti_buf_addf(b, "\\%c", s.p[i]);
        else if (s.p[i] == '\n')
            mti_buf_adds(b, "\\n");
        else
            mti_buf_add(b, s.p + i, n);
        i += n ? n : 1;
    }
}

static void render_labels(const mti_family *f, const mt_slice *values, size_t n, mti_buf *b)
{
    for (size_t i = 0; i < f->n_labels; i++) {
        mt_slice v = i < n ? values[i] : (mt_slice){0};
        v.len = v.len > MAX_LABEL_BYTES ? mti_utf8_cut(v, MAX_LABEL_BYTES) : v.len;
        mti_buf_addf(b, "%s%s=\"", i ? "," : "", f->labels[i]);
        add_escaped(b, v, true);
        mti_buf_addc(b, '"');
    }
}

static mti_metric *series_create(mti_family *f, mt_slice labels)
{
    mti_metric *m = must(calloc(1, sizeof *m + labels.len + 1));
    m->family = f;
    if (labels.len)
        memcpy(m->labels, labels.p, labels.len);
    mti_map_put(f->by_values, labels, m);
    *f->last = m;
    f->last = &m->next;
    f->n_series++;
    return m;
}

static mti_metric *series_find_or_create(mti_family *f, mt_slice labels)
{
    mti_metric *m = mti_map_get(f->by_values, labels);
    if (m)
        return m;
    if (f->n_series < MAX_SERIES - 1)
        return series_create(f, labels);
    mt_slice other[MAX_LABELS];
    for (size_t i = 0; i < MAX_LABELS; i++)
        other[i] = MT_SLICE("other");
    mti_buf b;
    mti_buf_init(&b, 65536);
    render_labels(f, other, MAX_LABELS, &b);
    m = mti_map_get(f->by_values, mti_buf_slice(&b));
    if (!m)
        m = series_create(f, mti_buf_slice(&b));
    mti_buf_dispose(&b);
    return m;
}

mti_metric *mti_metric_get(mti_family *f, const mt_slice *values, size_t n)
{
    mti_buf b;
    mti_buf_init(&b, 65536);
    render_labels(f, values, n, &b);
    pthread_rwlock_rdlock(&f->lock);
    mti_metric *m = mti_map_get(f->by_values, mti_buf_slice(&b));
    pthread_rwlock_unlock(&f->lock);
    if (!m) {
        pthread_rwlock_wrlock(&f->lock);
        m = series_find_or_create(f, mti_buf_slice(&b));
        pthread_rwlock_unlock(&f->lock);
    }
    mti_buf_dispose(&b);
    return m;
}

static shard *shard_get(mti_metric *m, unsigned i)
{
    shard *s = atomic_load_explicit(&m->shards[i], memory_order_acquire);
    if (s)
        return s;
    size_t buckets = m->family->kind == MTI_HISTOGRAM ? m->family->n_bounds + 1 : 0;
    size_t size =
        (sizeof *s + buckets * sizeof s->counts[0] + 63) & ~(size_t)63; /* whole cache lines */
    shard *fresh = must(aligned_alloc(64, size)), *none = NULL;
    memset(fresh, 0, size);
    if (atomic_compare_exchange_strong(&m->shards[i], &none, fresh))
        return fresh;
    free(fresh);
    return none;
}

static void double_add(_Atomic double *d, double v, bool shared)
{
    double old = atomic_load_explicit(d, memory_order_relaxed);
    if (!shared)
        atomic_store_explicit(d, old + v, memory_order_relaxed);
    else
        while (!atomic_compare_exchange_weak_explicit(d, &old, old + v, memory_order_relaxed,
                                                      memory_order_relaxed))
            ;
}

void mti_metric_add(mti_metric *m, double v)
{
    if (m->family->kind == MTI_GAUGE) {
        double_add(&m->gauge, v, true);
    } else if (m->family->kind == MTI_COUNTER && v >= 0) {
        unsigned i = thread_shard();
        double_add(&shard_get(m, i)->sum, v, i == SHARDS - 1);
    }
}

void mti_metric_set(mti_metric *m, double v)
{
    atomic_store_explicit(&m->gauge, v, memory_order_relaxed);
}

void mti_family_zero(mti_family *f)
{
    pthread_rwlock_rdlock(&f->lock);
    for (mti_metric *m = f->first; m; m = m->next)
        mti_metric_set(m, 0);
    pthread_rwlock_unlock(&f->lock);
}

void mti_metric_observe(mti_metric *m, double v)
{
    if (m->family->kind != MTI_HISTOGRAM || isnan(v))
        return;
    unsigned i = thread_shard();
    shard *s = shard_get(m, i);
    size_t b = 0;
    while (b < m->family->n_bounds && v > m->family->bounds[b])
        b++;
    double_add(&s->sum, v, i == SHARDS - 1);
    if (i == SHARDS - 1)
        atomic_fetch_add_explicit(&s->counts[b], 1, memory_order_relaxed);
    else
        atomic_store_explicit(&s->counts[b],
                              atomic_load_explicit(&s->counts[b], memory_order_relaxed) + 1,
                              memory_order_relaxed);
}

static double series_sum(const mti_metric *m)
{
    double sum = 0;
    for (unsigned i = 0; i < SHARDS; i++) {
        shard *s = atomic_load_explicit(&m->shards[i], memory_order_acquire);
        sum += s ? atomic_load_explicit(&s->sum, memory_order_relaxed) : 0;
    }
    return sum;
}

static uint64_t series_count(const mti_metric *m, size_t bucket)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < SHARDS; i++) {
        shard *s = atomic_load_explicit(&m->shards[i], memory_order_acquire);
        n += s ? atomic_load_explicit(&s->counts[bucket], memory_order_relaxed) : 0;
    }
    return n;
}

double mti_metric_value(const mti_metric *m)
{
    if (m->family->kind == MTI_GAUGE)
        return atomic_load_explicit(&m->gauge, memory_order_relaxed);
    if (m->family->kind == MTI_COUNTER)
        return series_sum(m);
    uint64_t n = 0;
    for (size_t b = 0; b <= m->family->n_bounds; b++)
        n += series_count(m, b);
    return (double)n;
}

void mti_metric_callback(const char *name, const char *help, double (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&registry.lock);
    mti_family *f = family_register(MTI_GAUGE, name, help, "");
    f->callback = fn;
    f->callback_arg = arg;
    pthread_mutex_unlock(&registry.lock);
}

static void add_number(mti_buf *out, double v)
{
    if (isnan(v)) {
        mti_buf_adds(out, "NaN");
    } else if (isinf(v)) {
        mti_buf_adds(out, v > 0 ? "+Inf" : "-Inf");
    } else {
        char text[40];
        snprintf(text, sizeof text, "%.15g", v);
        if (strtod(text, NULL) != v)
            snprintf(text, sizeof text, "%.17g", v);
        mti_buf_adds(out, text);
    }
}

static void write_sample(mti_buf *out, const char *name, const char *suffix, const char *labels,
                         double v)
{
    mti_buf_addf(out, "%s%s", name, suffix);
    if (*labels)
        mti_buf_addf(out, "{%s}", labels);
    mti_buf_addc(out, ' ');
    add_number(out, v);
    mti_buf_addc(out, '\n');
}

static void write_histogram(mti_buf *out, const mti_metric *m)
{
    const mti_family *f = m->family;
    uint64_t n = 0;
    for (size_t b = 0; b <= f->n_bounds; b++) {
        n += series_count(m, b);
        mti_buf_addf(out, "%s_bucket{%s%sle=\"", f->name, m->labels, *m->labels ? "," : "");
        add_number(out, b < f->n_bounds ? f->bounds[b] : INFINITY);
        mti_buf_addf(out, "\"} %llu\n", (unsigned long long)n);
    }
    write_sample(out, f->name, "_sum", m->labels, series_sum(m));
    write_sample(out, f->name, "_count", m->labels, (double)n);
}

static void write_family(mti_buf *out, mti_family *f)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    mti_buf_addf(out, "# HELP %s ", f->name);
    add_escaped(out, mt_str(f->help), false);
    mti_buf_addf(out, "\n# TYPE %s %s\n", f->name, kinds[f->kind]);
    if (f->callback)
        write_sample(out, f->name, "", "", f->callback(f->callback_arg));
    pthread_rwlock_rdlock(&f->lock);
    for (const mti_metric *m = f->first; m; m = m->next)
        if (f->kind == MTI_HISTOGRAM)
            write_histogram(out, m);
        else
            write_sample(out, f->name, "", m->labels, mti_metric_value(m));
    pthread_rwlock_unlock(&f->lock);
}

void mti_metrics_write(mti_buf *out)
{
    pthread_mutex_lock(&registry.lock);
    for (mti_family *f = registry.first; f; f = f->next)
        write_family(out, f);
    pthread_mutex_unlock(&registry.lock);
}
