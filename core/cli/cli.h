/* The command line: one row a command in a const table (name, arguments, help, run). Commands that need a running host talk HTTP over DIR/mortise.sock. */
#ifndef MTI_CLI_CLI_H
#define MTI_CLI_CLI_H

#include "config/config.h"

/*
 * Runs the command that argv names and answers the exit status: 0, 1 for a failure (said on stderr in one line), 2 for a wrong use. serve is called with the
 * loaded configuration, the log set up, in a single-threaded process (for the demo in a child); its answer is an exit status.
 */
int mti_cli_main(int argc, char **argv, int (*serve)(const mti_config *));
const char *mti_cli_version(void);   /* "0.1.0" */

#endif
