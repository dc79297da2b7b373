/* mortise plugin: what is installed, on, off; a new one from the template. */
#include "cli/client.h"

#include <stdio.h>

static const char *text_or(const json_t *o, const char *key, const char *fallback)
{
    const json_t *v = json_object_get(o, key);
    return json_is_string(v) && *json_string_value(v) ? json_string_value(v) : fallback;
}

static void print_list(const json_t *items)
{
    size_t i;
    json_t *p;
    printf("%-24s %-10s %-10s %-14s %s\n", "plugin", "version", "state", "category", "reason");
    json_array_foreach(items, i, p)
        printf("%-24s %-10s %-10s %-14s %s\n", text_or(p, "slug", "?"), text_or(p, "version", "-"),
               text_or(p, "state", "?"), text_or(p, "category", "-"), text_or(p, "reason", ""));
}

static int call_and_print(mti_cli *cli, const char *method, const char *path,
                          void (*print)(const json_t *), const char *member)
{
    mti_reply r;
    mti_error e = {0};
    int status = 0;
    if (mti_client_call(cli, method, path, NULL, &r, &e) != MT_OK)
        status = mti_cli_fail(&e);
    else if (cli->json)
        printf("%.*s\n", (int)r.body.len, r.body.p);
    else
        print(member ? json_object_get(r.json, member) : r.json);
    mti_reply_dispose(&r);
    return status;
}

bool mti_plugin_is_slug(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_");
    return n && n <= 63 && !s[n];
}

static void print_state(const json_t *plugin)
{
    printf("%s is %s%s%s\n", text_or(plugin, "slug", "?"), text_or(plugin, "state", "?"),
           *text_or(plugin, "reason", "") ? ": " : "", text_or(plugin, "reason", ""));
}

static int run_on_one(mti_cli *cli, const char *verb)
{
    char path[128];
    bool on = !strcmp(verb, "enable");
    const char *organization = on || !strcmp(verb, "disable") ? mti_cli_value(cli, "--organization") : NULL;
    if (organization)
        return mti_plugin_allow(cli, on, organization);
    if (!mti_cli_args(cli, 1, 1))
        return 2;
    if (!mti_plugin_is_slug(cli->argv[0]))
        return mti_cli_usage(cli, "A plugin's slug has lower-case letters, digits, - and _ only.");
    snprintf(path, sizeof path, "/v1/plugins/%s/%s", cli->argv[0], verb);
    return call_and_print(cli, "POST", path, print_state, NULL);
}

static int uninstall(mti_cli *cli)
{
    char path[128];
    mti_reply r;
    mti_error e = {0};
    int status = 0;
    bool purge = mti_cli_flag(cli, "--purge");
    if (!mti_cli_args(cli, 1, 1))
        return 2;
    if (!mti_plugin_is_slug(cli->argv[0]))
        return mti_cli_usage(cli, "A plugin's slug has lower-case letters, digits, - and _ only.");
    snprintf(path, sizeof path, "/v1/plugins/%s%s", cli->argv[0], purge ? "?purge=true" : "");
    if (mti_client_call(cli, "DELETE", path, NULL, &r, &e) != MT_OK)
        status = mti_cli_fail(&e);
    else if (!cli->json)
        printf("%s is uninstalled%s\n", cli->argv[0], purge ? ", and its tables are gone" : "; its tables stay");
    mti_reply_dispose(&r);
    return status;
}

static const char verbs[] = "Say which: list, info, doctor, enable, disable, config, check, install, rollback, release, isolate, trust, uninstall, new, build, test, run or pack.";

