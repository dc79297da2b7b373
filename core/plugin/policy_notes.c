#include "plugin/policy_notes.h"

#include "base/log.h"
#include "base/map.h"
#include "plugin/across.h"
#include "plugin/proxies.gen.h"
#include "telemetry/metrics.h"

#include <stdlib.h>

enum { EVERY_MS = 200, BATCHES_MAX = 256, NOTES_MAX = 200, BATCH_BYTES = 1 << 20 };

typedef struct shadow_count {
    mti_uuid policy_id;
    int version;
    unsigned same, differs;
} shadow_count;

typedef struct batch {
    struct batch *next;
    mti_uuid org_id;
    shadow_count counts[MTI_ORG_POLICIES];
    unsigned n_counts, n_notes;
    mti_buf notes;               /* JSON objects, a comma between */
} batch;

struct mti_policy_notes {
    mti_host *host;
    mti_loop *loop;
    batch *first;
    unsigned n;
    mti_timer *timer;            /* NULL: none is due */
    bool giving;                 /* a fiber gives over what was gathered */
    mti_metric *dropped;
};

static void batch_free(batch *b)
{
    mti_buf_dispose(&b->notes);
    free(b);
}

/* --- giving over --- */

static void write_batch(const batch *b, mti_buf *out)
{
    char id[37];
    mti_buf_adds(out, "{\"counts\":[");
    for (unsigned i = 0; i < b->n_counts; i++) {
        mti_uuid_format(b->counts[i].policy_id, id);
        mti_buf_addf(out, "%s{\"policy_id\":\"%s\",\"version\":%d,\"same\":%u,\"differs\":%u}", i ? "," : "", id,
                     b->counts[i].version, b->counts[i].same, b->counts[i].differs);
    }
    mti_buf_adds(out, "],\"notes\":[");
    mti_buf_add(out, b->notes.p, b->notes.len);
    mti_buf_adds(out, "]}");
}

static void give(const mti_policy_notes *n, const batch *b)
{
    mt_call c;
    mti_buf text;
    mti_platform_call(&c, n->host, n->loop, "host.policy_notes");
    c.who.platform = false;
    c.who.org_id = b->org_id;
    mti_buf_init(&text, 2 * BATCH_BYTES);
    write_batch(b, &text);
    if (mti_proxy_policy_store.note(&c, mti_buf_slice(&text)) != MT_OK) {
        mti_metric_add(n->dropped, b->n_notes);
        mti_log(MTI_LOG_WARN, "policy.notes_lost", "code=%s notes=%u", c.error.code, b->n_notes);
    }
    mti_buf_dispose(&text);
    mti_call_dispose(&c);
}

static void start(mti_policy_notes *n);

static void give_all(void *arg)
{
    mti_policy_notes *n = arg;
    batch *b = n->first;
    n->first = NULL;
    n->n = 0;
    for (batch *next; b; b = next) {
        next = b->next;
        give(n, b);
        batch_free(b);
    }
    n->giving = false;
    if (n->first)
        start(n);
}

static void on_timer(void *arg)
{
    mti_policy_notes *n = arg;
    n->timer = NULL;
    n->giving = true;
    if (mti_fiber_spawn(n->loop, give_all, n) != MT_OK) {
        n->giving = false;
        start(n);
    }
}

static void start(mti_policy_notes *n)
{
    if (!n->timer && !n->giving)
        n->timer = mti_timer_start(n->loop, EVERY_MS, on_timer, n);
}

/* --- gathering --- */

static batch *batch_of(mti_policy_notes *n, mti_uuid org_id)
{
    for (batch *b = n->first; b; b = b->next)
        if (mti_uuid_eq(b->org_id, org_id))
            return b;
    batch *b = n->n < BATCHES_MAX ? calloc(1, sizeof *b) : NULL;
    if (!b)
        return NULL;
    b->org_id = org_id;
    mti_buf_init(&b->notes, BATCH_BYTES);
    b->next = n->first;
    n->first = b;
    n->n++;
    return b;
}

static void count(batch *b, const mti_policy_note *note)
{
    unsigned i = 0;
    while (i < b->n_counts && !(mti_uuid_eq(b->counts[i].policy_id, note->policy_id) && b->counts[i].version == note->shadow_version))
        i++;
    if (i == MTI_ORG_POLICIES)
        return;
    if (i == b->n_counts)
        b->counts[b->n_counts++] = (shadow_count){.policy_id = note->policy_id, .version = note->shadow_version};
    *(note->differs ? &b->counts[i].differs : &b->counts[i].same) += 1;
}

void mti_policy_notes_add(void *notes, mt_call *c, const mti_policy_note *note)
{
    mti_policy_notes *n = notes;
    batch *b = batch_of(n, note->org_id);
    if (b && note->shadow_version)
        count(b, note);
    if (b && note->json.p && b->n_notes < NOTES_MAX && b->notes.len + note->json.len + 2 < BATCH_BYTES) {
        if (b->n_notes++)
            mti_buf_addc(&b->notes, ',');
        mti_buf_add(&b->notes, note->json.p, note->json.len);
    } else if (!b || note->json.p) {
        mti_metric_add(n->dropped, 1);
    }
    start(n);
}

/* --- life --- */

mti_policy_notes *mti_policy_notes_create(mti_host *h, mti_loop *l)
{
    mti_policy_notes *n = calloc(1, sizeof *n);
    if (!n)
        abort();
    *n = (mti_policy_notes){.host = h, .loop = l};
    mti_family *f = mti_metric_family(MTI_COUNTER, "mortise_policy_notes_dropped_total", "Notes of policies that came faster than they could be kept.", "");
    n->dropped = mti_metric_get(f, NULL, 0);
    return n;
}

void mti_policy_notes_destroy(mti_policy_notes *n)
{
    if (n->timer)
        mti_timer_cancel(n->timer);
    for (batch *b = n->first, *next; b; b = next) {
        next = b->next;
        batch_free(b);
    }
    free(n);
}
