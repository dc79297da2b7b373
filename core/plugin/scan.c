/*
 * The first load of a file happens in a process that may die of it: constructors, the entry table, create and load run there under limits, where they can
 * read but neither write nor connect, and what the host gets to know is a verdict. A plugin that passed can still misbehave later; one that cannot even be loaded does no harm.
 */
#include "plugin/manager.h"
#include "plugin/record.h"
#include "plugin/versions.h"
#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SCAN_MS = 10000, SCAN_CPU_S = 5 };

extern char **environ;

/* ---- in the process ---- */

static void limit(int what, rlim_t n)
{
    setrlimit(what, &(struct rlimit){n, n});
}

static mt_status load_all(const mti_scan_options *o, mti_error *e)
{
    static mti_host host;
    static mti_plugins plugins;
    static mti_plugin_record record;
    mti_schema *schema;
    host = (mti_host){.root = o->root, .version = o->version, .plugins = &plugins, .policies = mti_policies_create(NULL, NULL, 0)};
    plugins.host = &host;
    pthread_mutex_init(&plugins.lock, NULL);
    o->provide(&plugins);
    record = (mti_plugin_record){.host = &host, .slot = 1};
    MT_TRY(mti_manifest_schema(o->root, &schema, e));
    MT_TRY(mti_manifest_load(schema, o->dir, &record.manifest, e));
    record.slug = record.manifest->slug;
    return mti_record_load_from(&record, o->object, e);
}

/* It may read what the host may: its libraries lie anywhere. There is no list of system calls, as workers have one, for what is tried here runs inside the
 * host later, and a library's constructor that asks for more is no reason to refuse it. */
static void lock_in(const mti_scan_options *o)
{
    const mti_sandbox_path all = {.path = "/"};
    mti_error e;
    mti_sandbox_restrict(&(mti_sandbox){.dir = o->dir, .object = o->object, .paths = &all, .n_paths = 1, .threads = true, .files = 256}, &e);
}

/* What it prints is one line: "ok", or a code and a sentence. */
int mti_scan_main(const mti_scan_options *o)
{
    mti_error e = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, SCAN_CPU_S);
    limit(RLIMIT_FSIZE, 0);
    int verdict = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);               /* the plugin's own words are not the verdict */
    lock_in(o);                              /* as far as the system can: the limits above hold anyway */
    bool ok = load_all(o, &e) == MT_OK;
    dprintf(verdict, ok ? "ok\n" : "%s\n%s\n", e.code, e.detail);
    _exit(0);                                /* without the plugin's destructors */
}

/* ---- in the host ---- */

static int64_t now_ms(void)
{
    return mti_mono_us() / 1000;
}

static void read_verdict(int fd, char *text, size_t size)
{
    int64_t end = now_ms() + SCAN_MS;
    size_t used = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = end - now_ms();
        if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR))
            break;
        ssize_t n = p.revents ? read(fd, text + used, size - 1 - used) : 0;
        if (p.revents && n <= 0 && errno != EINTR)
            break;
        used += n > 0 ? (size_t)n : 0;
        if (used == size - 1)
            break;
    }
    text[used] = 0;
}

static pid_t start(const mti_host *h, const char *dir, const char *object, int out)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t all, none;
    pid_t pid = 0;
    sigfillset(&all);
    sigemptyset(&none);
    char *arguments[] = {"mortise", "plugin-scan", (char *)dir, (char *)object, (char *)h->root, NULL};
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    if (posix_spawn(&pid, h->scanner, &files, &how, arguments, environ))
        pid = 0;
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return pid;
}

static mt_status judge(const char *dir, int status, char *text, mti_error *e)
{
    const char *name = strrchr(dir, '/') ? strrchr(dir, '/') + 1 : dir;
    char *detail = strchr(text, '\n');
    if (!strcmp(text, "ok\n"))
        return MT_OK;
    if (detail) {
        *detail++ = 0;
        detail[strcspn(detail, "\n")] = 0;
        return mti_fail(e, !strcmp(text, "abi_mismatch") || !strcmp(text, "platform_too_old") ? MT_UNSUPPORTED : MT_INVALID, text, "%s", detail);
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return mti_fail(e, MT_INVALID, "scan_failed", "%.80s was still not loaded after %d s, in a process of its own, and was stopped", name, SCAN_MS / 1000);
    if (WIFSIGNALED(status))
        return mti_fail(e, MT_INVALID, "scan_failed", "%.80s crashed (SIG%s) when it was loaded for the first time, in a process of its own", name, sigabbrev_np(WTERMSIG(status)));
    return mti_fail(e, MT_INVALID, "scan_failed", "%.80s ended (status %d) the process in which it was loaded for the first time", name, WEXITSTATUS(status));
}

mt_status mti_scan(const mti_host *h, const char *dir, const char *object, mti_error *e)
{
    int ends[2], status = 0;
    char text[600];
    if (!h->scanner)
        return MT_OK;
    if (pipe2(ends, O_CLOEXEC))
        return mti_fail(e, MT_UNAVAILABLE, "scan_failed", "no pipe: %s", strerror(errno));
    pid_t pid = start(h, dir, object, ends[1]);
    close(ends[1]);
    if (pid) {
        read_verdict(ends[0], text, sizeof text);
        kill(pid, SIGKILL);                  /* it has spoken, its time is over, or it is dying of something else already */
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    close(ends[0]);
    return pid ? judge(dir, status, text, e) : mti_fail(e, MT_UNAVAILABLE, "scan_failed", "the scanner could not be started: %s", strerror(errno));
}
