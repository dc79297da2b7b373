/* Host processes: started, watched, replaced; for a reload two of them at a time. */
#include "supervisor/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
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

static unsigned index_of(const mti_supervisor *s, const mti_generation *g)
{
    return (unsigned)(g - s->generations);
}

static _Noreturn void run_host(mti_supervisor *s, unsigned index, bool overlap, pid_t parent, int ready_fd, int stop_fd, int engine_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0); /* it died before the line above */
    reset_signals();
    if (s->exec)
        mti_exec_host(s, index, overlap, ready_fd, stop_fd, engine_fd);
    close_fd(&s->lock_fd);
    close_fd(&s->dir_fd);
    close_fd(&s->signal_fd);
    for (int i = 0; i < GENERATIONS; i++) {
        close_fd(&s->generations[i].ready_fd);
        close_fd(&s->generations[i].stop_fd);
        close_fd(&s->generations[i].engine_fd);
    }
    for (int i = 0; i < ENGINES; i++)
        if (s->engines[i].pid)
            close(s->engines[i].control);
    mti_host_setup setup = {
        .config = s->config,
        .listen_fd = s->listen_fd,
        .admin_fd = s->admin_fd,
        .overlap = overlap,
        .ready_fd = ready_fd,
        .stop_fd = stop_fd,
        .engine_fd = engine_fd,
        .database_url = s->db ? mti_managed_url(s->db) : mti_config_str(s->config, "database.url"),
        .board = s->boards->of[index].words,
        .names = s->boards->of[index].names,
        .note = &s->boards->of[index].note,
        .crashes = s->boards->crashes,
    };
    exit(s->host_main(&setup));
}

static void delay_start(mti_supervisor *s, int64_t ms)
{
    s->host_start_at = mti_mono_us() + ms * 1000;
}

static mti_generation *find_free(mti_supervisor *s)
{
    for (int i = 0; i < GENERATIONS; i++)
        if (!s->generations[i].pid)
            return &s->generations[i];
    return NULL;
}

/* NULL: it could not be started. */
static mti_generation *spawn(mti_supervisor *s, bool overlap)
{
    int ready[2] = {-1, -1}, stop[2] = {-1, -1}, engine[2] = {-1, -1};
    mti_generation *g = find_free(s);
    errno = EAGAIN;
    if (!g || pipe2(ready, O_CLOEXEC) != 0 || pipe2(stop, O_CLOEXEC) != 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, engine) != 0)
        goto failed;
    memset(&s->boards->of[index_of(s, g)], 0, sizeof(mti_board));
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(ready[0]);
        close(stop[1]);
        close(engine[0]);
        run_host(s, index_of(s, g), overlap, parent, ready[1], stop[0], engine[1]);
    }
    if (pid < 0)
        goto failed;
    close(ready[1]);
    close(stop[0]);
    close(engine[1]);
    *g = (mti_generation){.pid = pid, .ready_fd = ready[0], .stop_fd = stop[1], .engine_fd = engine[0], .started_us = mti_mono_us()};
    mti_log(MTI_LOG_INFO, "host.started", "pid=%d overlap=%s", (int)pid, overlap ? "true" : "false");
    return g;
failed:
    mti_log(MTI_LOG_ERROR, "host.not_started", "error=%s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        close_fd(&ready[i]);
        close_fd(&stop[i]);
        close_fd(&engine[i]);
    }
    return NULL;
}

void mti_host_spawn(mti_supervisor *s)
{
    s->host_start_at = 0;
    s->host = spawn(s, false);
    if (s->host)
        mti_claim_note_host(s);
    else
        delay_start(s, 1000);
}

/* "p": a host is being started in its place; "c": that failed; "r": it serves. */
static void tell(mti_generation *g, const char *word)
{
    if (g->stop_fd >= 0 && write(g->stop_fd, word, 1) != 1)
        close_fd(&g->stop_fd); /* its end says: stop */
}

