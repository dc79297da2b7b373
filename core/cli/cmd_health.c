/* mortise health: what a running server says of itself. */
#include "cli/client.h"

#include <stdio.h>

static void print_member(const char *key, const json_t *value)
{
    mti_buf b;
    mti_buf_init(&b, 65536);
    mt_slice text = mti_json_text(value);
    if (!text.p) {
        mti_json_dump(value, &b);
        text = mti_buf_slice(&b);
    }
    printf("%-20s %.*s\n", key, (int)text.len, text.p);
    mti_buf_dispose(&b);
}

static int run(mti_cli *cli)
{
    if (!mti_cli_args(cli, 0, 0))
        return 2;
    mti_reply r;
    mti_error e = {0};
    mt_status s = mti_client_call(cli, "GET", "/v1/health", NULL, &r, &e);
    mt_slice status = mti_json_get_string(r.json, "status", MT_SLICE(""));
    bool healthy = s == MT_OK && mt_slice_eq(status, MT_SLICE("healthy"));
    const char *key;
    json_t *value;
    if (!r.json)
        mti_cli_fail(&e);
    else if (cli->json)
        printf("%.*s\n", (int)r.body.len, r.body.p);
    else
        json_object_foreach(r.json, key, value) print_member(key, value);
    mti_reply_dispose(&r);
    return healthy ? 0 : 1;
}

const mti_command mti_cmd_health = {
    .name = "health",
    .arguments = "[--data DIR] [--json]",
    .summary = "Ask the running server how it is.",
    .help = "Exit status 0 when it is healthy, 1 when it is not or does not run.\n\n"
            "examples:\n  mortise health\n  mortise health --data /srv/mortise --json",
    .run = run,
};
