/*
 * The supervisor: holds the listening sockets, starts PostgreSQL (unless a database URL is set) and the host process, restarts what dies and stops
 * them in reverse. Single-threaded, no event loop: poll, waitpid, signals through a signalfd.
 */
#ifndef MTI_SUPERVISOR_SUPERVISOR_H
#define MTI_SUPERVISOR_SUPERVISOR_H

#include "base/error.h"
#include "config/config.h"
#include "loop/watchdog.h"

/* What the host process is given. Descriptors are inherited. */
/* The host ignores SIGINT, SIGTERM, SIGHUP and SIGPIPE (the supervisor passes on what they mean) and is killed when the supervisor dies. */
typedef struct mti_host_setup {
    const mti_config *config;
    int listen_fd;               /* TCP, listening */
    int admin_fd;                /* unix socket DIR/mortise.sock, 0600, listening */
    const char *database_url;
    bool overlap;                /* another host serves still: accept only when all that can be up is up */
    int ready_fd;                /* the host writes one byte when it accepts requests; later ones ask for a reload */
    volatile uint32_t *board;    /* shared: one tag word a loop (loop/watchdog.h), 64 words */
    mti_tag_name *names;         /* shared: the plugin of each tag below 256; the host fills it, death reports read it */
    mti_crash_note *note;        /* shared: what a dying thread leaves */
    const mti_crash_row *crashes;/* shared: MTI_CRASH_ROWS of them */
    int engine_fd;               /* where the host asks for engine workers (worker/engine.h); 0: nowhere */
    int stop_fd;                 /* readable when the supervisor wants a graceful stop: a byte when another host serves already, else its end */
} mti_host_setup;

/*
 * Runs until SIGTERM or SIGINT (a second one does not wait for requests); SIGHUP reloads: a new host starts, and when it serves the old one stops
 * accepting, ends its requests and leaves. host_main is called in a child and its answer is the child's exit status: anything but 0 before the host
 * was ever ready ends the supervisor too. With exec the child first executes this program's file anew with this process' arguments, so that a reload
 * takes a new program and a new configuration; main asks mti_supervisor_inherit there. Call it from a single-threaded process. Answers the exit
 * status for main: 0, or 1 with e filled.
 */
int mti_supervisor_run(const mti_config *c, int (*host_main)(const mti_host_setup *setup), bool exec, mti_error *e);
/* Whether this process was executed as a host; fills setup then, once. is_host only asks. */
bool mti_supervisor_inherit(const mti_config *c, mti_host_setup *setup);
bool mti_supervisor_is_host(void);
/* How many reloads the supervisor of DIR has brought to an end since it started, and whether the last one worked. */
unsigned mti_supervisor_reloads(const char *dir, bool *worked);

/*
 * The path of DIR/mortise.sock as connect() and bind() take it. A path too long for a socket address goes through a descriptor of DIR, put in
 * *dir_fd (else -1), which the caller closes after use. MT_NOT_FOUND when DIR does not exist.
 */
mt_status mti_admin_socket_path(const char *dir, char out[108], int *dir_fd);
/* The process id of the supervisor that holds DIR, or 0. */
int mti_supervisor_holder(const char *dir);
/* Makes DIR and takes the lock that a supervisor holds, for work on a stopped server's folder; closing *lock_fd gives it back. MT_CONFLICT
 * already_running when a supervisor (or such work) holds it. */
mt_status mti_supervisor_lock(const char *dir, int *lock_fd, mti_error *e);

#endif
