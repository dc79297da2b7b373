/* The scanner through the fake host: what each rule finds, what it leaves alone, configuration and score. */
#include <mortise/hooks.h>
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

extern const mt_plugin security_scanner_plugin;

static int set_up(void **state)
{
    *state = mt_testkit_create(&security_scanner_plugin, MORTISE_PLUGIN_DIR);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    mt_testkit_destroy(*state);
    return 0;
}

/* Runs the filter; "rule:line rule:line" of what it found. */
static const char *scan(mt_testkit *kit, const char *file, const char *source)
{
    static char found[4096];
    mt_code_analyze in = {.size = sizeof in, .file_name = mt_str(file), .source = mt_str(source), .findings = MT_SLICE("[]"), .score = 100};
    assert_int_equal(mt_testkit_hook(kit, "on_code_analyze", &in), MT_CONTINUE);
    found[0] = 0;
    for (unsigned i = 0; i < mt_testkit_count(kit, MT_SEEN_PATCH); i++) {
        char rule[64], severity[16];
        unsigned line;
        const mt_seen *p = mt_testkit_seen(kit, MT_SEEN_PATCH, i);
        if (sscanf(p->text, "{\"rule\":\"%63[a-z_]\",\"severity\":\"%15[a-z]\",\"line\":%u", rule, severity, &line) == 3)
            snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s:%s:%u", found[0] ? " " : "", rule, severity, line);
    }
    return found;
}

static void test_secrets(void **state)
{
    mt_testkit *kit = *state;
    assert_string_equal(scan(kit, "a.py", "x = 1\naws = 'AKIAABCDEFGHIJKLMNOP'\n"), "hard_coded_secret:critical:2");
    assert_string_equal(scan(kit, "a.py", "DB_PASSWORD = \"hunter2hunter2\""), "hard_coded_secret:high:1");
    assert_string_equal(scan(kit, "a.js", "{ \"api_key\": \"abcd1234efgh\" }"), "hard_coded_secret:high:1");
    assert_string_equal(scan(kit, "a.py", "# password = 'old-secret-1'"), "hard_coded_secret:high:1");
    assert_string_equal(scan(kit, "a.pem", "-----BEGIN RSA PRIVATE KEY-----"), "hard_coded_secret:critical:1");
}

static void test_what_only_looks_like_a_secret(void **state)
{
    mt_testkit *kit = *state;
    assert_string_equal(scan(kit, "a.py", "password = os.environ['PASSWORD']"), "");
    assert_string_equal(scan(kit, "a.py", "password = \"changeme-please\""), "");
    assert_string_equal(scan(kit, "a.py", "password = \"short\""), "");
    assert_string_equal(scan(kit, "a.py", "def check_password(password): pass"), "");
    assert_string_equal(scan(kit, "a.py", "hint = \"Enter your password: at least 8 characters\""), "");
}

static void test_sql(void **state)
{
    mt_testkit *kit = *state;
    const char *high = "sql_concatenation:high:1";
    assert_string_equal(scan(kit, "a.py", "q = \"SELECT * FROM t WHERE id = \" + id"), high);
    assert_string_equal(scan(kit, "a.py", "db.execute(\"DELETE FROM t WHERE id = %s\" % id)"), high);
    assert_string_equal(scan(kit, "a.py", "q = f\"UPDATE t SET a = {a}\""), high);
    assert_string_equal(scan(kit, "a.py", "q = 'insert into t values ({})'.format(a)"), high);
    assert_string_equal(scan(kit, "a.js", "db.query(`SELECT a FROM t WHERE b = ${b}`)"), high);
    assert_string_equal(scan(kit, "a.py", "db.execute(\"SELECT * FROM t WHERE id = %s\", (id,))"), "");
    assert_string_equal(scan(kit, "a.js", "db.query(`SELECT a FROM t`)"), "");
    assert_string_equal(scan(kit, "a.py", "print(\"select one\", one)"), "");
}

