/* request/1 and stream/1. */
#include "kit.h"

#include <stdio.h>
#include <strings.h>

static mt_slice param(mt_call *c, mt_slice name)
{
    json_t *v = json_object_getn(c->params, name.p, name.len);
    return kit_text(c, v ? v : json_is_object(c->body) ? json_object_getn(c->body, name.p, name.len) : NULL);
}

static mt_slice header(mt_call *c, mt_slice name)
{
    return kit_text(c, json_object_getn(c->headers, name.p, name.len));
}

static mt_slice body(mt_call *c)
{
    return c->kind == KIT_JOB ? c->payload : c->body ? kit_dump(c, c->body) : (mt_slice){0};
}

static mt_slice body_text(mt_call *c, mt_slice pointer)
{
    return c->body ? kit_text(c, kit_at(c->body, pointer)) : (mt_slice){0};
}

static uint32_t files(mt_call *c)
{
    return c->n_files;
}

static mt_status file(mt_call *c, uint32_t i, mt_slice *field, mt_slice *name, mt_slice *type, mt_slice *data)
{
    if (i >= c->n_files)
        return MT_NOT_FOUND;
    *field = c->files[i].field;
    *name = c->files[i].name;
    *type = c->files[i].type;
    *data = c->files[i].data;
    return MT_OK;
}

static mt_slice org_id(mt_call *c)
{
    return mt_str(c->org_id);
}

static mt_slice workspace_id(mt_call *c)
{
    return mt_str(c->workspace_id);
}

static mt_slice subject_id(mt_call *c)
{
    return mt_str(c->subject_id);
}

static mt_slice caller(mt_call *c)
{
    return MT_SLICE("testkit");
}

static mt_status enter_workspace(mt_call *c, mt_slice id)
{
    if (c->kind != KIT_REQUEST)
        return MT_UNSUPPORTED;
    c->workspace_id = kit_copy(c, id);
    return MT_OK;
}

static mt_slice new_id(mt_call *c)
{
    return mt_str(kit_printf(c, "00000000-0000-7000-8000-%012llx", (unsigned long long)++c->kit->ids));
}

static bool allowed(mt_call *c, mt_slice permission)
{
    for (const char *p = c->permissions; p && *p;) {
        size_t n = strcspn(p, " ");
        if ((n == 1 && *p == '*') || mt_slice_eq(permission, (mt_slice){p, n}))
            return true;
        p += n + (p[n] == ' ');
    }
    return false;
}

static mt_status respond_raw(mt_call *c, int32_t status, mt_slice type, mt_slice bytes)
{
    if (c->kind != KIT_REQUEST)
        return MT_UNSUPPORTED;
    if (c->status)
        return mti_fail(&c->error, MT_CONFLICT, "already_answered", "The request was answered before.");
    c->status = status;
    c->answer = (mt_slice){kit_copy(c, bytes), bytes.len};
    return MT_OK;
}

static mt_status respond(mt_call *c, int32_t status, mt_slice json)
{
    json_t *v = json.len ? kit_parse(json) : NULL;
    if (json.len && !v)
        kit_wrong("the plugin answered with what is not JSON: %.*s", (int)json.len, json.p);
    mt_status s = respond_raw(c, status, MT_SLICE("application/json"), json);
    if (s == MT_OK)
        c->answer_json = v;
    else
        json_decref(v);
    return s;
}

static mt_status respond_header(mt_call *c, mt_slice name, mt_slice value)
{
    if (c->kind != KIT_REQUEST)
        return MT_UNSUPPORTED;
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.p[i] < 0x20)
            return MT_INVALID;
    kit_see(c, MT_SEEN_HEADER, name, value);
    return name.len ? MT_OK : MT_INVALID;
}

static mt_status problem(mt_call *c, int32_t status, mt_slice code, mt_slice detail, mt_slice pointer)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)code.len, code.p);
    mti_fail(&c->error, kit_status_of(status), name, "%.*s", (int)detail.len, detail.p ? detail.p : "");
    c->error.http = status;
    snprintf(c->error.pointer, sizeof c->error.pointer, "%.*s", (int)pointer.len, pointer.p ? pointer.p : "");
    return c->error.status;
}

static mt_slice problem_code(mt_call *c)
{
    return mt_str(c->error.code);
}

static mt_slice problem_detail(mt_call *c)
{
    return mt_str(c->error.detail);
}

static bool cancelled(mt_call *c)
{
    return c->cancel_in == 0;
}

static mt_status sleep_ms(mt_call *c, int64_t ms)
{
    MT_TRY(kit_suspend(c));
    kit_clock_add(ms * 1000);
    return MT_OK;
}

static mt_slice config(mt_call *c, mt_slice pointer)
{
    return kit_text(c, kit_at(c->kit->config, pointer));
}

static mt_slice setting(mt_call *c, mt_slice name)
{
    return kit_text(c, json_object_getn(c->kit->settings, name.p, name.len));
}

const mt_request_1 kit_request = {
    .size = sizeof kit_request, .version = 1, .param = param, .header = header, .body = body, .body_text = body_text, .files = files,
    .file = file, .org_id = org_id, .workspace_id = workspace_id, .subject_id = subject_id, .caller = caller, .enter_workspace = enter_workspace,
    .new_id = new_id, .allowed = allowed, .respond = respond, .respond_raw = respond_raw, .respond_header = respond_header,
    .problem = problem, .problem_code = problem_code, .problem_detail = problem_detail, .cancelled = cancelled, .sleep = sleep_ms,
    .config = config, .setting = setting};

static mt_status begin(mt_call *c)
{
    if (c->kind != KIT_REQUEST || (c->operation && !json_object_get(c->operation, "x-stream")))
        return mti_fail(&c->error, MT_UNSUPPORTED, "not_a_stream", "Only an operation with x-stream may stream.");
    if (c->status)
        return mti_fail(&c->error, MT_CONFLICT, "already_answered", "The request was answered before.");
    MT_TRY(kit_suspend(c));
    c->status = 200;
    c->streaming = true;
    return MT_OK;
}

static mt_status event(mt_call *c, mt_slice name, mt_slice data)
{
    if (!c->streaming || c->ended)
        return MT_CONFLICT;
    MT_TRY(kit_suspend(c));
    kit_see(c, MT_SEEN_EVENT, name, data);
    return MT_OK;
}

static mt_status end(mt_call *c)
{
    if (!c->streaming || c->ended)
        return MT_CONFLICT;
    MT_TRY(kit_suspend(c));
    c->ended = true;
    kit_see(c, MT_SEEN_EVENT, MT_SLICE("(end)"), (mt_slice){0});
    return MT_OK;
}

const mt_stream_1 kit_stream = {.size = sizeof kit_stream, .version = 1, .begin = begin, .event = event, .end = end};
