#include "cli/cli.h"
#include "plugin/api.h"
#include "serve.h"
#include "worker/worker.h"

#include <stdio.h>
#include <string.h>

static bool is_serve;                    /* then hosts are executed anew; `demo` serves with a configuration that stands in no argument */

static int serve(const mti_config *config)
{
    mti_error e = {0};
    mti_host_setup setup;
    if (mti_supervisor_inherit(config, &setup))
        return mti_host_main(&setup);
    int status = mti_supervisor_run(config, mti_host_main, is_serve, &e);
    if (e.detail[0])
        fprintf(stderr, "mortise: %s\n", e.detail);
    return status;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "worker"))      /* the host and the supervisor start these */
        return mti_worker_main(argc, argv, &(mti_worker_tables){&mti_api_json, &mti_api_thread});
    if (argc == 5 && !strcmp(argv[1], "plugin-scan"))
        return mti_host_scan(argv[2], argv[3], argv[4]);
    is_serve = argc > 1 && !strcmp(argv[1], "serve");
    return mti_cli_main(argc, argv, serve);
}
