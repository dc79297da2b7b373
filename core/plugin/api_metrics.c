/* metrics/1: families of plugins, by number, so that a wrong handle counts nothing. */
#include "plugin/api.h"
#include "plugin/host.h"
#include "plugin/manager.h"

#include "telemetry/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { FAMILIES = 512, WORD = 64 };

/* Handle n is families[n - 1]. Appended under the lock, read by all. */
static struct {
    pthread_mutex_t lock;
    atomic_uint n;
    mti_family *list[FAMILIES];
    mti_metric_kind kinds[FAMILIES];
} families = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_word(mt_slice s)
{
    bool good = s.len && s.len <= WORD && s.p[0] >= 'a' && s.p[0] <= 'z';
    for (size_t i = 0; i < s.len && good; i++)
        good = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_';
    return good;
}

static bool are_words(mt_slice list)
{
    while (list.len) {
        const char *comma = memchr(list.p, ',', list.len);
        size_t n = comma ? (size_t)(comma - list.p) : list.len;
        if (!is_word((mt_slice){list.p, n}) || (comma && n + 1 == list.len))
            return false;
        list = (mt_slice){list.p + n + (comma != NULL), list.len - n - (comma != NULL)};
    }
    return true;
}

static bool find_kind(mt_slice name, mti_metric_kind *kind)
{
    static const char *const names[] = {[MTI_COUNTER] = "counter", [MTI_GAUGE] = "gauge", [MTI_HISTOGRAM] = "histogram"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (mt_slice_eq(name, mt_str(names[i]))) {
            *kind = (mti_metric_kind)i;
            return true;
        }
    return false;
}

static mt_status number_of(mti_family *f, mti_metric_kind kind, mt_handle *out)
{
    unsigned n = atomic_load(&families.n), i = 0;
    while (i < n && families.list[i] != f)
        i++;
    if (i == FAMILIES)
        return MT_LIMITED;
    if (i == n) {
        families.list[i] = f;
        families.kinds[i] = kind;
        atomic_store(&families.n, n + 1);
    }
    *out = i + 1;
    return MT_OK;
}

static mt_status metrics_family(mt_call *c, mt_slice kind_name, mt_slice name, mt_slice help, mt_slice labels, mt_handle *out)
{
    char full[160], labels_text[256], help_text[256];
    mti_metric_kind kind;
    *out = 0;
    if (!find_kind(kind_name, &kind) || !is_word(name) || !are_words(labels) || labels.len >= sizeof labels_text)
        return mti_fail(&c->error, MT_INVALID, "metric_invalid", "The metric \"%.*s\" has no right name, kind or labels.", (int)(name.len < 64 ? name.len : 64), name.p ? name.p : "");
    snprintf(full, sizeof full, "mortise_%s_%.*s", mti_plugin_slug(c->host->plugins, c->plugin), (int)name.len, name.p);
    snprintf(labels_text, sizeof labels_text, "%.*s", (int)labels.len, labels.p ? labels.p : "");
    snprintf(help_text, sizeof help_text, "%.*s", (int)help.len, help.p ? help.p : "");
    pthread_mutex_lock(&families.lock);
    mti_family *f = atomic_load(&families.n) < FAMILIES ? mti_metric_try_family(kind, full, help_text, labels_text) : NULL;
    mt_status s = f ? number_of(f, kind, out) : atomic_load(&families.n) < FAMILIES ? MT_CONFLICT : MT_LIMITED;
    pthread_mutex_unlock(&families.lock);
    return s == MT_OK ? s : mti_fail(&c->error, s, "metric_refused", "%s has another kind or other labels, or there are too many metrics.", full);
}

static mti_metric *series(mt_handle family, const mt_slice *values, size_t n, bool histogram)
{
    if (!family || family > atomic_load(&families.n) || (families.kinds[family - 1] == MTI_HISTOGRAM) != histogram)
        return NULL;
    return mti_metric_get(families.list[family - 1], values, n);
}

static mt_status metrics_add(mt_handle family, const mt_slice *values, size_t n, double by)
{
    mti_metric *m = series(family, values, n, false);
    if (m)
        mti_metric_add(m, by);
    return MT_OK;
}

static mt_status metrics_set(mt_handle family, const mt_slice *values, size_t n, double to)
{
    mti_metric *m = series(family, values, n, false);
    if (m && families.kinds[family - 1] == MTI_GAUGE)
        mti_metric_set(m, to);
    return MT_OK;
}

static mt_status metrics_zero(mt_handle family)
{
    if (family && family <= atomic_load(&families.n) && families.kinds[family - 1] == MTI_GAUGE)
        mti_family_zero(families.list[family - 1]);
    return MT_OK;
}

static mt_status metrics_observe(mt_handle family, const mt_slice *values, size_t n, double seconds)
{
    mti_metric *m = series(family, values, n, true);
    if (m)
        mti_metric_observe(m, seconds);
    return MT_OK;
}

const mt_metrics_1 mti_api_metrics = {.size = sizeof mti_api_metrics, .version = 1, .family = metrics_family, .add = metrics_add, .set = metrics_set, .zero = metrics_zero, .observe = metrics_observe};