static void end_reload(mti_supervisor *s, bool worked)
{
    char text[32];
    if (!worked && s->host)
        tell(s->host, "c");
    snprintf(text, sizeof text, "%u %s\n", ++s->reloads, worked ? "ok" : "failed");
    mti_claim_write(s, "reload", text);
    mti_log(worked ? MTI_LOG_INFO : MTI_LOG_ERROR, worked ? "reload.done" : "reload.failed", "pid=%d", s->host ? (int)s->host->pid : 0);
}

void mti_host_reload(mti_supervisor *s)
{
    if (s->next || s->stopping)
        return; /* one is under way */
    mti_log(MTI_LOG_INFO, "supervisor.reload", "pid=%d", s->host ? (int)s->host->pid : 0);
    if (!s->host || !s->host->ready) {
        end_reload(s, false); /* nothing serves that could be handed over */
        return;
    }
    tell(s->host, "p");
    s->next = spawn(s, true);
    if (!s->next)
        end_reload(s, false);
    else
        s->next->kill_at = mti_mono_us() + 1000 * mti_config_int(s->config, "supervisor.start_timeout");
}

void mti_host_leave(mti_supervisor *s, mti_generation *g)
{
    if (!g->pid || g->stop_fd < 0)
        return;
    g->leaving = true;
    close_fd(&g->stop_fd);
    g->kill_at = mti_mono_us() + 1000 * mti_config_int(s->config, "supervisor.stop_timeout");
}

/* The next one serves: the one before ends what it has begun and takes its time. */
static void hand_over(mti_supervisor *s)
{
    mti_generation *before = s->host;
    s->host = s->next;
    s->next = NULL;
    s->host->kill_at = 0;
    if (before) {
        before->leaving = true;
        before->kill_at = mti_mono_us() + 1000 * mti_config_int(s->config, "supervisor.drain_timeout");
        tell(before, "r");
    }
    mti_claim_note_host(s);
    end_reload(s, true);
}

void mti_host_ready(mti_supervisor *s, mti_generation *g)
{
    char byte;
    ssize_t n = read(g->ready_fd, &byte, 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n != 1) {
        close_fd(&g->ready_fd);
        return; /* it died, or closed it: waitpid tells */
    }
    if (g->ready) { /* it asks for a fresh one in its place */
        if (g == s->host)
            mti_host_reload(s);
        return;
    }
    g->ready = s->was_ever_ready = true;
    mti_log(MTI_LOG_INFO, "host.ready", "pid=%d ms=%.1f url=%s", (int)g->pid,
            (double)(mti_mono_us() - g->started_us) / 1000.0, s->url);
    if (g == s->next)
        hand_over(s);
}

static void name_one(const mti_board *b, uint32_t tag, char *out, size_t size)
{
    if (!tag)
        snprintf(out, size, "host");
    else if (tag < BOARD_NAMES && b->names[tag].slug[0])
        snprintf(out, size, "%.63s", b->names[tag].slug);
    else
        snprintf(out, size, "slot-%u", tag);
}

