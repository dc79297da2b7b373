/* From method and path to an operation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/ident.h"
#include "router/router.h"

#define OPERATION(m, p)                                                                            \
    {                                                                                              \
        .id = m " " p, .method = m, .path = p                                                      \
    }

static const mti_operation table[] = {OPERATION("GET", "/agents"),
                                      OPERATION("POST", "/agents"),
                                      OPERATION("GET", "/agents/{agent_id}"),
                                      OPERATION("DELETE", "/agents/{id}"),
                                      OPERATION("POST", "/agents/search"),
                                      OPERATION("GET", "/agents/search/saved"),
                                      OPERATION("GET", "/agents/{id}/runs"),
                                      OPERATION("GET", "/{tenant}/logs"),
                                      OPERATION("HEAD", "/files"),
                                      OPERATION("GET", "/files"),
                                      OPERATION("GET", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}")};
enum { N = sizeof table / sizeof *table };

static mti_router *router_of(const mti_operation *ops, unsigned n)
{
    const mti_operation *list[512];
    mti_router *r = NULL;
    mti_error e = {0};
    for (unsigned i = 0; i < n; i++)
        list[i] = &ops[i];
    if (mti_router_create(list, n, &r, &e) != MT_OK)
        fail_msg("%s", e.detail);
    return r;
}

static void assert_route(const mti_router *r, const char *method, const char *path, const char *id)
{
    mti_match m = mti_router_find(r, mt_str(method), mt_str(path));
    const char *found = m.op ? m.op->id : NULL;
    if (id ? !found || strcmp(found, id) : found != NULL)
        fail_msg("%s %s goes to %s", method, path, found ? found : "nothing");
}

static void test_found(void **state)
{
    mti_router *r = router_of(table, N);
    for (unsigned i = 0; i < N; i++)
        assert_route(r, table[i].method, table[i].path, table[i].id);
    assert_route(r, "GET", "/agents/7", "GET /agents/{agent_id}");
    assert_route(r, "DELETE", "/agents/7", "DELETE /agents/{id}");
    assert_route(r, "POST", "/agents/search", "POST /agents/search");
    assert_route(r, "GET", "/agents/searc", "GET /agents/{agent_id}");
    assert_route(r, "GET", "/agents/searchx", "GET /agents/{agent_id}");
    /* the literal leads nowhere, so the parameter is tried */
    assert_route(r, "GET", "/agents/search/runs", "GET /agents/{id}/runs");
    assert_route(r, "GET", "/agents/logs", "GET /agents/{agent_id}");
    assert_route(r, "GET", "/acme/logs", "GET /{tenant}/logs");
    assert_route(r, "GET", "/files/logs", "GET /{tenant}/logs");
    mti_router_destroy(r);
}

static void test_not_found(void **state)
{
    static const char *const paths[] = {"",
                                        "/",
                                        "//",
                                        "/agent",
                                        "/agentss",
                                        "agents",
                                        "/agents/",
                                        "/agents//",
                                        "//agents",
                                        "/agents/7/",
                                        "/agents//runs",
                                        "/Agents",
                                        "/agents/7/runs/8",
                                        "/agents/7/run",
                                        "/1/2/3/4/5/6/7/8/9",
                                        "/1/2/3/4/5/6/7/",
                                        "/1/2/3/4/5/6/7",
                                        "/agents/../agents/7",
                                        "/agents%2F7"};
    mti_router *r = router_of(table, N);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        mti_match m = mti_router_find(r, MT_SLICE("GET"), mt_str(paths[i]));
        if (m.op || m.allow)
            fail_msg("%s is found (%s)", paths[i], m.allow);
    }
    assert_null(mti_router_find(r, MT_SLICE("GET"), (mt_slice){0}).op);
    mti_router_destroy(r);
}

static void assert_param(const mti_match *m, unsigned i, const char *text)
{
    assert_int_equal(m->params[i].len, strlen(text));
    assert_memory_equal(m->params[i].p, text, strlen(text));
}

static void test_parameters(void **state)
{
    mti_router *r = router_of(table, N);
    mti_match m = mti_router_find(r, MT_SLICE("GET"), MT_SLICE("/agents/a%20b%2F/runs"));
    assert_param(&m, 0, "a%20b%2F");
    m = mti_router_find(r, MT_SLICE("GET"), MT_SLICE("/1/22/3/4/5/6/7/88"));
    assert_non_null(m.op);
    assert_param(&m, 0, "1");
    assert_param(&m, 1, "22");
    assert_param(&m, 7, "88");
    /* a slice of something longer is not read past its end */
    m = mti_router_find(r, (mt_slice){"GETTER", 3}, (mt_slice){"/agents/search/saved", 14});
    assert_string_equal(m.allow, "POST");
    m = mti_router_find(r, MT_SLICE("GET"), (mt_slice){"/agents/search/saved", 13});
    assert_param(&m, 0, "searc");
    mti_router_destroy(r);
}

