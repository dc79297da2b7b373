#include "worker/start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_FD = 3, HIGH_FD = 400, FDS_MAX = 64, VARIABLES = 8, VARIABLE_MAX = 4200 };

const char *const mti_engine_environment[] = {"HOME", "MORTISE_CACHE", "MORTISE_LLAMACPP", "MORTISE_ONNXRUNTIME", NULL};

static int set_files(posix_spawn_file_actions_t *files, const int *high, unsigned n)
{
    int rc = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDWR, 0);
    for (int fd = 1; rc == 0 && fd < FIRST_FD; fd++)
        rc = posix_spawn_file_actions_adddup2(files, 0, fd);
    for (unsigned i = 0; rc == 0 && i < n; i++)
        rc = posix_spawn_file_actions_adddup2(files, high[i], FIRST_FD + (int)i);
    return rc ? rc : posix_spawn_file_actions_addclosefrom_np(files, FIRST_FD + (int)n);
}

/* posix_spawn and not fork: what the caller has mapped costs nothing then, and no code runs between. */
static int spawn(const char *program, const int *high, unsigned n, char *const *argv, char *const *env, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawn_file_actions_init(&files);
    int rc = set_files(&files, high, n);
    rc = rc ? rc : posix_spawn(pid, program, &files, &how, argv, env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return rc;
}

/* The numbers that the child is to have must not be among those that are copied there: they are made high first. */
int mti_start_process(const char *program, const int *fds, unsigned n, char *const *argv, bool engine, pid_t *pid)
{
    char texts[VARIABLES][VARIABLE_MAX], *env[VARIABLES + 2] = {"PATH=/usr/bin:/bin"};
    int high[FDS_MAX], rc = n <= FDS_MAX ? 0 : EINVAL;
    unsigned made = 0, variables = 1;
    for (unsigned i = 0; engine && mti_engine_environment[i]; i++) {
        const char *value = getenv(mti_engine_environment[i]);
        if (value && snprintf(texts[i], VARIABLE_MAX, "%s=%s", mti_engine_environment[i], value) < VARIABLE_MAX)
            env[variables++] = texts[i];
    }
    while (rc == 0 && made < n) {
        high[made] = fcntl(fds[made], F_DUPFD_CLOEXEC, HIGH_FD);
        if (high[made] < 0)
            rc = errno;
        else
            made++;
    }
    if (rc == 0)
        rc = spawn(program, high, n, argv, env, pid);
    while (made)
        close(high[--made]);
    return rc;
}
