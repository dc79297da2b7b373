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
/* The board's last word says what crashed: MTI_CRASH_MARK and the tag of the thread, a loop's or the pool's. */
#define MTI_CRASH_MARK 0x80000000u
/* Names a tag for reports; must be async-signal-safe and answer a NUL-terminated string. */
void mti_watchdog_set_namer(const char *(*name)(uint32_t tag));
/* Any thread but a loop's; one watchdog a process. Stop it before a loop that it watches is destroyed. */
void mti_watchdog_start(mti_loop **loops, unsigned n, int64_t stall_ms);
void mti_watchdog_stop(void);
void mti_crash_handler_install(int report_fd);  /* process-wide; each loop installs its own alternate stack in run */

/* How often a host died in a plugin's code, in memory that the supervisor shares with its hosts and alone writes; rows with an empty slug end it. */
enum { MTI_CRASH_ROWS = 256 };
typedef struct mti_crash_row {
    char slug[64];
    _Atomic(uint32_t) n;
} mti_crash_row;

#endif
