/* mortise secrets: the keys that secrets in plugin configurations are encrypted with. */
#include <stdio.h>

#include "cli/internal.h"
#include "secrets/keyring.h"

/* Takes it. */
static int print(json_t *out)
{
    json_dumpf(out, stdout, JSON_COMPACT);
    puts("");
    json_decref(out);
    return 0;
}

static int list(const mti_cli *cli, const char *path)
{
    char ids[64][MTI_KEY_ID + 1];
    unsigned n = 0;
    mti_error e = {0};
    mti_keyring *k = mti_keyring_create(path);
    mt_status s = k ? mti_keyring_list(k, ids, &n, &e) : MT_NO_MEMORY;
    mti_keyring_destroy(k);
    if (s != MT_OK && s != MT_NOT_FOUND)
        return mti_cli_fail(&e);
    if (cli->json) {
        json_t *keys = json_array();
        for (unsigned i = 0; i < n; i++)
            json_array_append_new(keys, json_string(ids[i]));
        return print(json_pack("{s:s,s:o}", "file", path, "keys", keys));
    }
    printf("%s: %s\n", path, n ? "the first key encrypts, all decrypt" : "no key yet; the first secret makes one");
    for (unsigned i = 0; i < n; i++)
        puts(ids[i]);
    return 0;
}

static int rotate(const mti_cli *cli, const char *path)
{
    char id[MTI_KEY_ID + 1];
    mti_error e = {0};
    if (mti_keyring_rotate(path, id, &e) != MT_OK)
        return mti_cli_fail(&e);
    if (cli->json)
        return print(json_pack("{s:s,s:s}", "file", path, "key", id));
    printf("key %s is the first in %s now\n`mortise reload` encrypts every secret with it; after that the lines below it may go\n", id, path);
    return 0;
}

static int run(mti_cli *cli)
{
    char path[PATH_MAX];
    if (!mti_cli_args(cli, 1, 1))
        return 2;
    mti_config_key_file(cli->config, path);
    if (!strcmp(cli->argv[0], "list"))
        return list(cli, path);
    if (!strcmp(cli->argv[0], "rotate"))
        return rotate(cli, path);
    return mti_cli_usage(cli, "Expected: list or rotate.");
}

const mti_command mti_cmd_secrets = {
    .name = "secrets",
    .arguments = "list|rotate [--json]",
    .summary = "The keys of secrets in plugin configurations.",
    .help = "Secrets are encrypted with the first key of DIR/secret.key (or of the option secrets.key_file); every key in it decrypts.\n\n"
            "  list     the keys' names, as they stand in the database beside what they encrypt\n"
            "  rotate   put a new key before the others. A start, or mortise reload, encrypts every secret with it; then delete the old\n"
            "           lines. Hosts that share a database get the new file, before any of them is reloaded.\n\n"
            "examples:\n  mortise secrets rotate && mortise reload",
    .run = run,
};
