/* posix_spawn (which shares memory until exec, so the size of the host does not matter), poll, kill. */
#include "extract.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "extract_wire.h"

#define SLICE_MS 50 /* between two looks at whether the job is still wanted */

typedef struct child {
    extract_job *job;
    int file, out; /* the file's memory; the pipe's end to read */
    pid_t pid;
    int64_t deadline_ms;
} child;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static char program_path[4096];

void extract_find_program(const char *folder)
{
    snprintf(program_path, sizeof program_path, "%s/files/mortise-extract", folder);
}

const char *extract_program(void)
{
    return program_path;
}

/* The bytes in a sealed file that lies in memory only. */
static bool store(child *k)
{
    mt_slice data = k->job->data;
    k->file = memfd_create("document", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    for (size_t at = 0; k->file >= 0 && at < data.len;) {
        ssize_t n = write(k->file, data.p + at, data.len - at);
        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    return k->file >= 0 && fcntl(k->file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0 &&
           lseek(k->file, 0, SEEK_SET) == 0;
}

static int spawn(child *k, const char *program, int result)
{
    char kind[2] = {k->job->kind}, memory[16], cpu[16], pages[16];
    snprintf(memory, sizeof memory, "%u", k->job->memory_mib);
    snprintf(cpu, sizeof cpu, "%u", k->job->cpu_seconds);
    snprintf(pages, sizeof pages, "%u", k->job->pages);
    char *arguments[] = {"mortise-extract", kind, memory, cpu, pages, NULL}, *environment[] = {NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    if (posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    int rc = posix_spawn_file_actions_adddup2(&files, k->file, 0);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(&files, result, 1);
    rc = rc ? rc : posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    rc = rc ? rc : posix_spawn_file_actions_addclosefrom_np(&files, 3);
    rc = rc ? rc : posix_spawn(&k->pid, program, &files, &how, arguments, environment);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

static mt_status start(child *k, const char *program, char reason[DOC_REASON])
{
    int ends[2];
    if (!store(k) || pipe2(ends, O_CLOEXEC) != 0)
        return doc_fail(reason, MT_UNAVAILABLE, "The file's reader cannot be started: %s.", strerror(errno));
    k->out = ends[0];
    fcntl(k->out, F_SETFL, O_NONBLOCK);
    int rc = spawn(k, program, ends[1]);
    close(ends[1]);
    return rc ? doc_fail(reason, MT_UNAVAILABLE, "The file's reader (%s) cannot be started: %s.", program, strerror(rc)) : MT_OK;
}

static mt_status wait_for_more(child *k)
{
    int64_t left = k->deadline_ms - now_ms();
    if (k->job->cancelled && k->job->cancelled(k->job->user))
        return MT_CANCELLED;
    if (left <= 0)
        return MT_TIMEOUT;
    struct pollfd fd = {.fd = k->out, .events = POLLIN};
    poll(&fd, 1, left < SLICE_MS ? (int)left : SLICE_MS);
    return MT_OK;
}

static mt_status read_pipe(void *user, void *p, size_t n)
{
    child *k = user;
    for (size_t at = 0; at < n;) {
        ssize_t got = read(k->out, (char *)p + at, n - at);
        if (got == 0)
            return MT_DONE;
        if (got < 0 && errno == EAGAIN)
            MT_TRY(wait_for_more(k));
        else if (got < 0 && errno != EINTR)
            return MT_UNAVAILABLE;
        at += got > 0 ? (size_t)got : 0;
    }
    return MT_OK;
}

/* Nothing of it is left: the group is its own, and pdftotext below it dies with it. Answers how it ended; what had ended before keeps its own way. */
static int end(child *k)
{
    int how = 0;
    kill(-k->pid, SIGKILL);
    while (waitpid(k->pid, &how, 0) < 0 && errno == EINTR)
        ;
    return how;
}

/* The answer is missing or makes no sense. */
static mt_status explain(const child *k, const char *program, mt_status s, int how, char reason[DOC_REASON])
{
    enum { NOT_STARTED = 127 };     /* how posix_spawn says so when it learns it only in the child */
    if (s == MT_TIMEOUT)
        return doc_fail(reason, MT_TOO_LARGE, "Reading the file takes longer than %u seconds: split it and upload the parts.", k->job->wall_seconds);
    if (s == MT_DONE && WIFSIGNALED(how) && WTERMSIG(how) == SIGXCPU)
        return doc_fail(reason, MT_TOO_LARGE, "Reading the file takes more than %u seconds: split it and upload the parts.", k->job->cpu_seconds);
    if (s == MT_DONE && WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL)
        return doc_fail(reason, MT_UNAVAILABLE, "The file's reader was killed: the machine may be short of memory.");
    if (s == MT_DONE && WIFEXITED(how) && WEXITSTATUS(how) == NOT_STARTED)
        return doc_fail(reason, MT_UNAVAILABLE, "The file's reader (%s) cannot be started.", program);
    if (s == MT_DONE || s == MT_INTERNAL)
        return doc_fail(reason, MT_INVALID, "The file is damaged in a way that stops its reader: save it again with another program.");
    return doc_fail(reason, s, "The file's reader cannot be heard.");
}

mt_status extract_run(const char *program, extract_job *j, doc_text *out, char reason[DOC_REASON])
{
    child k = {.job = j, .file = -1, .out = -1, .deadline_ms = now_ms() + (int64_t)j->wall_seconds * 1000};
    const extract_source from = {read_pipe, &k};
    *out = (doc_text){0};
    reason[0] = 0;
    mt_status s = start(&k, program, reason);
    if (k.file >= 0)
        close(k.file);
    if (s == MT_OK) {
        s = extract_read(&from, out, &j->layers, reason);
        j->ran = s == MT_OK || reason[0];
        int how = end(&k);
        if (s != MT_OK && s != MT_CANCELLED && !reason[0])
            s = explain(&k, program, s, how, reason);
    }
    if (k.out >= 0)
        close(k.out);
    return s;
}
