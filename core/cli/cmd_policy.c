/* mortise policy: cases of a policy's file here, what concerns an organization's in policy_org.c. */
#include "cli/client.h"
#include "cli/policy_org.h"

#include <limits.h>
#include <stdio.h>

/* x.lua has its cases in x.test.json. */
static void cases_path(const char *file, char *out, size_t size)
{
    size_t n = strlen(file);
    n = n > 4 && strcmp(file + n - 4, ".lua") == 0 ? n - 4 : n;
    snprintf(out, size, "%.*s.test.json", (int)n, file);
}

static mt_status make_request(const char *file, const char *cases, json_t **out, mti_error *e)
{
    mti_buf source, list;
    json_t *tree = NULL;
    mti_buf_init(&list, 0);
    mt_status s = mti_policy_read(file, &source, e);
    if (s == MT_OK)
        s = mti_policy_read(cases, &list, e);
    mti_error why = {0};
    if (s == MT_OK && (s = mti_json_parse(mti_buf_slice(&list), 0, &tree, &why)) != MT_OK)
        mti_fail(e, s, why.code, "%.200s: %.150s", cases, why.detail);
    const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    if (s == MT_OK &&
        !(*out = json_pack("{s:s%,s:s#,s:o}", "name", base, strnlen(base, 100), "source",
                           source.p ? source.p : "", (int)source.len, "cases", json_incref(tree))))
        s = mti_fail(e, MT_INVALID, "file_unreadable", "%.300s is not UTF-8 text.", file);
    json_decref(tree);
    mti_buf_dispose(&source);
    mti_buf_dispose(&list);
    return s;
}

static void print_report(const json_t *report)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(report, "cases"), i, one)
    {
        mt_slice name = mti_json_get_string(one, "name", MT_SLICE("?")),
                 why = mti_json_get_string(one, "why", (mt_slice){0});
        printf("%s  %.*s%s%.*s\n", mti_json_get_bool(one, "passed", false) ? "ok    " : "FAILED",
               (int)name.len, name.p, why.len ? ": " : "", (int)why.len, why.p ? why.p : "");
    }
    printf("%lld passed, %lld failed\n", (long long)mti_json_get_int(report, "passed", 0),
           (long long)mti_json_get_int(report, "failed", 0));
}

static int run_test(mti_cli *cli, const char *file, const char *cases)
{
    json_t *body = NULL;
    mti_reply r;
    mti_error e = {0};
    if (make_request(file, cases, &body, &e) != MT_OK)
        return mti_cli_fail(&e);
    int status = 0;
    if (mti_client_call(cli, "POST", "/v1/policies/test", body, &r, &e) != MT_OK) {
        status = mti_cli_fail(&e);
    } else {
        if (cli->json)
            printf("%.*s\n", (int)r.body.len, r.body.p);
        else
            print_report(r.json);
        status = mti_json_get_int(r.json, "failed", 1) == 0 ? 0 : 1;
    }
    mti_reply_dispose(&r);
    json_decref(body);
    return status;
}

static int test(mti_cli *cli)
{
    char path[PATH_MAX];
    const char *cases = mti_cli_value(cli, "--cases");
    if (!mti_cli_args(cli, 2, 2))
        return 2;
    cases_path(cli->argv[1], path, sizeof path);
    return run_test(cli, cli->argv[1], cases ? cases : path);
}

static int run(mti_cli *cli)
{
    static const struct {
        const char *name;
        int (*run)(mti_cli *cli);
    } verbs[] = {{"test", test}, {"list", mti_policy_list}, {"enable", mti_policy_enable}, {"shadow", mti_policy_shadow},
                 {"disable", mti_policy_disable}, {"decisions", mti_policy_decisions}, {"replay", mti_policy_replay_file},
                 {"explain", mti_policy_explain}};
    for (size_t i = 0; cli->argc && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(cli->argv[0], verbs[i].name) == 0)
            return verbs[i].run(cli);
    return mti_cli_usage(cli, "Expected: mortise policy test | list | enable | shadow | disable | decisions | replay | explain.");
}

const mti_command mti_cmd_policy = {
    .name = "policy",
    .arguments = "test FILE | list | enable FILE | shadow FILE | disable NAME | decisions NAME | replay FILE | explain METHOD PATH",
    .summary = "Try, run and explain Lua policies.",
    .help = "test FILE [--cases FILE]      runs a policy against the cases in the file of its name with .test.json instead of .lua: a list of\n"
            "                              {name, ctx, expect: {outcome, code, status, patches}}; nothing is kept. 1 when a case fails\n"
            "list                          the policies of an organization\n"
            "enable FILE [--record]        uploads the file as the newest version of the policy of its name, and lets it decide\n"
            "shadow FILE [--record]        the same, but it only runs beside the version that decides, and differences are noted\n"
            "disable NAME                  neither decides nor runs beside\n"
            "decisions NAME [--differing]  what was recorded (--record), and where the shadow differed\n"
            "replay FILE                   runs the file over what the policy of its name recorded. 1 when it decides otherwise\n"
            "explain METHOD PATH [--body JSON] [--ctx JSON]\n"
            "                              which handlers a request would meet, and what each policy decides, by which line\n\n"
            "All but test concern one organization: --org ID, without it the first one. They talk to the running server.\n\n"
            "examples:\n  mortise policy test quiet_hours.lua\n  mortise policy shadow quiet_hours.lua --record\n"
            "  mortise policy explain POST /v1/workspaces/ID/chat --body '{\"query\": \"hello\"}'",
    .run = run,
};
