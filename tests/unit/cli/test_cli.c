/* The command line as a user types it: exit status, what goes to stdout and what to stderr. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/plugin_new.c"

static char dir[] = "/tmp/mortise-cli-XXXXXX";
static int64_t served_port;
static mti_buf out, err;

static int fake_serve(const mti_config *c)
{
    served_port = mti_config_int(c, "http.port");
    return 0;
}

static void read_back(const char *path, mti_buf *b)
{
    mti_buf_dispose(b);
    if (mti_buf_read_file(b, path, 1 << 20) != MT_OK)
        abort();
    mti_buf_adds(b, "");
}

/* Runs `mortise line` (words separated by spaces) with both streams in files. */
static int run(const char *line)
{
    char copy[400], path[2][64], *argv[20] = {"mortise"};
    int argc = 1, saved[2], status;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *p = strtok(copy, " "); p; p = strtok(NULL, " "))
        argv[argc++] = p;
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/stream%d", dir, i + 1);
        saved[i] = dup(i + 1);
        int fd = open(path[i], O_RDWR | O_CREAT | O_TRUNC, 0600);
        dup2(fd, i + 1);
        close(fd);
    }
    status = mti_cli_main(argc, argv, fake_serve);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i + 1);
        close(saved[i]);
    }
    read_back(path[0], &out);
    read_back(path[1], &err);
    return status;
}

static void said(const mti_buf *b, const char *text)
{
    if (!b->p || !strstr(b->p, text))
        fail_msg("\"%s\" is not in \"%s\"", text, b->p ? b->p : "");
}

static void test_every_command_has_help_with_examples(void **state)
{
    static const char *const names[] = {"serve",  "demo",  "config", "health",  "plugin",
                                        "policy", "model", "backup", "restore", "version"};
    assert_int_equal(run("--help"), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n  %s ", names[i]);
        assert_int_equal(run("help"), 0);
        said(&out, line);
        snprintf(line, sizeof line, "%s --help", names[i]);
        assert_int_equal(run(line), 0);
        said(&out, "usage: mortise ");
        said(&out, "example");
        assert_int_equal(err.len, 0);
    }
}

