/* Runs other programs and waits for them. */
#ifndef MTI_CLI_PROCESS_H
#define MTI_CLI_PROCESS_H

#include "base/buf.h"
#include "base/error.h"

/* Runs argv[0] (a path, or found in PATH). Its output goes to out (NULL: it is dropped), its errors
 * to our stderr. quiet drops those too. MT_INTERNAL program_failed unless it exits 0, or with at
 * most `warning`, which some programs have for a success with a remark. */
mt_status mti_process_run(char *const argv[], mti_buf *out, bool quiet, int warning, mti_error *e);
/* The same, and gives each line of output and errors, without its end, while they come. MT_NOT_FOUND program_missing when there is no such program. */
mt_status mti_process_lines(char *const argv[], void (*on_line)(void *arg, char *line), void *arg, mti_error *e);

#endif
