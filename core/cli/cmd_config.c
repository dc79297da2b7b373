/* mortise config: every option, its value and where that came from. */
#include "cli/internal.h"

#include <stdio.h>

static int run(mti_cli *cli)
{
    bool markdown = mti_cli_flag(cli, "--markdown");
    if (!mti_cli_args(cli, 0, 0))
        return 2;
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    if (markdown)
        mti_options_markdown(&b);
    else
        mti_config_print(cli->config, cli->json, &b);
    fwrite(b.p, 1, b.len, stdout);
    mti_buf_dispose(&b);
    return 0;
}

const mti_command mti_cmd_config = {
    .name = "config",
    .arguments = "[--json]",
    .summary = "Print every option with its value and origin.",
    .help = "Values come from defaults, then the file (--config FILE, else DIR/mortise.conf), then "
            "the environment, then flags.\n"
            "Secrets are shown as \"set\".\n\n"
            "  --json       {\"items\": [{name, value, origin, type}]}\n"
            "  --markdown   the table of all options\n\n"
            "examples:\n  mortise config\n  PORT=9000 mortise config --json | jq '.items[] | "
            "select(.origin != \"default\")'",
    .run = run,
};
