/* plugin.json: the schema that ships, and what the loader makes of a manifest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <glob.h>
#include <unistd.h>

#include "plugin/manifest.h"

#define BASE                                                                                       \
    "\"slug\":\"shop\",\"version\":\"1.2.3\",\"abi\":1,\"description\":\"Sells.\",\"license\":"    \
    "\"MIT\""

static mti_schema *schema;

static int setup(void **state)
{
    mti_error e;
    return mti_manifest_schema(".", &schema, &e) == MT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    mti_schema_destroy(schema);
    return 0;
}

static mt_status load(const char *text, mti_manifest **out, mti_error *e)
{
    char dir[] = "/tmp/mortise-manifest-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/plugin.json", dir);
    if (text) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
    }
    *out = NULL;
    *e = (mti_error){0};
    mt_status s = mti_manifest_load(schema, dir, out, e);
    unlink(path);
    rmdir(dir);
    assert_true((s == MT_OK) == (*out != NULL));
    return s;
}

static void test_smallest(void **state)
{
    mti_manifest *m;
    mti_error e;
    if (load("{" BASE "}", &m, &e) != MT_OK)
        fail_msg("%s", e.detail);
    assert_string_equal(m->slug, "shop");
    assert_string_equal(m->version, "1.2.3");
    assert_null(m->file);
    assert_null(m->category);
    assert_null(m->config_schema);
    assert_false(m->db);
    assert_false(m->essential || m->mandatory);
    assert_int_equal(m->n_hooks + m->n_queues + m->n_dependencies + m->n_provides + m->n_requires +
                         m->n_services + m->n_hosts + m->n_references,
                     0);
    mti_manifest_destroy(m);
    mti_manifest_destroy(NULL);
}

static void test_full(void **state)
{
    static const char text[] =
        "{" BASE ",\"category\":\"example\",\"essential\":true,\"mandatory\":true,\"entry_point\":\"shop.so:shop_"
                 "plugin\",\"dependencies\":{\"tenancy\":\"^1.2\",\"auth\":\"*\"},"
        "\"provides\":[\"llm/1\"],\"requires\":[\"cache/1\",\"vector_index/"
        "1\"],\"hooks\":[{\"name\":\"http.done\",\"handler\":\"on_done\",\"priority\":7,\"needs\":["
        "\"status\"]},"
        "{\"name\":\"http.request\",\"handler\":\"on_request\"}],\"queues\":[{\"name\":\"shop."
        "work\",\"handler\":\"on_work\",\"lease_ms\":5000},"
        "{\"name\":\"b\",\"handler\":\"h\",\"concurrency\":64}],\"permissions\":{\"db\":{"
        "\"schema\":\"shop\",\"references\":[\"tenancy.workspace\"]},\"services\":[\"queue/1\"],"
        "\"http\":{\"hosts\":[\"example.org\"]}},\"config_schema\":{\"type\":\"object\"}}";
    mti_manifest *m;
    mti_error e;
    if (load(text, &m, &e) != MT_OK)
        fail_msg("%s", e.detail);
    assert_non_null(strstr(m->file, "/shop.so"));
    assert_string_equal(m->symbol, "shop_plugin");
    assert_true(m->essential && m->mandatory && m->db && m->config_schema);
    assert_int_equal(m->n_dependencies, 2);
    assert_string_equal(m->dependencies[0].slug, "tenancy");
    assert_string_equal(m->dependencies[0].range, "^1.2");
    assert_string_equal(m->provides[0], "llm/1");
    assert_string_equal(m->requires_[1], "vector_index/1");
    assert_int_equal(m->hooks[0].priority, 7);
    assert_int_equal(m->hooks[1].priority, 100);
    assert_string_equal(m->hooks[1].handler, "on_request");
    assert_int_equal(m->queues[0].concurrency, 2);
    assert_int_equal(m->queues[0].lease_ms, 5000);
    assert_int_equal(m->queues[1].concurrency, 64);
    assert_int_equal(m->queues[1].lease_ms, 30000);
    assert_string_equal(m->references[0], "tenancy.workspace");
    assert_string_equal(m->services[0], "queue/1");
    assert_string_equal(m->hosts[0], "example.org");
    mti_manifest_destroy(m);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "plugin.json:1:"},
        {"{", "plugin.json:1:"},
        {"[]", "object"},
        {"{}", "slug"},
        {"{\"slug\":\"shop\"}", "version"},
        {"{" BASE ",\"slug\":\"again\"}", "duplicate"},
        {"{" BASE ",\"colour\":1}", "/colour"},
        {"{" BASE ",\"entry_point\":\"../evil.so:x\"}", "/entry_point"},
        {"{" BASE ",\"entry_point\":\"/tmp/evil.so:x\"}", "/entry_point"},
        {"{" BASE ",\"entry_point\":\"shop.so\"}", "/entry_point"},
        {"{" BASE ",\"entry_point\":\"shop.so:\"}", "/entry_point"},
        {"{" BASE ",\"entry_point\":\"shop.so:x y\"}", "/entry_point"},
        {"{" BASE ",\"entry_point\":\"shop.so:x\\n\"}", "/entry_point"},
        {"{" BASE ",\"dependencies\":{\"a\":\"latest\"}}", "/dependencies/a"},
        {"{" BASE ",\"dependencies\":{\"a\":\"\"}}", "/dependencies/a"},
        {"{" BASE ",\"dependencies\":{\"a\":\"^1.2.3.4\"}}", "/dependencies/a"},
        {"{" BASE ",\"dependencies\":[\"a\"]}", "/dependencies"},
        {"{" BASE ",\"provides\":[\"llm\"]}", "/provides/0"},
        {"{" BASE ",\"provides\":[7]}", "/provides/0"},
        {"{" BASE ",\"requires\":[\"LLM/1\"]}", "/requires/0"},
        {"{" BASE ",\"hooks\":[{\"name\":\"a\"}]}", "/hooks/0"},
        {"{" BASE ",\"hooks\":[{\"name\":\"a\",\"handler\":\"h\",\"priority\":1001}]}",
         "/hooks/0/priority"},
        {"{" BASE ",\"hooks\":[{\"name\":\"a\",\"handler\":\"h\",\"when\":1}]}", "/hooks/0/when"},
        {"{" BASE ",\"hooks\":{}}", "/hooks"},
        {"{" BASE ",\"queues\":[{\"name\":\"a\",\"handler\":\"h\",\"concurrency\":0}]}",
         "/queues/0/concurrency"},
        {"{" BASE ",\"queues\":[{\"name\":\"A\",\"handler\":\"h\"}]}", "/queues/0/name"},
        {"{" BASE ",\"permissions\":{\"disk\":true}}", "/permissions/disk"},
        {"{" BASE ",\"permissions\":{\"db\":{\"references\":[\"tenancy\"]}}}",
         "/permissions/db/references/0"},
        {"{" BASE ",\"permissions\":{\"db\":{\"references\":[\"a.b; drop\"]}}}",
         "/permissions/db/references/0"},
        {"{" BASE ",\"homepage\":\"not a uri\"}", "/homepage"},
        {"{" BASE ",\"category\":\"toys\"}", "/category"},
        {"{" BASE ",\"essential\":\"yes\"}", "/essential"}};
    mti_manifest *m;
    mti_error e;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mt_status s = load(rows[i].text, &m, &e);
        if (s != MT_INVALID || strcmp(e.code, "manifest_invalid") || !strstr(e.detail, rows[i].why))
            fail_msg("%s: status %d, %s: %s", rows[i].text, s, e.code, e.detail);
    }
}

static void test_members_refused(void **state)
{
    static const char *const members[] = {"\"slug\":\"Shop\"",
                                          "\"slug\":\"1shop\"",
                                          "\"slug\":\"s\"",
                                          "\"slug\":\"shop-2\"",
                                          "\"slug\":\"../shop\"",
                                          "\"slug\":\"shop\\n\"",
                                          "\"slug\":\"a23456789012345678901234567890123\"",
                                          "\"version\":\"1.2\"",
                                          "\"version\":\"1.2.3.4\"",
                                          "\"version\":\"v1.2.3\"",
                                          "\"version\":\"1.2.3-\"",
                                          "\"version\":\"1.2.3 \"",
                                          "\"abi\":0",
                                          "\"abi\":\"1\"",
                                          "\"abi\":1.5",
                                          "\"description\":\"\"",
                                          "\"license\":7"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        mti_manifest *m;
        mti_error e;
        json_t *good, *bad;
        char text[256];
        snprintf(text, sizeof text, "{%s}", members[i]);
        assert_int_equal(mti_json_parse(MT_SLICE("{" BASE "}"), 0, &good, &e), MT_OK);
        assert_int_equal(mti_json_parse(mt_str(text), 0, &bad, &e), MT_OK);
        json_object_update(good, bad);
        char *whole = json_dumps(good, 0);
        if (load(whole, &m, &e) != MT_INVALID)
            fail_msg("%s is taken", members[i]);
        free(whole);
        json_decref(good);
        json_decref(bad);
    }
}

static void test_unreadable(void **state)
{
    mti_manifest *m;
    mti_error e;
    assert_int_equal(load(NULL, &m, &e), MT_NOT_FOUND);
    assert_string_equal(e.code, "manifest_unreadable");
    char *large = malloc((1 << 20) + 2);
    memset(large, ' ', (1 << 20) + 1);
    large[(1 << 20) + 1] = 0;
    assert_int_equal(load(large, &m, &e), MT_TOO_LARGE);
    free(large);
    mti_schema *none = NULL;
    assert_int_equal(mti_manifest_schema("/nowhere", &none, &e), MT_NOT_FOUND);
    assert_string_equal(e.code, "installation_broken");
    assert_null(none);
}

/* Every manifest in the tree is one, and lies in the folder of its slug. */
static void test_shipped(void **state)
{
    glob_t found;
    assert_int_equal(glob("plugins/*/plugin.json", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        mti_manifest *m;
        mti_error e = {0};
        char *dir = found.gl_pathv[i];
        *strrchr(dir, '/') = 0;
        if (mti_manifest_load(schema, dir, &m, &e) != MT_OK)
            fail_msg("%s: %s", dir, e.detail);
        assert_string_equal(m->slug, strrchr(dir, '/') + 1);
        for (size_t d = 0; d < m->n_dependencies; d++)
            if (strcmp(m->dependencies[d].range, "*") &&
                mti_semver_match("0.0.0-0", m->dependencies[d].range))
                fail_msg("%s: the range %s takes anything", dir, m->dependencies[d].range);
        mti_manifest_destroy(m);
    }
    globfree(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smallest),   cmocka_unit_test(test_full),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_members_refused),
        cmocka_unit_test(test_unreadable), cmocka_unit_test(test_shipped)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
