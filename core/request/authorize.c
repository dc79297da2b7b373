/* Stage 3: may they. First the scopes that the path names (unknown and foreign look the same), then the permission, then the hook. */
#include "request/request.h"

#include "plugin/identity.h"
#include "telemetry/trace.h"
#include "plugin/manager.h"
#include "plugin/org_policies.h"
#include "plugin/settings.h"

#include <mortise/hooks.h>

static mt_status not_found(mt_call *c)
{
    memset(&c->error, 0, sizeof c->error);
    return mti_fail(&c->error, MT_NOT_FOUND, "not_found", "There is nothing of this id here.");
}

mt_status mti_scope_enter(mt_call *c, mti_uuid id, const char *kind)
{
    mti_scope scope;
    mt_status s = mti_scope_find(c, id, &scope);
    if (s == MT_NOT_FOUND || (s == MT_OK && strcmp(scope.kind, kind)))
        return not_found(c);
    MT_TRY(s);
    bool workspace = !strcmp(kind, "workspace");
    if (!c->who.platform) {
        if (!mti_uuid_eq(scope.org_id, c->who.org_id))
            return not_found(c);
        if (workspace && !mti_uuid_is_nil(c->who.workspace_id) && !mti_uuid_eq(c->who.workspace_id, id))
            return not_found(c);
    }
    if (!mti_uuid_eq(c->who.org_id, scope.org_id))
        mti_settings_detach(c);
    c->who.org_id = scope.org_id;
    if (workspace)
        c->workspace_id = id;
    return MT_OK;
}

static const char *scope_kind(const char *param)
{
    if (!strcmp(param, "workspace_id"))
        return "workspace";
    return !strcmp(param, "organization_id") || !strcmp(param, "org_id") ? "organization" : NULL;
}

static bool ends_with_id(const char *name)
{
    size_t n = strlen(name);
    return n > 3 && !strcmp(name + n - 3, "_id");
}

/* A value that x-path does not allow names nothing. */
static mt_status check_param(mti_request *r, unsigned i)
{
    mt_slice text = r->values.params[i];
    json_t *value = json_stringn(text.p, text.len);
    mt_status s = mti_schema_validate(r->match.op->param_checks[i], value, &(mti_schema_options){.formats = true}, NULL);
    json_decref(value);
    return s == MT_OK ? MT_OK : not_found(&r->call);
}

static mt_status resolve_scopes(mti_request *r)
{
    const mti_operation *op = r->match.op;
    mti_uuid id;
    for (unsigned i = 0; i < op->n_params; i++) {
        const char *kind = scope_kind(op->params[i]);
        if (op->param_checks[i])
            MT_TRY(check_param(r, i));
        if (!kind && (op->param_checks[i] || !ends_with_id(op->params[i])))
            continue;
        if (!mti_uuid_parse(r->values.params[i], &id))
            return not_found(&r->call);
        if (kind)
            MT_TRY(mti_scope_enter(&r->call, id, kind));
    }
    return MT_OK;
}

static mt_status forbid(mt_call *c, const mti_operation *op)
{
    return mti_fail(&c->error, MT_DENIED, "permission_missing", "This needs the permission %s, which the credential does not hold.", op->permission);
}

static mt_slice id_text(mti_id_text *t, mti_uuid id)
{
    return mti_uuid_is_nil(id) ? (mt_slice){0} : mti_request_id(t, id);
}

static mt_status emit(mti_request *r)
{
    mt_call *c = &r->call;
    if (!mti_bus_has(r->host->bus, MTI_HOOK_AUTH_AUTHORIZE, c))
        return MT_OK;
    mt_auth_authorize in = {.size = sizeof in, .operation = mt_str(c->operation), .permission = mt_str(r->match.op->permission),
                            .org_id = id_text(&r->org, c->who.org_id),
                            .workspace_id = id_text(&r->workspace, c->workspace_id), .subject_id = id_text(&r->subject, c->who.subject_id)};
    mt_outcome o = mti_bus_emit(r->host->bus, c, MTI_HOOK_AUTH_AUTHORIZE, &in);
    return o == MT_DENY ? MT_DENIED : o == MT_ERROR ? MT_INTERNAL : MT_OK;
}

/* A trace shows what a request went through: it is kept for those who may read it. */
static void settle_trace(mt_call *c)
{
    if (mti_trace_wants(c) && c->who.known && mti_permset_has(c->who.permissions, mti_permission_id("trace.read")))
        mti_trace_allow(c);
}

bool mti_stands_above(const mti_operation *op)
{
    return op->plugin == 0 || op->platform || !strncmp(op->id, "policies.", 9);
}

/* The host's own operations serve without settings when these cannot be read: an operator looks at them then. */
static mt_status attach_settings(mti_request *r)
{
    mt_call *c = &r->call;
    bool own = r->match.op->plugin == 0;
    if (own && !mti_db_up(r->host->db))
        return MT_OK;
    mt_status s = mti_settings_attach(c);
    if (s == MT_OK || !own)
        return s;
    memset(&c->error, 0, sizeof c->error);
    return MT_OK;
}

/* What is switched off for the organization looks like what is not there. */
static mt_status enter_plugin(mti_request *r)
{
    MT_TRY(attach_settings(r));
    if (!mti_plugin_off(r->host->plugins, &r->call, r->match.op->plugin))
        return MT_OK;
    return mti_fail(&r->call.error, MT_NOT_FOUND, "not_found", "There is nothing at this path.");
}

static mt_status attach_policies(mti_request *r)
{
    return mti_stands_above(r->match.op) ? MT_OK : mti_org_policies_attach(&r->call);
}

mt_status mti_stage_organization(mti_request *r)
{
    MT_TRY(enter_plugin(r));
    return attach_policies(r);
}

static mt_status unmatched(mti_request *r)
{
    mt_call *c = &r->call;
    if (!r->match.allow)
        return mti_fail(&c->error, MT_NOT_FOUND, "not_found", "There is nothing at this path.");
    mti_http_header_add(r->http, MT_SLICE("allow"), mt_str(r->match.allow));
    mti_fail(&c->error, MT_UNSUPPORTED, "method_not_allowed", "This path answers to %s.", r->match.allow);
    c->error.http = 405;
    return MT_UNSUPPORTED;
}

mt_status mti_stage_authorize(mti_request *r)
{
    const mti_operation *op = r->match.op;
    mt_call *c = &r->call;
    settle_trace(c);
    if (!op)
        return unmatched(r);
    if (!op->permission)
        return MT_OK;
    MT_TRY(resolve_scopes(r));
    MT_TRY(enter_plugin(r));
    if ((op->platform && !c->who.platform) || !mti_permset_has(c->who.permissions, op->permission_id))
        return forbid(c, op);
    MT_TRY(attach_policies(r));
    return emit(r);
}
