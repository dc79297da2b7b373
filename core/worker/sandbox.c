#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 65534 };

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

static bool limit_all(const mti_sandbox *s)
{
    rlim_t memory = s->memory;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    memory = RLIM_INFINITY;  /* shadow memory is terabytes of address space */
#endif
    return limit(RLIMIT_AS, memory) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_NOFILE, s->files) &&
           limit(RLIMIT_MEMLOCK, 0) && limit(RLIMIT_MSGQUEUE, 0);
}

static bool nobody_reads(const mti_sandbox *s)
{
    if (setresuid(-1, NOBODY, -1) != 0)
        return false;
    bool can = faccessat(AT_FDCWD, s->dir, R_OK | X_OK, AT_EACCESS) == 0 && (!s->object || faccessat(AT_FDCWD, s->object, R_OK, AT_EACCESS) == 0);
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
    if (geteuid() == 0 && nobody_reads(s) && setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
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
    struct landlock_path_beneath_attr rule = {.parent_fd = fd, .allowed_access = rights};
    bool ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    close(fd);
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
    ok = ok && (!s->object || grant(rules, s->object, code));
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
    SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage),
    /* files: which ones, Landlock says; and none is opened to write */
    SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(stat), SCMP_SYS(lstat),
    SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(lseek), SCMP_SYS(pread64), SCMP_SYS(getdents64), SCMP_SYS(fadvise64),
    SCMP_SYS(getcwd), SCMP_SYS(exit), SCMP_SYS(exit_group)};

static int allow(scmp_filter_ctx f)
{
    const uint64_t writes = O_ACCMODE | O_CREAT | O_TRUNC;
    int rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    for (size_t i = 0; rc == 0 && i < sizeof calls / sizeof *calls; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(open), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, writes, O_RDONLY));
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, writes, O_RDONLY));
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

static bool seccomp(void)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!f)
        return false;
    int rc = allow(f);
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

mt_status mti_sandbox_seal(mti_error *e)
{
    if (limit(RLIMIT_NPROC, 0) && seccomp())
        return MT_OK;
    return mti_fail(e, MT_UNSUPPORTED, "sandbox_refused", "this system has no seccomp, without which a worker cannot be confined");
}
