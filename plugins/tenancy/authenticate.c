/* Who asks: a key's SHA-256 is looked up in the core's directory (expiry, switched off, workspace:
 * there). And noting when a key was used. */
#include "tenancy.h"

#include <mortise/hooks.h>
#include <mortise/json.h>
#include <stdatomic.h>
#include <strings.h>

enum { NOTE_EVERY_US = 300 * 1000000 };

bool tenancy_hash(const tenancy *t, mt_slice key, unsigned char hash[32])
{
    return EVP_Digest(key.p, key.len, hash, NULL, t->sha256, NULL) == 1;
}

static bool is_key_scheme(mt_slice scheme)
{
    return (scheme.len == 6 && !strncasecmp(scheme.p, "bearer", 6)) ||
           mt_slice_eq(scheme, MT_SLICE("key"));
}

/* Says why, in the words that the look-up left (copied: denying overwrites them). */
static mt_outcome refuse(mt_call *c)
{
    mt_slice code = mt_problem_code(c), detail = mt_problem_detail(c);
    return mt_hook_deny(c, 401, mt_printf(c, "%.*s", (int)code.len, code.p),
                        mt_printf(c, "%.*s", (int)detail.len, detail.p));
}

mt_outcome tenancy_on_authenticate(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_auth_authenticate *a = in;
    unsigned char hash[32];
    bool found = false;
    if (!is_key_scheme(a->scheme))
        return MT_CONTINUE;
    if (!tenancy_hash(self, a->credential, hash))
        return MT_ERROR;
    mt_status s = mt_auth_find(c, (mt_slice){(const char *)hash, sizeof hash}, &found);
    if (s == MT_UNAUTHENTICATED)
        return refuse(c);
    if (s != MT_OK)
        return MT_ERROR;
    return found ? MT_STOP : MT_CONTINUE;
}

/* Ids are random enough in their last eight bytes: of two keys that share a place, one is noted
 * more often than needed. */
static uint64_t place_of(mt_slice subject)
{
    uint64_t h = 0;
    for (size_t i = 0; i < subject.len; i++)
        h = h * 31 + (unsigned char)subject.p[i];
    return (h ^ h >> 32) | 1;
}

/* True for one caller every five minutes a key. */
static bool is_due(tenancy *t, mt_slice subject, int64_t now_us)
{
    uint64_t key = place_of(subject);
    size_t i = key / 2 % USES;
    int64_t noted = atomic_load_explicit(&t->uses[i].noted_us, memory_order_relaxed);
    if (atomic_load_explicit(&t->uses[i].key, memory_order_relaxed) == key &&
        now_us - noted < NOTE_EVERY_US)
        return false;
    if (!atomic_compare_exchange_strong(&t->uses[i].noted_us, &noted, now_us))
        return false;
    atomic_store_explicit(&t->uses[i].key, key, memory_order_relaxed);
    return true;
}

mt_outcome tenancy_on_done(void *self, mt_call *c, const void *in, mt_patch *out)
{
    static const char nobody[] = "00000000-0000-0000-0000-000000000000";
    const mt_http_done *d = in;
    if (d->subject_id.len != sizeof nobody - 1 ||
        !memcmp(d->subject_id.p, nobody, sizeof nobody - 1))
        return MT_CONTINUE;
    if (!is_due(self, d->subject_id, mt_host_->clock_us()))
        return MT_CONTINUE;
    const mt_field args[] = {{MT_SLICE("key_id"), d->subject_id}};
    return mt_db_exec(c, MT_SLICE("key_used"), args, 1, NULL) == MT_OK ? MT_CONTINUE : MT_ERROR;
}