static int run(mti_cli *cli)
{
    if (cli->argc < 1)
        return mti_cli_usage(cli, verbs);
    const char *verb = cli->argv[0];
    cli->argv++;
    cli->argc--;
    if (strcmp(verb, "list") == 0)
        return mti_cli_args(cli, 0, 0)
                   ? call_and_print(cli, "GET", "/v1/plugins", print_list, "items")
                   : 2;
    if (strcmp(verb, "info") == 0)
        return mti_plugin_info(cli);
    if (strcmp(verb, "doctor") == 0)
        return mti_plugin_doctor(cli);
    if (strcmp(verb, "enable") == 0 || strcmp(verb, "disable") == 0 || strcmp(verb, "rollback") == 0 ||
        strcmp(verb, "release") == 0 || strcmp(verb, "isolate") == 0 || strcmp(verb, "trust") == 0)
        return run_on_one(cli, verb);
    if (strcmp(verb, "config") == 0)
        return mti_plugin_config(cli);
    if (strcmp(verb, "install") == 0 || strcmp(verb, "check") == 0)
        return mti_plugin_send(cli, verb);
    if (strcmp(verb, "uninstall") == 0)
        return uninstall(cli);
    if (strcmp(verb, "pack") == 0)
        return mti_plugin_pack(cli);
    if (strcmp(verb, "new") == 0)
        return mti_plugin_new(cli);
    if (strcmp(verb, "build") == 0)
        return mti_plugin_build(cli);
    if (strcmp(verb, "test") == 0)
        return mti_plugin_test(cli);
    if (strcmp(verb, "run") == 0)
        return mti_plugin_run(cli);
    return mti_cli_usage(cli, verbs);
}

const mti_command mti_cmd_plugin = {
    .name = "plugin",
    .arguments = "VERB [NAME|FILE|FOLDER]",
    .summary = "Begin, build, test, install, upgrade and switch plugins.",
    .help = "  list              all plugins of the running server with state and reason\n"
            "  info SLUG         one plugin: what it is, offers and needs, and what it did\n"
            "  doctor [SLUG]     what is wrong with it, or with all, and what helps; exit status 1 when there is an error\n"
            "  enable SLUG [--organization ID|SLUG]    switch it on, for everybody or for one organization\n"
            "  disable SLUG [--organization ID|SLUG]   switch it off; refused while others need it\n"
            "  config SLUG [NAME=VALUE ...] [--unset NAME ...] [--organization ID|SLUG | --workspace ID] [--instance NAME]\n"
            "                    what is set of it, for everybody or there; changes it first. NAME may be a path (retry.times=3), VALUE is JSON or\n"
            "                    a text. An instance that is not there is made\n"
            "  config SLUG --effective [...]   what counts there, and where each value comes from\n"
            "  check PATH        what installing a package or a plugin's folder would do, and what is in its way; changes nothing\n"
            "  install PATH [--config NAME=VALUE ...]   install it, or let it take the place of the version that serves, newer\n"
            "                    or older, while requests go on; NAME may be a path (retry.times=3), VALUE is JSON or a text\n"
            "  rollback SLUG     back to the version before\n"
            "  release SLUG      take it out of quarantine, where a plugin comes in whose code brought the server down too often\n"
            "  isolate SLUG      let it run in a process of its own that can only compute and ask, from now on\n"
            "  trust SLUG        let it run inside the server, trusted with all of it, from now on\n"
            "  uninstall SLUG [--purge]   take an installed plugin away; its tables stay unless --purge\n\n"
            "for developers; FOLDER is the plugin's, the current one when it is left out:\n"
            "  new NAME [--kind K] [--dir D]   make the folder D/NAME (D: .) with a plugin that builds, tests and answers; K is plugin, llm, tool,\n"
            "                    policy or query\n"
            "  new --list        the kinds\n"
            "  build [FOLDER]    check its files and bring FOLDER/build/plugins/SLUG up to date; needs CMake and a compiler where there is C\n"
            "  test [FOLDER]     build it, run its unit tests and its policies' cases; no server is needed\n"
            "  run [FOLDER] [--config NAME=VALUE ...]   serve it and take each change that is saved: build it, let it take the place of what serves, show\n"
            "                    its log lines. On the server that runs on --data DIR, else on one of its own, whose data are in DIR (where none is named:\n"
            "                    thrown away at the end). Ctrl-C ends it\n"
            "  pack [FOLDER] [--out FILE]   build it and make a package (SLUG-VERSION.mortise)\n\n"
            "examples:\n  mortise plugin list\n  mortise plugin info documents --json\n  mortise "
            "plugin disable chat --data /srv/mortise\n"
            "  mortise plugin config chat passages=3 --organization acme\n"
            "  mortise plugin install sentiment --config greeting=Salve\n"
            "  mortise plugin new sentiment --kind llm",
    .run = run,
};