static void test_wrong_use_is_2(void **state)
{
    static const char *const lines[][2] = {
        {"frobnicate", "no command"},
        {"serve --frob", "--frob is no flag"},
        {"serve now", "Expected: mortise serve"},
        {"serve --port x", "http.port"},
        {"serve --port", "needs a value"},
        {"plugin", "Say which"},
        {"plugin frob", "Say which"},
        {"plugin info", "Expected"},
        {"plugin info A/B", "slug"},
        {"plugin doctor A/B", "slug"},
        {"trace not-an-id", "An id has"},
        {"trace GET plugins", "A path begins"},
        {"policy test", "Expected"},
        {"policy frob x", "policy test"},
        {"model pull x", "./mortise model pull"},
        {"backup", "Expected"},
        {"plugin new Bad", "name begins"},
        {"plugin new Sales!Bot", "as sales-bot"},
        {"plugin new chat", "chat is taken"},
        {"plugin new pg_x", "pg_x is taken"},
        {"plugin new ok --dir", "--dir"},
        {"plugin new ok --kind lmm", "did you mean llm? Kinds: plugin, llm, tool"},
        {"plugin new ok --kind kubernetes", "no kind \"kubernetes\"? Kinds:"},
        {"plugin new --list x", "Expected"},
        {"plugin build a b", "Expected"},
        {"plugin test a b", "Expected"},
        {"demo x", "Expected"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (run(lines[i][0]) != 2)
            fail_msg("mortise %s is not refused", lines[i][0]);
        said(&err, lines[i][1]);
        assert_int_equal(out.len, 0);
    }
    assert_int_equal(run(""), 2);
}

static void test_serve_gets_the_configuration(void **state)
{
    assert_int_equal(run("serve --port 1234"), 0);
    assert_int_equal(served_port, 1234);
    setenv("PORT", "4321", 1);
    assert_int_equal(run("serve"), 0);
    unsetenv("PORT");
    assert_int_equal(served_port, 4321);
}

static void test_ignored_names_are_logged_once(void **state)
{
    setenv("LICENSE_KEY", "abc-secret", 1);
    assert_int_equal(run("serve"), 0);
    unsetenv("LICENSE_KEY");
    said(&err, "config.ignored");
    said(&err, "LICENSE_KEY");
    assert_null(strstr(err.p, "abc-secret"));
}

static void test_config_reads_the_file_of_the_data_folder(void **state)
{
    char path[96], line[160];
    snprintf(path, sizeof path, "%s/mortise.conf", dir);
    FILE *f = fopen(path, "w");
    fputs("http.port = 77\nhttp.threads = 3\n", f);
    fclose(f);
    snprintf(line, sizeof line, "config --data %s --port 78 --json", dir);
    assert_int_equal(run(line), 0);
    said(&out,
         "{\"name\":\"http.port\",\"value\":\"78\",\"origin\":\"flag --port\",\"type\":\"int\"}");
    said(&out, "\"value\":\"3\",\"origin\":\"file ");
    json_t *tree = NULL;
    assert_int_equal(mti_json_parse(mti_buf_slice(&out), 0, &tree, NULL), MT_OK);
    json_decref(tree);
    unlink(path);
    assert_int_equal(run("config --config /nonexistent"), 1);
    said(&err, "/nonexistent");
}

static void test_version_names_the_libraries(void **state)
{
    assert_int_equal(run("--version"), 0);
    said(&out, mti_cli_version());
    static const char *const names[] = {"features:", "h2o",     "libpq", "postgresql", "jansson",
                                        "lua",       "openssl", "curl",  "onnxruntime"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        said(&out, names[i]);
    assert_int_equal(run("version --json"), 0);
    json_t *tree = NULL;
    assert_int_equal(mti_json_parse(mti_buf_slice(&out), 0, &tree, NULL), MT_OK);
    assert_true(json_is_string(json_object_get(json_object_get(tree, "libraries"), "jansson")));
    json_decref(tree);
}

static void test_without_a_server_it_says_what_to_do(void **state)
{
    char line[160];
    snprintf(line, sizeof line, "plugin list --data %s", dir);
    assert_int_equal(run(line), 1);
    said(&err, "start it with mortise serve --data");
    assert_int_equal(out.len, 0);
}

static void test_models_are_listed(void **state)
{
    setenv("MORTISE_CACHE", dir, 1);
    assert_int_equal(run("model list --json"), 0);
    unsetenv("MORTISE_CACHE");
    json_t *tree = NULL;
    assert_int_equal(mti_json_parse(mti_buf_slice(&out), 0, &tree, NULL), MT_OK);
    size_t i, found = 0;
    json_t *item;
    json_array_foreach(json_object_get(tree, "items"), i, item)
    {
        found += strcmp(json_string_value(json_object_get(item, "name")), "all-minilm-l6-v2") == 0;
        assert_true(json_is_false(json_object_get(item, "pulled")));
    }
    assert_int_equal(found, 1);
    json_decref(tree);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_a_template_is_filled_in(void **state)
{
    char path[160], target[160];
    mti_error e = {0};
    names v;
    assert_true(check_name("my-plugin2", &v));
    snprintf(path, sizeof path, "%s/template", dir);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/template/tests", dir);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/template/tests/test_@IDENT@.c", dir);
    put(path, "int @IDENT@_x; /* @NAME@ @IDENT @ @NAME@ */");
    snprintf(path, sizeof path, "%s/template", dir);
    snprintf(target, sizeof target, "%s/my-plugin2", dir);
    assert_int_equal(copy_folder(path, target, &v, &e), MT_OK);
    snprintf(path, sizeof path, "%s/my-plugin2/tests/test_my_plugin2.c", dir);
    read_back(path, &out);
    assert_string_equal(out.p, "int my_plugin2_x; /* my-plugin2 @IDENT @ my-plugin2 */");
    snprintf(path, sizeof path, "%s/template", dir);
    assert_int_equal(copy_folder(path, target, &v, &e), MT_CONFLICT);
}

static void test_plugin_names(void **state)
{
    names v;
    assert_true(check_name("ab", &v));
    static const char *const bad[] = {
        "", "a", "1a", "-a", "A", "a/b", "a b", "..", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(check_name(bad[i], &v));
}

static int start(void **state)
{
    mti_buf_init(&out, 1 << 20);
    mti_buf_init(&err, 1 << 20);
    return mkdtemp(dir) ? 0 : -1;
}

static int stop(void **state)
{
    char command[96];
    mti_buf_dispose(&out);
    mti_buf_dispose(&err);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void test_secrets_in_a_folder_of_any_name_are_json(void **state)
{
    char line[400], file[200];
    json_t *answer;
    snprintf(file, sizeof file, "%s/a\"b\\c.key", dir);
    for (int i = 0; i < 2; i++) {
        snprintf(line, sizeof line, "secrets %s --data %s --secrets.key_file %s --json", i ? "list" : "rotate", dir, file);
        assert_int_equal(run(line), 0);
        answer = json_loads(out.p, 0, NULL);
        assert_non_null(answer);
        assert_string_equal(json_string_value(json_object_get(answer, "file")), file);
        assert_true(i ? json_array_size(json_object_get(answer, "keys")) == 2 : json_is_string(json_object_get(answer, "key")));
        json_decref(answer);
    }
    unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_command_has_help_with_examples),
        cmocka_unit_test(test_wrong_use_is_2),
        cmocka_unit_test(test_serve_gets_the_configuration),
        cmocka_unit_test(test_ignored_names_are_logged_once),
        cmocka_unit_test(test_config_reads_the_file_of_the_data_folder),
        cmocka_unit_test(test_version_names_the_libraries),
        cmocka_unit_test(test_without_a_server_it_says_what_to_do),
        cmocka_unit_test(test_models_are_listed),
        cmocka_unit_test(test_a_template_is_filled_in),
        cmocka_unit_test(test_plugin_names),
        cmocka_unit_test(test_secrets_in_a_folder_of_any_name_are_json),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
