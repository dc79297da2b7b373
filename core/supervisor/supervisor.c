#include "supervisor/internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/log.h"

enum { DB_MAX_DELAY_MS = 30000 };

static mt_status open_signals(mti_supervisor *s, mti_error *e)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signal_fd < 0)
        return mti_fail(e, MT_INTERNAL, "signalfd", "Signals cannot be received: %s.",
                        strerror(errno));
    return MT_OK;
}

static mt_status open_board(mti_supervisor *s, mti_error *e)
{
    s->boards_fd = memfd_create("boards", MFD_CLOEXEC);
    s->boards = s->boards_fd < 0 || ftruncate(s->boards_fd, sizeof *s->boards) != 0
                    ? MAP_FAILED
                    : mmap(NULL, sizeof *s->boards, PROT_READ | PROT_WRITE, MAP_SHARED, s->boards_fd, 0);
    if (s->boards == MAP_FAILED) {
        s->boards = NULL;
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "No shared memory: %s.", strerror(errno));
    }
    return MT_OK;
}

static void database_not_ready(mti_supervisor *s, const mti_error *why)
{
    mti_log(MTI_LOG_ERROR, "database.not_ready", "detail=%s", why->detail);
    if (mti_managed_pid(s->db) <= 0)
        s->db_start_at =
            mti_mono_us() + 1000000; /* it ended meanwhile, so no death will be reported */
}

/* A database that is slow to come up is the host's matter: its plugins wait for it. Only one that
 * cannot be started at all ends us. */
static mt_status start_database(mti_supervisor *s, mti_error *e)
{
    if (*mti_config_str(s->config, "database.url"))
        return MT_OK;
    int64_t from = mti_mono_us();
    MT_TRY(mti_managed_start(s->dir, &s->db, e));
    s->db_started_us = from;
    mti_claim_write(
        s, "postgres.url",
        mti_managed_admin_url(s->db)); /* for backups; peer authentication, so no secret */
    mti_error why = {0};
    if (mti_managed_wait(s->db, (int)mti_config_int(s->config, "supervisor.start_timeout"), &why) !=
        MT_OK)
        database_not_ready(s, &why);
    else
        mti_log(MTI_LOG_INFO, "database.ready", "pid=%d ms=%.1f", mti_managed_pid(s->db),
                (double)(mti_mono_us() - from) / 1000.0);
    return MT_OK;
}

static void database_died(mti_supervisor *s, int wstatus)
{
    int64_t now = mti_mono_us();
    mti_log(MTI_LOG_ERROR, "database.died", "pid=%d status=%d uptime_ms=%lld",
            mti_managed_pid(s->db), wstatus, (long long)((now - s->db_started_us) / 1000));
    s->db_failures = now - s->db_started_us < 5000000 ? s->db_failures + 1 : 0;
    unsigned n = s->db_failures;
    int64_t ms = n <= 1 ? 0 : n < 7 ? 500LL << (n - 2) : DB_MAX_DELAY_MS;
    s->db_start_at = now + ms * 1000;
}

static void database_restart(mti_supervisor *s)
{
    mti_error why = {0};
    s->db_start_at = 0;
    s->db_started_us = mti_mono_us();
    if (mti_managed_restart(s->db, &why) == MT_OK) {
        mti_log(MTI_LOG_INFO, "database.restarted", "pid=%d", mti_managed_pid(s->db));
        return;
    }
    mti_log(MTI_LOG_ERROR, "database.not_started", "detail=%s", why.detail);
    s->db_failures = s->db_failures < 2 ? 2 : s->db_failures + 1;
    unsigned n = s->db_failures;
    s->db_start_at = mti_mono_us() + 1000 * (n < 8 ? 500LL << (n - 2) : DB_MAX_DELAY_MS);
}

static void reap(mti_supervisor *s)
{
    int wstatus;
    for (pid_t pid; (pid = waitpid(-1, &wstatus, WNOHANG)) > 0;) {
        mti_generation *g = NULL;
        for (int i = 0; i < GENERATIONS && !g; i++)
            g = s->generations[i].pid == pid ? &s->generations[i] : NULL;
        if (g)
            mti_host_died(s, g, wstatus);
        else if (mti_engines_died(s, pid, wstatus))
            continue;
        else if (s->db && pid == mti_managed_pid(s->db) && !s->stopping)
            database_died(s, wstatus);
    }
}

static void on_stop_signal(mti_supervisor *s, uint32_t signo)
{
    bool again = s->stopping;
    mti_log(MTI_LOG_INFO, "supervisor.stopping", "signal=SIG%s again=%s", sigabbrev_np((int)signo),
            again ? "true" : "false");
    s->stopping = true;
    for (int i = 0; i < GENERATIONS; i++) {
        mti_host_leave(s, &s->generations[i]);
        if (again && s->generations[i].pid)
            s->generations[i].kill_at = mti_mono_us();
    }
}

