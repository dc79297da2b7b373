/* `mortise policy replay`: a policy over recorded decisions, in an engine of its own. */
#include "policy/policy_impl.h"

#define SHOWN_MAX 100

typedef struct replayer {
    mti_policy *policy;
    const mti_hook_info *hook;
    mti_buf *differences;
    unsigned same, different, skipped;
} replayer;

static bool same_member(const json_t *a, const json_t *b, const char *key)
{
    const json_t *va = json_object_get(a, key), *vb = json_object_get(b, key);
    return va == vb || (va && vb && json_equal(va, vb));
}

/* What is decided; not by which line, nor in which words. */
static bool decide_alike(const json_t *a, const json_t *b)
{
    const json_t *pa = json_object_get(a, "patches"), *pb = json_object_get(b, "patches");
    if (!same_member(a, b, "outcome") || !same_member(a, b, "status") || !same_member(a, b, "code") ||
        json_array_size(pa) != json_array_size(pb))
        return false;
    for (size_t i = 0; i < json_array_size(pa); i++) {
        const json_t *one = json_array_get(pa, i), *other = json_array_get(pb, i);
        if (!same_member(one, other, "pointer") || !same_member(one, other, "value"))
            return false;
    }
    return true;
}

static void show(replayer *r, const json_t *record, const json_t *before, const json_t *after)
{
    mti_buf *b = r->differences;
    if (r->different++ >= SHOWN_MAX)
        return;
    mti_buf_adds(b, r->different > 1 ? ",{\"id\":" : "{\"id\":");
    mti_buf_add_json(b, mti_json_get_string(record, "id", MT_SLICE("")));
    mti_buf_adds(b, ",\"before\":");
    mti_json_dump(before, b);
    mti_buf_adds(b, ",\"after\":");
    mti_json_dump(after, b);
    mti_buf_addc(b, '}');
}

static json_t *run(replayer *r, mt_call *c, const json_t *ctx)
{
    void *payload;
    char why[256];
    json_t *after = NULL;
    if (mti_policy_payload_make(r->hook, c, ctx, &payload, why, sizeof why) != MT_OK)
        return NULL;
    mt_patch patch;
    mti_policy_verdict v;
    mti_buf text;
    mti_buf_init(&text, 4 << 20);
    mti_patch_init(&patch, c, r->hook);
    mti_policy_try(r->policy, MTI_POLICY_LIVE, c, payload, &patch, &v);
    mti_policy_verdict_write(&v, &patch, &text);
    mti_json_parse(mti_buf_slice(&text), 0, &after, NULL);
    mti_buf_dispose(&text);
    return after;
}

/* An id of version 7 begins with the milliseconds since 1970. */
static int64_t time_of(const json_t *record)
{
    mti_uuid id;
    int64_t ms = 0;
    if (!mti_uuid_parse(mti_json_get_string(record, "id", MT_SLICE("")), &id))
        return 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id.b[i];
    return ms * 1000;
}

static void replay(replayer *r, const json_t *record)
{
    const json_t *ctx = json_object_get(record, "ctx"), *before = json_object_get(record, "decision");
    mt_call c;
    mti_call_init(&c, NULL);
    r->policy->engine->now_us = time_of(record);
    json_t *after = json_is_object(ctx) && json_is_object(before) ? run(r, &c, ctx) : NULL;
    if (!after)
        r->skipped++;
    else if (decide_alike(before, after))
        r->same++;
    else
        show(r, record, before, after);
    json_decref(after);
    mti_call_dispose(&c);
}

static mt_status replay_all(replayer *r, const json_t *records, mti_buf *report)
{
    mti_buf differences;
    size_t i;
    json_t *one;
    mti_buf_init(&differences, 8 << 20);
    r->differences = &differences;
    json_array_foreach((json_t *)records, i, one)
        replay(r, one);
    mti_buf_adds(report, "{\"policy\":");
    mti_buf_add_json(report, mt_str(r->policy->name));
    mti_buf_addf(report,
                 ",\"hook\":\"%s\",\"replayed\":%u,\"same\":%u,\"different\":%u,\"skipped\":%u,"
                 "\"differences\":[",
                 r->hook->name, r->same + r->different, r->same, r->different, r->skipped);
    mti_buf_add(report, differences.p, differences.len);
    mti_buf_adds(report, "]}");
    mti_buf_dispose(&differences);
    return report->status;
}

mt_status mti_policy_replay(mti_policies *p, const char *name, mt_slice source, mt_slice records,
                            mti_buf *report, mti_error *e)
{
    json_t *list = NULL;
    MT_TRY(mti_json_parse(records, 0, &list, e));
    replayer r = {0};
    mti_policies *engine = mti_policies_create(&p->limits, NULL, 0);
    mt_status st = json_is_array(list)
                       ? mti_policy_compile(engine, name, source, &r.policy, e)
                       : mti_fail(e, MT_INVALID, "policy_records", "The records must be a JSON array.");
    if (st == MT_OK) {
        r.hook = &mti_hook_catalogue[r.policy->hook];
        st = replay_all(&r, list, report);
        mti_policy_release(r.policy);
    }
    mti_policies_destroy(engine);
    json_decref(list);
    return st;
}
