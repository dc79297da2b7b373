/* A command's own server: `serve` in a child process, with a throw-away data folder when none is named. */
#ifndef MTI_CLI_OWN_SERVER_H
#define MTI_CLI_OWN_SERVER_H

#include "cli/internal.h"

typedef struct mti_own_server {
    const char *name; /* of the throw-away folder: mortise-NAME-… */
    int pid;
    bool throw_away; /* the folder is ours to remove */
    char dir[512];   /* its log is DIR/server.log */
    char url[300]; /* http://127.0.0.1:PORT */
} mti_own_server;

/* Starts it (free port and new folder unless the configuration names them; both are put into cli's
 * configuration) and waits until it is ready. On failure the end of its log has gone to stderr.
 * Stop it in every case. */
mt_status mti_own_server_start(mti_cli *cli, const char *name, mti_own_server *s, mti_error *e);
/* Waits until it ends or a signal asks us to stop. */
void mti_own_server_watch(mti_own_server *s);
bool mti_own_server_ended(mti_own_server *s); /* by itself */
void mti_own_server_show_log(const mti_own_server *s); /* its end, to stderr */
void mti_own_server_catch(void); /* SIGINT and SIGTERM set the flag from here on; starting does it too */
bool mti_own_server_interrupted(void); /* one of them came since */
/* Stops it, waits, removes the folder. */
void mti_own_server_stop(mti_own_server *s);

#endif
