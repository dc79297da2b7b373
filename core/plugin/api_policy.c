/* policy/1: what the engine says of a policy's text, of recorded decisions, and of a request. */
#include "plugin/api.h"
#include "plugin/manager.h"
#include "plugin/org_policies.h"
#include "plugin/settings.h"

#include "bus/patch.h"
#include "policy/org.h"
#include "policy/payload.h"

#include <stdio.h>

/* --- texts: compiling needs a large stack --- */

typedef struct text_work {
    mti_policies *engine;
    char name[64];
    mt_slice source, with;       /* cases or records */
    const char *hook;
    int priority;
    mti_buf report;
    mti_error error;
    mt_status status;
} text_work;

static void check(void *arg)
{
    text_work *x = arg;
    x->status = mti_org_policy_check(x->engine, x->name, x->source, &x->hook, &x->priority, &x->error);
}

static void test(void *arg)
{
    text_work *x = arg;
    x->status = mti_policy_test(x->engine, x->name, x->source, x->with, &x->report, &x->error);
}

static void replay(void *arg)
{
    text_work *x = arg;
    x->status = mti_policy_replay(x->engine, x->name, x->source, x->with, &x->report, &x->error);
}

static mt_status run(mt_call *c, text_work *x, void (*work)(void *), mt_slice name, mt_slice source, mt_slice with)
{
    x->engine = c->host->policies;
    x->source = source;
    x->with = with;
    snprintf(x->name, sizeof x->name, "%.*s", (int)(name.len < sizeof x->name ? name.len : sizeof x->name - 1), name.p ? name.p : "policy");
    mti_buf_init(&x->report, 8 << 20);
    MT_TRY(mti_api_offload.run(c, work, x));
    if (x->status == MT_OK)
        return MT_OK;
    c->error = x->error;
    if (x->status == MT_INVALID)
        c->error.http = 422;
    return x->status;
}

static mt_status policy_check(mt_call *c, mt_slice name, mt_slice source, mt_slice *hook, int64_t *priority)
{
    text_work x = {0};
    mt_status s = run(c, &x, check, name, source, (mt_slice){0});
    if (s == MT_OK) {
        *hook = mt_str(x.hook);
        *priority = x.priority;
    } else if (s == MT_INVALID || s == MT_TOO_LARGE) {
        snprintf(c->error.pointer, sizeof c->error.pointer, "/source");
    }
    return s;
}

static mt_status answer(mt_call *c, text_work *x, mt_status s, mt_slice *report)
{
    if (s == MT_OK)
        *report = mti_arena_slice(&c->arena, mti_buf_slice(&x->report));
    mti_buf_dispose(&x->report);
    return s;
}

static mt_status policy_test(mt_call *c, mt_slice name, mt_slice source, mt_slice cases, mt_slice *report)
{
    text_work x = {0};
    return answer(c, &x, run(c, &x, test, name, source, cases), report);
}

static mt_status policy_replay(mt_call *c, mt_slice name, mt_slice source, mt_slice records, mt_slice *report)
{
    text_work x = {0};
    return answer(c, &x, run(c, &x, replay, name, source, records), report);
}

/* --- explaining a request --- */

typedef struct explanation {
    mt_call *c;
    json_t *ctx;                 /* whatever is known of payloads, by field */
    bool all;                    /* the platform's handlers too */
    mti_buf *out;
    const mti_hook_info *hook;
    void *payload;
    unsigned shown, hooks;
    bool ended;
} explanation;

static void explain_policy(explanation *x, mti_policy *policy)
{
    mti_policy_verdict v;
    mt_patch patch;
    mti_patch_init(&patch, x->c, x->hook);
    mti_policy_try(policy, MTI_POLICY_DRY, x->c, x->payload, &patch, &v);
    if (v.outcome < MT_DENY && mti_patch_apply(&patch, x->payload, &v.error) != MT_OK)
        v.outcome = MT_ERROR;
    mti_buf_adds(x->out, ",\"decision\":");
    mti_policy_verdict_write(&v, &patch, x->out);
    x->ended = v.outcome == MT_DENY || (v.outcome == MT_ERROR && x->hook->fail_closed);
}

static void explain_handler(void *arg, const mti_bus_seen *seen)
{
    explanation *x = arg;
    if (x->ended || (!seen->own && !x->all))
        return;
    mti_policy *policy = mti_policy_of(seen);
    mti_buf_adds(x->out, x->shown++ ? ",{\"label\":" : "{\"label\":");
    mti_buf_add_json(x->out, mt_str(seen->label));
    mti_buf_addf(x->out, ",\"owner\":\"%s\",\"priority\":%d,\"policy\":%s", seen->own ? "organization" : mti_plugin_slug(x->c->host->plugins, seen->owner),
                 seen->priority, seen->own || policy ? "true" : "false");
    if (policy)
        explain_policy(x, policy);
    mti_buf_addc(x->out, '}');
}

/* Only the fields that the hook has. Whether any but those that every call has is known. */
static bool take_fields(explanation *x, json_t *fields)
{
    static const char *const everywhere[] = {"operation", "org_id", "workspace_id", "subject_id"};
    bool special = false;
    for (unsigned i = 0; i < x->hook->n_fields; i++) {
        json_t *v = json_object_get(x->ctx, x->hook->fields[i].name);
        if (!v)
            continue;
        json_object_set(fields, x->hook->fields[i].name, v);
        bool common = false;
        for (unsigned k = 0; k < 4; k++)
            common |= !strcmp(everywhere[k], x->hook->fields[i].name);
        special |= !common;
    }
    return special;
}

