/* The demo's own server: `serve` in a child process with a throw-away data folder. */
#ifndef MTI_CLI_DEMO_SERVER_H
#define MTI_CLI_DEMO_SERVER_H

#include "cli/internal.h"

typedef struct mti_demo_server {
    int pid;
    bool throw_away; /* the folder is ours to remove */
    char dir[512];
    char url[300]; /* http://127.0.0.1:PORT */
} mti_demo_server;

/* Starts it (free port and new folder unless the configuration names them; both are put into cli's
 * configuration) and waits until it is ready. On failure the end of its log has gone to stderr.
 * Stop it in every case. */
mt_status mti_demo_server_start(mti_cli *cli, mti_demo_server *s, mti_error *e);
/* Waits until it ends or a signal asks us to stop. */
void mti_demo_server_watch(mti_demo_server *s);
bool mti_demo_server_interrupted(void); /* SIGINT or SIGTERM came since the start */
/* Stops it, waits, removes the folder. */
void mti_demo_server_stop(mti_demo_server *s);

#endif
