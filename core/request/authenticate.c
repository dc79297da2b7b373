/* Stage 2: who asks. The admin socket's caller is the operator; everyone else shows a credential that a plugin knows. */
#include "request/request.h"

#include "plugin/manager.h"
#include "plugin/record.h"

#include <mortise/hooks.h>
#include <strings.h>

static void become_operator(mt_call *c)
{
    static _Thread_local mti_permset all;
    static _Thread_local unsigned known;
    /* permissions are added when plugins load; granting is idempotent */
    unsigned count = mti_permission_count();
    if (known != count) {
        mti_permset_grant(&all, MT_SLICE("*"));
        known = count;
    }
    c->who = (mti_identity){.known = true, .platform = true, .permissions = &all};
    mti_uuid_parse(MT_SLICE("00000000-0000-0000-0000-000000000001"), &c->who.org_id);
}

/* "Bearer sk_…" in Authorization, or X-API-Key. */
static bool find_credential(mti_request *r, mt_slice *scheme, mt_slice *credential)
{
    mt_slice a = mti_http_header(r->http, "authorization");
    if (a.p) {
        const char *space = memchr(a.p, ' ', a.len);
        if (!space)
            return false;
        *scheme = (mt_slice){a.p, (size_t)(space - a.p)};
        while (space < a.p + a.len && *space == ' ')
            space++;
        *credential = (mt_slice){space, a.len - (size_t)(space - a.p)};
        return credential->len > 0;
    }
    *scheme = MT_SLICE("key");
    *credential = mti_http_header(r->http, "x-api-key");
    return credential->len > 0;
}

/* RFC 9110: each 401 says how to do better. */
static void add_challenge(mti_request *r)
{
    mti_http_header_add(r->http, MT_SLICE("www-authenticate"), MT_SLICE("Bearer realm=\"mortise\""));
}

/* Nobody knew the credential: because it is wrong, or because those who would know cannot work now. */
static mt_status refuse(mti_request *r, bool given)
{
    mt_call *c = &r->call;
    char why[256];
    if (given && !mti_db_up(r->host->db))
        return mti_fail(&c->error, MT_UNAVAILABLE, "database_unavailable", "The database cannot be reached: try again shortly.");
    if (given && mti_plugins_readiness(r->host->plugins, why, sizeof why) != MTI_READY && !mti_bus_has(r->host->bus, MTI_HOOK_AUTH_AUTHENTICATE, c))
        return mti_fail(&c->error, MT_UNAVAILABLE, "not_ready", "The host is starting (%s): try again shortly.", why);
    add_challenge(r);
    if (!given)
        return mti_fail(&c->error, MT_UNAUTHENTICATED, "credential_missing", "Send a key in the header Authorization: Bearer KEY.");
    return mti_fail(&c->error, MT_UNAUTHENTICATED, "credential_invalid", "This credential is not known.");
}

mt_status mti_stage_authenticate(mti_request *r)
{
    mt_call *c = &r->call;
    mt_slice scheme, credential;
    if (mti_http_is_local(r->http)) {
        become_operator(c);
        return MT_OK;
    }
    if (r->match.op && !r->match.op->permission)
        return MT_OK;
    if (!find_credential(r, &scheme, &credential) || credential.len > 4096)
        return refuse(r, false);
    mt_auth_authenticate in = {.size = sizeof in, .method = mti_http_method(r->http), .path = mti_http_path(r->http),
                               .peer = mti_http_peer(r->http), .scheme = scheme, .credential = credential};
    mt_outcome o = mti_bus_emit(r->host->bus, c, MTI_HOOK_AUTH_AUTHENTICATE, &in);
    if (o == MT_DENY) {
        if (mti_error_http(&c->error) == 401)
            add_challenge(r);
        return MT_UNAUTHENTICATED;
    }
    if (o == MT_ERROR)
        return c->error.status != MT_OK ? c->error.status : MT_INTERNAL;
    return c->who.known ? MT_OK : refuse(r, true);
}