/* Who crashed, as the crash handler noted it; else all plugins whose code ran when it died; "host" when none did. */
static void name_running(const mti_board *b, char *out, size_t size)
{
    size_t used = 0;
    uint32_t noted = atomic_load(&b->note.tag);
    *out = 0;
    if (noted) {
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
static mti_crash_row *crash_row(mti_boards *b, const char *slug)
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
static void count_crash(mti_boards *b, const char *plugin)
{
    mti_crash_row *row = strcmp(plugin, "host") && !strchr(plugin, ',') ? crash_row(b, plugin) : NULL;
    if (row)
        atomic_fetch_add(&row->n, 1);
}

/* The plugin that did it, when that is certain: the thread noted it, or the process left from the only plugin that ran. A signal from outside is nobody's. */
static uint32_t culprit(const mti_board *b, int wstatus)
{
    uint32_t found = 0, noted = atomic_load(&b->note.tag);
    if (noted)
        return noted & ~MTI_CRASH_MARK;
    for (int i = 0; i < BOARD_WORDS && WIFEXITED(wstatus); i++) {
        if (b->words[i] && found && b->words[i] != found)
            return 0;
        found = b->words[i] ? b->words[i] : found;
    }
    return found;
}

/* True when it is a plugin's fault. */
static bool remember(const mti_supervisor *s, const mti_board *b, int wstatus, const char *how)
{
    mti_death d = {0};
    mti_uuid org;
    uint32_t tag = culprit(b, wstatus);
    if (!tag || tag >= BOARD_NAMES || !b->names[tag].slug[0])
        return false;
    d.plugin = b->names[tag];
    d.plugin.slug[sizeof d.plugin.slug - 1] = d.plugin.version[sizeof d.plugin.version - 1] = 0;
    snprintf(d.how, sizeof d.how, "%s", how);
    memcpy(&org, b->note.org_id, sizeof org);
    if (!mti_uuid_is_nil(org))
        mti_uuid_format(org, d.org);
    snprintf(d.operation, sizeof d.operation, "%.63s", b->note.operation);
    mti_death_remember(s, &d);
    return true;
}

void mti_host_count_crash(mti_supervisor *s, const char *slug)
{
    count_crash(s->boards, slug);
}

void mti_host_death_name(int wstatus, char *out, size_t size)
{
    if (WIFSIGNALED(wstatus))
        snprintf(out, size, "SIG%s", sigabbrev_np(WTERMSIG(wstatus)) ? sigabbrev_np(WTERMSIG(wstatus)) : "?");
    else
        snprintf(out, size, "exit-%d", WEXITSTATUS(wstatus));
}

/* True when it is a plugin's fault. */
static bool report_death(mti_supervisor *s, const mti_generation *g, int wstatus)
{
    char plugin[512], how[24];
    const mti_board *b = &s->boards->of[index_of(s, g)];
    name_running(b, plugin, sizeof plugin);
    count_crash(s->boards, plugin);
    mti_host_death_name(wstatus, how, sizeof how);
    mti_log(MTI_LOG_ERROR, "host.died", "pid=%d how=%s plugin=%s uptime_ms=%lld", (int)g->pid, how,
            plugin, (long long)((mti_mono_us() - g->started_us) / 1000));
    return remember(s, b, wstatus, how);
}

static void plan_restart(mti_supervisor *s, int64_t started_us)
{
    s->quick_deaths = mti_mono_us() - started_us < QUICK_US ? s->quick_deaths + 1 : 0;
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

/* The one that served is gone: one that starts beside it takes its place at once. */
static void replace_host(mti_supervisor *s, const mti_generation *dead, bool at_once)
{
    s->host = NULL;
    if (s->stopping)
        return;
    if (s->next)
        s->host_start_at = 0; /* hand_over comes when it is ready */
    else if (at_once)
        delay_start(s, 0);
    else
        plan_restart(s, dead->started_us);
}

void mti_host_died(mti_supervisor *s, mti_generation *g, int wstatus)
{
    bool noted = atomic_load(&s->boards->of[index_of(s, g)].note.tag), plugin = false;
    bool clean = WIFEXITED(wstatus) && WEXITSTATUS(wstatus) == 0 && !noted;
    if (g->ready_fd >= 0 && !g->ready)
        mti_host_ready(s, g); /* it may have become ready and died between two polls */
    if (clean && !g->leaving)
        mti_log(MTI_LOG_INFO, "host.left", "pid=%d", (int)g->pid); /* it asks for a fresh one */
    else if (!g->leaving || noted)
        plugin = report_death(s, g, wstatus);
    else
        mti_log(MTI_LOG_INFO, "host.stopped", "pid=%d clean=%s", (int)g->pid,
                clean ? "true" : "false");
    mti_generation dead = *g;
    close_fd(&g->ready_fd);
    close_fd(&g->stop_fd);
    mti_engines_host_died(s, g);
    close_fd(&g->engine_fd);
    g->pid = 0;
    if (!s->was_ever_ready && WIFEXITED(wstatus) && !clean && !plugin)
        s->failed = s->stopping = true;
    if (g == s->next) {
        s->next = NULL;
        end_reload(s, false);
        if (!s->host && !s->stopping)
            delay_start(s, 0);
    } else if (g == s->host) {
        replace_host(s, &dead, clean || dead.leaving || plugin); /* quarantine ends what a plugin repeats */
    }
    mti_claim_note_host(s);
}
