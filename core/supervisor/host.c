/* The host process: made by fork without exec (this process has one thread and little memory),
 * watched, replaced. */
#include "supervisor/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/log.h"
#include "loop/watchdog.h"

enum { QUICK_US = 5000000, FREE_RESTARTS = 5, MAX_DELAY_MS = 5000 };

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void reset_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void run_host(mti_supervisor *s, pid_t parent, int ready_fd, int stop_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0); /* it died before the line above */
    reset_signals();
    close_fd(&s->lock_fd);
    close_fd(&s->dir_fd);
    close_fd(&s->signal_fd);
    close_fd(&s->ready_fd);
    close_fd(&s->stop_fd);
    mti_host_setup setup = {
        .config = s->config,
        .listen_fd = s->listen_fd,
        .admin_fd = s->admin_fd,
        .ready_fd = ready_fd,
        .stop_fd = stop_fd,
        .database_url = s->db ? mti_managed_url(s->db) : mti_config_str(s->config, "database.url"),
        .board = s->board->words,
        .names = s->board->names,
        .crashes = s->board->crashes,
    };
    exit(s->host_main(&setup));
}

static void delay_start(mti_supervisor *s, int64_t ms)
{
    s->host_start_at = mti_mono_us() + ms * 1000;
}

void mti_host_spawn(mti_supervisor *s)
{
    int ready[2] = {-1, -1}, stop[2] = {-1, -1};
    s->host_start_at = 0;
    if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(stop, O_CLOEXEC) != 0)
        goto failed;
    memset(s->board, 0, offsetof(mti_board, crashes));
    s->ready_fd = ready[0];
    s->stop_fd = stop[1];
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        run_host(s, parent, ready[1], stop[0]);
    if (pid < 0)
        goto failed;
    close(ready[1]);
    close(stop[0]);
    s->host = pid;
    s->ready = s->leaving = false;
    s->host_kill_at = 0;
    s->host_started_us = mti_mono_us();
    mti_claim_note_host(s);
    mti_log(MTI_LOG_INFO, "host.started", "pid=%d", (int)pid);
    return;
failed:
    mti_log(MTI_LOG_ERROR, "host.not_started", "error=%s", strerror(errno));
    s->ready_fd = s->stop_fd = -1;
    for (int i = 0; i < 2; i++) {
        close_fd(&ready[i]);
        close_fd(&stop[i]);
    }
    delay_start(s, 1000);
}

void mti_host_leave(mti_supervisor *s)
{
    if (!s->host || s->leaving)
        return;
    s->leaving = true;
    close_fd(&s->stop_fd);
    s->host_kill_at = mti_mono_us() + 1000 * mti_config_int(s->config, "supervisor.stop_timeout");
}

void mti_host_ready(mti_supervisor *s)
{
    char byte;
    ssize_t n = read(s->ready_fd, &byte, 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    close_fd(&s->ready_fd);
    if (n != 1)
        return; /* it died, or closed it: waitpid tells */
    s->ready = s->was_ever_ready = true;
    mti_log(MTI_LOG_INFO, "host.ready", "pid=%d ms=%.1f url=%s", (int)s->host,
            (double)(mti_mono_us() - s->host_started_us) / 1000.0, s->url);
}

static void name_one(const mti_board *b, uint32_t tag, char *out, size_t size)
{
    if (!tag)
        snprintf(out, size, "host");
    else if (tag < BOARD_NAMES && b->names[tag][0])
        snprintf(out, size, "%.63s", b->names[tag]);
    else
        snprintf(out, size, "slot-%u", tag);
}

/* Who crashed, as the crash handler noted it; else all plugins whose code ran when it died; "host" when none did. */
static void name_running(const mti_board *b, char *out, size_t size)
{
    size_t used = 0;
    uint32_t noted = b->words[BOARD_WORDS - 1];
    *out = 0;
    if (noted & MTI_CRASH_MARK) {
        name_one(b, noted & ~MTI_CRASH_MARK, out, size);
        return;
    }
    for (int i = 0; i < BOARD_WORDS; i++) {
        uint32_t tag = b->words[i];
        if (!tag || used + 80 > size)
            continue;
        if (used)
            out[used++] = ',';
        name_one(b, tag, out + used, size - used);
        used += strlen(out + used);
    }
    if (!used)
        snprintf(out, size, "host");
}

/* The row of a slug, or a fresh one; NULL when all are taken. */
static mti_crash_row *crash_row(mti_board *b, const char *slug)
{
    for (int i = 0; i < MTI_CRASH_ROWS; i++) {
        mti_crash_row *row = &b->crashes[i];
        if (!row->slug[0])
            snprintf(row->slug, sizeof row->slug, "%.63s", slug);
        if (strcmp(row->slug, slug) == 0)
            return row;
    }
    return NULL;
}

/* Only where it is certain who it was. */
static void count_crash(mti_board *b, const char *plugin)
{
    mti_crash_row *row = strcmp(plugin, "host") && !strchr(plugin, ',') ? crash_row(b, plugin) : NULL;
    if (row)
        atomic_fetch_add(&row->n, 1);
}

static void report_death(mti_supervisor *s, int wstatus)
{
    char plugin[512], how[48];
    name_running(s->board, plugin, sizeof plugin);
    count_crash(s->board, plugin);
    if (WIFSIGNALED(wstatus))
        snprintf(how, sizeof how, "SIG%s",
                 sigabbrev_np(WTERMSIG(wstatus)) ? sigabbrev_np(WTERMSIG(wstatus)) : "?");
    else
        snprintf(how, sizeof how, "exit-%d", WEXITSTATUS(wstatus));
    mti_log(MTI_LOG_ERROR, "host.died", "pid=%d how=%s plugin=%s uptime_ms=%lld", (int)s->host, how,
            plugin, (long long)((mti_mono_us() - s->host_started_us) / 1000));
}

static void plan_restart(mti_supervisor *s)
{
    s->quick_deaths = mti_mono_us() - s->host_started_us < QUICK_US ? s->quick_deaths + 1 : 0;
    if (s->quick_deaths <= FREE_RESTARTS) {
        delay_start(s, 0);
        return;
    }
    unsigned doublings = s->quick_deaths - FREE_RESTARTS - 1;
    int64_t ms = doublings < 6 ? 100LL << doublings : MAX_DELAY_MS;
    mti_log(MTI_LOG_ERROR, "host.backoff", "deaths=%u wait_ms=%lld", s->quick_deaths,
            (long long)ms);
    delay_start(s, ms);
}

void mti_host_died(mti_supervisor *s, int wstatus)
{
    bool clean = WIFEXITED(wstatus) && WEXITSTATUS(wstatus) == 0;
    if (s->ready_fd >= 0 && !s->ready)
        mti_host_ready(s); /* it may have become ready and died between two polls */
    if (clean && !s->leaving)
        mti_log(MTI_LOG_INFO, "host.left", "pid=%d", (int)s->host); /* it asks for a fresh one */
    else if (!s->leaving)
        report_death(s, wstatus);
    else
        mti_log(MTI_LOG_INFO, "host.stopped", "pid=%d clean=%s", (int)s->host,
                clean ? "true" : "false");
    bool planned = s->leaving;
    s->host = 0;
    s->host_kill_at = 0;
    s->leaving = false;
    close_fd(&s->ready_fd);
    close_fd(&s->stop_fd);
    if (s->stopping)
        return;
    if (!s->was_ever_ready && WIFEXITED(wstatus) && !clean)
        s->failed = s->stopping = true;
    else if (planned)
        delay_start(s, 0);
    else
        plan_restart(s);
}
