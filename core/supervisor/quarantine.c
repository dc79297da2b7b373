/* What the supervisor remembers of deaths in plugins' code, and when that is too much. */
#include "supervisor/internal.h"

#include <time.h>

#include "base/log.h"
#include "quarantine/quarantine.h"

enum { TRIES = 20 };         /* nobody who hangs keeps a host from being started again */

static void add(const mti_supervisor *s, json_t *q, const mti_death *d)
{
    const mti_quarantine_rule rule = {mti_config_int(s->config, "quarantine.crashes"), mti_config_int(s->config, "quarantine.window") / 1000};
    const mti_crash crash = {time(NULL), d->plugin.slug, d->plugin.version, d->org, d->operation, d->how};
    mti_error e = {0};
    const json_t *entry = mti_quarantine_crash(q, &crash, &rule);
    if (entry)
        mti_log(MTI_LOG_ERROR, "plugin.quarantined", "plugin=%s version=%s organization=%s reason=%s", d->plugin.slug, d->plugin.version,
                json_is_string(json_object_get(entry, "organization_id")) ? d->org : "all", mti_json_get_string(entry, "reason", MT_SLICE("")).p);
    if (mti_quarantine_write(s->dir, q, &e) != MT_OK)
        mti_log(MTI_LOG_ERROR, "quarantine.not_kept", "detail=%s", e.detail);
}

void mti_death_remember(const mti_supervisor *s, const mti_death *d)
{
    mti_error why = {0};
    int lock = mti_quarantine_lock(s->dir, TRIES);
    json_t *q = mti_quarantine_read(s->dir, &why);
    if (why.detail[0])
        mti_log(MTI_LOG_WARN, "quarantine.unreadable", "detail=%s", why.detail);
    mti_log(MTI_LOG_WARN, "plugin.crashed", "plugin=%s version=%s how=%s organization=%s operation=%s", d->plugin.slug, d->plugin.version, d->how, d->org[0] ? d->org : "none",
            d->operation[0] ? d->operation : "none");
    add(s, q, d);
    mti_quarantine_unlock(lock);
    json_decref(q);
}
