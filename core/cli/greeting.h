/* What a person reads who started a server: where it listens, the key, what to type next. */
#ifndef MTI_CLI_GREETING_H
#define MTI_CLI_GREETING_H

#include "cli/internal.h"

/* The administrator's key out of DIR/admin.key. False: there is none, and out is empty. */
bool mti_greeting_read_key(const mti_cli *cli, char *out, size_t size);
/* Prints a command that asks the default workspace a question. key may hold shell text ("$(cat
 * …)"); it goes between double quotes. */
void mti_greeting_print_ask(const char *url, const char *workspace, const char *key,
                            const char *question);
/* Starts a child that waits until the server which this process is about to become is ready, prints
 * the greeting on stdout and ends. It dies with us. Without it serving goes on, so nothing is
 * answered. */
void mti_greeting_start(const mti_cli *cli);

#endif
