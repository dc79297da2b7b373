/* What is wrong in a plugin's files, before anything is compiled. */
#include "cli/plugin_work.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "contract/contract.h"
#include "db/split.h"
#include "json/place.h"
#include "policy/policy.h"

enum { TEXT_MAX = 1 << 20 };

static mt_status load_manifest(const char *dir, mti_manifest **out, mti_error *e)
{
    char root[PATH_MAX];
    mti_schema *schema;
    if (!mti_cli_find("manifests/schemas/plugin.json", root, sizeof root))
        return mti_fail(e, MT_NOT_FOUND, "installation_broken",
                        "manifests/schemas/plugin.json is neither beside the program nor in its source tree: install the SDK.");
    *strstr(root, "/manifests/schemas/plugin.json") = 0;
    MT_TRY(mti_manifest_schema(root, &schema, e));
    mt_status s = mti_manifest_load(schema, dir, out, e);
    mti_schema_destroy(schema);
    return s;
}

mt_status mti_work_open(const mti_cli *cli, const char *folder, mti_work *w, mti_error *e)
{
    char path[PATH_MAX + 32];
    mti_manifest *m;
    int n = snprintf(w->dir, sizeof w->dir, "%s", folder ? folder : ".");
    w->out = cli->json ? stderr : stdout;
    w->slug[0] = 0;
    if (n < 1 || (size_t)n > sizeof w->dir - 200)
        return mti_fail(e, MT_INVALID, "path_invalid", "The folder's name is empty or too long.");
    while (n > 1 && w->dir[n - 1] == '/')
        w->dir[--n] = 0;
    snprintf(path, sizeof path, "%s/plugin.json", w->dir);
    if (access(path, R_OK))
        return mti_fail(e, MT_NOT_FOUND, "no_plugin",
                        "%.250s is no plugin: it has no plugin.json. Name the plugin's folder; mortise plugin new NAME makes one.", w->dir);
    MT_TRY(load_manifest(w->dir, &m, e));
    snprintf(w->slug, sizeof w->slug, "%s", m->slug);
    snprintf(w->version, sizeof w->version, "%s", m->version);
    if (strcmp(w->dir, "."))
        snprintf(w->built, sizeof w->built, "%.*s/build/plugins/%s", PATH_MAX - 200, w->dir, m->slug);
    else
        snprintf(w->built, sizeof w->built, "build/plugins/%s", m->slug);
    snprintf(path, sizeof path, "%s/CMakeLists.txt", w->dir);
    w->code = access(path, R_OK) == 0;
    w->object = m->file != NULL;
    mt_status s = !m->file || w->code ? MT_OK
                                      : mti_json_refuse(w->dir, "plugin.json", MT_SLICE("/entry_point"), e, "no_cmake",
                                                        "entry_point names code, but there is no CMakeLists.txt to build it: mortise plugin new makes one");
    mti_manifest_destroy(m);
    return s;
}

