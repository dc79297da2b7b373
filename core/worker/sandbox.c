#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 65534 };

/* What a folder's grant to write is: files and folders in it, no devices, sockets or links. */
#define WRITING                                                                                                                         \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |       \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER | (1u << 14))   /* truncate */

/* --- limits and user --- */

static bool limit(int what, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(what, &now) != 0)
        return false;
    if (most > now.rlim_max)
        most = now.rlim_max;
    return setrlimit(what, &(struct rlimit){most, most}) == 0;
}

static bool writes(const mti_sandbox *s)
{
    for (size_t i = 0; i < s->n_paths; i++)
        if (s->paths[i].writes)
            return true;
    return false;
}

static bool limit_all(const mti_sandbox *s)
{
    rlim_t memory = s->memory ? s->memory : RLIM_INFINITY;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    memory = RLIM_INFINITY;  /* shadow memory is terabytes of address space */
#endif
    return limit(RLIMIT_AS, memory) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, writes(s) ? memory : 0) && limit(RLIMIT_NOFILE, s->files) &&
           limit(RLIMIT_MEMLOCK, 0) && limit(RLIMIT_MSGQUEUE, 0);
}

/* As the user that is set now; what is not there is not granted anyway. */
static bool nobody_uses_paths(const mti_sandbox *s)
{
    for (size_t i = 0; i < s->n_paths; i++)
        if (faccessat(AT_FDCWD, s->paths[i].path, R_OK | (s->paths[i].writes ? W_OK : 0), AT_EACCESS) != 0 && errno != ENOENT)
            return false;
    return true;
}

static bool nobody_reads(const mti_sandbox *s)
{
    if (setresuid(-1, NOBODY, -1) != 0)
        return false;
    bool can = nobody_uses_paths(s) && faccessat(AT_FDCWD, s->dir, R_OK | X_OK, AT_EACCESS) == 0 && (!s->object || faccessat(AT_FDCWD, s->object, R_OK, AT_EACCESS) == 0);
    return setresuid(-1, 0, -1) == 0 && can;
}

static void drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    syscall(SYS_capset, &head, none);
}

static void drop_user(const mti_sandbox *s)
{
    if (geteuid() == 0 && !s->threads && nobody_reads(s) && setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
        setresuid(NOBODY, NOBODY, NOBODY) == 0)
        return;
    drop_capabilities();
}

/* --- Landlock; the numbers are the kernel's, of versions newer than these headers too --- */

typedef struct ruleset {
    uint64_t files, net, scoped;
} ruleset;

static uint64_t file_rights(long abi)
{
    uint64_t rights = (1u << 13) - 1; /* execute … make_sym */
    rights |= abi >= 2 ? 1u << 13 : 0; /* refer */
    rights |= abi >= 3 ? 1u << 14 : 0; /* truncate */
    return rights | (abi >= 5 ? 1u << 15 : 0); /* ioctl of devices */
}

static bool grant(int rules, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    struct stat st;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rights &= LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | (1u << 14);
    struct landlock_path_beneath_attr rule = {.parent_fd = fd, .allowed_access = rights};
    bool ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    close(fd);
    return ok;
}

/* Models and their runtimes ask for the processors and the memory that there are. */
static bool grant_machine(int rules)
{
    static const char *const told[] = {"/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu", "/sys/devices/system/node"};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof told / sizeof *told; i++)
        ok = grant(rules, told[i], LANDLOCK_ACCESS_FS_READ_FILE);
    return ok;
}

static bool grant_paths(int rules, const mti_sandbox *s, uint64_t all)
{
    const uint64_t reading = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    bool ok = true;
    for (size_t i = 0; ok && i < s->n_paths; i++)
        ok = grant(rules, s->paths[i].path, s->paths[i].writes ? all & (reading | WRITING) : reading);
    return ok;
}

static bool landlock(const mti_sandbox *s)
{
    static const char *const libraries[] = {"/usr/lib", "/lib", "/lib64"};
    const uint64_t code = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return false;
    ruleset set = {.files = file_rights(abi), .net = abi >= 4 ? 3 : 0, .scoped = abi >= 6 ? 3 : 0};
    size_t size = abi >= 6 ? sizeof set : abi >= 4 ? offsetof(ruleset, scoped) : offsetof(ruleset, net);
    int rules = (int)syscall(SYS_landlock_create_ruleset, &set, size, 0);
    bool ok = rules >= 0;
    for (size_t i = 0; ok && i < sizeof libraries / sizeof *libraries; i++)
        ok = grant(rules, libraries[i], code);
    ok = ok && grant(rules, "/etc/ld.so.cache", LANDLOCK_ACCESS_FS_READ_FILE) && grant(rules, s->dir, code | LANDLOCK_ACCESS_FS_READ_DIR);
    ok = ok && (!s->object || grant(rules, s->object, code)) && grant_paths(rules, s, set.files);
    ok = ok && (!s->threads || grant_machine(rules));
    ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    if (rules >= 0)
        close(rules);
    return ok;
}

