/* mortise plugin run: a server, the plugin in it, and each change that is saved in its place. */
#include "cli/plugin_work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/ident.h"
#include "cli/greeting.h"
#include "cli/own_server.h"
#include "cli/plugin_watch.h"
#include "contract/contract.h"
#include "package/package.h"

enum { TICK_MS = 150, LINE_MAX_BYTES = 16 << 10 };

typedef struct session {
    mti_cli *cli;
    const char *folder;
    json_t *config;          /* of --config, given with the first version that is taken */
    mti_own_server server;
    bool own;                /* the server is ours */
    bool before;             /* a server that ran had the plugin already */
    mti_work work;
    char serving[65];        /* digest of the files that serve; "" none of ours */
    int log_fd;              /* of our own server; -1 none */
    size_t held;
    char line[LINE_MAX_BYTES];
} session;

/* --- what is said --- */

static double seconds_since(int64_t us)
{
    return (double)(mti_mono_us() - us) / 1e6;
}

static void tell_json(const char *event, json_t *fields)
{
    json_object_set_new(fields, "event", json_string(event));
    json_dumpf(fields, stdout, JSON_COMPACT | JSON_REAL_PRECISION(4));
    puts("");
    fflush(stdout);
    json_decref(fields);
}

static void tell_url(const session *x, const char *url)
{
    if (x->cli->json)
        tell_json("server", json_pack("{s:s,s:s,s:b}", "url", url, "data", mti_cli_data(x->cli), "own", x->own));
    else
        printf("%s on %s, data in %s%s\n",
               x->own ? "server" : "the server that runs", url, mti_cli_data(x->cli), x->server.throw_away ? " (removed at the end)" : "");
}

/* The operations, ready to be asked. */
static void tell_operations(const session *x, const char *url)
{
    char key[200];
    mti_contract *k;
    mti_error e = {0};
    if (x->cli->json || mti_contract_load(x->work.slug, x->work.dir, &k, &e) != MT_OK)
        return;
    for (unsigned i = 0; i < k->n_operations; i++)
        printf("  %-6s %s/v1%s\n", k->operations[i].method, url, k->operations[i].path);
    if (k->n_operations && mti_greeting_read_key(x->cli, key, sizeof key))
        printf("  with -H 'Authorization: Bearer %s'\n", key);
    mti_contract_destroy(k);
    fflush(stdout);
}

static void tell_swapped(const session *x, const json_t *plugin, int64_t from)
{
    const char *state = json_string_value(json_object_get(plugin, "state")), *reason = json_string_value(json_object_get(plugin, "reason"));
    if (x->cli->json)
        tell_json("swapped",
                  json_pack("{s:s,s:s,s:s?,s:s?,s:f}", "slug", x->work.slug, "version", x->work.version, "state", state, "reason", reason, "seconds", seconds_since(from)));
    else
        printf("%s %s is %s%s%s (%.2f s)\n", x->work.slug, x->work.version, state ? state : "?", reason ? ": " : "", reason ? reason : "", seconds_since(from));
    fflush(stdout);
}

static void tell_failure(const session *x, const mti_error *e)
{
    mti_work_fail(&x->work, e);
    if (x->cli->json)
        tell_json("failed", json_pack("{s:s,s:s,s:b}", "code", e->code, "detail", e->detail, "serving", *x->serving));
    else
        printf("%s\n", *x->serving ? "the version before goes on serving; save a correction" : "save a correction to try again");
    fflush(stdout);
}

/* --- the plugin's lines of our own server's log --- */

/* What the host tells of each change is told by us already. */
static bool concerns(const session *x, const char *line)
{
    static const char *const known[] = {" event=plugin.state ", " event=plugin.switched ", " event=plugin.retired ", " event=plugin.released "};
    char mark[80];
    int n = snprintf(mark, sizeof mark, " plugin=%s", x->work.slug);
    const char *at = strstr(line, mark);
    bool tells = at && (at[n] == ' ' || !at[n]);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        tells = tells && !strstr(line, known[i]);
    return tells;
}

static void follow_log(session *x)
{
    for (ssize_t n; x->log_fd >= 0 && (n = read(x->log_fd, x->line + x->held, sizeof x->line - 1 - x->held)) > 0;) {
        x->held += (size_t)n;
        x->line[x->held] = 0;
        char *from = x->line;
        for (char *end; (end = strchr(from, '\n')); from = end + 1) {
            *end = 0;
            if (concerns(x, from))
                fprintf(x->work.out, "%s\n", from);
        }
        x->held -= (size_t)(from - x->line);
        memmove(x->line, from, x->held);
        if (x->held == sizeof x->line - 1)
            x->held = 0;     /* a line without end: left out */
    }
    fflush(x->work.out);
}

/* --- changing --- */

static void release(const session *x)
{
    char path[128];
    mti_reply r;
    mti_error e = {0};
    snprintf(path, sizeof path, "/v1/plugins/%s/release", x->work.slug);
    mti_client_call(x->cli, "POST", path, NULL, &r, &e);
    mti_reply_dispose(&r);
}

/* What crashed too often is in quarantine by its number, which what was just saved has too. It is released when that is in its place, so that it crashes no
 * more; only where it is in quarantine for everybody it has to be released before. */
static mt_status install(const session *x, mti_reply *r, mti_error *e)
{
    const json_t *config = *x->serving ? NULL : x->config;
    mt_status s = mti_plugin_upload(x->cli, "install", x->work.built, config, r, e);
    if (s != MT_OK && !strcmp(e->code, "plugin_quarantined")) {
        release(x);
        mti_reply_dispose(r);
        *e = (mti_error){0};
        s = mti_plugin_upload(x->cli, "install", x->work.built, config, r, e);
    }
    if (s == MT_OK)
        release(x);
    return s;
}

