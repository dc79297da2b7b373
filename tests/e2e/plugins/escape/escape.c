/* Hostile. Each way out answers true when it worked; each harm is meant to hurt the process that it runs in and nobody else. */
#include <mortise/entry.h>
#include <mortise/hooks.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static bool die_in_hook;
static int begun;            /* harmful calls */

/* What an attempt is told: a process to attack, a file to read. */
typedef struct target {
    pid_t pid;
    const char *path;
} target;

/* --- files --- */

static bool reads(const char *path)
{
    char c;
    int fd = open(path, O_RDONLY);
    bool ok = fd >= 0 && read(fd, &c, 1) == 1;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool read_path(const target *t) { return reads(t->path); }
static bool read_passwd(const target *t) { return reads("/etc/passwd"); }
static bool read_environ(const target *t) { return reads("/proc/self/environ") || reads("/proc/1/environ"); }
static bool read_memory(const target *t) { return reads("/proc/self/mem") || reads("/proc/self/maps"); }
static bool list_root(const target *t) { return opendir("/") != NULL; }
static bool list_proc(const target *t) { return opendir("/proc") != NULL; }
static bool create_file(const target *t) { return open("/tmp/mortise-escape", O_CREAT | O_WRONLY, 0600) >= 0; }
static bool opens(const char *path, int how)
{
    int fd = open(path, how);
    return fd >= 0 && close(fd) == 0;
}
static bool write_path(const target *t) { return opens(t->path, O_WRONLY) || opens(t->path, O_RDWR | O_APPEND) || truncate(t->path, 0) == 0; }
static bool create_beside(const target *t)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.new", t->path);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    return fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0 && unlink(path) == 0;
}
static bool link_beside(const target *t)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.link", t->path);
    return symlink("/etc/passwd", path) == 0 || link("/etc/passwd", path) == 0 || mkfifo(path, 0600) == 0 || chmod(t->path, 0777) == 0;
}
static bool change_files(const target *t)
{
    return mkdir("/tmp/mortise-escape.d", 0700) == 0 || symlink("/etc/passwd", "/tmp/mortise-escape.l") == 0 || rename("/tmp/a", "/tmp/b") == 0 ||
           unlink(t->path) == 0 || chmod(t->path, 0777) == 0 || chown(t->path, 0, 0) == 0;
}
static bool make_memory_file(const target *t) { return syscall(SYS_memfd_create, "x", 0) >= 0; }

/* --- network --- */

static bool connect_inet(const target *t)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd >= 0 || (connect(3, (struct sockaddr *)&to, sizeof to) == 0 && errno != EPERM);
}
static bool open_unix(const target *t)
{
    int pair[2];
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
}
static bool open_netlink(const target *t) { return socket(AF_NETLINK, SOCK_RAW, 0) >= 0 || socket(AF_PACKET, SOCK_RAW, 0) >= 0; }
static bool send_descriptor(const target *t)
{
    struct msghdr m = {0};
    return sendmsg(3, &m, 0) >= 0 || recvmsg(3, &m, MSG_DONTWAIT) >= 0;
}
/* Only the channels, the loop's own and nothing of the host's: none may be a listening or foreign socket. */
static bool foreign_descriptor(const target *t)
{
    for (int fd = 0; fd < 1024; fd++) {
        struct stat s;
        if (fstat(fd, &s) == 0 && (S_ISREG(s.st_mode) || S_ISDIR(s.st_mode) || S_ISBLK(s.st_mode)))
            return true;
    }
    return false;
}

/* --- processes --- */

static void *idle(void *arg) { return arg; }
static bool start_thread(const target *t)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, idle, NULL) == 0;
}
static bool start_process(const target *t)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid > 0 || syscall(SYS_vfork) > 0 || syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) > 0;
}
static bool fork_bomb(const target *t)
{
    for (int i = 0; i < 1000; i++)
        if (start_process(t) || start_thread(t))
            return true;
    return false;
}
static bool execute(const target *t)
{
    execl("/bin/true", "true", (char *)NULL);
    return errno != EPERM;
}
static bool trace(const target *t) { return ptrace(PTRACE_ATTACH, t->pid, 0, 0) == 0 || ptrace(PTRACE_TRACEME, 0, 0, 0) == 0 || ptrace(PTRACE_SEIZE, t->pid, 0, 0) == 0; }
static bool send_signal(const target *t)
{
    return kill(t->pid, 0) == 0 || kill(-1, 0) == 0 || kill(getpid(), 0) == 0 || syscall(SYS_tgkill, t->pid, t->pid, 0) == 0 ||
           syscall(SYS_pidfd_open, t->pid, 0) >= 0;
}
/* As it is for most: where this works nothing is changed by it. */
static bool slow_another(const target *t)
{
    const struct sched_param usual = {0};
    cpu_set_t all;
    memset(&all, 0xff, sizeof all);
    return sched_setscheduler(t->pid, SCHED_OTHER, &usual) == 0 || sched_setaffinity(t->pid, sizeof all, &all) == 0 ||
           sched_setparam(t->pid, &usual) == 0 || setpriority(PRIO_PROCESS, (id_t)t->pid, 0) == 0;
}
static bool peek(const target *t)
{
    char c;
    struct iovec here = {&c, 1};
    return process_vm_readv(t->pid, &here, 1, &here, 1, 0) >= 0 || process_vm_writev(t->pid, &here, 1, &here, 1, 0) >= 0;
}

