/* From a folder to a loaded plugin: the sound one, and each kind of broken one. What failed can be
 * repaired and tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "package/package.h"
#include "plugin/manager.h"
#include "plugin/record.h"

#define BASE                                                                                       \
    "\"slug\":\"sample\",\"version\":\"1.0.0\",\"abi\":1,\"description\":\"d\",\"license\":"       \
    "\"MIT\""
#define CODE      BASE ",\"entry_point\":\"sample.so:sample_plugin\""
#define OPERATION "\"operationId\":\"sample.call\",\"x-permission\":\"sample.use\",\"x-handler\":"

static mti_schema *schema;
static mti_host host;
static mti_config *config;
static struct mti_plugins plugins;
static mti_plugin_record *record;
static char dir[] = "/tmp/mortise-loader-XXXXXX", home[64];
static mti_error error;

static void put(const char *name, const char *text)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
    if (!text)
        return;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void put_object(const char *variant)
{
    char path[96], target[4096];
    put("sample.so", NULL);
    snprintf(path, sizeof path, "%s/sample.so", dir);
    snprintf(target, sizeof target, SAMPLES "/%s.so", variant);
    assert_int_equal(symlink(target, path), 0);
}

static int setup_all(void **state)
{
    mti_log_setup(-1, MTI_LOG_ERROR, MTI_LOG_LOGFMT);
    host = (mti_host){.root = ".", .version = "0.1.0", .plugins = &plugins};
    plugins.host = &host;
    host.config = config = mti_config_create();
    if (!mkdtemp(dir))
        return -1;
    snprintf(home, sizeof home, "%s/home", dir);
    host.plugin_home = home;
    return mti_manifest_schema(".", &schema, &error) == MT_OK ? 0 : -1;
}

static int teardown_all(void **state)
{
    mti_schema_destroy(schema);
    mti_config_destroy(config);
    return mti_package_remove(dir, NULL) == MT_OK ? 0 : -1;
}

static int setup(void **state)
{
    record = aligned_alloc(64, (sizeof *record + 63) & ~(size_t)63);
    memset(record, 0, sizeof *record);
    record->host = &host;
    record->slug = "sample";
    record->slot = 1;
    host.version = "0.1.0";
    return 0;
}

static int teardown(void **state)
{
    char path[96];
    if (record->created && record->entry->unload)
        record->entry->unload(record->self);
    for (unsigned i = 0; i < record->n_policies; i++)
        mti_policy_release(record->policies[i]);
    mti_contract_destroy(record->contract);
    mti_manifest_destroy(record->manifest);
    if (record->object)
        dlclose(record->object);
    free(record);
    put("plugin.json", NULL);
    put("api.json", NULL);
    put("sample.so", NULL);
    put("policies/a.lua", NULL);
    put("policies/b.lua", NULL);
    snprintf(path, sizeof path, "%s/policies", dir);
    rmdir(path);
    return 0;
}

static mt_status load(const char *manifest)
{
    put("plugin.json", manifest);
    mti_manifest_destroy(record->manifest);
    record->manifest = NULL;
    if (mti_manifest_load(schema, dir, &record->manifest, &error) != MT_OK)
        fail_msg("%s", error.detail);
    error = (mti_error){0};
    mt_status s = mti_record_load(record, &error);
    assert_true((s == MT_OK) == record->loaded);
    assert_int_equal(s, error.status);
    return s;
}

static void refused(const char *manifest, const char *code, const char *why)
{
    if (load(manifest) == MT_OK || strcmp(error.code, code) || !strstr(error.detail, why))
        fail_msg("%s: %s", error.code, error.detail);
}

static int counter(const char *name)
{
    int *n = dlsym(record->object, name);
    assert_non_null(n);
    return *n;
}

static void test_sound(void **state)
{
    put_object("sound");
    put("api.json", "{\"paths\":{\"/a\":{\"get\":{" OPERATION "\"on_call\"}}}}");
    assert_int_equal(
        load("{" CODE ",\"provides\":[\"limiter/1\"],\"permissions\":{\"services\":[\"cache/1\"]},"
             "\"hooks\":[{\"name\":\"http.done\",\"handler\":\"on_hook\"}],\"queues\":[{\"name\":"
             "\"q\",\"handler\":\"on_call\"}]}"),
        MT_OK);
    assert_int_equal(record->contract->n_operations, 1);
    assert_non_null(record->contract->operations[0].run);
    assert_int_equal(record->contract->operations[0].plugin, 1);
    assert_int_equal(counter("sample_created"), 1);
    assert_int_equal(counter("sample_loaded"), 1);
    const void **given = dlsym(record->object, "sample_given");
    assert_non_null(given[0]); /* granted */
    assert_null(given[1]);     /* not granted */
    assert_ptr_equal(record->providers[MTI_SVC_LIMITER].self, record->self);
    assert_non_null(record->providers[MTI_SVC_LIMITER].table);
}

