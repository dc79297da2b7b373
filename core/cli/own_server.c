#include "cli/own_server.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ident.h"
#include "cli/client.h"

enum { READY_MS = 120000, SHOWN_LOG = 4000 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    interrupted = 1;
}

void mti_own_server_catch(void)
{
    struct sigaction a = {.sa_handler = on_interrupt}; /* no SA_RESTART: waits end */
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

bool mti_own_server_interrupted(void)
{
    return interrupted != 0;
}

static mt_status choose_folder(mti_cli *cli, mti_own_server *s, mti_error *e)
{
    const char *tmp = getenv("TMPDIR");
    s->throw_away = strcmp(mti_config_origin(cli->config, "data.dir"), "default") == 0;
    if (!s->throw_away) {
        snprintf(s->dir, sizeof s->dir, "%s", mti_cli_data(cli));
        return mkdir(s->dir, 0711) == 0 || errno == EEXIST
                   ? MT_OK
                   : mti_fail(e, MT_INTERNAL, "bad_data_dir", "%.200s cannot be made: %s.", s->dir,
                              strerror(errno));
    }
    snprintf(s->dir, sizeof s->dir, "%.400s/mortise-%.20s-XXXXXX", tmp && *tmp ? tmp : "/tmp", s->name);
    if (!mkdtemp(s->dir)) {
        s->throw_away = false;
        return mti_fail(e, MT_INTERNAL, "bad_data_dir", "%.200s cannot be made: %s.", s->dir,
                        strerror(errno));
    }
    chmod(s->dir, 0711); /* PostgreSQL's user passes through */
    MT_TRY(mti_config_set(cli->config, "data.dir", s->dir, "own server", e));
    return MT_OK;
}

/* The server's log goes to a file, and Ctrl-C to us alone: we stop it in order. */
static _Noreturn void run_server(mti_cli *cli, const mti_own_server *s)
{
    char path[600];
    snprintf(path, sizeof path, "%s/server.log", s->dir);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setpgid(0, 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
        _exit(1);
    close(fd);
    mti_cli_log_setup(cli->config);
    exit(cli->serve(cli->config));
}

void mti_own_server_show_log(const mti_own_server *s)
{
    char path[600];
    mti_buf log;
    snprintf(path, sizeof path, "%s/server.log", s->dir);
    if (mti_buf_read_file(&log, path, 64 << 20) == MT_OK && log.len) {
        size_t from = log.len > SHOWN_LOG ? log.len - SHOWN_LOG : 0;
        fprintf(stderr, "--- the end of the server's log ---\n%s---\n", log.p + from);
    }
    mti_buf_dispose(&log);
}

bool mti_own_server_ended(mti_own_server *s)
{
    if (s->pid && waitpid(s->pid, NULL, WNOHANG) == s->pid)
        s->pid = 0;
    return !s->pid;
}

/* The address is written once the sockets listen; ready is what /v1/health/ready says. */
static bool is_ready(mti_cli *cli, mti_own_server *s, mti_error *e)
{
    char path[600];
    mti_buf url;
    mti_reply r;
    snprintf(path, sizeof path, "%s/mortise.url", s->dir);
    bool listens = mti_buf_read_file(&url, path, sizeof s->url) == MT_OK && url.len &&
                   url.p[url.len - 1] == '\n';
    if (listens)
        snprintf(s->url, sizeof s->url, "%.*s", (int)(url.len - 1), url.p);
    mti_buf_dispose(&url);
    if (!listens)
        return false;
    mt_status st = mti_client_call(cli, "GET", "/v1/health/ready", NULL, &r, e);
    mti_reply_dispose(&r);
    return st == MT_OK;
}

static mt_status wait_ready(mti_cli *cli, mti_own_server *s, mti_error *e)
{
    int64_t until = mti_mono_us() + READY_MS * 1000LL;
    mti_error why = {0};
    while (!interrupted && !mti_own_server_ended(s) && mti_mono_us() < until) {
        if (is_ready(cli, s, &why))
            return MT_OK;
        poll(NULL, 0, 50);
    }
    if (interrupted)
        return mti_fail(e, MT_CANCELLED, "interrupted", "Interrupted.");
    mti_own_server_show_log(s);
    if (!s->pid)
        return mti_fail(e, MT_INTERNAL, "server_failed",
                        "The server could not start; the end of its log is above.");
    return mti_fail(e, MT_TIMEOUT, "server_failed", "The server is not ready after %d s: %.200s",
                    READY_MS / 1000, why.detail);
}

mt_status mti_own_server_start(mti_cli *cli, const char *name, mti_own_server *s, mti_error *e)
{
    *s = (mti_own_server){.name = name};
    MT_TRY(choose_folder(cli, s, e));
    if (strcmp(mti_config_origin(cli->config, "http.port"), "default") == 0)
        MT_TRY(mti_config_set(cli->config, "http.port", "0", "own server", e));
    mti_own_server_catch();
    fflush(NULL);
    s->pid = fork();
    if (s->pid == 0)
        run_server(cli, s);
    if (s->pid < 0) {
        s->pid = 0;
        return mti_fail(e, MT_INTERNAL, "server_failed", "No process for the server: %s.",
                        strerror(errno));
    }
    return wait_ready(cli, s, e);
}

void mti_own_server_watch(mti_own_server *s)
{
    while (!interrupted && !mti_own_server_ended(s))
        poll(NULL, 0, 200);
    if (!s->pid)
        mti_own_server_show_log(s);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

void mti_own_server_stop(mti_own_server *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGTERM);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            kill(s->pid, SIGTERM); /* a second Ctrl-C: the server does not wait either */
        s->pid = 0;
    }
    if (s->throw_away)
        nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