static void read_signals(mti_supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == sizeof info)
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT:
            on_stop_signal(s, info.ssi_signo);
            break;
        case SIGHUP:
            mti_host_reload(s);
            break;
        }
    reap(s); /* one SIGCHLD may stand for several deaths */
}

static void run_due(mti_supervisor *s)
{
    int64_t now = mti_mono_us();
    for (int i = 0; i < GENERATIONS; i++) {
        mti_generation *g = &s->generations[i];
        if (!g->pid || !g->kill_at || now < g->kill_at)
            continue;
        mti_log(MTI_LOG_WARN, "host.killed", "pid=%d reason=%s", (int)g->pid,
                g == s->next ? "it did not get ready in time" : "its requests did not end in time");
        kill(g->pid, SIGKILL);
        g->kill_at = 0;
    }
    s->engine_end_at = mti_engines_due(s, now);
    if (s->stopping)
        return;
    if (s->db_start_at && now >= s->db_start_at)
        database_restart(s);
    if (s->host_start_at && now >= s->host_start_at)
        mti_host_spawn(s);
}

static int next_wait_ms(const mti_supervisor *s)
{
    const int64_t times[] = {s->stopping ? 0 : s->host_start_at, s->stopping ? 0 : s->db_start_at};
    int64_t first = s->engine_end_at;
    for (int i = 0; i < GENERATIONS; i++)
        if (s->generations[i].pid && s->generations[i].kill_at && s->generations[i].kill_at < first)
            first = s->generations[i].kill_at;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (times[i] && times[i] < first)
            first = times[i];
    if (first == INT64_MAX)
        return -1;
    int64_t left = first - mti_mono_us();
    return left <= 0 ? 0 : (int)(left / 1000 + 1);
}

static bool runs_any(const mti_supervisor *s)
{
    for (int i = 0; i < GENERATIONS; i++)
        if (s->generations[i].pid)
            return true;
    return false;
}

static void supervise(mti_supervisor *s)
{
    mti_host_spawn(s);
    while (!s->stopping || runs_any(s)) {
        struct pollfd fds[1 + 2 * GENERATIONS] = {{.fd = s->signal_fd, .events = POLLIN}}, *ready = fds + 1, *asks = ready + GENERATIONS;
        for (int i = 0; i < GENERATIONS; i++) {
            ready[i] = (struct pollfd){.fd = s->generations[i].ready_fd, .events = POLLIN};
            asks[i] = (struct pollfd){.fd = s->generations[i].engine_fd, .events = POLLIN};
        }
        poll(fds, 1 + 2 * GENERATIONS, next_wait_ms(s));
        for (int i = 0; i < GENERATIONS; i++) {
            if (ready[i].revents && s->generations[i].ready_fd >= 0)
                mti_host_ready(s, &s->generations[i]);
            if (asks[i].revents && s->generations[i].engine_fd >= 0)
                mti_engines_asked(s, &s->generations[i]);
        }
        if (fds[0].revents)
            read_signals(s);
        run_due(s);
    }
}

static void release(mti_supervisor *s)
{
    mti_engines_end(s);
    if (s->db)
        mti_managed_stop(s->db);
    if (s->boards)
        munmap(s->boards, sizeof *s->boards);
    const int fds[] = {s->listen_fd, s->admin_fd, s->signal_fd, s->boards_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    mti_claim_release(s);
}

int mti_supervisor_run(const mti_config *c, int (*host_main)(const mti_host_setup *setup),
                       bool exec, mti_error *e)
{
    mti_supervisor *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->config = c;
    s->host_main = host_main;
    s->exec = exec;
    s->dir_fd = s->lock_fd = s->listen_fd = s->admin_fd = s->signal_fd = s->boards_fd = -1;
    for (int i = 0; i < GENERATIONS; i++)
        s->generations[i].ready_fd = s->generations[i].stop_fd = s->generations[i].engine_fd = -1;
    s->engine_end_at = INT64_MAX;
    mt_status st = mti_claim(s, e);
    if (st == MT_OK && exec)
        st = mti_exec_prepare(s, e);
    if (st == MT_OK)
        st = open_signals(s, e);
    if (st == MT_OK)
        st = open_board(s, e);
    if (st == MT_OK)
        st = mti_sockets_open(s, e);
    if (st == MT_OK)
        st = start_database(s, e);
    if (st == MT_OK) {
        supervise(s);
        if (s->failed)
            st = mti_fail(e, MT_INTERNAL, "host_failed",
                          "The host could not start; the log above says why.");
        mti_log(MTI_LOG_INFO, "supervisor.stopped", "failed=%s", s->failed ? "true" : "false");
    }
    release(s);
    free(s);
    return st == MT_OK ? 0 : 1;
}
