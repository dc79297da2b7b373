/*
 * Stall and crash reports. The watchdog thread samples each loop's CPU time: a turn that used more than 50 ms of thread CPU is logged as
 * loop.stall with the tag of the running fiber and a backtrace. The crash handler (alternate stack, async-signal-safe) writes one line with
 * signal, address, "stack overflow" when the address lies in a fiber's guard page, and the tag, then lets the process die of the signal.
 */
#ifndef MTI_LOOP_WATCHDOG_H
#define MTI_LOOP_WATCHDOG_H

#include "loop/loop.h"

/* Where tags are published for the supervisor: one word a loop, in memory both processes map. NULL: process-local. */
void mti_watchdog_set_board(volatile uint32_t *words, unsigned n);
/*
 * What a dying thread leaves for the supervisor, in shared memory: whose code it ran and for whom. Written once, by the crash handler; also by
 * exit() in a plugin's code. _exit() and SIGKILL leave nothing: then the board's words are all there is.
 */
typedef struct mti_crash_note {
    _Atomic(uint32_t) tag;       /* MTI_CRASH_MARK and the tag of the thread; 0: nothing was noted */
    uint8_t org_id[16];          /* nil: nobody's, or not known */
    char operation[64];          /* of the call; "" without one */
} mti_crash_note;
#define MTI_CRASH_MARK 0x80000000u
void mti_watchdog_set_note(mti_crash_note *note);
/* Each tag's plugin, in shared memory; NUL-terminated. */
typedef struct mti_tag_name {
    char slug[64], version[32];
} mti_tag_name;
/* Names a tag for reports; must be async-signal-safe and answer a NUL-terminated string. */
void mti_watchdog_set_namer(const char *(*name)(uint32_t tag));
/* Any thread but a loop's; one watchdog a process. Stop it before a loop that it watches is destroyed. */
/* hang_ms: a turn in which one plugin's code runs that long makes its thread abort, so that the crash handler names it; 0: never. */
void mti_watchdog_start(mti_loop **loops, unsigned n, int64_t stall_ms, int64_t hang_ms);
void mti_watchdog_stop(void);
/* Process-wide, and before the first plugin is loaded: gives the calling thread an alternate stack; each loop and pool thread has its own. */
void mti_crash_handler_install(int report_fd);

/* How often a host died in a plugin's code, in memory that the supervisor shares with its hosts and alone writes; rows with an empty slug end it. */
enum { MTI_CRASH_ROWS = 256 };
typedef struct mti_crash_row {
    char slug[64];
    _Atomic(uint32_t) n;
} mti_crash_row;

#endif