static void test_calls(void **state)
{
    mt_testkit *kit = *state;
    assert_string_equal(scan(kit, "a.py", "eval (x)\nretrieval(x)\n# eval(x)\nre.exec(x)"), "code_execution:high:1");
    assert_string_equal(scan(kit, "a.py", "os.system(cmd)"), "code_execution:medium:1");
    assert_string_equal(scan(kit, "a.py", "h = hashlib.md5(p)"), "weak_hash:medium:1");
    assert_string_equal(scan(kit, "a.js", "crypto.createHash('sha1')"), "weak_hash:medium:1");
    assert_string_equal(scan(kit, "a.py", "hashlib.sha256(p)\nmd5_of_file = 1"), "");
}

static void test_dependencies(void **state)
{
    mt_testkit *kit = *state;
    const char *list = "flask==2.0\nPyYAML==5.3.1\nrequests[socks]~=2.19.1\nurllib3==1.26.5\n";
    assert_string_equal(scan(kit, "app/requirements.txt", list), "vulnerable_dependency:critical:2 vulnerable_dependency:high:3");
    assert_string_equal(scan(kit, "notes.txt", list), "");
    assert_string_equal(scan(kit, "package.json", "{\n\"lodash\": \"^4.17.20\",\n\"lodash-es\": \"1.0.0\",\n\"axios\": \"0.21.10\" }"), "vulnerable_dependency:high:2");
    assert_string_equal(scan(kit, "build.gradle", "implementation 'org.apache.logging.log4j:log4j-core:2.14.1'"), "vulnerable_dependency:critical:1");
}

static void test_configuration(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_config(kit, "{\"severity_threshold\":\"critical\",\"scan_dependencies\":false}");
    assert_string_equal(scan(kit, "requirements.txt", "eval(x)\npyyaml==5.0\nk = 'AKIAABCDEFGHIJKLMNOP'"), "hard_coded_secret:critical:3");
    mt_testkit_config(kit, "{\"severity_threshold\":\"medium\"}");
    assert_string_equal(scan(kit, "requirements.txt", "md5(x)\npyyaml==5.0"), "weak_hash:medium:1 vulnerable_dependency:critical:2");
}

static void test_the_operation_answers_findings_and_score(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_body(kit, "{\"source\":\"eval(x)\\nmd5(y)\",\"language\":\"python\"}");
    assert_int_equal(mt_testkit_run(kit, "on_analyze"), MT_OK);
    assert_string_equal(mt_testkit_json(kit, "/score"), "80");
    assert_string_equal(mt_testkit_json(kit, "/findings/0/rule"), "code_execution");
    assert_string_equal(mt_testkit_json(kit, "/findings/1/source"), "security_scanner");
    assert_null(mt_testkit_json(kit, "/findings/2"));
    mt_testkit_body(kit, "{\"source\":\"return 1\"}");
    mt_testkit_run(kit, "on_analyze");
    assert_string_equal(mt_testkit_answer(kit), "{\"score\":100,\"findings\":[]}");
}

static void test_a_hostile_source_is_bounded(void **state)
{
    mt_testkit *kit = *state;
    size_t n = 300000;
    char *body = malloc(n + 64), *p = body + sprintf(body, "{\"source\":\"");
    for (size_t i = 0; i + 10 < n; i += 10)
        p += sprintf(p, "eval(x)%s", i % 5000 == 0 ? "    " : "\\n ");
    sprintf(p, "\"}");
    mt_testkit_body(kit, body);
    free(body);
    assert_int_equal(mt_testkit_run(kit, "on_analyze"), MT_OK);
    assert_string_equal(mt_testkit_json(kit, "/score"), "0");
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_PATCH), 201);
}

#define SCANNER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCANNER_TEST(test_secrets), SCANNER_TEST(test_what_only_looks_like_a_secret), SCANNER_TEST(test_sql), SCANNER_TEST(test_calls),
        SCANNER_TEST(test_dependencies), SCANNER_TEST(test_configuration), SCANNER_TEST(test_the_operation_answers_findings_and_score),
        SCANNER_TEST(test_a_hostile_source_is_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