static void test_methods(void **state)
{
    mti_router *r = router_of(table, N);
    assert_route(r, "HEAD", "/agents", "GET /agents");
    assert_route(r, "HEAD", "/files", "HEAD /files");
    assert_route(r, "OPTIONS", "/agents", NULL);
    assert_route(r, "get", "/agents", NULL);
    assert_route(r, "BREW", "/agents", NULL);
    assert_route(r, "", "/agents", NULL);
    mti_match m = mti_router_find(r, MT_SLICE("PUT"), MT_SLICE("/agents"));
    assert_string_equal(m.allow, "GET, POST");
    m = mti_router_find(r, MT_SLICE("BREW"), MT_SLICE("/agents/9"));
    assert_string_equal(m.allow, "GET, DELETE");
    assert_null(m.op);
    m = mti_router_find(r, MT_SLICE("GET"), MT_SLICE("/agents/search"));
    assert_null(m.op);
    assert_string_equal(m.allow, "POST");
    m = mti_router_find(r, MT_SLICE("HEAD"), MT_SLICE("/agents/search"));
    assert_null(m.op);
    mti_router_destroy(r);
}

static void test_refused(void **state)
{
    static const mti_operation same[] = {OPERATION("GET", "/a/{b}"), OPERATION("GET", "/a/{c}")},
                               odd[] = {OPERATION("FETCH", "/a")};
    const mti_operation *list[] = {&same[0], &same[1]}, *one[] = {&odd[0]};
    mti_router *r;
    mti_error e = {0};
    assert_int_equal(mti_router_create(list, 2, &r, &e), MT_CONFLICT);
    assert_string_equal(e.code, "route_taken");
    assert_non_null(strstr(e.detail, "/a/{b}"));
    assert_int_equal(mti_router_create(one, 1, &r, &e), MT_INVALID);
    assert_int_equal(mti_router_create(NULL, 0, &r, &e), MT_OK);
    assert_null(mti_router_find(r, MT_SLICE("GET"), MT_SLICE("/")).op);
    mti_router_destroy(r);
    mti_router_destroy(NULL);
}

/* NULL: not under a base path. */
static void assert_strip(const char *path, const char *rest)
{
    mt_slice got;
    bool ok = mti_router_strip(mt_str(path), &got);
    if (ok != (rest != NULL) || (ok && !mt_slice_eq(got, mt_str(rest))))
        fail_msg("%s becomes %.*s", path, ok ? (int)got.len : 7, ok ? got.p : "nothing");
}

static void test_bases(void **state)
{
    assert_strip("/v1/agents", "/agents");
    assert_strip("/api/agents", "/agents");
    assert_strip("/api/v1/agents", "/agents");
    assert_strip("/api/v1/enterprise/agents", "/agents");
    assert_strip("/api/v1/enterprises", "/enterprises");
    assert_strip("/v1/", "/");
    assert_strip("/health", "/health");
    assert_strip("/health/agent", "/health/agent");
    assert_strip("/metrics", "/metrics");
    assert_strip("/v1/health", "/health");
    static const char *const none[] = {"",     "/",        "/v1",     "/v2/agents", "/v10/agents",
                                       "/api", "/apiv1/a", "/agents", "/health/",   "/metricss",
                                       "v1/a", "//v1/a"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_strip(none[i], NULL);
}

static void test_percent(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {{"", ""},         {"abc", "abc"},         {"a%20b", "a b"},
                {"%2f%2F", "//"}, {"%C3%A9", "\xc3\xa9"}, {"\xc3\xa9", "\xc3\xa9"},
                {"a+b", "a+b"},   {"%25%32%35", "%25"},   {"%", NULL},
                {"%2", NULL},     {"a%2", NULL},          {"%zz", NULL},
                {"%2g", NULL},    {"% 2", NULL},          {"%00", NULL},
                {"a%00b", NULL},  {"%c3", NULL},          {"%C3%28", NULL},
                {"%C0%80", NULL}, {"%ED%A0%80", NULL},    {"%F4%90%80%80", NULL},
                {"\xff", NULL},   {"%-1", NULL},          {"%\xc3\xa9", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *out = malloc(strlen(rows[i].in) + 1);
        mt_slice got;
        bool ok = mti_percent_decode(mt_str(rows[i].in), out, &got);
        if (ok != (rows[i].out != NULL) || (ok && !mt_slice_eq(got, mt_str(rows[i].out))))
            fail_msg("\"%s\" is %s", rows[i].in, ok ? out : "refused");
        assert_true(!ok || got.p[got.len] == 0);
        free(out);
    }
}

/* Three hundred routes: a look-up stays far below what a request costs. The bound is loose, for
 * sanitizers and busy machines. */
static void test_many(void **state)
{
    static mti_operation ops[300];
    static char paths[300][64];
    for (int i = 0; i < 300; i++) {
        snprintf(paths[i], sizeof paths[i], "/workspaces/{workspace_id}/noun%d%s", i / 2,
                 i % 2 ? "/{id}" : "");
        ops[i] = (mti_operation){.id = paths[i], .method = "GET", .path = paths[i]};
    }
    mti_router *r = router_of(ops, 300);
    int64_t from = mti_thread_cpu_ns();
    for (int round = 0; round < 100; round++)
        for (int i = 0; i < 300; i++)
            assert_ptr_equal(mti_router_find(r, MT_SLICE("GET"), mt_str(paths[i])).op, &ops[i]);
    int64_t each = (mti_thread_cpu_ns() - from) / 30000;
    print_message("a look-up among 300 routes: %lld ns\n", (long long)each);
    assert_true(each < 100000);
    mti_router_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),      cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_parameters), cmocka_unit_test(test_methods),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_bases),
        cmocka_unit_test(test_percent),    cmocka_unit_test(test_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
