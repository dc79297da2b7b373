/* `mortise policy test`: cases from a JSON file, run in an engine of their own. */
#include "policy/policy_impl.h"

#define REPEAT_MAX 10000

static const char *const OUTCOMES[] = {"continue", "stop", "deny", "error"};

typedef struct tester {
    mti_policies *engine;
    mti_policy *policy;
    const mti_hook_info *hook;
    mti_buf *report;
    unsigned passed, failed;
} tester;

/* What a case came to. why: a reason that it failed, or "". */
typedef struct verdict {
    mti_policy_verdict was;
    int64_t us;
    char why[256];
} verdict;

/* --- judging --- */

static void judge_text(verdict *v, const json_t *expect, const char *key, const char *got)
{
    const json_t *want = json_object_get(expect, key);
    if (want && !v->why[0] && (!json_is_string(want) || strcmp(json_string_value(want), got) != 0))
        snprintf(v->why, sizeof v->why, "%s is %s, not %s", key, got,
                 json_is_string(want) ? json_string_value(want)
                                      : "what the case expects (no text)");
}

static void judge_patches(verdict *v, const json_t *expect, mt_slice patches)
{
    const json_t *want = json_object_get(expect, "patches");
    json_t *got = NULL;
    if (!want || v->why[0])
        return;
    if (mti_json_parse(patches, 0, &got, NULL) != MT_OK || !json_equal(got, want))
        snprintf(v->why, sizeof v->why, "the patches are %.*s",
                 (int)(patches.len < 200 ? patches.len : 200), patches.p);
    json_decref(got);
}

static void judge(verdict *v, const json_t *expect, mt_slice patches)
{
    judge_text(v, expect, "outcome", OUTCOMES[v->was.outcome]);
    bool failed = v->was.outcome == MT_DENY || v->was.outcome == MT_ERROR;
    judge_text(v, expect, "code", failed ? v->was.error.code : "");
    const json_t *status = json_object_get(expect, "status");
    if (status && !v->why[0] &&
        (!failed || json_integer_value(status) != mti_error_http(&v->was.error)))
        snprintf(v->why, sizeof v->why, "the status is %d",
                 failed ? mti_error_http(&v->was.error) : 200);
    judge_patches(v, expect, patches);
}

/* --- one case --- */

static void write_case(tester *t, const char *name, const verdict *v, mt_slice patches)
{
    mti_buf *b = t->report;
    mti_buf_adds(b, t->passed + t->failed ? ",{\"name\":" : "{\"name\":");
    mti_buf_add_json(b, mt_str(name));
    mti_buf_addf(b, ",\"passed\":%s,\"outcome\":\"%s\",\"line\":%d,\"us\":%lld,\"patches\":",
                 v->why[0] ? "false" : "true", OUTCOMES[v->was.outcome], v->was.line, (long long)v->us);
    mti_buf_add(b, patches.p, patches.len);
    if (v->was.outcome == MT_DENY || v->was.outcome == MT_ERROR) {
        mti_buf_addf(b, ",\"status\":%d,\"code\":", mti_error_http(&v->was.error));
        mti_buf_add_json(b, mt_str(v->was.error.code));
        mti_buf_adds(b, ",\"detail\":");
        mti_buf_add_json(b, mt_str(v->was.message[0] ? v->was.message : v->was.error.detail));
    }
    if (v->why[0]) {
        mti_buf_adds(b, ",\"why\":");
        mti_buf_add_json(b, mt_str(v->why));
    }
    mti_buf_addc(b, '}');
}

static void run_repeatedly(tester *t, mt_call *c, const void *payload, long repeat, mt_patch *patch,
                           verdict *v)
{
    for (long i = 0; i < repeat; i++) {
        mti_patch_init(patch, c, t->hook);
        int64_t from = mti_mono_us();
        mti_policy_try(t->policy, MTI_POLICY_LIVE, c, payload, patch, &v->was);
        v->us = mti_mono_us() - from;
    }
}

static void run_case(tester *t, const json_t *one, size_t index)
{
    mt_call c;
    mti_call_init(&c, NULL);
    char fallback[32];
    snprintf(fallback, sizeof fallback, "case %zu", index + 1);
    const json_t *named = json_object_get(one, "name");
    const char *name = json_is_string(named) ? json_string_value(named) : fallback;
    long repeat = (long)mti_json_get_int(one, "repeat", 1);
    t->engine->now_us = mti_json_get_int(one, "now", 0) * 1000000;
    verdict v = {0};
    void *payload;
    mti_policy_payload_make(t->hook, &c, json_object_get(one, "ctx"), &payload, v.why, sizeof v.why);
    mt_patch patch;
    run_repeatedly(t, &c, payload,
                   repeat < 1            ? 1
                   : repeat > REPEAT_MAX ? REPEAT_MAX
                                         : repeat,
                   &patch, &v);
    mti_buf patches;
    mti_buf_init(&patches, 1 << 20);
    mti_patch_write(&patch, &patches);
    if (!json_is_object(json_object_get(one, "expect")))
        snprintf(v.why, sizeof v.why, "the case has no expect");
    judge(&v, json_object_get(one, "expect"), mti_buf_slice(&patches));
    write_case(t, name, &v, mti_buf_slice(&patches));
    *(v.why[0] ? &t->failed : &t->passed) += 1;
    mti_buf_dispose(&patches);
    mti_call_dispose(&c);
}

static void run_cases(tester *t, const json_t *cases, mti_buf *report)
{
    mti_buf list;
    mti_buf_init(&list, 16 << 20);
    t->report = &list;
    for (size_t i = 0; i < json_array_size(cases); i++)
        run_case(t, json_array_get(cases, i), i);
    mti_buf_adds(report, "{\"policy\":");
    mti_buf_add_json(report, mt_str(t->policy->name));
    mti_buf_addf(report, ",\"hook\":\"%s\",\"passed\":%u,\"failed\":%u,\"cases\":[", t->hook->name,
                 t->passed, t->failed);
    mti_buf_add(report, list.p, list.len);
    mti_buf_adds(report, "]}");
    mti_buf_dispose(&list);
}

mt_status mti_policy_test(mti_policies *p, const char *name, mt_slice source, mt_slice cases,
                          mti_buf *report, mti_error *e)
{
    json_t *list = NULL;
    MT_TRY(mti_json_parse(cases, 0, &list, e));
    mt_status st = MT_OK;
    tester t = {.engine = mti_policies_create(&p->limits, NULL, 0)};
    if (!json_is_array(list))
        st = mti_fail(e, MT_INVALID, "policy_cases", "The cases must be a JSON array.");
    else
        st = mti_policy_compile(t.engine, name, source, &t.policy, e);
    if (st == MT_OK) {
        t.hook = &mti_hook_catalogue[t.policy->hook];
        run_cases(&t, list, report);
        mti_policy_release(t.policy);
        st = report->status;
    }
    mti_policies_destroy(t.engine);
    json_decref(list);
    return st;
}