static void test_without_code(void **state)
{
    assert_int_equal(load("{" BASE "}"), MT_OK);
    assert_null(record->entry);
    assert_int_equal(record->contract->n_operations, 0);
}

static void test_broken_objects(void **state)
{
    static const char *const rows[][3] = {{"wrong_abi", "abi_mismatch", "ABI"},
                                          {"short_entry", "plugin_invalid", "shorter"},
                                          {"other_slug", "version_mismatch", "other"},
                                          {"other_version", "version_mismatch", "1.0.1"},
                                          {"nothing", "plugin_unloadable", "sample.so"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_object(rows[i][0]);
        for (int again = 0; again < 2; again++) {
            refused("{" CODE "}", rows[i][1], rows[i][2]);
            assert_null(record->entry);
            assert_null(record->object);
        }
    }
    put_object("sound");
    refused("{" BASE ",\"entry_point\":\"sample.so:other_plugin\"}", "plugin_unloadable",
            "other_plugin");
    put_object("earlier_sdk"); /* built when the table was shorter */
    assert_int_equal(load("{" CODE "}"), MT_OK);
}

static void test_create_fails(void **state)
{
    put_object("create_fails");
    refused("{" CODE "}", "plugin_invalid", "create()");
    assert_false(record->created);
    refused("{" CODE "}", "plugin_invalid", "create()");
}

static void test_load_fails_once(void **state)
{
    put_object("load_fails_once");
    refused("{" CODE "}", "plugin_invalid", "load()");
    assert_int_equal(load("{" CODE "}"), MT_OK);
    assert_int_equal(counter("sample_created"), 1);
    assert_int_equal(counter("sample_loaded"), 2);
}

static void test_names_that_lead_nowhere(void **state)
{
    put_object("sound");
    put("api.json", "{\"paths\":{\"/a\":{\"get\":{" OPERATION "\"on_nothing\"}}}}");
    refused("{" CODE "}", "handler_missing", "on_nothing");
    put("api.json", "{\"paths\":");
    refused("{" CODE "}", "contract_invalid", "api.json");
    put("api.json", NULL);
    refused("{" CODE ",\"queues\":[{\"name\":\"q\",\"handler\":\"on_nothing\"}]}",
            "handler_missing", "on_nothing");
    refused("{" CODE ",\"hooks\":[{\"name\":\"http.done\",\"handler\":\"on_call\"}]}",
            "handler_missing", "on_call");
    refused("{" CODE ",\"hooks\":[{\"name\":\"http.undone\",\"handler\":\"on_hook\"}]}",
            "hook_unknown", "http.undone");
    refused("{" CODE ",\"provides\":[\"cache/1\"]}", "service_missing", "cache/1");
    refused("{" CODE ",\"provides\":[\"teleport/1\"]}", "service_unknown", "teleport/1");
    refused("{" CODE ",\"provides\":[\"db/1\"]}", "service_unknown", "db/1");
    /* repaired */
    put("api.json", "{\"paths\":{\"/a\":{\"get\":{" OPERATION "\"on_call\"}}}}");
    assert_int_equal(load("{" CODE "}"), MT_OK);
    assert_int_equal(record->contract->n_operations, 1);
}

static void test_no_code_to_call(void **state)
{
    put("api.json", "{\"paths\":{\"/a\":{\"get\":{" OPERATION "\"on_call\"}}}}");
    refused("{" BASE "}", "handler_missing", "on_call");
    put("api.json", NULL);
    refused("{" BASE ",\"provides\":[\"limiter/1\"]}", "service_missing", "limiter/1");
}

static void test_short_table(void **state)
{
    put_object("short_table");
    refused("{" CODE ",\"provides\":[\"limiter/1\"]}", "service_missing", "limiter/1");
}

static void test_platform(void **state)
{
    put_object("sound");
    refused("{" CODE ",\"min_platform_version\":\"0.1.1\"}", "platform_too_old", "0.1.1");
    refused("{\"slug\":\"sample\",\"version\":\"1.0.0\",\"abi\":7,\"description\":\"d\","
            "\"license\":\"MIT\"}",
            "abi_mismatch", "ABI");
    refused("{" CODE ",\"requires\":[\"limiter/2\"]}", "interface_unknown", "limiter/2");
    assert_null(record->object);
    assert_int_equal(load("{" CODE ",\"min_platform_version\":\"0.1.0\"}"), MT_OK);
}

static void test_policies(void **state)
{
    char path[96];
    snprintf(path, sizeof path, "%s/policies", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    host.policies = mti_policies_create(NULL, NULL, 0);
    put("policies/a.lua", "-- hook: limit.check\ndecide.continue()\n");
    put("policies/b.lua", "-- hook: limit.check\nthis is no lua\n");
    for (int again = 0; again < 2; again++)
        assert_int_equal(load("{" BASE "}"), MT_INVALID);
    put("policies/b.lua", "-- hook: limit.check\nlog('b')\n");
    assert_int_equal(load("{" BASE "}"), MT_OK);
    assert_int_equal(record->n_policies, 2);
    while (record->n_policies)
        mti_policy_release(record->policies[--record->n_policies]);
    mti_policies_destroy(host.policies);
}

/* Refused before any process is started, and before the object is opened. */
static void test_not_in_a_worker(void **state)
{
    put_object("sound");
    assert_int_equal(mti_config_set(config, "plugins.isolated", "other,sample", "test", &error), MT_OK);
    refused("{" CODE ",\"provides\":[\"embedder/1\"]}", "not_isolable", "embedder/1");
    refused("{" CODE ",\"requires\":[\"auth/1\"]}", "not_isolable", "auth/1");
    refused("{" CODE ",\"essential\":true}", "not_isolable", "essential");
    refused("{" CODE ",\"in_process\":\"it starts threads\"}", "not_isolable", "it starts threads");
    refused("{" CODE ",\"hooks\":[{\"name\":\"limit.check\",\"handler\":\"on_check\"}]}", "not_isolable", "limit.check");
    assert_null(record->object);
    assert_int_equal(mti_config_set(config, "plugins.isolated", "sampl,other", "test", &error), MT_OK);
    assert_false(mti_isolated(&host, &(mti_manifest){.slug = "sample"}));
    assert_false(mti_isolated(&host, &(mti_manifest){.slug = "sample", .engine = true}));     /* no supervisor keeps any */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sound),           TEST(test_without_code),    TEST(test_broken_objects),
        TEST(test_create_fails),    TEST(test_load_fails_once), TEST(test_names_that_lead_nowhere),
        TEST(test_no_code_to_call), TEST(test_short_table),     TEST(test_platform),
        TEST(test_policies),        TEST(test_not_in_a_worker)};
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
