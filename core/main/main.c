#include "cli/cli.h"
#include "serve.h"

#include <stdio.h>

static int serve(const mti_config *config)
{
    mti_error e = {0};
    int status = mti_supervisor_run(config, mti_host_main, &e);
    if (e.detail[0])
        fprintf(stderr, "mortise: %s\n", e.detail);
    return status;
}

int main(int argc, char **argv)
{
    return mti_cli_main(argc, argv, serve);
}
