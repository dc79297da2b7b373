/* What the supervisor's files share. */
#ifndef MTI_SUPERVISOR_INTERNAL_H
#define MTI_SUPERVISOR_INTERNAL_H

#include <limits.h>
#include <sys/types.h>

#include "db/managed.h"
#include "supervisor/supervisor.h"

enum { BOARD_WORDS = 64, BOARD_NAMES = 256, GENERATIONS = 4, MAX_WORDS = 64, ENGINES = 16 };

/* In memory shared with a host. */
typedef struct mti_board {
    volatile uint32_t words[BOARD_WORDS];
    mti_tag_name names[BOARD_NAMES];
    mti_crash_note note;
} mti_board;

/* All of that memory: a board a generation, and what is counted over all of them. */
typedef struct mti_boards {
    mti_board of[GENERATIONS];
    mti_crash_row crashes[MTI_CRASH_ROWS];
} mti_boards;

/* One host process. */
typedef struct mti_generation {
    pid_t pid;             /* 0: this place is free */
    int ready_fd, stop_fd; /* our ends of its two pipes; -1: closed */
    int engine_fd;         /* where it asks for engines; -1: closed */
    int64_t started_us, kill_at; /* monotonic µs; 0: not to be killed */
    bool ready, leaving;   /* leaving: it was asked to stop */
} mti_generation;

/* A worker process that outlives hosts (engines.c). */
typedef struct mti_engine {
    pid_t pid;             /* 0: this place is free */
    int control;           /* where it gets the lanes of hosts */
    unsigned users;        /* a bit for each generation that uses it */
    bool condemned;        /* killed by us: nobody comes to it any more */
    int64_t started_us, end_at; /* monotonic µs; end_at 0: somebody uses it */
    char slug[64], key[256];
} mti_engine;

typedef struct mti_supervisor {
    const mti_config *config;
    int (*host_main)(const mti_host_setup *);
    char dir[PATH_MAX]; /* absolute */
    char url[300];      /* http://host:port */
    int dir_fd, lock_fd, listen_fd, admin_fd, signal_fd;
    mti_managed *db; /* NULL with a database URL */
    mti_boards *boards;
    int boards_fd;
    bool exec;                   /* hosts are started from the program's file, which may be another by then */
    char program[PATH_MAX], words[8192], *argv[MAX_WORDS + 1]; /* as this process was started */

    mti_generation generations[GENERATIONS];
    mti_engine engines[ENGINES];
    mti_generation *host, *next; /* serves; starts beside it (NULL: none). The others are leaving */
    bool was_ever_ready;
    unsigned quick_deaths, reloads;

    /* Monotonic times in µs of what is to be done; 0: nothing */
    int64_t host_start_at, db_start_at, engine_end_at; /* engine_end_at: INT64_MAX for nothing */
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
void mti_host_reload(mti_supervisor *s); /* starts a host beside the one that serves */
void mti_host_leave(mti_supervisor *s, mti_generation *g); /* asks it to stop, sets the time of the kill */
void mti_host_ready(mti_supervisor *s, mti_generation *g); /* its ready pipe is readable */
void mti_host_died(mti_supervisor *s, mti_generation *g, int wstatus);
void mti_host_death_name(int wstatus, char *out, size_t size); /* SIGSEGV, exit-1 */
void mti_host_count_crash(mti_supervisor *s, const char *slug); /* of a plugin */
/* engines.c. died: whether it was one. due: ends those whose time is over; when the next is due, or INT64_MAX. */
void mti_engines_asked(mti_supervisor *s, mti_generation *from); /* its engine_fd is readable */
void mti_engines_host_died(mti_supervisor *s, const mti_generation *host);
bool mti_engines_died(mti_supervisor *s, pid_t pid, int wstatus);
int64_t mti_engines_due(mti_supervisor *s, int64_t now);
void mti_engines_end(mti_supervisor *s);
/* exec.c: this process as it was started, for hosts that are executed. */
mt_status mti_exec_prepare(mti_supervisor *s, mti_error *e);
_Noreturn void mti_exec_host(mti_supervisor *s, unsigned board, bool overlap, int ready_fd, int stop_fd, int engine_fd);

/* quarantine.c: remembers that the host died in this plugin's code, which may put it into quarantine. org, operation: "" when not known. */
typedef struct mti_death {
    mti_tag_name plugin;
    char org[37], operation[64], how[24];
} mti_death;
void mti_death_remember(const mti_supervisor *s, const mti_death *d);

#endif
