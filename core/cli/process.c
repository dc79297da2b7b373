#include "cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* err below 0: ours. */
static _Noreturn void run_child(char *const argv[], int out, int err, bool quiet)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(out >= 0 ? out : null, STDOUT_FILENO) < 0 || (quiet && dup2(null, STDERR_FILENO) < 0) ||
        (err >= 0 && dup2(err, STDERR_FILENO) < 0))
        _exit(126);
    execvp(argv[0], argv);
    fprintf(stderr, "mortise: %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static void read_all(int fd, mti_buf *out)
{
    char piece[4096];
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR);)
        if (n > 0)
            mti_buf_add(out, piece, (size_t)n);
}

mt_status mti_process_run(char *const argv[], mti_buf *out, bool quiet, int warning, mti_error *e)
{
    int ends[2] = {-1, -1}, status = -1;
    if (out && pipe2(ends, O_CLOEXEC) != 0)
        return mti_fail(e, MT_INTERNAL, "program_failed", "No pipe: %s.", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        run_child(argv, ends[1], -1, quiet);
    if (out)
        close(ends[1]);
    if (out && pid > 0)
        read_all(ends[0], out);
    if (out)
        close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) <= warning)
        return MT_OK;
    return mti_fail(e, MT_INTERNAL, "program_failed", "%.200s failed%s.", argv[0],
                    quiet ? "" : "; its words are above");
}

mt_status mti_process_lines(char *const argv[], void (*on_line)(void *arg, char *line), void *arg, mti_error *e)
{
    int ends[2], status = -1;
    char *line = NULL;
    size_t size = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return mti_fail(e, MT_INTERNAL, "program_failed", "No pipe: %s.", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        run_child(argv, ends[1], ends[1], false);
    close(ends[1]);
    FILE *f = fdopen(ends[0], "r");
    for (ssize_t n; f && (n = getline(&line, &size, f)) > 0;) {
        if (line[n - 1] == '\n')
            line[n - 1] = 0;
        on_line(arg, line);
    }
    free(line);
    if (f)
        fclose(f);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return MT_OK;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return mti_fail(e, MT_NOT_FOUND, "program_missing", "%.100s is not installed.", argv[0]);
    return mti_fail(e, MT_INTERNAL, "program_failed", "%.200s failed; its words are above.", argv[0]);
}