static mt_status build(session *x, char digest[65], mti_error *e)
{
    char slug[sizeof x->work.slug];
    snprintf(slug, sizeof slug, "%s", x->work.slug);
    mt_status s = mti_work_open(x->cli, x->folder, &x->work, e);
    if (s != MT_OK)
        snprintf(x->work.slug, sizeof x->work.slug, "%s", slug);
    else if (*x->serving && strcmp(slug, x->work.slug))
        s = mti_fail(e, MT_INVALID, "slug_changed", "plugin.json:1:1: the slug was %s: that is another plugin, which needs another mortise plugin run", slug);
    if (s == MT_OK)
        s = mti_work_build(&x->work, false, e);
    return s == MT_OK ? mti_package_digest(x->work.built, digest, e) : s;
}

/* Builds what is in the folder and gives it to the server, unless the files are those that serve. */
static void swap(session *x)
{
    char digest[65] = "";
    mti_reply r = {0};
    mti_error e = {0};
    int64_t from = mti_mono_us();
    mt_status s = build(x, digest, &e);
    bool same = s == MT_OK && !strcmp(digest, x->serving);
    if (s == MT_OK && !same)
        s = install(x, &r, &e);
    if (s != MT_OK) {
        tell_failure(x, &e);
    } else if (!same) {
        tell_swapped(x, r.json, from);
        snprintf(x->serving, sizeof x->serving, "%s", digest);
    }
    mti_reply_dispose(&r);
}

static mt_status watch(session *x, mti_error *e)
{
    mti_watch w;
    mt_status s = mti_watch_open(&w, x->work.dir, e);
    if (s == MT_OK && !x->cli->json)
        printf("watching %s; Ctrl-C ends it\n", x->work.dir);
    fflush(stdout);
    if (s == MT_OK)
        swap(x);             /* after the watch began: what is saved meanwhile is seen */
    while (s == MT_OK && !mti_own_server_interrupted()) {
        if (mti_watch_wait(&w, TICK_MS) && !mti_own_server_interrupted())
            swap(x);
        follow_log(x);
        if (x->own && mti_own_server_ended(&x->server))
            s = mti_fail(e, MT_UNAVAILABLE, "server_lost", "The server ended; the end of its log is above.");
    }
    if (s != MT_OK && x->own)
        mti_own_server_show_log(&x->server);
    mti_watch_close(&w);
    return s;
}

/* --- beginning and end --- */

static bool runs_already(session *x)
{
    char path[128];
    mti_reply r;
    mti_error e = {0};
    snprintf(path, sizeof path, "/v1/plugins/%s", x->work.slug);
    mt_status s = mti_client_call(x->cli, "GET", path, NULL, &r, &e);
    mti_reply_dispose(&r);
    x->before = s == MT_OK;
    return s == MT_OK || r.status;
}

/* Ours is for development: a version that fails is to be looked at, not rolled back. */
static mt_status start_own(session *x, mti_error *e)
{
    char path[600];
    x->own = true;
    MT_TRY(mti_config_set(x->cli->config, "plugins.upgrade_watch", "0ms", "plugin run", e));
    MT_TRY(mti_own_server_start(x->cli, "plugin-run", &x->server, e));
    snprintf(path, sizeof path, "%s/server.log", x->server.dir);
    x->log_fd = open(path, O_RDONLY | O_CLOEXEC);
    return MT_OK;
}

static mt_status begin(session *x, mti_error *e)
{
    char url[300] = "";
    mti_buf text;
    MT_TRY(mti_work_open(x->cli, x->folder, &x->work, e));
    mti_own_server_catch();
    if (!runs_already(x))
        MT_TRY(start_own(x, e));
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.*s/mortise.url", PATH_MAX - 32, mti_cli_data(x->cli));
    if (mti_buf_read_file(&text, path, sizeof url - 1) == MT_OK && text.len)
        snprintf(url, sizeof url, "%.*s", (int)strcspn(text.p, "\n"), text.p);
    mti_buf_dispose(&text);
    tell_url(x, url);
    tell_operations(x, url);
    return MT_OK;
}

/* Somebody's server is left as it was, as far as that goes. */
static void leave(const session *x)
{
    char path[128];
    mti_reply r;
    mti_error e = {0};
    if (!*x->serving)
        return;
    if (x->before) {
        if (!x->cli->json)
            printf("the server keeps what was saved last; mortise plugin install brings another version\n");
        return;
    }
    snprintf(path, sizeof path, "/v1/plugins/%s", x->work.slug);
    if (mti_client_call(x->cli, "DELETE", path, NULL, &r, &e) != MT_OK)
        mti_cli_fail(&e);
    else if (!x->cli->json)
        printf("%s is taken away again; its tables stay (mortise plugin uninstall %s --purge)\n", x->work.slug, x->work.slug);
    mti_reply_dispose(&r);
}

int mti_plugin_run(mti_cli *cli)
{
    mti_error e = {0};
    session *x = calloc(1, sizeof *x);
    *x = (session){.cli = cli, .log_fd = -1, .config = mti_plugin_take_config(cli)};
    int status = 2;
    if (!x->config)
        mti_cli_usage(cli, "Configuration is given as --config NAME=VALUE.");
    else if (mti_cli_args(cli, 0, 1)) {
        x->folder = cli->argv[0];
        mt_status s = begin(x, &e);
        if (s == MT_OK)
            s = watch(x, &e);
        status = s == MT_OK || s == MT_CANCELLED ? 0 : mti_work_fail(&x->work, &e);
        if (x->own)
            mti_own_server_stop(&x->server);
        else
            leave(x);
    }
    if (x->log_fd >= 0)
        close(x->log_fd);
    json_decref(x->config);
    free(x);
    return status;
}
