/* A child of this process with a few descriptors and nothing else. */
#ifndef MTI_WORKER_START_H
#define MTI_WORKER_START_H

#include <stdbool.h>
#include <sys/types.h>

/* What an engine sees of the environment: where models and their runtimes lie. Ends with NULL. */
extern const char *const mti_engine_environment[];

/* posix_spawn of program: fds become 3 and up, 0 to 2 are /dev/null, all others are closed. engine: with mti_engine_environment. An errno, or 0. */
int mti_start_process(const char *program, const int *fds, unsigned n, char *const *argv, bool engine, pid_t *pid);

#endif
