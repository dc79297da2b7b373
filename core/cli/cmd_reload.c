/* mortise reload: a fresh host, from the program's file and configuration as they are now, in the place of the one that serves. */
#include "cli/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "supervisor/supervisor.h"

enum { LOOK_MS = 50 };

static int run(mti_cli *cli)
{
    bool worked;
    mti_error e = {0};
    if (!mti_cli_args(cli, 0, 0))
        return 2;
    const char *dir = mti_cli_data(cli);
    int holder = mti_supervisor_holder(dir);
    unsigned before = mti_supervisor_reloads(dir, &worked), now = before;
    if (!holder || kill(holder, SIGHUP) != 0) {
        mti_fail(&e, MT_UNAVAILABLE, "server_not_running", "No server runs on %.200s, or it belongs to another user.", dir);
        return mti_cli_fail(&e);
    }
    int64_t left = mti_config_int(cli->config, "supervisor.start_timeout") + 5000;
    for (; now <= before && left > 0; left -= LOOK_MS) { /* the file is empty for a moment when it is written */
        usleep(LOOK_MS * 1000);
        now = mti_supervisor_reloads(dir, &worked);
    }
    if (now <= before || !worked) {
        mti_fail(&e, MT_INTERNAL, "reload_failed", "The fresh host did not get ready, so the one before serves on: the server's log says why.");
        return mti_cli_fail(&e);
    }
    puts(cli->json ? "{\"reloaded\":true}" : "a fresh host serves; the one before ends its requests");
    return 0;
}

const mti_command mti_cmd_reload = {
    .name = "reload",
    .arguments = "[--data DIR]",
    .summary = "Take a new program or configuration; no request fails.",
    .help = "Starts a host from the program's file, the configuration file and the environment and flags that\n"
            "the server was started with, beside the one that serves. When it is ready it takes over the\n"
            "sockets; the one before ends its requests and leaves. When it does not get ready, nothing changes.\n"
            "The address and port stay those of the start. SIGHUP to the server does the same.\n\n"
            "examples:\n  mortise reload\n  mortise reload --data /srv/mortise",
    .run = run,
};