/* Runs check over DIR/FOLDER/NAME for each name that ends so. */
static mt_status each_file(const mti_work *w, const char *folder, const char *ending,
                           mt_status (*check)(const char *name, mt_slice text, mti_error *e), mti_error *e)
{
    char path[PATH_MAX + 300], name[300];
    struct dirent **list;
    mt_status s = MT_OK;
    snprintf(path, sizeof path, "%s/%s", w->dir, folder);
    int n = scandir(path, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        size_t length = strlen(list[i]->d_name), tail = strlen(ending);
        mti_buf text;
        if (s == MT_OK && list[i]->d_name[0] != '.' && length > tail && !strcmp(list[i]->d_name + length - tail, ending)) {
            snprintf(name, sizeof name, "%s/%s", folder, list[i]->d_name);
            snprintf(path, sizeof path, "%s/%s", w->dir, name);
            s = mti_buf_read_file(&text, path, TEXT_MAX);
            s = s == MT_OK ? check(name, mti_buf_slice(&text), e) : mti_fail(e, s, "file_unreadable", "%s: it cannot be read, or has more than 1 MiB", name);
            mti_buf_dispose(&text);
        }
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return s;
}

static size_t first_line(mt_slice s)
{
    size_t n = 0;
    while (n < s.len && n < 40 && s.p[n] != '\n')
        n++;
    return n;
}

static mt_status check_migration(const char *name, mt_slice text, mti_error *e)
{
    mti_splitter split = {.p = text.p, .end = text.p + text.len, .line = 1};
    mt_slice statement;
    int line = 1;
    mt_status s;
    while ((s = mti_split_next(&split, &statement, &line)) == MT_OK)
        if (!mti_split_allowed(statement))
            return mti_fail(e, MT_INVALID, "migration_failed", "%s:%d: a plugin's migration may not run \"%.*s…\"", name, line,
                            (int)first_line(statement), statement.p);
    return s == MT_DONE ? MT_OK : mti_fail(e, MT_INVALID, "migration_failed", "%s:%d: a literal, a quoted name or a comment has no end", name, split.line);
}

/* Sentences without a line are about the file's first lines. */
static mt_status check_policy(const char *name, mt_slice text, mti_error *e)
{
    mti_policies *engine = mti_policies_create(NULL, NULL, 0);
    mti_policy *policy = NULL;
    mti_error why = {0};
    mt_status s = mti_policy_compile(engine, name, text, &policy, &why);
    if (s != MT_OK)
        mti_fail(e, s, why.code, strncmp(why.detail, name, strlen(name)) ? "%s:1: %s" : "%.0s%s", name, why.detail);
    mti_policy_release(policy);
    mti_policies_destroy(engine);
    return s;
}

static mt_status check_cases(const char *name, mt_slice text, mti_error *e)
{
    json_t *list = NULL;
    mt_status s = mti_json_parse_file(name, text, &list, e);
    if (s == MT_OK && !json_is_array(list))
        s = mti_fail(e, MT_INVALID, "policy_cases", "%s:1:1: the cases of a policy are a list", name);
    json_decref(list);
    return s;
}

static mt_status check_hooks(const mti_work *w, const mti_manifest *m, mti_error *e)
{
    char at[48];
    for (size_t i = 0; i < m->n_hooks; i++) {
        snprintf(at, sizeof at, "/hooks/%zu/name", i);
        if (mti_hook_find(mt_str(m->hooks[i].name)) < 0)
            return mti_json_refuse(w->dir, "plugin.json", mt_str(at), e, "hook_unknown",
                                   "hook %s is not in the catalogue: see reference.md of the SDK", m->hooks[i].name);
    }
    return MT_OK;
}

mt_status mti_work_check(const mti_work *w, mti_error *e)
{
    mti_manifest *m;
    mti_contract *contract;
    MT_TRY(load_manifest(w->dir, &m, e));
    mt_status s = check_hooks(w, m, e);
    if (s == MT_OK && (s = mti_contract_load(m->slug, w->dir, &contract, e)) == MT_OK)
        mti_contract_destroy(contract);
    mti_manifest_destroy(m);
    if (s == MT_OK)
        s = each_file(w, "sql", ".sql", check_migration, e);
    if (s == MT_OK)
        s = each_file(w, "policies", ".lua", check_policy, e);
    return s == MT_OK ? each_file(w, "policies", ".json", check_cases, e) : s;
}

/* The file that a sentence begins with, when it is one of the plugin's. */
static bool begins_with_file(const char *s)
{
    static const char *const files[] = {"plugin.json:", "api.json:", "queries.sql:", "sql/", "policies/"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!strncmp(s, files[i], strlen(files[i])))
            return true;
    return false;
}

int mti_work_fail(const mti_work *w, const mti_error *e)
{
    fflush(stdout);              /* the compiler's words come first */
    if (!begins_with_file(e->detail))
        return mti_cli_fail(e);
    bool here = !strcmp(w->dir, ".");
    fprintf(stderr, "%s%s%s\n", here ? "" : w->dir, here ? "" : "/", e->detail);
    return 1;
}
