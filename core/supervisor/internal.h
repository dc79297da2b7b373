/* What the supervisor's files share. */
#ifndef MTI_SUPERVISOR_INTERNAL_H
#define MTI_SUPERVISOR_INTERNAL_H

#include <limits.h>
#include <sys/types.h>

#include "db/managed.h"
#include "supervisor/supervisor.h"

enum { BOARD_WORDS = 64, BOARD_NAMES = 256 };

/* In memory shared with the host. */
typedef struct mti_board {
    volatile uint32_t words[BOARD_WORDS];
    char names[BOARD_NAMES][64];
    mti_crash_row crashes[MTI_CRASH_ROWS]; /* last: kept when a new host gets the board */
} mti_board;

typedef struct mti_supervisor {
    const mti_config *config;
    int (*host_main)(const mti_host_setup *);
    char dir[PATH_MAX]; /* absolute */
    char url[300];      /* http://host:port */
    int dir_fd, lock_fd, listen_fd, admin_fd, signal_fd;
    mti_managed *db; /* NULL with a database URL */
    mti_board *board;

    pid_t host;            /* 0: none runs */
    int ready_fd, stop_fd; /* our ends of its two pipes; -1: closed */
    int64_t host_started_us;
    bool ready, was_ever_ready;
    bool leaving; /* it was asked to stop */
    unsigned quick_deaths;

    /* Monotonic times in µs of what is to be done; 0: nothing */
    int64_t host_start_at, host_kill_at, db_start_at;
    int64_t db_started_us;
    unsigned db_failures;

    bool stopping, failed;
} mti_supervisor;

/* claim.c: the data folder. Makes it, takes its lock, ends a host that a dead supervisor left over.
 */
mt_status mti_claim(mti_supervisor *s, mti_error *e);
void mti_claim_write(mti_supervisor *s, const char *name,
                     const char *text); /* a small file in DIR */
void mti_claim_release(mti_supervisor *s);
void mti_claim_note_host(mti_supervisor *s); /* DIR/host.pid */

/* sockets.c */
mt_status mti_sockets_open(mti_supervisor *s, mti_error *e);

/* host.c */
void mti_host_spawn(mti_supervisor *s);
void mti_host_leave(mti_supervisor *s); /* asks it to stop, sets the time of the kill */
void mti_host_ready(mti_supervisor *s); /* its ready pipe is readable */
void mti_host_died(mti_supervisor *s, int wstatus);

#endif
