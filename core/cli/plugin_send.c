/* mortise plugin pack, check and install: a built folder becomes a package, a package goes to the running server. */
#include "cli/client.h"
#include "cli/plugin_work.h"
#include "package/package.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RETRIES = 300, RETRY_MS = 200 };      /* while the host is being replaced */

/* SLUG-VERSION of a folder, from its plugin.json. */
static mt_status name_package(const char *dir, char *out, size_t size, mti_error *e)
{
    char path[PATH_MAX];
    mti_buf text;
    json_t *manifest = NULL;
    snprintf(path, sizeof path, "%s/plugin.json", dir);
    mt_status s = mti_buf_read_file(&text, path, 1 << 20);
    if (s != MT_OK)
        s = mti_fail(e, s, "no_plugin", "%.300s cannot be read: name a package, or the folder that was built (build/plugins/NAME).", path);
    else
        s = mti_json_parse(mti_buf_slice(&text), 0, &manifest, e);
    mt_slice slug = mti_json_get_string(manifest, "slug", (mt_slice){0}), version = mti_json_get_string(manifest, "version", (mt_slice){0});
    if (s == MT_OK && (!slug.p || !version.p || slug.len + version.len > 90 || memchr(slug.p, '/', slug.len) || memchr(version.p, '/', version.len)))
        s = mti_fail(e, MT_INVALID, "manifest_invalid", "%.300s lacks its slug or version.", path);
    if (s == MT_OK)
        snprintf(out, size, "%.*s-%.*s", (int)slug.len, slug.p, (int)version.len, version.p);
    json_decref(manifest);
    mti_buf_dispose(&text);
    return s;
}

static mt_status read_package(const char *path, char name[128], mti_buf *out, mti_error *e)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    mti_buf_init(out, 0);
    if (stat(path, &st))
        return mti_fail(e, MT_NOT_FOUND, "no_package", "%.300s: %s.", path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) {
        snprintf(name, 128, "%.120s", slash ? slash + 1 : path);
        mt_status s = mti_buf_read_file(out, path, MTI_PACKAGE_PACKED);
        return s == MT_OK ? s : mti_fail(e, s, "no_package", "%.300s cannot be read, or is larger than %u MiB.", path, MTI_PACKAGE_PACKED >> 20);
    }
    MT_TRY(name_package(path, name, 128, e));
    return mti_package_pack(path, name, out, e);
}

/* NAME=VALUE into the tree; NAME "a.b" is b in a. */
bool mti_plugin_add_value(json_t *config, const char *word)
{
    const char *equals = strchr(word, '='), *at = word;
    if (!equals || equals == word)
        return false;
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
    if (!value)
        value = json_string(equals + 1);
    for (const char *dot; (dot = memchr(at, '.', (size_t)(equals - at))); at = dot + 1) {
        json_t *inner = json_object_getn(config, at, (size_t)(dot - at));
        if (!json_is_object(inner)) {
            inner = json_object();
            json_object_setn_new(config, at, (size_t)(dot - at), inner);
        }
        config = inner;
    }
    return value && json_object_setn_new(config, at, (size_t)(equals - at), value) == 0;
}

json_t *mti_plugin_take_config(mti_cli *cli)
{
    json_t *config = json_object();
    for (const char *word; config && (word = mti_cli_value(cli, "--config"));)
        if (!mti_plugin_add_value(config, word)) {
            json_decref(config);
            config = NULL;
        }
    return config;
}

static void print_names(const char *what, const json_t *names)
{
    size_t i;
    json_t *name;
    if (!json_array_size(names))
        return;
    printf("%-12s", what);
    json_array_foreach((json_t *)names, i, name)
        printf(" %s", json_string_value(name));
    puts("");
}

static void print_plan(const json_t *plan)
{
    size_t i;
    json_t *problem;
    const char *from = json_string_value(json_object_get(plan, "from"));
    printf("%s %s: %s%s%s\n", json_string_value(json_object_get(plan, "slug")), json_string_value(json_object_get(plan, "version")),
           json_string_value(json_object_get(plan, "action")), from ? " from " : "", from ? from : "");
    print_names("migrations", json_object_get(plan, "migrations"));
    print_names("operations", json_object_get(plan, "operations"));
    char *permissions = json_dumps(json_object_get(plan, "permissions"), JSON_COMPACT);
    printf("%-12s %s\n", "permissions", permissions);
    free(permissions);
    json_array_foreach(json_object_get(plan, "problems"), i, problem)
        printf("%-12s %s\n", i ? "" : "problems", json_string_value(json_object_get(problem, "detail")));
}

