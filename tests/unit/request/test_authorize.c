/* Stage 3: scopes, permissions, methods. What is foreign looks like what does not exist. */
#include "support.h"

#include "bus/bus.h"
#include "plugin/identity.h"
#include "plugin/manager.h"
#include "plugin/settings.h"

static mt_status directory_status;
static bool no_hook(const mti_bus *b, int hook, const mt_call *c)
{
    return false;
}

/* The directory: the first byte of an id is its organization, the second says what it is. */
static mt_status fake_scope_find(mt_call *c, mti_uuid id, mti_scope *out)
{
    if (directory_status != MT_OK)
        return mti_fail(&c->error, directory_status, "database_unavailable", "down");
    if (!id.b[0])
        return mti_fail(&c->error, MT_NOT_FOUND, "not_found", "unknown");
    *out = (mti_scope){.org_id = {{id.b[0]}}};
    strcpy(out->kind, id.b[1] ? "workspace" : "organization");
    return MT_OK;
}

/* What the organization has of its own: a plugin switched off. */
static bool is_off;
static mt_status settings_status;
static mt_status fake_settings_attach(mt_call *c)
{
    return settings_status == MT_OK ? MT_OK : mti_fail(&c->error, settings_status, "database_unavailable", "down");
}
static bool fake_plugin_off(const mti_plugins *p, const mt_call *c, uint16_t slot)
{
    return is_off && slot;
}
static bool fake_db_up(const mti_db *db)
{
    return true;
}

#define mti_bus_has    no_hook
#define mti_settings_attach fake_settings_attach
#define mti_plugin_off fake_plugin_off
#define mti_db_up      fake_db_up
#define mti_scope_find fake_scope_find
#include "../../../core/request/authorize.c"

#define WORKSPACE_1    "01010000-0000-0000-0000-000000000000"
#define OTHER_OF_1     "01020000-0000-0000-0000-000000000000"
#define WORKSPACE_2    "02010000-0000-0000-0000-000000000000"
#define ORGANIZATION_1 "01000000-0000-0000-0000-000000000000"
#define ORGANIZATION_2 "02000000-0000-0000-0000-000000000000"
#define UNKNOWN        "00010000-0000-0000-0000-000000000000"

static mti_request r;
static mti_http_request http;
static mti_operation operation;
static mti_permset permissions;
static mti_host host;

static int setup(void **state)
{
    http = (mti_http_request){0};
    directory_status = settings_status = MT_OK;
    is_off = false;
    operation = (mti_operation){.id = "shop.get",
                                .permission = "shop.read",
                                .permission_id = mti_permission_id("shop.read")};
    permissions = (mti_permset){0};
    mti_permset_grant(&permissions, MT_SLICE("shop.read"));
    r = (mti_request){.http = &http, .host = &host, .match.op = &operation};
    mti_call_init(&r.call, NULL);
    r.call.host = &host;
    r.call.who = (mti_identity){.known = true, .org_id = {{1}}, .permissions = &permissions};
    return 0;
}

static int teardown(void **state)
{
    mti_call_dispose(&r.call);
    return 0;
}

static void param(const char *name, const char *value)
{
    operation.params[operation.n_params] = name;
    r.values.params[operation.n_params++] = mt_str(value);
}

static void assert_answer(mt_status want, int status)
{
    mt_status s = mti_stage_authorize(&r);
    if (s != want || (s != MT_OK && mti_error_http(&r.call.error) != status))
        fail_msg("status %d, %d: %s", s, mti_error_http(&r.call.error), r.call.error.detail);
}

static void test_permission(void **state)
{
    assert_answer(MT_OK, 0);
    permissions = (mti_permset){0};
    assert_answer(MT_DENIED, 403);
    assert_non_null(strstr(r.call.error.detail, "shop.read"));
    operation.permission = NULL;
    assert_answer(MT_OK, 0);
}

/* Off for the organization: not there, whatever the caller may. */
static void test_off(void **state)
{
    operation.plugin = 1;
    is_off = true;
    assert_answer(MT_NOT_FOUND, 404);
    permissions = (mti_permset){0};
    assert_answer(MT_NOT_FOUND, 404);
    is_off = false;
    assert_answer(MT_DENIED, 403);
}

/* The host's own operations are what an operator looks at when settings cannot be read. */
static void test_settings_away(void **state)
{
    settings_status = MT_UNAVAILABLE;
    assert_answer(MT_OK, 0);
    assert_int_equal(r.call.error.code[0], 0);
    operation.plugin = 1;
    assert_answer(MT_UNAVAILABLE, 503);
}

