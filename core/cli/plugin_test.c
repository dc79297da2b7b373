/* mortise plugin test: the unit tests by CTest, the policies' cases in an engine of this process. No server. */
#include "cli/plugin_work.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/process.h"
#include "policy/policy.h"

/* Without what CTest says of itself. */
static void on_line(void *arg, char *line)
{
    static const char *const noise[] = {"Internal ctest", "Test project", "Label Time Summary", "unit    =", "Total Test time", "    Start "};
    bool shown = *line;
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
        shown = shown && strncmp(line, noise[i], strlen(noise[i]));
    if (shown)
        fprintf(arg, "%s\n", line);
}

static mt_status run_unit(const mti_work *w, json_t *report, mti_error *e)
{
    char build[PATH_MAX];
    mti_error why = {0};
    snprintf(build, sizeof build, "%.*s/build", PATH_MAX - 64, w->dir);
    char *const argv[] = {"ctest", "--test-dir", build, "--output-on-failure", "--no-tests=ignore", NULL};
    mt_status s = mti_process_lines(argv, on_line, w->out, &why);
    json_object_set_new(report, "unit", json_string(s == MT_OK ? "passed" : "failed"));
    if (s == MT_NOT_FOUND)
        return mti_fail(e, s, "no_cmake", "CTest is needed for the tests of a plugin in C: install the package cmake.");
    return s == MT_OK ? s : mti_fail(e, MT_INVALID, "tests_failed", "Unit tests of %s failed; their words are above.", w->slug);
}

static void print_case(const mti_work *w, const char *policy, const json_t *one)
{
    bool passed = mti_json_get_bool(one, "passed", false);
    mt_slice name = mti_json_get_string(one, "name", MT_SLICE("?")), why = mti_json_get_string(one, "why", MT_SLICE(""));
    fprintf(w->out, "%s  %s: %.*s%s%.*s\n", passed ? "ok    " : "FAILED", policy, (int)name.len, name.p, why.len ? ": " : "", (int)why.len, why.p);
}

/* One policy with the file of its cases. */
static mt_status run_cases(const mti_work *w, const char *name, mt_slice source, mt_slice cases, json_t *reports, mti_error *e)
{
    /* steps are the limit that is the same on every machine; a slow one is given time */
    mti_policies *engine = mti_policies_create(&(mti_policy_limits){.cpu_us = 1000000}, NULL, 0);
    mti_buf text;
    json_t *report = NULL, *one;
    size_t i;
    mti_buf_init(&text, 16 << 20);
    mt_status s = mti_policy_test(engine, name, source, cases, &text, e);
    mti_policies_destroy(engine);
    if (s == MT_OK)
        s = mti_json_parse(mti_buf_slice(&text), 0, &report, e);
    mti_buf_dispose(&text);
    MT_TRY(s);
    json_array_foreach(json_object_get(report, "cases"), i, one)
        print_case(w, name, one);
    int64_t failed = mti_json_get_int(report, "failed", 1);
    json_array_append_new(reports, report);
    return failed ? mti_fail(e, MT_INVALID, "tests_failed", "%lld cases of %s failed.", (long long)failed, name) : MT_OK;
}

/* A policy without cases is told, and is no failure. */
static mt_status test_policy(const mti_work *w, const char *file, json_t *reports, mti_error *e)
{
    char name[300], path[PATH_MAX + 320];
    mti_buf source, cases;
    snprintf(name, sizeof name, "policies/%s", file);
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    mt_status s = mti_buf_read_file(&source, path, 1 << 20);
    snprintf(path, sizeof path, "%s/%.*s.test.json", w->dir, (int)(strlen(name) - 4), name);
    mt_status found = mti_buf_read_file(&cases, path, 4 << 20);
    if (s != MT_OK || (found != MT_OK && found != MT_NOT_FOUND))
        s = mti_fail(e, MT_INVALID, "file_unreadable", "%s or its cases cannot be read.", name);
    else if (found == MT_NOT_FOUND)
        fprintf(w->out, "        %s: no cases (%.*s.test.json)\n", name, (int)(strlen(name) - 4), name);
    else
        s = run_cases(w, name, mti_buf_slice(&source), mti_buf_slice(&cases), reports, e);
    mti_buf_dispose(&source);
    mti_buf_dispose(&cases);
    return s;
}

static int is_policy(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return d->d_name[0] != '.' && n > 4 && n < 200 && !strcmp(d->d_name + n - 4, ".lua");
}

/* All of them; the first failure is the answer. */
static mt_status run_policies(const mti_work *w, json_t *reports, mti_error *e)
{
    char path[PATH_MAX + 16];
    struct dirent **list;
    mt_status s = MT_OK;
    snprintf(path, sizeof path, "%s/policies", w->dir);
    int n = scandir(path, &list, is_policy, alphasort);
    for (int i = 0; i < n; i++) {
        mti_error why = {0};
        mt_status one = test_policy(w, list[i]->d_name, reports, &why);
        if (one != MT_OK && s == MT_OK) {
            s = one;
            *e = why;
        }
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return s;
}

mt_status mti_work_test(const mti_work *w, json_t *report, mti_error *e)
{
    json_t *reports = json_array();
    mti_error why = {0};
    mt_status unit = w->code ? run_unit(w, report, e) : MT_OK, cases = run_policies(w, reports, &why);
    if (unit == MT_OK && cases != MT_OK)
        *e = why;
    json_object_set_new(report, "policies", reports);
    return unit == MT_OK ? cases : unit;
}

int mti_plugin_test(mti_cli *cli)
{
    mti_work w;
    mti_error e = {0};
    if (!mti_cli_args(cli, 0, 1))
        return 2;
    json_t *report = json_object();
    mt_status s = mti_work_open(cli, cli->argv[0], &w, &e);
    if (s == MT_OK)
        s = mti_work_build(&w, true, &e);
    if (s == MT_OK)
        s = mti_work_test(&w, report, &e);
    bool ran = json_object_size(report) > 0;
    if (ran && cli->json)
        json_dumpf(report, stdout, JSON_COMPACT), puts("");
    else if (s == MT_OK && !w.code && !json_array_size(json_object_get(report, "policies")))
        printf("%s has no tests; its files are well-formed\n", w.slug);
    json_decref(report);
    return s == MT_OK ? 0 : mti_work_fail(&w, &e);
}