/* --- rights --- */

static bool become_root(const target *t) { return setuid(0) == 0 || setresuid(0, 0, 0) == 0 || setgid(0) == 0; }
static bool leave(const target *t) { return setsid() >= 0 || setpgid(0, 0) == 0 || chroot("/") == 0 || chdir("/") == 0; }
static bool make_namespace(const target *t) { return syscall(SYS_unshare, 0x10000000) == 0 || mount("none", "/tmp", "tmpfs", 0, "") == 0; }
static bool raise_limits(const target *t)
{
    const struct rlimit more = {RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_AS, &more) == 0 || setrlimit(RLIMIT_FSIZE, &more) == 0 || setpriority(PRIO_PROCESS, 0, -20) == 0;
}
static bool reach_kernel(const target *t)
{
    return syscall(SYS_bpf, 0, 0, 0) >= 0 || syscall(SYS_io_uring_setup, 1, 0) >= 0 || syscall(SYS_perf_event_open, 0, 0, 0, 0, 0) >= 0 ||
           syscall(SYS_userfaultfd, 0) >= 0 || syscall(SYS_keyctl, 0, 0) >= 0 || syscall(SYS_shmget, 0, 4096, 01600) >= 0 || errno != EPERM;
}
static bool filter_again(const target *t) { return syscall(SYS_seccomp, 1, 0, NULL) == 0 || syscall(SYS_prctl, 22, 0) == 0; }

static const struct { const char *name; bool (*go)(const target *t); } ways[] = {
    {"read_path", read_path}, {"read_passwd", read_passwd}, {"read_environ", read_environ}, {"read_memory", read_memory}, {"list_root", list_root},
    {"list_proc", list_proc}, {"create_file", create_file}, {"write_path", write_path}, {"create_beside", create_beside}, {"link_beside", link_beside}, {"change_files", change_files},
    {"make_memory_file", make_memory_file}, {"connect_inet", connect_inet}, {"open_unix", open_unix}, {"open_netlink", open_netlink},
    {"send_descriptor", send_descriptor}, {"foreign_descriptor", foreign_descriptor}, {"start_thread", start_thread}, {"start_process", start_process},
    {"fork_bomb", fork_bomb}, {"execute", execute}, {"trace", trace}, {"send_signal", send_signal}, {"slow_another", slow_another}, {"peek", peek}, {"become_root", become_root},
    {"leave", leave}, {"make_namespace", make_namespace}, {"raise_limits", raise_limits}, {"reach_kernel", reach_kernel}, {"filter_again", filter_again}};

/* What was tried when the library was loaded, before any function of it was called. */
static bool tried_early, worked_early;