static void print_installed(const json_t *plugin)
{
    const char *reason = json_string_value(json_object_get(plugin, "reason"));
    printf("%s %s is %s%s%s\n", json_string_value(json_object_get(plugin, "slug")), json_string_value(json_object_get(plugin, "version")),
           json_string_value(json_object_get(plugin, "state")), reason ? ": " : "", reason ? reason : "");
}

mt_status mti_plugin_upload(const mti_cli *cli, const char *verb, const char *folder, const json_t *config, mti_reply *r, mti_error *e)
{
    char path[64], name[128];
    mti_buf package;
    *r = (mti_reply){0};
    mt_status s = read_package(folder, name, &package, e);
    char *text = json_object_size(config) || (config && strchr(verb, '?')) ? json_dumps(config, JSON_COMPACT) : NULL;
    snprintf(path, sizeof path, "/v1/plugins/%s", verb);
    if (s == MT_OK)
        s = mti_client_upload_with(cli, path, name, "application/gzip", mti_buf_slice(&package), text, r, e);
    for (int i = 0; i < RETRIES && s != MT_OK && !strcmp(e->code, "host_reloading"); i++) {
        usleep(RETRY_MS * 1000);
        mti_reply_dispose(r);
        *e = (mti_error){0};
        s = mti_client_upload_with(cli, path, name, "application/gzip", mti_buf_slice(&package), text, r, e);
    }
    mti_buf_dispose(&package);
    free(text);
    return s;
}

static int send_path(mti_cli *cli, const char *verb, const char *path, const mti_work *w, const json_t *config)
{
    mti_reply r;
    mti_error e = {0};
    int status = 0;
    bool check = !strcmp(verb, "check");
    if (mti_plugin_upload(cli, verb, path, config, &r, &e) != MT_OK)
        status = mti_work_fail(w, &e);
    else if (check && json_array_size(json_object_get(r.json, "problems")))
        status = 1;
    if (!e.detail[0] && cli->json)
        printf("%.*s\n", (int)r.body.len, r.body.p);
    else if (!e.detail[0])
        (check ? print_plan : print_installed)(r.json);
    mti_reply_dispose(&r);
    return status;
}

int mti_plugin_send(mti_cli *cli, const char *verb)
{
    char path[PATH_MAX];
    mti_error e = {0};
    json_t *config = mti_plugin_take_config(cli);
    mti_work w = {0};
    int status = 2;
    if (!config)
        return mti_cli_usage(cli, "Configuration is given as --config NAME=VALUE.");
    if (mti_cli_args(cli, 1, 1)) {
        bool found = mti_work_find(cli, cli->argv[0], &w, path, &e) == MT_OK;
        status = found ? send_path(cli, verb, path, &w, config) : mti_work_fail(&w, &e);
    }
    json_decref(config);
    return status;
}

static mt_status write_package(const char *path, mt_slice data, mti_error *e)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(data.p, 1, data.len, f) == data.len;
    ok = f && fclose(f) == 0 && ok;
    return ok ? MT_OK : mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", path, strerror(errno));
}

int mti_plugin_pack(mti_cli *cli)
{
    char name[128] = "", path[160], folder[PATH_MAX];
    mti_buf package;
    mti_work w = {0};
    mti_error e = {0};
    const char *out = mti_cli_value(cli, "--out");
    if (!mti_cli_args(cli, 0, 1))
        return 2;
    mti_buf_init(&package, 0);
    mt_status s = mti_work_find(cli, cli->argv[0], &w, folder, &e);
    if (s == MT_OK)
        s = name_package(folder, name, sizeof name, &e);
    snprintf(path, sizeof path, "%s.mortise", name);
    if (s == MT_OK)
        s = mti_package_pack(folder, name, &package, &e);
    if (s == MT_OK)
        s = write_package(out ? out : path, mti_buf_slice(&package), &e);
    if (s == MT_OK && cli->json)
        printf("{\"file\":\"%s\",\"bytes\":%zu}\n", out ? out : path, package.len);
    else if (s == MT_OK)
        printf("packed %s (%.1f KiB)\n", out ? out : path, (double)package.len / 1024);
    mti_buf_dispose(&package);
    return s == MT_OK ? 0 : mti_work_fail(&w, &e);
}
