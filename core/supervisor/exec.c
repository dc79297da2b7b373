/* Hosts that are executed: the program's file anew, with the arguments of this process; what they inherit stands in two variables of the environment. */
#include "supervisor/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define VARIABLE "MORTISE_HOST_INHERITS"
#define DATABASE "MORTISE_HOST_DATABASE"

extern char **environ;

mt_status mti_exec_prepare(mti_supervisor *s, mti_error *e)
{
    ssize_t n = readlink("/proc/self/exe", s->program, sizeof s->program - 1);
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, s->words, sizeof s->words);
    if (fd >= 0)
        close(fd);
    if (n <= 0 || len <= 0 || (size_t)len == sizeof s->words)
        return mti_fail(e, MT_INTERNAL, "arguments", "This process' own arguments cannot be read from /proc.");
    s->program[n] = 0;
    int count = 0;
    for (char *at = s->words; at < s->words + len && count < MAX_WORDS; at += strlen(at) + 1)
        s->argv[count++] = at;
    return MT_OK;
}

static void keep_open(int fd)
{
    fcntl(fd, F_SETFD, 0);
}

_Noreturn void mti_exec_host(mti_supervisor *s, unsigned board, bool overlap, int ready_fd, int stop_fd, int engine_fd)
{
    char text[128];
    const int fds[] = {s->listen_fd, s->admin_fd, ready_fd, stop_fd, s->boards_fd, engine_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        keep_open(fds[i]);
    snprintf(text, sizeof text, "%d %d %d %d %d %d %u %d", fds[0], fds[1], fds[2], fds[3], fds[4], fds[5], board, overlap);
    setenv(VARIABLE, text, 1);
    if (s->db)
        setenv(DATABASE, mti_managed_url(s->db), 1);
    execve(s->program, s->argv, environ);
    fprintf(stderr, "mortise: %s cannot be executed: %s.\n", s->program, strerror(errno));
    _exit(127);
}

bool mti_supervisor_is_host(void)
{
    return getenv(VARIABLE) != NULL;
}

bool mti_supervisor_inherit(const mti_config *c, mti_host_setup *setup)
{
    int listen_fd, admin_fd, ready_fd, stop_fd, boards_fd, engine_fd, overlap;
    unsigned board;
    const char *text = getenv(VARIABLE), *url = getenv(DATABASE);
    if (!text || sscanf(text, "%d %d %d %d %d %d %u %d", &listen_fd, &admin_fd, &ready_fd, &stop_fd, &boards_fd, &engine_fd, &board, &overlap) != 8 || board >= GENERATIONS)
        return false;
    const int fds[] = {listen_fd, admin_fd, ready_fd, stop_fd, boards_fd, engine_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    mti_boards *boards = mmap(NULL, sizeof *boards, PROT_READ | PROT_WRITE, MAP_SHARED, boards_fd, 0);
    if (boards == MAP_FAILED)
        return false;
    close(boards_fd);
    *setup = (mti_host_setup){.config = c, .listen_fd = listen_fd, .admin_fd = admin_fd, .overlap = overlap, .ready_fd = ready_fd, .stop_fd = stop_fd, .engine_fd = engine_fd,
                              .database_url = url ? strdup(url) : mti_config_str(c, "database.url"), .board = boards->of[board].words,
                              .names = boards->of[board].names,
                              .note = &boards->of[board].note, .crashes = boards->crashes};
    unsetenv(VARIABLE);
    unsetenv(DATABASE);
    return true;
}
