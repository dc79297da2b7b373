/* mortise model list: the declared models and which of them are on this machine. */
#include "cli/internal.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void models_folder(const mti_cli *cli, char *out, size_t size)
{
    const char *dir = mti_config_str(cli->config, "models.dir"), *cache = getenv("MORTISE_CACHE"),
               *home = getenv("HOME");
    if (*dir)
        snprintf(out, size, "%s", dir);
    else if (cache && *cache)
        snprintf(out, size, "%s/models", cache);
    else
        snprintf(out, size, "%s/.cache/mortise/models", home && *home ? home : "/root");
}

/* Every file that the manifest declares is there; pulling has checked their hashes. */
static bool is_pulled(const char *folder, const char *name, const json_t *files)
{
    size_t i;
    json_t *file;
    char path[PATH_MAX + 512];
    json_array_foreach(files, i, file)
    {
        mt_slice f = mti_json_get_string(file, "name", MT_SLICE(""));
        snprintf(path, sizeof path, "%s/%s/%.*s", folder, name, (int)f.len, f.p);
        if (access(path, R_OK) != 0)
            return false;
    }
    return json_array_size(files) > 0;
}

static void add_model(json_t *items, const char *path, const char *folder)
{
    mti_buf text;
    json_t *m = NULL;
    if (mti_buf_read_file(&text, path, 1 << 20) == MT_OK &&
        mti_json_parse(mti_buf_slice(&text), 0, &m, NULL) == MT_OK) {
        const char *name = json_string_value(json_object_get(m, "name"));
        if (name)
            json_array_append_new(
                items, json_pack("{s:s,s:s?,s:s?,s:s?,s:b}", "name", name, "task",
                                 json_string_value(json_object_get(m, "task")), "title",
                                 json_string_value(json_object_get(m, "title")), "licence",
                                 json_string_value(json_object_get(m, "licence")), "pulled",
                                 is_pulled(folder, name, json_object_get(m, "files"))));
    }
    json_decref(m);
    mti_buf_dispose(&text);
}

static json_t *list_models(const char *folder)
{
    char manifests[PATH_MAX], pattern[PATH_MAX + 16];
    json_t *items = json_array();
    glob_t found;
    if (!mti_cli_find("manifests/models", manifests, sizeof manifests))
        return items;
    snprintf(pattern, sizeof pattern, "%s/*.json", manifests);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            add_model(items, found.gl_pathv[i], folder);
    globfree(&found);
    return items;
}

static int run(mti_cli *cli)
{
    char folder[PATH_MAX];
    if (cli->argc && strcmp(cli->argv[0], "pull") == 0)
        return mti_cli_usage(
            cli,
            "Models are fetched by the launcher of the source tree: ./mortise model pull NAME.");
    if (!mti_cli_args(cli, 1, 1))
        return 2;
    if (strcmp(cli->argv[0], "list") != 0)
        return mti_cli_usage(cli, "Expected: mortise model list.");
    models_folder(cli, folder, sizeof folder);
    json_t *items = list_models(folder), *one,
           *root = json_pack("{s:s,s:O}", "folder", folder, "items", items);
    size_t i;
    if (cli->json) {
        json_dumpf(root, stdout, JSON_INDENT(2));
        puts("");
    } else {
        json_array_foreach(items, i, one)
            printf("%-24s %-12s %-12s %s\n", json_string_value(json_object_get(one, "name")),
                   mti_json_get_string(one, "task", MT_SLICE("-")).p,
                   json_is_true(json_object_get(one, "pulled")) ? "pulled" : "not here",
                   mti_json_get_string(one, "title", MT_SLICE("")).p);
        printf("\nfolder: %s\n", folder);
    }
    json_decref(root);
    json_decref(items);
    return 0;
}

const mti_command mti_cmd_model = {
    .name = "model",
    .arguments = "list [--json]",
    .summary = "List the declared models and whether they are here.",
    .help = "Models are declared in manifests/models and fetched, with their hashes verified, by "
            "./mortise model pull NAME in the\n"
            "source tree. The folder is models.dir, else ~/.cache/mortise/models.\n\n"
            "examples:\n  mortise model list\n  ./mortise model pull all-minilm-l6-v2",
    .run = run,
};