static void test_platform(void **state)
{
    operation.platform = true;
    assert_answer(MT_DENIED, 403);
    r.call.who.platform = true;
    assert_answer(MT_OK, 0);
    permissions = (mti_permset){0};
    assert_answer(MT_DENIED, 403);
}

static void test_own_scope(void **state)
{
    param("organization_id", ORGANIZATION_1);
    param("workspace_id", WORKSPACE_1);
    assert_answer(MT_OK, 0);
    assert_int_equal(r.call.workspace_id.b[1], 1);
    assert_int_equal(r.call.who.org_id.b[0], 1);
}

/* Foreign, unknown, of another kind, malformed: one answer, before any word of permissions. */
static void test_foreign_scopes(void **state)
{
    static const char *const rows[][2] = {{"workspace_id", WORKSPACE_2},
                                          {"workspace_id", UNKNOWN},
                                          {"workspace_id", ORGANIZATION_1},
                                          {"workspace_id", "nonsense"},
                                          {"workspace_id", ""},
                                          {"workspace_id", WORKSPACE_1 "0"},
                                          {"organization_id", ORGANIZATION_2},
                                          {"organization_id", WORKSPACE_1},
                                          {"org_id", ORGANIZATION_2},
                                          {"agent_id", "nonsense"}};
    char first[384] = "";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int allowed = 0; allowed < 2; allowed++) {
            operation.n_params = 0;
            permissions = (mti_permset){0};
            if (allowed)
                mti_permset_grant(&permissions, MT_SLICE("shop.read"));
            param(rows[i][0], rows[i][1]);
            assert_answer(MT_NOT_FOUND, 404);
            if (!first[0])
                snprintf(first, sizeof first, "%s", r.call.error.detail);
            assert_string_equal(r.call.error.detail, first);
            assert_string_equal(r.call.error.code, "not_found");
            assert_true(mti_uuid_is_nil(r.call.workspace_id));
            assert_int_equal(r.call.who.org_id.b[0], 1);
        }
    }
}

static void test_bound_key(void **state)
{
    r.call.who.workspace_id = (mti_uuid){{1, 1}};
    param("workspace_id", OTHER_OF_1);
    assert_answer(MT_NOT_FOUND, 404);
    r.values.params[0] = MT_SLICE(WORKSPACE_1);
    assert_answer(MT_OK, 0);
}

static void test_platform_chooses(void **state)
{
    r.call.who.platform = true;
    param("workspace_id", WORKSPACE_2);
    assert_answer(MT_OK, 0);
    assert_int_equal(r.call.who.org_id.b[0], 2);
    r.values.params[0] = MT_SLICE(UNKNOWN);
    assert_answer(MT_NOT_FOUND, 404);
}

static void test_directory_down(void **state)
{
    directory_status = MT_UNAVAILABLE;
    param("workspace_id", WORKSPACE_1);
    assert_answer(MT_UNAVAILABLE, 503);
}

static void test_checked_parameters(void **state)
{
    json_t *schema = json_pack("{s:s,s:s}", "type", "string", "pattern", "^[0-9a-f]{4}$");
    mti_error e;
    assert_int_equal(mti_schema_compile(schema, NULL, NULL, 0, &operation.param_checks[0], &e),
                     MT_OK);
    param("trace_id", "12ab");
    assert_answer(MT_OK, 0);
    static const char *const bad[] = {"12AB", "12ab0", "", "12ab\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.values.params[0] = mt_str(bad[i]);
        assert_answer(MT_NOT_FOUND, 404);
    }
    /* a scope stays a scope, whatever x-path says of it */
    operation.params[0] = "workspace_id";
    r.values.params[0] = MT_SLICE("12ab");
    assert_answer(MT_NOT_FOUND, 404);
    mti_schema_destroy(operation.param_checks[0]);
    json_decref(schema);
    operation =
        (mti_operation){.permission = "shop.read", .permission_id = operation.permission_id};
    param("name", "any thing");
    assert_answer(MT_OK, 0);
}

static void test_no_route(void **state)
{
    r.match.op = NULL;
    assert_answer(MT_NOT_FOUND, 404);
    assert_string_equal(http.added, "");
    r.match.allow = "GET, POST";
    assert_answer(MT_UNSUPPORTED, 405);
    assert_string_equal(http.added, "allow: GET, POST\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_permission), TEST(test_off), TEST(test_settings_away), TEST(test_platform),           TEST(test_own_scope),
        TEST(test_foreign_scopes), TEST(test_bound_key),          TEST(test_platform_chooses),
        TEST(test_directory_down), TEST(test_checked_parameters), TEST(test_no_route)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
