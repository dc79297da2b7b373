/*
 * The supervisor: holds the listening sockets, starts PostgreSQL (unless a database URL is set) and the host process, restarts what dies and stops
 * them in reverse. Single-threaded, no event loop: poll, waitpid, signals through a signalfd.
 */
#ifndef MTI_SUPERVISOR_SUPERVISOR_H
#define MTI_SUPERVISOR_SUPERVISOR_H

#include "base/error.h"
#include "config/config.h"

/* What the host process is given. Descriptors are inherited over fork; the host runs in a child forked (not exec'd) from a small parent. */
typedef struct mti_host_setup {
    const mti_config *config;
    int listen_fd;               /* TCP, listening */
    int admin_fd;                /* unix socket DIR/mortise.sock, 0600, listening */
    const char *database_url;
    int ready_fd;                /* the host writes one byte when it accepts requests */
    volatile uint32_t *board;    /* shared: one tag word a loop (loop/watchdog.h), 64 words */
    int stop_fd;                 /* readable when the supervisor wants a graceful stop (or died) */
} mti_host_setup;

/* Runs until SIGTERM/SIGINT; host_main is called in the child and its answer is the child's exit status. Exit status for main. */
int mti_supervisor_run(const mti_config *c, int (*host_main)(const mti_host_setup *setup), mti_error *e);

#endif
