/*
 * Our own PostgreSQL. The server is a child process in the data directory's "postgres" folder,
 * reachable only through a unix socket in a directory of mode 0700, where peer authentication lets
 * in root, the server's user and ours. Its superuser is used for what only a superuser can do
 * (managed_setup.c); the host logs in as "mortise", which is none.
 */
#include "db/managed_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
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
#include "base/log.h"

static void pause_ms(int ms)
{
    poll(NULL, 0, ms);
}

static mt_status fail_errno(mti_error *e, const char *what, const char *path)
{
    return mti_fail(e, MT_INTERNAL, "database_setup", "%s %s: %s.", what, path, strerror(errno));
}

/* Waits for a child; false when it is still there after ms. */
static bool reap(pid_t pid, int ms, int *how)
{
    for (int waited = 0;; waited += 10) {
        pid_t got = waitpid(pid, how, WNOHANG);
        if (got == pid || (got < 0 && errno == ECHILD))
            return true;
        if (waited >= ms)
            return false;
        pause_ms(10);
    }
}

/* In the child: becomes the server's user for good. When that user cannot walk to the directory
 * (data under /root), it keeps the one capability to do so rather than the directories being opened
 * for everybody. */
static void become(const mti_managed *m)
{
    if (geteuid() == 0) {
        mti_managed_keep_search(m);
        if (setgroups(0, NULL) || setgid(m->gid) || setuid(m->uid))
            _exit(126);
        mti_managed_raise_search(m);
    }
    prctl(PR_SET_PDEATHSIG, SIGINT); /* fast shutdown, should we die */
    umask(077);
    signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static pid_t spawn(const mti_managed *m, char *const argv[], const char *log)
{
    pid_t parent = getpid(), pid = fork();
    if (pid)
        return pid;
    setpgid(0, 0); /* a Ctrl-C is for the supervisor, which stops us in order */
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(126);
    if (geteuid() == 0 && fchown(fd, m->uid, m->gid))
        _exit(126);
    become(m);
    if (getppid() != parent || chdir(m->dir))
        _exit(126);
    setenv("LC_ALL", "C.UTF-8", 1);
    execv(argv[0], argv);
    _exit(127);
}

static mt_status make_dir(const mti_managed *m, const char *path, mti_error *e)
{
    if (mkdir(path, 0700) && errno != EEXIST)
        return fail_errno(e, "cannot make", path);
    if (geteuid() == 0 && chown(path, m->uid, m->gid))
        return fail_errno(e, "cannot give away", path);
    return MT_OK;
}

static mt_status run_initdb(mti_managed *m, mti_error *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/initdb", m->bin);
    char *argv[] = {path, "-D", m->data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
                    "-k", "-A", "peer",  NULL};
    int how = 0;
    pid_t pid = spawn(m, argv, m->log);
    if (pid < 0 || !reap(pid, 120000, &how) || !WIFEXITED(how) || WEXITSTATUS(how))
        return mti_fail(e, MT_INTERNAL, "database_initdb", "initdb failed in %s: see %s.", m->data,
                        m->log);
    return mti_managed_write_access(m, e);
}

/* The major version that made the data directory; 0: it is empty. */
static int data_version(const mti_managed *m)
{
    char path[PATH_MAX];
    int version = 0;
    snprintf(path, sizeof path, "%s/PG_VERSION", m->data);
    FILE *f = fopen(path, "r");
    if (f) {
        if (fscanf(f, "%d", &version) != 1)
            version = -1;
        fclose(f);
    }
    return version;
}

static mt_status choose_version(mti_managed *m, mti_error *e)
{
    int data = data_version(m), found = mti_managed_find_programs(m, data);
    if (!found)
        return mti_fail(e, MT_UNAVAILABLE, "postgresql_missing",
                        "PostgreSQL 15 or newer is not installed: apt-get install postgresql-15.");
    if (!data)
        return run_initdb(m, e);
    if (data != found)
        return mti_fail(e, MT_UNSUPPORTED, "database_version",
                        "%s was made by PostgreSQL %d, installed is %d: apt-get install "
                        "postgresql-%d, or move it with "
                        "/usr/lib/postgresql/%d/bin/pg_upgrade.",
                        m->data, data, found, data, found > data ? found : data);
    return MT_OK;
}

/* The pid in postmaster.pid, when that process really is a server of this directory. */
static pid_t left_over(const mti_managed *m)
{
    char path[PATH_MAX], proc[64], cwd[PATH_MAX] = "";
    int pid = 0;
    snprintf(path, sizeof path, "%s/postmaster.pid", m->data);
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    if (fscanf(f, "%d", &pid) != 1)
        pid = 0;
    fclose(f);
    snprintf(proc, sizeof proc, "/proc/%d/cwd", pid);
    ssize_t n = pid > 1 ? readlink(proc, cwd, sizeof cwd - 1) : -1;
    return n > 0 && !strcmp(cwd, m->data) ? pid : 0;
}

/* Ends a server that a dead supervisor left: it would hold the directory, and a child of nobody
 * cannot be watched. */
static mt_status end_left_over(const mti_managed *m, mti_error *e)
{
    pid_t pid = left_over(m);
    if (!pid)
        return MT_OK;
    mti_log(MTI_LOG_WARN, "postgres.left_over", "pid=%d", (int)pid);
    static const int signals[] = {SIGINT, SIGQUIT};
    for (int i = 0; i < 2; i++) {
        kill(pid, signals[i]);
        for (int waited = 0; waited < 10000; waited += 20) {
            if (left_over(m) != pid)
                return MT_OK;
            pause_ms(20);
        }
    }
    return mti_fail(e, MT_CONFLICT, "database_in_use",
                    "Another PostgreSQL (pid %d) uses %s and does not end.", (int)pid, m->data);
}

static mt_status start_server(mti_managed *m, mti_error *e)
{
    char path[PATH_MAX], sockets[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/postgres", m->bin);
    snprintf(sockets, sizeof sockets, "unix_socket_directories=%s", m->sockets);
    char *argv[] = {path,
                    "-D",
                    m->data,
                    "-c",
                    sockets,
                    "-c",
                    "listen_addresses=",
                    "-c",
                    "port=5432",
                    "-c",
                    "unix_socket_permissions=0700",
                    "-c",
                    "max_connections=200",
                    "-c",
                    "timezone=UTC",
                    "-c",
                    "jit=off",
                    "-c",
                    "random_page_cost=1.1",
                    "-c",
                    "log_min_messages=log",
                    "-c",
                    "log_checkpoints=off",
                    "-c",
                    "recovery_init_sync_method=syncfs",
                    "-c",
                    "cluster_name=mortise",
                    NULL};
    MT_TRY(make_dir(m, m->sockets, e));
    m->pid = spawn(m, argv, m->log);
    if (m->pid < 0)
        return fail_errno(e, "cannot start", path);
    mti_log(MTI_LOG_INFO, "postgres.start", "pid=%d", m->pid);
    return MT_OK;
}

/* A socket's path may have 107 bytes; a longer one moves to /tmp, in a directory that only the
 * server's user may enter. */
static void choose_sockets(mti_managed *m)
{
    uint8_t hash[32];
    char name[17];
    snprintf(m->sockets, sizeof m->sockets, "%s/sockets", m->dir);
    if (strlen(m->sockets) < 80)
        return;
    mti_sha256(m->dir, strlen(m->dir), hash);
    mti_hex(hash, 8, name);
    snprintf(m->sockets, sizeof m->sockets, "/tmp/mortise-%s", name);
}

static mt_status prepare(mti_managed *m, const char *dir, mti_error *e)
{
    char real[PATH_MAX];
    if ((mkdir(dir, 0711) && errno != EEXIST) || !realpath(dir, real))
        return fail_errno(e, "cannot use", dir);
    if (snprintf(m->dir, sizeof m->dir, "%s/postgres", real) >= (int)sizeof m->dir - 32)
        return mti_fail(e, MT_INVALID, "database_path", "The path %s is too long.", real);
    snprintf(m->data, sizeof m->data, "%s/data", m->dir);
    snprintf(m->log, sizeof m->log, "%s/server.log", m->dir);
    MT_TRY(mti_managed_choose_user(m, e));
    MT_TRY(make_dir(m, m->dir, e));
    choose_sockets(m);
    snprintf(m->url, sizeof m->url, "host=%s port=5432 dbname=mortise user=mortise", m->sockets);
    snprintf(m->admin_url, sizeof m->admin_url, "host=%s port=5432 dbname=mortise user=postgres",
             m->sockets);
    return MT_OK;
}

mt_status mti_managed_start(const char *dir, mti_managed **out, mti_error *e)
{
    mti_managed *m = calloc(1, sizeof *m);
    if (!m)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "Out of memory.");
    mt_status status = prepare(m, dir, e);
    if (!status)
        status = end_left_over(m, e);
    if (!status)
        status = choose_version(m, e);
    if (!status)
        status = start_server(m, e);
    *out = status ? NULL : m;
    if (status)
        free(m);
    return status;
}

const char *mti_managed_url(const mti_managed *m)
{
    return m->url;
}

const char *mti_managed_admin_url(const mti_managed *m)
{
    return m->admin_url;
}

int mti_managed_pid(const mti_managed *m)
{
    return m->pid;
}

mt_status mti_managed_wait(mti_managed *m, int timeout_ms, mti_error *e)
{
    int64_t end = mti_mono_us() + timeout_ms * 1000LL;
    for (;;) {
        if (mti_managed_set_up(m, e) == MT_OK)
            return MT_OK;
        int how;
        if (m->pid <= 0 || waitpid(m->pid, &how, WNOHANG) == m->pid) {
            m->pid = 0;
            return mti_fail(e, MT_UNAVAILABLE, "database_died",
                            "PostgreSQL ended while starting: see %s.", m->log);
        }
        if (mti_mono_us() >= end)
            return mti_fail(e, MT_TIMEOUT, "database_slow",
                            "PostgreSQL does not accept connections: see %s.", m->log);
        pause_ms(10);
    }
}

/* Backends of a killed postmaster may live for a moment and hold the shared memory; the new server
 * says so and is started again. */
mt_status mti_managed_restart(mti_managed *m, mti_error *e)
{
    m->pid = 0;
    MT_TRY(end_left_over(m, e));
    for (int attempt = 0;; attempt++) {
        MT_TRY(start_server(m, e));
        mt_status status = mti_managed_wait(m, 60000, e);
        if (!status || m->pid || attempt == 100)
            return status;
        pause_ms(50);
    }
}

void mti_managed_stop(mti_managed *m)
{
    int how;
    if (!m)
        return;
    if (m->pid > 0) {
        kill(m->pid, SIGINT);
        if (!reap(m->pid, 10000, &how)) {
            kill(m->pid, SIGQUIT);
            reap(m->pid, 5000, &how);
        }
    }
    free(m);
}
