/* mortise serve: the server in the foreground. */
#include "cli/internal.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/greeting.h"
#include "supervisor/supervisor.h"

static void log_ignored(void)
{
    const char *names[32];
    size_t n = mti_config_ignored(environ, names, 32);
    mti_buf list;
    mti_buf_init(&list, 4096);
    for (size_t i = 0; i < n && i < 32; i++)
        mti_buf_addf(&list, "%s%s", i ? "," : "", names[i]);
    if (n)
        mti_log(MTI_LOG_INFO, "config.ignored", "environment=%s", list.p);
    mti_buf_dispose(&list);
}

static int run(mti_cli *cli)
{
    if (!mti_cli_args(cli, 0, 0))
        return 2;
    if (!mti_supervisor_is_host()) {
        log_ignored();
        mti_greeting_start(cli);
    }
    return cli->serve(cli->config);
}

const mti_command mti_cmd_serve = {
    .name = "serve",
    .arguments = "[--data DIR] [--port N] [--host ADDR] [--safe-mode]",
    .summary = "Run the server until SIGTERM or Ctrl-C.",
    .help = "Starts PostgreSQL in DIR (unless DATABASE_URL names one), then the host. The first "
            "start creates the default\n"
            "organization and an administrator's key, printed once and kept in DIR/admin.key.\n"
            "On a terminal only warnings are logged unless log.level is set; elsewhere info.\n"
            "SIGHUP (mortise reload) takes a new program and configuration while requests go on; a second "
            "Ctrl-C does not wait for requests.\n\n"
            "  --data DIR    data folder (./data)\n"
            "  --port N      TCP port (8000); 0 takes a free one\n"
            "  --host ADDR   address (127.0.0.1); 0.0.0.0 is reached from other machines\n"
            "  --safe-mode   essential plugins only: to look at a server that a plugin keeps from working\n\n"
            "examples:\n  mortise serve\n  mortise serve --data /srv/mortise --port 8080 "
            "--log-format json\n"
            "  DATABASE_URL=postgresql://mortise@db/mortise mortise serve",
    .run = run,
};
