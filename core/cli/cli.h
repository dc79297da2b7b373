/* The command line: one row a command in a const table (name, arguments, help, run). Commands that need a running host talk HTTP over DIR/mortise.sock. */
#ifndef MTI_CLI_CLI_H
#define MTI_CLI_CLI_H

#include "config/config.h"

int mti_cli_main(int argc, char **argv, int (*serve)(const mti_config *));

#endif
