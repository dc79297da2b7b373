/* request/1: what a handler sees of its request, or of its job (body() is then the payload). */
#include "request/api.h"
#include "request/request.h"

#include "plugin/manager.h"
#include "plugin/settings.h"

#include <stdio.h>

static mt_slice request_param(mt_call *c, mt_slice name)
{
    bool found;
    return mti_value_find(c, name, &found);
}

static mt_slice request_header(mt_call *c, mt_slice name)
{
    char text[128];
    if (!c->request || name.len >= sizeof text)
        return (mt_slice){0};
    snprintf(text, sizeof text, "%.*s", (int)name.len, name.p);
    return mti_http_header(c->request->http, text);
}

static mt_slice request_body(mt_call *c)
{
    return c->request ? c->request->body_text : c->job_payload;
}

static mt_slice request_body_text(mt_call *c, mt_slice pointer)
{
    return c->values ? mti_value_text(c, mti_json_at(c->values->body, pointer)) : (mt_slice){0};
}

static uint32_t request_files(mt_call *c)
{
    uint32_t n = 0;
    for (unsigned i = 0; c->request && i < c->request->multipart.n; i++)
        n += c->request->multipart.parts[i].file_name.p != NULL;
    return n;
}

static mt_status request_file(mt_call *c, uint32_t index, mt_slice *field, mt_slice *name, mt_slice *type, mt_slice *data)
{
    for (unsigned i = 0; c->request && i < c->request->multipart.n; i++) {
        const mti_part *part = &c->request->multipart.parts[i];
        if (!part->file_name.p || index--)
            continue;
        *field = part->field;
        *name = part->file_name;
        *type = part->type;
        *data = part->data;
        return MT_OK;
    }
    return MT_NOT_FOUND;
}

static mt_slice uuid_text(mt_call *c, mti_uuid id)
{
    if (mti_uuid_is_nil(id))
        return (mt_slice){0};
    char *text = mti_arena_alloc(&c->arena, 37);
    mti_uuid_format(id, text);
    return (mt_slice){text, 36};
}

static mt_slice request_org_id(mt_call *c)
{
    return uuid_text(c, c->who.org_id);
}

static mt_slice request_workspace_id(mt_call *c)
{
    return uuid_text(c, c->workspace_id);
}

static mt_slice request_subject_id(mt_call *c)
{
    return uuid_text(c, c->who.subject_id);
}

static mt_slice request_caller(mt_call *c)
{
    return mt_str(mti_plugin_slug(c->host->plugins, c->caller));
}

static mt_slice request_new_id(mt_call *c)
{
    return uuid_text(c, mti_uuid_v7());
}

static bool request_allowed(mt_call *c, mt_slice permission)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)permission.len, permission.p);
    return c->who.known && mti_permset_has(c->who.permissions, mti_permission_id(name));
}

static mt_status request_respond(mt_call *c, int32_t status, mt_slice json)
{
    return c->request ? mti_answer_json(c->request, status, json) : MT_UNSUPPORTED;
}

static mt_status request_respond_raw(mt_call *c, int32_t status, mt_slice type, mt_slice body)
{
    return c->request ? mti_answer_raw(c->request, status, type, body) : MT_UNSUPPORTED;
}

static mt_status request_respond_header(mt_call *c, mt_slice name, mt_slice value)
{
    if (!c->request)
        return MT_UNSUPPORTED;
    if (mt_slice_eq(name, MT_SLICE("cache-control")) && mt_slice_eq(value, MT_SLICE("no-store")))
        c->request->secret = true;
    if (mt_slice_eq(name, MT_SLICE("retry-after"))) {
        if (c->request->retry_told)
            return MT_OK;
        c->request->retry_told = true;
    }
    return mti_http_header_add(c->request->http, name, value);
}

static mt_status request_enter_workspace(mt_call *c, mt_slice workspace_id)
{
    mti_uuid id;
    if (!c->request)
        return MT_UNSUPPORTED;
    if (!mti_uuid_parse(workspace_id, &id))
        return mti_fail(&c->error, MT_NOT_FOUND, "not_found", "There is nothing of this id here.");
    mti_uuid before = c->who.org_id;
    MT_TRY(mti_scope_enter(c, id, "workspace"));
    return mti_uuid_eq(before, c->who.org_id) ? MT_OK : mti_stage_organization(c->request);
}

static mt_status request_problem(mt_call *c, int32_t status, mt_slice code, mt_slice detail, mt_slice pointer)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)code.len, code.p);
    mti_fail(&c->error, mti_error_status(status), name, "%.*s", (int)detail.len, detail.p);
    c->error.http = status;
    snprintf(c->error.pointer, sizeof c->error.pointer, "%.*s", (int)pointer.len, pointer.p ? pointer.p : "");
    snprintf(c->error.owner, sizeof c->error.owner, "%s", mti_plugin_slug(c->host->plugins, c->plugin));
    return c->error.status;
}

static mt_slice request_problem_code(mt_call *c)
{
    return mt_str(c->error.code);
}

static mt_slice request_problem_detail(mt_call *c)
{
    return mt_str(c->error.detail);
}

static bool request_cancelled(mt_call *c)
{
    if (!mti_fiber_current())
        return mti_offload_cancelled();
    return mti_fiber_cancelled(c->fiber) || !mti_call_left_ms(c);
}

static mt_status request_sleep(mt_call *c, int64_t ms)
{
    return mti_sleep(ms);
}

static mt_slice request_config(mt_call *c, mt_slice pointer)
{
    return mti_value_text(c, mti_json_at((json_t *)mti_settings_config(c), pointer));
}

/* Options that plugins may read. */
static mt_slice request_setting(mt_call *c, mt_slice name)
{
    static const char *const readable[] = {"data.dir", "models.dir", "models.supported_types", "http.upload_limit", "http.port", "key.prefix", "tenancy.default_workspace_id", "tenancy.default_agent_id",
                                           "plans.free_workspaces", "plans.free_documents", "plans.starter_workspaces", "limits.requests_per_minute"};
    if (mt_slice_eq(name, MT_SLICE("root")))
        return mt_str(c->host->root);
    if (mt_slice_eq(name, MT_SLICE("version")))
        return mt_str(c->host->version);
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
        if (mt_slice_eq(name, mt_str(readable[i])))
            return mt_str(mti_config_str(c->host->config, readable[i]));
    return (mt_slice){0};
}

const mt_request_1 mti_api_request = {
    .size = sizeof mti_api_request, .version = 1, .param = request_param, .header = request_header, .body = request_body,
    .body_text = request_body_text, .files = request_files, .file = request_file, .org_id = request_org_id,
    .workspace_id = request_workspace_id, .subject_id = request_subject_id, .caller = request_caller, .new_id = request_new_id, .allowed = request_allowed,
    .respond = request_respond, .respond_raw = request_respond_raw, .respond_header = request_respond_header, .enter_workspace = request_enter_workspace,
    .problem = request_problem, .problem_code = request_problem_code, .problem_detail = request_problem_detail,
    .cancelled = request_cancelled, .sleep = request_sleep, .config = request_config, .setting = request_setting};
