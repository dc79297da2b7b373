/* `mortise policy test`: cases from a JSON file, run in an engine of their own. */
#include "policy/policy_impl.h"

#include "json/json.h"

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
    mt_outcome outcome;
    mti_policy_frame run;
    int64_t us;
    char why[256];
} verdict;

/* --- the payload of a case --- */

static mt_slice text_of(mt_call *c, const json_t *v)
{
    if (json_is_string(v))
        return mti_arena_slice(&c->arena, mti_json_text(v));
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    mt_slice text = {NULL, 0};
    if (!json_is_null(v) && mti_json_dump(v, &b) == MT_OK)
        text = mti_arena_slice(&c->arena, mti_buf_slice(&b));
    mti_buf_dispose(&b);
    return text;
}

static mt_slice json_of(mt_call *c, const json_t *v)
{
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    mti_json_dump(v, &b);
    mt_slice text = mti_arena_slice(&c->arena, mti_buf_slice(&b));
    mti_buf_dispose(&b);
    return text;
}

static void set_field(mt_call *c, char *payload, const mti_hook_field *f, const json_t *v)
{
    void *at = payload + f->offset;
    switch (f->type) {
    case MTI_F_SLICE:
        *(mt_slice *)at = text_of(c, v);
        break;
    case MTI_F_JSON:
        *(mt_slice *)at = json_of(c, v);
        break;
    case MTI_F_I32:
        *(int32_t *)at = (int32_t)json_integer_value(v);
        break;
    case MTI_F_U32:
        *(uint32_t *)at = (uint32_t)json_integer_value(v);
        break;
    case MTI_F_I64:
        *(int64_t *)at = json_integer_value(v);
        break;
    case MTI_F_F64:
        *(double *)at = json_number_value(v);
        break;
    case MTI_F_BOOL:
        *(bool *)at = json_is_true(v);
        break;
    }
}

/* A field that belongs to the call and not to the payload; false when there is none of that name.
 */
static bool set_common(mt_call *c, const char *name, const json_t *v)
{
    mt_slice text = text_of(c, v);
    if (strcmp(name, "org_id") == 0)
        return mti_uuid_parse(text, &c->who.org_id);
    if (strcmp(name, "workspace_id") == 0)
        return mti_uuid_parse(text, &c->workspace_id);
    if (strcmp(name, "subject_id") == 0)
        return mti_uuid_parse(text, &c->who.subject_id);
    if (strcmp(name, "operation") != 0)
        return false;
    c->operation = mti_arena_strndup(&c->arena, text.p, text.len);
    return true;
}

static char *payload_make(const tester *t, mt_call *c, const json_t *ctx, verdict *v)
{
    char *payload = mti_arena_alloc(&c->arena, t->hook->size);
    *(uint32_t *)payload = t->hook->size;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)ctx, name, value)
    {
        bool known = false;
        for (unsigned i = 0; i < t->hook->n_fields; i++) {
            if (strcmp(name, t->hook->fields[i].name) != 0)
                continue;
            set_field(c, payload, &t->hook->fields[i], value);
            known = true;
        }
        if (!set_common(c, name, value) && !known)
            snprintf(v->why, sizeof v->why, "%s has no field %s, or it is not an id", t->hook->name,
                     name);
    }
    return payload;
}

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

static void judge(verdict *v, const mt_call *c, const json_t *expect, mt_slice patches)
{
    judge_text(v, expect, "outcome", OUTCOMES[v->outcome]);
    bool failed = v->outcome == MT_DENY || v->outcome == MT_ERROR;
    judge_text(v, expect, "code", failed ? c->error.code : "");
    const json_t *status = json_object_get(expect, "status");
    if (status && !v->why[0] &&
        (!failed || json_integer_value(status) != mti_error_http(&c->error)))
        snprintf(v->why, sizeof v->why, "the status is %d",
                 failed ? mti_error_http(&c->error) : 200);
    judge_patches(v, expect, patches);
}

/* --- one case --- */

static void write_case(tester *t, const char *name, const mt_call *c, const verdict *v,
                       mt_slice patches)
{
    mti_buf *b = t->report;
    mti_buf_adds(b, t->passed + t->failed ? ",{\"name\":" : "{\"name\":");
    mti_buf_add_json(b, mt_str(name));
    mti_buf_addf(b, ",\"passed\":%s,\"outcome\":\"%s\",\"us\":%lld,\"patches\":",
                 v->why[0] ? "false" : "true", OUTCOMES[v->outcome], (long long)v->us);
    mti_buf_add(b, patches.p, patches.len);
    if (v->outcome == MT_DENY || v->outcome == MT_ERROR) {
        mti_buf_addf(b, ",\"status\":%d,\"code\":", mti_error_http(&c->error));
        mti_buf_add_json(b, mt_str(c->error.code));
        mti_buf_adds(b, ",\"detail\":");
        mti_buf_add_json(b, mt_str(v->run.message[0] ? v->run.message : c->error.detail));
    }
    if (v->why[0]) {
        mti_buf_adds(b, ",\"why\":");
        mti_buf_add_json(b, mt_str(v->why));
    }
    mti_buf_addc(b, '}');
}

static void run_repeatedly(tester *t, mt_call *c, const char *payload, long repeat, mt_patch *patch,
                           verdict *v)
{
    for (long i = 0; i < repeat; i++) {
        mti_patch_init(patch, c, t->hook);
        c->error = (mti_error){0};
        int64_t from = mti_mono_us();
        v->outcome = mti_policy_run_noted(t->policy, c, payload, patch, &v->run);
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
    verdict v = {0};
    char *payload = payload_make(t, &c, json_object_get(one, "ctx"), &v);
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
    judge(&v, &c, json_object_get(one, "expect"), mti_buf_slice(&patches));
    write_case(t, name, &c, &v, mti_buf_slice(&patches));
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