/* Hooks that every request passes are shown; others when something of their payload is known. */
static void explain_hook(explanation *x, int hook)
{
    static const int always[] = {MTI_HOOK_AUTH_AUTHORIZE, MTI_HOOK_LIMIT_CHECK, MTI_HOOK_HTTP_DONE};
    bool passed = false;
    char why[256];
    x->hook = &mti_hook_catalogue[hook];
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        passed |= hook == always[i];
    json_t *fields = json_object();
    passed |= take_fields(x, fields);
    if (passed && mti_bus_has(x->c->host->bus, hook, x->c) &&
        mti_policy_payload_make(x->hook, x->c, fields, &x->payload, why, sizeof why) == MT_OK) {
        x->shown = 0;
        x->ended = false;
        mti_buf_addf(x->out, "%s{\"hook\":\"%s\",\"handlers\":[", x->hooks++ ? "," : "", x->hook->name);
        mti_bus_each(x->c->host->bus, x->c, hook, explain_handler, x);
        mti_buf_adds(x->out, "]}");
    }
    json_decref(fields);
}

static void set_id(json_t *ctx, const char *name, mti_uuid id)
{
    char text[37];
    mti_uuid_format(id, text);
    if (!mti_uuid_is_nil(id))
        json_object_set_new(ctx, name, json_string(text));
}

/* What the host itself will tell the hooks of a request, then the body's members, then what was given. */
static json_t *gather(mt_call *c, const json_t *request, const mti_match *m)
{
    json_t *ctx = json_object();
    mti_uuid workspace = {{0}};
    for (unsigned i = 0; i < m->op->n_params; i++)
        if (!strcmp(m->op->params[i], "workspace_id"))
            mti_uuid_parse(m->params[i], &workspace);
    json_object_update(ctx, json_object_get(request, "body"));
    set_id(ctx, "workspace_id", workspace);
    set_id(ctx, "subject_id", c->who.subject_id);
    json_object_set(ctx, "method", json_object_get(request, "method"));
    json_object_set(ctx, "path", json_object_get(request, "path"));
    json_object_set_new(ctx, "operation", json_string(m->op->id));
    json_object_set_new(ctx, "permission", json_string(m->op->permission ? m->op->permission : ""));
    json_object_set_new(ctx, "rate_class", json_string(m->op->rate_class));
    json_object_set_new(ctx, "cost", json_integer(1));
    json_object_set_new(ctx, "rate_per_minute", json_integer(c->who.rate_per_minute));
    json_object_update(ctx, json_object_get(request, "ctx"));
    set_id(ctx, "org_id", c->who.org_id);    /* never another's */
    return ctx;
}

static mt_status match(mt_call *c, const json_t *request, mti_match *m)
{
    mt_slice path = mti_json_get_string(request, "path", MT_SLICE("")), below;
    const char *query = path.p ? memchr(path.p, '?', path.len) : NULL;
    if (query)
        path.len = (size_t)(query - path.p);
    *m = (mti_match){0};
    if (mti_router_strip(path, &below))
        *m = mti_router_find(atomic_load(&c->host->router), mti_json_get_string(request, "method", MT_SLICE("GET")), below);
    if (m->op)
        return MT_OK;
    mti_fail(&c->error, MT_INVALID, "operation_unknown", "No operation answers to this method and path: see /v1/docs.");
    snprintf(c->error.pointer, sizeof c->error.pointer, "/path");
    c->error.http = 422;
    return MT_INVALID;
}

static mt_status explain(mt_call *c, const json_t *request, mti_buf *out)
{
    mti_match m;
    MT_TRY(match(c, request, &m));
    const mti_identity who = c->who;
    const mti_uuid workspace = c->workspace_id;
    const char *operation = c->operation;
    const unsigned number = c->operation_number;
    explanation x = {.c = c, .ctx = gather(c, request, &m), .all = c->who.platform, .out = out};
    c->operation_number = m.op->number;
    mti_settings_fit(c);
    mti_buf_addf(out, "{\"operation\":\"%s\",\"hooks\":[", m.op->id);
    for (int hook = 0; hook < MTI_HOOK_COUNT; hook++)
        explain_hook(&x, hook);
    mti_buf_adds(out, "]}");
    c->operation = operation;
    c->operation_number = number;
    c->workspace_id = workspace;
    c->who = who;
    mti_settings_fit(c);
    json_decref(x.ctx);
    return out->status;
}

static mt_status policy_explain(mt_call *c, mt_slice request, mt_slice *report)
{
    json_t *doc;
    mti_buf out;
    MT_TRY(mti_json_parse(request, 0, &doc, &c->error));
    mti_buf_init(&out, 4 << 20);
    mt_status s = mti_org_policies_attach(c);
    if (s == MT_OK)
        s = explain(c, doc, &out);
    c->own = NULL;                           /* they stand on the explained request, not on this one */
    if (s == MT_OK)
        *report = mti_arena_slice(&c->arena, mti_buf_slice(&out));
    mti_buf_dispose(&out);
    json_decref(doc);
    return s;
}

const mt_policy_1 mti_api_policy = {.size = sizeof mti_api_policy, .version = 1, .check = policy_check, .test = policy_test,
                                    .replay = policy_replay, .explain = policy_explain, .changed = mti_org_policies_changed};