__attribute__((constructor)) static void early(void)
{
    const char *trace = getenv("ESCAPE_TRACE");      /* whoever loads it with the host's environment leaves one */
    if (trace)
        creat(trace, 0600);
    tried_early = true;
    worked_early = reads("/etc/passwd") || socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool constructor(const target *t) { return !tried_early || worked_early; }

static mt_status tell(mt_call *c, const char *outcome, const char *detail)
{
    return mt_respond(c, 200, mt_printf(c, "{\"outcome\":\"%s\",\"detail\":\"%s\"}", outcome, detail));
}

static void read_target(mt_call *c, char path[4096], target *t)
{
    mt_slice text = mt_body_text(c, MT_SLICE("/path")), pid = mt_body_text(c, MT_SLICE("/pid"));
    snprintf(path, 4096, "%.*s", (int)text.len, text.p);
    *t = (target){.pid = (pid_t)strtol(mt_printf(c, "%.*s", (int)pid.len, pid.p).p, NULL, 10), .path = path};
}

static mt_status on_attempt(void *self, mt_call *c)
{
    char path[4096];
    target t;
    mt_slice way = mt_body_text(c, MT_SLICE("/way"));
    read_target(c, path, &t);
    if (mt_slice_eq(way, MT_SLICE("constructor")))
        return tell(c, constructor(&t) ? "succeeded" : "refused", "");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (mt_slice_eq(way, mt_str(ways[i].name)))
            return tell(c, ways[i].go(&t) ? "succeeded" : "refused", strerror(errno));
    return tell(c, "unknown", "");
}

/* --- harm --- */

static void spin(mt_call *c)
{
    for (volatile uint64_t i = 0; i < UINT64_MAX; i++)
        ;
}
static volatile uintptr_t nowhere = 8, deepest = SIZE_MAX;
static void crash(mt_call *c) { *(volatile int *)nowhere = 1; }
/* Writes over what the allocator keeps beside a block, then lets it find that. */
static void corrupt_heap(mt_call *c)
{
    char *volatile block = malloc(2000);
    ((volatile size_t *)block)[-1] = 1;
    free(block);
}
static void end(mt_call *c) { exit(0); }
static void stop(mt_call *c) { abort(); }
static int deeper(uintptr_t depth)
{
    volatile char here[4096];
    here[0] = (char)depth;
    return depth < deepest ? deeper(depth + 1) + here[0] : 0;
}
static void overflow(mt_call *c) { deeper(0); }
/* All it can get, touched; then it goes on. */
static void hog(mt_call *c)
{
    for (;;) {
        char *p = malloc(1 << 20);
        if (!p)
            return;
        memset(p, 1, 1 << 20);
    }
}
static void send_all(const void *p, size_t n)
{
    for (int fd = 3; fd < 5; fd++)
        if (write(fd, p, n) < 0)
            continue;
}
static void forge_length(mt_call *c) { send_all((uint32_t[]){0xFFFFFFFF, 7, 0, 0}, 16); }
static void forge_call(mt_call *c) { send_all((uint32_t[]){0, 9, 0, 0x12345601}, 16); }
static void forge_kind(mt_call *c) { send_all((uint32_t[]){0, 999, 0, 0}, 16); }
static void flood_log(mt_call *c)
{
    for (int i = 0; i < 200000; i++)
        mt_log(2, "escape.flood", NULL, 0);
}
static void flood_frames(mt_call *c)
{
    uint32_t pong[4] = {0, 12, 0, 0};
    for (int i = 0; i < 2000000; i++)
        if (write(3, pong, sizeof pong) < 0 && errno != EAGAIN)
            return;
}
static void close_channels(mt_call *c)
{
    for (int fd = 3; fd < 64; fd++)
        close(fd);
}
static void hold_on(mt_call *c)
{
    while (mt_sleep(c, 10) == MT_OK || true)
        if (mt_cancelled(c))
            mt_hook_should_stop(c);
}
static void arm_hook(mt_call *c) { die_in_hook = true; }

static const struct { const char *name; void (*go)(mt_call *c); } harms[] = {
    {"spin", spin}, {"crash", crash}, {"corrupt_heap", corrupt_heap}, {"exit", end}, {"abort", stop}, {"overflow", overflow}, {"hog", hog}, {"forge_length", forge_length},
    {"forge_call", forge_call}, {"forge_kind", forge_kind}, {"flood_log", flood_log}, {"flood_frames", flood_frames}, {"close_channels", close_channels},
    {"hold_on", hold_on}, {"arm_hook", arm_hook}};

static mt_status on_harm(void *self, mt_call *c)
{
    mt_slice way = mt_body_text(c, MT_SLICE("/way"));
    for (size_t i = 0; i < sizeof harms / sizeof *harms; i++)
        if (mt_slice_eq(way, mt_str(harms[i].name))) {
            begun++;
            harms[i].go(c);
            return tell(c, "succeeded", harms[i].name);
        }
    return tell(c, "unknown", "");
}

static mt_status on_ping(void *self, mt_call *c)
{
    return tell(c, "refused", mt_printf(c, "%d", begun).p);
}

static mt_outcome on_response(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_http_response *r = in;
    if (die_in_hook && mt_slice_eq(r->operation, MT_SLICE("hello.greet")))
        crash(c);
    return MT_CONTINUE;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_attempt", on_attempt}, {"on_harm", on_harm}, {"on_ping", on_ping}};
static const mt_hook_entry hooks[] = {{"on_response", on_response}};

MT_EXPORT const mt_plugin escape_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "escape", .version = "0.1.0", .load = load,
    .handlers = handlers, .n_handlers = 3, .hooks = hooks, .n_hooks = 1};