/* --- seccomp: what is not listed fails with EPERM --- */

static const int calls[] = {
    /* the loop and its sockets */
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(shutdown), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(poll), SCMP_SYS(ppoll),
    /* memory, threads that there are, time */
    SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(membarrier), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(arch_prctl),
    /* its own signals, and who it is */
    SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage),
    /* files: which ones, Landlock says; and none is opened to write */
    SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(stat), SCMP_SYS(lstat),
    SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(lseek), SCMP_SYS(pread64), SCMP_SYS(getdents64), SCMP_SYS(fadvise64),
    SCMP_SYS(getcwd), SCMP_SYS(exit), SCMP_SYS(exit_group)};

/* What an engine may do beside: threads, and taking the lanes of a host that comes. */
static const int engine_calls[] = {SCMP_SYS(recvmsg), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(getcpu), SCMP_SYS(getpriority), SCMP_SYS(statfs), SCMP_SYS(fstatfs)};
/* Of the thread that asks (0) and no other process: an engine has the host's user, whose processes are all in reach. */
static const int own_thread_calls[] = {SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_setscheduler)};

static int allow_threads(scmp_filter_ctx f)
{
    const uint64_t thread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
    int rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, thread | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID, thread));
    for (size_t i = 0; rc == 0 && i < sizeof engine_calls / sizeof *engine_calls; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, engine_calls[i], 0);
    for (size_t i = 0; rc == 0 && i < sizeof own_thread_calls / sizeof *own_thread_calls; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, own_thread_calls[i], 1, SCMP_A0(SCMP_CMP_EQ, 0));
    return rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
}

/* Which files, Landlock says. */
static const int writing_calls[] = {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
                                    SCMP_SYS(rmdir), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(pwrite64), SCMP_SYS(pwritev),
                                    SCMP_SYS(ftruncate), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(fallocate), SCMP_SYS(flock), SCMP_SYS(msync),
                                    SCMP_SYS(umask)};

static int allow_writing(scmp_filter_ctx f)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof writing_calls / sizeof *writing_calls; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, writing_calls[i], 0);
    return rc;
}

static int allow(scmp_filter_ctx f, const mti_sandbox *s)
{
    const uint64_t to_write = O_ACCMODE | O_CREAT | O_TRUNC;
    int rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    rc = rc || !s->threads ? rc : allow_threads(f);
    rc = rc || !writes(s) ? rc : allow_writing(f);
    for (size_t i = 0; rc == 0 && i < sizeof calls / sizeof *calls; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
    if (rc == 0 && !writes(s))
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(open), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, to_write, O_RDONLY));
    if (rc == 0 && !writes(s))
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, to_write, O_RDONLY));
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 0);
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 0);
    static const int controls[] = {F_GETFL, F_GETFD, F_SETFD, F_DUPFD_CLOEXEC};
    for (size_t i = 0; rc == 0 && i < sizeof controls / sizeof *controls; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)controls[i]));
    /* abort() signals the process itself */
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    /* limits may be read */
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
    /* glibc asks for the first and then does without */
    return rc ? rc : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static bool seccomp(const mti_sandbox *s)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!f)
        return false;
    int rc = allow(f, s);
    rc = rc ? rc : seccomp_load(f);
    seccomp_release(f);
    return rc == 0;
}

mt_status mti_sandbox_restrict(const mti_sandbox *s, mti_error *e)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !limit_all(s))
        return mti_fail(e, MT_UNSUPPORTED, "sandbox_refused", "a worker cannot be bounded on this system: setrlimit or no_new_privs is refused");
    pid_t parent = getppid();
    drop_user(s);
    /* behind the change of user, which resets both */
    if (prctl(PR_SET_DUMPABLE, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        return mti_fail(e, MT_UNSUPPORTED, "sandbox_refused", "a worker cannot be bound to its host on this system");
    if (!landlock(s))
        return mti_fail(e, MT_UNSUPPORTED, "sandbox_refused", "this system has no Landlock, without which a worker's files cannot be confined");
    return MT_OK;
}

mt_status mti_sandbox_seal(const mti_sandbox *s, mti_error *e)
{
    if ((s->threads || limit(RLIMIT_NPROC, 0)) && seccomp(s))
        return MT_OK;
    return mti_fail(e, MT_UNSUPPORTED, "sandbox_refused", "this system has no seccomp, without which a worker cannot be confined");
}
